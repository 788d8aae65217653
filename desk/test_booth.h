/* desk/test_booth.h - for tests: a booth with a desk in it, on the real loop, with a scripted vault, post and gate at the other ends of its links.
 *
 * Why       Every test of desk wants the whole way from a socket to another role and back.
 * Promise   booth_ask() sends one request and gives the whole answer. What each role was asked is kept, in order.
 * Owns      All of it, until booth_end().
 * Refuses   More than BOOTH_CALLS_MAX questions. */
#pragma once
#include "base/buf.h"
#include "base/json.h"
#include "loop/real/test_end.h"
#include "loop/role.h"

#include <unistd.h>

enum { BOOTH_CALLS_MAX = 64, BOOTH_PATIENCE_MS = 8000 };

/* One question, as it came. */
struct booth_call {
	enum role role;
	char operation[64], actor[64], arguments[4096];
	enum language language;
};

/* What a role answers to an operation. */
struct booth_reply {
	const char *operation;
	enum fault fault;
	const char *why, *result;
};

struct booth {
	struct loop *loop;
	void *desk;
	struct config *config;
	struct role_file files[8];
	size_t file_count;
	struct link *vault, *post, *gate;
	struct address web, control;
	char control_path[100];
	struct test_end client;
	bool is_ready, is_drained, vault_is_mute, post_is_mute;
	const struct booth_reply *replies; /* ended by a NULL operation; none: OK and {} */
	bool (*decide)(struct booth *, const struct booth_call *, struct booth_reply *); /* asked before them; may be NULL */
	struct booth_call calls[BOOTH_CALLS_MAX];
	size_t call_count;
	int step;
};

static inline struct booth_reply booth_reply_to(struct booth *s, const struct booth_call *call)
{
	struct booth_reply reply = { call->operation, FAULT_OK, "", "{}" };

	if (s->decide && s->decide(s, call, &reply))
		return reply;
	for (const struct booth_reply *r = s->replies; r && r->operation; r++)
		if (!strcmp(r->operation, call->operation))
			return *r;
	return reply;
}

static inline void booth_received(void *self, struct link *link, const struct message *m)
{
	struct booth *s = self;
	struct booth_call *call;
	struct booth_reply reply;

	assert_int_equal(m->type, MESSAGE_call);
	assert_true(s->call_count < BOOTH_CALLS_MAX);
	call = &s->calls[s->call_count++];
	call->role = link == s->vault ? ROLE_VAULT : link == s->post ? ROLE_POST : ROLE_GATE;
	snprintf(call->operation, sizeof call->operation, "%.*s", SPAN_ARGS(m->call.operation));
	snprintf(call->actor, sizeof call->actor, "%.*s", SPAN_ARGS(m->call.actor));
	snprintf(call->arguments, sizeof call->arguments, "%.*s", SPAN_ARGS(m->call.arguments));
	call->language = (enum language)m->call.language;
	if ((call->role == ROLE_VAULT && s->vault_is_mute) || (call->role == ROLE_POST && s->post_is_mute))
		return;
	reply = booth_reply_to(s, call);
	link_send(link, &MESSAGE_OF(answer, .request = m->call.request, .fault = reply.fault, .why = span_of(reply.why),
				    .result = span_of(reply.result)));
}

static inline void booth_link_ended(void *self, struct link *link)
{
	struct booth *s = self;
	struct link **place = link == s->vault ? &s->vault : link == s->post ? &s->post : &s->gate;

	link_close(place);
}

static const struct link_events booth_events = { .received = booth_received, .ended = booth_link_ended };

static inline void booth_link(struct booth *s, enum role role)
{
	struct link **place = role == ROLE_VAULT ? &s->vault : role == ROLE_POST ? &s->post : &s->gate;
	int ends[2];

	assert_int_equal(stream_pair(ends), 0);
	desk_role.peer(s->desk, role, 0, ends[0]);
	*place = link_new_take(s->loop, ends[1], role, ROLE_DESK, 0, &booth_events, s);
}

static inline void booth_ready(void *self, enum fault f, struct span why)
{
	struct booth *s = self;

	s->is_ready = f == FAULT_OK;
	loop_stop(s->loop);
}

static inline void booth_drained(void *self)
{
	struct booth *s = self;

	s->is_drained = true;
	loop_stop(s->loop);
}

static inline int booth_bind(const char *where)
{
	struct address a;
	int fd;

	assert_true(address_parse(&a, span_of(where), 0));
	fd = listener_bind(&a, 100);
	assert_true(fd >= 0);
	return fd;
}

static inline void booth_file(struct booth *s, struct span purpose, struct span name, const char *text)
{
	s->files[s->file_count++] = (struct role_file){ purpose, name, span_of(text) };
}

/* Starts, or reloads when it runs, with this boot text; `web` and `control` are descriptors. */
static inline enum fault booth_configure(struct booth *s, const char *boot, int web, int control, char *why)
{
	const struct role_listener listeners[] = { { .name = SPAN("control"), .fd = control }, { .name = SPAN("web"), .fd = web } };
	struct role_start start = { .listeners = listeners, .listener_count = 2, .files = s->files, .file_count = s->file_count,
				    .ready = booth_ready, .drained = booth_drained, .host = s };
	struct config *config = NULL;
	enum fault f = config_read(&config, "test", span_of(boot), why, 256);

	if (f != FAULT_OK)
		fail_msg("%s", why);
	start.config = config;
	f = s->desk ? desk_role.reload(s->desk, &start, why) : desk_role.start(&s->desk, s->loop, &start, why);
	if (f != FAULT_OK) {
		config_free(&config);
		return f;
	}
	config_free(&s->config);
	s->config = config;
	return f;
}

/* `boot` is put before a listener `web` on loopback without TLS. */
static inline struct booth *booth_with(const char *boot)
{
	struct booth *s = calloc(1, sizeof *s);
	char text[2000], why[256];
	int web, control;

	assert_non_null(s);
	s->loop = loop_new();
	snprintf(s->control_path, sizeof s->control_path, "/tmp/postern-desk-test-%d.sock", getpid());
	unlink(s->control_path);
	web = booth_bind("127.0.0.1");
	control = booth_bind(s->control_path);
	s->web = listener_address(web);
	s->control = listener_address(control);
	booth_file(s, SPAN("passwd"), SPAN(""), "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000::/:/bin/sh\n");
	booth_file(s, SPAN("group"), SPAN(""), "postern:x:901:ada\n");
	snprintf(text, sizeof text, "host_name = mail.contoso.example\n%s\nlistener web { protocol = http tls = none }", boot);
	if (booth_configure(s, text, web, control, why) != FAULT_OK)
		fail_msg("%s", why);
	booth_link(s, ROLE_VAULT);
	booth_link(s, ROLE_POST);
	booth_link(s, ROLE_GATE);
	test_run(s->loop);
	assert_true(s->is_ready);
	test_end_init(&s->client, s->loop);
	return s;
}

static inline void booth_end(struct booth *s)
{
	test_end_close(&s->client);
	desk_role.free(&s->desk);
	link_close(&s->vault);
	link_close(&s->post);
	link_close(&s->gate);
	config_free(&s->config);
	loop_free(&s->loop);
	unlink(s->control_path);
	free(s);
}

/* Sends `request`, which should have "Connection: close", and returns all that is answered, valid until the next. */
static inline struct span booth_send(struct booth *s, const struct address *to, const char *request)
{
	test_end_close(&s->client);
	test_end_init(&s->client, s->loop);
	s->client.stops_when_ended = true;
	s->client.stream = stream_connect(s->loop, to, NULL, 5000, &test_end_events, &s->client);
	stream_write(s->client.stream, span_of(request));
	while (!strstr(s->client.log, "ended"))
		test_run(s->loop);
	return buf_span(&s->client.got);
}

/* A request with these header lines (each ended by CR LF) and this body. */
static inline struct span booth_ask(struct booth *s, const struct address *to, const char *method, const char *target, const char *headers,
				    const char *body)
{
	static char request[70000];

	snprintf(request, sizeof request, "%s %s HTTP/1.1\r\n%s%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s", method, target,
		 !strncmp(headers, "Host:", 5) ? "" : "Host: localhost\r\n", headers, strlen(body), body);
	return booth_send(s, to, request);
}

static inline struct span booth_get(struct booth *s, const char *target)
{
	return booth_ask(s, &s->web, "GET", target, "", "");
}

static inline bool booth_has(struct span answer, const char *text)
{
	return span_find(answer, span_of(text)) < answer.size;
}

#define assert_has(answer, text)                                                                               \
	do {                                                                                                   \
		if (!booth_has(answer, text))                                                                  \
			fail_msg("no |%s| in |%.*s|", text, SPAN_ARGS(answer));                                \
	} while (0)
#define assert_lacks(answer, text)                                                                             \
	do {                                                                                                   \
		if (booth_has(answer, text))                                                                   \
			fail_msg("|%s| in |%.*s|", text, SPAN_ARGS(answer));                                   \
	} while (0)

/* "HTTP/1.1 200 OK" and so on. */
static inline int booth_status(struct span answer)
{
	uint64_t status = 0;

	assert_true(span_number(span_slice(answer, 9, 3), &status));
	return (int)status;
}

static inline struct span booth_body(struct span answer)
{
	return span_slice(answer, span_find(answer, SPAN("\r\n\r\n")) + 4, answer.size);
}

/* The value of a header of the answer, or the empty span. */
static inline struct span booth_header(struct span answer, const char *name)
{
	struct span rest = span_slice(answer, 0, span_find(answer, SPAN("\r\n\r\n"))), line, key;

	while (span_cut(&rest, '\n', &line))
		if (span_cut(&line, ':', &key) && span_equal_fold(key, span_of(name)))
			return span_trim(line);
	return SPAN("");
}

static inline const struct booth_call *booth_last(const struct booth *s)
{
	assert_true(s->call_count > 0);
	return &s->calls[s->call_count - 1];
}
