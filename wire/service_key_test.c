/* Key files as Google makes them, and what is none. */
#include "wire/service_key.h"

#include "base/json.h"
#include "tests/test.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

static char file[8192];

static void put_file(const char *type, const char *email, const char *id, unsigned bits)
{
	EVP_PKEY *key = EVP_RSA_gen(bits);
	BIO *bio = BIO_new(BIO_s_mem());
	json_t *json = json_object();
	struct buf out;
	char *pem;
	long size;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	size = BIO_get_mem_data(bio, &pem);
	json_put_text(json, "type", span_of(type));
	json_put_text(json, "client_email", span_of(email));
	json_put_text(json, "private_key_id", span_of(id));
	json_put_text(json, "private_key", (struct span){ pem, (size_t)size });
	buf_over(&out, file, sizeof file - 1);
	assert_true(json_write(&out, json));
	file[out.size] = 0;
	json_decref(json);
	BIO_free(bio);
	EVP_PKEY_free(key);
}

static void a_file_gives_the_account_and_a_key_that_signs(void **state)
{
	struct service_key k;
	struct buf signature;

	put_file("service_account", "robot@p.iam.gserviceaccount.com", "k1", 2048);
	assert_int_equal(service_key_read(&k, span_of(file)), FAULT_OK);
	assert_span(k.email, "robot@p.iam.gserviceaccount.com");
	assert_span(k.key_id, "k1");
	buf_init(&signature, 1024);
	assert_true(signing_key_sign(k.key, SIGNATURE_RS256, SPAN("text"), &signature));
	assert_int_equal(signature.size, 256);
	buf_free(&signature);
	service_key_free(&k);
}

static void files_that_are_none(void **state)
{
	static const struct {
		const char *type, *email, *id;
		unsigned bits;
	} wrong[] = { { "authorized_user", "a@b", "k", 2048 }, { "service_account", "nobody", "k", 2048 }, { "service_account", "a@b", "", 2048 },
		      { "service_account", "a@b", "k", 1024 } };
	static const char *const texts[] = { "", "{}", "[]", "{\"type\":\"service_account\",\"client_email\":\"a@b\",\"private_key_id\":\"k\",\"private_key\":\"x\"}" };
	struct service_key k;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		put_file(wrong[i].type, wrong[i].email, wrong[i].id, wrong[i].bits);
		assert_int_equal(service_key_read(&k, span_of(file)), FAULT_MALFORMED);
		service_key_free(&k);
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(service_key_read(&k, span_of(texts[i])), FAULT_MALFORMED);
		service_key_free(&k);
	}
}

TESTS(a_file_gives_the_account_and_a_key_that_signs, files_that_are_none)
