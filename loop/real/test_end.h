/* loop/real/test_end.h - for tests: one end of a stream, which notes what it hears.
 *
 * Why       Every test of sockets wants two ends and the order of what happened to them.
 * Promise   `log` holds "opened", "data" with sizes left out, "drained" and "ended FAULT" as they came, blank after each.
 * Owns      Its stream until test_end_close().
 * Refuses   More than 4 MB of data. */
#pragma once
#include "loop/stream.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct test_end {
	struct loop *loop;
	struct stream *stream;
	struct buf got;
	char log[4096], why[256];
	size_t take_max; /* of one offer; 0 is everything */
	size_t stop_at;  /* the loop stops when so much has come; 0 is never */
	bool takes_nothing, stops_when_opened, stops_when_ended, echoes;
	enum fault fault;
	int opened, drained;
	void (*on_opened)(struct test_end *);
	void (*on_data)(struct test_end *);
	void (*on_ended)(struct test_end *);
};

static inline void test_end_note(struct test_end *e, const char *what)
{
	if (strlen(e->log) + strlen(what) + 2 < sizeof e->log)
		strcat(strcat(e->log, what), " ");
}

static inline void test_end_opened(void *self)
{
	struct test_end *e = self;

	e->opened++;
	test_end_note(e, "opened");
	if (e->on_opened)
		e->on_opened(e);
	if (e->stops_when_opened)
		loop_stop(e->loop);
}

static inline size_t test_end_data(void *self, struct span bytes)
{
	struct test_end *e = self;
	size_t take = e->takes_nothing ? 0 : e->take_max && e->take_max < bytes.size ? e->take_max : bytes.size;

	assert_true(bytes.size > 0);
	test_end_note(e, "data");
	assert_true(buf_put(&e->got, span_slice(bytes, 0, take)));
	if (e->echoes)
		stream_write(e->stream, span_slice(bytes, 0, take));
	if (e->on_data)
		e->on_data(e);
	if (e->stop_at && e->got.size >= e->stop_at)
		loop_stop(e->loop);
	return take;
}

static inline void test_end_drained(void *self)
{
	struct test_end *e = self;

	e->drained++;
	test_end_note(e, "drained");
}

static inline void test_end_ended(void *self, enum fault fault, struct span why)
{
	struct test_end *e = self;

	test_end_note(e, "ended");
	test_end_note(e, fault_row(fault)->name);
	e->fault = fault;
	snprintf(e->why, sizeof e->why, "%.*s", SPAN_ARGS(why));
	if (e->on_ended)
		e->on_ended(e);
	if (e->stops_when_ended)
		loop_stop(e->loop);
}

static const struct stream_events test_end_events = { test_end_opened, test_end_data, test_end_drained,
						      test_end_ended };

static inline void test_end_init(struct test_end *e, struct loop *loop)
{
	*e = (struct test_end){ .loop = loop };
	buf_init(&e->got, 4 * 1024 * 1024);
}

static inline void test_end_close(struct test_end *e)
{
	stream_close(&e->stream);
	buf_free(&e->got);
}

static inline void test_end_adopt(struct test_end *e, struct loop *loop, int fd)
{
	test_end_init(e, loop);
	e->stream = stream_adopt_take(loop, fd, &test_end_events, e);
}

/* A listener that makes one end of the first connection, and closes the others. */
struct test_host {
	struct loop *loop;
	struct listener *listener;
	struct address at;
	struct test_end end;
	void (*prepare)(struct test_end *);
	int accepted;
};

static inline void test_host_accepted(void *self, int fd, const struct address *peer)
{
	struct test_host *h = self;

	if (h->accepted++) {
		struct stream *more = stream_adopt_take(h->loop, fd, &test_end_events, &h->end);

		stream_close(&more);
		return;
	}
	h->end.stream = stream_adopt_take(h->loop, fd, &test_end_events, &h->end);
	if (h->prepare)
		h->prepare(&h->end);
}

static inline void test_host_open(struct test_host *h, struct loop *loop, const char *address)
{
	struct address a;
	int fd;

	*h = (struct test_host){ .loop = loop };
	test_end_init(&h->end, loop);
	assert_true(address_parse(&a, span_of(address), 0));
	fd = listener_bind(&a, 16);
	assert_true(fd >= 0);
	h->at = listener_address(fd);
	h->listener = listener_new(loop, fd, test_host_accepted, h);
}

static inline void test_host_close(struct test_host *h)
{
	test_end_close(&h->end);
	listener_free(&h->listener);
}

/* A port that refuses, kept from others by being bound; -1 when somebody has it. 0 lets the system choose. */
static inline int test_refusing_port(const char *address, uint16_t port, struct address *at_out)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct address a;
	int fd, failed;

	assert_true(address_parse(&a, span_of(address), port));
	memcpy(&six.sin6_addr, a.bytes, 16);
	memcpy(&four.sin_addr, a.bytes, 4);
	fd = socket(a.family == ADDRESS_IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	failed = a.family == ADDRESS_IPV6 ? bind(fd, (struct sockaddr *)&six, sizeof six)
					  : bind(fd, (struct sockaddr *)&four, sizeof four);
	if (failed) {
		close(fd);
		return -1;
	}
	*at_out = listener_address(fd);
	return fd;
}

/* A test that hangs is a failure, not a wait. */
static inline void test_too_late(void *self)
{
	fail_msg("nothing more happened within 20 s");
}

static inline void test_run(struct loop *loop)
{
	struct timer watchdog;

	timer_init(&watchdog, loop, test_too_late, NULL);
	timer_after(&watchdog, 20 * 1000);
	loop_run(loop);
	timer_stop(&watchdog);
}

static inline void test_stop(void *loop)
{
	loop_stop(loop);
}

/* Lets the loop run for some time, for what must not happen. */
static inline void test_run_for(struct loop *loop, int wait_ms)
{
	struct timer end;

	timer_init(&end, loop, test_stop, loop);
	timer_after(&end, wait_ms);
	loop_run(loop);
	timer_stop(&end); /* something else may have stopped the loop */
}
