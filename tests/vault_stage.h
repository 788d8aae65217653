/* tests/vault_stage.h - a vault, on virtual time unless STAGE_REAL is defined, with an identity provider, a gate, a post and a desk that the test speaks for.
 *
 * Why       The tests of the role share a world; each of them should hold its story and nothing else.
 * Promise   stage_call() and its kin return when the answer is there; the provider does what `idp` says.
 * Owns      The world, until stage_end().
 * Refuses   Stories that wait for ever: an answer that does not come within ten virtual minutes fails the test. */
#pragma once
#include "tests/vault_idp.h"

#include "base/arena.h"
#include "base/json.h"
#include "base/secret.h"
#include "base/trail.h"
#include "identity/grant.h"
#ifndef STAGE_REAL
#include "loop/fake/world.h"
#endif
#include "loop/role.h"
#include "loop/stream.h"
#include "upstream/way.h"

#include <stdarg.h>

enum { STAGE_WALL_S = 1750000000, STAGE_WAIT_MS = 10 * 60 * 1000, STAGE_PORT = 9000 };

#define STAGE_KEY "0123456789abcdef0123456789abcdef"
#define STAGE_MAC "fedcba9876543210fedcba9876543210"

struct stage {
	struct loop *vault_loop, *outside; /* one and the same where time is real */
	char folder[64];
	uint16_t port;
	void *vault;
	struct config config;
	struct http_server *server;
	struct stage_idp idp;
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
	char access_token[256], token_why[600], token_host[100], token_user[200], token_tenant[200], token_source[64], token_certificate[4096];

	bool has_segment;
	enum fault segment_fault;
	char segment_key[64], segment_wrapped[256];
	size_t segment_key_size, segment_wrapped_size;

	unsigned mended, states, rotations, gate_revoked, post_revoked;
	int64_t revoked_at_ms;
	uint64_t mended_mailbox;
	bool state_enabled;
	bool rewraps; /* post answers a rotation at once */
	unsigned notices;                 /* handed to post */
	enum fault notice_fault;          /* what post says of them; FAULT_COUNT: nothing */
	char notice_from[200], notice_to[400], notice_text[16384];
	enum fault probe_fault; /* what post finds when it signs in */
	unsigned probes;
	uint8_t probe_way;
	char ways[16]; /* of the state told last, as letters from `a` */
};

/* --- the other roles */

static inline void stage_copy(char *to, size_t size, struct span from)
{
	snprintf(to, size, "%.*s", SPAN_ARGS(from));
}

static inline void stage_on_answer(struct stage *s, const struct message_answer *m)
{
	if (m->request != s->request)
		return;
	s->is_answered = true;
	s->fault = (enum fault)m->fault;
	stage_copy(s->answer_why, sizeof s->answer_why, m->why);
	json_decref(s->result);
	s->result = json_read(m->result, MESSAGE_BYTES_MAX);
}

static inline void stage_on_token(struct stage *s, const struct message_token *m)
{
	s->has_token = true;
	s->token = *m;
	stage_copy(s->access_token, sizeof s->access_token, m->token);
	stage_copy(s->token_why, sizeof s->token_why, m->why);
	stage_copy(s->token_host, sizeof s->token_host, m->host);
	stage_copy(s->token_user, sizeof s->token_user, m->user);
	stage_copy(s->token_tenant, sizeof s->token_tenant, m->tenant);
	stage_copy(s->token_source, sizeof s->token_source, m->source);
	stage_copy(s->token_certificate, sizeof s->token_certificate, m->certificate);
}

static inline void stage_on_segment(struct stage *s, const struct message_segment_key *m)
{
	s->has_segment = true;
	s->segment_fault = (enum fault)m->fault;
	s->segment_key_size = m->key.size;
	s->segment_wrapped_size = m->wrapped.size;
	memcpy(s->segment_key, m->key.at, m->key.size);
	memcpy(s->segment_wrapped, m->wrapped.at, m->wrapped.size);
}

static inline void stage_on_authorized(struct stage *s, const struct message_authorized *m)
{
	s->is_authorized = true;
	s->authorized = (enum fault)m->fault;
	buf_clear(&s->grant_bytes);
	buf_put(&s->grant_bytes, m->grant);
}

/* The text of a notice, decoded; its recipients parted by blanks. */
static inline void stage_on_notice(struct stage *s, struct link *link, const struct message_notice *m)
{
	size_t at = span_find(m->body, SPAN("\r\n\r\n"));
	struct span rest = m->recipients, line, body = span_slice(m->body, at + 4, m->body.size);
	struct buf text;

	s->notices++;
	stage_copy(s->notice_from, sizeof s->notice_from, m->from);
	s->notice_to[0] = 0;
	for (unsigned i = 0; message_list_next(&rest, &line); i++)
		if (i % 3 == 0)
			snprintf(s->notice_to + strlen(s->notice_to), sizeof s->notice_to - strlen(s->notice_to), "%s%.*s", i ? " " : "", SPAN_ARGS(line));
	buf_init(&text, sizeof s->notice_text);
	while (body.size && span_cut(&body, '\n', &line) && span_trim(line).size)
		assert_true(text_from_base64(&text, span_trim(line)));
	stage_copy(s->notice_text, sizeof s->notice_text, buf_span(&text));
	buf_free(&text);
	if (s->notice_fault != FAULT_COUNT)
		link_send(link, &MESSAGE_OF(noticed, .id = m->id, .fault = s->notice_fault));
}

static inline void stage_on_message(void *self, struct link *link, const struct message *m)
{
	struct stage *s = self;

	switch (m->type) {
	case MESSAGE_answer: stage_on_answer(s, &m->answer); break;
	case MESSAGE_authorized: stage_on_authorized(s, &m->authorized); break;
	case MESSAGE_token: stage_on_token(s, &m->token); break;
	case MESSAGE_segment_key: stage_on_segment(s, &m->segment_key); break;
	case MESSAGE_probe:
		s->probes++;
		s->probe_way = m->probe.way;
		link_send(link, &MESSAGE_OF(probed, .request = m->probe.request, .fault = s->probe_fault, .host = SPAN("smtp.example.com"),
					    .why = s->probe_fault ? SPAN("535 5.7.3 Authentication unsuccessful") : SPAN("")));
		break;
	case MESSAGE_mended:
		s->mended++;
		s->mended_mailbox = m->mended.mailbox;
		break;
	case MESSAGE_mailbox_state:
		s->states++;
		s->state_enabled = m->mailbox_state.enabled;
		snprintf(s->ways, sizeof s->ways, "%.*s", SPAN_ARGS(m->mailbox_state.ways));
		for (char *way = s->ways; *way; way++)
			*way = (char)('a' + *way);
		break;
	case MESSAGE_segment_rotate:
		s->rotations++;
		if (s->rewraps)
			link_send(link, &MESSAGE_OF(segment_rotated, .key_id = m->segment_rotate.key_id));
		break;
	case MESSAGE_notice: stage_on_notice(s, link, &m->notice); break;
	case MESSAGE_revoked:
		s->revoked_at_ms = m->revoked.at_ms;
		s->gate_revoked += link == s->gate;
		s->post_revoked += link == s->post;
		break;
	default: break;
	}
}

static inline void stage_on_ended(void *self, struct link *link)
{
	struct stage *s = self;

	link_close(link == s->gate ? &s->gate : link == s->post ? &s->post : &s->desk);
}

static inline struct link *stage_peer(struct stage *s, enum role role)
{
	static const struct link_events events = { stage_on_message, stage_on_ended, NULL };
	int fds[2];

	assert_int_equal(stream_pair(fds), 0);
	vault_role.peer(s->vault, role, 0, fds[0]);
	return link_new_take(s->outside, fds[1], role, ROLE_VAULT, 0, &events, s);
}

#ifdef STAGE_REAL
static inline void stage_stop_loop(void *self)
{
	loop_stop(self);
}

static inline void stage_pass(struct stage *s, int64_t ms)
{
	struct timer timer = { 0 };

	timer_init(&timer, s->outside, stage_stop_loop, s->outside);
	timer_after(&timer, ms);
	loop_run(s->outside);
	timer_stop(&timer);
}

static inline void stage_await(struct stage *s, bool *flag)
{
	for (int64_t until_ms = clock_monotonic_ms() + 60 * 1000; !*flag && clock_monotonic_ms() < until_ms;)
		stage_pass(s, 1);
	assert_true(*flag);
}
#else
static inline void stage_pass(struct stage *s, int64_t ms)
{
	world_run_until(world_ms() + ms, NULL, NULL);
}

static inline void stage_await(struct stage *s, bool *flag)
{
	int64_t until_ms = world_ms() + STAGE_WAIT_MS;

	while (!*flag && world_ms() < until_ms)
		stage_pass(s, 1);
	assert_true(*flag);
}
#endif

static inline void stage_ready(void *host, enum fault fault, struct span why)
{
	struct stage *s = host;

	s->is_ready = fault == FAULT_OK;
}

static inline void stage_drained(void *host)
{
	((struct stage *)host)->is_drained = true;
}

/* Starts the vault on whatever its disk holds. */
static inline enum fault stage_start(struct stage *s)
{
	const struct role_file files[] = { { SPAN("key_encryption_key"), { "", 0 }, s->key_file } };
	const struct role_start start = { .config = &s->config, .files = files, .file_count = 1, .mac_key = SPAN(STAGE_MAC),
					  .ready = stage_ready, .drained = stage_drained, .host = s };

#ifdef STAGE_REAL
	s->vault_loop = s->outside;
#else
	s->vault_loop = world_loop("vault");
#endif
	s->is_ready = s->is_drained = false;
	s->start_fault = vault_role.start(&s->vault, s->vault_loop, &start, s->why);
	if (s->start_fault != FAULT_OK)
		return s->start_fault;
	s->gate = stage_peer(s, ROLE_GATE);
	s->post = stage_peer(s, ROLE_POST);
	s->desk = stage_peer(s, ROLE_DESK);
	stage_await(s, &s->is_ready);
	return FAULT_OK;
}

static inline void stage_close_links(struct stage *s)
{
	link_close(&s->gate);
	link_close(&s->post);
	link_close(&s->desk);
}

static inline void stage_stop(struct stage *s)
{
	if (s->vault)
		vault_role.free(&s->vault);
	stage_close_links(s);
#ifndef STAGE_REAL
	stage_pass(s, 1000);
	loop_free(&s->vault_loop);
#endif
}

#ifndef STAGE_REAL
/* The death of the process, in the middle of whatever it was doing. */
static inline void stage_kill(struct stage *s)
{
	world_kill(s->vault_loop);
	vault_role.free(&s->vault);
	world_buried(&s->vault_loop);
	stage_close_links(s);
	stage_pass(s, 1000);
}
#endif

static inline void stage_begin(struct stage *s)
{
	const struct http_server_settings settings = { 0 };
	struct address here;
	int fd;

	*s = (struct stage){ .key_file = SPAN(STAGE_KEY), .rewraps = true, .folder = "/data", .port = STAGE_PORT };
	trail_configure(TRAIL_SILENT, LEVEL_DEBUG);
#ifdef STAGE_REAL
	strcpy(s->folder, "/tmp/postern-vault-XXXXXX");
	assert_non_null(mkdtemp(s->folder));
	s->port = 0;
	s->outside = loop_new();
#else
	world_begin(5, STAGE_WALL_S * 1000LL);
	s->outside = world_loop("outside");
#endif
	s->config = (struct config){ .data = span_of(s->folder), .public_url = SPAN("https://mail.example.com/"), .login_failures_max = 20,
				     .verdict_wait_ms = 5000 };
	s->idp = (struct stage_idp){ .account = "Ann@example.com", .tenant = "T-1", .object = "O-1" };
	s->idp.key = EVP_RSA_gen(2048);
	s->arena = arena_new(64 * 1024 * 1024);
	buf_init(&s->grant_bytes, MESSAGE_BYTES_MAX);
	assert_true(address_parse(&here, SPAN("127.0.0.1"), s->port));
	fd = listener_bind(&here, 16);
	s->port = listener_address(fd).port;
	snprintf(s->idp.base, sizeof s->idp.base, "http://127.0.0.1:%u", s->port);
	snprintf(s->idp.issuer, sizeof s->idp.issuer, "%s/tenant/v2.0", s->idp.base);
	s->server = http_server_new(s->outside, fd, NULL, &settings, stage_serve, &s->idp);
	assert_int_equal(stage_start(s), FAULT_OK);
}

static inline void stage_end(struct stage *s)
{
	stage_stop(s);
	for (size_t i = 0; i < s->idp.mute_count; i++)
		http_cut(s->idp.mute[i]);
	http_server_finish(&s->server);
#ifdef STAGE_REAL
	stage_pass(s, 200);
	loop_free(&s->outside);
#else
	stage_pass(s, 60 * 1000);
	loop_free(&s->outside);
	world_end();
#endif
	json_decref(s->result);
	buf_free(&s->grant_bytes);
	arena_free(&s->arena);
	EVP_PKEY_free(s->idp.key);
}

/* Sends an operation; `format` gives its arguments, with ' for ". */
static inline void stage_send(struct stage *s, const char *operation, const char *format, va_list list)
{
	char arguments[STAGE_TEXT];

	vsnprintf(arguments, sizeof arguments, format, list);
	for (char *c = arguments; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	s->is_answered = false;
	link_send(s->desk, &MESSAGE_OF(call, .request = ++s->request, .operation = span_of(operation), .actor = SPAN("root"),
				       .language = LANGUAGE_EN, .arguments = span_of(arguments)));
}

static inline enum fault stage_call(struct stage *s, const char *operation, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline enum fault stage_call(struct stage *s, const char *operation, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	stage_send(s, operation, format, list);
	va_end(list);
	stage_await(s, &s->is_answered);
	if (s->fault != FAULT_OK)
		print_message("%s: %s %s\n", operation, fault_row(s->fault)->name, s->answer_why);
	return s->fault;
}

static inline void stage_begin_call(struct stage *s, const char *operation, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline void stage_begin_call(struct stage *s, const char *operation, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	stage_send(s, operation, format, list);
	va_end(list);
}

/* A text member of the last result. */
static inline const char *stage_text(struct stage *s, const char *name)
{
	const char *text = json_string_value(json_object_get(s->result, name));

	return text ? text : "";
}

/* An organisation, a provider that is the stage's, and ann@example.com. */
static inline void stage_people(struct stage *s)
{
	assert_int_equal(stage_call(s, "org.add", "{'name':'school','language':'fr'}"), FAULT_OK);
	assert_int_equal(stage_call(s, "provider.add",
				    "{'name':'m365','org':'school','kind':'microsoft','client_id':'app-1','client_secret':'s3cret','issuer':'%s',"
				    "'smtp_host':'localhost','smtp_port':'2587'}", s->idp.issuer), FAULT_OK);
	assert_int_equal(stage_call(s, "mailbox.add",
				    "{'address':'ann@example.com','org':'school','provider':'m365','name':'Ann','alias':['a@example.com']}"), FAULT_OK);
}

/* A login; the fault. On success the grant is in `grant`. */
static inline enum fault stage_login_from(struct stage *s, uint8_t mechanism, const char *user, const char *password, const char *listener,
					  const char *remote)
{
	s->is_authorized = false;
	link_send(s->gate, &MESSAGE_OF(authorize, .session = ++s->session, .protocol = GRANT_SMTP, .mechanism = mechanism, .user = span_of(user),
				       .password = span_of(password), .listener = span_of(listener), .remote = span_of(remote)));
	stage_await(s, &s->is_authorized);
	if (s->authorized == FAULT_OK)
		assert_int_equal(grant_check(&s->grant, s->arena, buf_span(&s->grant_bytes), SPAN(STAGE_MAC), 0, s->session, clock_wall_ms()), FAULT_OK);
	return s->authorized;
}

static inline enum fault stage_login(struct stage *s, const char *user, const char *password)
{
	return stage_login_from(s, 1, user, password, "submission", "192.0.2.1");
}

/* The value of a field of an address, decoded. */
static inline void stage_url_field(const char *url, const char *name, char *out, size_t size)
{
	struct buf value;
	const char *query = strchr(url, '?');

	buf_init(&value, STAGE_TEXT);
	*out = 0;
	if (query && http_field(span_of(query + 1), span_of(name), &value))
		snprintf(out, size, "%.*s", (int)value.size, value.at);
	buf_free(&value);
}

struct stage_consent {
	char link[80], browser[80], state[80], url[STAGE_TEXT];
};

/* A new link. */
static inline void stage_link(struct stage *s, struct stage_consent *c)
{
	assert_int_equal(stage_call(s, "mailbox.link", "{'address':'ann@example.com'}"), FAULT_OK);
	snprintf(c->link, sizeof c->link, "%s", strrchr(stage_text(s, "link"), '/') + 1);
	assert_int_equal(strlen(c->link), 43);
}

/* Its button, pressed in the browser that `c` remembers (none at first); the provider then knows the nonce. */
static inline enum fault stage_press(struct stage *s, struct stage_consent *c)
{
	enum fault fault = stage_call(s, "consent.press", "{'link':'%s','browser':'%s'}", c->link, c->browser);

	if (fault != FAULT_OK)
		return fault;
	snprintf(c->url, sizeof c->url, "%s", stage_text(s, "url"));
	snprintf(c->browser, sizeof c->browser, "%s", stage_text(s, "browser"));
	stage_url_field(c->url, "state", c->state, sizeof c->state);
	stage_url_field(c->url, "nonce", s->idp.seen_nonce, sizeof s->idp.seen_nonce);
	stage_url_field(c->url, "code_challenge", s->idp.challenge, sizeof s->idp.challenge);
	return FAULT_OK;
}

static inline enum fault stage_finish(struct stage *s, const struct stage_consent *c)
{
	return stage_call(s, "consent.finish", "{'state':'%s','code':'code-1','browser':'%s'}", c->state, c->browser);
}

/* All of it: ann@example.com is linked. */
static inline void stage_linked(struct stage *s)
{
	struct stage_consent c = { 0 };

	stage_link(s, &c);
	assert_int_equal(stage_press(s, &c), FAULT_OK);
	assert_int_equal(stage_finish(s, &c), FAULT_OK);
}

/* Asks for what a way signs in with; the fault. */
static inline enum fault stage_want(struct stage *s, uint64_t mailbox, enum way way, uint64_t refused_generation)
{
	s->has_token = false;
	link_send(s->post, &MESSAGE_OF(token_wanted, .request = 1, .mailbox = mailbox, .way = (uint8_t)way, .force = refused_generation != 0,
				       .generation = refused_generation));
	stage_await(s, &s->has_token);
	return (enum fault)s->token.fault;
}

static inline enum fault stage_want_token(struct stage *s, uint64_t mailbox, uint64_t refused_generation)
{
	return stage_want(s, mailbox, WAY_SMTP, refused_generation);
}
