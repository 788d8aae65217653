#include "cli/handover.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"
#include "wire/smtp_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 * 1024, NAME_BYTES = 256, SEND_SECONDS = 300 };

int handover_connect(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = SEND_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), failed;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (span_text(name.sun_path, sizeof name.sun_path, span_of(path)) && !connect(fd, (struct sockaddr *)&name, sizeof name))
		return fd;
	failed = errno;
	close(fd);
	errno = failed;
	return -1;
}

/* --- a message */

struct talk {
	int fd;
	struct smtp_client *client;
	struct postbag_item *item;
	bool (*done)(struct postbag_item *);
	struct handover_end *end;
	bool is_begun;
	struct smtp_client_recipient *recipients;
	struct smtp_client_message message;
	char *piece;
	uint64_t body_at;
	bool is_closed;
};

static void lost(struct talk *t, enum fault f, struct span why)
{
	t->is_closed = true;
	smtp_client_closed(t->client, f, why, (struct span){ "", 0 });
}

static void put(struct talk *t, struct span bytes)
{
	while (bytes.size && !t->is_closed) {
		ssize_t sent = send(t->fd, bytes.at, bytes.size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		/* What it said before it hung up is read yet. */
		if (sent < 0)
			return;
		bytes = span_slice(bytes, (size_t)sent, bytes.size);
	}
}

static void put_body(struct talk *t)
{
	ssize_t got = pread(t->item->fd, t->piece, PIECE_BYTES, t->item->body_at + (off_t)t->body_at);

	if (got < 0) {
		smtp_client_no_body(t->client, FAULT_DISK_FAILED);
		return;
	}
	t->body_at += (uint64_t)got;
	smtp_client_body(t->client, (struct span){ t->piece, (size_t)got }, t->body_at >= t->item->size_bytes || !got);
}

/* What has no code is ours; most of that passes, but for what the message itself is. */
static bool is_final(const struct outcome *o)
{
	return o->code ? o->code >= 500 : outcome_next(o) == OUTCOME_REFUSE;
}

static void take_outcome(struct talk *t)
{
	const struct outcome *worst = &t->recipients[0].outcome;
	size_t taken = 0, refused = 0;

	for (size_t i = 0; i < t->message.recipient_count; i++) {
		const struct outcome *o = &t->recipients[i].outcome;
		bool is_worse = o->fault != FAULT_OK && (worst->fault == FAULT_OK || (is_final(o) && !is_final(worst)));

		taken += o->fault == FAULT_OK;
		refused += o->fault != FAULT_OK && is_final(o);
		if (is_worse)
			worst = o;
	}
	t->end->outcome = *worst;
	t->end->has_answered = t->end->has_answered || worst->code;
	t->end->refused = taken ? (unsigned)(t->message.recipient_count - taken) : 0;
	t->end->kind = taken ? HANDOVER_DONE : refused ? HANDOVER_REFUSED : HANDOVER_AWAY;
	if (taken && t->done && !t->done(t->item))
		t->is_closed = true; /* it stays, and must be known when it comes again */
}

static void take_failure(struct talk *t, const struct outcome *o)
{
	t->end->outcome = *o;
	t->end->has_answered = o->code != 0;
	t->end->kind = is_final(o) && o->code ? HANDOVER_REFUSED : HANDOVER_AWAY;
}

static void carry_out(struct talk *t, const struct smtp_client_wish *w, bool *is_over)
{
	switch (w->kind) {
	case SMTP_CLIENT_WRITE: put(t, w->text); break;
	case SMTP_CLIENT_BODY: put_body(t); break;
	case SMTP_CLIENT_READY:
		if (t->is_begun)
			smtp_client_quit(t->client);
		else
			smtp_client_message(t->client, &t->message);
		t->is_begun = true;
		break;
	case SMTP_CLIENT_OUTCOME: take_outcome(t); break;
	case SMTP_CLIENT_FAILED: take_failure(t, w->outcome); break;
	case SMTP_CLIENT_START_TLS:
	case SMTP_CLIENT_CREDENTIAL:
	case SMTP_CLIENT_CLOSE: *is_over = true; break;
	}
}

/* False when nothing more comes. */
static bool wait_and_feed(struct talk *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	int64_t left_ms = smtp_client_deadline(t->client) - clock_monotonic_ms();
	char bytes[8192];
	struct span rest;
	ssize_t got;

	if (left_ms > 0 && poll(&p, 1, left_ms > 600000 ? 600000 : (int)left_ms) <= 0)
		return true; /* the next tick ends it, if it is time */
	if (left_ms <= 0)
		return true;
	got = recv(t->fd, bytes, sizeof bytes, 0);
	if (got < 0 && errno == EINTR)
		return true;
	if (got <= 0) {
		lost(t, FAULT_CLOSED, got ? span_of(strerror(errno)) : (struct span){ "", 0 });
		return false;
	}
	smtp_client_tick(t->client, clock_monotonic_ms());
	for (rest = (struct span){ bytes, (size_t)got }; rest.size;) {
		struct smtp_client_wish w;
		size_t taken = smtp_client_feed(t->client, rest);
		bool is_over = false, has_moved = taken > 0;

		rest = span_slice(rest, taken, rest.size);
		while (!is_over && smtp_client_poll(t->client, &w)) {
			carry_out(t, &w, &is_over);
			has_moved = true;
		}
		t->is_closed = t->is_closed || is_over;
		if (t->is_closed || !has_moved)
			break;
	}
	return !t->is_closed;
}

static void talk(struct talk *t)
{
	struct smtp_client_wish w;
	bool is_over = false, goes_on = true;

	while (!is_over) {
		smtp_client_tick(t->client, clock_monotonic_ms());
		while (!is_over && smtp_client_poll(t->client, &w))
			carry_out(t, &w, &is_over);
		if (!goes_on || t->is_closed)
			break;
		if (!is_over)
			goes_on = wait_and_feed(t);
	}
}

static bool make_recipients(struct talk *t)
{
	struct span rest = t->item->envelope.recipients, line;
	bool utf8 = !text_is_ascii(t->item->envelope.sender);
	size_t count = 0;

	while (rest.size && span_cut(&rest, '\n', &line)) {
		if (count == SMTP_CLIENT_RECIPIENTS || !span_starts(line, SPAN("to ")))
			return false;
		t->recipients[count++] = (struct smtp_client_recipient){ .address = span_slice(line, 3, line.size), .notify = t->item->envelope.notify };
		utf8 = utf8 || !text_is_ascii(line);
	}
	t->message = (struct smtp_client_message){
		.sender = t->item->envelope.sender, .recipients = t->recipients, .recipient_count = count, .has_size = true, .size_bytes = t->item->size_bytes,
		.body = t->item->envelope.is_eight_bit ? SMTP_CLIENT_8BIT : SMTP_CLIENT_7BIT, .utf8 = utf8,
		.returns = (enum dsn_return)t->item->envelope.returns, .envelope_id = t->item->envelope.envelope_id,
	};
	return count != 0;
}

void handover_send(const char *path, struct postbag_item *item, bool (*done)(struct postbag_item *), struct handover_end *end)
{
	char own_name[NAME_BYTES] = "";
	struct talk t = { .item = item, .done = done, .end = end };

	*end = (struct handover_end){ .kind = HANDOVER_AWAY };
	t.fd = handover_connect(path);
	if (t.fd < 0) {
		outcome_say(&end->outcome, FAULT_UNREACHABLE, "%s: %s", path, strerror(errno));
		return;
	}
	if (gethostname(own_name, sizeof own_name - 1) || !*own_name)
		memcpy(own_name, "localhost", sizeof "localhost");
	t.client = calloc(1, sizeof *t.client);
	t.recipients = calloc(SMTP_CLIENT_RECIPIENTS, sizeof *t.recipients);
	t.piece = malloc(PIECE_BYTES);
	if (!t.client || !t.recipients || !t.piece)
		panic("out of memory");
	outcome_say(&end->outcome, FAULT_CLOSED, "%s: closed", path);
	if (make_recipients(&t)) {
		smtp_client_init(t.client, &(struct smtp_client_settings){ .own_name = span_of(own_name), .peer_name = SPAN("localhost"), .tls = SMTP_CLIENT_CLEAR,
									   .mechanism = SASL_MECHANISM_COUNT }, clock_monotonic_ms());
		talk(&t);
		smtp_client_fini(t.client);
	}
	close(t.fd);
	free(t.client);
	free(t.recipients);
	free(t.piece);
}

/* --- a program that speaks SMTP by itself */

/* False when that way is at its end. */
static bool carry(int from, int to)
{
	char bytes[16384];
	ssize_t got = read(from, bytes, sizeof bytes);

	for (ssize_t at = 0; at < got;) {
		ssize_t sent = write(to, bytes + at, (size_t)(got - at));

		if (sent < 0 && errno != EINTR)
			return false;
		at += sent > 0 ? sent : 0;
	}
	return got > 0 || (got < 0 && errno == EINTR);
}

int handover_relay(const char *path, int from_fd, int to_fd)
{
	static const char away[] = "421 4.3.2 Postern does not answer; try again later\r\n";
	struct pollfd ways[2] = { { .fd = from_fd, .events = POLLIN }, { .fd = handover_connect(path), .events = POLLIN } };
	int fd = ways[1].fd;

	if (fd < 0)
		return write(to_fd, away, sizeof away - 1) < 0 ? EX_IOERR : EX_TEMPFAIL;
	while (ways[1].fd >= 0 && (poll(ways, 2, -1) > 0 || errno == EINTR)) {
		if (ways[0].revents && !carry(from_fd, fd)) {
			shutdown(fd, SHUT_WR);
			ways[0].fd = -1;
		}
		if (ways[1].revents && !carry(fd, to_fd))
			ways[1].fd = -1;
		ways[0].revents = ways[1].revents = 0;
	}
	close(fd);
	return EX_OK;
}
