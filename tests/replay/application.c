#include "tests/replay/application.h"

#include "base/panic.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/stream.h"
#include "tests/replay/speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS = 10000, USUAL_PATIENCE_MS = 600000, BODY_BYTES_MAX = 4 * 1024 * 1024 };

enum step { STEP_GREETING, STEP_HELLO, STEP_TLS, STEP_HELLO_AGAIN, STEP_AUTH, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_QUIT };

struct session {
	struct applications *all;
	struct letter *letter;
	struct letter_try *now;
	struct stream *stream;
	struct timer patience;
	enum step step;
	size_t recipient, accepted;
	char reply[LETTER_TEXT_BYTES]; /* the lines of one reply, joined */
	struct session *next;
};

struct applications {
	struct loop *loop;
	struct tls *tls;
	struct address gate;
	char user[128], password[256];
	struct session *sessions;
};

struct applications *applications_new(void)
{
	struct applications *all = calloc(1, sizeof *all);
	char authority[128];

	if (!all)
		panic("out of memory");
	all->loop = world_loop("app");
	if (tls_client_new(&all->tls, world_authority(authority, "replay"), NULL))
		panic("no TLS");
	return all;
}

static void session_free(struct session *s)
{
	struct session **at = &s->all->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	timer_stop(&s->patience);
	stream_close(&s->stream);
	free(s);
}

void applications_free(struct applications **applications)
{
	struct applications *all = *applications;

	*applications = NULL;
	if (!all)
		return;
	while (all->sessions)
		session_free(all->sessions);
	tls_drop(&all->tls);
	loop_free(&all->loop);
	free(all);
}

void applications_at(struct applications *all, const struct address *gate, struct span user, struct span password)
{
	all->gate = *gate;
	snprintf(all->user, sizeof all->user, "%.*s", SPAN_ARGS(user));
	snprintf(all->password, sizeof all->password, "%.*s", SPAN_ARGS(password));
}

static void note_reply(struct session *s, struct span reply)
{
	struct letter_try *now = s->now;

	if (now->reply[0])
		return;
	snprintf(now->reply, sizeof now->reply, "%.*s", SPAN_ARGS(reply));
	now->ended_ms = loop_now_ms(s->all->loop);
	world_note("letter %s is answered %s", s->letter->name, now->reply);
}

/* --- what it says */

static void say(struct session *s, enum step next, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct session *s, enum step next, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	speech_put(s->stream, format, arguments);
	va_end(arguments);
	s->step = next;
}

static void say_body(struct session *s)
{
	const struct letter *letter = s->letter;
	struct buf mail;

	buf_init(&mail, BODY_BYTES_MAX);
	buf_print(&mail, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Mon, 01 Jun 2026 12:00:00 +0000\r\n", letter->sender,
		  letter->recipients[0], letter->name);
	if (!letter->no_message_id)
		buf_print(&mail, "Message-ID: %s\r\n", letter->message_id);
	buf_print(&mail, "\r\nA letter.\r\n");
	while (mail.size < letter->size_bytes)
		buf_print(&mail, "%zu bytes so far, and a line more of what people write to one another\r\n", mail.size);
	buf_put(&mail, SPAN(".\r\n"));
	ASSERT(!mail.overfull);
	stream_write(s->stream, buf_span(&mail));
	s->now->was_sent = true;
	s->step = STEP_BODY;
	buf_free(&mail);
}

static void say_quit(struct session *s)
{
	say(s, STEP_QUIT, "QUIT");
}

/* --- what it does with a reply */

static void say_rcpt(struct session *s)
{
	const struct letter *letter = s->letter;

	say(s, STEP_RCPT, "RCPT TO:<%s>%s%s", letter->recipients[s->recipient], letter->notify[0] ? " NOTIFY=" : "", letter->notify);
}

static void on_rcpt(struct session *s, struct span reply)
{
	if (reply.at[0] == '2')
		s->accepted++;
	else
		s->now->refused_recipient[s->recipient] = true;
	if (++s->recipient < s->letter->recipient_count) {
		say_rcpt(s);
	} else if (s->accepted) {
		say(s, STEP_DATA, "DATA");
	} else {
		note_reply(s, reply);
		say_quit(s);
	}
}

static void on_good(struct session *s, struct span reply)
{
	switch (s->step) {
	case STEP_GREETING: say(s, STEP_HELLO, "EHLO app.replay.example"); break;
	case STEP_HELLO: say(s, STEP_TLS, "STARTTLS"); break;
	case STEP_TLS: stream_start_tls_client(s->stream, s->all->tls, SPAN("gate.replay")); break;
	case STEP_HELLO_AGAIN:
		speech_auth(s->stream, s->all->user, s->all->password);
		s->step = STEP_AUTH;
		break;
	case STEP_AUTH: say(s, STEP_MAIL, "MAIL FROM:<%s>", s->letter->sender); break;
	case STEP_MAIL: say_rcpt(s); break;
	case STEP_RCPT: on_rcpt(s, reply); break;
	case STEP_DATA: say_body(s); break;
	case STEP_BODY:
		note_reply(s, reply);
		say_quit(s);
		break;
	case STEP_QUIT: break;
	}
}

static void on_reply(struct session *s, struct span reply)
{
	char digit = reply.at[0];

	if (s->step == STEP_RCPT || digit == '2' || digit == '3') {
		on_good(s, reply);
		return;
	}
	note_reply(s, reply);
	if (s->step != STEP_QUIT)
		say_quit(s);
}

static void on_opened(void *self)
{
	struct session *s = self;

	if (stream_tls_version(s->stream).size)
		say(s, STEP_HELLO_AGAIN, "EHLO app.replay.example");
}

/* Adds a line to the reply; of those behind the first only the text, without the codes. */
static void gather(struct session *s, struct span line)
{
	size_t size = strlen(s->reply);
	struct span rest = span_slice(line, 4, line.size), word = rest;

	if (size && span_starts(rest, span_slice(span_of(s->reply), 4, 6)))
		word = span_trim(span_slice(rest, 6, rest.size));
	if (size)
		snprintf(s->reply + size, sizeof s->reply - size, " %.*s", SPAN_ARGS(word));
	else
		snprintf(s->reply, sizeof s->reply, "%.*s %.*s", SPAN_ARGS(span_slice(line, 0, 3)), SPAN_ARGS(rest));
}

/* One whole reply, of one line or several, at a time. */
static size_t on_data(void *self, struct span bytes)
{
	struct session *s = self;
	size_t taken = 0;

	for (;;) {
		struct span rest = span_slice(bytes, taken, bytes.size), line;
		size_t end = span_find_byte(rest, '\n');

		if (end == rest.size)
			return taken;
		line = span_trim(span_slice(rest, 0, end));
		taken += end + 1;
		gather(s, line);
		if (line.size > 3 && line.at[3] == '-')
			continue;
		on_reply(s, span_of(s->reply));
		s->reply[0] = 0;
	}
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct session *s = self;

	note_reply(s, s->now->was_sent ? SPAN("lost behind the dot") : SPAN("lost"));
	session_free(s);
}

static const struct stream_events events = { .opened = on_opened, .data = on_data, .ended = on_ended };

static void on_impatient(void *self)
{
	struct session *s = self;

	note_reply(s, SPAN("gave up"));
	session_free(s);
}

void application_send(struct applications *all, struct letter *letter)
{
	struct session *s = calloc(1, sizeof *s);

	if (!s)
		panic("out of memory");
	ASSERT(letter->try_count < LETTER_TRIES_MAX && letter->recipient_count);
	*s = (struct session){ .all = all, .letter = letter, .now = &letter->tries[letter->try_count++], .next = all->sessions };
	all->sessions = s;
	s->now->begun_ms = loop_now_ms(all->loop);
	world_note("letter %s is sent, try %zu", letter->name, letter->try_count);
	timer_init(&s->patience, all->loop, on_impatient, s);
	timer_after(&s->patience, letter->patience_ms ? letter->patience_ms : USUAL_PATIENCE_MS);
	s->stream = stream_connect(all->loop, &all->gate, NULL, CONNECT_MS, &events, s);
}
