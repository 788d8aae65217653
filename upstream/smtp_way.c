#include "upstream/smtp_way.h"

#include "base/panic.h"
#include "upstream/smtp_way_inner.h"

#include <stdio.h>
#include <stdlib.h>

static void *take(size_t size)
{
	void *at = calloc(1, size);

	if (!at)
		panic("out of memory");
	return at;
}

static void dispatch(struct smtp_way_box *, struct smtp_way *);

/* --- the life of a connection */

void smtp_way_step(struct smtp_way_connection *c, enum way_step step)
{
	struct way_letter *letter = c->letter;

	if (!letter || !letter->step || (letter->at == step && step != WAY_ASKS))
		return;
	letter->at = step;
	letter->step(letter->self, step);
}

void smtp_way_ask_token(struct smtp_way_connection *c)
{
	c->state = ASKING;
	smtp_way_step(c, WAY_ASKS);
	c->way->events->token_wanted(c->way->self, c->number, c->box->whose.mailbox, (enum way)c->box->whose.way, c->is_forced, c->generation);
}

static void connection_new(struct smtp_way *w, struct smtp_way_box *box, struct way_letter *letter)
{
	struct smtp_way_connection *c = take(sizeof *c);

	c->way = w;
	c->box = box;
	buf_init(&c->certificate, SMTP_WAY_CERTIFICATE_BYTES);
	c->number = ++w->next_number;
	c->letter = letter;
	letter->connection = c;
	c->next = box->connections;
	box->connections = c;
	box->count++;
	w->count++;
	timer_init(&c->timer, w->loop, smtp_way_on_timer, c);
	smtp_way_ask_token(c);
}

void smtp_way_hang_up(struct smtp_way_connection *c)
{
	if (c->dial)
		dial_cancel(&c->dial);
	dns_cancel(&c->question);
	stream_close(&c->stream);
	secret_free(&c->secret);
	timer_stop(&c->timer);
	c->in_handshake = false;
	c->unread_size = 0;
}

static void connection_free(struct smtp_way_connection *c)
{
	struct smtp_way_connection **at = &c->box->connections;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->box->count--;
	c->way->count--;
	smtp_way_hang_up(c);
	smtp_client_fini(&c->client);
	buf_free(&c->certificate);
	free(c);
}

/* Every callback enters and leaves, so that nobody frees what somebody below still stands in. */
void smtp_way_enter(struct smtp_way_connection *c)
{
	c->inside++;
}

void smtp_way_leave(struct smtp_way_connection *c)
{
	struct smtp_way_box *box = c->box;
	struct smtp_way *w = c->way;
	struct way_letter *letter = c->letter;

	if (--c->inside || c->state != DONE)
		return;
	connection_free(c);
	/* It was to come next, and was not begun: another connection has it. */
	if (letter) {
		letter->connection = NULL;
		smtp_way_send(w, letter);
	} else {
		dispatch(box, w);
	}
}

void smtp_way_finish_letter(struct smtp_way_connection *c, const struct way_end *end)
{
	struct way_letter *letter = c->letter;

	c->letter = NULL;
	if (!letter)
		return;
	letter->connection = NULL;
	letter->done(letter->self, end);
}

struct way_end smtp_way_end_of(const struct smtp_way_connection *c)
{
	return (struct way_end){ .host = span_of(c->host), .is_password = c->has_signed && !sasl_is_bearer(c->mechanism) };
}

/* It never got so far as to begin a message. */
void smtp_way_fail(struct smtp_way_connection *c, const struct outcome *o, enum way_blame blame)
{
	struct way_end end = smtp_way_end_of(c);

	end.outcome = o;
	end.blame = blame;
	c->state = DONE;
	smtp_way_finish_letter(c, &end);
}

void smtp_way_fail_with(struct smtp_way_connection *c, enum fault fault, struct span why, enum way_blame blame)
{
	struct outcome o;

	outcome_own(&o, fault);
	if (why.size)
		outcome_set(&o, fault, 0, span_of(fault_row(fault)->enhanced), why);
	smtp_way_fail(c, &o, blame);
}

/* --- the token, the dial */

static bool read_endpoint(struct smtp_way_connection *c, const struct message_token *t)
{
	static const enum smtp_client_tls tls[] = { SMTP_CLIENT_CLEAR, SMTP_CLIENT_STARTTLS, SMTP_CLIENT_IMPLICIT };
	static const enum sasl_mechanism mechanisms[] = { SASL_MECHANISM_COUNT, SASL_PLAIN, SASL_LOGIN, SASL_XOAUTH2, SASL_OAUTHBEARER };

	if (t->tls >= sizeof tls / sizeof *tls || t->mechanism >= sizeof mechanisms / sizeof *mechanisms || !t->host.size ||
	    t->host.size >= sizeof c->host || t->user.size >= sizeof c->user || !t->port || t->port > 65535)
		return false;
	snprintf(c->host, sizeof c->host, "%.*s", SPAN_ARGS(t->host));
	snprintf(c->user, sizeof c->user, "%.*s", SPAN_ARGS(t->user));
	c->port = (uint16_t)t->port;
	c->tls = tls[t->tls];
	c->mechanism = mechanisms[t->mechanism];
	c->generation = t->generation;
	c->expires_at_ms = t->expires_at_ms;
	secret_free(&c->secret);
	c->secret = t->token.size ? secret_new(t->token) : NULL;
	return smtp_way_read_road(c, t);
}

static void take_token(struct smtp_way_connection *c, const struct message_token *t)
{
	enum fault fault = t->fault < FAULT_COUNT ? (enum fault)t->fault : FAULT_BUG;

	if (t->host.size || t->tenant.size)
		c->way->events->named(c->way->self, c->box->whose.mailbox, t->tenant, t->host);
	if (fault) {
		smtp_way_fail_with(c, fault, t->why, fault_row(fault)->class == FAULT_CLASS_RETRY ? WAY_BLAMES_TENANT : WAY_BLAMES_MAILBOX);
		return;
	}
	if (!read_endpoint(c, t)) {
		smtp_way_fail_with(c, FAULT_BUG, SPAN("the mailbox has no usable way out"), WAY_BLAMES_MAILBOX);
		return;
	}
	c->state = DIALING;
	smtp_way_step(c, WAY_DIALS);
	smtp_way_take_road(c);
}

static struct smtp_way_connection *find_asking(struct smtp_way *w, uint64_t number, bool any)
{
	struct smtp_way_box *box;

	for (size_t at = 0; (box = map_next(&w->boxes, &at));)
		for (struct smtp_way_connection *c = box->connections; c; c = c->next)
			if (c->state == ASKING && (any || c->number == number))
				return c;
	return NULL;
}

static struct span whose_span(const struct smtp_way_whose *whose)
{
	return (struct span){ (const char *)whose, sizeof *whose };
}

static struct smtp_way_box *find_box(const struct smtp_way *w, uint64_t mailbox, enum way way)
{
	return map_get(&w->boxes, whose_span(&(struct smtp_way_whose){ mailbox, way }));
}

void smtp_way_token(struct smtp_way *w, const struct message_token *t)
{
	struct smtp_way_box *box = find_box(w, t->mailbox, (enum way)t->way);
	struct smtp_way_connection *c = box ? box->connections : NULL;

	while (c && (c->number != t->request || c->state != ASKING))
		c = c->next;
	if (!c)
		return;
	smtp_way_enter(c);
	take_token(c, t);
	smtp_way_leave(c);
}

void smtp_way_vault_ended(struct smtp_way *w)
{
	struct smtp_way_connection *c;

	while ((c = find_asking(w, 0, true))) {
		smtp_way_enter(c);
		smtp_way_fail_with(c, FAULT_VAULT_AWAY, (struct span){ 0 }, WAY_BLAMES_MAILBOX);
		smtp_way_leave(c);
	}
}

/* --- letters */

struct way_letter *smtp_way_next_waiting(struct smtp_way_box *box)
{
	struct way_letter *letter = box->waiting;

	if (!letter)
		return NULL;
	box->waiting = letter->next;
	if (!box->waiting)
		box->waiting_last = &box->waiting;
	return letter;
}

void smtp_way_assign(struct smtp_way_connection *c, struct way_letter *letter)
{
	c->letter = letter;
	letter->connection = c;
}

static bool is_to_be_had(const struct smtp_way_connection *c)
{
	return !c->letter && !c->leaving && (c->state == RESTING || (c->state == TALKING && c->coming));
}

static struct smtp_way_connection *find_rested(const struct smtp_way_box *box)
{
	for (struct smtp_way_connection *c = box->connections; c; c = c->next)
		if (is_to_be_had(c))
			return c;
	return NULL;
}

static void give(struct smtp_way *w, struct smtp_way_box *box, struct way_letter *letter)
{
	struct smtp_way_connection *c = letter->message.recipient_count ? find_rested(box) : NULL;

	if (!c) {
		connection_new(w, box, letter);
		return;
	}
	smtp_way_assign(c, letter);
	if (c->state != RESTING)
		return; /* begun when it is READY */
	c->state = TALKING;
	timer_stop(&c->timer);
	smtp_client_tick(&c->client, loop_now_ms(w->loop));
	smtp_way_step(c, WAY_BEGINS);
	smtp_client_message(&c->client, &letter->message);
	smtp_way_pump(c);
}

static unsigned ceiling(const struct smtp_way *w, const struct way_letter *letter)
{
	unsigned most = w->settings.connections_per_mailbox;

	return letter->connections && letter->connections < most ? letter->connections : most;
}

static void dispatch(struct smtp_way_box *box, struct smtp_way *w)
{
	while (box->waiting && (box->count < ceiling(w, box->waiting) || find_rested(box)))
		give(w, box, smtp_way_next_waiting(box));
}

void smtp_way_send(struct smtp_way *w, struct way_letter *letter)
{
	struct smtp_way_box *box = find_box(w, letter->mailbox, letter->way);

	if (!box) {
		box = take(sizeof *box);
		box->whose = (struct smtp_way_whose){ letter->mailbox, letter->way };
		box->waiting_last = &box->waiting;
		map_put(&w->boxes, whose_span(&box->whose), box);
	}
	if (!letter->message.recipient_count)
		smtp_way_renew(w, letter->mailbox); /* a sign-in of old would prove nothing */
	letter->carrier = &smtp_way_carrier;
	letter->next = NULL;
	*box->waiting_last = letter;
	box->waiting_last = &letter->next;
	dispatch(box, w);
}

void smtp_way_renew(struct smtp_way *w, uint64_t mailbox)
{
	struct smtp_way_box *box;

	for (size_t at = 0; (box = map_next(&w->boxes, &at));)
		for (struct smtp_way_connection *c = box->connections, *next; c && (!mailbox || box->whose.mailbox == mailbox); c = next) {
			next = c->next;
			if (c->state == ASKING || c->state == DIALING)
				continue; /* it signs in with what is new */
			c->leaving = true;
			if (c->state == RESTING)
				timer_after(&c->timer, 0);
		}
}

/* --- the way itself */

void smtp_way_set(struct smtp_way *w, struct tls *tls, const struct smtp_way_settings *settings)
{
	struct tls *old = w->tls;

	w->tls = tls_hold(tls);
	if (old)
		tls_drop(&old);
	w->settings = *settings;
	snprintf(w->own_name, sizeof w->own_name, "%.*s", SPAN_ARGS(settings->own_name));
}

struct smtp_way *smtp_way_new(struct loop *loop, struct dns *dns, struct tls *tls, const struct smtp_way_settings *settings,
			      const struct way_events *events, void *self)
{
	struct smtp_way *w = take(sizeof *w);

	w->loop = loop;
	w->dns = dns;
	w->events = events;
	w->self = self;
	map_init(&w->boxes, false);
	smtp_way_set(w, tls, settings);
	return w;
}

void smtp_way_free(struct smtp_way **out)
{
	struct smtp_way *w = *out;
	struct smtp_way_box *box;

	if (!w)
		return;
	for (size_t at = 0; (box = map_next(&w->boxes, &at));) {
		while (box->connections)
			connection_free(box->connections);
		map_remove(&w->boxes, whose_span(&box->whose));
		free(box);
	}
	map_free(&w->boxes);
	tls_drop(&w->tls);
	free(w);
	*out = NULL;
}

unsigned smtp_way_connections(const struct smtp_way *w)
{
	return w->count;
}
