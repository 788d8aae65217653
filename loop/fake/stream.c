#include "loop/stream.h"

#include "base/panic.h"
#include "loop/fake/network.h"
#include "loop/fake/null_tls.h"

#include <stdlib.h>
#include <string.h>

enum { HANDSHAKE_MS = 30000, FINISH_MS = 10000 };

enum tls_state { TLS_OFF, TLS_CLIENT_WAITS, TLS_SERVER_WAITS, TLS_SERVER_WELCOMED, TLS_ON };

struct stream {
	struct loop *loop;
	struct end *end;
	const struct stream_events *events;
	void *self;
	struct timer turn, deadline;
	bool connecting, tell_opened, is_over, finishing, paused, offer, other_over, is_half_closed;
	bool busy, gone; /* inside a callback; closed meanwhile */
	enum tls_state tls_state;
	struct tls *tls;
	char host_name[256];
	struct buf unread, unsent;
	size_t asked_unsent;
	int *fds;
	size_t fd_count;
	size_t *fd_places;
	enum fault fault;
	char why[160];
	struct address peer;
	struct stream *next;
};

static void turn(void *self);
static void late(void *self);

static void wake(struct stream *s)
{
	if (!timer_is_set(&s->turn))
		timer_after(&s->turn, 0);
}

void stream_arrived(struct stream *s)
{
	wake(s);
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
static void fail(struct stream *s, enum fault fault, const char *why)
{
	if (s->fault)
		return;
	s->fault = fault;
	buf_clear(&s->unsent);
	strncat(s->why, why, sizeof s->why - 1);
	wake(s);
}

/* The other side has said all it had to say; writing stays possible. */
static void half_close(struct stream *s)
{
	s->fault = FAULT_CLOSED;
	s->is_half_closed = true;
	wake(s);
}

static void late(void *self)
{
	struct stream *s = self;

	if (s->finishing)
		leave(s);
	else if (s->connecting)
		fail(s, FAULT_TIMEOUT, "no answer to the connection attempt");
	else
		fail(s, FAULT_TIMEOUT, "the TLS handshake took too long");
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
		fail(s, FAULT_UNREACHABLE, "connection refused");
	}
	if (there_and_back >= timeout_ms) {
		fail(s, FAULT_TIMEOUT, "no answer to the connection attempt");
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
		wake(s);
	} else if (!loop->dead) {
		fail(s, FAULT_UNREACHABLE, "no such descriptor");
	}
	return s;
}

void stream_set_events(struct stream *s, const struct stream_events *events, void *self)
{
	s->events = events;
	s->self = self;
	s->offer = s->unread.size != 0;
	wake(s);
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
static void send_up_to(struct stream *s, size_t room)
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
	return s->end && !s->connecting && !is_broken(s) && (s->tls_state == TLS_OFF || s->tls_state == TLS_ON);
}

static void flush(struct stream *s)
{
	if (may_send(s))
		send_up_to(s, network_room(s->end));
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
		fail(s, FAULT_NO_MEMORY, "too much waits to be sent");
	wake(s);
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

/* --- the null TLS: three segments stand for the handshake */

static void send_text(struct stream *s, enum segment_kind kind, struct span text)
{
	char *copy = malloc(text.size + 1);

	if (!copy)
		panic("out of memory");
	memcpy(copy, text.at, text.size);
	network_send_take(s->end, kind, copy, text.size, NULL, 0);
}

static void start_tls(struct stream *s, struct tls *tls, enum tls_state state)
{
	if (s->fault || s->is_over || !s->end || s->loop->dead)
		return;
	ASSERT(s->tls_state == TLS_OFF);
	send_up_to(s, SIZE_MAX);
	s->tls = tls_hold(tls);
	s->tls_state = state;
	if (s->unread.size)
		fail(s, FAULT_TLS_FAILED, "text where TLS was expected");
	buf_clear(&s->unread);
	timer_after(&s->deadline, HANDSHAKE_MS);
	wake(s);
}

void stream_start_tls_server(struct stream *s, struct tls *tls)
{
	start_tls(s, tls, TLS_SERVER_WAITS);
}

void stream_start_tls_client(struct stream *s, struct tls *tls, struct span host_name)
{
	start_tls(s, tls, TLS_CLIENT_WAITS);
	if (s->tls_state != TLS_CLIENT_WAITS || s->fault)
		return;
	if (host_name.size >= sizeof s->host_name)
		host_name.size = sizeof s->host_name - 1;
	memcpy(s->host_name, host_name.at, host_name.size);
	send_text(s, SEGMENT_HELLO, host_name);
}

static void established(struct stream *s)
{
	s->tls_state = TLS_ON;
	s->tell_opened = true;
	timer_stop(&s->deadline);
	wake(s);
}

static void welcomed(struct stream *s, struct span certificate)
{
	const char *why = null_tls_verify(s->tls, certificate, span_of(s->host_name));

	if (!why) {
		send_text(s, SEGMENT_FINISHED, SPAN(""));
		established(s);
		return;
	}
	send_text(s, SEGMENT_ALERT, span_of(why));
	fail(s, FAULT_TLS_UNTRUSTED, why);
}

/* The first arrived segment while a handshake is due. */
static void shake_hands(struct stream *s)
{
	struct segment *first = s->end->arrived;
	enum segment_kind kind = first->kind;

	if (s->tls_state == TLS_SERVER_WAITS && kind == SEGMENT_HELLO) {
		s->tls_state = TLS_SERVER_WELCOMED;
		send_text(s, SEGMENT_WELCOME, null_tls_certificate(s->tls));
	} else if (s->tls_state == TLS_SERVER_WELCOMED && kind == SEGMENT_FINISHED) {
		established(s);
	} else if (s->tls_state == TLS_CLIENT_WAITS && kind == SEGMENT_WELCOME) {
		welcomed(s, (struct span){ first->bytes, first->size });
	} else if (kind == SEGMENT_ALERT) {
		fail(s, FAULT_TLS_FAILED, "the client does not believe the certificate");
	} else if (kind == SEGMENT_BYTES) {
		network_take(s->end, first->size - first->taken);
		fail(s, FAULT_TLS_FAILED, "text where TLS was expected");
	} else {
		fail(s, FAULT_TLS_FAILED, "the connection was closed during the TLS handshake");
	}
	network_drop_first(s->end);
}

struct span stream_tls_version(const struct stream *s)
{
	return s->tls_state == TLS_ON ? SPAN("TLSv1.3") : SPAN("");
}

struct span stream_tls_cipher(const struct stream *s)
{
	return s->tls_state == TLS_ON ? SPAN("TLS_AES_256_GCM_SHA384") : SPAN("");
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

		if (s->tls_state != TLS_OFF && s->tls_state != TLS_ON) {
			shake_hands(s);
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
			fail(s, FAULT_CLOSED, "Connection reset by peer");
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
		s->offer = false;
		taken = s->events->data(s->self, buf_span(&s->unread));
		if (!s->gone && taken)
			buf_drop(&s->unread, taken < s->unread.size ? taken : s->unread.size);
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
			fail(s, FAULT_CLOSED, "");
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
		wake(s);
}

void stream_pause(struct stream *s)
{
	s->paused = true;
}

void stream_resume(struct stream *s)
{
	s->paused = false;
	s->offer = s->offer || s->unread.size;
	wake(s);
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
	if (!s->end || is_broken(s) || s->connecting || (s->tls_state != TLS_OFF && s->tls_state != TLS_ON)) {
		leave(s);
		return;
	}
	s->finishing = true;
	timer_after(&s->deadline, FINISH_MS);
	wake(s);
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
