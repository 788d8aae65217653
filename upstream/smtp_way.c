#include "upstream/smtp_way.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/panic.h"
#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNREAD_BYTES = 4096, NAME_BYTES = 256, UNSENT_BYTES = 256 * 1024 };

/* A mailbox and its connections. */
struct box {
	uint64_t mailbox;
	unsigned count;
	struct smtp_way_connection *connections;
	struct smtp_way_letter *waiting, **waiting_last;
};

enum state {
	ASKING,  /* the vault, for a token */
	DIALING,
	TALKING,
	RESTING, /* signed in, without a letter */
	DONE,    /* to be freed when nobody stands in it */
};

struct smtp_way_connection {
	struct smtp_way *way;
	struct box *box;
	struct smtp_way_connection *next;
	uint64_t number;
	enum state state;
	struct smtp_way_letter *letter;
	struct dial *dial;
	struct stream *stream;
	struct smtp_client client;
	struct timer timer;
	unsigned inside;          /* calls of ours on the stack: it is freed by the outermost */
	bool pumping, in_handshake, leaving, coming; /* coming: READY follows the letter that just ended */
	bool was_used, is_forced, has_signed;
	/* what the vault said */
	char host[NAME_BYTES], user[SMTP_CLIENT_ADDRESS_BYTES];
	uint16_t port;
	enum smtp_client_tls tls;
	enum sasl_mechanism mechanism;
	struct secret *secret;
	uint64_t generation;
	int64_t expires_at_ms;
	/* the peer's last words, when they came while nobody read */
	char unread[UNREAD_BYTES];
	size_t unread_size;
};

struct smtp_way {
	struct loop *loop;
	struct dns *dns;
	struct tls *tls;
	struct smtp_way_settings settings;
	char own_name[NAME_BYTES];
	const struct smtp_way_events *events;
	void *self;
	struct map boxes;
	uint64_t next_number;
	unsigned count;
};

static void *take(size_t size)
{
	void *at = calloc(1, size);

	if (!at)
		panic("out of memory");
	return at;
}

static void pump(struct smtp_way_connection *);
static void dispatch(struct box *, struct smtp_way *);

/* --- the life of a connection */

static void ask_token(struct smtp_way_connection *c)
{
	c->state = ASKING;
	c->way->events->token_wanted(c->way->self, c->number, c->box->mailbox, c->is_forced, c->generation);
}

static void on_timer(void *self)
{
	struct smtp_way_connection *c = self;

	if (c->state == RESTING && !c->letter) {
		c->state = TALKING;
		c->leaving = true;
		smtp_client_quit(&c->client);
	}
	pump(c);
}

static void connection_new(struct smtp_way *w, struct box *box, struct smtp_way_letter *letter)
{
	struct smtp_way_connection *c = take(sizeof *c);

	c->way = w;
	c->box = box;
	c->number = ++w->next_number;
	c->letter = letter;
	letter->connection = c;
	c->next = box->connections;
	box->connections = c;
	box->count++;
	w->count++;
	timer_init(&c->timer, w->loop, on_timer, c);
	ask_token(c);
}

static void hang_up(struct smtp_way_connection *c)
{
	if (c->dial)
		dial_cancel(&c->dial);
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
	hang_up(c);
	smtp_client_fini(&c->client);
	free(c);
}

/* Every callback enters and leaves, so that nobody frees what somebody below still stands in. */
static void enter(struct smtp_way_connection *c)
{
	c->inside++;
}

static void leave(struct smtp_way_connection *c)
{
	struct box *box = c->box;
	struct smtp_way *w = c->way;

	if (--c->inside || c->state != DONE)
		return;
	connection_free(c);
	dispatch(box, w);
}

static void finish_letter(struct smtp_way_connection *c, const struct smtp_way_end *end)
{
	struct smtp_way_letter *letter = c->letter;

	c->letter = NULL;
	if (!letter)
		return;
	letter->connection = NULL;
	letter->done(letter->self, end);
}

static struct smtp_way_end end_of(const struct smtp_way_connection *c)
{
	return (struct smtp_way_end){ .host = span_of(c->host), .is_password = !sasl_is_bearer(c->mechanism) };
}

/* It never got so far as to begin a message. */
static void fail(struct smtp_way_connection *c, const struct outcome *o, enum smtp_way_blame blame)
{
	struct smtp_way_end end = end_of(c);

	end.outcome = o;
	end.blame = blame;
	c->state = DONE;
	finish_letter(c, &end);
}

static void fail_with(struct smtp_way_connection *c, enum fault fault, struct span why, enum smtp_way_blame blame)
{
	struct outcome o;

	outcome_own(&o, fault);
	if (why.size)
		outcome_set(&o, fault, 0, span_of(fault_row(fault)->enhanced), why);
	fail(c, &o, blame);
}

/* --- the token, the dial */

static void on_dialed(void *self, struct stream *stream, enum fault fault, struct span why);

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
	return true;
}

static void take_token(struct smtp_way_connection *c, const struct message_token *t)
{
	enum fault fault = t->fault < FAULT_COUNT ? (enum fault)t->fault : FAULT_BUG;

	if (t->host.size || t->tenant.size)
		c->way->events->named(c->way->self, c->box->mailbox, t->tenant, t->host);
	if (fault) {
		fail_with(c, fault, t->why, fault_row(fault)->class == FAULT_CLASS_RETRY ? SMTP_WAY_TENANT : SMTP_WAY_MAILBOX);
		return;
	}
	if (!read_endpoint(c, t)) {
		fail_with(c, FAULT_BUG, SPAN("the mailbox has no usable way out"), SMTP_WAY_MAILBOX);
		return;
	}
	c->state = DIALING;
	c->dial = dial_start(c->way->dns, c->way->loop, span_of(c->host), c->port, NULL, c->way->settings.connect_ms, on_dialed, c);
}

static struct smtp_way_connection *find_asking(struct smtp_way *w, uint64_t number, bool any)
{
	struct box *box;

	for (size_t at = 0; (box = map_next(&w->boxes, &at));)
		for (struct smtp_way_connection *c = box->connections; c; c = c->next)
			if (c->state == ASKING && (any || c->number == number))
				return c;
	return NULL;
}

static struct box *find_box(const struct smtp_way *w, uint64_t mailbox)
{
	return map_get(&w->boxes, (struct span){ (const char *)&mailbox, sizeof mailbox });
}

void smtp_way_token(struct smtp_way *w, const struct message_token *t)
{
	struct box *box = find_box(w, t->mailbox);
	struct smtp_way_connection *c = box ? box->connections : NULL;

	while (c && (c->number != t->request || c->state != ASKING))
		c = c->next;
	if (!c)
		return;
	enter(c);
	take_token(c, t);
	leave(c);
}

void smtp_way_vault_ended(struct smtp_way *w)
{
	struct smtp_way_connection *c;

	while ((c = find_asking(w, 0, true))) {
		enter(c);
		fail_with(c, FAULT_VAULT_AWAY, (struct span){ 0 }, SMTP_WAY_MAILBOX);
		leave(c);
	}
}

/* --- the stream */

static void on_opened(void *self)
{
	struct smtp_way_connection *c = self;

	if (!c->in_handshake)
		return;
	enter(c);
	c->in_handshake = false;
	smtp_client_tick(&c->client, loop_now_ms(c->way->loop));
	smtp_client_tls_started(&c->client, FAULT_OK, (struct span){ 0 });
	pump(c);
	leave(c);
}

static size_t on_data(void *self, struct span bytes)
{
	struct smtp_way_connection *c = self;
	size_t taken = 0, step;

	enter(c);
	smtp_client_tick(&c->client, loop_now_ms(c->way->loop));
	do {
		step = smtp_client_feed(&c->client, span_slice(bytes, taken, bytes.size));
		taken += step;
		pump(c);
	} while (step && taken < bytes.size && c->state != DONE);
	c->unread_size = bytes.size - taken < sizeof c->unread ? bytes.size - taken : sizeof c->unread;
	memcpy(c->unread, bytes.at + taken, c->unread_size);
	leave(c);
	return taken;
}

static void on_drained(void *self)
{
	struct smtp_way_connection *c = self;

	enter(c);
	pump(c);
	leave(c);
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct smtp_way_connection *c = self;
	struct span unread = { c->unread, c->unread_size };

	enter(c);
	if (c->in_handshake)
		smtp_client_tls_started(&c->client, fault == FAULT_CLOSED ? FAULT_TLS_FAILED : fault, why);
	else
		smtp_client_closed(&c->client, fault, why, unread);
	c->in_handshake = false;
	stream_close(&c->stream);
	pump(c);
	if (c->state == TALKING || c->state == RESTING)
		c->state = DONE;
	leave(c);
}

static const struct stream_events stream_events = { .opened = on_opened, .data = on_data, .drained = on_drained, .ended = on_ended };

static void on_dialed(void *self, struct stream *stream, enum fault fault, struct span why)
{
	struct smtp_way_connection *c = self;
	struct smtp_client_settings settings = {
		.own_name = span_of(c->way->own_name), .peer_name = span_of(c->host), .port = c->port, .tls = c->tls, .mechanism = c->mechanism,
	};
	struct address peer;

	enter(c);
	c->dial = NULL;
	c->stream = stream;
	if (!stream) {
		fail_with(c, fault, why, SMTP_WAY_HOST);
		leave(c);
		return;
	}
	peer = stream_peer(stream);
	if (c->tls == SMTP_CLIENT_CLEAR && !address_is_loopback(&peer)) {
		fail_with(c, FAULT_TLS_MISSING, SPAN("without TLS, mail goes to this machine alone"), SMTP_WAY_MAILBOX);
		leave(c);
		return;
	}
	c->state = TALKING;
	c->has_signed = false;
	smtp_client_init(&c->client, &settings, loop_now_ms(c->way->loop));
	stream_set_events(stream, &stream_events, c);
	pump(c);
	leave(c);
}

/* --- the wishes of the core */

/* A token may have been revoked, or a clock be wrong: made anew, it may do. Once. */
static bool try_anew(struct smtp_way_connection *c, const struct outcome *o)
{
	bool unexpired = !c->expires_at_ms || c->expires_at_ms > clock_wall_ms();

	if (!c->has_signed || c->is_forced || o->code < 500 || !sasl_is_bearer(c->mechanism) || !unexpired)
		return false;
	c->is_forced = true;
	hang_up(c);
	smtp_client_fini(&c->client);
	ask_token(c);
	return true;
}

static void on_failed(struct smtp_way_connection *c, const struct outcome *o)
{
	struct outcome copy = *o;

	if (!try_anew(c, &copy))
		fail(c, &copy, c->has_signed ? SMTP_WAY_MAILBOX : SMTP_WAY_HOST);
}

static enum smtp_way_blame blame_for(const struct smtp_client_message *m, bool sender_refused)
{
	const struct outcome *first = &m->recipients[0].outcome;
	bool alike = true;

	for (size_t i = 1; i < m->recipient_count; i++)
		alike &= m->recipients[i].outcome.code == first->code && m->recipients[i].outcome.fault == first->fault;
	if (!alike || outcome_next(first) != OUTCOME_RETRY)
		return SMTP_WAY_MESSAGE;
	/* lost, or turned away as a whole: the next message would fare no better */
	return sender_refused || !first->code || first->code == 421 ? SMTP_WAY_MAILBOX : SMTP_WAY_MESSAGE;
}

static void on_outcome(struct smtp_way_connection *c, const struct smtp_client_wish *wish)
{
	struct smtp_way_letter *letter = c->letter;
	struct smtp_way_end end = end_of(c);

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
	finish_letter(c, &end);
}

static struct smtp_way_letter *next_waiting(struct box *box)
{
	struct smtp_way_letter *letter = box->waiting;

	if (!letter)
		return NULL;
	box->waiting = letter->next;
	if (!box->waiting)
		box->waiting_last = &box->waiting;
	return letter;
}

static void assign(struct smtp_way_connection *c, struct smtp_way_letter *letter)
{
	c->letter = letter;
	letter->connection = c;
}

/* A sign-in alone is done when it is signed in. */
static void on_ready(struct smtp_way_connection *c)
{
	secret_free(&c->secret);
	c->is_forced = false;
	c->coming = !c->leaving; /* a letter that `done` sends is only noted; it begins below */
	if (c->letter && !c->letter->message.recipient_count) {
		struct smtp_way_end end = end_of(c);
		struct outcome o;

		outcome_own(&o, FAULT_OK);
		end.outcome = &o;
		finish_letter(c, &end);
	}
	c->coming = false;
	if (!c->letter && !c->leaving && c->box->waiting && c->box->waiting->message.recipient_count)
		assign(c, next_waiting(c->box));
	if (c->letter) {
		c->state = TALKING;
		smtp_client_message(&c->client, &c->letter->message);
	} else if (c->leaving || !c->way->settings.idle_ms) {
		smtp_client_quit(&c->client);
	} else {
		c->was_used = true;
		c->state = RESTING;
	}
}

static void on_wish(struct smtp_way_connection *c, const struct smtp_client_wish *wish)
{
	switch (wish->kind) {
	case SMTP_CLIENT_WRITE:
		if (c->stream)
			stream_write(c->stream, wish->text);
		break;
	case SMTP_CLIENT_START_TLS:
		c->in_handshake = true;
		stream_start_tls_client(c->stream, c->way->tls, span_of(c->host));
		break;
	case SMTP_CLIENT_CREDENTIAL:
		c->has_signed = true;
		smtp_client_credential(&c->client, FAULT_OK, span_of(c->user), secret_borrow(c->secret), (struct span){ 0 });
		break;
	case SMTP_CLIENT_BODY: c->letter->more(c->letter->self); break;
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
static void pump(struct smtp_way_connection *c)
{
	struct smtp_client_wish wish;

	if (c->pumping || (c->state != TALKING && c->state != RESTING))
		return; /* an answer given from inside a wish is polled by whoever made the wish */
	enter(c);
	c->pumping = true;
	smtp_client_tick(&c->client, loop_now_ms(c->way->loop));
	while ((c->state == TALKING || c->state == RESTING) && (!c->stream || stream_unsent(c->stream) < UNSENT_BYTES) &&
	       smtp_client_poll(&c->client, &wish))
		on_wish(c, &wish);
	c->pumping = false;
	arm(c);
	leave(c);
}

void smtp_way_body(struct smtp_way_letter *letter, struct span bytes, bool end)
{
	struct smtp_way_connection *c = letter->connection;

	if (!c || c->state == DONE)
		return;
	smtp_client_body(&c->client, bytes, end);
	pump(c);
}

void smtp_way_no_body(struct smtp_way_letter *letter, enum fault fault)
{
	struct smtp_way_connection *c = letter->connection;

	if (!c || c->state == DONE)
		return;
	smtp_client_no_body(&c->client, fault);
	pump(c);
}

/* --- letters */

static bool is_to_be_had(const struct smtp_way_connection *c)
{
	return !c->letter && !c->leaving && (c->state == RESTING || (c->state == TALKING && c->coming));
}

static struct smtp_way_connection *find_rested(const struct box *box)
{
	for (struct smtp_way_connection *c = box->connections; c; c = c->next)
		if (is_to_be_had(c))
			return c;
	return NULL;
}

static void give(struct smtp_way *w, struct box *box, struct smtp_way_letter *letter)
{
	struct smtp_way_connection *c = letter->message.recipient_count ? find_rested(box) : NULL;

	if (!c) {
		connection_new(w, box, letter);
		return;
	}
	assign(c, letter);
	if (c->state != RESTING)
		return; /* begun when it is READY */
	c->state = TALKING;
	timer_stop(&c->timer);
	smtp_client_tick(&c->client, loop_now_ms(w->loop));
	smtp_client_message(&c->client, &letter->message);
	pump(c);
}

static void dispatch(struct box *box, struct smtp_way *w)
{
	while (box->waiting && (box->count < w->settings.connections_per_mailbox || find_rested(box)))
		give(w, box, next_waiting(box));
}

void smtp_way_send(struct smtp_way *w, struct smtp_way_letter *letter)
{
	struct box *box = find_box(w, letter->mailbox);

	if (!box) {
		box = take(sizeof *box);
		box->mailbox = letter->mailbox;
		box->waiting_last = &box->waiting;
		map_put(&w->boxes, (struct span){ (const char *)&box->mailbox, sizeof box->mailbox }, box);
	}
	if (!letter->message.recipient_count)
		smtp_way_renew(w, letter->mailbox); /* a sign-in of old would prove nothing */
	letter->next = NULL;
	*box->waiting_last = letter;
	box->waiting_last = &letter->next;
	dispatch(box, w);
}

void smtp_way_renew(struct smtp_way *w, uint64_t mailbox)
{
	struct box *box;

	for (size_t at = 0; (box = map_next(&w->boxes, &at));)
		for (struct smtp_way_connection *c = box->connections, *next; c && (!mailbox || box->mailbox == mailbox); c = next) {
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
			      const struct smtp_way_events *events, void *self)
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
	struct box *box;

	if (!w)
		return;
	for (size_t at = 0; (box = map_next(&w->boxes, &at));) {
		while (box->connections)
			connection_free(box->connections);
		map_remove(&w->boxes, (struct span){ (const char *)&box->mailbox, sizeof box->mailbox });
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
