#include "loop/real/pump.h"

#include "base/panic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_BYTES = 16 * 1024, IGNORED_BYTES = 16 * 1024 * 1024 };

size_t pump_unsent(const struct stream *s)
{
	return outbox_size(&s->plain) + outbox_size(&s->out);
}

/* Nothing goes out any more. */
static void let_go(struct stream *s)
{
	s->dropped |= pump_unsent(s) != 0;
	watch_close(&s->watch);
	outbox_free(&s->plain, s->loop);
	outbox_free(&s->out, s->loop);
	s->blocked = false;
	loop_soon(s->loop, &s->tell);
}

void pump_fail(struct stream *s, enum fault fault, const char *format, ...)
{
	va_list list;

	if (s->fault != FAULT_OK || s->closed)
		return;
	s->fault = fault;
	va_start(list, format);
	vsnprintf(s->why, sizeof s->why, format, list);
	va_end(list);
	timer_stop(&s->deadline);
	let_go(s);
}

void pump_fail_errno(struct stream *s, int number)
{
	if (s->phase == CONNECTING)
		pump_fail(s, number == ETIMEDOUT ? FAULT_TIMEOUT : FAULT_UNREACHABLE, "%s", strerror(number));
	else if (s->phase == SHAKING)
		pump_fail(s, FAULT_TLS_FAILED, "TLS handshake: %s", strerror(number));
	else if (number == ENOBUFS)
		pump_fail(s, FAULT_NO_MEMORY, "too many descriptors came");
	else
		pump_fail(s, number == ETIMEDOUT ? FAULT_TIMEOUT : FAULT_CLOSED, "%s", strerror(number));
}

static bool may_read(const struct stream *s)
{
	return !s->closed && !s->at_end && s->fault == FAULT_OK && s->phase != CONNECTING && !s->paused &&
	       !s->owes_shake && s->unread.size < STREAM_UNREAD_BYTES;
}

/* A pause costs nothing until bytes come during it: most are over before. */
void pump_rewatch(struct stream *s)
{
	bool full = s->unread.size >= STREAM_UNREAD_BYTES;
	unsigned events = 0;

	if (s->closed || s->fault != FAULT_OK)
		return;
	if (s->phase == CONNECTING)
		events = WATCH_WRITE;
	else
		events = (!s->at_end && !s->deaf && !full ? WATCH_READ : 0u) | (s->blocked ? WATCH_WRITE : 0u);
	watch_want(&s->watch, events);
}

/* --- what goes out */

static void say_goodbye(struct stream *s)
{
	if (s->said_goodbye)
		return;
	s->said_goodbye = true;
	if (s->cipher) {
		loop_lend(s->loop, &s->out.bytes);
		cipher_goodbye(s->cipher);
	}
}

/* Encrypts no more than is sent soon, so that the bytes of a slow reader lie here once. */
static bool seal_some(struct stream *s)
{
	while (s->phase == ENCRYPTED && outbox_size(&s->plain) && outbox_size(&s->out) < PUMP_SEALED_BYTES) {
		struct span piece = outbox_next(&s->plain, RECORD_BYTES);

		if (!s->out.bytes.at)
			loop_lend(s->loop, &s->out.bytes);
		if (cipher_write(s->cipher, piece) != FAULT_OK) {
			pump_fail(s, FAULT_TLS_FAILED, "%s", cipher_why(s->cipher));
			return false;
		}
		outbox_went(&s->plain, s->loop, piece.size);
	}
	return true;
}

/* What the other side said before it went can still be read, and is worth more than our error. */
static void hang(struct stream *s)
{
	s->hung = true;
	let_go(s);
}

static int send_all(struct stream *s)
{
	int sent;

	do {
		if (!seal_some(s))
			return -1;
		sent = outbox_send(&s->out, s->loop, s->fd);
	} while (sent > 0 && s->phase == ENCRYPTED && outbox_size(&s->plain));
	if (sent < 0)
		hang(s);
	return sent;
}

void pump_flush(void *self)
{
	struct stream *s = self;
	int sent;

	if (s->closed || s->hung || s->fault != FAULT_OK || s->phase == CONNECTING)
		return;
	sent = send_all(s);
	if (sent > 0 && s->finishing) {
		say_goodbye(s);
		sent = send_all(s);
	}
	if (sent < 0)
		return;
	if (s->blocked != !sent) {
		s->blocked = !sent;
		pump_rewatch(s);
	}
	if (s->drain_mark && pump_unsent(s) < s->drain_mark / 2) {
		s->drain_mark = 0;
		s->owes_drained = true;
		loop_soon(s->loop, &s->tell);
	}
	if (s->finishing && sent) {
		shutdown(s->fd, SHUT_WR);
		if (s->at_end)
			stream_destroy(s);
	}
}

/* --- what comes in */

void pump_keep(struct stream *s, struct span bytes)
{
	if (!s->unread.at)
		loop_lend(s->loop, &s->unread);
	if (s->unread.size)
		explicit_bzero(s->unread.at, s->unread.size);
	buf_clear(&s->unread);
	buf_put(&s->unread, bytes);
	if (!bytes.size)
		loop_return(s->loop, &s->unread);
}

/* Offers `bytes`, of which the kept ones are the beginning, and keeps what is not taken. `bytes` never lie in `unread`.
 */
static void offer(struct stream *s, struct span bytes)
{
	size_t taken = 0;

	if (s->finishing) {
		pump_keep(s, SPAN(""));
		return;
	}
	if (bytes.size && !s->paused && !s->ended) {
		s->offered = bytes.size;
		taken = s->events->data(s->self, bytes);
		s->offered = 0;
		if (s->closed)
			return;
		ASSERT(taken <= bytes.size);
		if (s->finishing)
			taken = bytes.size;
	}
	if (taken < bytes.size || s->unread.size)
		pump_keep(s, span_slice(bytes, taken, bytes.size));
	if (s->owes_shake)
		loop_soon(s->loop, &s->tell);
}

/* The kept bytes, copied to where more can follow them. */
static size_t gather(struct stream *s)
{
	if (s->unread.size)
		memcpy(loop_plain(s->loop), s->unread.at, s->unread.size);
	return s->unread.size;
}

static void offer_kept(struct stream *s)
{
	char *plain = loop_plain(s->loop);
	size_t kept;

	if (!s->unread.size || (s->phase != OPEN && s->phase != ENCRYPTED))
		return;
	kept = gather(s);
	offer(s, (struct span){ plain, kept });
	explicit_bzero(plain, kept);
}

/* The alert first: the other side is told what was wrong. */
static void fail_cipher(struct stream *s, enum fault f)
{
	pump_flush(s);
	pump_fail(s, f, "%s", cipher_why(s->cipher));
}

static void open_sealed(struct stream *s)
{
	char *plain = loop_plain(s->loop);
	size_t kept = gather(s), got;
	enum fault f = cipher_read(s->cipher, plain + kept, LOOP_PLAIN_BYTES - kept, &got);

	if (outbox_size(&s->out))
		loop_at_end(s->loop, &s->flush);
	if (got)
		offer(s, (struct span){ plain, kept + got });
	/* All streams of the loop read into the same memory: nobody's password stays in it. */
	explicit_bzero(plain, kept + got);
	if (s->closed)
		return;
	if (f == FAULT_CLOSED)
		s->at_end = true;
	else if (f != FAULT_OK)
		fail_cipher(s, f);
}

static void shake(struct stream *s)
{
	enum fault f;

	if (!s->out.bytes.at)
		loop_lend(s->loop, &s->out.bytes);
	f = cipher_shake(s->cipher);
	if (outbox_size(&s->out))
		loop_at_end(s->loop, &s->flush);
	if (f != FAULT_OK) {
		fail_cipher(s, f);
		return;
	}
	if (!cipher_is_open(s->cipher))
		return;
	s->phase = ENCRYPTED;
	timer_stop(&s->deadline);
	loop_at_end(s->loop, &s->flush);
	if (!s->finishing)
		s->events->opened(s->self);
}

static void take_in(struct stream *s, struct span bytes)
{
	if (!s->cipher) {
		size_t kept = gather(s);
		char *plain;

		if (!kept) {
			offer(s, bytes);
			return;
		}
		plain = loop_plain(s->loop);
		memcpy(plain + kept, bytes.at, bytes.size);
		offer(s, (struct span){ plain, kept + bytes.size });
		explicit_bzero(plain, kept + bytes.size);
		return;
	}
	cipher_feed(s->cipher, bytes);
	if (s->phase == SHAKING)
		shake(s);
	if (!s->closed && s->phase == ENCRYPTED && s->fault == FAULT_OK)
		open_sealed(s);
}

static void reach_end(struct stream *s)
{
	s->at_end = true;
	if (s->phase == SHAKING)
		pump_fail(s, FAULT_TLS_FAILED, "TLS handshake: the other side closed");
	else if (s->finishing && !pump_unsent(s))
		stream_destroy(s);
}

/* It may still be sending when our last words leave, and would lose them to a reset; but not for ever. */
static bool ignore(struct stream *s, size_t size)
{
	s->ignored += size;
	if (s->ignored <= IGNORED_BYTES)
		return true;
	stream_destroy(s);
	return false;
}

/* One read. False when there is nothing to be had now. */
static bool receive(struct stream *s)
{
	char *raw = loop_raw(s->loop);
	ssize_t got =
		socket_receive(s->fd, raw, STREAM_UNREAD_BYTES - s->unread.size, s->is_unix ? &s->descriptors : NULL);

	if (got > 0) {
		if (s->finishing)
			return ignore(s, (size_t)got);
		take_in(s, (struct span){ raw, (size_t)got });
		explicit_bzero(raw, (size_t)got);
		return true;
	}
	if (!got)
		reach_end(s);
	else if (errno == EINTR)
		return true;
	else if (errno != EAGAIN)
		pump_fail_errno(s, errno);
	else if (s->hung)
		pump_fail_errno(s, ECONNRESET);
	return false;
}

/* --- telling the owner */

/* An orderly end waits until the owner has taken everything. */
static void conclude(struct stream *s)
{
	if (s->closed || s->ended || (s->fault == FAULT_OK && (!s->at_end || s->unread.size)))
		return;
	s->ended = true;
	if (s->finishing) {
		if (s->fault != FAULT_OK || !pump_unsent(s))
			stream_destroy(s);
		return;
	}
	if (s->fault == FAULT_OK)
		s->events->ended(s->self, FAULT_CLOSED, SPAN(""));
	else
		s->events->ended(s->self, s->fault, span_of(s->why));
}

static void tell_opened(struct stream *s)
{
	if (!s->owes_opened || s->fault != FAULT_OK)
		return;
	s->owes_opened = false;
	s->events->opened(s->self);
}

/* What was read in the clear behind the place where TLS begins. */
static void begin_shake(struct stream *s)
{
	size_t size = s->unread.size;

	s->owes_shake = false;
	if (size)
		memcpy(loop_raw(s->loop), s->unread.at, size);
	pump_keep(s, SPAN(""));
	take_in(s, (struct span){ loop_raw(s->loop), size });
}

void pump_tell(void *self)
{
	struct stream *s = self;

	loop_cancel(&s->tell);
	tell_opened(s);
	if (!s->closed && s->owes_shake && s->fault == FAULT_OK)
		begin_shake(s);
	if (!s->closed && (s->owes_offer || s->fault != FAULT_OK)) {
		s->owes_offer = false;
		offer_kept(s);
	}
	while (s->hung && may_read(s) && receive(s))
		;
	if (!s->closed && s->owes_drained) {
		s->owes_drained = false;
		if (s->events->drained && !s->ended && !s->finishing && s->fault == FAULT_OK)
			s->events->drained(s->self);
	}
	conclude(s);
	pump_rewatch(s);
}

static void connected(struct stream *s, unsigned events)
{
	int error = socket_error(s->fd);

	if (error || (events & WATCH_FAILED)) {
		pump_fail_errno(s, error ? error : ECONNREFUSED);
		return;
	}
	s->phase = OPEN;
	s->owes_opened = true;
	timer_stop(&s->deadline);
	loop_at_end(s->loop, &s->flush);
	pump_tell(s);
}

void pump_ready(void *self, unsigned events)
{
	struct stream *s = self;

	if (s->phase == CONNECTING) {
		connected(s, events);
		return;
	}
	if (s->owes_opened || s->owes_shake)
		pump_tell(s);
	if (!s->closed && (events & WATCH_WRITE))
		pump_flush(s);
	if (s->closed || s->fault != FAULT_OK)
		return;
	if (events & WATCH_FAILED) {
		int error = s->at_end ? socket_error(s->fd) : 0;

		hang(s);
		if (error)
			pump_fail_errno(s, error);
	} else if (events & WATCH_READ) {
		if (may_read(s))
			receive(s);
		else
			s->deaf = true;
	}
	conclude(s);
	pump_rewatch(s);
}

void pump_deadline(void *self)
{
	struct stream *s = self;

	if (s->finishing)
		stream_destroy(s);
	else if (s->phase == CONNECTING)
		pump_fail(s, FAULT_TIMEOUT, "no connection within %d ms", s->timeout_ms);
	else
		pump_fail(s, FAULT_TIMEOUT, "no TLS handshake within %d ms", PUMP_SHAKE_MS);
}
