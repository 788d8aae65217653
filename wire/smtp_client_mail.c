#include "base/panic.h"
#include "base/text.h"
#include "wire/smtp_client_inner.h"

#include <inttypes.h>
#include <string.h>

/* The longest command: an address, NOTIFY and ORCPT. */
enum { COMMAND_BYTES = 1024 };

/* --- what may be said of this message to this peer */

/* Whether the bytes can stand between < and >: no controls, and blanks and brackets in a quoted string only. */
static bool is_path(struct span s)
{
	bool quoted = false;

	if (s.size > SMTP_CLIENT_ADDRESS_BYTES || !text_is_utf8(s))
		return false;
	for (size_t i = 0; i < s.size; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c < ' ' || c == 127 || (!quoted && strchr(" <>", c)))
			return false;
		if (quoted && c == '\\' && ++i < s.size && ((unsigned char)s.at[i] < ' ' || s.at[i] == 127))
			return false;
		quoted ^= c == '"';
	}
	return !quoted;
}

/* xtext, or what RFC 6533 puts in its place: nothing that could end the parameter. */
static bool is_parameter(struct span s, size_t most)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] < '!' || s.at[i] > '~' || s.at[i] == '=')
			return false;
	return s.size && s.size <= most;
}

static bool needs_utf8(const struct smtp_client_message *m)
{
	bool needs = m->utf8 || !text_is_ascii(m->sender);

	for (size_t i = 0; i < m->recipient_count && !needs; i++)
		needs = m->recipients[i].state == SMTP_CLIENT_OPEN && !text_is_ascii(m->recipients[i].address);
	return needs;
}

static void decide(struct smtp_client_recipient *r, const struct outcome *o)
{
	r->outcome = *o;
	r->state = SMTP_CLIENT_DECIDED;
}

/* Every recipient in that state. */
static void decide_all(const struct smtp_client_message *m, int state, const struct outcome *o)
{
	for (size_t i = 0; i < m->recipient_count; i++)
		if ((int)m->recipients[i].state == state)
			decide(&m->recipients[i], o);
}

static size_t open_recipients(const struct smtp_client_message *m)
{
	struct outcome bad;
	size_t count = 0;

	outcome_own(&bad, FAULT_BAD_ADDRESS);
	for (size_t i = 0; i < m->recipient_count; i++) {
		m->recipients[i].state = SMTP_CLIENT_OPEN;
		if (m->recipients[i].address.size && is_path(m->recipients[i].address))
			count++;
		else
			decide(&m->recipients[i], &bad);
	}
	return count;
}

/* What the peer cannot carry is refused here: altering it, or hoping, would lose mail. */
static bool is_lacking(const struct smtp_client *c, const struct smtp_client_message *m, struct outcome *o)
{
	const unsigned binary = OFFERS_BINARYMIME | OFFERS_CHUNKING;
	const char *lacks = NULL;

	if (needs_utf8(m) && !(c->offers & OFFERS_SMTPUTF8))
		lacks = "SMTPUTF8";
	else if (m->body == SMTP_CLIENT_8BIT && !(c->offers & OFFERS_8BITMIME))
		lacks = "8BITMIME";
	else if (m->body == SMTP_CLIENT_BINARY && ((c->offers & binary) != binary || !m->has_size))
		lacks = "BINARYMIME";
	if (lacks)
		outcome_say(o, FAULT_UPSTREAM_LACKS, "%s does not offer %s, which this message needs", c->peer_name, lacks);
	return lacks != NULL;
}

static bool is_oversize(const struct smtp_client *c, const struct smtp_client_message *m, struct outcome *o)
{
	bool over = c->size_limit && m->has_size && m->size_bytes > c->size_limit;

	if (over)
		outcome_say(o, FAULT_TOO_LARGE_UPSTREAM, "%s takes at most %" PRIu64 " bytes, the message has %" PRIu64,
			    c->peer_name, c->size_limit, m->size_bytes);
	return over;
}

/* Whether it can be sent at all; where not, every recipient is decided. */
static bool may_send(const struct smtp_client *c, const struct smtp_client_message *m)
{
	struct outcome o;

	if (!open_recipients(m))
		return false;
	outcome_own(&o, FAULT_BAD_ADDRESS);
	if (is_path(m->sender) && !is_lacking(c, m, &o) && !is_oversize(c, m, &o))
		return true;
	decide_all(m, SMTP_CLIENT_OPEN, &o);
	return false;
}

/* --- begin and end */

static void finish(struct smtp_client *c, bool resets)
{
	c->message = NULL;
	c->messages_done++;
	c->outcome_due = true;
	if (!resets) {
		smtp_client_rest(c);
		return;
	}
	smtp_client_print(c, "RSET\r\n");
	smtp_client_enter(c, PHASE_RESET);
}

void smtp_client_message(struct smtp_client *c, const struct smtp_client_message *m)
{
	struct outcome gone;

	ASSERT(!c->message && (c->phase == PHASE_IDLE || c->phase == PHASE_GONE));
	ASSERT(m->recipient_count >= 1 && m->recipient_count <= SMTP_CLIENT_RECIPIENTS);
	c->window_size = c->window_spent ? 0 : c->window_size; /* never a secret: those ended with the sign-in */
	c->window_spent = false;
	c->message = m;
	c->ready_due = c->unknown = c->untouched = c->mail_refused = c->body_begun = c->body_end = c->end_written =
		c->spoke_early = false;
	c->next_send = c->next_reply = c->waiting = c->taken = 0;
	c->dsn_passed = c->offers & OFFERS_DSN;
	c->chunked = m->has_size && c->offers & OFFERS_CHUNKING;
	c->body = (struct span){ 0 };
	dot_init(&c->dot);
	if (c->phase == PHASE_GONE) {
		open_recipients(m);
		outcome_own(&gone, FAULT_CLOSED);
		smtp_client_drop_message(c, &gone, true);
		c->untouched = true;
	} else if (may_send(c, m)) {
		smtp_client_enter(c, PHASE_ENVELOPE);
	} else {
		finish(c, false);
	}
}

/* What MAIL's refusal leaves open it decides. */
static void finish_envelope(struct smtp_client *c)
{
	decide_all(c->message, SMTP_CLIENT_OPEN, &c->failure);
	decide_all(c->message, SMTP_CLIENT_TAKEN, &c->failure);
	finish(c, true);
}

void smtp_client_drop_message(struct smtp_client *c, const struct outcome *why, bool heard)
{
	c->unknown = c->phase == PHASE_FINAL && c->end_written && !heard;
	c->untouched = c->messages_done && !c->next_reply;
	decide_all(c->message, SMTP_CLIENT_OPEN, why);
	decide_all(c->message, SMTP_CLIENT_TAKEN, why);
	c->message = NULL;
	c->outcome_due = true;
}

static void abandon(struct smtp_client *c, enum fault f)
{
	struct outcome o;

	outcome_own(&o, f);
	smtp_client_lose(c, &o, true);
}

/* --- the envelope, sender's side */

static void put_mail(struct smtp_client *c)
{
	const struct smtp_client_message *m = c->message;
	static const char *const bodies[] = { "", " BODY=8BITMIME", " BODY=BINARYMIME" };
	static const char *const returns[] = { "", " RET=HDRS", " RET=FULL" };

	smtp_client_print(c, "MAIL FROM:<%.*s>", SPAN_ARGS(m->sender));
	if (c->offers & OFFERS_SIZE && m->has_size)
		smtp_client_print(c, " SIZE=%" PRIu64, m->size_bytes);
	smtp_client_print(c, "%s%s", bodies[m->body], needs_utf8(m) ? " SMTPUTF8" : "");
	if (c->offers & OFFERS_DSN)
		smtp_client_print(c, "%s", returns[m->returns]);
	if (c->offers & OFFERS_DSN && is_parameter(m->envelope_id, DSN_ENVELOPE_ID_BYTES))
		smtp_client_print(c, " ENVID=%.*s", SPAN_ARGS(m->envelope_id));
	smtp_client_print(c, "\r\n");
}

static void put_notify(struct smtp_client *c, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = { { DSN_SUCCESS, "SUCCESS" }, { DSN_FAILURE, "FAILURE" }, { DSN_DELAY, "DELAY" } };
	char before = '=';

	smtp_client_print(c, " NOTIFY");
	if (notify & DSN_NEVER) {
		smtp_client_print(c, "=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (notify & names[i].bit) {
			smtp_client_print(c, "%c%s", before, names[i].name);
			before = ',';
		}
}

static void put_recipient(struct smtp_client *c, const struct smtp_client_recipient *r)
{
	smtp_client_print(c, "RCPT TO:<%.*s>", SPAN_ARGS(r->address));
	if (c->offers & OFFERS_DSN && r->notify & (DSN_NEVER | DSN_SUCCESS | DSN_FAILURE | DSN_DELAY))
		put_notify(c, r->notify);
	if (c->offers & OFFERS_DSN && is_parameter(r->original, DSN_ORIGINAL_BYTES))
		smtp_client_print(c, " ORCPT=%.*s", SPAN_ARGS(r->original));
	smtp_client_print(c, "\r\n");
}

/* A place behind those recipients that were decided before anything was sent. */
static size_t skip_decided(const struct smtp_client_message *m, size_t step)
{
	while (step >= 1 && step <= m->recipient_count && m->recipients[step - 1].state == SMTP_CLIENT_DECIDED)
		step++;
	return step;
}

/* Whether a command is still to be sent. DATA is, as long as somebody was accepted or may be. */
static bool has_command(const struct smtp_client *c)
{
	size_t data_step = c->message->recipient_count + 1;

	if (c->mail_refused || c->next_send > data_step)
		return false;
	return c->next_send < data_step || (!c->chunked && (c->taken || c->waiting));
}

static void put_command(struct smtp_client *c)
{
	size_t step = c->next_send++;

	if (!step)
		put_mail(c);
	else if (step <= c->message->recipient_count)
		put_recipient(c, &c->message->recipients[step - 1]);
	else
		smtp_client_print(c, "DATA\r\n");
	c->next_send = skip_decided(c->message, c->next_send);
	c->waiting++;
}

/* Refilled when half of what was on its way came back, so that it goes in full segments. */
static void pump_envelope(struct smtp_client *c)
{
	bool pipelining = c->offers & OFFERS_PIPELINING;
	size_t most = pipelining ? SMTP_CLIENT_PIPELINE : 1;

	if (c->waiting > most / 2)
		return;
	while (c->waiting < most && sizeof c->window - c->window_size > COMMAND_BYTES && has_command(c))
		put_command(c);
}

/* --- the envelope, receiver's side */

static void mail_reply(struct smtp_client *c)
{
	if (c->reply.code < 300)
		return;
	c->mail_refused = true;
	smtp_client_read_outcome(c, &c->failure);
}

/* 552 to RCPT is an old way to say "too many": it passes (RFC 5321 4.5.3.1.10). */
static void recipient_reply(struct smtp_client *c, struct smtp_client_recipient *r)
{
	struct outcome o;

	if (c->mail_refused)
		return;
	if (c->reply.code < 300) {
		r->state = SMTP_CLIENT_TAKEN;
		c->taken++;
		return;
	}
	smtp_client_read_outcome(c, &o);
	if (o.code == 552 && o.fault == FAULT_UPSTREAM_REPLY && (!o.enhanced[0] || !strcmp(o.enhanced, "5.5.3")))
		o.fault = FAULT_UPSTREAM_BUSY;
	decide(r, &o);
}

static void data_reply(struct smtp_client *c)
{
	bool useful = c->taken && !c->mail_refused;
	struct outcome o;

	if (c->reply.code < 300) {
		smtp_client_lose_to_nonsense(c);
	} else if (c->reply.code >= 400) {
		smtp_client_read_outcome(c, &o);
		if (useful)
			decide_all(c->message, SMTP_CLIENT_TAKEN, &o);
		finish_envelope(c);
	} else if (useful) {
		smtp_client_enter(c, PHASE_CONTENT);
	} else {
		smtp_client_print(c, ".\r\n");
		smtp_client_enter(c, PHASE_NOTHING);
	}
}

static void begin_chunk(struct smtp_client *c)
{
	c->body_left = c->message->size_bytes;
	smtp_client_enter(c, PHASE_CONTENT);
	if (!c->body_left) {
		smtp_client_print(c, "BDAT 0 LAST\r\n");
		smtp_client_enter(c, PHASE_FINAL);
	}
}

void smtp_client_envelope_reply(struct smtp_client *c)
{
	size_t step = c->next_reply, data_step = c->message->recipient_count + 1;

	if (!c->waiting || (c->reply.code >= 300 && c->reply.code < 400 && step < data_step)) {
		smtp_client_lose_to_nonsense(c);
		return;
	}
	c->waiting--;
	c->next_reply = skip_decided(c->message, step + 1);
	if (!step)
		mail_reply(c);
	else if (step < data_step)
		recipient_reply(c, &c->message->recipients[step - 1]);
	else
		data_reply(c);
	if (c->phase != PHASE_ENVELOPE || c->waiting || has_command(c))
		return;
	if (c->taken && !c->mail_refused)
		begin_chunk(c);
	else
		finish_envelope(c);
}

/* --- the body */

/* Fills the window with lines, dots doubled; the end goes with the last of them. */
static void pump_lines(struct smtp_client *c)
{
	char *to = c->window + c->window_size;
	size_t room = sizeof c->window - c->window_size, put = 0;

	if (dot_put(&c->dot, &c->body, to, room, &put) != FAULT_OK) {
		abandon(c, FAULT_BARE_NEWLINE);
		return;
	}
	c->window_size += put;
	if (c->body.size || !c->body_end || room - put < DOT_END_BYTES)
		return;
	if (dot_end(&c->dot, to + put, &put) != FAULT_OK) {
		abandon(c, FAULT_BARE_NEWLINE);
		return;
	}
	c->window_size += put;
	smtp_client_enter(c, PHASE_FINAL);
}

static void pump_content(struct smtp_client *c)
{
	if (c->window_size || c->question)
		return;
	if (!c->chunked && (c->body.size || c->body_end))
		pump_lines(c);
	if (c->phase == PHASE_CONTENT && !c->window_size && !c->body.size)
		c->question = QUESTION_DUE;
}

void smtp_client_pump(struct smtp_client *c)
{
	if (c->phase == PHASE_ENVELOPE)
		pump_envelope(c);
	else if (c->phase == PHASE_CONTENT)
		pump_content(c);
}

/* Whether these bytes may go in the chunk that was declared. */
static enum fault check_chunk(struct smtp_client *c, struct span bytes, bool end)
{
	if (bytes.size > c->body_left || (end && bytes.size < c->body_left))
		return FAULT_BUG;
	if (c->message->body == SMTP_CLIENT_BINARY)
		return FAULT_OK;
	if (dot_check(&c->dot, bytes) != FAULT_OK)
		return FAULT_BARE_NEWLINE;
	return bytes.size == c->body_left ? dot_check_end(&c->dot) : FAULT_OK;
}

/* One chunk carries it all. Small pieces go through the window, to leave with its head in one segment. */
static void take_chunk(struct smtp_client *c, struct span bytes, bool end)
{
	enum fault f = check_chunk(c, bytes, end);

	if (f != FAULT_OK) {
		abandon(c, f);
		return;
	}
	if (!c->body_begun)
		smtp_client_print(c, "BDAT %" PRIu64 " LAST\r\n", c->body_left);
	c->body_begun = true;
	c->body_left -= bytes.size;
	if (bytes.size <= sizeof c->window - c->window_size) {
		memcpy(c->window + c->window_size, bytes.at, bytes.size);
		c->window_size += bytes.size;
	} else {
		c->body = bytes;
	}
	if (!c->body_left)
		smtp_client_enter(c, PHASE_FINAL);
}

/* Whether BODY is being asked; its question is then over. */
static bool is_asked(struct smtp_client *c)
{
	bool asked = c->phase == PHASE_CONTENT && c->question == QUESTION_ASKED;

	if (asked) {
		c->window_size = 0; /* was written, else it would not have asked */
		c->window_spent = false;
		smtp_client_enter(c, PHASE_CONTENT);
	}
	return asked;
}

void smtp_client_body(struct smtp_client *c, struct span bytes, bool end)
{
	if (!is_asked(c))
		return;
	if (c->chunked) {
		take_chunk(c, bytes, end);
		return;
	}
	c->body = bytes;
	c->body_end = end;
}

void smtp_client_no_body(struct smtp_client *c, enum fault f)
{
	if (is_asked(c))
		abandon(c, f);
}

/* A verdict while the body is still under way: it counts, and the connection is lost to it. */
void smtp_client_content_reply(struct smtp_client *c)
{
	struct outcome o;

	if (c->reply.code < 400) {
		smtp_client_lose_to_nonsense(c);
		return;
	}
	smtp_client_read_outcome(c, &o);
	smtp_client_lose(c, &o, true);
}

void smtp_client_final_reply(struct smtp_client *c)
{
	struct outcome o;

	if ((c->reply.code >= 300 && c->reply.code < 400) || (c->spoke_early && c->reply.code < 300)) {
		smtp_client_lose_to_nonsense(c);
	} else if (!c->end_written) {
		smtp_client_content_reply(c);
	} else {
		smtp_client_read_outcome(c, &o);
		if (c->reply.code < 300)
			o.fault = FAULT_OK;
		decide_all(c->message, SMTP_CLIENT_TAKEN, &o);
		finish(c, false);
	}
}

void smtp_client_nothing_reply(struct smtp_client *c)
{
	finish_envelope(c);
}
