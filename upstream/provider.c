#include "upstream/provider.h"

#include "base/clock.h"
#include "base/panic.h"
#include "wire/assertion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WHY_BYTES = 256,
	ARENA_BYTES = 4 * 1024 * 1024,
	FETCH_MS = 20000,
	KEEP_MS = 24 * 3600 * 1000,
	KEEP_FAILURE_MS = 60 * 1000,
	KEYS_FRESH_MS = 5 * 60 * 1000,
	URL_BYTES_MAX = 2048,
	ASSERTION_MS = 10 * 60 * 1000,
	SERVICE_MS = 60 * 60 * 1000,
};

#define NONE PROVIDER_ACCOUNT_NONE
#define TENANT PROVIDER_ACCOUNT_TENANT
#define SUBJECT PROVIDER_ACCOUNT_SUBJECT
#define HINT_ALONE 1
#define BY_ADDRESS 2
#define NO_TLS PROVIDER_NO_TLS
#define STARTTLS PROVIDER_STARTTLS
#define IMPLICIT PROVIDER_IMPLICIT
#define NO_LOGIN PROVIDER_NO_LOGIN
#define XOAUTH2 PROVIDER_XOAUTH2
#define OAUTHBEARER PROVIDER_OAUTHBEARER
#define TEXT(literal) { "" literal, sizeof literal - 1 }

static const struct provider_kind kinds[] = {
#define PROVIDER(kind, title, account, quirks, tenant, login, issuer, authorize, token, device, keys, userinfo, scopes, host, port, tls, mechanism, \
		 prompt, extra, application)                                                                                                    \
	{ TEXT(kind), TEXT(title), account, (quirks) & HINT_ALONE, (quirks) & BY_ADDRESS, TEXT(tenant), TEXT(login), TEXT(issuer),           \
	  TEXT(authorize), TEXT(token), TEXT(device), TEXT(keys), TEXT(userinfo), TEXT(scopes), TEXT(host), port, tls, mechanism, TEXT(prompt), TEXT(extra), TEXT(application) },
#include "tables/providers.def"
#undef PROVIDER
};

/* Who waits for endpoints or keys. */
struct waiter {
	struct waiter *next;
	provider_found *found;
	provider_got_keys *got_keys;
	void *self;
};

/* Something fetched, kept for a while, and awaited. */
struct fetched {
	struct provider *provider;
	struct http_fetch *fetch;
	struct waiter *waiters;
	enum fault fault;
	char why[WHY_BYTES];
	int64_t at_ms; /* loop time of the last answer */
	bool is_known;
	void (*answer)(struct provider *, struct waiter *);
};

struct provider {
	struct loop *loop;
	struct http_client *http;
	struct arena *arena;
	struct provider_row row;
	const struct provider_kind *kind;
	struct secret *secret;
	struct signing_key *key;
	struct service_key service; /* empty where the secret is a client's */
	struct fetched discovery, keys;
	struct arena *discovered;
	struct provider_endpoints endpoints;
	struct buf key_set;
	int64_t quiet_until_ms;
};

const struct provider_kind *provider_kind_named(struct span name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (span_equal_fold(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

/* What stands between "//" and the next "/", ":" or the end; of "[::1]:3443" the brackets too. */
static struct span host_of(struct span url)
{
	struct span rest = span_slice(url, span_find(url, SPAN("//")) + 2, url.size);
	size_t size = 0, end = span_find_byte(rest, ']');

	if (rest.size && *rest.at == '[' && end < rest.size)
		return span_slice(rest, 0, end + 1);
	while (size < rest.size && !strchr("/:?#", rest.at[size]))
		size++;
	return span_slice(rest, 0, size);
}

static bool is_loopback_name(struct span host)
{
	struct address a;

	if (span_equal_fold(host, SPAN("localhost")))
		return true;
	return address_parse(&a, host, 0) && address_is_loopback(&a);
}

/* An address that a browser or a token may be sent to. */
static bool is_safe_url(struct span url)
{
	for (size_t i = 0; i < url.size; i++)
		if (url.at[i] <= ' ' || url.at[i] > '~' || url.at[i] == '@')
			return false;
	if (url.size > URL_BYTES_MAX || !host_of(url).size)
		return false;
	return span_starts_fold(url, SPAN("https://")) || (span_starts_fold(url, SPAN("http://")) && is_loopback_name(host_of(url)));
}

static enum fault wrong(char *why_out, const char *what, struct span value)
{
	snprintf(why_out, WHY_BYTES, "%s: %.*s", what, (int)(value.size < 128 ? value.size : 128), value.at);
	return FAULT_MALFORMED;
}

/* Known by its address or certificate, over TLS: what else it would sign in with would not be asked for. */
static enum fault check_connector(const struct provider_row *row, char *why_out)
{
	struct address source;

	if (!row->tenant.size && !row->smtp_host.size)
		return wrong(why_out, "tenant (the organisation's domain, whose MX is looked up) or smtp-host is needed for this kind", row->kind);
	if (row->source.size && (!address_parse(&source, row->source, 0) || source.family == ADDRESS_PATH))
		return wrong(why_out, "source must be an address of this machine", row->source);
	if (row->mechanism > PROVIDER_NO_LOGIN)
		return wrong(why_out, "mechanism is none for this kind", (struct span){ "", 0 });
	if (row->smtp_tls == PROVIDER_NO_TLS && !is_loopback_name(row->smtp_host)) {
		wrong(why_out, "smtp-tls may be none on this machine only, not for", row->smtp_host.size ? row->smtp_host : row->tenant);
		return FAULT_TLS_MISSING;
	}
	return FAULT_OK;
}

enum fault provider_check(const struct provider_row *row, char *why_out)
{
	const struct provider_kind *kind = provider_kind_named(row->kind);
	struct span host = row->smtp_host;

	if (!kind)
		return wrong(why_out, "kind is not known", row->kind);
	if (!host.size)
		host = kind->host;
	if (!kind->is_connector && (row->source.size || row->certificate.size))
		return wrong(why_out, "source and certificate are for the kind connector, not", row->kind);
	if (kind->is_connector)
		return check_connector(row, why_out);
	if (!host.size)
		return wrong(why_out, "smtp-host is needed for this kind", row->kind);
	if (kind->account != PROVIDER_ACCOUNT_NONE && !kind->authorize.size && !row->issuer.size)
		return wrong(why_out, "issuer is needed for this kind", row->kind);
	if (row->access == PROVIDER_APPLICATION && (!kind->application.size || !row->client_id.size))
		return wrong(why_out, "access application needs a Microsoft 365 organisation and a client-id, not", row->kind);
	if (row->issuer.size && !is_safe_url(row->issuer))
		return wrong(why_out, "issuer must be an https address", row->issuer);
	if (row->smtp_port < 0 || row->smtp_port > 65535)
		return wrong(why_out, "smtp-port must be a port", (struct span){ "", 0 });
	if (row->smtp_tls == PROVIDER_NO_TLS && !is_loopback_name(host)) {
		wrong(why_out, "smtp-tls may be none on this machine only, not for", host);
		return FAULT_TLS_MISSING;
	}
	return FAULT_OK;
}

/* `{tenant}` replaced, and the login host put before a path. */
static struct span filled(const struct provider *p, struct span pattern)
{
	struct span tenant = p->row.tenant.size ? p->row.tenant : p->kind->tenant, mark = SPAN("{tenant}");
	struct span login = pattern.size && *pattern.at == '/' ? p->kind->login : (struct span){ "", 0 };
	size_t at = span_find(pattern, mark);

	if (at == pattern.size)
		return arena_print(p->arena, "%.*s%.*s", SPAN_ARGS(login), SPAN_ARGS(pattern));
	return arena_print(p->arena, "%.*s%.*s%.*s%s", SPAN_ARGS(login), (int)at, pattern.at, SPAN_ARGS(tenant), pattern.at + at + mark.size);
}

static void answer_endpoints(struct provider *p, struct waiter *w)
{
	w->found(w->self, p->discovery.fault, span_of(p->discovery.why), &p->endpoints);
}

static void answer_keys(struct provider *p, struct waiter *w)
{
	w->got_keys(w->self, p->keys.fault, buf_span(&p->key_set));
}

static void copy_row(struct provider *p, const struct provider_row *row)
{
	p->row = *row;
	p->row.name = arena_copy(p->arena, row->name);
	p->row.kind = arena_copy(p->arena, row->kind);
	p->row.tenant = arena_copy(p->arena, row->tenant);
	p->row.client_id = arena_copy(p->arena, row->client_id);
	p->row.issuer = arena_copy(p->arena, row->issuer);
	p->row.scopes = arena_copy(p->arena, row->scopes);
	p->row.smtp_host = arena_copy(p->arena, row->smtp_host);
	p->row.source = arena_copy(p->arena, row->source);
	p->row.certificate = arena_copy(p->arena, row->certificate);
	p->row.seen_address = p->row.registered_address = (struct span){ "", 0 }; /* they change; the row has them */
}

/* A key file tells itself from a client's secret. It was read before it was stored. */
static void take_service(struct provider *p)
{
	if (span_starts(secret_borrow(p->secret), SPAN("{")) && service_key_read(&p->service, secret_borrow(p->secret)) != FAULT_OK)
		service_key_free(&p->service);
}

struct provider *provider_new_take(struct loop *loop, struct http_client *http, const struct provider_row *row, struct secret *secret, struct signing_key *key)
{
	struct provider *p = calloc(1, sizeof *p);

	if (!p)
		panic("out of memory");
	*p = (struct provider){ .loop = loop, .http = http, .arena = arena_new(ARENA_BYTES), .secret = secret, .key = key,
				.kind = provider_kind_named(row->kind) };
	ASSERT(p->kind);
	copy_row(p, row);
	take_service(p);
	p->discovery = (struct fetched){ .provider = p, .answer = answer_endpoints };
	p->keys = (struct fetched){ .provider = p, .answer = answer_keys };
	buf_init(&p->key_set, OAUTH_ANSWER_BYTES);
	if (p->row.issuer.size)
		return p;
	p->endpoints = (struct provider_endpoints){ filled(p, p->kind->issuer), filled(p, p->kind->authorize), filled(p, p->kind->token),
						    filled(p, p->kind->device), filled(p, p->kind->keys), filled(p, p->kind->userinfo) };
	p->discovery.is_known = true;
	return p;
}

static void answer_all(struct provider *p, struct fetched *f)
{
	struct waiter *next, *w = f->waiters;

	for (f->waiters = NULL; w; w = next) {
		next = w->next;
		if (w->self)
			f->answer(p, w);
		free(w);
	}
}

void provider_free(struct provider **provider)
{
	struct provider *p = *provider;

	if (!p)
		return;
	http_cancel(&p->discovery.fetch);
	http_cancel(&p->keys.fetch);
	p->discovery.fault = p->keys.fault = FAULT_CLOSED;
	snprintf(p->discovery.why, sizeof p->discovery.why, "the settings of the provider changed");
	answer_all(p, &p->discovery);
	answer_all(p, &p->keys);
	buf_free(&p->key_set);
	service_key_free(&p->service);
	secret_free(&p->secret);
	signing_key_free(&p->key);
	arena_free(&p->discovered);
	arena_free(&p->arena);
	free(p);
	*provider = NULL;
}

const struct provider_row *provider_row(const struct provider *p)
{
	return &p->row;
}

const struct provider_kind *provider_kind(const struct provider *p)
{
	return p->kind;
}

struct span provider_host(const struct provider *p)
{
	return p->row.smtp_host.size ? p->row.smtp_host : p->kind->host;
}

uint16_t provider_port(const struct provider *p)
{
	return p->row.smtp_port ? (uint16_t)p->row.smtp_port : p->kind->port;
}

enum provider_tls provider_tls(const struct provider *p)
{
	return p->row.smtp_tls < 0 ? p->kind->tls : (enum provider_tls)p->row.smtp_tls;
}

enum provider_mechanism provider_mechanism(const struct provider *p)
{
	return p->row.mechanism < 0 ? p->kind->mechanism : (enum provider_mechanism)p->row.mechanism;
}

enum provider_mechanism provider_password_mechanism(const struct provider *p)
{
	enum provider_mechanism chosen = provider_mechanism(p);

	if (chosen == PROVIDER_PLAIN || chosen == PROVIDER_LOGIN)
		return chosen;
	return provider_kind(p)->account == PROVIDER_ACCOUNT_TENANT ? PROVIDER_LOGIN : PROVIDER_PLAIN;
}

bool provider_is_application(const struct provider *p)
{
	return p->row.access == PROVIDER_APPLICATION;
}

static struct provider_limits limits_of_kind(struct span kind)
{
	static const struct {
		const char *kind;
		struct provider_limits limits;
	} rows[] = {
#define PROVIDER_LIMITS(kind, messages_per_minute, recipients_per_day, connections) { kind, { messages_per_minute, recipients_per_day, connections } },
#include "tables/provider_limits.def"
#undef PROVIDER_LIMITS
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(kind, span_of(rows[i].kind)))
			return rows[i].limits;
	return (struct provider_limits){ 0 };
}

struct provider_limits provider_limits(const struct provider *p)
{
	struct provider_limits limits = limits_of_kind(p->kind->name);

	if (p->row.messages_per_minute >= 0)
		limits.messages_per_minute = (uint32_t)p->row.messages_per_minute;
	if (p->row.recipients_per_day >= 0)
		limits.recipients_per_day = (uint32_t)p->row.recipients_per_day;
	if (p->row.connections >= 0)
		limits.connections = (uint32_t)p->row.connections;
	return limits;
}

struct oauth_client provider_client(const struct provider *p)
{
	struct span scopes = provider_is_application(p) ? p->kind->application : p->kind->scopes;

	struct span secret = p->service.key ? (struct span){ "", 0 } : secret_borrow(p->secret);

	return (struct oauth_client){ p->row.client_id, secret, p->row.scopes.size ? p->row.scopes : scopes, { "", 0 } };
}

const struct signing_key *provider_key(const struct provider *p)
{
	return p->key;
}

bool provider_prove(const struct provider *p, struct span audience, struct oauth_client *client, struct buf *out)
{
	const struct assertion a = { .kind = SIGNATURE_PS256, .issuer = p->row.client_id, .subject = p->row.client_id, .audience = audience,
				     .wall_ms = clock_wall_ms(), .life_ms = ASSERTION_MS };

	if (!p->key)
		return true;
	if (!assertion_put(out, &a, p->key))
		return false;
	client->client_assertion = buf_span(out);
	return true;
}

bool provider_has_secret(const struct provider *p)
{
	return p->secret && !p->service.key;
}

struct span provider_secret(const struct provider *p)
{
	return secret_borrow(p->secret);
}

const struct service_key *provider_service(const struct provider *p)
{
	return p->service.key ? &p->service : NULL;
}

/* A service account is granted Google's own scopes; those of OpenID are for people who sign in. */
static void put_granted(struct buf *out, struct span scopes)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one))
		if (span_starts(one, SPAN("https://")))
			buf_print(out, "%s%.*s", out->size ? " " : "", SPAN_ARGS(one));
}

bool provider_assert(const struct provider *p, struct span address, struct span audience, struct buf *out)
{
	struct assertion a = { .kind = SIGNATURE_RS256, .issuer = p->service.email, .subject = address, .audience = audience, .key_id = p->service.key_id,
			       .wall_ms = clock_wall_ms(), .life_ms = SERVICE_MS };
	struct buf scopes;
	bool good;

	buf_init(&scopes, URL_BYTES_MAX);
	put_granted(&scopes, provider_client(p).scope);
	a.scope = buf_span(&scopes);
	good = assertion_put(out, &a, p->service.key);
	buf_free(&scopes);
	return good;
}

static void fetch(struct provider *p, struct fetched *f, struct span url, http_done *done)
{
	static const struct http_header accept = { SPAN("Accept"), SPAN("application/json") };
	const struct http_request request = { .method = SPAN("GET"), .url = url, .headers = &accept, .header_count = 1,
					      .timeout_ms = FETCH_MS, .answer_bytes_max = OAUTH_ANSWER_BYTES };

	f->fetch = http_fetch(p->http, &request, done, p);
}

/* Joins those who wait; true when a fetch has to be started. */
static bool join(struct fetched *f, provider_found *found, provider_got_keys *got_keys, void *self)
{
	struct waiter *w = calloc(1, sizeof *w), **end = &f->waiters;

	if (!w)
		panic("out of memory");
	*w = (struct waiter){ NULL, found, got_keys, self };
	while (*end)
		end = &(*end)->next;
	*end = w;
	return !f->fetch;
}

static void ended(struct fetched *f, enum fault fault, struct span why)
{
	f->fault = fault;
	f->is_known = fault == FAULT_OK;
	f->at_ms = loop_now_ms(f->provider->loop);
	snprintf(f->why, sizeof f->why, "%.*s", (int)(why.size < WHY_BYTES ? why.size : WHY_BYTES - 1), why.at);
	answer_all(f->provider, f);
}

static enum fault take_discovery(struct provider *p, const struct oauth_answer *a)
{
	const struct span *urls[] = { &a->authorize_url, &a->token_url };
	struct arena *arena = p->discovered;

	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
		if (!is_safe_url(*urls[i]))
			return FAULT_UPSTREAM_BROKEN;
	/* Microsoft's document names the tenant's number, or a mark for it, whatever name of the tenant was asked. */
	if (p->kind->account == PROVIDER_ACCOUNT_SUBJECT && !span_equal(a->issuer, p->row.issuer))
		return FAULT_ID_TOKEN_WRONG;
	/* Whoever was given the old ones is done with them when its call returns. */
	p->discovered = arena_new(ARENA_BYTES);
	p->endpoints = (struct provider_endpoints){ arena_copy(p->discovered, a->issuer), arena_copy(p->discovered, a->authorize_url),
						    arena_copy(p->discovered, a->token_url), arena_copy(p->discovered, a->device_url),
						    arena_copy(p->discovered, a->jwks_url), arena_copy(p->discovered, a->userinfo_url) };
	arena_free(&arena);
	return FAULT_OK;
}

static void discovered(void *self, const struct http_answer *answer)
{
	struct provider *p = self;
	struct oauth_answer a = { 0 };
	enum fault fault = answer->fault;
	struct span why = answer->why;

	p->discovery.fetch = NULL;
	if (fault == FAULT_OK) {
		fault = oauth_read_discovery(&a, answer->status, answer->body);
		if (fault == FAULT_OK)
			fault = take_discovery(p, &a);
		why = fault == FAULT_OK		      ? SPAN("")
		      : fault == FAULT_ID_TOKEN_WRONG ? SPAN("the discovery document names another issuer")
						      : SPAN("no discovery document where the issuer should have one");
		oauth_answer_free(&a);
	}
	ended(&p->discovery, fault, why);
}

void provider_endpoints(struct provider *p, provider_found *done, void *self)
{
	struct waiter w = { .found = done, .self = self };
	int64_t age_ms = loop_now_ms(p->loop) - p->discovery.at_ms;
	char url[URL_BYTES_MAX + 64];

	if (!p->row.issuer.size || (p->discovery.is_known && age_ms < KEEP_MS) ||
	    (p->discovery.fault != FAULT_OK && age_ms < KEEP_FAILURE_MS)) {
		answer_endpoints(p, &w);
		return;
	}
	if (!join(&p->discovery, done, NULL, self))
		return;
	snprintf(url, sizeof url, "%.*s%s.well-known/openid-configuration", SPAN_ARGS(p->row.issuer),
		 p->row.issuer.at[p->row.issuer.size - 1] == '/' ? "" : "/");
	fetch(p, &p->discovery, span_of(url), discovered);
}

static void keys_came(void *self, const struct http_answer *answer)
{
	struct provider *p = self;
	enum fault fault = answer->fault;

	p->keys.fetch = NULL;
	if (fault == FAULT_OK && answer->status != 200)
		fault = FAULT_UPSTREAM_BROKEN;
	if (fault == FAULT_OK) {
		buf_clear(&p->key_set);
		buf_put(&p->key_set, answer->body);
	}
	ended(&p->keys, fault, answer->why);
}

void provider_keys(struct provider *p, bool fresh, provider_got_keys *done, void *self)
{
	struct waiter w = { .got_keys = done, .self = self };
	int64_t age_ms = loop_now_ms(p->loop) - p->keys.at_ms;
	bool known = p->keys.is_known && age_ms < (fresh ? KEYS_FRESH_MS : KEEP_MS);

	if (known || (p->keys.fault != FAULT_OK && age_ms < KEEP_FAILURE_MS)) {
		answer_keys(p, &w);
		return;
	}
	if (!p->endpoints.keys.size) {
		done(self, FAULT_NOT_FOUND, (struct span){ "", 0 });
		return;
	}
	if (join(&p->keys, NULL, done, self))
		fetch(p, &p->keys, p->endpoints.keys, keys_came);
}

static void forget_in(struct fetched *f, const void *self)
{
	for (struct waiter *w = f->waiters; w; w = w->next)
		if (w->self == self)
			w->self = NULL;
}

void provider_forget(struct provider *p, void *self)
{
	forget_in(&p->discovery, self);
	forget_in(&p->keys, self);
}

int64_t provider_quiet_until_ms(const struct provider *p)
{
	return p->quiet_until_ms > loop_now_ms(p->loop) ? p->quiet_until_ms : 0;
}

void provider_quiet(struct provider *p, int64_t until_ms)
{
	p->quiet_until_ms = until_ms;
}
