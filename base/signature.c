#include "base/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

enum { RSA_BYTES_MIN = 256, RSA_BYTES_MAX = 1024, EXPONENT_BYTES_MAX = 8, P256_BYTES = 32 };

static const unsigned char *bytes(struct span s)
{
	return (const unsigned char *)s.at;
}

static EVP_PKEY *key_of(const char *type, OSSL_PARAM *parameters)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (context && parameters && EVP_PKEY_fromdata_init(context) == 1 &&
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

static bool verify(EVP_PKEY *key, bool pss, struct span text, struct span signature)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	EVP_PKEY_CTX *context = NULL;
	bool good = digest && EVP_DigestVerifyInit(digest, &context, EVP_sha256(), NULL, key) == 1;

	if (good && pss)
		good = EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
	good = good && EVP_DigestVerify(digest, bytes(signature), signature.size, bytes(text), text.size) == 1;
	EVP_MD_CTX_free(digest);
	return good;
}

static EVP_PKEY *rsa_key(struct span modulus, struct span exponent)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *n = BN_bin2bn(bytes(modulus), (int)modulus.size, NULL);
	BIGNUM *e = BN_bin2bn(bytes(exponent), (int)exponent.size, NULL);
	OSSL_PARAM *parameters = NULL;
	EVP_PKEY *key = NULL;

	if (build && n && e && BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
		parameters = OSSL_PARAM_BLD_to_param(build);
	key = key_of("RSA", parameters);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(e);
	return key;
}

static struct span without_zeros(struct span number)
{
	while (number.size && !*number.at)
		number = span_slice(number, 1, number.size);
	return number;
}

bool signature_rsa(enum signature_kind kind, struct span modulus, struct span exponent, struct span text, struct span signature)
{
	struct span n = without_zeros(modulus), e = without_zeros(exponent);
	EVP_PKEY *key;
	bool good;

	if (n.size < RSA_BYTES_MIN || n.size > RSA_BYTES_MAX || !e.size || e.size > EXPONENT_BYTES_MAX || signature.size != n.size)
		return false;
	key = rsa_key(n, e);
	good = key && verify(key, kind == SIGNATURE_PS256, text, signature);
	EVP_PKEY_free(key);
	return good;
}

static EVP_PKEY *p256_key(struct span x, struct span y)
{
	unsigned char point[1 + 2 * P256_BYTES] = { 4 };
	char group[] = "prime256v1";
	OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point),
		OSSL_PARAM_construct_end(),
	};

	memcpy(point + 1, x.at, P256_BYTES);
	memcpy(point + 1 + P256_BYTES, y.at, P256_BYTES);
	return key_of("EC", parameters);
}

/* OpenSSL wants DER where JWS has the two numbers side by side. */
static unsigned char *der_of(struct span signature, int *size_out)
{
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(bytes(signature), P256_BYTES, NULL), *s = BN_bin2bn(bytes(signature) + P256_BYTES, P256_BYTES, NULL);
	unsigned char *der = NULL;

	if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
		*size_out = i2d_ECDSA_SIG(pair, &der);
	} else {
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(pair);
	return der;
}

bool signature_p256(struct span x, struct span y, struct span text, struct span signature)
{
	unsigned char *der;
	EVP_PKEY *key;
	int size = 0;
	bool good;

	if (x.size != P256_BYTES || y.size != P256_BYTES || signature.size != 2 * P256_BYTES)
		return false;
	key = p256_key(x, y);
	der = der_of(signature, &size);
	good = key && der && size > 0 && verify(key, false, text, (struct span){ (char *)der, (size_t)size });
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return good;
}
