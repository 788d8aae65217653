#include "wire/smtp_server_inner.h"

#include "base/secret.h"

#include <stdio.h>
#include <string.h>

enum {
	OVERLONG_BYTES = 65536, /* of a line that is too long already; then the session is over */
	TLS_HANDSHAKE = 0x16,   /* how a TLS record with a ClientHello begins (RFC 8446 5.1) */
	GREETING_MS = 120000,
	COMMAND_MS = 300000,
	DATA_MS = 180000,
	MESSAGE_MS = 3600000,
};

bool smtp_server_has_message(const struct smtp_server *s)
{
	return (s->state == STATE_CHUNK ? s->chunk_back : s->state) & STATE_MESSAGE;
}

void smtp_server_transaction_end(struct smtp_server *s)
{
	if (s->state != STATE_FRESH)
		s->state = STATE_READY;
	s->recipients = 0;
	s->mail = (struct parameters_mail){ 0 };
	s->body_size = 0;
	s->spoiled = FAULT_OK;
	s->names = (struct remedy_names){ 0 };
}

void smtp_server_transaction_drop(struct smtp_server *s)
{
	s->drop |= smtp_server_has_message(s) && s->spoiled == FAULT_OK;
	smtp_server_transaction_end(s);
}

static int64_t or_default(int64_t wait_ms, int64_t default_ms)
{
	return wait_ms > 0 ? wait_ms : default_ms;
}

void smtp_server_init(struct smtp_server *s, struct smtp_server_room *room, const struct smtp_server_limits *limits, int64_t now_ms)
{
	char text[SMTP_SERVER_NAME_BYTES + 32];

	*s = (struct smtp_server){ .room = room, .limits = *limits, .state = STATE_FRESH };
	s->limits.greeting_ms = or_default(limits->greeting_ms, GREETING_MS);
	s->limits.command_ms = or_default(limits->command_ms, COMMAND_MS);
	s->limits.data_ms = or_default(limits->data_ms, DATA_MS);
	s->limits.message_ms = or_default(limits->message_ms, MESSAGE_MS);
	s->limits.host = span_slice(limits->host, 0, SMTP_SERVER_NAME_BYTES);
	s->secure = limits->tls == SMTP_SERVER_TLS_IMPLICIT;
	s->now_ms = s->started_ms = s->heard_ms = now_ms;
	if (limits->deny != FAULT_OK) {
		smtp_server_reply_fault(s, limits->deny);
		s->closing = true;
		return;
	}
	snprintf(text, sizeof text, "%.*s ESMTP Postern", SPAN_ARGS(s->limits.host));
	smtp_server_reply(s, 220, SPAN(""), span_of(text));
}

void smtp_server_fini(struct smtp_server *s)
{
	if (s->room)
		secret_wipe(s->room, sizeof *s->room);
	sasl_server_wipe(&s->sasl);
}

struct span smtp_server_helo(const struct smtp_server *s)
{
	return (struct span){ s->helo, s->helo_size };
}

struct span smtp_server_protocol(const struct smtp_server *s)
{
	static const char *const names[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
	};

	if (!s->extended && !s->secure && !s->authorized)
		return SPAN("SMTP");
	return span_of(names[s->mail.utf8][s->secure][s->authorized]);
}

enum fault smtp_server_offence(const struct smtp_server *s)
{
	return s->offence;
}

/* --- lines */

static void refuse_and_close(struct smtp_server *s, enum fault f)
{
	smtp_server_reply_fault(s, f);
	s->closing = true;
}

static size_t line_limit(const struct smtp_server *s)
{
	return s->in_sasl ? SASL_LINE_BYTES : SMTP_SERVER_COMMAND_BYTES - 2;
}

static enum fault run_line(struct smtp_server *s)
{
	s->heard = SPAN("(refused)");
	if (s->line_skipped || s->line_size > line_limit(s))
		return s->in_sasl ? FAULT_AUTH_TOO_LONG : FAULT_LINE_TOO_LONG;
	if (s->line_bare)
		return FAULT_BARE_NEWLINE;
	if (s->line_nul)
		return FAULT_NUL_BYTE;
	if (s->in_sasl)
		return smtp_server_commands_response(s, s->room->line, s->line_size);
	return smtp_server_commands_run(s, (struct span){ s->room->line, s->line_size });
}

static void end_line(struct smtp_server *s)
{
	enum fault f = run_line(s);

	if (f != FAULT_OK) {
		s->in_sasl = s->sasl_refused = false;
		smtp_server_reply_fault(s, f);
	}
	if (s->heard.at != s->room->line && s->ask != ASK_LOGIN)
		secret_wipe(s->room->line, s->line_size);
	s->line_whole = true;
	s->heard_ms = s->now_ms;
}

static void begin_line(struct smtp_server *s)
{
	s->line_size = s->line_skipped = 0;
	s->line_bare = s->line_nul = s->line_whole = false;
	s->heard = (struct span){ 0 };
}

/* A line with a credential was wiped when it was answered; of the others at least the last one is. */
struct smtp_server_room *smtp_server_return(struct smtp_server *s)
{
	struct smtp_server_room *room = s->room;

	if (!room || s->ask || s->out_size || (!s->line_whole && (s->line_size || s->line_skipped)))
		return NULL;
	secret_wipe(room->line, s->line_size);
	if (s->line_whole)
		begin_line(s);
	s->room = NULL;
	return room;
}

void smtp_server_lend(struct smtp_server *s, struct smtp_server_room *room)
{
	s->room = room;
}

/* True when `c` ended the line. A CR counts only before LF, an LF only after CR. */
static bool take_byte(struct smtp_server *s, char c)
{
	bool after_cr = s->line_size && s->room->line[s->line_size - 1] == '\r' && !s->line_skipped;

	if (c == '\n') {
		if (after_cr)
			s->line_size--;
		else
			s->line_bare = true;
		return true;
	}
	s->line_bare |= after_cr;
	s->line_nul |= !c;
	if (s->line_size <= line_limit(s))
		s->room->line[s->line_size++] = c;
	else
		s->line_skipped++;
	return false;
}

static size_t take_line(struct smtp_server *s, struct span bytes)
{
	size_t taken = 0;

	if (s->line_whole)
		begin_line(s);
	if (!s->line_size && !s->secure && !s->in_sasl && bytes.at[0] == TLS_HANDSHAKE) {
		refuse_and_close(s, FAULT_TLS_TOO_EARLY);
		return 1;
	}
	while (taken < bytes.size && s->line_skipped <= OVERLONG_BYTES)
		if (take_byte(s, bytes.at[taken++])) {
			end_line(s);
			return taken;
		}
	if (s->line_skipped > OVERLONG_BYTES)
		refuse_and_close(s, FAULT_LINE_TOO_LONG);
	return taken;
}

bool smtp_server_heard(struct smtp_server *s, struct span *line_out)
{
	*line_out = s->heard;
	s->heard = (struct span){ 0 };
	return line_out->at != NULL;
}

/* --- the pump */

static bool may_read(const struct smtp_server *s)
{
	return !s->drop && !s->body.size && !s->out_size && !s->ask && !s->closing && !s->late;
}

/* In the clear, behind STARTTLS: somebody's injection (CVE-2011-0411). */
static void refuse_injected(struct smtp_server *s)
{
	s->ask = ASK_NOTHING;
	s->asked = false;
	s->out_size = 0;
	refuse_and_close(s, FAULT_INJECTED);
}

size_t smtp_server_feed(struct smtp_server *s, struct span bytes)
{
	size_t taken = 0;

	while (taken < bytes.size && may_read(s)) {
		struct span rest = span_slice(bytes, taken, bytes.size);

		taken += s->state & (STATE_DATA | STATE_CHUNK) ? smtp_server_data_take(s, rest) : take_line(s, rest);
	}
	if (s->ask == ASK_TLS && taken < bytes.size)
		refuse_injected(s);
	return taken;
}

static bool write_next(struct smtp_server *s, struct smtp_server_wish *w)
{
	if (s->body.size) {
		w->kind = SMTP_SERVER_BODY;
		w->text = s->body;
		s->body = (struct span){ 0 };
	} else if (s->drop) {
		w->kind = SMTP_SERVER_MESSAGE_DROP;
		s->drop = false;
	} else if (s->out_size) {
		w->kind = SMTP_SERVER_WRITE;
		w->text = (struct span){ s->room->out, s->out_size };
		s->out_size = 0;
	} else {
		return false;
	}
	return true;
}

static bool ask_next(struct smtp_server *s, struct smtp_server_wish *w)
{
	static const enum smtp_server_wish_kind kinds[] = {
		[ASK_TLS] = SMTP_SERVER_START_TLS,       [ASK_LOGIN] = SMTP_SERVER_AUTHORIZE,
		[ASK_SENDER] = SMTP_SERVER_SENDER,       [ASK_RECIPIENT] = SMTP_SERVER_RECIPIENT,
		[ASK_VERDICT] = SMTP_SERVER_MESSAGE_END,
	};

	if (!s->ask || s->asked)
		return false;
	*w = (struct smtp_server_wish){ .kind = kinds[s->ask],
					.mechanism = s->sasl.mechanism,
					.user = s->login.user,
					.secret = s->login.secret,
					.path = &s->path,
					.mail = &s->mail,
					.recipient = &s->recipient };
	s->asked = true;
	return true;
}

/* What ends a session from outside: time, the peer, the daemon. */
static bool is_over(struct smtp_server *s)
{
	bool between = s->state & (STATE_FRESH | STATE_READY) && !s->in_sasl && (!s->line_size || s->line_whole);

	if (s->ask)
		return false;
	if (!s->closing && (s->late || (s->stop != FAULT_OK && between)))
		refuse_and_close(s, !s->late ? s->stop : s->leave != FAULT_OK ? s->leave : FAULT_IDLE_TIMEOUT);
	s->closing |= s->ended;
	if (s->closing)
		smtp_server_transaction_drop(s);
	return s->closing;
}

bool smtp_server_poll(struct smtp_server *s, struct smtp_server_wish *wish_out)
{
	*wish_out = (struct smtp_server_wish){ 0 };
	if (write_next(s, wish_out) || ask_next(s, wish_out))
		return true;
	if (s->closed || !is_over(s))
		return false;
	if (write_next(s, wish_out))
		return true;
	s->closed = true;
	wish_out->kind = SMTP_SERVER_CLOSE;
	return true;
}

/* --- answers */

static void answer_sender(struct smtp_server *s, const struct smtp_server_answer *a)
{
	if (a->fault == FAULT_OK) {
		s->state = STATE_SENDER;
		s->named_sender = true;
	} else if (smtp_server_reply_is_last_error(s, a->fault)) {
		return;
	}
	smtp_server_reply_answer(s, a, SPAN("2.1.0"), SPAN("sender ok"));
}

static void answer_recipient(struct smtp_server *s, const struct smtp_server_answer *a)
{
	if (a->fault == FAULT_OK) {
		s->state = STATE_RECIPIENTS;
		s->recipients++;
	}
	smtp_server_reply_answer(s, a, SPAN("2.1.5"),
				 SPAN("recipient ok")); /* not counted: a list with dead addresses is no attack */
}

static void answer_verdict(struct smtp_server *s, const struct smtp_server_answer *a)
{
	if (a->fault == FAULT_OK)
		s->errors = 0;
	smtp_server_reply_answer(s, a, SPAN("2.0.0"), SPAN("message accepted"));
	smtp_server_transaction_end(s);
}

void smtp_server_answer(struct smtp_server *s, const struct smtp_server_answer *a)
{
	unsigned ask = s->ask;

	s->ask = ASK_NOTHING;
	s->asked = false;
	s->heard_ms = s->now_ms;
	switch (ask) {
	case ASK_LOGIN:
		secret_wipe(s->room->line, s->line_size);
		smtp_server_commands_authorized(s, a);
		break;
	case ASK_SENDER: answer_sender(s, a); break;
	case ASK_RECIPIENT: answer_recipient(s, a); break;
	case ASK_VERDICT: answer_verdict(s, a); break;
	default: s->ask = ask; break;
	}
}

void smtp_server_tls_started(struct smtp_server *s)
{
	s->ask = ASK_NOTHING;
	s->asked = false;
	s->secure = true;
	smtp_server_transaction_drop(s);
	s->state = STATE_FRESH;
	s->authorized = s->extended = false;
	s->helo_size = 0;
	s->heard_ms = s->now_ms;
}

void smtp_server_ended(struct smtp_server *s)
{
	s->ended = true;
}

void smtp_server_stop(struct smtp_server *s, enum fault f)
{
	s->stop = f;
}

void smtp_server_leave(struct smtp_server *s, enum fault f)
{
	s->leave = f;
	s->late = true;
}

/* --- time */

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t smtp_server_deadline(const struct smtp_server *s)
{
	bool reading = s->state & (STATE_DATA | STATE_CHUNK);
	int64_t at = s->heard_ms + (reading ? s->limits.data_ms : s->limits.command_ms);

	if (s->ask || s->closing || s->ended)
		return INT64_MAX;
	if (reading || s->state == STATE_CHUNKS)
		return earlier(at, s->message_ms + s->limits.message_ms);
	return s->named_sender ? at : earlier(at, s->started_ms + s->limits.greeting_ms);
}

void smtp_server_tick(struct smtp_server *s, int64_t now_ms)
{
	s->now_ms = now_ms;
	s->late |= now_ms >= smtp_server_deadline(s);
}
