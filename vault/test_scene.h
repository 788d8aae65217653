/* vault/test_scene.h - a vault, on virtual time unless SCENE_REAL is defined, with an identity provider, a gate, a post and a desk that the test speaks for.
 *
 * Why       The tests of the role share a world; each of them should hold its story and nothing else.
 * Promise   scene_call() and its kin return when the answer is there; the provider does what `idp` says.
 * Owns      The world, until scene_end().
 * Refuses   Stories that wait for ever: an answer that does not come within ten virtual minutes fails the test. */
#pragma once
#include "tests/test.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/text.h"
#include "base/trail.h"
#include "identity/grant.h"
#ifndef SCENE_REAL
#include "loop/fake/world.h"
#endif
#include "loop/http_server.h"
#include "loop/role.h"
#include "loop/stream.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdarg.h>
#include <stdlib.h>

enum { SCENE_WALL_S = 1750000000, SCENE_WAIT_MS = 10 * 60 * 1000, SCENE_TEXT = 4096, SCENE_PORT = 9000 };

#define SCENE_KEY "0123456789abcdef0123456789abcdef"
#define SCENE_MAC "fedcba9876543210fedcba9876543210"

/* What the provider does. */
struct scene_idp {
	const char *account, *tenant, *object;  /* who signs in */
	const char *nonce, *issuer, *audience;  /* in place of the right ones, unless NULL */
	int token_status;                       /* 0: 200 */
	const char *token_body;                 /* instead of tokens */
	bool no_refresh, no_id_token, bad_signature, other_key, keys_down, is_mute;
	unsigned pending;                       /* device polls that are answered `authorization_pending` first */
	bool slow_down;
	char seen_nonce[128], challenge[64], redirect[200], verifier[64], refresh_token[64];
	unsigned tokens, polls, discoveries;
};

struct scene {
	struct loop *vault_loop, *outside; /* one and the same where time is real */
	char folder[64], base[64], issuer[96];
	uint16_t port;
	void *vault;
	struct config config;
	struct http_server *server;
	EVP_PKEY *key;
	struct scene_idp idp;
	struct http_exchange *mute[16];
	size_t mute_count;
	struct link *gate, *post, *desk;
	struct span key_file;
	bool is_ready, is_drained;
	enum fault start_fault;
	char why[256];

	uint64_t request;
	bool is_answered;
	enum fault fault;
	char answer_why[1024];
	json_t *result;

	bool is_authorized;
	enum fault authorized;
	struct buf grant_bytes;
	struct arena *arena;
	struct grant grant;
	uint64_t session;

	bool has_token;
	struct message_token token;
	char access_token[256], token_why[600], token_host[100], token_user[200], token_tenant[200];

	bool has_segment;
	enum fault segment_fault;
	char segment_key[64], segment_wrapped[256];
	size_t segment_key_size, segment_wrapped_size;

	unsigned mended, states, rotations, gate_revoked, post_revoked;
	int64_t revoked_at_ms;
	uint64_t mended_mailbox;
	bool state_enabled;
	bool rewraps; /* post answers a rotation at once */
};

/* --- the provider */

static inline void scene_answer_json(struct http_exchange *x, int status, const char *text)
{
	http_answer(x, status, SPAN("application/json"), NULL, 0, span_of(text));
}

static inline void scene_field(struct http_exchange *x, const char *name, char *out, size_t size)
{
	struct buf value;

	buf_init(&value, SCENE_TEXT);
	*out = 0;
	if (http_field(http_seen(x)->body, span_of(name), &value))
		snprintf(out, size, "%.*s", (int)value.size, value.at);
	buf_free(&value);
}

static inline void scene_put_number(struct buf *out, const EVP_PKEY *key, const char *which)
{
	unsigned char bytes[512];
	BIGNUM *n = NULL;
	int size;

	assert_int_equal(EVP_PKEY_get_bn_param(key, which, &n), 1);
	size = BN_bn2bin(n, bytes);
	text_base64_url(out, (struct span){ (char *)bytes, (size_t)size });
	BN_free(n);
}

static inline void scene_keys(struct scene *s, struct http_exchange *x)
{
	struct buf body;

	buf_init(&body, SCENE_TEXT);
	buf_print(&body, "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"kid\":\"%s\",\"n\":\"", s->idp.other_key ? "k2" : "k1");
	scene_put_number(&body, s->key, "n");
	buf_put(&body, SPAN("\",\"e\":\""));
	scene_put_number(&body, s->key, "e");
	buf_put(&body, SPAN("\"}]}"));
	http_answer(x, s->idp.keys_down ? 503 : 200, SPAN("application/json"), NULL, 0, buf_span(&body));
	buf_free(&body);
}

static inline void scene_id_token(struct scene *s, struct buf *out)
{
	const struct scene_idp *i = &s->idp;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char signature[512];
	size_t size = sizeof signature;
	size_t start = out->size;
	struct buf claims;

	buf_init(&claims, SCENE_TEXT);
	buf_print(&claims,
		  "{\"iss\":\"%s\",\"aud\":\"%s\",\"sub\":\"s-%s\",\"tid\":\"%s\",\"oid\":\"%s\",\"preferred_username\":\"%s\",\"nonce\":\"%s\","
		  "\"exp\":%lld}",
		  i->issuer ? i->issuer : s->issuer, i->audience ? i->audience : "app-1", i->object, i->tenant, i->object, i->account,
		  i->nonce ? i->nonce : i->seen_nonce, (long long)(clock_wall_ms() / 1000 + 3600));
	text_base64_url(out, SPAN("{\"alg\":\"RS256\",\"kid\":\"k1\"}"));
	buf_put_byte(out, '.');
	text_base64_url(out, buf_span(&claims));
	assert_int_equal(EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, s->key), 1);
	assert_int_equal(EVP_DigestSign(digest, signature, &size, (unsigned char *)out->at + start, out->size - start), 1);
	signature[10] ^= i->bad_signature;
	buf_put_byte(out, '.');
	text_base64_url(out, (struct span){ (char *)signature, size });
	EVP_MD_CTX_free(digest);
	buf_free(&claims);
}

static inline void scene_token(struct scene *s, struct http_exchange *x)
{
	struct scene_idp *i = &s->idp;
	struct buf body;

	i->tokens++;
	buf_init(&body, SCENE_TEXT * 2);
	buf_print(&body, "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"access-%u\"", i->tokens);
	if (!i->no_refresh)
		buf_print(&body, ",\"refresh_token\":\"refresh-%u\"", i->tokens);
	if (!i->no_id_token) {
		buf_put(&body, SPAN(",\"id_token\":\""));
		scene_id_token(s, &body);
		buf_put(&body, SPAN("\""));
	}
	buf_put(&body, SPAN("}"));
	http_answer(x, 200, SPAN("application/json"), NULL, 0, buf_span(&body));
	buf_free(&body);
}

static inline void scene_token_asked(struct scene *s, struct http_exchange *x)
{
	struct scene_idp *i = &s->idp;
	char grant[80];

	scene_field(x, "grant_type", grant, sizeof grant);
	scene_field(x, "code_verifier", i->verifier, sizeof i->verifier);
	scene_field(x, "redirect_uri", i->redirect, sizeof i->redirect);
	scene_field(x, "refresh_token", i->refresh_token, sizeof i->refresh_token);
	if (strstr(grant, "device_code")) {
		i->polls++;
		if (i->slow_down) {
			i->slow_down = false;
			scene_answer_json(x, 400, "{\"error\":\"slow_down\"}");
			return;
		}
		if (i->pending) {
			i->pending--;
			scene_answer_json(x, 400, "{\"error\":\"authorization_pending\",\"error_description\":\"AADSTS70016: pending\"}");
			return;
		}
	}
	if (i->is_mute)
		s->mute[s->mute_count++] = x;
	else if (i->token_body)
		scene_answer_json(x, i->token_status, i->token_body);
	else
		scene_token(s, x);
}

static inline void scene_serve(void *self, struct http_exchange *x)
{
	struct scene *s = self;
	struct span path = http_seen(x)->path;

	if (span_equal(path, SPAN("/tenant/v2.0/.well-known/openid-configuration"))) {
		char text[SCENE_TEXT];

		s->idp.discoveries++;
		snprintf(text, sizeof text,
			 "{\"issuer\":\"%s\",\"authorization_endpoint\":\"%s/authorize\",\"token_endpoint\":\"%s/token\","
			 "\"device_authorization_endpoint\":\"%s/devicecode\",\"jwks_uri\":\"%s/keys\"}",
			 s->issuer, s->base, s->base, s->base, s->base);
		scene_answer_json(x, 200, text);
	} else if (span_equal(path, SPAN("/token"))) {
		scene_token_asked(s, x);
	} else if (span_equal(path, SPAN("/keys"))) {
		scene_keys(s, x);
	} else if (span_equal(path, SPAN("/devicecode"))) {
		scene_answer_json(x, 200,
				  "{\"user_code\":\"FJAUPGYY2\",\"device_code\":\"DAQ\",\"verification_uri\":\"https://microsoft.com/devicelogin\","
				  "\"expires_in\":900,\"interval\":5,\"message\":\"To sign in, use a web browser\"}");
	} else {
		scene_answer_json(x, 404, "{}");
	}
}

/* --- the other roles */

static inline void scene_copy(char *to, size_t size, struct span from)
{
	snprintf(to, size, "%.*s", SPAN_ARGS(from));
}

static inline void scene_on_answer(struct scene *s, const struct message_answer *m)
{
	if (m->request != s->request)
		return;
	s->is_answered = true;
	s->fault = (enum fault)m->fault;
	scene_copy(s->answer_why, sizeof s->answer_why, m->why);
	json_decref(s->result);
	s->result = json_read(m->result, MESSAGE_BYTES_MAX);
}

static inline void scene_on_token(struct scene *s, const struct message_token *m)
{
	s->has_token = true;
	s->token = *m;
	scene_copy(s->access_token, sizeof s->access_token, m->token);
	scene_copy(s->token_why, sizeof s->token_why, m->why);
	scene_copy(s->token_host, sizeof s->token_host, m->host);
	scene_copy(s->token_user, sizeof s->token_user, m->user);
	scene_copy(s->token_tenant, sizeof s->token_tenant, m->tenant);
}

static inline void scene_on_segment(struct scene *s, const struct message_segment_key *m)
{
	s->has_segment = true;
	s->segment_fault = (enum fault)m->fault;
	s->segment_key_size = m->key.size;
	s->segment_wrapped_size = m->wrapped.size;
	memcpy(s->segment_key, m->key.at, m->key.size);
	memcpy(s->segment_wrapped, m->wrapped.at, m->wrapped.size);
}

static inline void scene_on_authorized(struct scene *s, const struct message_authorized *m)
{
	s->is_authorized = true;
	s->authorized = (enum fault)m->fault;
	buf_clear(&s->grant_bytes);
	buf_put(&s->grant_bytes, m->grant);
}

static inline void scene_on_message(void *self, struct link *link, const struct message *m)
{
	struct scene *s = self;

	switch (m->type) {
	case MESSAGE_answer: scene_on_answer(s, &m->answer); break;
	case MESSAGE_authorized: scene_on_authorized(s, &m->authorized); break;
	case MESSAGE_token: scene_on_token(s, &m->token); break;
	case MESSAGE_segment_key: scene_on_segment(s, &m->segment_key); break;
	case MESSAGE_mended:
		s->mended++;
		s->mended_mailbox = m->mended.mailbox;
		break;
	case MESSAGE_mailbox_state:
		s->states++;
		s->state_enabled = m->mailbox_state.enabled;
		break;
	case MESSAGE_segment_rotate:
		s->rotations++;
		if (s->rewraps)
			link_send(link, &MESSAGE_OF(segment_rotated, .key_id = m->segment_rotate.key_id));
		break;
	case MESSAGE_revoked:
		s->revoked_at_ms = m->revoked.at_ms;
		s->gate_revoked += link == s->gate;
		s->post_revoked += link == s->post;
		break;
	default: break;
	}
}

static inline void scene_on_ended(void *self, struct link *link)
{
	struct scene *s = self;

	link_close(link == s->gate ? &s->gate : link == s->post ? &s->post : &s->desk);
}

static inline struct link *scene_peer(struct scene *s, enum role role)
{
	static const struct link_events events = { scene_on_message, scene_on_ended, NULL };
	int fds[2];

	assert_int_equal(stream_pair(fds), 0);
	vault_role.peer(s->vault, role, 0, fds[0]);
	return link_new_take(s->outside, fds[1], role, ROLE_VAULT, 0, &events, s);
}

#ifdef SCENE_REAL
static inline void scene_stop_loop(void *self)
{
	loop_stop(self);
}

static inline void scene_pass(struct scene *s, int64_t ms)
{
	struct timer timer = { 0 };

	timer_init(&timer, s->outside, scene_stop_loop, s->outside);
	timer_after(&timer, ms);
	loop_run(s->outside);
	timer_stop(&timer);
}

static inline void scene_await(struct scene *s, bool *flag)
{
	for (int64_t until_ms = clock_monotonic_ms() + 60 * 1000; !*flag && clock_monotonic_ms() < until_ms;)
		scene_pass(s, 1);
	assert_true(*flag);
}
#else
static inline void scene_pass(struct scene *s, int64_t ms)
{
	world_run_until(world_ms() + ms, NULL, NULL);
}

static inline void scene_await(struct scene *s, bool *flag)
{
	int64_t until_ms = world_ms() + SCENE_WAIT_MS;

	while (!*flag && world_ms() < until_ms)
		scene_pass(s, 1);
	assert_true(*flag);
}
#endif

static inline void scene_ready(void *host, enum fault fault, struct span why)
{
	struct scene *s = host;

	s->is_ready = fault == FAULT_OK;
}

static inline void scene_drained(void *host)
{
	((struct scene *)host)->is_drained = true;
}

/* Starts the vault on whatever its disk holds. */
static inline enum fault scene_start(struct scene *s)
{
	const struct role_file files[] = { { SPAN("key_encryption_key"), { "", 0 }, s->key_file } };
	const struct role_start start = { .config = &s->config, .files = files, .file_count = 1, .mac_key = SPAN(SCENE_MAC),
					  .ready = scene_ready, .drained = scene_drained, .host = s };

#ifdef SCENE_REAL
	s->vault_loop = s->outside;
#else
	s->vault_loop = world_loop("vault");
#endif
	s->is_ready = s->is_drained = false;
	s->start_fault = vault_role.start(&s->vault, s->vault_loop, &start, s->why);
	if (s->start_fault != FAULT_OK)
		return s->start_fault;
	s->gate = scene_peer(s, ROLE_GATE);
	s->post = scene_peer(s, ROLE_POST);
	s->desk = scene_peer(s, ROLE_DESK);
	scene_await(s, &s->is_ready);
	return FAULT_OK;
}

static inline void scene_close_links(struct scene *s)
{
	link_close(&s->gate);
	link_close(&s->post);
	link_close(&s->desk);
}

static inline void scene_stop(struct scene *s)
{
	if (s->vault)
		vault_role.free(&s->vault);
	scene_close_links(s);
#ifndef SCENE_REAL
	scene_pass(s, 1000);
	loop_free(&s->vault_loop);
#endif
}

#ifndef SCENE_REAL
/* The death of the process, in the middle of whatever it was doing. */
static inline void scene_kill(struct scene *s)
{
	world_kill(s->vault_loop);
	vault_role.free(&s->vault);
	world_buried(&s->vault_loop);
	scene_close_links(s);
	scene_pass(s, 1000);
}
#endif

static inline void scene_begin(struct scene *s)
{
	const struct http_server_settings settings = { 0 };
	struct address here;
	int fd;

	*s = (struct scene){ .key_file = SPAN(SCENE_KEY), .rewraps = true, .folder = "/data", .port = SCENE_PORT };
	trail_configure(TRAIL_SILENT, LEVEL_DEBUG);
#ifdef SCENE_REAL
	strcpy(s->folder, "/tmp/postern-vault-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	s->port = 0;
	s->outside = loop_new();
#else
	world_begin(5, SCENE_WALL_S * 1000LL);
	s->outside = world_loop("outside");
#endif
	s->config = (struct config){ .data = span_of(s->folder), .public_url = SPAN("https://mail.example.com/"), .login_failures_max = 20,
				     .verdict_wait_ms = 5000 };
	s->idp = (struct scene_idp){ .account = "Ann@example.com", .tenant = "T-1", .object = "O-1" };
	s->key = EVP_RSA_gen(2048);
	s->arena = arena_new(64 * 1024 * 1024);
	buf_init(&s->grant_bytes, MESSAGE_BYTES_MAX);
	assert_true(address_parse(&here, SPAN("127.0.0.1"), s->port));
	fd = listener_bind(&here, 16);
	s->port = listener_address(fd).port;
	snprintf(s->base, sizeof s->base, "http://127.0.0.1:%u", s->port);
	snprintf(s->issuer, sizeof s->issuer, "%s/tenant/v2.0", s->base);
	s->server = http_server_new(s->outside, fd, NULL, &settings, scene_serve, s);
	assert_int_equal(scene_start(s), FAULT_OK);
}

static inline void scene_end(struct scene *s)
{
	scene_stop(s);
	for (size_t i = 0; i < s->mute_count; i++)
		http_cut(s->mute[i]);
	http_server_finish(&s->server);
#ifdef SCENE_REAL
	scene_pass(s, 200);
	loop_free(&s->outside);
#else
	scene_pass(s, 60 * 1000);
	loop_free(&s->outside);
	world_end();
#endif
	json_decref(s->result);
	buf_free(&s->grant_bytes);
	arena_free(&s->arena);
	EVP_PKEY_free(s->key);
}

/* Sends an operation; `format` gives its arguments, with ' for ". */
static inline void scene_send(struct scene *s, const char *operation, const char *format, va_list list)
{
	char arguments[SCENE_TEXT];

	vsnprintf(arguments, sizeof arguments, format, list);
	for (char *c = arguments; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	s->is_answered = false;
	link_send(s->desk, &MESSAGE_OF(call, .request = ++s->request, .operation = span_of(operation), .actor = SPAN("root"),
				       .language = LANGUAGE_EN, .arguments = span_of(arguments)));
}

static inline enum fault scene_call(struct scene *s, const char *operation, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline enum fault scene_call(struct scene *s, const char *operation, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	scene_send(s, operation, format, list);
	va_end(list);
	scene_await(s, &s->is_answered);
	if (s->fault != FAULT_OK)
		print_message("%s: %s %s\n", operation, fault_row(s->fault)->name, s->answer_why);
	return s->fault;
}

static inline void scene_begin_call(struct scene *s, const char *operation, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline void scene_begin_call(struct scene *s, const char *operation, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	scene_send(s, operation, format, list);
	va_end(list);
}

/* A text member of the last result. */
static inline const char *scene_text(struct scene *s, const char *name)
{
	const char *text = json_string_value(json_object_get(s->result, name));

	return text ? text : "";
}

/* An organisation, a provider that is the scene's, and ann@example.com. */
static inline void scene_people(struct scene *s)
{
	assert_int_equal(scene_call(s, "org.add", "{'name':'school','language':'fr'}"), FAULT_OK);
	assert_int_equal(scene_call(s, "provider.add",
				    "{'name':'m365','org':'school','kind':'microsoft','client_id':'app-1','client_secret':'s3cret','issuer':'%s',"
				    "'smtp_host':'localhost','smtp_port':'2587'}", s->issuer), FAULT_OK);
	assert_int_equal(scene_call(s, "mailbox.add",
				    "{'address':'ann@example.com','org':'school','provider':'m365','name':'Ann','alias':['a@example.com']}"), FAULT_OK);
}

/* A login; the fault. On success the grant is in `grant`. */
static inline enum fault scene_login_from(struct scene *s, uint8_t mechanism, const char *user, const char *password, const char *listener,
					  const char *remote)
{
	s->is_authorized = false;
	link_send(s->gate, &MESSAGE_OF(authorize, .session = ++s->session, .protocol = GRANT_SMTP, .mechanism = mechanism, .user = span_of(user),
				       .password = span_of(password), .listener = span_of(listener), .remote = span_of(remote)));
	scene_await(s, &s->is_authorized);
	if (s->authorized == FAULT_OK)
		assert_int_equal(grant_check(&s->grant, s->arena, buf_span(&s->grant_bytes), SPAN(SCENE_MAC), 0, s->session, clock_wall_ms()), FAULT_OK);
	return s->authorized;
}

static inline enum fault scene_login(struct scene *s, const char *user, const char *password)
{
	return scene_login_from(s, 1, user, password, "submission", "192.0.2.1");
}

/* The value of a field of an address, decoded. */
static inline void scene_url_field(const char *url, const char *name, char *out, size_t size)
{
	struct buf value;
	const char *query = strchr(url, '?');

	buf_init(&value, SCENE_TEXT);
	*out = 0;
	if (query && http_field(span_of(query + 1), span_of(name), &value))
		snprintf(out, size, "%.*s", (int)value.size, value.at);
	buf_free(&value);
}

struct scene_consent {
	char link[80], browser[80], state[80], url[SCENE_TEXT];
};

/* A new link. */
static inline void scene_link(struct scene *s, struct scene_consent *c)
{
	assert_int_equal(scene_call(s, "mailbox.link", "{'address':'ann@example.com'}"), FAULT_OK);
	snprintf(c->link, sizeof c->link, "%s", strrchr(scene_text(s, "link"), '/') + 1);
	assert_int_equal(strlen(c->link), 43);
}

/* Its button, pressed in the browser that `c` remembers (none at first); the provider then knows the nonce. */
static inline enum fault scene_press(struct scene *s, struct scene_consent *c)
{
	enum fault fault = scene_call(s, "consent.press", "{'link':'%s','browser':'%s'}", c->link, c->browser);

	if (fault != FAULT_OK)
		return fault;
	snprintf(c->url, sizeof c->url, "%s", scene_text(s, "url"));
	snprintf(c->browser, sizeof c->browser, "%s", scene_text(s, "browser"));
	scene_url_field(c->url, "state", c->state, sizeof c->state);
	scene_url_field(c->url, "nonce", s->idp.seen_nonce, sizeof s->idp.seen_nonce);
	scene_url_field(c->url, "code_challenge", s->idp.challenge, sizeof s->idp.challenge);
	return FAULT_OK;
}

static inline enum fault scene_finish(struct scene *s, const struct scene_consent *c)
{
	return scene_call(s, "consent.finish", "{'state':'%s','code':'code-1','browser':'%s'}", c->state, c->browser);
}

/* All of it: ann@example.com is linked. */
static inline void scene_linked(struct scene *s)
{
	struct scene_consent c = { 0 };

	scene_link(s, &c);
	assert_int_equal(scene_press(s, &c), FAULT_OK);
	assert_int_equal(scene_finish(s, &c), FAULT_OK);
}

/* Asks for a token; the fault. */
static inline enum fault scene_want_token(struct scene *s, uint64_t mailbox, uint64_t refused_generation)
{
	s->has_token = false;
	link_send(s->post, &MESSAGE_OF(token_wanted, .request = 1, .mailbox = mailbox, .force = refused_generation != 0,
				       .generation = refused_generation));
	scene_await(s, &s->has_token);
	return (enum fault)s->token.fault;
}
