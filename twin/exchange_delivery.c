#include "twin/exchange_delivery.h"

#include "base/text.h"
#include "twin/exchange_parts.h"
#include "twin/exchange_reply.h"
#include "twin/gmail_smtp.h"

#include <stdlib.h>
#include <string.h>

enum { REPLY_BYTES = 4096 };

static struct exchange_counter *counter(struct exchange_session *s)
{
	return &(exchange_is_gmail(s) ? s->world->gmail_counters : s->world->counters)[s->user - s->world->tenant->users];
}

/* Whether this session is among the oldest of its mailbox, as many as may submit at once. */
static bool has_slot(const struct exchange_session *s)
{
	int64_t limit = s->world->tenant->values[TWIN_SWITCH_sessions_max], older = 0;

	for (const struct exchange_session *o = s->world->sessions; o && o != s; o = o->next_open)
		older += o->user == s->user;
	return !limit || older < limit;
}

/* TWIN_REPLY_message_accepted, or what refuses the message. */
static enum twin_reply judge_message(struct exchange_session *s)
{
	const struct twin_tenant *t = s->world->tenant;
	int64_t day = t->values[TWIN_SWITCH_recipients_per_day];
	struct buf foreign;
	bool may = true;

	if (s->too_large || s->message.overfull)
		return TWIN_REPLY_too_large;
	if (exchange_is_gmail(s))
		return gmail_smtp_judge_message(t, counter(s), s->wall_ms);
	if (s->door == EXCHANGE_MX)
		return TWIN_REPLY_message_accepted;
	if (!has_slot(s)) {
		counter(s)->over_sessions++;
		return TWIN_REPLY_concurrent;
	}
	if (s->by_application && s->user->values[TWIN_MAILBOX_application] == TWIN_APPLICATION_NONE)
		return TWIN_REPLY_mailbox_logon_failed;
	if (day && exchange_recipients_of_day(counter(s), s->now_ms) + s->recipient_count > (uint64_t)day) {
		counter(s)->over_day++;
		return TWIN_REPLY_quota_exceeded;
	}
	buf_init(&foreign, EXCHANGE_LINE_BYTES);
	if (!twin_user_may_send_as(s->user, buf_span(&s->sender)))
		may = false;
	else if (exchange_foreign_from(s->user, buf_span(&s->message), &foreign)) {
		may = false;
		buf_clear(&s->sender);
		buf_put(&s->sender, buf_span(&foreign)); /* the address that the reply names */
	}
	buf_free(&foreign);
	return may ? TWIN_REPLY_message_accepted : TWIN_REPLY_send_as_denied;
}

/* Counts the message against the rate; when it arrives, in wall time. */
static int64_t pass_rate(struct exchange_session *s)
{
	const struct twin_tenant *t = s->world->tenant;
	int64_t at, wait;

	/* Gmail counts by the day, whether mail comes by SMTP or by its API: by the wall clock, which both know. */
	if (exchange_is_gmail(s)) {
		exchange_count(counter(s), s->wall_ms, s->recipient_count);
		return s->wall_ms;
	}
	if (s->door == EXCHANGE_MX)
		return s->wall_ms;
	at = exchange_rate_at(counter(s), t->values[TWIN_SWITCH_messages_per_minute], s->now_ms);
	wait = at > s->now_ms ? at - s->now_ms : 0;
	counter(s)->over_minute += wait != 0;
	exchange_count(counter(s), s->now_ms + wait, s->recipient_count);
	if (t->values[TWIN_SWITCH_rate_excess] == TWIN_DELAY)
		exchange_hold(s, wait);
	return s->wall_ms + wait;
}

static void put_accepted(struct exchange_session *s, struct buf *reply)
{
	struct exchange_values v = { .id = s->id, .wall_ms = s->wall_ms, .message_bytes = s->message.size };
	enum twin_reply text = s->door == EXCHANGE_MX ? TWIN_REPLY_mx_accepted : TWIN_REPLY_message_accepted;
	struct buf id;

	buf_init(&id, EXCHANGE_LINE_BYTES);
	if (!twin_mail_header(buf_span(&s->message), SPAN("Message-ID"), &id) || !id.size || id.overfull) {
		buf_clear(&id);
		buf_print(&id, "<PN4P287MB%llu.%lld@INDP287.PROD.OUTLOOK.COM>", (unsigned long long)twin_shelf_last(s->world->shelf) + 1,
			  (long long)s->wall_ms);
	}
	v.message_id = buf_span(&id);
	exchange_reply_put(reply, exchange_text(s, text), &v);
	buf_free(&id);
}

static void accept_message(struct exchange_session *s, bool cut_after)
{
	const struct twin_connector *through = exchange_connector(s);
	int64_t arrives = pass_rate(s);
	struct buf reply;

	buf_init(&reply, REPLY_BYTES + EXCHANGE_LINE_BYTES);
	put_accepted(s, &reply);
	twin_shelf_put(s->world->shelf, &(struct twin_mail){ .taken_at_ms = s->wall_ms,
							     .arrives_at_ms = arrives,
							     .mailbox = s->user ? span_of(s->user->address) : SPAN(""),
							     .connector = through ? span_of(through->name) : SPAN(""),
							     .sender = buf_span(&s->sender),
							     .recipients = buf_span(&s->recipients),
							     .recipient_count = s->recipient_count,
							     .peer = span_of(s->peer),
							     .reply = cut_after ? SPAN("") : span_trim(buf_span(&reply)),
							     .bytes = buf_span(&s->message),
							     .bare_newline = s->bare_newline });
	if (cut_after)
		exchange_next_is(s, EXCHANGE_CLOSE);
	else
		buf_put(s->is_held ? &s->held : &s->out, buf_span(&reply));
	buf_free(&reply);
}

/* The end of the message: what is scripted, else what is decided. */
static void finish_message(struct exchange_session *s)
{
	bool cut_after;

	if (!exchange_scripted(s, TWIN_STAGE_DOT, &cut_after)) {
		enum twin_reply reply = judge_message(s);

		if (reply == TWIN_REPLY_message_accepted)
			accept_message(s, cut_after);
		else
			exchange_say(s, reply);
	}
	exchange_transaction_end(s);
}

static void keep_byte(struct exchange_session *s, char c)
{
	if (s->message.size >= exchange_limit_bytes(s))
		s->too_large = true;
	else
		buf_put_byte(&s->message, c);
}

/* One byte of DATA; true at the end of the message. */
static bool take_byte(struct exchange_session *s, char c)
{
	bool line_start = s->body == BODY_LINE_START, after_cr = s->body == BODY_CR;

	if (line_start && c == '.') {
		s->body = BODY_DOT;
		return false;
	}
	if (s->body == BODY_DOT && c == '\r') {
		s->body = BODY_DOT_CR;
		return false;
	}
	if (s->body == BODY_DOT_CR) {
		if (c == '\n')
			return true;
		keep_byte(s, '\r');
		s->bare_newline = true;
	}
	if ((c == '\n') != after_cr)
		s->bare_newline = true;
	keep_byte(s, c);
	s->body = c == '\r' ? BODY_CR : c == '\n' && after_cr ? BODY_LINE_START : BODY_TEXT;
	return false;
}

/* The bytes in the middle of a line, taken at once. */
static size_t take_run(struct exchange_session *s, struct span bytes)
{
	size_t size = span_find_byte(bytes, '\r'), newline = span_find_byte(span_slice(bytes, 0, size), '\n');
	size_t limit = exchange_limit_bytes(s);

	size = newline < size ? newline : size;
	if (size > limit - (s->message.size < limit ? s->message.size : limit))
		s->too_large = true;
	else
		buf_put(&s->message, span_slice(bytes, 0, size));
	return size;
}

size_t exchange_body_feed(struct exchange_session *s, struct span bytes)
{
	size_t taken = 0;

	if (exchange_stage(s, TWIN_STAGE_BODY))
		return bytes.size;
	while (taken < bytes.size) {
		size_t run = s->body == BODY_TEXT ? take_run(s, span_slice(bytes, taken, bytes.size)) : 0;

		taken += run;
		if (taken == bytes.size)
			break;
		if (!take_byte(s, bytes.at[taken++]))
			continue;
		finish_message(s);
		break;
	}
	return taken;
}

size_t exchange_chunk_feed(struct exchange_session *s, struct span bytes)
{
	size_t size = bytes.size < s->chunk_left ? bytes.size : (size_t)s->chunk_left;

	if (size && exchange_stage(s, TWIN_STAGE_BODY))
		return bytes.size;
	if (s->message.size + size > exchange_limit_bytes(s))
		s->too_large = true;
	else
		buf_put(&s->message, span_slice(bytes, 0, size));
	s->chunk_left -= size;
	if (s->chunk_left)
		return size;
	s->mode = EXCHANGE_COMMANDS;
	if (s->chunk_last)
		finish_message(s);
	else
		exchange_say(s, TWIN_REPLY_chunk_accepted);
	return size;
}

void exchange_bdat(struct exchange_session *s, struct span arguments)
{
	struct span size = { 0 }, last = { 0 };

	span_cut(&arguments, ' ', &size);
	span_cut(&arguments, ' ', &last);
	if (!span_number(size, &s->chunk_left) || (last.size && !span_equal_fold(last, SPAN("LAST")))) {
		exchange_error(s, TWIN_REPLY_parameter_unknown);
		return;
	}
	if (!s->recipient_count) {
		exchange_error(s, s->has_sender ? TWIN_REPLY_rcpt_first : TWIN_REPLY_mail_first);
		exchange_next_is(s, EXCHANGE_CLOSE); /* the chunk that follows cannot be told from commands */
		return;
	}
	if (!s->chunking && exchange_stage(s, TWIN_STAGE_DATA)) {
		exchange_next_is(s, EXCHANGE_CLOSE);
		return;
	}
	s->chunking = true;
	s->chunk_last = last.size != 0;
	s->mode = EXCHANGE_CHUNK;
	if (!s->chunk_left)
		exchange_chunk_feed(s, SPAN(""));
}
