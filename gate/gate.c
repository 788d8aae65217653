#include "gate/gate.h"

#include "base/json.h"
#include "base/metric.h"
#include "base/panic.h"
#include "gate/inner.h"
#include "gate/stranger.h"
#include "wire/sasl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- doors and entrances */

struct door *door_hold(struct door *d)
{
	d->references++;
	return d;
}

void door_drop(struct door **door)
{
	if (*door && !--(*door)->references) {
		if ((*door)->tls)
			tls_drop(&(*door)->tls);
		free(*door);
	}
	*door = NULL;
}

static void copy_text(char *out, size_t size, struct span text)
{
	size_t fits = text.size < size ? text.size : size - 1;

	memcpy(out, text.at, fits);
	out[fits] = 0;
}

static enum tls_version version_of(struct span text)
{
	static const char *const names[] = { "1.0", "1.1", "1.2", "1.3" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (span_equal(text, span_of(names[i])))
			return (enum tls_version)i;
	return TLS_VERSION_1_2;
}

static enum fault door_tls(struct door *d, const struct config_listener *l, const struct role_start *s, char *why_out)
{
	struct tls_server_settings settings = {
		.certificate_pem = role_file(s, SPAN("certificate"), l->name),
		.key_pem = role_file(s, SPAN("key"), l->name),
		.second_certificate_pem = role_file(s, SPAN("rsa_certificate"), l->name),
		.second_key_pem = role_file(s, SPAN("rsa_key"), l->name),
		.lowest = version_of(l->lowest_tls),
		.alpn = SPAN("smtp"),
	};
	const char *why = "";
	enum fault f;

	if (span_equal(l->tls, SPAN("none")))
		return FAULT_OK;
	f = tls_server_new(&d->tls, &settings, &why);
	if (f != FAULT_OK)
		snprintf(why_out, 256, "certificate of listener %s: %s", d->name, why);
	return f;
}

static void door_host_name(struct door *d, const struct config *c)
{
	if (c->host_name.size)
		copy_text(d->host_name, sizeof d->host_name, c->host_name);
	else if (gethostname(d->host_name, sizeof d->host_name - 1))
		copy_text(d->host_name, sizeof d->host_name, SPAN("localhost"));
}

static enum fault door_new(struct door **out, const struct config_listener *l, const struct role_start *s, char *why_out)
{
	struct door *d = calloc(1, sizeof *d);
	enum fault f;

	if (!d)
		panic("out of memory");
	d->references = 1;
	copy_text(d->name, sizeof d->name, l->name);
	door_host_name(d, s->config);
	d->implicit = span_equal(l->tls, SPAN("implicit"));
	d->starttls_required = span_equal(l->tls, SPAN("required"));
	d->starttls = d->starttls_required || span_equal(l->tls, SPAN("starttls"));
	d->clear_login = l->clear_login;
	d->networks_only = l->networks_only;
	for (size_t i = 0; i < l->mechanisms.count; i++)
		d->mechanisms |= 1u << sasl_named(l->mechanisms.items[i]);
	d->size_bytes = (uint64_t)l->size_limit;
	d->recipients = (unsigned)l->recipients_max;
	d->header_bytes_max = (size_t)s->config->header_bytes_max;
	for (size_t i = 0; i < l->proxy_from.count; i++)
		if (!network_parse(&d->balancers[d->balancer_count++], l->proxy_from.items[i])) {
			snprintf(why_out, 256, "listener %s: proxy_from: a network is wanted", d->name);
			door_drop(&d);
			return FAULT_MALFORMED;
		}
	f = door_tls(d, l, s, why_out);
	if (f != FAULT_OK)
		door_drop(&d);
	*out = d;
	return f;
}

static void on_accepted(void *self, int fd, const struct address *peer)
{
	struct entrance *e = self;

	session_new(e->gate, e->door, fd, peer);
}

static void entrances_free(struct entrance **list)
{
	while (*list) {
		struct entrance *next = (*list)->next;

		listener_free(&(*list)->listener);
		door_drop(&(*list)->door);
		free(*list);
		*list = next;
	}
}

static const struct config_listener *listener_named(const struct config *c, struct span name)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (span_equal(c->listeners[i].name, name))
			return &c->listeners[i];
	return NULL;
}

static enum fault entrance_add(struct gate *g, struct entrance **list, const struct role_listener *given, const struct role_start *s, char *why_out)
{
	const struct config_listener *l = listener_named(s->config, given->name);
	struct entrance *e;
	enum fault f;

	if (!l) {
		close(given->fd);
		return FAULT_OK;
	}
	e = calloc(1, sizeof *e);
	if (!e)
		panic("out of memory");
	e->gate = g;
	f = door_new(&e->door, l, s, why_out);
	if (f != FAULT_OK) {
		close(given->fd);
		free(e);
		return f;
	}
	e->address = listener_address(given->fd);
	e->listener = listener_new(g->loop, given->fd, on_accepted, e);
	e->next = *list;
	*list = e;
	return FAULT_OK;
}

/* All listeners anew, or none: the old ones go on until the new ones stand. The sockets are the same, so nobody is turned away. */
static enum fault open_entrances(struct gate *g, const struct role_start *s, char *why_out)
{
	struct entrance *fresh = NULL;
	enum fault f = FAULT_OK;

	for (size_t i = 0; i < s->listener_count; i++) {
		if (f == FAULT_OK)
			f = entrance_add(g, &fresh, &s->listeners[i], s, why_out);
		else
			close(s->listeners[i].fd);
	}
	if (f != FAULT_OK) {
		entrances_free(&fresh);
		return f;
	}
	entrances_free(&g->entrances);
	g->entrances = fresh;
	return FAULT_OK;
}

/* --- sessions by number: gate, generation, slot */

struct session *gate_session(struct gate *g, uint64_t id)
{
	size_t slot = (size_t)(id & 0xffffff);

	if (slot >= g->room || !g->sessions[slot] || g->generations[slot] != (uint32_t)(id >> 24))
		return NULL;
	return g->sessions[slot];
}

/* The place where sessions of this address are counted; NULL when the table is full of others. */
static unsigned *count_of(struct gate *g, const struct address *peer)
{
	size_t first_free = GATE_ADDRESSES;

	for (size_t i = 0; i < GATE_ADDRESSES; i++) {
		if (g->addresses[i].open && address_equal(&g->addresses[i].address, peer))
			return &g->addresses[i].open;
		if (!g->addresses[i].open && first_free == GATE_ADDRESSES)
			first_free = i;
	}
	if (first_free == GATE_ADDRESSES)
		return NULL;
	g->addresses[first_free].address = *peer;
	return &g->addresses[first_free].open;
}

uint64_t gate_session_add(struct gate *g, struct session *s, const struct address *peer, enum fault *refused_out)
{
	unsigned *open = count_of(g, peer);
	size_t slot = g->next_slot;

	*refused_out = g->is_draining ? FAULT_SHUTTING_DOWN : FAULT_OK;
	if ((open && (int64_t)*open >= g->config->max_sessions_per_address) || !stranger_fits(g))
		*refused_out = FAULT_TOO_BUSY;
	if (g->open >= g->room)
		return 0;
	if (open)
		++*open;
	while (g->sessions[slot])
		slot = (slot + 1) % g->room;
	g->next_slot = (slot + 1) % g->room;
	g->sessions[slot] = s;
	g->generations[slot]++;
	g->open++;
	metric_set(METRIC_GATE_SESSIONS, NULL, (int64_t)g->open);
	metric_add(METRIC_GATE_SESSIONS_TOTAL, NULL, 1);
	return (uint64_t)g->index << 56 | (uint64_t)g->generations[slot] << 24 | slot;
}

static void check_drained(struct gate *g)
{
	if (!g->is_draining || g->open || g->said_drained)
		return;
	g->said_drained = true;
	g->drained(g->host);
}

void gate_session_remove(struct gate *g, uint64_t id, const struct address *peer)
{
	unsigned *open = count_of(g, peer);

	if (open && *open)
		--*open;
	if (gate_session(g, id)) {
		g->sessions[id & 0xffffff] = NULL;
		g->open--;
	}
	metric_set(METRIC_GATE_SESSIONS, NULL, (int64_t)g->open);
	check_drained(g);
}

static void each_session(struct gate *g, void (*visit)(struct session *))
{
	for (size_t i = 0; i < g->room; i++)
		if (g->sessions[i])
			visit(g->sessions[i]);
}

/* --- the other roles */

static void on_revoked(struct gate *g, const struct message_revoked *m)
{
	for (size_t i = 0; i < g->room; i++)
		if (g->sessions[i] && session_client(g->sessions[i]) == m->client)
			session_stop(g->sessions[i], FAULT_CLIENT_REVOKED);
}

static void on_call(struct gate *g, struct link *link, const struct message_call *m)
{
	struct buf text;

	enum fault f = FAULT_OK;

	buf_init(&text, MESSAGE_BYTES_MAX / 2);
	if (span_equal(m->operation, SPAN("metrics")))
		metric_expose(&text, "gate", g->index, false);
	else if (span_equal(m->operation, SPAN("status")))
		gate_status_put(g, &text);
	else
		f = FAULT_NOT_FOUND;
	link_send(link, &MESSAGE_OF(answer, .request = m->request, .fault = f, .result = buf_span(&text)));
	buf_free(&text);
}

static void on_received(void *self, struct link *link, const struct message *m)
{
	struct gate *g = self;
	struct session *s = NULL;

	switch (m->type) {
	case MESSAGE_authorized:
		s = gate_session(g, m->authorized.session);
		if (s)
			session_authorized(s, &m->authorized);
		break;
	case MESSAGE_settled:
		s = gate_session(g, m->settled.session);
		if (s)
			session_settled(s, &m->settled);
		break;
	case MESSAGE_mail_taken:
		s = gate_session(g, m->mail_taken.session);
		if (s)
			session_taken(s, &m->mail_taken);
		break;
	case MESSAGE_intake: g->intake = (enum fault)(m->intake.fault % FAULT_COUNT); break;
	case MESSAGE_revoked: on_revoked(g, &m->revoked); break;
	case MESSAGE_call: on_call(g, link, &m->call); break;
	default: break;
	}
}

static struct link **link_place(struct gate *g, enum role peer)
{
	return peer == ROLE_VAULT ? &g->vault : peer == ROLE_POST ? &g->post : &g->desk;
}

static void on_link_ended(void *self, struct link *link)
{
	struct gate *g = self;
	enum role peer = link_peer(link);

	TRAIL(&g->trail, EVENT_LINK_ENDED, TRAIL_TEXT("peer", span_of(role_name(peer))));
	link_close(link_place(g, peer));
	if (peer == ROLE_VAULT)
		each_session(g, session_vault_ended);
	if (peer == ROLE_POST)
		each_session(g, session_post_ended);
}

static void on_link_drained(void *self, struct link *link)
{
	struct gate *g = self;

	if (link_peer(link) == ROLE_POST)
		each_session(g, session_post_drained);
}

static const struct link_events peer_events = { .received = on_received, .ended = on_link_ended, .drained = on_link_drained };

static void gate_peer(void *self, enum role role, unsigned index, int fd)
{
	struct gate *g = self;
	struct link **place = link_place(g, role);

	if (*place) { /* the old one's end has not been noticed yet */
		on_link_ended(g, *place);
	}
	if (role == ROLE_POST)
		g->intake = FAULT_OK;
	*place = link_new_take(g->loop, fd, ROLE_GATE, role, index, &peer_events, g);
}

/* --- its face */

static void make_room(struct gate *g, const struct config *c)
{
	size_t room = (size_t)c->max_sessions + GATE_SPARE; /* for those that are told that there is no room */

	if (room > GATE_SESSIONS_MAX)
		room = GATE_SESSIONS_MAX;
	if (room <= g->room)
		return;
	g->sessions = realloc(g->sessions, room * sizeof(struct session *));
	g->generations = realloc(g->generations, room * sizeof *g->generations);
	if (!g->sessions || !g->generations)
		panic("out of memory");
	memset(g->sessions + g->room, 0, (room - g->room) * sizeof(struct session *));
	memset(g->generations + g->room, 0, (room - g->room) * sizeof *g->generations);
	g->room = room;
}

static void on_begun(void *self)
{
	struct gate *g = self;

	g->ready(g->host, FAULT_OK, SPAN(""));
}

static void gate_free(void **self)
{
	struct gate *g = *self;

	if (!g)
		return;
	entrances_free(&g->entrances);
	each_session(g, session_free);
	link_close(&g->vault);
	link_close(&g->post);
	link_close(&g->desk);
	timer_stop(&g->begun);
	for (size_t i = 0; i < g->room_count; i++)
		free(g->rooms[i]);
	free(g->sessions);
	free(g->generations);
	free(g);
	*self = NULL;
}

static enum fault gate_start(void **self_out, struct loop *loop, const struct role_start *s, char *why_out)
{
	struct gate *g = calloc(1, sizeof *g);
	void *self = g;
	enum fault f;

	if (!g)
		panic("out of memory");
	json_begin();
	g->loop = loop;
	g->index = s->index;
	g->config = s->config;
	g->ready = s->ready;
	g->drained = s->drained;
	g->host = s->host;
	trail_init(&g->trail, "gate", SPAN(""));
	timer_init(&g->begun, loop, on_begun, g);
	make_room(g, s->config);
	f = open_entrances(g, s, why_out);
	if (f != FAULT_OK) {
		gate_free(&self);
		return f;
	}
	timer_after(&g->begun, 0);
	*self_out = g;
	return FAULT_OK;
}

static enum fault gate_reload(void *self, const struct role_start *s, char *why_out)
{
	struct gate *g = self;
	enum fault f = open_entrances(g, s, why_out);

	if (f != FAULT_OK)
		return f;
	g->config = s->config;
	make_room(g, s->config);
	return FAULT_OK;
}

static void stop_for_restart(struct session *s)
{
	session_stop(s, FAULT_SHUTTING_DOWN);
}

static void gate_drain(void *self)
{
	struct gate *g = self;

	g->is_draining = true;
	entrances_free(&g->entrances);
	each_session(g, stop_for_restart);
	check_drained(g);
}

const struct role_face gate_role = {
	.role = ROLE_GATE,
	.start = gate_start,
	.peer = gate_peer,
	.reload = gate_reload,
	.drain = gate_drain,
	.free = gate_free,
};
