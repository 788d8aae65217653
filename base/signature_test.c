#include "base/signature.h"

#include "base/text.h"
#include "tests/test.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

static void decode(struct buf *out, const char *text)
{
	buf_init(out, 4096);
	assert_true(text_from_base64_url(out, span_of(text)));
}

/* RFC 7515 A.3 */
static const char es256_text[] = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
static const char es256_signature[] = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char es256_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char es256_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

static void the_standards_ecdsa_example_holds(void **state)
{
	struct buf x, y, signature;
	struct span text = span_of(es256_text);

	decode(&x, es256_x);
	decode(&y, es256_y);
	decode(&signature, es256_signature);
	assert_true(signature_p256(buf_span(&x), buf_span(&y), text, buf_span(&signature)));
	assert_false(signature_p256(buf_span(&x), buf_span(&y), span_slice(text, 0, text.size - 1), buf_span(&signature)));
	assert_false(signature_p256(buf_span(&y), buf_span(&x), text, buf_span(&signature)));
	assert_false(signature_p256(buf_span(&x), buf_span(&y), text, span_slice(buf_span(&signature), 0, 63)));
	for (size_t i = 0; i < signature.size * 8; i++) {
		signature.at[i / 8] = (char)(signature.at[i / 8] ^ 1 << i % 8);
		assert_false(signature_p256(buf_span(&x), buf_span(&y), text, buf_span(&signature)));
		signature.at[i / 8] = (char)(signature.at[i / 8] ^ 1 << i % 8);
	}
	memset(signature.at, 0, signature.size);
	assert_false(signature_p256(buf_span(&x), buf_span(&y), text, buf_span(&signature)));
	buf_free(&x);
	buf_free(&y);
	buf_free(&signature);
}

struct rsa_case {
	EVP_PKEY *key;
	unsigned char n[1024], e[16], signature[1024];
	size_t n_size, e_size, signature_size;
};

static void rsa_sign(struct rsa_case *c, unsigned bits, bool pss, struct span text)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	EVP_PKEY_CTX *context = NULL;
	BIGNUM *n = NULL, *e = NULL;

	*c = (struct rsa_case){ .key = EVP_RSA_gen(bits), .signature_size = sizeof c->signature };
	assert_non_null(c->key);
	assert_int_equal(EVP_DigestSignInit(digest, &context, EVP_sha256(), NULL, c->key), 1);
	if (pss) {
		EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST);
	}
	assert_int_equal(EVP_DigestSign(digest, c->signature, &c->signature_size, (const unsigned char *)text.at, text.size), 1);
	EVP_PKEY_get_bn_param(c->key, "n", &n);
	EVP_PKEY_get_bn_param(c->key, "e", &e);
	c->n_size = (size_t)BN_bn2bin(n, c->n);
	c->e_size = (size_t)BN_bn2bin(e, c->e);
	BN_free(n);
	BN_free(e);
	EVP_MD_CTX_free(digest);
}

static bool rsa_holds(struct rsa_case *c, enum signature_kind kind, struct span text)
{
	return signature_rsa(kind, (struct span){ (char *)c->n, c->n_size }, (struct span){ (char *)c->e, c->e_size }, text,
			     (struct span){ (char *)c->signature, c->signature_size });
}

static void rsa_in_both_paddings_holds(void **state)
{
	for (int pss = 0; pss < 2; pss++) {
		struct rsa_case c;

		rsa_sign(&c, 2048, pss, SPAN("text"));
		assert_int_equal(rsa_holds(&c, SIGNATURE_RS256, SPAN("text")), !pss);
		assert_int_equal(rsa_holds(&c, SIGNATURE_PS256, SPAN("text")), pss);
		assert_false(rsa_holds(&c, pss ? SIGNATURE_PS256 : SIGNATURE_RS256, SPAN("texT")));
		c.signature[100] ^= 1;
		assert_false(rsa_holds(&c, pss ? SIGNATURE_PS256 : SIGNATURE_RS256, SPAN("text")));
		EVP_PKEY_free(c.key);
	}
}

static void weak_and_absurd_keys_are_refused(void **state)
{
	struct rsa_case c;

	rsa_sign(&c, 1024, false, SPAN("text"));
	assert_false(rsa_holds(&c, SIGNATURE_RS256, SPAN("text")));
	EVP_PKEY_free(c.key);
	rsa_sign(&c, 2048, false, SPAN("text"));
	c.e_size = 0;
	assert_false(rsa_holds(&c, SIGNATURE_RS256, SPAN("text")));
	c.e_size = 1;
	c.e[0] = 1;
	assert_false(rsa_holds(&c, SIGNATURE_RS256, SPAN("text")));
	c.n_size = 0;
	assert_false(rsa_holds(&c, SIGNATURE_RS256, SPAN("text")));
	EVP_PKEY_free(c.key);
}

TESTS(the_standards_ecdsa_example_holds, rsa_in_both_paddings_holds, weak_and_absurd_keys_are_refused)
