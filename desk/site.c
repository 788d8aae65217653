#include "desk/site.h"

#include "base/arena.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_BYTES = 64 * 1024, NAME_BYTES = 256 };

struct site {
	struct arena *arena;
	struct span url, redirect, authority; /* authority: host and port of `url` */
	struct span host_name;
	bool is_secure, is_made; /* made from a listener, not given as `public_url` */
	size_t proxy_count;
	struct network proxies[CONFIG_LIST_MAX];
};

/* --- hosts */

/* A host with its port, taken apart; the brackets of IPv6 go too. */
static struct span name_of(struct span host)
{
	size_t end;

	if (host.size && host.at[0] == '[') {
		end = span_find_byte(host, ']');
		return span_slice(host, 1, end ? end - 1 : 0);
	}
	return span_slice(host, 0, span_find_byte(host, ':'));
}

static bool is_digits(struct span name)
{
	struct address a;

	return name.size && name.at[0] != '/' && address_parse(&a, name, 0) && a.family != ADDRESS_PATH;
}

static bool is_loopback_name(struct span name)
{
	struct address a;

	if (span_equal_fold(name, SPAN("localhost")))
		return true;
	return is_digits(name) && address_parse(&a, name, 0) && address_is_loopback(&a);
}

/* --- made once */

static struct span own_name(struct arena *arena, const struct config *c)
{
	char name[NAME_BYTES] = "";

	if (c->host_name.size)
		return arena_copy(arena, c->host_name);
	if (gethostname(name, sizeof name - 1) || !name[0])
		return SPAN("localhost");
	return arena_copy(arena, span_of(name));
}

static struct span printed(struct arena *arena, const struct address *a)
{
	struct buf text;
	struct span copy;

	buf_init(&text, 128);
	address_print(&text, a, false);
	copy = a->family == ADDRESS_IPV6 ? arena_print(arena, "[%.*s]", SPAN_ARGS(buf_span(&text))) : arena_copy(arena, buf_span(&text));
	buf_free(&text);
	return copy;
}

static bool is_any(const struct address *a)
{
	static const unsigned char zeros[16];

	return !memcmp(a->bytes, zeros, a->family == ADDRESS_IPV4 ? 4 : 16);
}

/* Entra takes http as a redirect address for `localhost` alone, so loopback is always called that. */
static struct span host_of(struct site *s, const struct address *first, bool is_named)
{
	if (first->family == ADDRESS_NONE || address_is_loopback(first))
		return SPAN("localhost");
	return is_named || is_any(first) ? s->host_name : printed(s->arena, first);
}

static void make_url(struct site *s, const struct address *first, bool first_is_tls, bool is_named)
{
	struct span host = host_of(s, first, is_named);
	const char *scheme = first_is_tls ? "https" : "http";

	s->is_made = true;
	s->is_secure = first_is_tls;
	s->url = first->port && first->port != (first_is_tls ? 443 : 80)
			 ? arena_print(s->arena, "%s://%.*s:%u", scheme, SPAN_ARGS(host), first->port)
			 : arena_print(s->arena, "%s://%.*s", scheme, SPAN_ARGS(host));
}

static bool take_url(struct site *s, struct span url)
{
	struct span rest;

	while (url.size && url.at[url.size - 1] == '/')
		url.size--;
	s->is_secure = span_starts_fold(url, SPAN("https://"));
	if (!s->is_secure && !span_starts_fold(url, SPAN("http://")))
		return false;
	rest = span_slice(url, s->is_secure ? 8 : 7, url.size);
	if (!rest.size || span_find_byte(rest, '/') != rest.size || span_find_byte(rest, '@') != rest.size ||
	    span_find_byte(rest, '?') != rest.size || span_find_byte(rest, '#') != rest.size || span_find_byte(rest, ' ') != rest.size)
		return false;
	s->url = arena_copy(s->arena, url);
	return s->is_secure || is_loopback_name(name_of(rest));
}

enum fault site_new(struct site **out, const struct config *c, const struct address *first, bool first_is_tls, char *why_out)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct site *s = arena_take(arena, sizeof *s);

	*out = s;
	s->arena = arena;
	s->host_name = own_name(arena, c);
	if (!c->public_url.size) {
		make_url(s, first, first_is_tls, c->host_name.size != 0);
	} else if (!take_url(s, c->public_url)) {
		snprintf(why_out, 256, "public_url: https://HOST is wanted, without a path (http only for localhost)");
		site_free(out);
		return FAULT_MALFORMED;
	}
	for (size_t i = 0; i < c->trusted_proxies.count; i++)
		if (!network_parse(&s->proxies[s->proxy_count++], c->trusted_proxies.items[i])) {
			snprintf(why_out, 256, "trusted_proxies: a network is wanted");
			site_free(out);
			return FAULT_MALFORMED;
		}
	s->authority = span_slice(s->url, s->is_secure ? 8 : 7, s->url.size);
	s->redirect = arena_print(arena, "%.*s/oauth/callback", SPAN_ARGS(s->url));
	return FAULT_OK;
}

void site_free(struct site **site)
{
	struct arena *arena;

	if (!*site)
		return;
	arena = (*site)->arena;
	arena_free(&arena);
	*site = NULL;
}

struct span site_url(const struct site *s)
{
	return s->url;
}

struct span site_redirect(const struct site *s)
{
	return s->redirect;
}

bool site_is_secure(const struct site *s)
{
	return s->is_secure;
}

/* --- per request */

static bool is_proxy(const struct site *s, const struct address *a)
{
	for (size_t i = 0; i < s->proxy_count; i++)
		if (network_holds(&s->proxies[i], a))
			return true;
	return false;
}

/* Each proxy appends whom it saw, so the list is read from its end until the first that is not one of ours. */
static struct address real_client(const struct site *s, struct span forwarded, const struct address *peer)
{
	struct address client = *peer, next;

	while (forwarded.size && is_proxy(s, &client)) {
		size_t comma = forwarded.size;

		while (comma && forwarded.at[comma - 1] != ',')
			comma--;
		if (!address_parse(&next, span_trim(span_slice(forwarded, comma, forwarded.size)), 0) || next.family == ADDRESS_PATH)
			return (struct address){ 0 }; /* nobody we know */
		client = next;
		forwarded = span_slice(forwarded, 0, comma ? comma - 1 : 0);
	}
	return client;
}

static struct span last_item(struct span list)
{
	size_t comma = list.size;

	while (comma && list.at[comma - 1] != ',')
		comma--;
	return span_trim(span_slice(list, comma, list.size));
}

struct site_visit site_visit(const struct site *s, const struct http_exchange *x)
{
	const struct http_seen *seen = http_seen(x);
	struct site_visit v = { .client = seen->peer, .host = seen->host, .secure = seen->tls };
	struct span said;

	v.is_claimed = http_header_last(x, SPAN("X-Forwarded-For")).size || http_header(x, SPAN("Forwarded")).size;
	if (seen->peer.family == ADDRESS_PATH || seen->peer.family == ADDRESS_NONE || !is_proxy(s, &seen->peer))
		return v;
	v.client = real_client(s, http_header_last(x, SPAN("X-Forwarded-For")), &seen->peer);
	v.via_proxy = true;
	said = last_item(http_header_last(x, SPAN("X-Forwarded-Proto")));
	if (said.size)
		v.secure = span_equal_fold(said, SPAN("https"));
	said = last_item(http_header_last(x, SPAN("X-Forwarded-Host")));
	if (said.size)
		v.host = said;
	return v;
}

bool site_knows(const struct site *s, const struct site_visit *v)
{
	struct span name = name_of(v->host);

	return name.size && (is_digits(name) || span_equal_fold(name, SPAN("localhost")) || span_equal_fold(name, s->host_name) ||
			     span_equal_fold(name, name_of(s->authority)));
}

struct span site_better(const struct site *s, const struct site_visit *v)
{
	struct span ours = name_of(s->authority), name = name_of(v->host);

	if (!s->is_made || v->via_proxy || span_equal_fold(ours, name) || !is_loopback_name(ours) || !is_loopback_name(name))
		return SPAN("");
	return s->url;
}

bool site_is_ours(const struct site *s, const struct site_visit *v, struct span fetch_site, struct span origin)
{
	struct span rest = origin;

	if (fetch_site.size)
		return span_equal(fetch_site, SPAN("same-origin")) || span_equal(fetch_site, SPAN("none"));
	if (!origin.size) /* no browser of these years: there is no page that could have caused it */
		return true;
	if (span_equal_fold(origin, s->url))
		return true;
	if (!span_starts_fold(rest, v->secure ? SPAN("https://") : SPAN("http://")))
		return false;
	return span_equal_fold(span_slice(rest, v->secure ? 8 : 7, rest.size), v->host);
}

bool site_may_measure(const struct site *s, const struct site_visit *v)
{
	if (v->is_claimed && !v->via_proxy)
		return false;
	return v->client.family != ADDRESS_NONE && (address_is_loopback(&v->client) || is_proxy(s, &v->client));
}
