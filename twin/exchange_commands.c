#include "base/text.h"
#include "twin/exchange_delivery.h"
#include "twin/exchange_parts.h"

#include <string.h>

/* A path after "FROM:" or "TO:": the address in angle brackets, or bare as clumsy clients send it; `rest` keeps the parameters. */
static bool read_path(struct span *rest, struct span *address)
{
	struct span text = span_trim(*rest);
	size_t end;

	if (span_starts(text, SPAN("<"))) {
		end = span_find_byte(text, '>');
		if (end == text.size)
			return false;
		*address = span_slice(text, 1, end - 1);
		*rest = span_slice(text, end + 1, text.size);
	} else {
		end = span_find_byte(text, ' ');
		*address = span_slice(text, 0, end);
		*rest = span_slice(text, end, text.size);
		if (!address->size)
			return false;
	}
	return span_find_byte(*address, ' ') == address->size && text_is_utf8(*address);
}

static void hello(struct exchange_session *s, struct span arguments, bool extended)
{
	static const enum twin_reply replies[][3] = { [EXCHANGE_SUBMISSION] = { TWIN_REPLY_helo, TWIN_REPLY_ehlo, TWIN_REPLY_ehlo_tls },
						      [EXCHANGE_MX] = { TWIN_REPLY_mx_helo, TWIN_REPLY_mx_ehlo, TWIN_REPLY_mx_ehlo_tls },
						      [EXCHANGE_GMAIL] = { TWIN_REPLY_helo, TWIN_REPLY_ehlo, TWIN_REPLY_ehlo_tls } };

	if (exchange_stage(s, TWIN_STAGE_EHLO))
		return;
	exchange_transaction_end(s);
	s->hello = true;
	exchange_say(s, replies[s->door][!extended ? 0 : s->tls ? 2 : 1]);
}

static void command_ehlo(struct exchange_session *s, struct span arguments)
{
	hello(s, arguments, true);
}

static void command_helo(struct exchange_session *s, struct span arguments)
{
	hello(s, arguments, false);
}

static void command_starttls(struct exchange_session *s, struct span arguments)
{
	if (s->tls || arguments.size) {
		exchange_error(s, s->tls ? TWIN_REPLY_out_of_order : TWIN_REPLY_parameter_unknown);
		return;
	}
	if (exchange_stage(s, TWIN_STAGE_STARTTLS))
		return;
	exchange_say(s, TWIN_REPLY_starttls);
	exchange_next_is(s, EXCHANGE_START_TLS);
}

static bool mail_parameter(struct exchange_session *s, struct span one, enum twin_reply *refusal)
{
	struct span value = span_slice(one, span_find_byte(one, '=') + 1, one.size);
	uint64_t size;

	if (span_starts_fold(one, SPAN("SIZE="))) {
		if (!span_number(value, &size))
			return false;
		if (size > exchange_limit_bytes(s))
			*refusal = TWIN_REPLY_too_large;
		return true;
	}
	if (span_starts_fold(one, SPAN("BODY="))) {
		s->binary = !exchange_is_gmail(s) && span_equal_fold(value, SPAN("BINARYMIME"));
		return s->binary || span_equal_fold(value, SPAN("7BIT")) || span_equal_fold(value, SPAN("8BITMIME"));
	}
	if (span_starts_fold(one, SPAN("RET=")))
		return !exchange_is_gmail(s) && (span_equal_fold(value, SPAN("FULL")) || span_equal_fold(value, SPAN("HDRS")));
	return (span_starts_fold(one, SPAN("ENVID=")) && !exchange_is_gmail(s)) || span_starts_fold(one, SPAN("AUTH=")) || span_equal_fold(one, SPAN("SMTPUTF8"));
}

/* Not yet: FAULT rows of its own order. True when MAIL may go on. */
static bool mail_is_due(struct exchange_session *s)
{
	const struct twin_tenant *t = s->world->tenant;

	if (!s->hello) {
		exchange_error(s, TWIN_REPLY_hello_first);
	} else if (exchange_is_gmail(s) && !s->tls) {
		exchange_error(s, TWIN_REPLY_google_starttls_first);
	} else if (s->door != EXCHANGE_MX && !s->user) {
		exchange_say(s, s->reason[0] ? TWIN_REPLY_not_signed_in_after : TWIN_REPLY_not_signed_in);
	} else if (s->has_sender) {
		exchange_error(s, TWIN_REPLY_sender_twice);
	} else if (s->door == EXCHANGE_SUBMISSION && t->values[TWIN_SWITCH_rate_excess] == TWIN_REFUSE &&
		   exchange_rate_at(&s->world->counters[s->user - t->users], t->values[TWIN_SWITCH_messages_per_minute], s->now_ms) > s->now_ms) {
		s->world->counters[s->user - t->users].over_minute++;
		exchange_say(s, TWIN_REPLY_rate_exceeded);
	} else {
		return !exchange_stage(s, TWIN_STAGE_MAIL);
	}
	return false;
}

static void command_mail(struct exchange_session *s, struct span arguments)
{
	struct span rest = arguments, address, one;
	enum twin_reply refusal = TWIN_REPLY_sender_accepted;

	if (!mail_is_due(s))
		return;
	if (!span_starts_fold(rest, SPAN("FROM:"))) {
		exchange_error(s, TWIN_REPLY_parameter_unknown);
		return;
	}
	rest = span_slice(rest, 5, rest.size);
	if (!read_path(&rest, &address)) {
		exchange_error(s, TWIN_REPLY_address_invalid);
		return;
	}
	/* Client submission has no null sender. */
	if (!address.size && s->door == EXCHANGE_SUBMISSION)
		refusal = TWIN_REPLY_send_as_refused;
	else if (address.size && span_find_byte(address, '@') == address.size)
		refusal = TWIN_REPLY_address_invalid;
	while (refusal == TWIN_REPLY_sender_accepted && span_cut(&rest, ' ', &one))
		if (one.size && !mail_parameter(s, one, &refusal))
			refusal = TWIN_REPLY_parameter_unknown;
	if (refusal == TWIN_REPLY_sender_accepted && s->door == EXCHANGE_MX)
		refusal = exchange_mx_sender(s);
	if (refusal == TWIN_REPLY_sender_accepted) {
		s->has_sender = true;
		buf_put(&s->sender, address);
		exchange_say(s, refusal);
	} else {
		exchange_error(s, refusal);
	}
}

/* Gmail offers no DSN. */
static bool rcpt_parameters_hold(const struct exchange_session *s, struct span rest)
{
	struct span one;

	if (exchange_is_gmail(s))
		return !span_trim(rest).size;
	while (span_cut(&rest, ' ', &one))
		if (one.size && !span_starts_fold(one, SPAN("NOTIFY=")) && !span_starts_fold(one, SPAN("ORCPT=")))
			return false;
	return true;
}

static void command_rcpt(struct exchange_session *s, struct span arguments)
{
	enum twin_switch most = exchange_is_gmail(s) ? TWIN_SWITCH_google_recipients_per_message : TWIN_SWITCH_recipients_per_message;
	struct span rest = arguments, address;
	enum twin_reply refusal;

	if (!s->has_sender) {
		exchange_error(s, TWIN_REPLY_mail_first);
		return;
	}
	if (exchange_stage(s, TWIN_STAGE_RCPT))
		return;
	if (!span_starts_fold(rest, SPAN("TO:"))) {
		exchange_error(s, TWIN_REPLY_parameter_unknown);
		return;
	}
	rest = span_slice(rest, 3, rest.size);
	if (!read_path(&rest, &address) || span_find_byte(address, '@') == address.size) {
		exchange_error(s, TWIN_REPLY_recipient_invalid);
	} else if (!rcpt_parameters_hold(s, rest)) {
		exchange_error(s, TWIN_REPLY_parameter_unknown);
	} else if (s->recipient_count >= (size_t)s->world->tenant->values[most]) {
		exchange_say(s, TWIN_REPLY_too_many_recipients);
	} else if (s->door == EXCHANGE_MX && (refusal = exchange_mx_recipient(s, address)) != TWIN_REPLY_recipient_accepted) {
		exchange_say(s, refusal);
	} else {
		if (s->recipient_count++)
			buf_put_byte(&s->recipients, ' ');
		buf_put(&s->recipients, address);
		exchange_say(s, TWIN_REPLY_recipient_accepted);
	}
}

static void command_data(struct exchange_session *s, struct span arguments)
{
	if (!s->recipient_count) {
		exchange_error(s, s->has_sender ? TWIN_REPLY_rcpt_first : TWIN_REPLY_mail_first);
	} else if (s->binary || s->chunking) {
		exchange_error(s, TWIN_REPLY_data_binary);
	} else if (!exchange_stage(s, TWIN_STAGE_DATA)) {
		s->mode = EXCHANGE_BODY;
		s->body = BODY_LINE_START;
		exchange_say(s, TWIN_REPLY_data_go);
	}
}

static void command_rset(struct exchange_session *s, struct span arguments)
{
	exchange_transaction_end(s);
	exchange_say(s, TWIN_REPLY_reset);
}

static void command_noop(struct exchange_session *s, struct span arguments)
{
	exchange_say(s, TWIN_REPLY_noop);
}

static void command_vrfy(struct exchange_session *s, struct span arguments)
{
	exchange_say(s, TWIN_REPLY_verify);
}

static void command_help(struct exchange_session *s, struct span arguments)
{
	exchange_say(s, TWIN_REPLY_help);
}

static void command_quit(struct exchange_session *s, struct span arguments)
{
	exchange_say(s, TWIN_REPLY_quit);
	exchange_next_is(s, EXCHANGE_CLOSE);
}

static const struct {
	const char *verb;
	void (*run)(struct exchange_session *, struct span arguments);
} commands[] = {
	{ "EHLO", command_ehlo }, { "HELO", command_helo }, { "STARTTLS", command_starttls }, { "AUTH", exchange_auth },
	{ "MAIL", command_mail }, { "RCPT", command_rcpt }, { "DATA", command_data },	      { "BDAT", exchange_bdat },
	{ "RSET", command_rset }, { "NOOP", command_noop }, { "VRFY", command_vrfy },	      { "HELP", command_help },
	{ "QUIT", command_quit },
};

void exchange_command(struct exchange_session *s, struct span line)
{
	size_t end = span_find_byte(line, ' ');
	struct span verb = span_slice(line, 0, end), arguments = end < line.size ? span_trim(span_slice(line, end + 1, line.size)) : SPAN("");

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (!span_equal_fold(verb, span_of(commands[i].verb)))
			continue;
		commands[i].run(s, arguments);
		return;
	}
	exchange_error(s, TWIN_REPLY_command_unknown);
}
