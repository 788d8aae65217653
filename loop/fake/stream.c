#include "loop/stream.h"

#include "base/panic.h"
#include "loop/fake/stream_inner.h"

#include <stdlib.h>
#include <string.h>

enum { FINISH_MS = 10000 };

static void turn(void *self);
static void late(void *self);

void stream_wake(struct stream *s)
{
	if (!timer_is_set(&s->turn))
		timer_after(&s->turn, 0);
}

void stream_arrived(struct stream *s)
{
	stream_wake(s);
}

static struct stream *stream_new(struct loop *loop, const struct stream_events *events, void *self)
{
	struct stream *s = calloc(1, sizeof *s);

	if (!s)
		panic("out of memory");
	*s = (struct stream){ .loop = loop, .events = events, .self = self, .next = loop->streams };
	loop->streams = s;
	buf_init(&s->unread, STREAM_UNREAD_BYTES);
	buf_init(&s->unsent, STREAM_UNSENT_BYTES);
	buf_init(&s->shown, STREAM_UNREAD_BYTES);
	timer_init(&s->turn, loop, turn, s);
	timer_init(&s->deadline, loop, late, s);
	return s;
}

static void stream_free(struct stream *s)
{
	free(s->fds);
	free(s->fd_places);
	buf_wipe(&s->unread);
	buf_wipe(&s->unsent);
	buf_free(&s->shown);
	free(s);
}

/* Takes it out of the world; the memory stays while a callback of it runs. */
static void leave(struct stream *s)
{
	struct stream **at = &s->loop->streams;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	timer_stop(&s->turn);
	timer_stop(&s->deadline);
	if (s->end)
		network_close(s->end);
	s->end = NULL;
	for (size_t i = 0; i < s->fd_count; i++)
		network_handle_close(s->fds[i]);
	s->fd_count = 0;
	tls_drop(&s->tls);
	s->gone = true;
	if (!s->busy)
		stream_free(s);
}

/* Says it is over at the next turn; what was read before is offered first. */
void stream_fail(struct stream *s, enum fault fault, const char *why)
{
	if (s->fault)
		return;
	s->fault = fault;
	buf_clear(&s->unsent);
	strncat(s->why, why, sizeof s->why - 1);
	stream_wake(s);
}

/* The other side has said all it had to say; writing stays possible. */
static void half_close(struct stream *s)
{
	s->fault = FAULT_CLOSED;
	s->is_half_closed = true;
	stream_wake(s);
}

static void late(void *self)
{
	struct stream *s = self;

	if (s->finishing)
		leave(s);
	else if (s->connecting)
		stream_fail(s, FAULT_TIMEOUT, "no answer to the connection attempt");
	else
		stream_fail(s, FAULT_TIMEOUT, "the TLS handshake took too long");
}

/* Whether nothing more goes out: it failed, which the other side's closing its half is not. */
static bool is_broken(const struct stream *s)
{
	return (s->fault && !s->is_half_closed) || s->loop->dead;
}

/* --- opening */

struct stream *stream_connect(struct loop *loop, const struct address *address, const struct address *source, int timeout_ms,
			      const struct stream_events *events, void *self)
{
	struct stream *s = stream_new(loop, events, self);
	bool silent;
	int there_and_back = network_delay_ms(address, address->family == ADDRESS_PATH) * 2;

	s->connecting = true;
	s->peer = *address;
	if (loop->dead)
		return s;
	if (network_connect(address, source, &s->end, &silent)) {
		s->end->stream = s;
		s->tell_opened = true;
	} else if (silent) {
		timer_after(&s->deadline, timeout_ms);
		return s;
	} else {
		stream_fail(s, FAULT_UNREACHABLE, "connection refused");
	}
	if (there_and_back >= timeout_ms) {
		stream_fail(s, FAULT_TIMEOUT, "no answer to the connection attempt");
		there_and_back = timeout_ms;
	}
	timer_after(&s->turn, there_and_back);
	return s;
}

struct stream *stream_adopt_take(struct loop *loop, int fd, const struct stream_events *events, void *self)
{
	struct stream *s = stream_new(loop, events, self);

	s->end = network_end_take(fd);
	if (s->end) {
		ASSERT(!s->end->closed);
		s->end->stream = s;
		s->peer = network_other(s->end)->local;
		s->tell_opened = true;
		stream_wake(s);
	} else if (!loop->dead) {
		stream_fail(s, FAULT_UNREACHABLE, "no such descriptor");
	}
	return s;
}

void stream_set_events(struct stream *s, const struct stream_events *events, void *self)
{
	s->events = events;
	s->self = self;
	s->offer = s->unread.size != 0;
	stream_wake(s);
}

/* --- sending */

static void send_piece(struct stream *s, size_t size)
{
	size_t fd_count = 0;
	int *fds = NULL;
	char *bytes = malloc(size);

	while (fd_count < s->fd_count && s->fd_places[fd_count] < size)
		fd_count++;
	if (fd_count)
		fds = malloc(fd_count * sizeof *fds);
	if (!bytes || (fd_count && !fds))
		panic("out of memory");
	if (fd_count) {
		memcpy(fds, s->fds, fd_count * sizeof *fds);
		s->fd_count -= fd_count;
		memmove(s->fds, s->fds + fd_count, s->fd_count * sizeof *s->fds);
		memmove(s->fd_places, s->fd_places + fd_count, s->fd_count * sizeof *s->fd_places);
	}
	for (size_t i = 0; i < s->fd_count; i++)
		s->fd_places[i] -= size;
	memcpy(bytes, s->unsent.at, size);
	buf_drop(&s->unsent, size);
	network_send_take(s->end, SEGMENT_BYTES, bytes, size, fds, fd_count);
}

/* Hands what is queued to the network in pieces cut by the dice, as far as `room` goes. */
void stream_send_up_to(struct stream *s, size_t room)
{
	size_t most = network_piece_max();

	while (s->unsent.size && room) {
		size_t size = (size_t)world_dice(most) + 1;

		size = size < s->unsent.size ? size : s->unsent.size;
		size = size < room ? size : room;
		send_piece(s, size);
		room -= size;
	}
}

static bool may_send(const struct stream *s)
{
	return s->end && !s->connecting && !is_broken(s) && !stream_is_shaking(s);
}

static void flush(struct stream *s)
{
	if (may_send(s))
		stream_send_up_to(s, network_room(s->end));
	if (s->finishing && may_send(s) && !s->unsent.size && !s->end->ended_sent) {
		s->end->ended_sent = true;
		network_send_take(s->end, SEGMENT_END, NULL, 0, NULL, 0);
	}
}

void stream_write(struct stream *s, struct span bytes)
{
	if (is_broken(s))
		return;
	if (!buf_put(&s->unsent, bytes))
		stream_fail(s, FAULT_NO_MEMORY, "too much waits to be sent");
	stream_wake(s);
}

void stream_send_fd_take(struct stream *s, int fd)
{
	if (is_broken(s)) {
		network_handle_close(fd);
		return;
	}
	s->fds = realloc(s->fds, (s->fd_count + 1) * sizeof *s->fds);
	s->fd_places = realloc(s->fd_places, (s->fd_count + 1) * sizeof *s->fd_places);
	if (!s->fds || !s->fd_places)
		panic("out of memory");
	s->fds[s->fd_count] = fd;
	s->fd_places[s->fd_count++] = s->unsent.size;
}

int stream_take_fd(struct stream *s)
{
	struct end *end = s->end;
	int fd;

	if (!end || !end->fd_count)
		return -1;
	fd = end->fds[0];
	memmove(end->fds, end->fds + 1, --end->fd_count * sizeof *end->fds);
	return fd;
}

size_t stream_unread(const struct stream *s)
{
	return s->unread.size;
}

size_t stream_unsent(const struct stream *s)
{
	if (s->unsent.size > 64 * 1024)
		((struct stream *)s)->asked_unsent = s->unsent.size;
	return s->unsent.size;
}

void stream_set_unsent_max(struct stream *s, size_t size_bytes)
{
	s->unsent.max = size_bytes;
}

bool stream_is_heard(const struct stream *s)
{
	return s->end && !s->unsent.size && !s->end->unheard;
}

/* --- receiving */

/* A TLS hello where none was expected looks as it does on a wire. */
static void offer_hello(struct stream *s)
{
	buf_put(&s->unread, SPAN("\x16\x03\x01\x01\x22\x01"));
	s->offer = true;
}

/* Moves arrived bytes to where the owner is offered them. */
static void read_bytes(struct stream *s)
{
	struct segment *first = s->end->arrived;
	size_t room = STREAM_UNREAD_BYTES - s->unread.size, size = first->size - first->taken;

	size = size < room ? size : room;
	buf_put(&s->unread, (struct span){ first->bytes + first->taken, size });
	first->taken += size;
	s->offer = true;
	network_take(s->end, size);
	if (first->taken == first->size)
		network_drop_first(s->end);
}

/* Works on what arrived, until the owner has to be asked. */
static void receive(struct stream *s)
{
	while (s->end && s->end->arrived && !s->fault && !s->tell_opened) {
		enum segment_kind kind = s->end->arrived->kind;

		if (stream_is_shaking(s)) {
			stream_shake(s);
			continue;
		}
		if (s->paused && !(kind == SEGMENT_RESET && s->unsent.size))
			return;
		if (kind == SEGMENT_BYTES && s->unread.size < STREAM_UNREAD_BYTES) {
			read_bytes(s);
			continue;
		}
		if (kind == SEGMENT_BYTES || s->offer || (kind == SEGMENT_END && s->unread.size))
			return;
		network_drop_first(s->end);
		s->other_over = kind == SEGMENT_END || kind == SEGMENT_RESET;
		if (kind == SEGMENT_END)
			half_close(s);
		else if (kind == SEGMENT_RESET)
			stream_fail(s, FAULT_CLOSED, "Connection reset by peer");
		else
			offer_hello(s);
	}
}

static bool is_drained(const struct stream *s)
{
	return s->asked_unsent && s->unsent.size < s->asked_unsent / 2 && !s->fault;
}

/* Calls the owner back; false when the stream is gone afterwards. */
static bool call_back(struct stream *s)
{
	size_t taken = 0;

	s->busy = true;
	if (s->tell_opened && !s->fault) {
		s->tell_opened = s->connecting = false;
		timer_stop(&s->deadline);
		s->events->opened(s->self);
	} else if (s->offer && !s->paused) {
		bool was_clear = s->tls_state == TLS_OFF;

		s->offer = false;
		s->offering = true;
		taken = s->events->data(s->self, buf_span(&s->unread));
		s->offering = false;
		if (!s->gone && taken)
			buf_drop(&s->unread, taken < s->unread.size ? taken : s->unread.size);
		if (!s->gone && was_clear && s->tls_state != TLS_OFF)
			stream_check_clear(s);
	} else if (is_drained(s)) {
		s->asked_unsent = 0;
		if (s->events->drained)
			s->events->drained(s->self);
	} else if (s->fault) {
		s->is_over = true;
		timer_stop(&s->deadline);
		world_note("connection %llu ended for its owner: %s %s", s->end ? (unsigned long long)s->end->connection->serial : 0,
			   fault_row(s->fault)->name, s->why);
		s->events->ended(s->self, s->fault, span_of(s->why));
	}
	s->busy = false;
	if (!s->gone)
		return true;
	stream_free(s);
	return false;
}

static bool wants_call(const struct stream *s)
{
	return (s->tell_opened && !s->fault) || (s->offer && !s->paused) || (s->fault && !s->is_over) ||
	       is_drained(s);
}

/* Throws away what still comes while the rest is sent; over when both sides have said all. */
static void finish_turn(struct stream *s)
{
	while (s->end && s->end->arrived) {
		struct segment *first = s->end->arrived;

		if (first->kind == SEGMENT_BYTES)
			network_take(s->end, first->size - first->taken);
		s->other_over = s->other_over || first->kind == SEGMENT_END || first->kind == SEGMENT_RESET;
		if (first->kind == SEGMENT_RESET)
			stream_fail(s, FAULT_CLOSED, "");
		network_drop_first(s->end);
	}
	flush(s);
	if (!s->end || is_broken(s) || (s->other_over && !s->unsent.size))
		leave(s);
}

static void turn(void *self)
{
	struct stream *s = self;

	if (s->finishing) {
		finish_turn(s);
		return;
	}
	flush(s);
	if (s->is_over)
		return;
	receive(s);
	if (!wants_call(s))
		return;
	if (call_back(s) && !s->is_over)
		stream_wake(s);
}

void stream_pause(struct stream *s)
{
	s->paused = true;
}

void stream_resume(struct stream *s)
{
	s->paused = false;
	s->offer = s->offer || s->unread.size;
	stream_wake(s);
}

/* --- closing */

void stream_close(struct stream **stream)
{
	struct stream *s = *stream;

	*stream = NULL;
	if (s)
		leave(s);
}

void stream_finish(struct stream **stream)
{
	struct stream *s = *stream;

	*stream = NULL;
	if (!s)
		return;
	if (!s->end || is_broken(s) || s->connecting || stream_is_shaking(s)) {
		leave(s);
		return;
	}
	s->finishing = true;
	timer_after(&s->deadline, FINISH_MS);
	stream_wake(s);
}

/* Its kernel closes what a dead process had open; a freed loop takes along what was finishing. */
void stream_loop_died(struct loop *loop)
{
	struct stream *next;

	for (struct stream *s = loop->streams; s; s = next) {
		next = s->next;
		if (s->finishing) {
			leave(s);
			continue;
		}
		if (!loop->dead || !s->end)
			continue;
		network_close(s->end);
		s->end = NULL;
	}
}

struct address stream_peer(const struct stream *s)
{
	return s->peer;
}

bool stream_credentials(const struct stream *s, struct stream_credentials *out)
{
	*out = (struct stream_credentials){ 0 };
	if (!s->end || !s->end->connection->local)
		return false;
	*out = network_peer_identity();
	return true;
}

void stream_set_peer(struct stream *s, const struct address *peer)
{
	s->peer = *peer;
}
