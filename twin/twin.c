#include "twin/twin.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/panic.h"
#include "base/text.h"
#include "loop/http_server.h"
#include "twin/gmail_api.h"
#include "twin/graph.h"
#include "twin/twin_control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKLOG = 128, HANG_MS = 600000, RETRY_AFTER_SECONDS = 5 };

/* A request whose answer waits: for a stall, or for ever. */
struct visit {
	struct twin *twin;
	struct visit *next;
	struct http_exchange *exchange;
	struct timer timer;
	const struct twin_user *user; /* whose mailbox Graph was asked about, or NULL */
	bool hangs;
};

struct twin {
	struct loop *loop;
	struct twin_tenant *tenant, *preset;
	struct twin_scripts *scripts;
	struct twin_shelf *shelf;
	struct twin_keys *keys;
	struct exchange_counter *counters, *gmail_counters;
	struct exchange_world world;
	struct exchange *exchange;
	struct entra *entra;
	struct google google;
	struct graph *graph;
	struct tls *tls, *mx_tls;
	struct twin_control control;
	struct http_server *pages[4]; /* IPv4, and IPv6 where there is one; then the same under TLS */
	struct visit *visits;
	char url[64], secure_url[64]; /* the second is empty where TLS is not offered */
	uint16_t smtp_port, mx_port, google_port, google_tls_port;
};

static bool is_local(struct span host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		struct span rest = span_slice(host, strlen(names[i]), host.size);

		if (span_starts_fold(host, span_of(names[i])) && (!rest.size || rest.at[0] == ':'))
			return true;
	}
	return false;
}

static struct twin_request request_of(struct http_exchange *x)
{
	const struct http_seen *seen = http_seen(x);
	struct span accept = http_header(x, SPAN("Accept-Language"));

	return (struct twin_request){ .method = seen->method,
				      .path = seen->path,
				      .query = seen->query,
				      .body = seen->body,
				      .content_type = seen->content_type,
				      .authorization = http_header(x, SPAN("Authorization")),
				      .accept_language = accept,
				      .origin = http_header(x, SPAN("Origin")),
				      .content_range = http_header(x, SPAN("Content-Range")),
				      .upload_length = http_header(x, SPAN("X-Upload-Content-Length")),
				      .prefer = http_header(x, SPAN("Prefer")),
				      .session = http_cookie(x, SPAN("ESTSAUTH")),
				      .language = twin_language(accept),
				      .wall_ms = clock_wall_ms() };
}

static void send_answer(struct http_exchange *x, const struct twin_response *r)
{
	struct span headers[7][2];
	size_t count = 0;
	char seconds[24];
	struct buf policy;

	buf_init(&policy, TWIN_FIELD_BYTES);
	twin_page_policy(&policy, r);
	headers[count][0] = SPAN("Content-Security-Policy");
	headers[count++][1] = buf_span(&policy);
	/* With no-referrer, browsers would also keep the Origin of our own forms from us. */
	headers[count][0] = SPAN("Referrer-Policy");
	headers[count++][1] = SPAN("same-origin");
	if (r->location.size) {
		headers[count][0] = SPAN("Location");
		headers[count++][1] = buf_span(&r->location);
	}
	if (r->range.size) {
		headers[count][0] = SPAN("Range");
		headers[count++][1] = buf_span(&r->range);
	}
	if (r->cookie.size) {
		headers[count][0] = SPAN("Set-Cookie");
		headers[count++][1] = buf_span(&r->cookie);
	}
	if (r->retry_after_s >= 0) {
		snprintf(seconds, sizeof seconds, "%lld", (long long)r->retry_after_s);
		headers[count][0] = SPAN("Retry-After");
		headers[count++][1] = r->retry_after.size ? r->retry_after : span_of(seconds);
	}
	if (r->status == 401) {
		headers[count][0] = SPAN("WWW-Authenticate");
		headers[count++][1] = SPAN("Bearer");
	}
	http_answer(x, r->status, span_of(r->content_type), (const struct span(*)[2])headers, count, buf_span(&r->body));
	buf_free(&policy);
}

static void says(struct twin_response *r, int status, enum language language, enum twin_word word)
{
	struct twin_page p = twin_page_begin(r, language, TWIN_WORD_BRAND, false);

	r->status = status;
	twin_page_put(&p, "<p>%w</p>\n", word);
	twin_page_end(&p);
}

/* Changes members of an answer; null leaves one out. */
static void amend(struct twin_response *r, struct span members)
{
	json_t *json = json_read(buf_span(&r->body), TWIN_PAGE_BYTES), *changes = json_read(members, TWIN_PAGE_BYTES), *value;
	const char *name;

	json_object_update(json, changes);
	json_object_foreach(changes, name, value)
		if (json_is_null(value))
			json_object_del(json, name);
	buf_wipe(&r->body);
	if (json)
		json_write(&r->body, json);
	json_decref(json);
	json_decref(changes);
}

/* Does the work and answers; or ends the connection after the work, or alters the answer, as the script (or NULL) says. */
static void answer(struct twin *t, struct http_exchange *x, const struct twin_script *s)
{
	struct twin_request q = request_of(x);
	struct twin_response r;

	twin_response_init(&r);
	entra_is_at(t->entra, http_seen(x)->tls ? t->secure_url : t->url);
	if (!is_local(http_seen(x)->host))
		says(&r, 403, q.language, TWIN_WORD_NOT_FOUND);
	else if (graph_stage(q.method, q.path) != TWIN_STAGE_NONE)
		graph_handle(t->graph, &q, &r);
	else if (!twin_control_handle(&t->control, &q, &r) && !google_handle(&t->google, &q, &r) && !entra_handle(t->entra, &q, &r))
		says(&r, 404, q.language, TWIN_WORD_NOT_FOUND);
	if (s && s->row->kind == TWIN_FAULT_AMEND)
		amend(&r, span_of(s->text));
	if (s && s->row->kind == TWIN_FAULT_CUT_AFTER)
		http_cut(x);
	else
		send_answer(x, &r);
	twin_response_fini(&r);
}

static void visit_end(struct visit *v)
{
	struct visit **place = &v->twin->visits;

	while (*place != v)
		place = &(*place)->next;
	*place = v->next;
	timer_stop(&v->timer);
	free(v);
}

static void visit_due(void *self)
{
	struct visit *v = self;
	struct twin *t = v->twin;
	struct http_exchange *x = v->exchange;
	bool hangs = v->hangs;

	visit_end(v);
	http_on_gone(x, NULL, NULL);
	if (hangs)
		http_cut(x);
	else
		answer(t, x, NULL);
}

/* The client went away while its answer waited. */
static void visit_gone(void *self)
{
	struct visit *v = self;
	struct http_exchange *x = v->exchange;

	visit_end(v);
	http_answer(x, 500, SPAN(""), NULL, 0, SPAN(""));
}

static void wait_with(struct twin *t, struct http_exchange *x, const struct twin_user *user, int64_t ms, bool hangs)
{
	struct visit *v = calloc(1, sizeof *v);

	ASSERT(v);
	*v = (struct visit){ .twin = t, .next = t->visits, .exchange = x, .user = user, .hangs = hangs };
	t->visits = v;
	timer_init(&v->timer, t->loop, visit_due, v);
	timer_after(&v->timer, ms);
	http_on_gone(x, visit_gone, v);
}

/* A page where JSON is due, as a proxy or a broken front end would give. */
static void answer_page(struct http_exchange *x, int status, int64_t retry_after_s, struct span retry_after)
{
	struct twin_response r;

	twin_response_init(&r);
	r.status = status;
	r.retry_after_s = retry_after_s;
	r.retry_after = retry_after;
	buf_print(&r.body, "<!doctype html><html><head><title>%d</title></head><body><h1>Our services aren't available right now</h1></body></html>\n", status);
	send_answer(x, &r);
	twin_response_fini(&r);
}

static void answer_error(struct twin *t, struct http_exchange *x, const struct twin_script *s)
{
	struct twin_request q = request_of(x);
	struct twin_response r;
	char client[TWIN_TEXT_BYTES], memory[64];
	struct buf date;

	twin_response_init(&r);
	twin_field_text(&q, SPAN("client_id"), client, sizeof client);
	if (s->row->kind == TWIN_FAULT_ERROR) {
		entra_error_json(&r, (int)s->row->number,
				 &(struct entra_error_values){ .client = span_of(client),
							       .tenant = span_of(t->tenant->name),
							       .resource = SPAN("00000002-0000-0ff1-ce00-000000000000"),
							       .issued = SPAN("2023-02-06T12:26:14.6448497Z") },
				 q.wall_ms);
	} else if (s->row->kind == TWIN_FAULT_GOOGLE) {
		buf_over(&date, memory, sizeof memory);
		text_date(&date, q.wall_ms + 3600000);
		google_error_answer(&r, (enum google_error)s->row->number, buf_span(&date));
	} else {
		r.status = 400;
		r.content_type = "application/json; charset=utf-8";
		buf_put(&r.body, span_of(s->text));
	}
	send_answer(x, &r);
	twin_response_fini(&r);
}

/* What is no token, with a status that says it were. */
static void answer_instead(struct http_exchange *x, struct span text, size_t size)
{
	struct twin_response r;

	twin_response_init(&r);
	r.content_type = "application/json; charset=utf-8";
	buf_put(&r.body, text);
	while (r.body.size < size)
		buf_put(&r.body, SPAN("{\"error\":{\"error\":[\"\",                                      \n"));
	send_answer(x, &r);
	twin_response_fini(&r);
}

static void answer_graph(struct http_exchange *x, enum graph_error error, int64_t retry_after_s, struct span retry_after)
{
	struct twin_response r;

	twin_response_init(&r);
	graph_refuse(&r, error, SPAN(""), clock_wall_ms());
	if (r.retry_after_s >= 0 && retry_after_s > 0)
		r.retry_after_s = retry_after_s;
	r.retry_after = retry_after;
	send_answer(x, &r);
	twin_response_fini(&r);
}

static void meet_script(struct twin *t, struct http_exchange *x, const struct twin_user *user, const struct twin_script *s)
{
	int64_t seconds = s->ms ? (s->ms + 999) / 1000 : RETRY_AFTER_SECONDS;

	switch (s->row->kind) {
	case TWIN_FAULT_STALL: wait_with(t, x, user, s->ms, false); break;
	case TWIN_FAULT_HANG: wait_with(t, x, user, HANG_MS, true); break;
	case TWIN_FAULT_CUT: http_cut(x); break;
	case TWIN_FAULT_CUT_AFTER:
	case TWIN_FAULT_AMEND: answer(t, x, s); break;
	case TWIN_FAULT_STATUS:
		answer_page(x, (int)s->row->number, s->row->number == 429 || s->row->number == 503 ? seconds : -1, span_of(s->text));
		break;
	case TWIN_FAULT_HTML: answer_page(x, 200, -1, SPAN("")); break;
	case TWIN_FAULT_GARBAGE: answer_instead(x, span_of(s->text), 0); break;
	case TWIN_FAULT_HUGE: answer_instead(x, SPAN(""), (size_t)s->row->number); break;
	case TWIN_FAULT_NO_REFRESH:
		t->entra->no_refresh = true;
		answer(t, x, NULL);
		break;
	case TWIN_FAULT_GRAPH: answer_graph(x, (enum graph_error)s->row->number, s->ms ? seconds : 0, span_of(s->text)); break;
	default: answer_error(t, x, s); break;
	}
}

/* Whether as many requests about that mailbox wait as may be under way at once. */
static bool is_crowded(const struct twin *t, const struct twin_user *user)
{
	int64_t limit = t->tenant->values[TWIN_SWITCH_graph_concurrent], waiting = 0;

	for (const struct visit *v = t->visits; v && user; v = v->next)
		waiting += v->user == user;
	return limit && user && waiting >= limit;
}

static void on_request(void *self, struct http_exchange *x)
{
	struct twin *t = self;
	struct twin_request q = request_of(x);
	enum twin_stage stage = graph_stage(q.method, q.path);
	const struct twin_user *user = stage != TWIN_STAGE_NONE && (t->visits || t->scripts->count) ? graph_mailbox(t->graph, &q) : NULL;
	struct twin_script script;

	if (stage == TWIN_STAGE_NONE)
		stage = google_stage(q.method, q.path);
	if (stage == TWIN_STAGE_NONE)
		stage = entra_stage(q.path);
	if (is_crowded(t, user))
		answer_graph(x, GRAPH_ERROR_concurrency, 0, SPAN(""));
	else if (stage != TWIN_STAGE_NONE && twin_script_take(t->scripts, stage, user ? span_of(user->address) : SPAN(""), &script))
		meet_script(t, x, user, &script);
	else
		answer(t, x, NULL);
}

/* A bound descriptor on loopback; the port chosen is put back, for the second family to share. */
static int bind_loopback(const char *address, uint16_t *port)
{
	struct address a;
	int fd;

	ASSERT(address_parse(&a, span_of(address), *port));
	fd = listener_bind(&a, BACKLOG);
	if (fd >= 0)
		*port = listener_address(fd).port;
	return fd;
}

/* SMTP, pages, MX, Gmail's SMTP with STARTTLS and with TLS first, pages under TLS. */
enum { PORT_SMTP, PORT_HTTP, PORT_MX, PORT_GOOGLE, PORT_GOOGLE_TLS, PORT_HTTPS, PORTS };

static enum fault read_config(struct twin *t, const struct twin_settings *settings, uint16_t ports[PORTS], char *why_out)
{
	struct twin_config config = { .tenant = t->tenant };
	enum fault fault = twin_config_read(&config, settings->config.size ? settings->config : twin_config_preset(), why_out);

	ports[PORT_SMTP] = (uint16_t)(settings->smtp_port >= 0 ? settings->smtp_port : config.smtp_port);
	ports[PORT_HTTP] = (uint16_t)(settings->http_port >= 0 ? settings->http_port : config.http_port);
	ports[PORT_GOOGLE] = (uint16_t)(settings->google_port >= 0 ? settings->google_port : config.google_port);
	ports[PORT_GOOGLE_TLS] = (uint16_t)(settings->google_tls_port >= 0 ? settings->google_tls_port : config.google_tls_port);
	ports[PORT_MX] = (uint16_t)(settings->mx_port >= 0 ? settings->mx_port : config.mx_port);
	ports[PORT_HTTPS] = (uint16_t)(settings->https_port >= 0 ? settings->https_port : config.https_port);
	return fault;
}

static enum fault open_tls(struct twin *t, const struct twin_settings *settings, char *why_out)
{
	bool own = !settings->certificate_pem.size;
	const char *why = "";
	struct tls_server_settings tls = { .certificate_pem = own ? twin_keys_certificate(t->keys) : settings->certificate_pem,
					   .key_pem = own ? twin_keys_key(t->keys) : settings->key_pem,
					   .lowest = TLS_VERSION_1_2 };
	enum fault fault = tls_server_new(&t->tls, &tls, &why);

	tls.client_ca_pem = settings->client_ca_pem;
	if (fault == FAULT_OK)
		fault = tls_server_new(&t->mx_tls, &tls, &why);
	if (fault != FAULT_OK)
		snprintf(why_out, TWIN_WHY_BYTES, "TLS: %s", why);
	return fault;
}

/* Hands a bound descriptor to what answers there. Graph's own limit of a request is lower, and is answered in its own words. */
static void open_port(struct twin *t, size_t which, int fd)
{
	static const struct http_server_settings pages = { .body_bytes_max = GMAIL_REQUEST_BYTES * 4 / 3 };
	static const enum exchange_door doors[PORTS] = { [PORT_SMTP] = EXCHANGE_SUBMISSION, [PORT_MX] = EXCHANGE_MX, [PORT_GOOGLE] = EXCHANGE_GMAIL,
							 [PORT_GOOGLE_TLS] = EXCHANGE_GMAIL };
	struct http_server **place = t->pages;

	while (*place)
		place++;

	if (which == PORT_HTTP || which == PORT_HTTPS)
		*place = http_server_new(t->loop, fd, which == PORT_HTTPS ? t->tls : NULL, &pages, on_request, t);
	else
		exchange_listen(t->exchange, doors[which], which == PORT_GOOGLE_TLS, fd);
}

static enum fault listen_on(struct twin *t, const uint16_t ports[PORTS], bool https, char *why_out)
{
	uint16_t chosen[PORTS];
	size_t count = https ? PORTS : PORT_HTTPS;
	int fd;

	for (size_t i = 0; i < count; i++) {
		chosen[i] = ports[i];
		fd = bind_loopback("127.0.0.1", &chosen[i]);
		if (fd < 0) {
			snprintf(why_out, TWIN_WHY_BYTES, "127.0.0.1:%u: %s", (unsigned)ports[i], strerror(errno));
			return FAULT_UNREACHABLE;
		}
		open_port(t, i, fd);
		fd = bind_loopback("::1", &chosen[i]);
		if (fd >= 0)
			open_port(t, i, fd);
	}
	t->smtp_port = chosen[PORT_SMTP];
	t->google_port = chosen[PORT_GOOGLE];
	t->google_tls_port = chosen[PORT_GOOGLE_TLS];
	t->mx_port = chosen[PORT_MX];
	snprintf(t->url, sizeof t->url, "http://localhost:%u", chosen[PORT_HTTP]);
	if (https)
		snprintf(t->secure_url, sizeof t->secure_url, "https://localhost:%u", chosen[PORT_HTTPS]);
	entra_init(t->entra, t->tenant, t->keys, t->url);
	return FAULT_OK;
}

static void *take(size_t count, size_t size)
{
	void *at = calloc(count, size);

	ASSERT(at);
	return at;
}

static struct twin *new_parts(struct loop *loop, const struct twin_settings *settings)
{
	struct twin *t = take(1, sizeof *t);

	t->loop = loop;
	t->tenant = take(1, sizeof *t->tenant);
	t->preset = take(1, sizeof *t->preset);
	t->scripts = take(1, sizeof *t->scripts);
	t->entra = take(1, sizeof *t->entra);
	t->counters = take(TWIN_USERS_MAX, sizeof *t->counters);
	t->gmail_counters = take(TWIN_USERS_MAX, sizeof *t->gmail_counters);
	t->shelf = twin_shelf_new(settings->mail_directory);
	t->keys = settings->keys;
	twin_tenant_init(t->tenant);
	return t;
}

enum fault twin_new(struct twin **out, struct loop *loop, const struct twin_settings *settings, char why_out[TWIN_WHY_BYTES])
{
	struct twin *t = new_parts(loop, settings);
	uint16_t ports[PORTS] = { 0 };
	enum fault fault = read_config(t, settings, ports, why_out);

	if (fault == FAULT_OK && !t->keys)
		fault = twin_keys_make(&t->keys, clock_wall_ms());
	if (fault == FAULT_OK)
		fault = open_tls(t, settings, why_out);
	if (fault == FAULT_OK) {
		*t->preset = *t->tenant;
		t->world = (struct exchange_world){ .tenant = t->tenant, .scripts = t->scripts, .shelf = t->shelf, .keys = t->keys,
						    .counters = t->counters, .gmail_counters = t->gmail_counters };
		t->google = (struct google){ .entra = t->entra, .world = &t->world };
		t->exchange = exchange_new(loop, t->tls, t->mx_tls, &t->world);
		t->graph = graph_new(t->entra, &t->world);
		fault = listen_on(t, ports, settings->https, why_out);
	}
	if (fault != FAULT_OK) {
		twin_free(&t);
		return fault;
	}
	t->control = (struct twin_control){ .entra = t->entra,
					    .exchange = t->exchange,
					    .world = &t->world,
					    .preset = t->preset,
					    .smtp_port = t->smtp_port,
					    .mx_port = t->mx_port,
					    .google_port = t->google_port,
					    .google_tls_port = t->google_tls_port,
					    .graph = t->graph };
	*out = t;
	return FAULT_OK;
}

void twin_free(struct twin **twin)
{
	struct twin *t = *twin;

	if (!t)
		return;
	while (t->visits) {
		struct http_exchange *x = t->visits->exchange;

		visit_end(t->visits);
		http_on_gone(x, NULL, NULL);
		http_cut(x);
	}
	for (size_t i = 0; i < sizeof t->pages / sizeof *t->pages; i++)
		if (t->pages[i])
			http_server_finish(&t->pages[i]);
	exchange_free(&t->exchange);
	tls_drop(&t->tls);
	tls_drop(&t->mx_tls);
	twin_keys_free(&t->keys);
	twin_shelf_free(&t->shelf);
	free(t->counters);
	free(t->gmail_counters);
	google_fini(&t->google);
	graph_free(&t->graph);
	free(t->entra);
	free(t->scripts);
	free(t->preset);
	free(t->tenant);
	free(t);
	*twin = NULL;
}

uint16_t twin_smtp_port(const struct twin *t)
{
	return t->smtp_port;
}

uint16_t twin_google_port(const struct twin *t, bool secure)
{
	return secure ? t->google_tls_port : t->google_port;
}

uint16_t twin_mx_port(const struct twin *t)
{
	return t->mx_port;
}

const char *twin_url(const struct twin *t)
{
	return t->url;
}

const char *twin_secure_url(const struct twin *t)
{
	return t->secure_url;
}

struct span twin_ca(const struct twin *t)
{
	return twin_keys_ca(t->keys);
}

struct twin_overshot twin_overshot(const struct twin *t)
{
	struct twin_overshot over = { 0 };

	for (const struct exchange_counter *c = t->counters; c < t->counters + t->tenant->user_count; c++)
		over = (struct twin_overshot){ over.minute + c->over_minute, over.day + c->over_day, over.sessions + c->over_sessions,
					       c->most_in_minute > over.most_in_minute ? c->most_in_minute : over.most_in_minute };
	return over;
}

struct twin_tenant *twin_tenant(struct twin *t)
{
	return t->tenant;
}

enum fault twin_set(struct twin *t, struct span name, struct span value, struct span mailbox)
{
	return twin_control_set(&t->control, name, value, mailbox, clock_wall_ms());
}

enum fault twin_fault(struct twin *t, const struct twin_script_wish *wish)
{
	return twin_script_add(t->scripts, wish);
}

const struct twin_shelf *twin_mail(const struct twin *t)
{
	return t->shelf;
}

void twin_unscript(struct twin *t)
{
	twin_scripts_clear(t->scripts);
}

void twin_reset(struct twin *t)
{
	twin_control_reset(&t->control, true, true, true);
}
