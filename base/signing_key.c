#include "base/signing_key.h"

#include "base/panic.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

enum { BITS_LEAST = 2048, BITS_MOST = 8192, WHY_BYTES = 256, SIGNATURE_BYTES_MAX = BITS_MOST / 8, PEM_BYTES_MAX = 64 * 1024 };

struct signing_key {
	EVP_PKEY *key;
	unsigned char thumbprint[EVP_MAX_MD_SIZE];
	unsigned thumbprint_bytes;
	int64_t ends_ms;
};

static enum fault wrong(char *why_out, const char *why)
{
	snprintf(why_out, WHY_BYTES, "%s", why);
	return FAULT_MALFORMED;
}

/* Asked for a passphrase, it has none: it never prompts. */
static int no_passphrase(char *out, int size, int is_writing, void *self)
{
	(void)out, (void)size, (void)is_writing, (void)self;
	return -1;
}

static BIO *bio_of(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);

	if (!bio)
		panic("out of memory");
	return bio;
}

static int64_t wall_ms_of(const ASN1_TIME *time)
{
	struct tm tm = { 0 };

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

static enum fault take_certificate(struct signing_key *k, struct span pem, char *why_out)
{
	BIO *bio = bio_of(pem);
	X509 *certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
	enum fault fault = FAULT_OK;

	BIO_free(bio);
	if (!certificate)
		return wrong(why_out, "there is no certificate in it (-----BEGIN CERTIFICATE-----)");
	if (X509_check_private_key(certificate, k->key) != 1)
		fault = wrong(why_out, "the certificate is of another key");
	else if (X509_digest(certificate, EVP_sha256(), k->thumbprint, &k->thumbprint_bytes) != 1)
		fault = wrong(why_out, "the certificate cannot be read");
	k->ends_ms = wall_ms_of(X509_get0_notAfter(certificate));
	X509_free(certificate);
	return fault;
}

enum fault signing_key_read(struct signing_key **out, struct span pem, bool wants_certificate, char *why_out)
{
	struct signing_key *k;
	BIO *bio;
	enum fault fault = FAULT_OK;

	*out = NULL;
	if (pem.size > PEM_BYTES_MAX)
		return wrong(why_out, "it is longer than any key");
	k = calloc(1, sizeof *k);
	if (!k)
		panic("out of memory");
	bio = bio_of(pem);
	k->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	if (!k->key)
		fault = wrong(why_out, "there is no private key in it that opens without a passphrase (-----BEGIN PRIVATE KEY-----)");
	else if (!EVP_PKEY_is_a(k->key, "RSA") || EVP_PKEY_get_bits(k->key) < BITS_LEAST || EVP_PKEY_get_bits(k->key) > BITS_MOST)
		fault = wrong(why_out, "an RSA key of 2048 to 8192 bits is needed");
	if (!fault && wants_certificate)
		fault = take_certificate(k, pem, why_out);
	if (fault)
		signing_key_free(&k);
	*out = k;
	return fault;
}

void signing_key_free(struct signing_key **k)
{
	if (!*k)
		return;
	EVP_PKEY_free((*k)->key);
	free(*k);
	*k = NULL;
}

struct signing_key *signing_key_copy(const struct signing_key *k)
{
	struct signing_key *copy = malloc(sizeof *copy);

	if (!copy)
		panic("out of memory");
	*copy = *k;
	EVP_PKEY_up_ref(copy->key);
	return copy;
}

bool signing_key_sign(const struct signing_key *k, enum signature_kind kind, struct span text, struct buf *out)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	EVP_PKEY_CTX *context = NULL;
	unsigned char signature[SIGNATURE_BYTES_MAX];
	size_t size = sizeof signature;
	bool good = digest && EVP_DigestSignInit(digest, &context, EVP_sha256(), NULL, k->key) == 1;

	if (good && kind == SIGNATURE_PS256)
		good = EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
		       EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
	good = good && EVP_DigestSign(digest, signature, &size, (const unsigned char *)text.at, text.size) == 1;
	EVP_MD_CTX_free(digest);
	if (!good)
		panic("a key that was read does not sign");
	return buf_put(out, (struct span){ (char *)signature, size });
}

struct span signing_key_thumbprint(const struct signing_key *k)
{
	return (struct span){ (const char *)k->thumbprint, k->thumbprint_bytes };
}

int64_t signing_key_ends_ms(const struct signing_key *k)
{
	return k->ends_ms;
}
