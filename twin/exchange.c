#include "twin/exchange.h"

#include "base/clock.h"
#include "base/panic.h"

#include <stdlib.h>

enum { LISTENERS_MAX = 8 };

struct connection {
	struct exchange *exchange;
	struct connection *next;
	struct stream *stream;
	struct exchange_session session;
	char peer[64];
	struct timer timer; /* a held reply, or the end of patience */
	const struct entrance *entrance;
	bool begun, securing;
};

/* A listener, which host it plays, and whether TLS comes first. */
struct entrance {
	struct exchange *exchange;
	enum exchange_door door;
	bool secure;
	struct listener *listener;
};

struct exchange {
	struct loop *loop;
	struct tls *tls[EXCHANGE_DOORS];
	struct exchange_world *world;
	struct connection *connections;
	size_t count;
	struct entrance entrances[LISTENERS_MAX];
	size_t entrance_count;
};

/* Takes it out and frees it; with `politely`, what was queued is still sent. */
static void drop(struct connection *c, bool politely)
{
	struct connection **place = &c->exchange->connections;

	while (*place != c)
		place = &(*place)->next;
	*place = c->next;
	c->exchange->count--;
	timer_stop(&c->timer);
	if (c->begun)
		exchange_session_fini(&c->session);
	if (politely)
		stream_finish(&c->stream);
	else
		stream_close(&c->stream);
	free(c);
}

/* Sends what is due and does what follows; false when the connection is gone. */
static bool pump(struct connection *c)
{
	struct exchange_session *s = &c->session;

	stream_write(c->stream, buf_span(&s->out));
	buf_clear(&s->out);
	if (s->is_held) {
		timer_after(&c->timer, s->held_until_ms - loop_now_ms(c->exchange->loop));
		return true;
	}
	timer_after(&c->timer, EXCHANGE_IDLE_MS);
	if (s->next == EXCHANGE_CLOSE) {
		drop(c, true);
		return false;
	}
	if (s->next == EXCHANGE_START_TLS && !c->securing) {
		c->securing = true;
		stream_start_tls_server(c->stream, c->exchange->tls[s->door]);
	}
	return true;
}

static void on_timer(void *self)
{
	struct connection *c = self;

	if (!c->begun) {
		drop(c, false);
		return;
	}

	if (!c->session.is_held) {
		exchange_session_end(&c->session, TWIN_REPLY_timeout, clock_wall_ms());
		pump(c);
		return;
	}
	exchange_session_tick(&c->session, loop_now_ms(c->exchange->loop));
	if (pump(c) && !c->session.is_held)
		stream_resume(c->stream);
}

/* The greeting. */
static void begin(struct connection *c)
{
	struct exchange *x = c->exchange;

	exchange_session_init(&c->session, x->world, c->entrance->door, span_of(c->peer), loop_now_ms(x->loop), clock_wall_ms());
	c->begun = true;
	c->session.tls = c->entrance->secure;
	pump(c);
}

static void on_opened(void *self)
{
	struct connection *c = self;

	char memory[TWIN_LIST_BYTES];
	struct buf names;

	if (!c->securing)
		return;
	c->securing = false;
	if (!c->begun) {
		begin(c);
		return;
	}
	buf_over(&names, memory, sizeof memory);
	stream_tls_names(c->stream, &names);
	exchange_session_secured(&c->session, names.overfull ? SPAN("") : buf_span(&names));
}

static size_t on_data(void *self, struct span bytes)
{
	struct connection *c = self;
	size_t taken;

	if (c->securing)
		return 0;
	taken = exchange_session_feed(&c->session, bytes, loop_now_ms(c->exchange->loop), clock_wall_ms());
	pump(c);
	return taken;
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	drop(self, false);
}

static const struct stream_events events = { on_opened, on_data, NULL, on_ended };

static void accepted(void *self, int fd, const struct address *peer)
{
	const struct entrance *e = self;
	struct exchange *x = e->exchange;
	struct connection *c = calloc(1, sizeof *c);
	struct buf name;

	ASSERT(c);
	*c = (struct connection){ .exchange = x, .next = x->connections, .entrance = e };
	x->connections = c;
	x->count++;
	timer_init(&c->timer, x->loop, on_timer, c);
	c->stream = stream_adopt_take(x->loop, fd, &events, c);
	if (x->count > EXCHANGE_SESSIONS_MAX) {
		drop(c, false);
		return;
	}
	buf_over(&name, c->peer, sizeof c->peer - 1);
	address_print(&name, peer, false);
	if (!e->secure) {
		begin(c);
		return;
	}
	c->securing = true;
	stream_start_tls_server(c->stream, x->tls[e->door]);
	timer_after(&c->timer, EXCHANGE_IDLE_MS);
}

struct exchange *exchange_new(struct loop *loop, struct tls *tls, struct tls *mx_tls, struct exchange_world *world)
{
	struct exchange *x = calloc(1, sizeof *x);

	ASSERT(x);
	*x = (struct exchange){ .loop = loop, .world = world,
				.tls = { [EXCHANGE_SUBMISSION] = tls_hold(tls), [EXCHANGE_MX] = tls_hold(mx_tls), [EXCHANGE_GMAIL] = tls_hold(tls) } };
	return x;
}

void exchange_listen(struct exchange *x, enum exchange_door door, bool secure, int fd)
{
	struct entrance *e = &x->entrances[x->entrance_count];

	ASSERT(x->entrance_count < LISTENERS_MAX);
	x->entrance_count++;
	*e = (struct entrance){ x, door, secure, NULL };
	e->listener = listener_new(x->loop, fd, accepted, e);
}

void exchange_free(struct exchange **exchange)
{
	struct exchange *x = *exchange;

	if (!x)
		return;
	for (size_t i = 0; i < x->entrance_count; i++)
		listener_free(&x->entrances[i].listener);
	while (x->connections)
		drop(x->connections, false);
	for (size_t i = 0; i < EXCHANGE_DOORS; i++)
		tls_drop(&x->tls[i]);
	free(x);
	*exchange = NULL;
}

static bool concerns(const struct twin_change *change, const struct exchange_session *s)
{
	if (change->ends == TWIN_ENDS_NONE || (change->user && change->user != s->user))
		return false;
	if (s->door == EXCHANGE_MX || change->ends == TWIN_ENDS_EVERYONE)
		return change->ends == TWIN_ENDS_EVERYONE;
	return change->ends == TWIN_ENDS_ALL || s->by_password;
}

void exchange_end_sessions(struct exchange *x, const struct twin_change *change)
{
	struct connection *next;

	for (struct connection *c = x->connections; c; c = next) {
		next = c->next;
		if (!c->begun || !concerns(change, &c->session))
			continue;
		exchange_session_end(&c->session, TWIN_REPLY_closing, clock_wall_ms());
		pump(c);
	}
}

size_t exchange_sessions(const struct exchange *x, const struct twin_user *user)
{
	size_t count = 0;

	for (const struct connection *c = x->connections; c; c = c->next)
		count += c->begun && (!user || c->session.user == user);
	return count;
}
