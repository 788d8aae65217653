/* tests/smtp_chat.h - drives wire/smtp_server with a script, and writes down what happened.
 *
 * Why       Every test of the core reads as a dialogue, and the same dialogue can be cut anywhere.
 * Promise   The transcript holds replies as sent, questions as `? ...`, and bodies in one piece whatever the cuts.
 * Owns      One session and its transcript.
 * Refuses   Nothing. In a script `\f` is where the client waits until all it said was answered. */
#pragma once
#include "tests/test.h"
#include "wire/smtp_server.h"

#include <stdlib.h>

enum { CHAT_BYTES = 1 << 17 };

struct chat {
	struct smtp_server server;
	struct smtp_server_room room;
	struct smtp_server_limits limits;
	char text[CHAT_BYTES];
	size_t size;
	bool in_body, closed, heard_out;
	uint32_t seed;   /* 0: whole; 1: byte by byte; else random cuts */
	size_t spoil_at; /* bytes of a body after which the driver gives it up with NO_MEMORY; 0 for never */
	size_t body_size;
	struct smtp_server_answer verdict; /* of a message; code 0 and no text give "accepted by sink.test: ok" */
};

static void chat_note(struct chat *c, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	c->size += (size_t)vsnprintf(c->text + c->size, sizeof c->text - c->size, format, list);
	va_end(list);
	assert_true(c->size < sizeof c->text);
}

static void chat_bytes(struct chat *c, struct span s)
{
	assert_true(c->size + s.size < sizeof c->text);
	memcpy(c->text + c->size, s.at, s.size);
	c->size += s.size;
}

static void chat_leave_body(struct chat *c)
{
	if (c->in_body)
		chat_note(c, "]\n");
	c->in_body = false;
}

static void chat_body(struct chat *c, struct span s)
{
	if (!c->in_body)
		chat_note(c, "[");
	c->in_body = true;
	chat_bytes(c, s);
	c->body_size += s.size;
	if (c->spoil_at && c->body_size >= c->spoil_at)
		smtp_server_spoil(&c->server, FAULT_NO_MEMORY);
}

static void chat_login(struct chat *c, const struct smtp_server_wish *w)
{
	struct smtp_server_answer a = { .fault = FAULT_BAD_LOGIN };

	chat_note(c, "? %.*s %.*s %.*s\n", SPAN_ARGS(sasl_name(w->mechanism)), SPAN_ARGS(w->user),
		  SPAN_ARGS(w->secret));
	if (span_equal(w->user, SPAN("away")))
		a.fault = FAULT_VAULT_AWAY;
	else if (span_equal(w->secret, SPAN("secret")))
		a.fault = FAULT_OK;
	smtp_server_answer(&c->server, &a);
}

static void chat_sender(struct chat *c, const struct smtp_server_wish *w)
{
	static const char *const bodies[] = { "", " 8BITMIME", " BINARYMIME" };
	struct smtp_server_answer a = { 0 };

	if (span_starts(w->path->address.whole, SPAN("no")))
		a.fault = FAULT_SENDER_NOT_GRANTED;
	chat_note(c, "? from <%.*s>%s", SPAN_ARGS(w->path->address.whole), bodies[w->mail->body]);
	if (w->mail->size_bytes)
		chat_note(c, " SIZE=%d", (int)w->mail->size_bytes);
	if (w->mail->utf8)
		chat_note(c, " SMTPUTF8");
	if (w->mail->envelope_id.size)
		chat_note(c, " ENVID=%.*s", SPAN_ARGS(w->mail->envelope_id));
	chat_note(c, "\n");
	smtp_server_answer(&c->server, &a);
}

static void chat_recipient(struct chat *c, const struct smtp_server_wish *w)
{
	struct smtp_server_answer a = { 0 };

	if (span_starts(w->path->address.whole, SPAN("no")))
		a.fault = FAULT_RELAY_REFUSED;
	chat_note(c, "? to <%.*s>", SPAN_ARGS(w->path->address.whole));
	if (w->recipient->notify)
		chat_note(c, " NOTIFY=%u", w->recipient->notify);
	if (w->recipient->original.size)
		chat_note(c, " ORCPT=%.*s", SPAN_ARGS(w->recipient->original));
	chat_note(c, "\n");
	smtp_server_answer(&c->server, &a);
}

static void chat_end(struct chat *c)
{
	struct smtp_server_answer ok = { .text = SPAN("m1 accepted by sink.test: ok") };
	bool given = c->verdict.code || c->verdict.text.size || c->verdict.fault != FAULT_OK;

	chat_note(c, "? end %.*s\n", SPAN_ARGS(smtp_server_protocol(&c->server)));
	smtp_server_answer(&c->server, given ? &c->verdict : &ok);
}

/* Carries out one wish. */
static void chat_serve_one(struct chat *c, const struct smtp_server_wish *w)
{
	if (w->kind != SMTP_SERVER_BODY)
		chat_leave_body(c);
	switch (w->kind) {
	case SMTP_SERVER_WRITE: chat_bytes(c, w->text); break;
	case SMTP_SERVER_START_TLS:
		chat_note(c, "? tls\n");
		smtp_server_tls_started(&c->server);
		break;
	case SMTP_SERVER_AUTHORIZE: chat_login(c, w); break;
	case SMTP_SERVER_SENDER: chat_sender(c, w); break;
	case SMTP_SERVER_RECIPIENT: chat_recipient(c, w); break;
	case SMTP_SERVER_BODY: chat_body(c, w->text); break;
	case SMTP_SERVER_MESSAGE_END: chat_end(c); break;
	case SMTP_SERVER_MESSAGE_DROP: chat_note(c, "drop\n"); break;
	case SMTP_SERVER_CLOSE:
		chat_note(c, "close\n");
		c->closed = true;
		break;
	}
}

static void chat_serve(struct chat *c)
{
	struct smtp_server_wish w;

	while (smtp_server_poll(&c->server, &w)) {
		assert_false(c->closed);
		chat_serve_one(c, &w);
	}
}

/* Between two feeds another session may have had the room. */
static void chat_lend_anew(struct chat *c)
{
	struct smtp_server_room *room = smtp_server_return(&c->server);

	if (!room)
		return;
	assert_ptr_equal(room, &c->room);
	memset(room, '!', sizeof *room);
	smtp_server_lend(&c->server, room);
}

static size_t chat_cut(struct chat *c, size_t left)
{
	c->seed = c->seed > 1 ? c->seed * 1103515245u + 12345u : c->seed;
	if (!c->seed)
		return left;
	size_t cut = c->seed == 1 ? 1 : (c->seed >> 16) % 9 + 1;

	return cut < left ? cut : left;
}

/* Feeds a stretch without waits, cut as the seed says. Each cut lies in memory of its own size, so that ASan sees a
 * read beyond it. */
static void chat_feed(struct chat *c, struct span bytes)
{
	struct span line;

	while (bytes.size && !c->closed) {
		size_t cut = chat_cut(c, bytes.size), taken;
		char *copy = malloc(cut);

		assert_non_null(copy);
		memcpy(copy, bytes.at, cut);
		chat_lend_anew(c);
		taken = smtp_server_feed(&c->server, (struct span){ copy, cut });
		if (c->heard_out && smtp_server_heard(&c->server, &line))
			chat_note(c, "C: %.*s\n", SPAN_ARGS(line));
		chat_serve(c);
		free(copy);
		bytes = span_slice(bytes, taken, bytes.size);
	}
}

static void chat_say(struct chat *c, struct span script)
{
	struct span stretch;

	while (span_cut(&script, '\f', &stretch))
		chat_feed(c, stretch);
	chat_leave_body(c);
}

static void chat_open(struct chat *c)
{
	if (!c->limits.host.size)
		c->limits.host = SPAN("mx.test");
	smtp_server_init(&c->server, &c->room, &c->limits, 0);
	c->size = c->body_size = 0;
	c->in_body = c->closed = false;
	chat_serve(c);
}

/* What has been written down; forgotten by this call. */
static const char *chat_text(struct chat *c)
{
	chat_leave_body(c);
	c->text[c->size] = '\0';
	c->size = 0;
	return c->text;
}

/* A session on a listener that asks nothing of its clients, past its EHLO. */
static inline void chat_open_trusted(struct chat *c)
{
	c->limits.trusted = true;
	chat_open(c);
	chat_say(c, SPAN("EHLO c.test\r\n"));
	chat_text(c);
}

/* The same with a message begun, up to where DATA or BDAT is due. */
static inline void chat_open_message(struct chat *c)
{
	chat_open_trusted(c);
	chat_say(c, SPAN("MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n"));
	chat_text(c);
}
