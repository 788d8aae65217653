#include "wire/smtp_client.h"

#include "base/panic.h"
#include "base/secret.h"
#include "wire/recognise.h"
#include "wire/smtp_client_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How long the peer has (RFC 5321 4.5.3.2), and who reads what it says. */
static const struct {
	int64_t wait_ms;
	void (*reply)(struct smtp_client *);
} phases[PHASE_COUNT] = {
	[PHASE_HANDSHAKE] = { SMTP_CLIENT_COMMAND_MS, NULL },
	[PHASE_GREETING] = { SMTP_CLIENT_COMMAND_MS, smtp_client_greeting_reply },
	[PHASE_HELLO] = { SMTP_CLIENT_COMMAND_MS, smtp_client_hello_reply },
	[PHASE_PLAIN_HELLO] = { SMTP_CLIENT_COMMAND_MS, smtp_client_hello_reply },
	[PHASE_ASKED_TLS] = { SMTP_CLIENT_COMMAND_MS, smtp_client_tls_reply },
	[PHASE_ASKED_AUTH] = { SMTP_CLIENT_COMMAND_MS, smtp_client_auth_reply },
	[PHASE_SECRET] = { SMTP_CLIENT_COMMAND_MS, smtp_client_response_reply },
	[PHASE_RESPONSE] = { SMTP_CLIENT_COMMAND_MS, smtp_client_response_reply },
	[PHASE_IDLE] = { 0, smtp_client_idle_reply },
	[PHASE_ENVELOPE] = { SMTP_CLIENT_COMMAND_MS, smtp_client_envelope_reply },
	[PHASE_CONTENT] = { SMTP_CLIENT_BLOCK_MS, smtp_client_content_reply },
	[PHASE_FINAL] = { SMTP_CLIENT_FINAL_MS, smtp_client_final_reply },
	[PHASE_NOTHING] = { SMTP_CLIENT_FINAL_MS, smtp_client_nothing_reply },
	[PHASE_RESET] = { SMTP_CLIENT_COMMAND_MS, smtp_client_reset_reply },
	[PHASE_QUITTING] = { SMTP_CLIENT_QUIT_MS, smtp_client_idle_reply },
};

/* --- shared with the other parts */

static void arm(struct smtp_client *c)
{
	bool awaits_data = c->phase == PHASE_ENVELOPE && c->message && c->next_reply > c->message->recipient_count;

	c->deadline_ms = c->now_ms + (awaits_data ? SMTP_CLIENT_DATA_MS : phases[c->phase].wait_ms);
}

void smtp_client_enter(struct smtp_client *c, enum smtp_client_phase phase)
{
	c->phase = phase;
	c->question = QUESTION_NONE;
	arm(c);
}

void smtp_client_ask(struct smtp_client *c, enum smtp_client_phase phase)
{
	smtp_client_enter(c, phase);
	c->question = QUESTION_DUE;
}

/* Forgets what was written. */
static void clear_window(struct smtp_client *c)
{
	if (c->window_quiet)
		secret_wipe(c->window, c->window_size);
	c->window_size = 0;
	c->window_spent = c->window_quiet = false;
}

/* Every call begins here: what the last poll handed out is spent. */
static void begin_call(struct smtp_client *c)
{
	if (c->window_spent)
		clear_window(c);
}

void smtp_client_print(struct smtp_client *c, const char *format, ...)
{
	size_t room = sizeof c->window - c->window_size;
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(c->window + c->window_size, room, format, list);
	va_end(list);
	ASSERT(size >= 0 && (size_t)size < room);
	c->window_size += (size_t)size;
}

/* What a reply means that no row of ours recognises. A server that turns the connection away has not judged the
 * message, so nothing before IDLE is final; what is wrong with a sign-in, a person can mend. */
static enum fault plain_meaning(const struct smtp_client *c)
{
	int code = c->reply.code;

	if (code < 400)
		return FAULT_UPSTREAM_BROKEN;
	if (c->phase == PHASE_ASKED_TLS)
		return FAULT_TLS_FAILED;
	if (c->phase == PHASE_ASKED_AUTH || c->phase == PHASE_SECRET || c->phase == PHASE_RESPONSE)
		return code < 500 ? FAULT_UPSTREAM_BUSY : FAULT_UPSTREAM_AUTH;
	if (c->phase < PHASE_IDLE || code < 500)
		return FAULT_UPSTREAM_BUSY;
	if (code == 530 || code == 534 || code == 535 || code == 538)
		return FAULT_UPSTREAM_AUTH;
	return FAULT_UPSTREAM_REPLY;
}

static bool is_token_byte(char b)
{
	return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || (b && strchr("+/=_-.~", b));
}

/* A server may echo what it could not decode: nothing that could be a token stays in the words about a sign-in. */
static void hide_tokens(struct smtp_reply *r)
{
	enum { LONGEST_WORD = 64 };
	size_t to = 0;

	for (size_t from = 0, run; from < r->text_size; from += run) {
		for (run = 0; from + run < r->text_size && is_token_byte(r->text[from + run]); run++)
			;
		if (run > LONGEST_WORD) {
			memcpy(r->text + to, "[...]", 5);
			to += 5;
			continue;
		}
		run = run ? run : 1;
		memmove(r->text + to, r->text + from, run);
		to += run;
	}
	secret_wipe(r->text + to, r->text_size - to);
	r->text_size = to;
}

static void read_as(struct smtp_client *c, struct outcome *o, enum fault f)
{
	struct smtp_reply *r = &c->reply;

	if (c->phase < PHASE_IDLE)
		hide_tokens(r);
	outcome_set(o, f, r->code, smtp_reply_enhanced(r), smtp_reply_text(r));
}

void smtp_client_read_outcome(struct smtp_client *c, struct outcome *o)
{
	const struct smtp_reply *r = &c->reply;
	enum fault known = FAULT_OK;

	if (r->code >= 400)
		known = recognise_reply(r->code, smtp_reply_enhanced(r), smtp_reply_text(r));
	read_as(c, o, known != FAULT_OK ? known : plain_meaning(c));
}

void smtp_client_lose(struct smtp_client *c, const struct outcome *why, bool heard)
{
	if (c->phase == PHASE_GONE)
		return;
	clear_window(c);
	if (c->phase < PHASE_IDLE) {
		c->failure = *why;
		c->failed_due = true;
	} else if (c->message) {
		smtp_client_drop_message(c, why, heard);
	}
	smtp_client_enter(c, PHASE_GONE);
	c->body = (struct span){ 0 };
	c->ready_due = false;
	c->close_due = true;
}

void smtp_client_lose_to_nonsense(struct smtp_client *c)
{
	struct outcome o;

	if (c->reply.end == SMTP_REPLY_BROKEN)
		outcome_say(&o, FAULT_UPSTREAM_BROKEN, "%s sent what is no SMTP reply", c->peer_name);
	else
		read_as(c, &o, FAULT_UPSTREAM_BROKEN);
	smtp_client_lose(c, &o, false);
}

void smtp_client_rest(struct smtp_client *c)
{
	smtp_client_enter(c, PHASE_IDLE);
	c->ready_due = true;
}

/* --- the shape of a core */

static struct span copy_name(char *to, struct span name)
{
	snprintf(to, SMTP_CLIENT_NAME_BYTES, "%.*s", SPAN_ARGS(name));
	for (char *at = to; *at; at++)
		if ((unsigned char)*at <= ' ' || *at == 127)
			*at = '?';
	return span_of(to);
}

void smtp_client_init(struct smtp_client *c, const struct smtp_client_settings *settings, int64_t now_ms)
{
	memset(c, 0, sizeof *c);
	c->settings = *settings;
	c->now_ms = now_ms;
	copy_name(c->own_name, settings->own_name);
	copy_name(c->peer_name, settings->peer_name);
	smtp_reply_init(&c->reply);
	if (settings->tls == SMTP_CLIENT_IMPLICIT)
		smtp_client_ask(c, PHASE_HANDSHAKE);
	else
		smtp_client_enter(c, PHASE_GREETING);
}

void smtp_client_fini(struct smtp_client *c)
{
	secret_wipe(c, sizeof *c);
}

/* Nothing is read while there is something to poll for, or to answer. */
static bool may_read(const struct smtp_client *c)
{
	bool polls = c->window_size || c->question || c->failed_due || c->outcome_due || c->ready_due || c->close_due;

	return !polls && c->phase != PHASE_GONE && !(c->chunked && c->body.size);
}

static void take_reply(struct smtp_client *c)
{
	struct outcome o;

	if (c->reply.code == 421) {
		smtp_client_read_outcome(c, &o);
		smtp_client_lose(c, &o, true);
		return;
	}
	phases[c->phase].reply(c);
	arm(c);
}

/* The peer cannot have judged a message whose end it has not seen. */
static bool is_message_under_way(const struct smtp_client *c)
{
	return c->phase == PHASE_CONTENT || (c->phase == PHASE_FINAL && !c->end_written);
}

size_t smtp_client_feed(struct smtp_client *c, struct span bytes)
{
	enum smtp_reply_end end = SMTP_REPLY_MORE;
	size_t taken = 0;

	begin_call(c);
	while (taken < bytes.size && may_read(c) && end != SMTP_REPLY_WHOLE) {
		c->spoke_early |= is_message_under_way(c);
		taken += smtp_reply_feed(&c->reply, span_slice(bytes, taken, bytes.size), &end);
		if (end == SMTP_REPLY_BROKEN)
			smtp_client_lose_to_nonsense(c);
		if (end == SMTP_REPLY_LINE || end == SMTP_REPLY_WHOLE)
			smtp_client_read_hello_line(c);
		if (end == SMTP_REPLY_WHOLE)
			take_reply(c);
	}
	c->spoke_early |= is_message_under_way(c) && taken < bytes.size;
	if (c->phase == PHASE_HANDSHAKE && taken < bytes.size) {
		smtp_client_injected(c);
		taken = bytes.size;
	}
	return taken;
}

static bool write_wish(struct smtp_client *c, struct smtp_client_wish *wish_out, struct span text)
{
	wish_out->kind = SMTP_CLIENT_WRITE;
	wish_out->text = text;
	wish_out->quiet = c->window_quiet;
	c->end_written |= c->phase == PHASE_FINAL && !c->body.size;
	arm(c);
	return true;
}

/* Bytes to write, if any: first the window, then a chunk as it stands in the driver's memory. */
static bool poll_write(struct smtp_client *c, struct smtp_client_wish *wish_out)
{
	struct span chunk = c->body;

	if (c->window_size) {
		c->window_spent = true;
		return write_wish(c, wish_out, (struct span){ c->window, c->window_size });
	}
	if (!c->chunked || !chunk.size)
		return false;
	c->body = (struct span){ 0 };
	return write_wish(c, wish_out, chunk);
}

static enum smtp_client_wish_kind question_kind(const struct smtp_client *c)
{
	if (c->phase == PHASE_HANDSHAKE)
		return SMTP_CLIENT_START_TLS;
	return c->phase == PHASE_SECRET ? SMTP_CLIENT_CREDENTIAL : SMTP_CLIENT_BODY;
}

static bool take_flag(bool *flag, struct smtp_client_wish *wish_out, enum smtp_client_wish_kind kind)
{
	bool was = *flag;

	*flag = false;
	if (was)
		wish_out->kind = kind;
	return was;
}

bool smtp_client_poll(struct smtp_client *c, struct smtp_client_wish *wish_out)
{
	*wish_out = (struct smtp_client_wish){ 0 };
	begin_call(c);
	smtp_client_pump(c);
	if (poll_write(c, wish_out))
		return true;
	if (take_flag(&c->outcome_due, wish_out, SMTP_CLIENT_OUTCOME)) {
		wish_out->reusable = c->phase != PHASE_GONE;
		wish_out->unknown = c->unknown;
		wish_out->untouched = c->untouched;
		wish_out->dsn_passed = c->dsn_passed;
		return true;
	}
	wish_out->outcome = c->failed_due ? &c->failure : NULL;
	if (take_flag(&c->failed_due, wish_out, SMTP_CLIENT_FAILED))
		return true;
	if (c->question == QUESTION_DUE) {
		c->question = QUESTION_ASKED;
		wish_out->kind = question_kind(c);
		return true;
	}
	return take_flag(&c->ready_due, wish_out, SMTP_CLIENT_READY) ||
	       take_flag(&c->close_due, wish_out, SMTP_CLIENT_CLOSE);
}

int64_t smtp_client_deadline(const struct smtp_client *c)
{
	bool driver_is_due = c->question != QUESTION_NONE && c->phase != PHASE_HANDSHAKE;

	return driver_is_due || c->phase == PHASE_IDLE || c->phase == PHASE_GONE ? INT64_MAX : c->deadline_ms;
}

void smtp_client_tick(struct smtp_client *c, int64_t now_ms)
{
	struct outcome o;

	c->now_ms = now_ms;
	if (now_ms < smtp_client_deadline(c))
		return;
	outcome_say(&o, FAULT_TIMEOUT, "no answer from %s in time", c->peer_name);
	smtp_client_lose(c, &o, false);
}

/* --- answers */

/* Whether the answer is the one waited for. */
static bool is_asked(struct smtp_client *c, enum smtp_client_phase phase)
{
	bool asked = c->phase == phase && c->question == QUESTION_ASKED;

	begin_call(c);
	if (asked)
		smtp_client_enter(c, phase);
	return asked;
}

static void own_outcome(struct outcome *o, enum fault f, struct span why)
{
	outcome_own(o, f);
	if (why.size)
		outcome_set(o, f, 0, span_of(o->enhanced), why);
}

void smtp_client_tls_started(struct smtp_client *c, enum fault f, struct span why)
{
	struct outcome o;

	if (!is_asked(c, PHASE_HANDSHAKE))
		return;
	if (f != FAULT_OK) {
		own_outcome(&o, f, why);
		smtp_client_lose(c, &o, true);
		return;
	}
	c->encrypted = true;
	smtp_reply_init(&c->reply);
	if (c->settings.tls == SMTP_CLIENT_IMPLICIT)
		smtp_client_enter(c, PHASE_GREETING);
	else
		smtp_client_say_hello(c, PHASE_HELLO);
}

void smtp_client_credential(struct smtp_client *c, enum fault f, struct span user, struct span secret, struct span why)
{
	struct sasl_credentials credentials = { user, secret, span_of(c->peer_name), c->settings.port };
	enum sasl_mechanism mechanism = c->settings.mechanism;
	struct outcome o;
	struct buf b;

	if (!is_asked(c, PHASE_SECRET))
		return;
	if (f != FAULT_OK) {
		own_outcome(&o, f, why);
		smtp_client_lose(c, &o, true);
		return;
	}
	buf_over(&b, c->window, sizeof c->window - 2);
	c->window_quiet = true;
	if (sasl_client_put(&b, mechanism, c->sasl_step++, &credentials) != FAULT_OK) {
		c->window_size = b.size;
		outcome_say(&o, FAULT_UPSTREAM_AUTH, "the user name or the secret cannot be said in AUTH %s",
			    sasl_name(mechanism).at);
		smtp_client_lose(c, &o, true);
		return;
	}
	memcpy(c->window + b.size, "\r\n", 2);
	c->window_size = b.size + 2;
	smtp_client_enter(c, PHASE_RESPONSE);
}

void smtp_client_quit(struct smtp_client *c)
{
	begin_call(c);
	if (c->phase == PHASE_GONE)
		return;
	ASSERT(c->phase == PHASE_IDLE);
	c->ready_due = false;
	smtp_client_print(c, "QUIT\r\n");
	smtp_client_enter(c, PHASE_QUITTING);
}

void smtp_client_closed(struct smtp_client *c, enum fault f, struct span why, struct span unread)
{
	struct outcome o;
	size_t taken;

	begin_call(c);
	if (c->phase == PHASE_HANDSHAKE)
		unread.size = 0; /* not ours to read: TLS has begun */
	do {
		clear_window(c); /* it goes nowhere any more */
		c->question = QUESTION_NONE;
		c->body = (struct span){ 0 };
		taken = smtp_client_feed(c, unread);
		unread = span_slice(unread, taken, unread.size);
	} while (taken);
	own_outcome(&o, f, why);
	smtp_client_lose(c, &o, false);
}
