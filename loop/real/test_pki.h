/* loop/real/test_pki.h - for tests: a certificate authority of one's own, and certificates with every flaw.
 *
 * Why       What must be refused has to be made first.
 * Promise   Everything is made anew in memory; no file is read.
 * Owns      The texts it returns, until test_pki_free().
 * Refuses   Nothing. */
#pragma once
#include "tests/test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct test_pki {
	EVP_PKEY *key;
	X509 *root;
	struct span root_pem;
	char *texts[64];
	size_t text_count;
};

struct test_leaf {
	struct span certificate_pem, key_pem;
};

/* What is wrong with a certificate; zeroed, nothing is. */
struct test_flaw {
	const char *names; /* subject alternative names, as "DNS:a.example, IP:127.0.0.1"; "DNS:localhost, IP:127.0.0.1"
			      when NULL */
	const char *common_name;
	struct span raw_name;       /* a DNS name with any bytes, instead of `names` */
	const char *usage;          /* "serverAuth" when NULL */
	int starts_days, ends_days; /* from now; -1 and 30 when both are 0 */
	bool self_signed, rsa, sha1;
};

static inline struct span test_pki_keep(struct test_pki *p, BIO *bio)
{
	char *data;
	long size = BIO_get_mem_data(bio, &data);
	char *text = malloc((size_t)size + 1);

	memcpy(text, data, (size_t)size);
	text[size] = '\0';
	BIO_free(bio);
	assert_true(p->text_count < 64);
	p->texts[p->text_count++] = text;
	return (struct span){ text, (size_t)size };
}

static inline struct span test_pki_pem(struct test_pki *p, X509 *certificate, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (certificate)
		PEM_write_bio_X509(bio, certificate);
	if (key)
		PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	return test_pki_keep(p, bio);
}

static inline void test_pki_extend(X509 *x, X509 *issuer, int which, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;

	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &context, which, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

static inline void test_pki_raw_name(X509 *x, struct span name)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *one = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	ASN1_STRING_set(text, name.at, (int)name.size);
	GENERAL_NAME_set0_value(one, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, one);
	X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0);
	GENERAL_NAMES_free(names);
}

static inline X509 *test_pki_blank(EVP_PKEY *key, const char *common_name, int starts_days, int ends_days)
{
	static long serial;
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), starts_days * 86400L);
	X509_gmtime_adj(X509_getm_notAfter(x), ends_days * 86400L);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
				   -1, -1, 0);
	X509_set_pubkey(x, key);
	return x;
}

static inline void test_pki_init(struct test_pki *p)
{
	*p = (struct test_pki){ .key = EVP_EC_gen("P-256") };
	p->root = test_pki_blank(p->key, "Test Root", -2, 60);
	X509_set_issuer_name(p->root, X509_get_subject_name(p->root));
	test_pki_extend(p->root, p->root, NID_basic_constraints, "critical,CA:TRUE");
	test_pki_extend(p->root, p->root, NID_key_usage, "critical,keyCertSign");
	X509_sign(p->root, p->key, EVP_sha256());
	p->root_pem = test_pki_pem(p, p->root, NULL);
}

static inline void test_pki_free(struct test_pki *p)
{
	X509_free(p->root);
	EVP_PKEY_free(p->key);
	while (p->text_count)
		free(p->texts[--p->text_count]);
}

static inline struct test_leaf test_pki_leaf(struct test_pki *p, const struct test_flaw *f)
{
	EVP_PKEY *key = f->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
	bool default_days = !f->starts_days && !f->ends_days;
	X509 *x = test_pki_blank(key, f->common_name ? f->common_name : "leaf", default_days ? -1 : f->starts_days,
				 default_days ? 30 : f->ends_days);
	X509 *issuer = f->self_signed ? x : p->root;
	struct test_leaf leaf;

	X509_set_issuer_name(x, X509_get_subject_name(issuer));
	if (f->raw_name.size)
		test_pki_raw_name(x, f->raw_name);
	else
		test_pki_extend(x, issuer, NID_subject_alt_name, f->names ? f->names : "DNS:localhost, IP:127.0.0.1");
	test_pki_extend(x, issuer, NID_ext_key_usage, f->usage ? f->usage : "serverAuth");
	X509_sign(x, f->self_signed ? key : p->key, f->sha1 ? EVP_sha1() : EVP_sha256());
	leaf = (struct test_leaf){ test_pki_pem(p, x, NULL), test_pki_pem(p, NULL, key) };
	X509_free(x);
	EVP_PKEY_free(key);
	return leaf;
}
