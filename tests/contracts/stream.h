/* tests/contracts/stream.h - what loop/stream.h promises, as tests that both sides of it have to pass.
 *
 * Why       Replay proves something about the product only while the fake streams keep the real ones' promises.
 * Promise   Included by one test file for each side, which adds nothing.
 * Owns      Its loops and streams.
 * Refuses   What only one side can do: TLS needs real certificates on one, and faults are injected on the other. */
#pragma once
#include "tests/test.h"

#include "base/buf.h"
#include "loop/stream.h"

#include <stdlib.h>

enum { CONTRACT_LIMIT_MS = 20000 };

/* One side of a connection, and what it saw. */
struct party {
	struct stream *stream;
	struct buf got;
	size_t opened, drained, ended, most;
	enum fault fault;
	bool called_inside, inside;
	size_t take_at_most; /* of one offer; 0 takes nothing */
	struct loop *stop_at_end, *stop_at_bytes;
	size_t stop_bytes;
};

struct room {
	struct loop *loop;
	struct timer limit;
	struct listener *listener;
	struct address at;
	struct party client, server;
	bool is_late;
};

static void contract_opened(void *self)
{
	struct party *p = self;

	p->opened++;
	p->called_inside |= p->inside;
}

static size_t contract_data(void *self, struct span bytes)
{
	struct party *p = self;
	size_t taken = bytes.size < p->take_at_most ? bytes.size : p->take_at_most;

	p->called_inside |= p->inside;
	p->most = bytes.size > p->most ? bytes.size : p->most;
	assert_true(buf_put(&p->got, span_slice(bytes, 0, taken)));
	if (p->stop_at_bytes && p->got.size >= p->stop_bytes)
		loop_stop(p->stop_at_bytes);
	return taken;
}

static void contract_drained(void *self)
{
	((struct party *)self)->drained++;
}

static void contract_ended(void *self, enum fault fault, struct span why)
{
	struct party *p = self;

	p->ended++;
	p->fault = fault;
	p->called_inside |= p->inside;
	if (p->stop_at_end)
		loop_stop(p->stop_at_end);
}

static const struct stream_events contract_events = { contract_opened, contract_data, contract_drained, contract_ended };

static void contract_late(void *self)
{
	struct room *r = self;

	r->is_late = true;
	loop_stop(r->loop);
}

static void contract_accepted(void *self, int fd, const struct address *peer)
{
	struct room *r = self;

	assert_null(r->server.stream);
	assert_int_equal(peer->family, ADDRESS_IPV4);
	r->server.stream = stream_adopt_take(r->loop, fd, &contract_events, &r->server);
}

static void room_enter(struct room *r)
{
	int fd;

	*r = (struct room){ .loop = loop_new() };
	timer_init(&r->limit, r->loop, contract_late, r);
	timer_after(&r->limit, CONTRACT_LIMIT_MS);
	buf_init(&r->client.got, 16 * 1024 * 1024);
	buf_init(&r->server.got, 16 * 1024 * 1024);
	r->client.take_at_most = r->server.take_at_most = SIZE_MAX;
	assert_true(address_parse(&r->at, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&r->at, 16);
	assert_true(fd >= 0);
	r->at = listener_address(fd);
	assert_int_not_equal(r->at.port, 0);
	r->listener = listener_new(r->loop, fd, contract_accepted, r);
	r->client.stream = stream_connect(r->loop, &r->at, NULL, 5000, &contract_events, &r->client);
}

static void room_leave(struct room *r)
{
	assert_false(r->client.called_inside || r->server.called_inside);
	assert_false(r->is_late);
	timer_stop(&r->limit);
	stream_close(&r->client.stream);
	stream_close(&r->server.stream);
	listener_free(&r->listener);
	buf_free(&r->client.got);
	buf_free(&r->server.got);
	loop_free(&r->loop);
}

static void stop_now(void *self)
{
	loop_stop(self);
}

static void run_for(struct room *r, int64_t ms)
{
	struct timer t;

	timer_init(&t, r->loop, stop_now, r->loop);
	timer_after(&t, ms);
	loop_run(r->loop);
	timer_stop(&t);
}

/* Bytes in which a loss, a repetition or a change of order shows. */
static void put_pattern(struct stream *s, size_t from, size_t size)
{
	char *bytes = malloc(size);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)((from + i) * 31 + ((from + i) >> 8));
	stream_write(s, (struct span){ bytes, size });
	free(bytes);
}

static void assert_pattern(const struct buf *got, size_t size)
{
	assert_int_equal(got->size, size);
	for (size_t i = 0; i < size; i++)
		if (got->at[i] != (char)(i * 31 + (i >> 8)))
			fail_msg("byte %zu differs", i);
}

static void bytes_arrive_whole_and_in_order(void **state)
{
	struct room r;
	size_t size = 3 * 1024 * 1024;

	room_enter(&r);
	r.server.stop_at_bytes = r.loop;
	r.server.stop_bytes = size;
	r.client.inside = true;
	put_pattern(r.client.stream, 0, 1);
	put_pattern(r.client.stream, 1, size - 1);
	r.client.inside = false;
	loop_run(r.loop);
	assert_pattern(&r.server.got, size);
	assert_true(r.server.most <= STREAM_UNREAD_BYTES);
	assert_int_equal(r.client.opened, 1);
	assert_int_equal(r.server.opened, 1);
	room_leave(&r);
}

static void what_is_not_taken_is_offered_again(void **state)
{
	struct room r;

	room_enter(&r);
	r.server.take_at_most = 3;
	stream_write(r.client.stream, SPAN("abcdef"));
	run_for(&r, 200);
	assert_true(r.server.got.size >= 3 && r.server.got.size <= 6);
	assert_int_equal(stream_unread(r.server.stream), 6 - r.server.got.size);
	r.server.take_at_most = SIZE_MAX;
	stream_resume(r.server.stream);
	run_for(&r, 200);
	assert_span(buf_span(&r.server.got), "abcdef");
	assert_int_equal(stream_unread(r.server.stream), 0);
	room_leave(&r);
}

static void a_pause_holds_the_sender_back(void **state)
{
	struct room r;
	size_t size = 4 * 1000 * 1000;

	room_enter(&r);
	run_for(&r, 200);
	stream_pause(r.server.stream);
	put_pattern(r.client.stream, 0, size);
	run_for(&r, 300);
	assert_int_equal(r.server.got.size, 0);
	assert_true(stream_unsent(r.client.stream) > 64 * 1024);
	assert_false(stream_is_heard(r.client.stream));
	stream_resume(r.server.stream);
	r.server.stop_at_bytes = r.loop;
	r.server.stop_bytes = size;
	loop_run(r.loop);
	assert_pattern(&r.server.got, size);
	run_for(&r, 200);
	assert_int_equal(r.client.drained, 1);
	assert_true(stream_is_heard(r.client.stream));
	room_leave(&r);
}

static void too_much_unsent_ends_the_stream(void **state)
{
	struct room r;

	room_enter(&r);
	run_for(&r, 200);
	stream_pause(r.server.stream);
	r.client.inside = true;
	for (size_t i = 0; i < 80; i++)
		put_pattern(r.client.stream, 0, 100 * 1024);
	r.client.inside = false;
	run_for(&r, 200);
	assert_int_equal(r.client.ended, 1);
	assert_int_equal(r.client.fault, FAULT_NO_MEMORY);
	room_leave(&r);
}

static void finish_sends_all_and_then_ends(void **state)
{
	struct room r;
	size_t size = 1000 * 1000;

	room_enter(&r);
	run_for(&r, 200);
	put_pattern(r.client.stream, 0, size);
	stream_finish(&r.client.stream);
	assert_null(r.client.stream);
	r.server.stop_at_end = r.loop;
	loop_run(r.loop);
	assert_pattern(&r.server.got, size);
	assert_int_equal(r.server.ended, 1);
	assert_int_equal(r.server.fault, FAULT_CLOSED);
	assert_int_equal(r.client.ended, 0);
	room_leave(&r);
}

static void closing_drops_what_is_unsent(void **state)
{
	struct room r;

	room_enter(&r);
	run_for(&r, 200);
	stream_write(r.client.stream, SPAN("bye"));
	stream_close(&r.client.stream);
	r.server.stop_at_end = r.loop;
	loop_run(r.loop);
	assert_span(buf_span(&r.server.got), "");
	assert_int_equal(r.server.fault, FAULT_CLOSED);
	stream_write(r.server.stream, SPAN("nobody hears this"));
	stream_finish(&r.server.stream);
	run_for(&r, 200);
	room_leave(&r);
}

static void nobody_there_is_said(void **state)
{
	struct room r;

	room_enter(&r);
	run_for(&r, 200);
	listener_free(&r.listener);
	stream_close(&r.client.stream);
	r.client = (struct party){ .got = r.client.got, .stop_at_end = r.loop };
	r.client.stream = stream_connect(r.loop, &r.at, NULL, 5000, &contract_events, &r.client);
	loop_run(r.loop);
	assert_int_equal(r.client.opened, 0);
	assert_int_equal(r.client.ended, 1);
	assert_int_equal(r.client.fault, FAULT_UNREACHABLE);
	room_leave(&r);
}

/* Parties of a pair: no listener is needed. */
static void pair_enter(struct room *r)
{
	int fds[2];

	*r = (struct room){ .loop = loop_new() };
	timer_init(&r->limit, r->loop, contract_late, r);
	timer_after(&r->limit, CONTRACT_LIMIT_MS);
	buf_init(&r->client.got, 1024 * 1024);
	buf_init(&r->server.got, 1024 * 1024);
	r->client.take_at_most = r->server.take_at_most = SIZE_MAX;
	assert_int_equal(stream_pair(fds), 0);
	r->client.stream = stream_adopt_take(r->loop, fds[0], &contract_events, &r->client);
	r->server.stream = stream_adopt_take(r->loop, fds[1], &contract_events, &r->server);
}

static void descriptors_come_along_in_order(void **state)
{
	struct room r;
	struct address first, second;
	int fd;

	pair_enter(&r);
	for (int i = 0; i < 2; i++) {
		struct address any = { 0 };

		assert_true(address_parse(&any, SPAN("127.0.0.1"), 0));
		fd = listener_bind(&any, 4);
		*(i ? &second : &first) = listener_address(fd);
		stream_send_fd_take(r.client.stream, fd);
		stream_write(r.client.stream, SPAN("here"));
	}
	r.server.stop_at_bytes = r.loop;
	r.server.stop_bytes = 8;
	loop_run(r.loop);
	fd = stream_take_fd(r.server.stream);
	assert_int_equal(listener_address(fd).port, first.port);
	r.listener = listener_new(r.loop, fd, contract_accepted, &r);
	listener_free(&r.listener);
	fd = stream_take_fd(r.server.stream);
	assert_int_equal(listener_address(fd).port, second.port);
	r.listener = listener_new(r.loop, fd, contract_accepted, &r);
	assert_int_equal(stream_take_fd(r.server.stream), -1);
	room_leave(&r);
}

struct second_owner {
	struct buf got;
	struct loop *loop;
};

static size_t second_data(void *self, struct span bytes)
{
	struct second_owner *owner = self;

	buf_put(&owner->got, bytes);
	loop_stop(owner->loop);
	return bytes.size;
}

static void another_owner_gets_what_came(void **state)
{
	static const struct stream_events others = { contract_opened, second_data, NULL, contract_ended };
	struct room r;
	struct second_owner owner = { .got = { 0 } };

	pair_enter(&r);
	owner.loop = r.loop;
	buf_init(&owner.got, 100);
	r.server.take_at_most = 2;
	stream_write(r.client.stream, SPAN("abcd"));
	run_for(&r, 200);
	stream_set_events(r.server.stream, &others, &owner);
	loop_run(r.loop);
	assert_int_equal(r.server.got.size + owner.got.size, 4);
	assert_true(owner.got.size > 0 && owner.got.at[owner.got.size - 1] == 'd');
	buf_free(&owner.got);
	room_leave(&r);
}

/* Defines main(). */
TESTS(bytes_arrive_whole_and_in_order, what_is_not_taken_is_offered_again, a_pause_holds_the_sender_back,
      too_much_unsent_ends_the_stream, finish_sends_all_and_then_ends, closing_drops_what_is_unsent,
      nobody_there_is_said, descriptors_come_along_in_order, another_owner_gets_what_came)
