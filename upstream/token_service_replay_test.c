/* Tokens that a service account asks for: one for each mailbox, by assertion, and nothing to be kept. */
#include "upstream/token.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/http_server.h"
#include "tests/test.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>

enum { MINUTE_MS = 60 * 1000, MAILBOX = 7 };

static const char refused[] = "{\"error\":\"unauthorized_client\",\"error_description\":\"Client is unauthorized to retrieve access tokens using this method, "
			      "or client not authorized for any of the scopes requested.\"}";

struct bench {
	struct loop *loop;
	struct dns *dns;
	struct http_client *http;
	struct http_server *server;
	struct provider *provider;
	struct tokens *tokens;
	struct timer later;
	size_t asked, refused_from; /* requests; from which one on it says no (0: never) */
	char claims[1024];
	unsigned answers, saves;
	enum fault changed;
	struct token_answer last;
	char last_token[64];
};

static void copy(char *to, size_t size, struct span from)
{
	snprintf(to, size, "%.*s", SPAN_ARGS(from));
}

/* What a service account says of itself, in the clear. */
static void note_assertion(struct bench *b, struct http_exchange *x)
{
	struct buf assertion, claims;
	struct span rest, part;

	buf_init(&assertion, 1 << 16);
	buf_init(&claims, 1 << 16);
	assert_true(http_field(http_seen(x)->body, SPAN("assertion"), &assertion));
	rest = buf_span(&assertion);
	assert_true(span_cut(&rest, '.', &part) && span_cut(&rest, '.', &part) && text_from_base64_url(&claims, part));
	copy(b->claims, sizeof b->claims, buf_span(&claims));
	buf_free(&assertion);
	buf_free(&claims);
}

static void serve(void *self, struct http_exchange *x)
{
	struct bench *b = self;
	char body[256];

	if (span_equal(http_seen(x)->method, SPAN("GET"))) {
		http_answer(x, 200, SPAN("application/json"), NULL, 0,
			    SPAN("{\"issuer\":\"http://127.0.0.1:8080\",\"authorization_endpoint\":\"http://127.0.0.1:8080/authorize\","
				 "\"token_endpoint\":\"http://127.0.0.1:8080/token\"}"));
		return;
	}
	note_assertion(b, x);
	b->asked++;
	if (b->refused_from && b->asked >= b->refused_from) {
		http_answer(x, 401, SPAN("application/json"), NULL, 0, span_of(refused));
		return;
	}
	snprintf(body, sizeof body, "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"access-%zu\"}", b->asked);
	http_answer(x, 200, SPAN("application/json"), NULL, 0, span_of(body));
}

/* --- the vault's side */

static void loaded(void *self)
{
	struct bench *b = self;

	tokens_loaded(b->tokens, MAILBOX, FAULT_OK, &(struct token_kept){ .is_application = true, .address = SPAN("alex@contoso.example") });
}

static void load(void *host, uint64_t mailbox)
{
	timer_after(&((struct bench *)host)->later, 1);
}

static void save(void *host, uint64_t mailbox, const struct token_kept *kept)
{
	((struct bench *)host)->saves++;
}

static struct provider *provider_of(void *host, uint64_t mailbox)
{
	return ((struct bench *)host)->provider;
}

static void changed(void *host, uint64_t mailbox, enum fault fault, struct span why)
{
	((struct bench *)host)->changed = fault;
}

static const struct token_host host = { load, save, provider_of, changed };

static void got(void *self, uint64_t request, const struct token_answer *a)
{
	struct bench *b = self;

	b->answers++;
	b->last = *a;
	copy(b->last_token, sizeof b->last_token, a->access_token);
}

/* The key file of a service account. */
static struct secret *key_file(void)
{
	EVP_PKEY *key = EVP_RSA_gen(2048u);
	BIO *bio = BIO_new(BIO_s_mem());
	json_t *json = json_object();
	struct secret *secret;
	struct buf file;
	char *pem;
	long size;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
	size = BIO_get_mem_data(bio, &pem);
	json_put_text(json, "type", SPAN("service_account"));
	json_put_text(json, "client_email", SPAN("robot@p.iam.gserviceaccount.com"));
	json_put_text(json, "private_key_id", SPAN("k1"));
	json_put_text(json, "private_key", (struct span){ pem, (size_t)size });
	buf_init(&file, 1 << 16);
	assert_true(json_write(&file, json));
	secret = secret_new(buf_span(&file));
	buf_free(&file);
	json_decref(json);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return secret;
}

static void set_up(struct bench *b)
{
	struct provider_row row = { .id = 1, .name = SPAN("p"), .kind = SPAN("google"), .client_id = SPAN("robot@p.iam.gserviceaccount.com"),
				    .issuer = SPAN("http://127.0.0.1:8080"), .smtp_host = SPAN("localhost"), .smtp_tls = -1, .mechanism = -1 };
	const struct http_server_settings settings = { 0 };
	struct address any;

	*b = (struct bench){ 0 };
	world_begin(11, 1750000000000);
	b->loop = loop_new();
	b->dns = dns_new(b->loop, SPAN(""), SPAN(""));
	b->http = http_client_new(b->loop, b->dns, SPAN(""));
	assert_true(address_parse(&any, SPAN("127.0.0.1"), 8080));
	b->server = http_server_new(b->loop, listener_bind(&any, 16), NULL, &settings, serve, b);
	b->provider = provider_new_take(b->loop, b->http, &row, key_file(), NULL);
	timer_init(&b->later, b->loop, loaded, b);
	b->tokens = tokens_new(b->loop, b->http, &host, b);
	tokens_add(b->tokens, MAILBOX, clock_wall_ms(), FAULT_OK, SPAN(""));
}

static void tear_down(struct bench *b)
{
	tokens_free(&b->tokens);
	provider_free(&b->provider);
	timer_stop(&b->later);
	http_server_finish(&b->server);
	world_run_until(world_ms() + MINUTE_MS, NULL, NULL);
	http_client_free(&b->http);
	dns_free(&b->dns);
	loop_free(&b->loop);
	world_end();
}

static enum fault want(struct bench *b, uint64_t refused_generation)
{
	unsigned before = b->answers;

	tokens_want(b->tokens, MAILBOX, refused_generation, got, b, 1);
	world_run_until(world_ms() + 25000, NULL, NULL);
	assert_int_equal(b->answers, before + 1);
	return b->last.fault;
}

static void asks_for_the_mailbox_and_stores_nothing(void **state)
{
	uint64_t generation;
	struct bench b;

	set_up(&b);
	assert_false(provider_has_secret(b.provider));
	assert_non_null(provider_service(b.provider));
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_string_equal(b.last_token, "access-1");
	assert_non_null(strstr(b.claims, "\"iss\":\"robot@p.iam.gserviceaccount.com\""));
	assert_non_null(strstr(b.claims, "\"sub\":\"alex@contoso.example\""));
	assert_non_null(strstr(b.claims, "\"aud\":\"http://127.0.0.1:8080/token\""));
	assert_non_null(strstr(b.claims, "\"scope\":\"https://mail.google.com/\""));
	generation = b.last.generation;
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_int_equal(b.asked, 1);
	world_run_until(world_ms() + 55 * MINUTE_MS, NULL, NULL); /* renewed ahead of its end */
	assert_int_equal(b.asked, 2);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_string_equal(b.last_token, "access-2");
	assert_true(b.last.generation > generation);
	assert_int_equal(b.saves, 0);
	tear_down(&b);
}

static void a_refusal_is_told_and_mended(void **state)
{
	struct bench b;

	set_up(&b);
	b.refused_from = 2;
	assert_int_equal(want(&b, 0), FAULT_OK);
	/* The mail server refuses it, and there is no other to be had. */
	assert_int_equal(want(&b, b.last.generation), FAULT_OAUTH_CLIENT_NOT_ALLOWED);
	assert_int_equal(b.changed, FAULT_OAUTH_CLIENT_NOT_ALLOWED);
	b.refused_from = 0;
	tokens_provider_changed(b.tokens, MAILBOX);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_int_equal(b.changed, FAULT_OK);
	tear_down(&b);
}

TESTS(asks_for_the_mailbox_and_stores_nothing, a_refusal_is_told_and_mended)
