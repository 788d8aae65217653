#include "base/signing_key.h"

#include "tests/app_certificate.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

static void number_of(EVP_PKEY *key, const char *name, unsigned char *out, struct span *span_out)
{
	BIGNUM *n = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, name, &n), 1);
	*span_out = (struct span){ (char *)out, (size_t)BN_bn2bin(n, out) };
	BN_free(n);
}

/* Checked by the reader of signatures, which the standards' own examples prove. */
static void what_it_signs_is_verified(void **state)
{
	struct app_certificate *m = app_certificate_make(EVP_RSA_gen(2048));
	unsigned char n_bytes[1024], e_bytes[16];
	struct signing_key *k;
	struct span n, e, text = SPAN("header.claims");
	char why[256] = "";
	struct buf signature;

	number_of(m->key, OSSL_PKEY_PARAM_RSA_N, n_bytes, &n);
	number_of(m->key, OSSL_PKEY_PARAM_RSA_E, e_bytes, &e);
	buf_init(&signature, 4096);
	assert_int_equal(signing_key_read(&k, span_of(m->both), true, why), FAULT_OK);
	assert_true(signing_key_sign(k, SIGNATURE_PS256, text, &signature));
	assert_true(signature_rsa(SIGNATURE_PS256, n, e, text, buf_span(&signature)));
	assert_false(signature_rsa(SIGNATURE_RS256, n, e, text, buf_span(&signature)));
	buf_clear(&signature);
	assert_true(signing_key_sign(k, SIGNATURE_RS256, text, &signature));
	assert_true(signature_rsa(SIGNATURE_RS256, n, e, text, buf_span(&signature)));
	assert_int_equal(signing_key_thumbprint(k).size, 32);
	assert_int_equal(signing_key_ends_ms(k), INT64_C(1893456000000));
	buf_free(&signature);
	signing_key_free(&k);
	assert_int_equal(signing_key_read(&k, span_of(m->key_pem), false, why), FAULT_OK);
	signing_key_free(&k);
	app_certificate_free(m);
}

static void what_does_not_belong_together_is_refused(void **state)
{
	struct app_certificate *m = app_certificate_make(EVP_RSA_gen(2048)), *other = app_certificate_make(EVP_RSA_gen(2048)), *small = app_certificate_make(EVP_RSA_gen(1024)), *curve = app_certificate_make(EVP_EC_gen("P-256"));
	char mixed[16384], sealed[8192], why[256];
	struct signing_key *k;
	BIO *bio = BIO_new(BIO_s_mem());

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, m->key, EVP_aes_256_cbc(), "word", 4, NULL, NULL), 1);
	app_certificate_text(bio, sealed, sizeof sealed);
	snprintf(mixed, sizeof mixed, "%s%s", m->certificate_pem, other->key_pem);
	const struct {
		const char *pem, *says;
	} cases[] = {
		{ mixed, "another key" },
		{ m->key_pem, "no certificate" },
		{ m->certificate_pem, "no private key" },
		{ sealed, "passphrase" },
		{ small->both, "2048" },
		{ curve->both, "RSA" },
		{ "", "no private key" },
		{ "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(signing_key_read(&k, span_of(cases[i].pem), true, why), FAULT_MALFORMED);
		assert_null(k);
		if (!strstr(why, cases[i].says))
			fail_msg("case %zu: %s", i, why);
	}
	app_certificate_free(m);
	app_certificate_free(other);
	app_certificate_free(small);
	app_certificate_free(curve);
}

TESTS(what_it_signs_is_verified, what_does_not_belong_together_is_refused)
