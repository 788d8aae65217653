#include "wire/smtp_client_inner.h"

#include <string.h>

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

/* "host.example Hello [203.0.113.9]" */
static void read_seen_as(struct smtp_client *c, struct span line)
{
	size_t open = span_find_byte(line, '['), close = span_find_byte(line, ']');

	if (open >= close || close == line.size || close - open > sizeof c->seen_as)
		return;
	memcpy(c->seen_as, line.at + open + 1, close - open - 1);
	c->seen_as[close - open - 1] = '\0';
}

void smtp_client_read_hello_line(struct smtp_client *c)
{
	if (c->phase != PHASE_HELLO || c->reply.code != 250)
		return;
	if (c->hello_lines++)
		read_extension(c, smtp_reply_line(&c->reply));
	else
		read_seen_as(c, smtp_reply_line(&c->reply));
	smtp_reply_drop_line(&c->reply);
}

/* --- the session up to READY */

void smtp_client_say_hello(struct smtp_client *c, enum smtp_client_phase phase)
{
	/* nothing that was learnt before TLS counts behind it (RFC 3207 4.2) */
	c->offers = c->mechanisms = c->hello_lines = 0;
	c->size_limit = 0;
	c->seen_as[0] = '\0';
	smtp_client_print(c, "%s %s\r\n", phase == PHASE_HELLO ? "EHLO" : "HELO", c->own_name);
	smtp_client_enter(c, phase);
}

void smtp_client_greeting_reply(struct smtp_client *c)
{
	if (c->reply.code == 220)
		smtp_client_say_hello(c, PHASE_HELLO);
	else if (c->reply.code < 400)
		smtp_client_lose_to_nonsense(c);
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

void smtp_client_hello_reply(struct smtp_client *c)
{
	if (c->reply.code != 250 && c->reply.code < 400)
		smtp_client_lose_to_nonsense(c);
	else if (c->reply.code >= 500 && c->phase == PHASE_HELLO)
		smtp_client_say_hello(c, PHASE_PLAIN_HELLO);
	else if (c->reply.code != 250)
		leave_after_reply(c);
	else if (c->settings.tls == SMTP_CLIENT_STARTTLS && !c->encrypted)
		ask_for_tls(c);
	else if (c->settings.mechanism != SASL_MECHANISM_COUNT)
		ask_to_sign_in(c);
	else
		smtp_client_rest(c);
}

void smtp_client_tls_reply(struct smtp_client *c)
{
	if (c->reply.code == 220)
		smtp_client_ask(c, PHASE_HANDSHAKE);
	else if (c->reply.code < 400)
		smtp_client_lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

void smtp_client_injected(struct smtp_client *c)
{
	struct outcome o;

	outcome_say(&o, FAULT_TLS_FAILED, "%s, or someone on the way, sent replies in the clear where TLS was to begin",
		    c->peer_name);
	smtp_client_lose(c, &o, true);
}

void smtp_client_auth_reply(struct smtp_client *c)
{
	if (c->reply.code == 334)
		smtp_client_ask(c, PHASE_SECRET);
	else if (c->reply.code < 400)
		smtp_client_lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

/* A challenge behind the last response is a refusal in waiting: the real one comes once it was answered. */
static void answer_challenge(struct smtp_client *c)
{
	if (c->sasl_step < sasl_client_steps(c->settings.mechanism)) {
		smtp_client_ask(c, PHASE_SECRET);
	} else if (!c->sasl_ended) {
		c->sasl_ended = true;
		smtp_client_print(c, "%.*s\r\n", SPAN_ARGS(sasl_client_end(c->settings.mechanism)));
		smtp_client_enter(c, PHASE_RESPONSE);
	} else {
		smtp_client_lose_to_nonsense(c);
	}
}

void smtp_client_response_reply(struct smtp_client *c)
{
	if (c->reply.code == 235 && !c->sasl_ended && c->sasl_step == sasl_client_steps(c->settings.mechanism))
		smtp_client_rest(c);
	else if (c->reply.code == 334)
		answer_challenge(c);
	else if (c->reply.code < 400)
		smtp_client_lose_to_nonsense(c);
	else
		leave_after_reply(c);
}

/* Nobody asked; or the answer to QUIT. */
void smtp_client_idle_reply(struct smtp_client *c)
{
	smtp_client_lose_to_nonsense(c);
}

void smtp_client_reset_reply(struct smtp_client *c)
{
	if (c->reply.code >= 200 && c->reply.code < 300)
		smtp_client_rest(c);
	else
		leave_after_reply(c);
}
