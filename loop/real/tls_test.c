/* Contexts: what certificates and bundles are taken, and which versions are spoken. */
#include "loop/real/inner.h"
#include "loop/real/test_end.h"
#include "loop/real/test_pki.h"

#include "base/clock.h"

static void a_certificate_needs_its_key(void **state)
{
	struct test_pki pki;
	struct test_leaf one, other;
	struct tls *tls;
	const char *why = NULL;

	test_pki_init(&pki);
	one = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	other = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	struct tls_server_settings rows[] = {
		{ one.certificate_pem, other.key_pem, .lowest = TLS_VERSION_1_2 },
		{ one.certificate_pem, { "", 0 }, .lowest = TLS_VERSION_1_2 },
		{ { "", 0 }, one.key_pem, .lowest = TLS_VERSION_1_2 },
		{ one.key_pem, one.key_pem, .lowest = TLS_VERSION_1_2 },
		{ one.certificate_pem, one.key_pem, other.certificate_pem, one.key_pem, TLS_VERSION_1_2 },
		{ one.certificate_pem, one.key_pem, .lowest = TLS_VERSION_1_2,
		  .alpn = { "a name of thirty-two bytes or more", 34 } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(tls_server_new(&tls, &rows[i], &why), FAULT_TLS_FAILED);
		assert_null(tls);
		assert_true(strlen(why) > 0);
	}
	assert_int_equal(tls_server_new(&tls, &rows[0], NULL), FAULT_TLS_FAILED);
	rows[0].key_pem = one.key_pem;
	assert_int_equal(tls_server_new(&tls, &rows[0], &why), FAULT_OK);
	assert_true(llabs(tls_ends_at_ms(tls) - clock_wall_ms() - 30LL * 86400 * 1000) < 60 * 1000);
	tls_hold(tls);
	struct tls *again = tls;
	tls_drop(&again);
	assert_null(again);
	tls_drop(&tls);
	test_pki_free(&pki);
}

static void a_client_certificate_needs_its_key(void **state)
{
	struct test_pki pki;
	struct test_leaf one, other;
	struct tls *trusting, *tls;
	const char *why = NULL;

	test_pki_init(&pki);
	one = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	other = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	const struct test_leaf rows[] = { { one.certificate_pem, other.key_pem }, { one.certificate_pem, { "", 0 } }, { { "", 0 }, one.key_pem },
					  { one.key_pem, one.key_pem } };

	assert_int_equal(tls_client_new(&trusting, pki.root_pem, NULL), FAULT_OK);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(tls_client_certified(&tls, trusting, rows[i].certificate_pem, rows[i].key_pem, &why), FAULT_TLS_FAILED);
		assert_null(tls);
		assert_true(strlen(why) > 0);
	}
	assert_int_equal(tls_client_certified(&tls, trusting, one.certificate_pem, one.key_pem, &why), FAULT_OK);
	assert_true(llabs(tls_ends_at_ms(tls) - clock_wall_ms() - 30LL * 86400 * 1000) < 60 * 1000);
	assert_int_equal(tls_ends_at_ms(trusting), 0);
	tls_drop(&trusting);
	tls_drop(&tls);
	test_pki_free(&pki);
}

static void a_key_with_a_password_is_refused(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	struct test_pki pki;
	struct test_leaf leaf;
	struct tls *tls;
	const char *why;

	test_pki_init(&pki);
	leaf = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	PEM_write_bio_PrivateKey(bio, key, EVP_aes_128_cbc(), (const unsigned char *)"pass", 4, NULL, NULL);
	assert_int_equal(tls_server_new(&tls,
					&(struct tls_server_settings){ leaf.certificate_pem, test_pki_keep(&pki, bio) },
					&why),
			 FAULT_TLS_FAILED);
	assert_non_null(strstr(why, "password"));
	EVP_PKEY_free(key);
	test_pki_free(&pki);
}

static void an_empty_bundle_trusts_nobody(void **state)
{
	struct tls *tls;
	const char *why;

	assert_int_equal(tls_client_new(&tls, SPAN(""), &why), FAULT_TLS_FAILED);
	assert_int_equal(tls_client_new(&tls, SPAN("# only a comment\n"), &why), FAULT_TLS_FAILED);
	assert_string_equal(why, "the CA bundle holds no certificate");
}

/* --- versions, spoken by a client that we did not write the rules of */

struct talk {
	struct tls *tls;
	struct buf to_client;
	struct cipher *server;
	SSL *client;
	BIO *in, *out;
};

static void talk_begin(struct talk *t, struct tls *tls, SSL_CTX *client)
{
	t->tls = tls;
	buf_init(&t->to_client, 1 << 20);
	t->server = cipher_server_new(tls, &t->to_client);
	t->client = SSL_new(client);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	SSL_set_bio(t->client, t->in, t->out);
	SSL_set_connect_state(t->client);
}

static void talk_end(struct talk *t)
{
	SSL_free(t->client);
	cipher_free(&t->server);
	buf_free(&t->to_client);
}

static bool talk_shakes(struct talk *t)
{
	for (int i = 0; i < 10; i++) {
		char *data;
		long size;

		SSL_do_handshake(t->client);
		size = BIO_get_mem_data(t->out, &data);
		cipher_feed(t->server, (struct span){ data, (size_t)size });
		if (cipher_shake(t->server) != FAULT_OK)
			return false;
		(void)!BIO_reset(t->out);
		BIO_write(t->in, t->to_client.at, (int)t->to_client.size);
		buf_clear(&t->to_client);
		if (SSL_is_init_finished(t->client) && cipher_is_open(t->server))
			return true;
	}
	return false;
}

static SSL_CTX *client_of(int version)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());

	SSL_CTX_set_cipher_list(c, "ALL:@SECLEVEL=0");
	SSL_CTX_set_security_level(c, 0);
	SSL_CTX_set_min_proto_version(c, version);
	SSL_CTX_set_max_proto_version(c, version);
	return c;
}

static bool speaks(enum tls_version lowest, const struct test_leaf *ec, const struct test_leaf *rsa, int version,
		   bool rsa_alone)
{
	struct tls_server_settings s = { ec->certificate_pem, ec->key_pem, rsa->certificate_pem, rsa->key_pem, lowest };
	SSL_CTX *client = client_of(version);
	struct talk t;
	struct tls *tls;
	bool good;

	assert_int_equal(tls_server_new(&tls, &s, NULL), FAULT_OK);
	if (rsa_alone)
		SSL_CTX_set_cipher_list(client, "AES128-SHA:@SECLEVEL=0");
	talk_begin(&t, tls, client);
	good = talk_shakes(&t);
	talk_end(&t);
	tls_drop(&tls);
	SSL_CTX_free(client);
	return good;
}

static void lowest_versions(void **state)
{
	static const int versions[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
	struct test_pki pki;
	struct test_leaf ec, rsa;

	test_pki_init(&pki);
	ec = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	rsa = test_pki_leaf(&pki, &(struct test_flaw){ .rsa = true });
	for (unsigned lowest = 0; lowest < 4; lowest++)
		for (unsigned v = 0; v < 4; v++)
			if (speaks((enum tls_version)lowest, &ec, &rsa, versions[v], false) != (v >= lowest))
				fail_msg("lowest %u, client %u", lowest, v);
	/* the oldest scanners: TLS 1.0, RSA alone, CBC */
	assert_true(speaks(TLS_VERSION_1_0, &ec, &rsa, TLS1_VERSION, true));
	assert_false(speaks(TLS_VERSION_1_2, &ec, &rsa, TLS1_VERSION, true));
	test_pki_free(&pki);
}

/* T-STARTTLS 9, the part that a context decides */
static void t_starttls_09_nothing_weak(void **state)
{
	static const char *const suites[] = { "eNULL", "aNULL", "EXPORT", "RC4", "3DES", "PSK", "MD5", "kDHr" };
	struct test_pki pki;
	struct test_leaf ec, rsa;

	test_pki_init(&pki);
	ec = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	rsa = test_pki_leaf(&pki, &(struct test_flaw){ .rsa = true });
	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		for (unsigned lowest = 0; lowest < 3; lowest++) {
			struct tls_server_settings s = { ec.certificate_pem, ec.key_pem, rsa.certificate_pem,
							 rsa.key_pem, (enum tls_version)lowest };
			char list[32];
			SSL_CTX *client = client_of(TLS1_2_VERSION);
			struct talk t;
			struct tls *tls;

			snprintf(list, sizeof list, "%s:@SECLEVEL=0", suites[i]);
			if (SSL_CTX_set_cipher_list(client, list) == 1) {
				assert_int_equal(tls_server_new(&tls, &s, NULL), FAULT_OK);
				talk_begin(&t, tls, client);
				assert_false(talk_shakes(&t));
				talk_end(&t);
				tls_drop(&tls);
			}
			SSL_CTX_free(client);
		}
	test_pki_free(&pki);
}

static void t_starttls_09_renegotiation_is_refused(void **state)
{
	struct test_pki pki;
	struct test_leaf ec;
	SSL_CTX *client = client_of(TLS1_2_VERSION);
	struct tls *tls;
	struct talk t;
	char byte;

	test_pki_init(&pki);
	ec = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	assert_int_equal(tls_server_new(&tls, &(struct tls_server_settings){ ec.certificate_pem, ec.key_pem }, NULL),
			 FAULT_OK);
	talk_begin(&t, tls, client);
	assert_true(talk_shakes(&t));
	SSL_renegotiate(t.client);
	SSL_do_handshake(t.client);
	char *data;
	long size = BIO_get_mem_data(t.out, &data);
	size_t got;

	assert_true(size > 0);
	cipher_feed(t.server, (struct span){ data, (size_t)size });
	(void)!cipher_read(t.server, &byte, 1, &got);
	BIO_write(t.in, t.to_client.at, (int)t.to_client.size);
	assert_int_not_equal(SSL_do_handshake(t.client), 1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
	talk_end(&t);
	tls_drop(&tls);
	SSL_CTX_free(client);
	test_pki_free(&pki);
}

TESTS(a_certificate_needs_its_key, a_client_certificate_needs_its_key, a_key_with_a_password_is_refused, an_empty_bundle_trusts_nobody, lowest_versions,
      t_starttls_09_nothing_weak, t_starttls_09_renegotiation_is_refused)
