/* tests/vault_idp.h - an identity provider that does what a test tells it: discovery, tokens, device codes, keys.
 *
 * Why       The vault's tests need answers that no real provider gives on demand.
 * Promise   Signs id_tokens with a real key, published in its key set.
 * Owns      What it noted of the requests.
 * Refuses   Nothing. */
#pragma once
#include "tests/test.h"

#include "base/clock.h"
#include "base/text.h"
#include "loop/http_server.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

enum { STAGE_TEXT = 4096 };

/* What the provider does. */
struct stage_idp {
	const char *account, *tenant, *object;  /* who signs in */
	const char *nonce, *wrong_issuer, *audience; /* in place of the right ones, unless NULL */
	int token_status;                       /* 0: 200 */
	const char *token_body;                 /* instead of tokens */
	bool no_refresh, no_id_token, bad_signature, other_key, keys_down, is_mute;
	unsigned pending;                       /* device polls that are answered `authorization_pending` first */
	bool slow_down;
	char grant[80], assertion[4096], secret[64], scope[200]; /* of the last request for a token */
	int64_t refresh_ends_s, refresh_life_s; /* the refresh token ends then, or so long after each refresh; 0: that is not said */
	char seen_nonce[128], challenge[64], redirect[200], verifier[64], refresh_token[64];
	unsigned tokens, polls, discoveries;
	char base[64], issuer[96];              /* where it is, and what it calls itself */
	EVP_PKEY *key;
	struct http_exchange *mute[16];         /* kept without an answer */
	size_t mute_count;
};

static inline void stage_answer_json(struct http_exchange *x, int status, const char *text)
{
	http_answer(x, status, SPAN("application/json"), NULL, 0, span_of(text));
}

static inline void stage_field(struct http_exchange *x, const char *name, char *out, size_t size)
{
	struct buf value;

	buf_init(&value, STAGE_TEXT);
	*out = 0;
	if (http_field(http_seen(x)->body, span_of(name), &value))
		snprintf(out, size, "%.*s", (int)value.size, value.at);
	buf_free(&value);
}

static inline void stage_put_number(struct buf *out, const EVP_PKEY *key, const char *which)
{
	unsigned char bytes[512];
	BIGNUM *n = NULL;
	int size;

	assert_int_equal(EVP_PKEY_get_bn_param(key, which, &n), 1);
	size = BN_bn2bin(n, bytes);
	text_base64_url(out, (struct span){ (char *)bytes, (size_t)size });
	BN_free(n);
}

static inline void stage_keys(struct stage_idp *i, struct http_exchange *x)
{
	struct buf body;

	buf_init(&body, STAGE_TEXT);
	buf_print(&body, "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"%s\",\"n\":\"", i->other_key ? "k2" : "k1");
	stage_put_number(&body, i->key, "n");
	buf_put(&body, SPAN("\",\"e\":\""));
	stage_put_number(&body, i->key, "e");
	buf_put(&body, SPAN("\"}]}"));
	http_answer(x, i->keys_down ? 503 : 200, SPAN("application/json"), NULL, 0, buf_span(&body));
	buf_free(&body);
}

static inline void stage_id_token(struct stage_idp *i, struct buf *out)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char signature[512];
	size_t size = sizeof signature;
	size_t start = out->size;
	struct buf claims;

	buf_init(&claims, STAGE_TEXT);
	buf_print(&claims,
		  "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"s-%s\",\"tid\":\"%s\",\"oid\":\"%s\",\"preferred_username\":\"%s\",\"nonce\":\"%s\","
		  "\"exp\":%lld}",
		  i->wrong_issuer ? i->wrong_issuer : i->issuer, i->audience ? i->audience : "app-1", i->object, i->tenant, i->object, i->account,
		  i->nonce ? i->nonce : i->seen_nonce, (long long)(clock_wall_ms() / 1000 + 3600));
	text_base64_url(out, SPAN("{\"alg\":\"RS256\",\"kid\":\"k1\"}"));
	buf_put_byte(out, '.');
	text_base64_url(out, buf_span(&claims));
	assert_int_equal(EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, i->key), 1);
	assert_int_equal(EVP_DigestSign(digest, signature, &size, (unsigned char *)out->at + start, out->size - start), 1);
	signature[10] ^= i->bad_signature;
	buf_put_byte(out, '.');
	text_base64_url(out, (struct span){ (char *)signature, size });
	EVP_MD_CTX_free(digest);
	buf_free(&claims);
}

static inline void stage_token(struct stage_idp *i, struct http_exchange *x)
{
	struct buf body;

	i->tokens++;
	buf_init(&body, STAGE_TEXT * 2);
	buf_print(&body, "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"access-%u\"", i->tokens);
	if (!i->no_refresh)
		buf_print(&body, ",\"refresh_token\":\"refresh-%u\"", i->tokens);
	if (i->refresh_ends_s || i->refresh_life_s)
		buf_print(&body, ",\"refresh_token_expires_in\":%lld",
			  (long long)(i->refresh_life_s ? i->refresh_life_s : i->refresh_ends_s - clock_wall_ms() / 1000));
	if (!i->no_id_token) {
		buf_put(&body, SPAN(",\"id_token\":\""));
		stage_id_token(i, &body);
		buf_put(&body, SPAN("\""));
	}
	buf_put(&body, SPAN("}"));
	http_answer(x, 200, SPAN("application/json"), NULL, 0, buf_span(&body));
	buf_free(&body);
}

static inline void stage_token_asked(struct stage_idp *i, struct http_exchange *x)
{
	char grant[80];

	stage_field(x, "grant_type", grant, sizeof grant);
	snprintf(i->grant, sizeof i->grant, "%s", grant);
	stage_field(x, "client_assertion", i->assertion, sizeof i->assertion);
	stage_field(x, "client_secret", i->secret, sizeof i->secret);
	stage_field(x, "scope", i->scope, sizeof i->scope);
	stage_field(x, "code_verifier", i->verifier, sizeof i->verifier);
	stage_field(x, "redirect_uri", i->redirect, sizeof i->redirect);
	stage_field(x, "refresh_token", i->refresh_token, sizeof i->refresh_token);
	if (strstr(grant, "device_code")) {
		i->polls++;
		if (i->slow_down) {
			i->slow_down = false;
			stage_answer_json(x, 400, "{\"error\":\"slow_down\"}");
			return;
		}
		if (i->pending) {
			i->pending--;
			stage_answer_json(x, 400, "{\"error\":\"authorization_pending\",\"error_description\":\"AADSTS70016: pending\"}");
			return;
		}
	}
	if (i->is_mute)
		i->mute[i->mute_count++] = x;
	else if (i->token_body)
		stage_answer_json(x, i->token_status, i->token_body);
	else
		stage_token(i, x);
}

static inline void stage_serve(void *self, struct http_exchange *x)
{
	struct stage_idp *i = self;
	struct span path = http_seen(x)->path;

	if (span_equal(path, SPAN("/tenant/v2.0/.well-known/openid-configuration"))) {
		char text[STAGE_TEXT];

		i->discoveries++;
		snprintf(text, sizeof text,
			 "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/authorize\",\"token_endpoint\":\"%s/token\","
			 "\"device_authorization_endpoint\":\"%s/devicecode\",\"jwks_uri\":\"%s/keys\"}",
			 i->issuer, i->base, i->base, i->base, i->base);
		stage_answer_json(x, 200, text);
	} else if (span_equal(path, SPAN("/token"))) {
		stage_token_asked(i, x);
	} else if (span_equal(path, SPAN("/keys"))) {
		stage_keys(i, x);
	} else if (span_equal(path, SPAN("/devicecode"))) {
		stage_answer_json(x, 200,
				  "{\"user_code\":\"FJAUPGYY2\",\"device_code\":\"DAQ\",\"verification_uri\":\"https://microsoft.com/devicelogin\","
				  "\"expires_in\":900,\"interval\":5,\"message\":\"To sign in, use a web browser\"}");
	} else {
		stage_answer_json(x, 404, "{}");
	}
}
