#include "wire/smtp_server_inner.h"

#include "base/secret.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { RECIPIENTS_DEFAULT = 1000, CAPABILITIES_BYTES = 1024 };
#define CHUNK_BYTES_MAX (UINT64_C(1) << 31) /* a larger BDAT is not even read to its end */

static enum fault ok(struct smtp_server *s, const char *enhanced, const char *text)
{
	smtp_server_reply(s, 250, span_of(enhanced), span_of(text));
	return FAULT_OK;
}

/* A refusal after which the stream cannot be trusted or understood any more. */
static enum fault refuse_and_close(struct smtp_server *s, enum fault f)
{
	smtp_server_reply_fault(s, f);
	s->closing = true;
	return FAULT_OK;
}

static bool offers_auth(const struct smtp_server *s)
{
	return s->limits.mechanisms && !s->authorized && (s->secure || s->limits.auth_in_clear);
}

static bool offers_tls(const struct smtp_server *s)
{
	return !s->secure && (s->limits.tls == SMTP_SERVER_TLS_AVAILABLE || s->limits.tls == SMTP_SERVER_TLS_REQUIRED);
}

/* Printable text: it ends up in a Received line and in logs. */
static bool is_name(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if ((unsigned char)s.at[i] < 0x20 || s.at[i] == 0x7f)
			return false;
	return s.size && s.size <= SMTP_SERVER_NAME_BYTES && text_is_utf8(s);
}

static enum fault greet(struct smtp_server *s, struct span name, bool extended)
{
	if (!is_name(name))
		return FAULT_BAD_ARGUMENT;
	smtp_server_transaction_drop(s);
	memcpy(s->helo, name.at, name.size);
	s->helo_size = name.size;
	s->extended = extended;
	s->state = STATE_READY;
	return FAULT_OK;
}

static enum fault do_helo(struct smtp_server *s, struct span argument)
{
	enum fault f = greet(s, argument, false);

	if (f == FAULT_OK)
		smtp_server_reply(s, 250, SPAN(""), s->limits.host);
	return f;
}

static void put_mechanisms(const struct smtp_server *s, struct buf *out)
{
	buf_print(out, "AUTH");
	for (unsigned m = 0; m < SASL_MECHANISM_COUNT; m++)
		if (s->limits.mechanisms & 1u << m)
			buf_print(out, " %.*s", SPAN_ARGS(sasl_name((enum sasl_mechanism)m)));
	buf_print(out, "\n");
}

static enum fault do_ehlo(struct smtp_server *s, struct span argument)
{
	char memory[CAPABILITIES_BYTES];
	struct buf text;
	enum fault f = greet(s, argument, true);

	if (f != FAULT_OK)
		return f;
	buf_over(&text, memory, sizeof memory);
	buf_print(&text, "%.*s\nPIPELINING\n", SPAN_ARGS(s->limits.host));
	if (s->limits.size_bytes)
		buf_print(&text, "SIZE %llu\n", (unsigned long long)s->limits.size_bytes);
	else
		buf_print(&text, "SIZE\n");
	if (offers_tls(s))
		buf_print(&text, "STARTTLS\n");
	if (offers_auth(s))
		put_mechanisms(s, &text);
	buf_print(&text, "8BITMIME\nSMTPUTF8\nCHUNKING\nBINARYMIME\nDSN\nENHANCEDSTATUSCODES\nHELP\n");
	smtp_server_reply(s, 250, SPAN(""), buf_span(&text));
	return FAULT_OK;
}

static enum fault do_starttls(struct smtp_server *s, struct span argument)
{
	if (argument.size)
		return FAULT_BAD_ARGUMENT;
	if (s->secure)
		return FAULT_OUT_OF_ORDER;
	if (!offers_tls(s))
		return FAULT_NOT_OFFERED;
	smtp_server_reply(s, 220, SPAN("2.0.0"), SPAN("ready to start TLS"));
	s->ask = ASK_TLS;
	return FAULT_OK;
}

/* --- AUTH */

static enum fault challenge(struct smtp_server *s, struct span text)
{
	s->in_sasl = true;
	smtp_server_reply(s, 334, SPAN(""), text);
	return FAULT_OK;
}

static enum fault auth_end(struct smtp_server *s, enum fault f)
{
	sasl_server_wipe(&s->sasl);
	s->login = (struct sasl_login){ 0 };
	s->in_sasl = s->sasl_refused = false;
	return f;
}

static enum fault take_response(struct smtp_server *s, char *text, size_t size)
{
	enum fault f = sasl_server_take(&s->sasl, text, size, &s->login);

	if (f != FAULT_OK)
		return auth_end(s, f);
	if (!s->login.secret.size)
		return challenge(s, sasl_server_challenge(&s->sasl));
	s->in_sasl = false;
	s->ask = ASK_LOGIN;
	return FAULT_OK;
}

static enum fault do_auth(struct smtp_server *s, struct span argument)
{
	size_t blank = span_find_byte(argument, ' ');
	enum sasl_mechanism m = sasl_named(span_slice(argument, 0, blank));
	struct span response = span_trim(span_slice(argument, blank, argument.size));

	if (s->authorized)
		return FAULT_OUT_OF_ORDER;
	if (!s->secure && !s->limits.auth_in_clear)
		return offers_tls(s) ? FAULT_TLS_NEEDED : FAULT_NOT_OFFERED;
	if (!argument.size)
		return FAULT_BAD_ARGUMENT;
	if (m == SASL_MECHANISM_COUNT || !(s->limits.mechanisms & 1u << m))
		return FAULT_AUTH_UNKNOWN;
	sasl_server_init(&s->sasl, m);
	if (!response.size)
		return challenge(s, sasl_server_challenge(&s->sasl));
	return take_response(s, s->room->line + (response.at - s->room->line), span_equal(response, SPAN("=")) ? 0 : response.size);
}

enum fault smtp_server_commands_response(struct smtp_server *s, char *line, size_t size)
{
	s->heard = SPAN("(response)");
	if (s->sasl_refused)
		return auth_end(s, s->login_fault);
	return take_response(s, line, size);
}

void smtp_server_commands_authorized(struct smtp_server *s, const struct smtp_server_answer *a)
{
	enum sasl_mechanism m = s->sasl.mechanism;

	auth_end(s, FAULT_OK);
	if (a->fault == FAULT_OK) {
		s->authorized = true;
		smtp_server_reply(s, 235, SPAN("2.7.0"), SPAN("authentication successful"));
	} else if (fault_row(a->fault)->smtp == 535 && sasl_server_refusal(m).size) {
		s->sasl_refused = true;
		s->login_fault = a->fault;
		challenge(s, sasl_server_refusal(m));
	} else if (!smtp_server_reply_is_last_error(s, a->fault)) {
		smtp_server_reply_answer(s, a, SPAN(""), SPAN(""));
	}
}

/* --- the message */

static enum fault may_send(const struct smtp_server *s)
{
	if (s->limits.trusted || s->authorized)
		return FAULT_OK;
	return s->limits.mechanisms ? FAULT_AUTH_NEEDED : FAULT_RELAY_REFUSED;
}

static enum fault do_mail(struct smtp_server *s, struct span argument)
{
	struct span rest = span_slice(argument, 5, argument.size);
	enum fault f = may_send(s);

	if (f != FAULT_OK)
		return f;
	if (!span_starts_fold(argument, SPAN("FROM:")))
		return FAULT_BAD_ARGUMENT;
	f = mail_address_path(&s->path, &rest, MAIL_ADDRESS_REVERSE);
	if (f == FAULT_OK)
		f = parameters_mail(&s->mail, rest);
	if (f != FAULT_OK)
		return f;
	if (s->path.address.utf8 && !s->mail.utf8)
		return FAULT_UTF8_NEEDED;
	if (s->limits.size_bytes && s->mail.size_bytes > s->limits.size_bytes)
		return FAULT_MESSAGE_TOO_LARGE;
	s->ask = ASK_SENDER;
	return FAULT_OK;
}

static enum fault do_rcpt(struct smtp_server *s, struct span argument)
{
	struct span rest = span_slice(argument, 3, argument.size);
	enum fault f;

	if (!span_starts_fold(argument, SPAN("TO:")))
		return FAULT_BAD_ARGUMENT;
	f = mail_address_path(&s->path, &rest, MAIL_ADDRESS_FORWARD);
	if (f == FAULT_OK)
		f = parameters_recipient(&s->recipient, rest);
	if (f != FAULT_OK)
		return f;
	if (s->path.address.utf8 && !s->mail.utf8)
		return FAULT_UTF8_NEEDED;
	if (s->recipients >= (s->limits.recipients ? s->limits.recipients : RECIPIENTS_DEFAULT))
		return FAULT_TOO_MANY_RECIPIENTS;
	s->ask = ASK_RECIPIENT;
	return FAULT_OK;
}

static enum fault do_data(struct smtp_server *s, struct span argument)
{
	if (argument.size)
		return FAULT_BAD_ARGUMENT;
	if (s->state == STATE_SENDER)
		return FAULT_NO_RECIPIENTS;
	if (s->mail.body == PARAMETERS_BINARYMIME) /* RFC 3030 3 */
		return FAULT_OUT_OF_ORDER;
	smtp_server_data_begin(s);
	smtp_server_reply(s, 354, SPAN(""), SPAN("send the message, end it with <CRLF>.<CRLF>"));
	return FAULT_OK;
}

static enum fault may_chunk(const struct smtp_server *s)
{
	if (s->limits.tls == SMTP_SERVER_TLS_REQUIRED && !s->secure)
		return FAULT_TLS_NEEDED;
	if (s->state == STATE_SENDER)
		return FAULT_NO_RECIPIENTS;
	return s->state & (STATE_RECIPIENTS | STATE_CHUNKS) ? FAULT_OK : FAULT_OUT_OF_ORDER;
}

/* Where the size cannot be read, nobody knows where the next command begins. */
static enum fault do_bdat(struct smtp_server *s, struct span argument)
{
	size_t blank = span_find_byte(argument, ' ');
	struct span last = span_trim(span_slice(argument, blank, argument.size));
	uint64_t size;

	if (!span_number(span_slice(argument, 0, blank), &size) || (last.size && !span_equal_fold(last, SPAN("LAST"))))
		return refuse_and_close(s, FAULT_BAD_ARGUMENT);
	if (size > CHUNK_BYTES_MAX)
		return refuse_and_close(s, FAULT_MESSAGE_TOO_LARGE);
	smtp_server_data_chunk(s, size, last.size != 0, may_chunk(s));
	return FAULT_OK;
}

static enum fault do_rset(struct smtp_server *s, struct span argument)
{
	if (argument.size)
		return FAULT_BAD_ARGUMENT;
	smtp_server_transaction_drop(s);
	return ok(s, "2.0.0", "forgotten");
}

/* --- the rest */

static enum fault do_noop(struct smtp_server *s, struct span argument)
{
	return ok(s, "2.0.0", "here");
}

static enum fault do_vrfy(struct smtp_server *s, struct span argument)
{
	if (!argument.size)
		return FAULT_BAD_ARGUMENT;
	smtp_server_reply(s, 252, SPAN("2.5.0"), SPAN("send a message and see"));
	return FAULT_OK;
}

static enum fault do_expn(struct smtp_server *s, struct span argument)
{
	return FAULT_NOT_OFFERED;
}

static enum fault do_quit(struct smtp_server *s, struct span argument)
{
	if (argument.size)
		return FAULT_BAD_ARGUMENT;
	smtp_server_transaction_drop(s);
	smtp_server_reply(s, 221, SPAN("2.0.0"), SPAN("bye"));
	s->closing = true;
	return FAULT_OK;
}

/* A browser, or someone who makes one speak to us: its lines must not be taken for commands. */
static enum fault do_http(struct smtp_server *s, struct span argument)
{
	return refuse_and_close(s, FAULT_NOT_HTTP);
}

static enum fault do_help(struct smtp_server *s, struct span argument)
{
	static const char text[] =
#define SMTP_VERB(name, states, when, quiet, run, syntax) syntax "\n"
#include "tables/smtp_verbs.def"
#undef SMTP_VERB
		;

	smtp_server_reply(s, 214, SPAN("2.0.0"), span_of(text));
	return FAULT_OK;
}

static const struct verb {
	struct span name, hidden;
	unsigned states;
	enum { CLEAR, SECURE } when;
	enum { LOUD, QUIET } quiet;
	enum fault (*run)(struct smtp_server *, struct span argument);
} verbs[] = {
#define SMTP_VERB(name, states, when, quiet, run, syntax)                                                              \
	{ { #name, sizeof #name - 1 }, { #name " ***", sizeof #name + 3 }, states, when, quiet, run },
#include "tables/smtp_verbs.def"
#undef SMTP_VERB
};

static const struct verb *verb_find(struct span name)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (span_equal_fold(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

enum fault smtp_server_commands_run(struct smtp_server *s, struct span line)
{
	size_t blank = span_find_byte(line, ' ');
	const struct verb *verb = verb_find(span_slice(line, 0, blank));

	/* What we do not know may be a password that was sent too late. */
	s->heard = !verb ? SPAN("(not understood)") : verb->quiet == QUIET ? verb->hidden : line;
	if (!verb)
		return FAULT_BAD_COMMAND;
	if (verb->when == SECURE && !s->secure && s->limits.tls == SMTP_SERVER_TLS_REQUIRED)
		return FAULT_TLS_NEEDED;
	if (!(verb->states & s->state))
		return FAULT_OUT_OF_ORDER;
	return verb->run(s, span_trim(span_slice(line, blank, line.size)));
}
