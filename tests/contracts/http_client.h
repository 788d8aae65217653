/* tests/contracts/http_client.h - what loop/http_client.h promises, as tests that both sides of it have to pass.
 *
 * Why       As tests/contracts/stream.h: what a role is told of an answer must not depend on who fetched it.
 * Promise   Everything over plain HTTP on loopback. HTTPS needs real certificates on one side; those tests stand beside each.
 * Owns      One loop, a host on it that answers as it is told, and the client.
 * Refuses   Names: only one side has a table of them. */
#pragma once
#include "tests/test.h"

#include "base/buf.h"
#include "base/clock.h"
#include "loop/http_client.h"
#include "loop/stream.h"

enum { CONTRACT_PATIENCE_MS = 1500, CONTRACT_LIMIT_MS = 20000 };

/* A host that says the same to everyone once a request has ended in a blank line. */
struct host {
	struct loop *loop;
	struct listener *listener;
	struct stream *stream;
	struct address at;
	struct span says;
	bool hangs_up, is_mute;
	size_t requests;
	struct buf heard;
};

struct fetcher {
	struct loop *loop;
	struct dns *dns;
	struct http_client *client;
	size_t answers;
	struct http_answer answer;
	char body[256], why[200], type[64];
};

static void host_opened(void *self)
{
}

static size_t host_data(void *self, struct span bytes)
{
	struct host *h = self;

	buf_put(&h->heard, bytes);
	if (h->is_mute || span_find(buf_span(&h->heard), SPAN("\r\n\r\n")) == h->heard.size)
		return bytes.size;
	h->requests++;
	buf_clear(&h->heard);
	buf_put(&h->heard, bytes);
	stream_write(h->stream, h->says);
	if (h->hangs_up)
		stream_finish(&h->stream);
	return bytes.size;
}

static void host_ended(void *self, enum fault fault, struct span why)
{
	stream_close(&((struct host *)self)->stream);
}

static void host_accepted(void *self, int fd, const struct address *peer)
{
	static const struct stream_events events = { host_opened, host_data, NULL, host_ended };
	struct host *h = self;

	stream_close(&h->stream);
	buf_clear(&h->heard);
	h->stream = stream_adopt_take(h->loop, fd, &events, h);
}

static void contract_late(void *self)
{
	fail_msg("nothing more happened in time");
}

static void enter(struct host *h, struct fetcher *f)
{
	int fd;

	*f = (struct fetcher){ .loop = loop_new() };
	*h = (struct host){ .loop = f->loop };
	buf_init(&h->heard, 100000);
	assert_true(address_parse(&h->at, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&h->at, 4);
	h->at = listener_address(fd);
	h->listener = listener_new(h->loop, fd, host_accepted, h);
	f->dns = dns_new(f->loop, SPAN(""), SPAN(""));
	f->client = http_client_new(f->loop, f->dns, SPAN(""));
}

static void leave(struct host *h, struct fetcher *f)
{
	http_client_free(&f->client);
	dns_free(&f->dns);
	stream_close(&h->stream);
	listener_free(&h->listener);
	buf_free(&h->heard);
	loop_free(&f->loop);
}

static void on_done(void *self, const struct http_answer *a)
{
	struct fetcher *f = self;

	f->answers++;
	f->answer = *a;
	snprintf(f->body, sizeof f->body, "%.*s", SPAN_ARGS(a->body));
	snprintf(f->why, sizeof f->why, "%.*s", SPAN_ARGS(a->why));
	snprintf(f->type, sizeof f->type, "%.*s", SPAN_ARGS(a->content_type));
	loop_stop(f->loop);
}

/* `path` may be a whole URL. */
static struct http_fetch *begin(struct fetcher *f, const struct host *h, const char *method, const char *path, const char *body, size_t most)
{
	const struct http_header header = { SPAN("X-Test"), SPAN("yes") };
	char url[200];

	snprintf(url, sizeof url, path[0] == '/' || !path[0] ? "http://127.0.0.1:%u%s" : "%.0u%s", h->at.port, path);
	f->answers = 0;
	return http_fetch(f->client, &(struct http_request){ .method = span_of(method), .url = span_of(url), .headers = &header,
							     .header_count = 1, .body = span_of(body), .timeout_ms = CONTRACT_PATIENCE_MS,
							     .answer_bytes_max = most }, on_done, f);
}

static void run(struct fetcher *f)
{
	struct timer limit;

	timer_init(&limit, f->loop, contract_late, f);
	timer_after(&limit, CONTRACT_LIMIT_MS);
	loop_run(f->loop);
	timer_stop(&limit);
}

static void stop(void *self)
{
	loop_stop(self);
}

static void run_for(struct fetcher *f, int64_t ms)
{
	struct timer end;

	timer_init(&end, f->loop, stop, f->loop);
	timer_after(&end, ms);
	loop_run(f->loop);
	timer_stop(&end);
}

static void fetch(struct fetcher *f, const struct host *h, const char *method, const char *path, const char *body, size_t most)
{
	begin(f, h, method, path, body, most);
	assert_int_equal(f->answers, 0);
	run(f);
	assert_int_equal(f->answers, 1);
}

static void answers_are_read(void **state)
{
	struct host h;
	struct fetcher f;
	char wanted[100];

	enter(&h, &f);
	h.says = SPAN("HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 5\r\n\r\nhello");
	fetch(&f, &h, "POST", "/a?b=c", "body", 0);
	assert_int_equal(f.answer.fault, FAULT_OK);
	assert_int_equal(f.answer.status, 200);
	assert_string_equal(f.body, "hello");
	assert_string_equal(f.type, "text/x");
	assert_int_equal(f.answer.retry_after_ms, -1);
	snprintf(wanted, sizeof wanted, "POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", h.at.port);
	assert_true(span_starts(buf_span(&h.heard), span_of(wanted)));
	assert_true(span_find(buf_span(&h.heard), SPAN("\r\nX-Test: yes\r\n")) < h.heard.size);
	assert_true(span_find_fold(buf_span(&h.heard), SPAN("\r\nContent-Length: 4\r\n")) < h.heard.size);
	assert_true(span_ends_fold(buf_span(&h.heard), SPAN("\r\n\r\nbody")));
	leave(&h, &f);
	enter(&h, &f);
	h.says = SPAN("HTTP/1.1 429 Slow\r\nTransfer-Encoding: chunked\r\nRetry-After: 7\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
	fetch(&f, &h, "GET", "", "", 0);
	assert_int_equal(f.answer.status, 429);
	assert_int_equal(f.answer.retry_after_ms, 7000);
	assert_string_equal(f.body, "abcde");
	assert_true(span_starts(buf_span(&h.heard), SPAN("GET / HTTP/1.1\r\n")));
	leave(&h, &f);
	enter(&h, &f);
	h.says = SPAN("HTTP/1.0 503 Away\r\nRetry-After: Sun, 15 Jun 2099 15:10:00 GMT\r\n\r\nuntil the end");
	h.hangs_up = true;
	fetch(&f, &h, "GET", "/", "", 0);
	assert_int_equal(f.answer.status, 503);
	assert_string_equal(f.body, "until the end");
	assert_true(f.answer.retry_after_ms > 0);
	leave(&h, &f);
}

static void failures_are_told_apart(void **state)
{
	static const struct {
		const char *says;
		bool hangs_up, is_mute;
		enum fault fault;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", false, false, FAULT_TOO_LARGE },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n", false, false, FAULT_TOO_LARGE },
		{ "220 smtp.example ESMTP\r\n", true, false, FAULT_UPSTREAM_BROKEN },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", true, false, FAULT_CLOSED },
		{ "", true, false, FAULT_CLOSED },
		{ "", false, true, FAULT_TIMEOUT },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct host h;
		struct fetcher f;

		enter(&h, &f);
		h.says = span_of(cases[i].says);
		h.hangs_up = cases[i].hangs_up;
		h.is_mute = cases[i].is_mute;
		fetch(&f, &h, "GET", "/", "", 10);
		if (f.answer.fault != cases[i].fault)
			fail_msg("case %zu: %s %s", i, fault_row(f.answer.fault)->name, f.why);
		assert_string_equal(f.body, "");
		leave(&h, &f);
	}
}

/* A connection that was kept dies under a request that may have been heard: whoever asked decides whether to ask again. */
static void nothing_is_repeated(void **state)
{
	static const struct {
		const char *method, *body;
	} cases[] = { { "GET", "" }, { "HEAD", "" }, { "POST", "" }, { "POST", "body" }, { "PUT", "body" }, { "DELETE", "" } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct host h;
		struct fetcher f;

		enter(&h, &f);
		h.says = SPAN("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
		fetch(&f, &h, cases[i].method, "/", cases[i].body, 0);
		assert_int_equal(f.answer.status, 200);
		h.says = SPAN("");
		h.hangs_up = true;
		fetch(&f, &h, cases[i].method, "/", cases[i].body, 0);
		if (f.answer.fault != FAULT_CLOSED || h.requests != 2)
			fail_msg("case %zu: %s %s, %zu requests", i, fault_row(f.answer.fault)->name, f.why, h.requests);
		leave(&h, &f);
	}
}

static void nobody_and_nonsense_are_told_apart(void **state)
{
	struct host h;
	struct fetcher f;

	enter(&h, &f);
	listener_free(&h.listener);
	fetch(&f, &h, "GET", "/", "", 0);
	assert_int_equal(f.answer.fault, FAULT_UNREACHABLE);
	fetch(&f, &h, "GET", "ftp://127.0.0.1/", "", 0);
	assert_int_equal(f.answer.fault, FAULT_MALFORMED);
	leave(&h, &f);
}

static void a_fetch_may_be_cancelled_and_a_client_freed(void **state)
{
	struct host h;
	struct fetcher f;
	struct http_fetch *now;

	enter(&h, &f);
	h.says = SPAN("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	now = begin(&f, &h, "GET", "/", "", 0);
	http_cancel(&now);
	assert_null(now);
	run_for(&f, 300);
	assert_int_equal(f.answers, 0);
	begin(&f, &h, "GET", "/", "", 0);
	http_client_free(&f.client);
	assert_null(f.client);
	run_for(&f, 300);
	assert_int_equal(f.answers, 0);
	leave(&h, &f);
}

/* Defines main(). */
TESTS(answers_are_read, failures_are_told_apart, nothing_is_repeated, nobody_and_nonsense_are_told_apart, a_fetch_may_be_cancelled_and_a_client_freed)
