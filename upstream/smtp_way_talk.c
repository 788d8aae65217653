#include "base/clock.h"
#include "upstream/smtp_way_inner.h"

#include <string.h>

/* --- the stream */

static void on_opened(void *self)
{
	struct smtp_way_connection *c = self;

	if (!c->in_handshake)
		return;
	smtp_way_enter(c);
	c->in_handshake = false;
	smtp_client_tick(&c->client, loop_now_ms(c->way->loop));
	smtp_client_tls_started(&c->client, FAULT_OK, (struct span){ 0 });
	smtp_way_pump(c);
	smtp_way_leave(c);
}

static size_t on_data(void *self, struct span bytes)
{
	struct smtp_way_connection *c = self;
	size_t taken = 0, step;

	smtp_way_enter(c);
	smtp_client_tick(&c->client, loop_now_ms(c->way->loop));
	do {
		step = smtp_client_feed(&c->client, span_slice(bytes, taken, bytes.size));
		taken += step;
		smtp_way_pump(c);
	} while (step && taken < bytes.size && c->state != DONE);
	c->unread_size = bytes.size - taken < sizeof c->unread ? bytes.size - taken : sizeof c->unread;
	memcpy(c->unread, bytes.at + taken, c->unread_size);
	smtp_way_leave(c);
	return taken;
}

static void on_drained(void *self)
{
	struct smtp_way_connection *c = self;

	smtp_way_enter(c);
	smtp_way_pump(c);
	smtp_way_leave(c);
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct smtp_way_connection *c = self;
	struct span unread = { c->unread, c->unread_size };

	smtp_way_enter(c);
	if (c->in_handshake)
		smtp_client_tls_started(&c->client, fault == FAULT_CLOSED ? FAULT_TLS_FAILED : fault, why);
	else
		smtp_client_closed(&c->client, fault, why, unread);
	c->in_handshake = false;
	stream_close(&c->stream);
	smtp_way_pump(c);
	if (c->state == TALKING || c->state == RESTING)
		c->state = DONE;
	smtp_way_leave(c);
}

static const struct stream_events stream_events = { .opened = on_opened, .data = on_data, .drained = on_drained, .ended = on_ended };

void smtp_way_on_dialed(void *self, struct stream *stream, enum fault fault, struct span why)
{
	struct smtp_way_connection *c = self;
	struct smtp_client_settings settings = {
		.own_name = span_of(c->way->own_name), .peer_name = span_of(c->host), .port = c->port, .tls = c->tls, .mechanism = c->mechanism,
	};
	struct address peer;

	smtp_way_enter(c);
	c->dial = NULL;
	c->stream = stream;
	if (!stream && smtp_way_next_road(c)) {
		smtp_way_leave(c);
		return;
	}
	if (!stream) {
		smtp_way_fail_with(c, fault, why, WAY_BLAMES_HOST);
		smtp_way_leave(c);
		return;
	}
	peer = stream_peer(stream);
	if (c->tls == SMTP_CLIENT_CLEAR && !address_is_loopback(&peer)) {
		smtp_way_fail_with(c, FAULT_TLS_MISSING, SPAN("without TLS, mail goes to this machine alone"), WAY_BLAMES_MAILBOX);
		smtp_way_leave(c);
		return;
	}
	c->state = TALKING;
	c->has_signed = false;
	smtp_way_step(c, WAY_SIGNS_IN);
	smtp_client_init(&c->client, &settings, loop_now_ms(c->way->loop));
	stream_set_events(stream, &stream_events, c);
	smtp_way_pump(c);
	smtp_way_leave(c);
}

/* --- the wishes of the core */

/* A token may have been revoked, or a clock be wrong: made anew, it may do. Once. */
static bool try_anew(struct smtp_way_connection *c, const struct outcome *o)
{
	bool unexpired = !c->expires_at_ms || c->expires_at_ms > clock_wall_ms();

	if (!c->has_signed || c->is_forced || o->code < 500 || !sasl_is_bearer(c->mechanism) || !unexpired)
		return false;
	c->is_forced = true;
	smtp_way_hang_up(c);
	smtp_client_fini(&c->client);
	smtp_way_ask_token(c);
	return true;
}

static void on_failed(struct smtp_way_connection *c, const struct outcome *o)
{
	struct outcome copy = *o;

	if (!try_anew(c, &copy))
		smtp_way_fail(c, &copy, c->has_signed ? WAY_BLAMES_MAILBOX : WAY_BLAMES_HOST);
}

static enum way_blame blame_for(const struct smtp_client_message *m, bool sender_refused)
{
	const struct outcome *first = &m->recipients[0].outcome;
	bool alike = true;

	for (size_t i = 1; i < m->recipient_count; i++)
		alike &= m->recipients[i].outcome.code == first->code && m->recipients[i].outcome.fault == first->fault;
	if (!alike || outcome_next(first) != OUTCOME_RETRY)
		return WAY_BLAMES_MESSAGE;
	/* lost, or turned away as a whole: the next message would fare no better */
	return sender_refused || !first->code || first->code == 421 ? WAY_BLAMES_MAILBOX : WAY_BLAMES_MESSAGE;
}

/* NULL: all was taken but the message itself, which is kept back by going away. */
static void end_trial(struct smtp_way_connection *c, const struct outcome *refusal)
{
	struct way_end end = smtp_way_end_of(c);
	struct outcome good;

	outcome_own(&good, FAULT_OK);
	end.outcome = refusal ? refusal : &good;
	end.blame = WAY_BLAMES_MAILBOX;
	c->envelope.recipient_count = 0;
	smtp_way_finish_letter(c, &end);
	if (refusal)
		return; /* it says goodbye */
	stream_close(&c->stream);
	c->state = DONE;
}

static void on_outcome(struct smtp_way_connection *c, const struct smtp_client_wish *wish)
{
	struct way_letter *letter = c->letter;
	struct way_end end = smtp_way_end_of(c);

	if (c->envelope.recipient_count) {
		end_trial(c, &c->nobody.outcome);
		return;
	}
	c->coming = wish->reusable && !c->leaving;
	if (wish->untouched && c->was_used) {
		c->letter = NULL;
		letter->connection = NULL;
		smtp_way_send(c->way, letter);
		return;
	}
	c->was_used = true;
	end.begun = true;
	end.unknown = wish->unknown;
	end.dsn_passed = wish->dsn_passed;
	end.blame = blame_for(&letter->message, c->client.mail_refused);
	smtp_way_finish_letter(c, &end);
}

/* A sign-in alone is done when it is signed in. */
static void on_ready(struct smtp_way_connection *c)
{
	secret_free(&c->secret);
	c->is_forced = false;
	smtp_way_tell_seen(c);
	if (c->letter && !c->letter->message.recipient_count && c->box->whose.way == WAY_CONNECTOR) {
		smtp_way_try_envelope(c);
		return;
	}
	c->coming = !c->leaving; /* a letter that `done` sends is only noted; it begins below */
	if (c->letter && !c->letter->message.recipient_count) {
		struct way_end end = smtp_way_end_of(c);
		struct outcome o;

		outcome_own(&o, FAULT_OK);
		end.outcome = &o;
		smtp_way_finish_letter(c, &end);
	}
	c->coming = false;
	if (!c->letter && !c->leaving && c->box->waiting && c->box->waiting->message.recipient_count)
		smtp_way_assign(c, smtp_way_next_waiting(c->box));
	if (c->letter) {
		c->state = TALKING;
		smtp_way_step(c, WAY_BEGINS);
		smtp_client_message(&c->client, &c->letter->message);
	} else if (c->leaving || !c->way->settings.idle_ms) {
		smtp_client_quit(&c->client);
	} else {
		c->was_used = true;
		c->state = RESTING;
		timer_stop(&c->timer); /* it was set for a reply; now it counts the rest */
	}
}

static void on_wish(struct smtp_way_connection *c, const struct smtp_client_wish *wish)
{
	switch (wish->kind) {
	case SMTP_CLIENT_WRITE:
		if (c->stream)
			stream_write(c->stream, wish->text);
		break;
	case SMTP_CLIENT_START_TLS: smtp_way_start_tls(c); break;
	case SMTP_CLIENT_CREDENTIAL:
		c->has_signed = true;
		smtp_client_credential(&c->client, FAULT_OK, span_of(c->user), secret_borrow(c->secret), (struct span){ 0 });
		break;
	case SMTP_CLIENT_BODY:
		if (c->envelope.recipient_count) {
			end_trial(c, NULL);
			break;
		}
		smtp_way_step(c, WAY_SENDS);
		c->letter->more(c->letter->self);
		break;
	case SMTP_CLIENT_READY: on_ready(c); break;
	case SMTP_CLIENT_OUTCOME: on_outcome(c, wish); break;
	case SMTP_CLIENT_FAILED: on_failed(c, wish->outcome); break;
	case SMTP_CLIENT_CLOSE:
		if (c->stream)
			stream_finish(&c->stream);
		c->state = DONE;
		break;
	}
}

static void arm(struct smtp_way_connection *c)
{
	int64_t deadline_ms;

	if (c->state == RESTING) {
		if (!timer_is_set(&c->timer))
			timer_after(&c->timer, c->way->settings.idle_ms);
		return;
	}
	timer_stop(&c->timer);
	if (c->state != TALKING)
		return;
	deadline_ms = smtp_client_deadline(&c->client);
	if (deadline_ms != INT64_MAX)
		timer_at(&c->timer, deadline_ms);
}

/* Does what the core wishes, until it waits or the connection takes no more. */
void smtp_way_pump(struct smtp_way_connection *c)
{
	struct smtp_client_wish wish;

	if (c->pumping || (c->state != TALKING && c->state != RESTING))
		return; /* an answer given from inside a wish is polled by whoever made the wish */
	smtp_way_enter(c);
	c->pumping = true;
	smtp_client_tick(&c->client, loop_now_ms(c->way->loop));
	while ((c->state == TALKING || c->state == RESTING) && (!c->stream || stream_unsent(c->stream) < SMTP_WAY_UNSENT_BYTES) &&
	       smtp_client_poll(&c->client, &wish))
		on_wish(c, &wish);
	if (c->client.end_written && c->letter && c->letter->at == WAY_SENDS)
		smtp_way_step(c, WAY_AWAITS);
	c->pumping = false;
	arm(c);
	smtp_way_leave(c);
}

static void body(struct way_letter *letter, struct span bytes, bool end)
{
	struct smtp_way_connection *c = letter->connection;

	if (!c || c->state == DONE)
		return;
	smtp_client_body(&c->client, bytes, end);
	smtp_way_pump(c);
}

static void no_body(struct way_letter *letter, enum fault fault)
{
	struct smtp_way_connection *c = letter->connection;

	if (!c || c->state == DONE)
		return;
	smtp_client_no_body(&c->client, fault);
	smtp_way_pump(c);
}

const struct way_carrier smtp_way_carrier = { body, no_body };

void smtp_way_on_timer(void *self)
{
	struct smtp_way_connection *c = self;

	if (c->state == RESTING && !c->letter) {
		c->state = TALKING;
		c->leaving = true;
		smtp_client_quit(&c->client);
	}
	smtp_way_pump(c);
}
