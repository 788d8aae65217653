#include "desk/desk.h"

#include "base/panic.h"
#include "desk/visit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DRAIN_STEP_MS = 20 };

#define CONTROL_NAME SPAN("control")

/* --- requests */

static visit_handler *const handlers[] = {
#define ROUTE(handler, ...) [ROUTE_##handler] = visit_##handler,
#include "tables/routes.def"
#undef ROUTE
	[ROUTE_operation] = visit_operation,
};

static bool is_safe(struct span method)
{
	return span_equal(method, SPAN("GET")) || span_equal(method, SPAN("HEAD"));
}

static enum fault check_public(struct visit *v)
{
	const struct site *site = v->desk->site;

	v->from = site_visit(site, v->exchange);
	if (!site_knows(site, &v->from))
		return FAULT_HOST_UNKNOWN;
	if (!is_safe(http_seen(v->exchange)->method) &&
	    !site_is_ours(site, &v->from, http_header(v->exchange, SPAN("Sec-Fetch-Site")), http_header(v->exchange, SPAN("Origin"))))
		return FAULT_ORIGIN_FOREIGN;
	return FAULT_OK;
}

static enum fault check_control(struct visit *v)
{
	const struct http_seen *seen = http_seen(v->exchange);

	roster_name(v->desk->roster, seen->peer_uid, &v->actor);
	if (roster_admits(v->desk->roster, seen->peer_uid, seen->peer_gid))
		return FAULT_OK;
	TRAIL(&v->desk->trail, EVENT_CONTROL_REFUSED, TRAIL_TEXT("actor", buf_span(&v->actor)), TRAIL_NUMBER("uid", seen->peer_uid),
	      TRAIL_NUMBER("pid", seen->peer_pid));
	return FAULT_FORBIDDEN;
}

static enum fault check(struct visit *v)
{
	const struct http_seen *seen = http_seen(v->exchange);
	enum fault f = v->realm == ROUTE_CONTROL ? check_control(v) : check_public(v);

	if (f != FAULT_OK && v->realm == ROUTE_PUBLIC)
		TRAIL(&v->desk->trail, EVENT_VISIT_REFUSED, TRAIL_TEXT("remote", visit_remote(v)), TRAIL_TEXT("host", v->from.host),
		      TRAIL_TEXT("fault", span_of(fault_row(f)->name)));
	return f != FAULT_OK ? f : route_find(&v->route, v->realm, seen->method, seen->path);
}

static void on_request(void *self, struct http_exchange *x)
{
	struct door *d = self;
	struct visit *v = calloc(1, sizeof *v);
	enum fault f;

	if (!v)
		panic("out of memory");
	v->desk = d->desk;
	v->exchange = x;
	v->realm = d->realm;
	v->language = page_language(http_header(x, SPAN("Accept-Language")), LANGUAGE_EN);
	buf_init(&v->actor, 256);
	v->route.allow = "";
	d->desk->visits++;
	f = d->desk->is_draining ? FAULT_SHUTTING_DOWN : check(v);
	if (f == FAULT_OK)
		handlers[v->route.handler](v);
	else
		visit_fault(v, f, SPAN(""));
}

/* --- doors */

static void door_free(struct door *d)
{
	if (d->fd >= 0)
		close(d->fd);
	http_server_finish(&d->server);
	if (d->tls)
		tls_drop(&d->tls);
	free(d);
}

static void doors_free(struct door **list)
{
	while (*list) {
		struct door *next = (*list)->next;

		door_free(*list);
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
	const struct tls_server_settings settings = {
		.certificate_pem = role_file(s, SPAN("certificate"), l->name),
		.key_pem = role_file(s, SPAN("key"), l->name),
		.second_certificate_pem = role_file(s, SPAN("rsa_certificate"), l->name),
		.second_key_pem = role_file(s, SPAN("rsa_key"), l->name),
		.lowest = version_of(l->lowest_tls),
		.alpn = SPAN("http/1.1"),
	};
	const char *why = "";
	enum fault f;

	if (span_equal(l->tls, SPAN("none"))) {
		if (address_is_loopback(&d->address))
			return FAULT_OK;
		snprintf(why_out, 256, "listener %.*s: http without TLS is for loopback alone", SPAN_ARGS(l->name));
		return FAULT_MALFORMED;
	}
	if (!span_equal(l->tls, SPAN("implicit"))) {
		snprintf(why_out, 256, "listener %.*s: tls must be implicit, or none on loopback, where the protocol is http", SPAN_ARGS(l->name));
		return FAULT_MALFORMED;
	}
	f = tls_server_new(&d->tls, &settings, &why);
	if (f != FAULT_OK)
		snprintf(why_out, 256, "certificate of listener %.*s: %s", SPAN_ARGS(l->name), why);
	return f;
}

static enum fault door_new(struct door **out, struct desk *desk, const struct role_listener *given, const struct role_start *s, char *why_out)
{
	const struct config_listener *l = listener_named(s->config, given->name);
	bool is_control = span_equal(given->name, CONTROL_NAME);
	enum fault f = FAULT_OK;
	struct door *d;

	*out = NULL;
	if (!l && !is_control) {
		close(given->fd);
		return FAULT_OK;
	}
	d = calloc(1, sizeof *d);
	if (!d)
		panic("out of memory");
	*d = (struct door){ .desk = desk, .realm = is_control ? ROUTE_CONTROL : ROUTE_PUBLIC, .name = is_control ? CONTROL_NAME : l->name,
			    .address = listener_address(given->fd), .fd = given->fd };
	if (!is_control)
		f = door_tls(d, l, s, why_out);
	if (f == FAULT_OK)
		*out = d;
	else
		door_free(d);
	return f;
}

/* Every listener given, none of them served yet; or none at all. */
static enum fault doors_new(struct door **out, struct desk *desk, const struct role_start *s, char *why_out)
{
	struct door **end = out;
	enum fault f = FAULT_OK;

	*out = NULL;
	for (size_t i = 0; i < s->listener_count; i++) {
		if (f == FAULT_OK)
			f = door_new(end, desk, &s->listeners[i], s, why_out);
		else
			close(s->listeners[i].fd);
		if (*end)
			end = &(*end)->next;
	}
	if (f != FAULT_OK)
		doors_free(out);
	return f;
}

/* The door in force at the same address, taken out of its list; NULL when there is none. */
static struct door *take_same(struct door **list, const struct door *wanted)
{
	for (struct door **at = list; *at; at = &(*at)->next) {
		struct door *d = *at;

		if (d->realm == wanted->realm && address_equal(&d->address, &wanted->address) && d->address.port == wanted->address.port) {
			*at = d->next;
			return d;
		}
	}
	return NULL;
}

/* Puts `fresh` in force. Where a socket is served already, connections go on, and only the certificate changes. */
static void doors_serve(struct desk *desk, struct door *fresh)
{
	struct door *next, **end = &desk->doors, *before = desk->doors;

	for (; fresh; fresh = next) {
		const struct http_server_settings settings = { .local = fresh->realm == ROUTE_CONTROL };
		struct door *same = take_same(&before, fresh);

		next = fresh->next;
		if (same) {
			struct tls *tls = same->tls;

			same->name = fresh->name;
			same->tls = fresh->tls;
			fresh->tls = tls;
			http_server_tls(same->server, same->tls);
			door_free(fresh);
		} else {
			same = fresh;
			same->server = http_server_new(desk->loop, same->fd, same->tls, &settings, on_request, same);
			same->fd = -1;
		}
		*end = same;
		end = &same->next;
	}
	*end = NULL;
	doors_free(&before);
}

/* --- all that a configuration gives, made anew as a whole or not at all */

static const struct door *first_public(const struct door *d)
{
	while (d && d->realm != ROUTE_PUBLIC)
		d = d->next;
	return d;
}

static struct roster *roster_of(const struct role_start *s)
{
	return roster_new(&(struct roster_settings){ .passwd = role_file(s, SPAN("passwd"), SPAN("")),
						     .group = role_file(s, SPAN("group"), SPAN("")),
						     .group_name = s->config->control_group,
						     .user_name = s->config->user,
						     .own_uid = geteuid() });
}

static enum fault put_in_force(struct desk *desk, const struct role_start *s, char *why_out)
{
	static const struct address nowhere;
	struct door *doors;
	const struct door *first;
	struct site *site = NULL;
	enum fault f = doors_new(&doors, desk, s, why_out);

	if (f != FAULT_OK)
		return f;
	first = first_public(doors);
	f = site_new(&site, s->config, first ? &first->address : &nowhere, first && first->tls, why_out);
	if (f != FAULT_OK) {
		doors_free(&doors);
		return f;
	}
	site_free(&desk->site);
	roster_free(&desk->roster);
	desk->site = site;
	desk->roster = roster_of(s);
	desk->config = s->config;
	doors_serve(desk, doors);
	return FAULT_OK;
}

/* --- its face */

static void on_later(void *self)
{
	struct desk *desk = self;

	if (!desk->is_draining) {
		desk->ready(desk->host, FAULT_OK, SPAN(""));
		return;
	}
	if (desk->visits) {
		timer_after(&desk->later, DRAIN_STEP_MS);
		return;
	}
	if (!desk->said_drained)
		desk->drained(desk->host);
	desk->said_drained = true;
}

static void desk_free(void **self)
{
	struct desk *desk = *self;

	if (!desk)
		return;
	desk->is_draining = true;
	errands_free(&desk->errands);
	doors_free(&desk->doors);
	site_free(&desk->site);
	roster_free(&desk->roster);
	timer_stop(&desk->later);
	free(desk);
	*self = NULL;
}

static enum fault desk_start(void **self_out, struct loop *loop, const struct role_start *s, char *why_out)
{
	struct desk *desk = calloc(1, sizeof *desk);
	void *self = desk;
	enum fault f;

	if (!desk)
		panic("out of memory");
	json_begin();
	desk->loop = loop;
	desk->ready = s->ready;
	desk->drained = s->drained;
	desk->host = s->host;
	trail_init(&desk->trail, "desk", SPAN(""));
	timer_init(&desk->later, loop, on_later, desk);
	desk->errands = errands_new(loop, &desk->trail);
	f = put_in_force(desk, s, why_out);
	if (f != FAULT_OK) {
		desk_free(&self);
		return f;
	}
	timer_after(&desk->later, 0);
	*self_out = desk;
	return FAULT_OK;
}

static void desk_peer(void *self, enum role role, unsigned index, int fd)
{
	struct desk *desk = self;

	errands_peer(desk->errands, role, index, fd);
}

static enum fault desk_reload(void *self, const struct role_start *s, char *why_out)
{
	return put_in_force(self, s, why_out);
}

static void desk_drain(void *self)
{
	struct desk *desk = self;

	desk->is_draining = true;
	doors_free(&desk->doors);
	timer_after(&desk->later, DRAIN_STEP_MS);
}

const struct role_face desk_role = {
	.role = ROLE_DESK,
	.start = desk_start,
	.peer = desk_peer,
	.reload = desk_reload,
	.drain = desk_drain,
	.free = desk_free,
};
