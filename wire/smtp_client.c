#include "wire/smtp_client.h"

#include "base/panic.h"
#include "base/secret.h"
#include "wire/smtp_client_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void greeting_reply(struct smtp_client *);
static void hello_reply(struct smtp_client *);
static void tls_reply(struct smtp_client *);
static void auth_reply(struct smtp_client *);
static void response_reply(struct smtp_client *);
static void idle_reply(struct smtp_client *);
static void reset_reply(struct smtp_client *);

/* How long the peer has (RFC 5321 4.5.3.2), and who reads what it says. */
static const struct {
	int64_t wait_ms;
	void (*reply)(struct smtp_client *);
} phases[PHASE_COUNT] = {
	[PHASE_HANDSHAKE] = { SMTP_CLIENT_COMMAND_MS, NULL },
	[PHASE_GREETING] = { SMTP_CLIENT_COMMAND_MS, greeting_reply },
	[PHASE_HELLO] = { SMTP_CLIENT_COMMAND_MS, hello_reply },
	[PHASE_PLAIN_HELLO] = { SMTP_CLIENT_COMMAND_MS, hello_reply },
	[PHASE_ASKED_TLS] = { SMTP_CLIENT_COMMAND_MS, tls_reply },
	[PHASE_ASKED_AUTH] = { SMTP_CLIENT_COMMAND_MS, auth_reply },
	[PHASE_SECRET] = { SMTP_CLIENT_COMMAND_MS, response_reply },
	[PHASE_RESPONSE] = { SMTP_CLIENT_COMMAND_MS, response_reply },
	[PHASE_IDLE] = { 0, idle_reply },
	[PHASE_ENVELOPE] = { SMTP_CLIENT_COMMAND_MS, smtp_client_envelope_reply },
	[PHASE_CONTENT] = { SMTP_CLIENT_BLOCK_MS, smtp_client_content_reply },
	[PHASE_FINAL] = { SMTP_CLIENT_FINAL_MS, smtp_client_final_reply },
	[PHASE_NOTHING] = { SMTP_CLIENT_FINAL_MS, smtp_client_nothing_reply },
	[PHASE_RESET] = { SMTP_CLIENT_COMMAND_MS, reset_reply },
	[PHASE_QUITTING] = { SMTP_CLIENT_QUIT_MS, idle_reply },
};

/* --- shared with the other half */

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

static void ask(struct smtp_client *c, enum smtp_client_phase phase)
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
	if (c->phase == PHASE_ASKED_AUTH || c->phase == PHASE_RESPONSE)
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
static void hide_tokens(struct outcome *o)
{
	enum { LONGEST_WORD = 64 };
	char *to = o->text, *from = o->text;

	while (*from) {
		size_t run = 0;

		while (is_token_byte(from[run]))
			run++;
		if (run > LONGEST_WORD) {
			memcpy(to, "[...]", 5);
			to += 5;
		} else {
			memmove(to, from, run ? run : 1);
			to += run ? run : 1;
		}
		from += run ? run : 1;
	}
	*to = 0;
}

void smtp_client_read_outcome(const struct smtp_client *c, struct outcome *o)
{
	const struct smtp_reply *r = &c->reply;

	outcome_set(o, plain_meaning(c), r->code, smtp_reply_enhanced(r), smtp_reply_text(r));
	if (c->phase < PHASE_IDLE)
		hide_tokens(o);
}

void smtp_client_nonsense(const struct smtp_client *c, struct outcome *o)
{
	const struct smtp_reply *r = &c->reply;

	if (r->end == SMTP_REPLY_BROKEN)
		outcome_own(o, FAULT_UPSTREAM_BROKEN);
	else
		outcome_set(o, FAULT_UPSTREAM_BROKEN, r->code, smtp_reply_enhanced(r), smtp_reply_text(r));
	if (c->phase < PHASE_IDLE)
		hide_tokens(o);
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

/* Goes, but takes its leave. */
static void leave(struct smtp_client *c, const struct outcome *why)
{
	smtp_client_lose(c, why, true);
	smtp_client_print(c, "QUIT\r\n");
}

static void leave_after_reply(struct smtp_client *c)
{
	struct outcome o;

	smtp_client_read_outcome(c, &o);
	leave(c, &o);
}

static void lose_to_nonsense(struct smtp_client *c)
{
	struct outcome o;

	smtp_client_nonsense(c, &o);
	smtp_client_lose(c, &o, false);
}

void smtp_client_rest(struct smtp_client *c)
{
	smtp_client_enter(c, PHASE_IDLE);
	c->ready_due = true;
}

/* --- what the peer offers */

static const struct {
	const char *name;
	unsigned bit;
} extensions[] = {
	{ "STARTTLS", OFFERS_STARTTLS },     { "PIPELINING", OFFERS_PIPELINING }, { "CHUNKING", OFFERS_CHUNKING },
	{ "SIZE", OFFERS_SIZE },             { "8BITMIME", OFFERS_8BITMIME },     { "BINARYMIME", OFFERS_BINARYMIME },
	{ "SMTPUTF8", OFFERS_SMTPUTF8 },     { "DSN", OFFERS_DSN },               { "AUTH", OFFERS_AUTH },
};

static void read_mechanisms(struct smtp_client *c, struct span names)
{
	struct span name;

	while (span_cut(&names, ' ', &name)) {
		enum sasl_mechanism m = sasl_named(name);

		if (m != SASL_MECHANISM_COUNT)
			c->mechanisms |= 1u << m;
	}
}

/* One line behind EHLO's first. "AUTH=LOGIN" is the spelling of old servers. */
static void read_extension(struct smtp_client *c, struct span line)
{
	size_t name_size = span_find_byte(line, ' ');
	struct span name, arguments;

	if (span_starts_fold(line, SPAN("AUTH=")))
		name_size = 4;
	name = span_slice(line, 0, name_size);
	arguments = span_trim(span_slice(line, name_size + 1, line.size));
	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
		if (!span_equal_fold(name, span_of(extensions[i].name)))
			continue;
		c->offers |= extensions[i].bit;
		if (extensions[i].bit == OFFERS_AUTH)
			read_mechanisms(c, arguments);
		if (extensions[i].bit == OFFERS_SIZE && !span_number(arguments, &c->size_limit))
			c->size_limit = 0;
	}
}

static void read_hello_line(struct smtp_client *c)
{
	if (c->phase != PHASE_HELLO || c->reply.code != 250)
		return;
	if (c->hello_lines++)
		read_extension(c, smtp_reply_line(&c->reply));
	smtp_reply_drop_line(&c->reply);
}

/* --- the session up to READY */

static void say_hello(struct smtp_client *c, enum smtp_client_phase phase)
{
	/* nothing that was learnt before TLS counts behind it (RFC 3207 4.2) */
	c->offers = c->mechanisms = c->hello_lines = 0;
	c->size_limit = 0;
	smtp_client_print(c, "%s %s\r\n", phase == PHASE_HELLO ? "EHLO" : "HELO", c->own_name);
	smtp_client_enter(c, phase);
}

static void greeting_reply(struct smtp_client *c)
{
	if (c->reply.code == 220)
		say_hello(c, PHASE_HELLO);
	else if (c->reply.code < 400)
		lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

static void ask_for_tls(struct smtp_client *c)
{
	struct outcome o;

	if (c->offers & OFFERS_STARTTLS) {
		smtp_client_print(c, "STARTTLS\r\n");
		smtp_client_enter(c, PHASE_ASKED_TLS);
		return;
	}
	outcome_say(&o, FAULT_TLS_MISSING, "%s does not offer STARTTLS", c->peer_name);
	leave(c, &o);
}

static void ask_to_sign_in(struct smtp_client *c)
{
	const char *name = sasl_name(c->settings.mechanism).at;
	struct outcome o;

	if (c->mechanisms & 1u << c->settings.mechanism) {
		c->sasl_step = 0;
		c->sasl_ended = false;
		smtp_client_print(c, "AUTH %s\r\n", name);
		smtp_client_enter(c, PHASE_ASKED_AUTH);
		return;
	}
	outcome_say(&o, FAULT_UPSTREAM_AUTH, "%s does not offer AUTH %s", c->peer_name, name);
	leave(c, &o);
}

static void hello_reply(struct smtp_client *c)
{
	if (c->reply.code != 250 && c->reply.code < 400)
		lose_to_nonsense(c);
	else if (c->reply.code >= 500 && c->phase == PHASE_HELLO)
		say_hello(c, PHASE_PLAIN_HELLO);
	else if (c->reply.code != 250)
		leave_after_reply(c);
	else if (c->settings.tls == SMTP_CLIENT_STARTTLS && !c->encrypted)
		ask_for_tls(c);
	else if (c->settings.mechanism != SASL_MECHANISM_COUNT)
		ask_to_sign_in(c);
	else
		smtp_client_rest(c);
}

static void tls_reply(struct smtp_client *c)
{
	if (c->reply.code == 220)
		ask(c, PHASE_HANDSHAKE);
	else if (c->reply.code < 400)
		lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

static void injected(struct smtp_client *c)
{
	struct outcome o;

	outcome_say(&o, FAULT_TLS_FAILED, "%s, or someone on the way, sent replies in the clear where TLS was to begin",
		    c->peer_name);
	smtp_client_lose(c, &o, true);
}

static void auth_reply(struct smtp_client *c)
{
	if (c->reply.code == 334)
		ask(c, PHASE_SECRET);
	else if (c->reply.code < 400)
		lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

/* A challenge behind the last response is a refusal in waiting: the real one comes once it was answered. */
static void answer_challenge(struct smtp_client *c)
{
	if (c->sasl_step < sasl_client_steps(c->settings.mechanism)) {
		ask(c, PHASE_SECRET);
	} else if (!c->sasl_ended) {
		c->sasl_ended = true;
		smtp_client_print(c, "%.*s\r\n", SPAN_ARGS(sasl_client_end(c->settings.mechanism)));
		smtp_client_enter(c, PHASE_RESPONSE);
	} else {
		lose_to_nonsense(c);
	}
}

static void response_reply(struct smtp_client *c)
{
	if (c->reply.code == 235 && !c->sasl_ended && c->sasl_step == sasl_client_steps(c->settings.mechanism))
		smtp_client_rest(c);
	else if (c->reply.code == 334)
		answer_challenge(c);
	else if (c->reply.code < 400)
		lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

/* Nobody asked; or the answer to QUIT. */
static void idle_reply(struct smtp_client *c)
{
	lose_to_nonsense(c);
}

static void reset_reply(struct smtp_client *c)
{
	if (c->reply.code >= 200 && c->reply.code < 300)
		smtp_client_rest(c);
	else
		leave_after_reply(c);
}

/* --- the public five */

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
		ask(c, PHASE_HANDSHAKE);
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

size_t smtp_client_feed(struct smtp_client *c, struct span bytes)
{
	enum smtp_reply_end end = SMTP_REPLY_MORE;
	size_t taken = 0;

	begin_call(c);
	while (taken < bytes.size && may_read(c) && end != SMTP_REPLY_WHOLE) {
		taken += smtp_reply_feed(&c->reply, span_slice(bytes, taken, bytes.size), &end);
		if (end == SMTP_REPLY_BROKEN)
			lose_to_nonsense(c);
		if (end == SMTP_REPLY_LINE || end == SMTP_REPLY_WHOLE)
			read_hello_line(c);
		if (end == SMTP_REPLY_WHOLE)
			take_reply(c);
	}
	if (c->phase == PHASE_HANDSHAKE && taken < bytes.size) {
		injected(c);
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
		say_hello(c, PHASE_HELLO);
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
