/* tests/smtp_client_chat.h - for tests: the SMTP client against a scripted server, its bytes cut at will.
 *
 * Why       Every case of the client is a conversation; the cases should hold the conversation and nothing else.
 * Promise   The log says what the client said and asked for, line by line, and does not depend on `cut` unless the
 *           client breaks its promise.
 * Owns      What was written, until the next chat_run().
 * Refuses   Outgrowing its buffers: the test fails. */
#pragma once
#include "tests/test.h"
#include "wire/smtp_client.h"

#include <stdlib.h>

enum { CHAT_RULES = 24, CHAT_MESSAGES = 4, CHAT_LOG_BYTES = 1 << 18, CHAT_BYTES = 1 << 20 };

/* When the client says something that begins so, the server says that. The first rule that is not used up counts. `when`
 * may be "greeting", or "." for the end of a message; "" is an empty line. `says` ends in CR LF, or in "\1": then the
 * server closes. */
struct chat_rule {
	const char *when, *says;
	unsigned times; /* 0: always */
};

/* A message and what becomes of it. */
struct chat_mail {
	struct smtp_client_message message;
	struct span body;
	bool no_body; /* it cannot be read */
};

struct chat {
	/* set by the test */
	struct smtp_client_settings settings;
	struct chat_rule rules[CHAT_RULES];
	struct chat_mail mails[CHAT_MESSAGES];
	const char *user, *secret;
	enum fault tls_fault, credential_fault;
	unsigned cut;         /* 0: whole; 1: byte by byte; else the seed of random cuts */
	size_t piece_bytes;   /* of the body for each answer; 0: all at once */
	bool separate_end;    /* the end of the body is said by itself */
	bool stays;           /* no QUIT when there is no more mail */
	int64_t silence_ms;   /* when nothing moves any more the clock jumps by this, once; 0: the server closes */
	/* found by the test */
	char log[CHAT_LOG_BYTES];
	size_t log_size;
	char body[CHAT_BYTES]; /* of the last message, as it came over the wire, without the end */
	size_t body_size;
	char secrets[4096];    /* what was written quietly */
	size_t secrets_size;
	/* its own */
	struct smtp_client client;
	unsigned used[CHAT_RULES];
	size_t mail, body_at;
	char line[4096];
	size_t line_size;
	char reply[CHAT_BYTES];
	size_t reply_at, reply_size;
	enum { CHAT_COMMANDS, CHAT_LINES, CHAT_CHUNK } state;
	uint64_t chunk_left;
	bool closing, closed, ended, idle;
};

static void chat_note(struct chat *c, const char *format, ...) __attribute__((format(printf, 2, 3), unused));

static void chat_note(struct chat *c, const char *format, ...)
{
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(c->log + c->log_size, sizeof c->log - c->log_size, format, list);
	va_end(list);
	assert_true(size >= 0 && (size_t)size < sizeof c->log - c->log_size);
	c->log_size += (size_t)size;
}

/* --- the server */

static void chat_say(struct chat *c, const char *text)
{
	size_t size = strlen(text);

	c->closing = size && text[size - 1] == '\1';
	size -= c->closing;
	assert_true(c->reply_size + size < sizeof c->reply);
	memcpy(c->reply + c->reply_size, text, size);
	c->reply_size += size;
}

static const char *chat_find(struct chat *c, struct span line)
{
	for (size_t i = 0; i < CHAT_RULES && c->rules[i].when; i++) {
		struct span when = span_of(c->rules[i].when);

		if (c->rules[i].times && c->used[i] >= c->rules[i].times)
			continue;
		if (when.size ? !span_starts_fold(line, when) : line.size != 0)
			continue;
		c->used[i]++;
		return c->rules[i].says;
	}
	return "500 5.5.1 Unexpected\r\n";
}

static void chat_command(struct chat *c, struct span line)
{
	const char *says;
	bool chunk = span_starts(line, SPAN("BDAT "));

	if (c->closing)
		return;
	chat_note(c, "C: %.*s\n", SPAN_ARGS(line));
	if (chunk) {
		c->chunk_left = strtoull(line.at + 5, NULL, 10);
		c->state = CHAT_CHUNK;
		c->body_size = 0;
		if (c->chunk_left)
			return;
		c->state = CHAT_COMMANDS;
		line = SPAN(".");
	}
	says = chat_find(c, line);
	if (!strncmp(says, "354", 3)) {
		c->state = CHAT_LINES;
		c->body_size = 0;
	}
	chat_say(c, says);
}

static void chat_body_byte(struct chat *c, char byte)
{
	bool over;

	assert_true(c->body_size < sizeof c->body);
	c->body[c->body_size++] = byte;
	if (c->state == CHAT_CHUNK) {
		over = !--c->chunk_left;
	} else {
		over = (c->body_size == 3 && !memcmp(c->body, ".\r\n", 3)) ||
		       (c->body_size >= 5 && !memcmp(c->body + c->body_size - 5, "\r\n.\r\n", 5));
		c->body_size -= over ? 3 : 0;
	}
	if (!over)
		return;
	c->state = CHAT_COMMANDS;
	chat_note(c, "C: (%zu bytes)\n", c->body_size);
	chat_say(c, chat_find(c, SPAN(".")));
}

static void chat_hear(struct chat *c, struct span bytes)
{
	for (size_t i = 0; i < bytes.size; i++) {
		if (c->state != CHAT_COMMANDS) {
			chat_body_byte(c, bytes.at[i]);
			continue;
		}
		assert_true(c->line_size < sizeof c->line);
		c->line[c->line_size++] = bytes.at[i];
		if (c->line_size < 2 || memcmp(c->line + c->line_size - 2, "\r\n", 2))
			continue;
		c->line_size -= 2;
		for (size_t j = 0; j < c->line_size; j++)
			assert_true(c->line[j] != '\r' && c->line[j] != '\n');
		chat_command(c, (struct span){ c->line, c->line_size });
		c->line_size = 0;
	}
}

/* --- the driver */

static void chat_note_outcome(struct chat *c, const struct outcome *o)
{
	chat_note(c, "%s %d %s|%s\n", fault_row(o->fault)->name, o->code, o->enhanced, o->text);
}

static void chat_note_mail(struct chat *c, const struct smtp_client_wish *w)
{
	const struct smtp_client_message *m = &c->mails[c->mail++].message;

	chat_note(c, "outcome%s%s%s%s\n", w->reusable ? " reusable" : "", w->unknown ? " unknown" : "",
		  w->untouched ? " untouched" : "", w->dsn_passed ? " dsn" : "");
	for (size_t i = 0; i < m->recipient_count; i++) {
		chat_note(c, "  %.*s ", SPAN_ARGS(m->recipients[i].address));
		chat_note_outcome(c, &m->recipients[i].outcome);
	}
}

static void chat_answer_body(struct chat *c)
{
	const struct chat_mail *m = &c->mails[c->mail];
	struct span piece = span_slice(m->body, c->body_at, c->piece_bytes ? c->piece_bytes : m->body.size);
	bool at_end;

	c->body_at += piece.size;
	at_end = c->body_at == m->body.size && !(c->separate_end && piece.size);
	if (m->no_body)
		smtp_client_no_body(&c->client, FAULT_DISK_FAILED);
	else
		smtp_client_body(&c->client, piece, at_end);
}

static void chat_next_mail(struct chat *c)
{
	if (c->mail < CHAT_MESSAGES && c->mails[c->mail].message.recipients) {
		c->body_at = 0;
		smtp_client_message(&c->client, &c->mails[c->mail].message);
	} else if (c->stays) {
		c->idle = true;
	} else {
		smtp_client_quit(&c->client);
	}
}

/* Bytes that came before TLS are seen by the core first. */
static void chat_start_tls(struct chat *c)
{
	struct span early = { c->reply + c->reply_at, c->reply_size - c->reply_at };

	if (early.size) {
		c->reply_at += smtp_client_feed(&c->client, early);
		return;
	}
	chat_note(c, "tls\n");
	smtp_client_tls_started(&c->client, c->tls_fault, (struct span){ 0 });
	if (c->settings.tls == SMTP_CLIENT_IMPLICIT && c->tls_fault == FAULT_OK)
		chat_say(c, chat_find(c, SPAN("greeting")));
}

static void chat_write(struct chat *c, const struct smtp_client_wish *w)
{
	if (w->quiet) {
		assert_true(c->secrets_size + w->text.size < sizeof c->secrets);
		memcpy(c->secrets + c->secrets_size, w->text.at, w->text.size);
		c->secrets_size += w->text.size;
	}
	chat_hear(c, w->text);
}

static void chat_do(struct chat *c, const struct smtp_client_wish *w)
{
	switch (w->kind) {
	case SMTP_CLIENT_WRITE: chat_write(c, w); break;
	case SMTP_CLIENT_START_TLS: chat_start_tls(c); break;
	case SMTP_CLIENT_CREDENTIAL:
		chat_note(c, "credential\n");
		smtp_client_credential(&c->client, c->credential_fault, span_of(c->user), span_of(c->secret),
				       (struct span){ 0 });
		break;
	case SMTP_CLIENT_BODY: chat_answer_body(c); break;
	case SMTP_CLIENT_READY:
		chat_note(c, "ready\n");
		chat_next_mail(c);
		break;
	case SMTP_CLIENT_OUTCOME: chat_note_mail(c, w); break;
	case SMTP_CLIENT_FAILED:
		chat_note(c, "failed ");
		chat_note_outcome(c, w->outcome);
		break;
	case SMTP_CLIENT_CLOSE:
		chat_note(c, "close\n");
		c->ended = true;
		break;
	}
}

static size_t chat_cut(struct chat *c, size_t size)
{
	if (c->cut < 2)
		return c->cut && size ? 1 : size;
	c->cut = c->cut * 1103515245u + 12345u;
	c->cut |= 2;
	return (c->cut >> 16) % 9 + 1 < size ? (c->cut >> 16) % 9 + 1 : size;
}

/* One turn without a wish: more bytes, or the end of them. False when nothing moves. */
static bool chat_move(struct chat *c)
{
	struct span bytes = { c->reply + c->reply_at, chat_cut(c, c->reply_size - c->reply_at) };
	size_t taken = smtp_client_feed(&c->client, bytes);

	c->reply_at += taken;
	if (taken || c->closed || c->idle)
		return taken != 0;
	if (c->silence_ms && !c->closing) {
		smtp_client_tick(&c->client, c->silence_ms);
		c->silence_ms = 0;
		return true;
	}
	c->closed = true;
	smtp_client_closed(&c->client, FAULT_CLOSED, (struct span){ 0 },
			   (struct span){ c->reply + c->reply_at, c->reply_size - c->reply_at });
	return true;
}

/* The whole conversation; with `stays` it ends when the client is idle. */
static __attribute__((unused)) void chat_run(struct chat *c)
{
	struct smtp_client_wish wish;

	c->log_size = c->body_size = c->secrets_size = c->mail = c->body_at = c->line_size = 0;
	c->reply_at = c->reply_size = 0;
	c->state = CHAT_COMMANDS;
	c->closing = c->closed = c->ended = c->idle = false;
	memset(c->used, 0, sizeof c->used);
	smtp_client_init(&c->client, &c->settings, 0);
	if (c->settings.tls != SMTP_CLIENT_IMPLICIT)
		chat_say(c, chat_find(c, SPAN("greeting")));
	do {
		while (!c->ended && smtp_client_poll(&c->client, &wish))
			chat_do(c, &wish);
	} while (!c->ended && chat_move(c));
	c->log[c->log_size] = 0;
}

/* The log is that. */
#define assert_chat(c, wanted) assert_span(((struct span){ (c)->log, (c)->log_size }), wanted)

/* The log holds that, or does not. */
#define assert_said(c, text) assert_non_null(strstr((c)->log, text))
#define assert_unsaid(c, text) assert_null(strstr((c)->log, text))
