#include "twin/exchange_session.h"

#include "base/text.h"
#include "twin/exchange_delivery.h"
#include "twin/exchange_parts.h"
#include "twin/exchange_reply.h"
#include "twin/gmail_smtp.h"

#include <stdio.h>
#include <string.h>

enum { ERRORS_MAX = 10 };

struct span exchange_text(const struct exchange_session *s, enum twin_reply reply)
{
	return span_of(twin_reply_text(exchange_is_gmail(s) ? gmail_smtp_reply(reply) : reply));
}

size_t exchange_limit_bytes(const struct exchange_session *s)
{
	return (size_t)s->world->tenant->values[exchange_is_gmail(s) ? TWIN_SWITCH_google_message_bytes : TWIN_SWITCH_message_bytes];
}

void exchange_say_text(struct exchange_session *s, struct span text)
{
	struct exchange_values v = { .peer = span_of(s->peer),
				     .mailbox = s->user ? span_of(s->user->address) : SPAN(""),
				     .sender = buf_span(&s->sender),
				     .reason = span_of(s->reason),
				     .size_bytes = (int64_t)exchange_limit_bytes(s),
				     .id = s->id,
				     .wall_ms = s->wall_ms };

	exchange_reply_put(s->is_held ? &s->held : &s->out, text, &v);
	if (span_starts(text, SPAN("421")) && !span_starts(text, SPAN("421 4.4.2 Message")))
		exchange_next_is(s, EXCHANGE_CLOSE);
}

void exchange_say(struct exchange_session *s, enum twin_reply reply)
{
	exchange_say_text(s, exchange_text(s, reply));
}

void exchange_next_is(struct exchange_session *s, enum exchange_next next)
{
	*(s->is_held ? &s->held_next : &s->next) = next;
}

void exchange_hold(struct exchange_session *s, int64_t ms)
{
	if (ms <= 0)
		return;
	s->held_until_ms = (s->is_held ? s->held_until_ms : s->now_ms) + ms;
	s->is_held = true;
}

void exchange_error(struct exchange_session *s, enum twin_reply reply)
{
	exchange_say(s, ++s->errors > ERRORS_MAX ? TWIN_REPLY_too_many_errors : reply);
}

bool exchange_scripted(struct exchange_session *s, enum twin_stage stage, bool *cut_after_out)
{
	struct span mailbox = s->user ? span_of(s->user->address) : span_of(s->login);
	struct twin_script script;

	*cut_after_out = false;
	while (twin_script_take(s->world->scripts, stage, mailbox, &script)) {
		switch (script.row->kind) {
		case TWIN_FAULT_STALL: exchange_hold(s, script.ms); break;
		case TWIN_FAULT_CUT_AFTER: *cut_after_out = true; return false;
		case TWIN_FAULT_REPLY:
			if (script.text[0])
				exchange_say_text(s, span_of(script.text));
			else
				exchange_say(s, (enum twin_reply)script.row->number);
			if (stage == TWIN_STAGE_AUTH)
				exchange_keep_reason(s, script.text[0] ? script.text : twin_reply_text((enum twin_reply)script.row->number));
			return true;
		default:
			exchange_next_is(s, EXCHANGE_CLOSE);
			return true;
		}
		if (script.times == TWIN_ALWAYS || script.times > 1)
			break;
	}
	return false;
}

bool exchange_stage(struct exchange_session *s, enum twin_stage stage)
{
	bool cut_after, done = exchange_scripted(s, stage, &cut_after);

	if (cut_after)
		exchange_next_is(s, EXCHANGE_CLOSE);
	return done;
}

void exchange_session_init(struct exchange_session *s, struct exchange_world *w, enum exchange_door door, struct span peer, int64_t now_ms,
			   int64_t wall_ms)
{
	struct exchange_session **place = &w->sessions;

	memset(s, 0, sizeof *s);
	s->world = w;
	s->door = door;
	s->id = 0x08DCA18218000000u + ++w->session_count;
	snprintf(s->peer, sizeof s->peer, "%.*s", SPAN_ARGS(peer));
	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
	buf_init(&s->sender, EXCHANGE_LINE_BYTES);
	buf_init(&s->recipients, EXCHANGE_ENVELOPE_BYTES);
	buf_init(&s->message, (size_t)157286400 + EXCHANGE_LINE_BYTES);
	buf_init(&s->out, EXCHANGE_OUT_BYTES);
	buf_init(&s->held, EXCHANGE_OUT_BYTES);
	while (*place)
		place = &(*place)->next_open;
	*place = s;
	if (!exchange_stage(s, TWIN_STAGE_GREETING))
		exchange_say(s, door == EXCHANGE_MX ? TWIN_REPLY_mx_greeting : TWIN_REPLY_greeting);
}

void exchange_session_fini(struct exchange_session *s)
{
	struct exchange_session **place = &s->world->sessions;

	while (*place && *place != s)
		place = &(*place)->next_open;
	if (*place)
		*place = s->next_open;
	buf_free(&s->sender);
	buf_free(&s->recipients);
	buf_free(&s->message);
	buf_free(&s->out);
	buf_free(&s->held);
}

void exchange_transaction_end(struct exchange_session *s)
{
	s->has_sender = s->binary = s->bare_newline = s->too_large = s->chunking = false;
	s->recipient_count = 0;
	s->mode = EXCHANGE_COMMANDS;
	buf_clear(&s->sender);
	buf_clear(&s->recipients);
	buf_free(&s->message);
}

void exchange_session_secured(struct exchange_session *s, struct span names)
{
	exchange_transaction_end(s);
	snprintf(s->shown, sizeof s->shown, "%.*s", SPAN_ARGS(names));
	s->tls = true;
	s->hello = false;
	s->next = EXCHANGE_GO_ON;
}

void exchange_session_tick(struct exchange_session *s, int64_t now_ms)
{
	if (!s->is_held || now_ms < s->held_until_ms)
		return;
	s->is_held = false;
	buf_put(&s->out, buf_span(&s->held));
	buf_clear(&s->held);
	s->next = s->held_next;
	s->held_next = EXCHANGE_GO_ON;
}

void exchange_session_end(struct exchange_session *s, enum twin_reply reply, int64_t wall_ms)
{
	s->is_held = false;
	s->wall_ms = wall_ms;
	exchange_say(s, reply);
	s->next = EXCHANGE_CLOSE;
}

/* One line of whatever is due, without its end. */
static void take_line(struct exchange_session *s, struct span line)
{
	switch (s->mode) {
	case EXCHANGE_AUTH_USER:
	case EXCHANGE_AUTH_PASSWORD:
	case EXCHANGE_AUTH_TOKEN:
	case EXCHANGE_AUTH_BEARER:
	case EXCHANGE_AUTH_PLAIN:
	case EXCHANGE_AUTH_END: exchange_auth_line(s, line); break;
	default: exchange_command(s, line); break;
	}
}

static size_t feed_line(struct exchange_session *s, struct span bytes)
{
	size_t end = span_find(bytes, SPAN("\r\n"));

	if (end == bytes.size) {
		if (bytes.size <= EXCHANGE_LINE_BYTES)
			return 0;
		exchange_error(s, TWIN_REPLY_command_unknown);
		exchange_next_is(s, EXCHANGE_CLOSE);
		return bytes.size;
	}
	take_line(s, span_slice(bytes, 0, end));
	/* Whatever came in the clear behind STARTTLS is thrown away. */
	return s->next == EXCHANGE_START_TLS || s->held_next == EXCHANGE_START_TLS ? bytes.size : end + 2;
}

size_t exchange_session_feed(struct exchange_session *s, struct span bytes, int64_t now_ms, int64_t wall_ms)
{
	size_t taken = 0, size = 1;

	s->now_ms = now_ms;
	s->wall_ms = wall_ms;
	while (size && taken < bytes.size && !s->is_held && s->next == EXCHANGE_GO_ON) {
		struct span rest = span_slice(bytes, taken, bytes.size);

		if (s->mode == EXCHANGE_BODY)
			size = exchange_body_feed(s, rest);
		else if (s->mode == EXCHANGE_CHUNK)
			size = exchange_chunk_feed(s, rest);
		else
			size = feed_line(s, rest);
		taken += size;
	}
	return taken;
}
