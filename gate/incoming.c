#include "gate/session.h"

#include "base/metric.h"
#include "base/panic.h"
#include "base/remedy.h"

#include <stdio.h>
#include <string.h>

/* --- the message */

void incoming_forget(struct session *s)
{
	buf_free(&s->in.envelope_id);
	buf_free(&s->in.senders);
	buf_free(&s->in.recipients);
	letter_fini(&s->in.letter);
	s->in.unacknowledged = 0;
	s->in.is_open = s->in.is_ended = s->in.is_begun = false;
}

void incoming_drop(struct session *s)
{
	if (!s->in.is_open)
		return;
	session_step(s, "dropped");
	if (s->in.is_begun && s->gate->post)
		link_send(s->gate->post, &MESSAGE_OF(mail_drop, .session = s->id, .serial = s->in.serial));
	metric_add(METRIC_GATE_MESSAGES, "dropped", 1);
	incoming_forget(s);
}

static void message_begin(struct session *s)
{
	struct incoming *in = &s->in;

	link_send(s->gate->post,
		  &MESSAGE_OF(mail_begin, .session = s->id, .serial = in->serial, .grant = buf_span(&s->sealed), .mailbox = in->route.mailbox->id,
			      .sender = in->route.is_null ? SPAN("") : in->route.sender, .body = (uint8_t)in->mail.body,
			      .smtputf8 = in->mail.utf8, .dsn_return = (uint8_t)in->mail.returns, .envelope_id = buf_span(&in->envelope_id),
			      .size = in->mail.size_bytes, .recipients = buf_span(&in->recipients)));
	in->is_begun = true;
}

static void message_send(void *self, struct span bytes)
{
	struct session *s = self;

	if (!s->gate->post || !bytes.size)
		return;
	if (!s->in.is_begun)
		message_begin(s);
	s->in.unacknowledged += bytes.size;
	link_send(s->gate->post, &MESSAGE_OF(mail_body, .session = s->id, .serial = s->in.serial, .bytes = bytes));
}

/* The header block begins with the first byte of the body; all that it needs is known by then. */
static void letter_ready(struct session *s)
{
	struct buf peer;

	if (letter_is_begun(&s->in.letter))
		return;
	session_step(s, "receiving");
	buf_init(&peer, 128);
	letter_begin(&s->in.letter,
		     &(struct letter_settings){
			     .grant = &s->grant, .route = &s->in.route, .header_bytes_max = s->door->header_bytes_max,
			     .host = span_of(s->door->host_name), .helo = smtp_server_helo(&s->core), .protocol = smtp_server_protocol(&s->core),
			     .peer = session_peer(s, &peer), .session = s->id, .serial = s->in.serial,
			     .send = message_send, .self = s });
	buf_free(&peer);
}

/* The mailbox that a sender was routed to, which it may not go through all the same. */
static struct span mailbox_meant(const struct envelope_route *route)
{
	return route->mailbox ? route->mailbox->address : SPAN("");
}

void incoming_body(struct session *s, struct span bytes)
{
	enum fault f;

	letter_ready(s);
	s->in.bytes += bytes.size;
	f = s->gate->post ? letter_put(&s->in.letter, bytes) : FAULT_POST_AWAY;
	if (f == FAULT_OK)
		return;
	if (fault_row(f)->class == FAULT_CLASS_POLICY) {
		struct span from = span_slice(letter_from(&s->in.letter), 0, sizeof s->spoiled_from);

		session_note_refused(s, f, SPAN(""), from, "sender");
		memcpy(s->spoiled_from, from.at, from.size);
		smtp_server_spoil_names(&s->core, &(struct remedy_names){ .mailbox = mailbox_meant(&s->in.route), .client = s->grant.client_name,
									  .sender = { s->spoiled_from, from.size } });
	}
	incoming_drop(s);
	smtp_server_spoil(&s->core, f);
}

static void verdict(struct session *s, enum fault f, int code, struct span enhanced, struct span text, const char *outcome)
{
	metric_add(METRIC_GATE_MESSAGES, outcome, 1);
	TRAIL(&s->trail, EVENT_MESSAGE_ANSWERED, TRAIL_TEXT("id", span_of(s->heard_id)), TRAIL_TEXT("client", s->grant.client_name),
	      TRAIL_TEXT("mailbox", s->in.route.mailbox->address), TRAIL_TEXT("sender", s->in.sender_said),
	      TRAIL_NUMBER("recipients", s->in.recipient_count), TRAIL_NUMBER("size_bytes", s->in.bytes), TRAIL_TEXT("outcome", span_of(outcome)),
	      TRAIL_NUMBER("code", code ? code : fault_row(f)->smtp), TRAIL_TEXT("fault", span_of(fault_row(f)->name)));
	incoming_forget(s);
	s->waits_post = false;
	session_tick(s);
	smtp_server_answer(&s->core, &(struct smtp_server_answer){ .fault = f, .code = code, .enhanced = enhanced, .text = text });
}

void incoming_end(struct session *s)
{
	struct incoming *in = &s->in;
	unsigned char digest[SEAL_DIGEST_BYTES];
	enum fault f = FAULT_POST_AWAY;

	letter_ready(s);
	if (s->gate->post)
		f = letter_end(&in->letter, digest);
	if (f != FAULT_OK) {
		if (fault_row(f)->class == FAULT_CLASS_POLICY)
			session_note_refused(s, f, SPAN(""), letter_from(&in->letter), "sender");
		if (in->is_begun && s->gate->post)
			link_send(s->gate->post, &MESSAGE_OF(mail_drop, .session = s->id, .serial = in->serial));
		verdict(s, f, 0, SPAN(""), SPAN(""), fault_row(f)->smtp < 500 ? "failed" : "refused");
		return;
	}
	if (!in->is_begun)
		message_begin(s);
	link_send(s->gate->post, &MESSAGE_OF(mail_end, .session = s->id, .serial = in->serial, .message_id = letter_message_id(&in->letter),
					     .digest = { (char *)digest, sizeof digest }));
	in->is_ended = true;
	session_step(s, "ended");
	s->waits_post = true;
}

void session_taken(struct session *s, const struct message_mail_taken *m)
{
	if (m->serial != s->in.serial || !s->in.is_open)
		return;
	s->in.unacknowledged -= m->bytes < s->in.unacknowledged ? m->bytes : s->in.unacknowledged;
	stream_resume(s->stream);
}

void session_settled(struct session *s, const struct message_settled *m)
{
	static const char *const outcomes[] = { "failed", "accepted", "refused", "queued" };
	const char *outcome = outcomes[m->kind & 3];
	enum fault f = (enum fault)(m->fault % FAULT_COUNT);
	struct buf text;

	if (!s->in.is_open || m->serial != s->in.serial)
		return;
	if (!s->in.is_ended) { /* post gave up before the end: no room, a failed disk, a grant that does not hold */
		incoming_forget(s);
		session_tick(s);
		smtp_server_spoil(&s->core, f);
		session_pump(s);
		stream_resume(s->stream); /* what waited for room is read and dropped */
		return;
	}
	buf_init(&text, 8192);
	snprintf(s->heard_id, sizeof s->heard_id, "%.*s", SPAN_ARGS(m->id));
	if (m->kind == 2)
		buf_put(&text, m->says);
	else
		buf_print(&text, "%.*s %.*s", SPAN_ARGS(m->id), SPAN_ARGS(m->says));
	if (m->kind == 2)
		verdict(s, f == FAULT_OK ? FAULT_UPSTREAM_REPLY : f, (int)m->code, m->enhanced, buf_span(&text), m->code && m->code < 500 ? "failed" : outcome);
	else
		verdict(s, FAULT_OK, 250, SPAN("2.0.0"), buf_span(&text), outcome);
	buf_free(&text);
	if (s->heard_id[0]) {
		s->has_gone_on = false;
		s->heard_wait_ms = HEARD_FIRST_MS;
		timer_after(&s->heard, s->heard_wait_ms);
	}
	session_pump(s);
	stream_resume(s->stream);
}

/* --- whether the reply was heard */

/* Over a Unix socket nothing is on its way, and a program that has the reply may die before it strikes its copy out: only what it says next tells that it did. */
static bool is_heard(const struct session *s)
{
	return s->stream && stream_is_heard(s->stream) && (s->peer.family != ADDRESS_PATH || s->has_gone_on);
}

void incoming_check_heard(struct session *s)
{
	if (!s->heard_id[0] || !is_heard(s))
		return;
	if (s->gate->post)
		link_send(s->gate->post, &MESSAGE_OF(heard, .id = span_of(s->heard_id)));
	s->heard_id[0] = 0;
	timer_stop(&s->heard);
}

void incoming_heard_timer(void *self)
{
	struct session *s = self;

	incoming_check_heard(s);
	if (!s->heard_id[0])
		return;
	s->heard_wait_ms = s->heard_wait_ms * 2 < HEARD_LONGEST_MS ? s->heard_wait_ms * 2 : HEARD_LONGEST_MS;
	timer_after(&s->heard, s->heard_wait_ms);
}

/* --- sender and recipients */

/* The path lives in the core's line, and the grant may be exchanged: both are kept for as long as the message. */
static void keep_senders(struct incoming *in, struct span said)
{
	struct span route = in->route.sender;

	buf_free(&in->senders);
	buf_init(&in->senders, SENDERS_BYTES);
	ASSERT(buf_room(&in->senders, said.size + route.size)); /* at once, so that it never moves under the spans */
	in->sender_said = (struct span){ in->senders.at, said.size };
	in->route.sender = (struct span){ in->senders.at + said.size, route.size };
	buf_put(&in->senders, said);
	buf_put(&in->senders, route);
}

void incoming_sender(struct session *s, const struct smtp_server_wish *w)
{
	struct incoming *in = &s->in;
	struct span sender = w->path->null ? SPAN("") : w->path->address.whole;
	enum fault f = FAULT_AUTH_NEEDED;

	if (s->is_granted)
		f = envelope_route(&in->route, &s->grant, sender);
	if (f == FAULT_OK && !s->gate->post)
		f = FAULT_POST_AWAY;
	if (f == FAULT_OK && s->gate->intake != FAULT_OK)
		f = s->gate->intake;
	if (f != FAULT_OK) {
		if (fault_row(f)->class == FAULT_CLASS_POLICY || fault_row(f)->class == FAULT_CLASS_HOLD)
			session_note_refused(s, f, SPAN(""), sender, s->is_granted ? "sender" : "relay");
	} else {
		in->serial++;
		in->is_open = true;
		in->bytes = in->unacknowledged = in->recipient_count = 0;
		keep_senders(in, span_slice(sender, 0, 320));
		in->mail = *w->mail;
		buf_init(&in->envelope_id, 512);
		buf_put(&in->envelope_id, w->mail->envelope_id);
		in->mail.envelope_id = buf_span(&in->envelope_id);
		buf_init(&in->recipients, RECIPIENTS_BYTES);
	}
	smtp_server_answer(&s->core, &(struct smtp_server_answer){ .fault = f, .names = &(struct remedy_names){
		.mailbox = s->is_granted ? mailbox_meant(&in->route) : SPAN(""),
		.client = s->is_granted ? s->grant.client_name : SPAN(""), .sender = sender } });
}

void incoming_recipient(struct session *s, const struct smtp_server_wish *w)
{
	char notify = (char)w->recipient->notify;
	enum fault f = FAULT_OK;

	if (w->path->postmaster) /* there is no local mail here to give it to */
		f = FAULT_BAD_ADDRESS;
	else if (!message_list_put(&s->in.recipients, w->path->address.whole) ||
		 !message_list_put(&s->in.recipients, (struct span){ &notify, 1 }) ||
		 !message_list_put(&s->in.recipients, w->recipient->original))
		f = FAULT_TOO_MANY_RECIPIENTS;
	else
		s->in.recipient_count++;
	smtp_server_answer(&s->core, &(struct smtp_server_answer){ .fault = f });
}


void session_post_ended(struct session *s)
{
	if (s->waits_post) {
		s->heard_id[0] = 0;
		verdict(s, FAULT_POST_AWAY, 0, SPAN(""), SPAN(""), "failed");
	} else if (s->in.is_begun) {
		incoming_forget(s);
		session_tick(s);
		smtp_server_spoil(&s->core, FAULT_POST_AWAY);
	} else {
		return;
	}
	session_pump(s);
	stream_resume(s->stream);
}

bool incoming_is_full(const struct session *s)
{
	return s->in.unacknowledged > CREDIT_BYTES || (s->in.is_begun && s->gate->post && link_is_full(s->gate->post));
}
