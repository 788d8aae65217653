/* tests/app_certificate.h - for tests: a key with a certificate of its own signing, as an application registers it.
 *
 * Why       No secret stands in the repository: tests make their own.
 * Promise   PEM texts of both; the certificate serves from 2025 to 2030.
 * Owns      The key, until app_certificate_free().
 * Refuses   Nothing. */
#pragma once
#include "tests/test.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

struct app_certificate {
	EVP_PKEY *key;
	char key_pem[8192], certificate_pem[8192], both[16384];
};

static inline void app_certificate_text(BIO *bio, char *out, size_t size)
{
	char *at;
	long length = BIO_get_mem_data(bio, &at);

	assert_true(length > 0 && (size_t)length < size);
	memcpy(out, at, (size_t)length);
	out[length] = 0;
	BIO_free(bio);
}

static inline X509 *app_certificate_certify(EVP_PKEY *key)
{
	X509 *certificate = X509_new();

	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate), "20250101000000Z");
	ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), "20300101000000Z");
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)"app", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	return certificate;
}

static inline struct app_certificate *app_certificate_make(EVP_PKEY *key)
{
	struct app_certificate *m = calloc(1, sizeof *m);
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *certificate = app_certificate_certify(key);

	m->key = key;
	assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	app_certificate_text(bio, m->key_pem, sizeof m->key_pem);
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	app_certificate_text(bio, m->certificate_pem, sizeof m->certificate_pem);
	X509_free(certificate);
	snprintf(m->both, sizeof m->both, "%s%s", m->certificate_pem, m->key_pem);
	return m;
}

static inline void app_certificate_free(struct app_certificate *m)
{
	EVP_PKEY_free(m->key);
	free(m);
}
