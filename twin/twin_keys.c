#include "twin/twin_keys.h"

#include "base/panic.h"
#include "base/rand.h"
#include "base/text.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <stdlib.h>
#include <string.h>

enum { DAY_SECONDS = 86400, LEAF_DAYS = 397, CA_DAYS = 3650 };

struct twin_keys {
	EVP_PKEY *signing;
	struct buf ca, certificate, key; /* PEM */
	unsigned char seal[SEAL_KEY_BYTES];
	char id[44];
};

static const char names[] =
	"DNS:localhost,DNS:smtp.office365.com,DNS:outlook.office365.com,DNS:smtp.gmail.com,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1";

static struct twin_keys *keys_new(void)
{
	struct twin_keys *k = calloc(1, sizeof *k);

	ASSERT(k);
	buf_init(&k->ca, TWIN_PEM_BYTES);
	buf_init(&k->certificate, TWIN_PEM_BYTES);
	buf_init(&k->key, TWIN_PEM_BYTES);
	return k;
}

void twin_keys_free(struct twin_keys **keys)
{
	struct twin_keys *k = *keys;

	if (!k)
		return;
	EVP_PKEY_free(k->signing);
	buf_free(&k->ca);
	buf_free(&k->certificate);
	buf_wipe(&k->key);
	secret_wipe(k->seal, sizeof k->seal);
	free(k);
	*keys = NULL;
}

/* What was written to a memory BIO, appended; frees the BIO. */
static bool bio_take(BIO *bio, struct buf *out)
{
	char *at;
	long size = BIO_get_mem_data(bio, &at);
	bool ok = size > 0 && buf_put(out, (struct span){ at, (size_t)size });

	BIO_free(bio);
	return ok;
}

static bool put_key(struct buf *out, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	ASSERT(bio);
	return PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 ? bio_take(bio, out) : (BIO_free(bio), false);
}

static bool put_certificate(struct buf *out, X509 *certificate)
{
	BIO *bio = BIO_new(BIO_s_mem());

	ASSERT(bio);
	return PEM_write_bio_X509(bio, certificate) == 1 ? bio_take(bio, out) : (BIO_free(bio), false);
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool ok;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	ok = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return ok;
}

struct certificate_wish {
	const char *name;
	int64_t wall_ms;
	int days;
	X509 *issuer; /* NULL: itself */
	EVP_PKEY *issuer_key;
};

static bool describe(X509 *c, const struct certificate_wish *wish)
{
	X509 *issuer = wish->issuer ? wish->issuer : c;

	if (!wish->issuer)
		return add_extension(c, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
		       add_extension(c, issuer, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		       add_extension(c, issuer, NID_subject_key_identifier, "hash");
	return add_extension(c, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(c, issuer, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(c, issuer, NID_ext_key_usage, "serverAuth") &&
	       add_extension(c, issuer, NID_authority_key_identifier, "keyid") && add_extension(c, issuer, NID_subject_alt_name, names);
}

static X509 *certify(EVP_PKEY *key, const struct certificate_wish *wish)
{
	X509 *c = X509_new();
	X509_NAME *name = c ? X509_get_subject_name(c) : NULL;
	time_t from = (time_t)(wish->wall_ms / 1000) - DAY_SECONDS;
	unsigned char serial[8];
	BIGNUM *number;
	bool ok;

	rand_bytes(serial, sizeof serial);
	serial[0] &= 0x7f;
	number = BN_bin2bn(serial, sizeof serial, NULL);
	ok = name && number && X509_set_version(c, 2) == 1 && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(c)) &&
	     ASN1_TIME_set(X509_getm_notBefore(c), from) && ASN1_TIME_set(X509_getm_notAfter(c), from + (time_t)wish->days * DAY_SECONDS) &&
	     X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)wish->name, -1, -1, 0) == 1 &&
	     X509_set_issuer_name(c, wish->issuer ? X509_get_subject_name(wish->issuer) : name) == 1 && X509_set_pubkey(c, key) == 1 &&
	     describe(c, wish) && X509_sign(c, wish->issuer_key ? wish->issuer_key : key, EVP_sha256()) > 0;
	BN_free(number);
	if (ok)
		return c;
	X509_free(c);
	return NULL;
}

/* A CA that signs one certificate and whose key is then forgotten. */
static bool make_certificates(struct twin_keys *k, int64_t wall_ms)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
	X509 *ca = ca_key ? certify(ca_key, &(struct certificate_wish){ "Postern twin CA", wall_ms, CA_DAYS, NULL, NULL }) : NULL;
	X509 *leaf = ca && key ? certify(key, &(struct certificate_wish){ "localhost", wall_ms, LEAF_DAYS, ca, ca_key }) : NULL;
	bool ok = leaf && put_certificate(&k->ca, ca) && put_certificate(&k->certificate, leaf) && put_key(&k->key, key);

	X509_free(leaf);
	X509_free(ca);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ca_key);
	return ok;
}

static bool put_number(EVP_PKEY *key, const char *name, struct buf *out)
{
	unsigned char bytes[TWIN_SIGNATURE_BYTES * 2];
	BIGNUM *number = NULL;
	bool ok = EVP_PKEY_get_bn_param(key, name, &number) == 1 && BN_num_bytes(number) <= (int)sizeof bytes;

	if (ok)
		ok = text_base64_url(out, (struct span){ (char *)bytes, (size_t)BN_bn2bin(number, bytes) });
	BN_free(number);
	return ok;
}

/* Names the key by the digest of its modulus. */
static void name_key(struct twin_keys *k)
{
	unsigned char digest[SEAL_DIGEST_BYTES];
	struct buf modulus, id;

	buf_init(&modulus, TWIN_SIGNATURE_BYTES * 4);
	buf_over(&id, k->id, sizeof k->id);
	ASSERT(put_number(k->signing, OSSL_PKEY_PARAM_RSA_N, &modulus));
	seal_digest(digest, buf_span(&modulus));
	text_base64_url(&id, (struct span){ (char *)digest, 20 });
	buf_free(&modulus);
}

enum fault twin_keys_make(struct twin_keys **out, int64_t wall_ms)
{
	struct twin_keys *k = keys_new();

	k->signing = EVP_RSA_gen(2048u);
	rand_bytes(k->seal, sizeof k->seal);
	if (!k->signing || !make_certificates(k, wall_ms)) {
		twin_keys_free(&k);
		return FAULT_BUG;
	}
	name_key(k);
	*out = k;
	return FAULT_OK;
}

enum fault twin_keys_save(const struct twin_keys *k, struct buf *out)
{
	bool ok = buf_put(out, SPAN("seal ")) && text_hex(out, (struct span){ (const char *)k->seal, sizeof k->seal }) &&
		  buf_put_byte(out, '\n') && put_key(out, k->signing) && buf_put(out, buf_span(&k->key)) && buf_put(out, buf_span(&k->certificate)) &&
		  buf_put(out, buf_span(&k->ca));

	return ok ? FAULT_OK : FAULT_TOO_LARGE;
}

static bool load_seal(struct twin_keys *k, struct span line)
{
	char memory[SEAL_KEY_BYTES];
	struct buf b;
	bool ok;

	buf_over(&b, memory, sizeof memory);
	ok = span_starts(line, SPAN("seal ")) && text_from_hex(&b, span_slice(line, 5, line.size)) && b.size == SEAL_KEY_BYTES;
	if (ok)
		memcpy(k->seal, memory, sizeof k->seal);
	secret_wipe(memory, sizeof memory);
	return ok;
}

static bool lasts(X509 *certificate, int64_t wall_ms)
{
	time_t tomorrow = (time_t)(wall_ms / 1000) + DAY_SECONDS;

	return X509_cmp_time(X509_get0_notAfter(certificate), &tomorrow) > 0;
}

static bool load_rest(struct twin_keys *k, struct span pem, int64_t wall_ms)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
	EVP_PKEY *key;
	X509 *leaf, *ca;
	bool ok;

	ASSERT(bio);
	k->signing = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ok = k->signing && EVP_PKEY_get_size(k->signing) == TWIN_SIGNATURE_BYTES && key && leaf && ca && X509_check_private_key(leaf, key) == 1 &&
	     lasts(leaf, wall_ms) && put_key(&k->key, key) && put_certificate(&k->certificate, leaf) && put_certificate(&k->ca, ca);
	X509_free(ca);
	X509_free(leaf);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok;
}

enum fault twin_keys_load(struct twin_keys **out, struct span saved, int64_t wall_ms)
{
	struct twin_keys *k = keys_new();
	struct span line;

	if (!saved.size || saved.size > (size_t)TWIN_PEM_BYTES * 4 || !span_cut(&saved, '\n', &line) || !load_seal(k, line) || !saved.size ||
	    !load_rest(k, saved, wall_ms)) {
		twin_keys_free(&k);
		return FAULT_MALFORMED;
	}
	name_key(k);
	*out = k;
	return FAULT_OK;
}

struct span twin_keys_ca(const struct twin_keys *k)
{
	return buf_span(&k->ca);
}

struct span twin_keys_certificate(const struct twin_keys *k)
{
	return buf_span(&k->certificate);
}

struct span twin_keys_key(const struct twin_keys *k)
{
	return buf_span(&k->key);
}

struct span twin_keys_seal(const struct twin_keys *k)
{
	return (struct span){ (const char *)k->seal, sizeof k->seal };
}

struct span twin_keys_id(const struct twin_keys *k)
{
	return span_of(k->id);
}

void twin_keys_public(const struct twin_keys *k, struct buf *modulus_out, struct buf *exponent_out)
{
	ASSERT(put_number(k->signing, OSSL_PKEY_PARAM_RSA_N, modulus_out));
	ASSERT(put_number(k->signing, OSSL_PKEY_PARAM_RSA_E, exponent_out));
}

enum fault twin_keys_sign(const struct twin_keys *k, struct span text, unsigned char signature_out[TWIN_SIGNATURE_BYTES])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t size = TWIN_SIGNATURE_BYTES;
	bool ok = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, k->signing) == 1 &&
		  EVP_DigestSign(context, signature_out, &size, (const unsigned char *)text.at, text.size) == 1 && size == TWIN_SIGNATURE_BYTES;

	EVP_MD_CTX_free(context);
	return ok ? FAULT_OK : FAULT_BUG;
}

bool twin_keys_verify(const struct twin_keys *k, struct span text, struct span signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool ok = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, k->signing) == 1 &&
		  EVP_DigestVerify(context, (const unsigned char *)signature.at, signature.size, (const unsigned char *)text.at, text.size) == 1;

	EVP_MD_CTX_free(context);
	return ok;
}
