#include "loop/http_client.h"

#include "base/clock.h"
#include "base/panic.h"
#include "loop/dial.h"
#include "loop/stream.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECT_MS = 5000, ANSWER_BYTES = 256 * 1024, HEADER_BYTES = 64 * 1024 };

struct http_client {
	struct loop *loop;
	struct dns *dns;
	struct tls *tls;
	struct http_fetch *fetches;
};

struct http_fetch {
	struct http_client *client;
	struct dial *dial;
	struct stream *stream;
	struct timer deadline;
	struct buf request, headers, body;
	char host[256];
	bool is_https, is_sent, is_head, is_whole;
	size_t field_at, value_at; /* of the header being read, in `headers` */
	struct http_answer answer;
	llhttp_t parser;
	llhttp_settings_t settings;
	char why[160];
	http_done *done;
	void *self;
	struct http_fetch *next;
};

struct url {
	bool is_https;
	struct span host, target;
	uint16_t port;
};

static void take_ca(struct http_client *c, struct span ca_pem)
{
	tls_drop(&c->tls);
	if (tls_client_new(&c->tls, ca_pem, NULL))
		c->tls = NULL;
}

struct http_client *http_client_new(struct loop *loop, struct dns *dns, struct span ca_pem)
{
	struct http_client *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	c->loop = loop;
	c->dns = dns;
	take_ca(c, ca_pem);
	return c;
}

void http_client_trust(struct http_client *c, struct span ca_pem)
{
	take_ca(c, ca_pem);
}

static void unlink_fetch(struct http_fetch *f)
{
	struct http_fetch **at = &f->client->fetches;

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
}

static void release(struct http_fetch *f)
{
	timer_stop(&f->deadline);
	dial_cancel(&f->dial);
	stream_close(&f->stream);
	buf_wipe(&f->request);
	buf_wipe(&f->headers);
	buf_wipe(&f->body);
	free(f);
}

static void fetch_free(struct http_fetch *f)
{
	unlink_fetch(f);
	release(f);
}

void http_client_free(struct http_client **client)
{
	if (!*client)
		return;
	while ((*client)->fetches)
		fetch_free((*client)->fetches);
	tls_drop(&(*client)->tls);
	free(*client);
	*client = NULL;
}

void http_cancel(struct http_fetch **fetch)
{
	if (*fetch)
		fetch_free(*fetch);
	*fetch = NULL;
}

/* Tells the owner; the fetch is gone afterwards. */
static void finish(struct http_fetch *f)
{
	f->answer.why = span_of(f->why);
	f->answer.body = buf_span(&f->body);
	unlink_fetch(f);
	f->done(f->self, &f->answer);
	release(f);
}

static void fail(struct http_fetch *f, enum fault fault, const char *why)
{
	f->answer = (struct http_answer){ .fault = fault, .retry_after_ms = -1 };
	buf_clear(&f->body);
	if (why != f->why)
		snprintf(f->why, sizeof f->why, "%s", why);
	finish(f);
}

static void late(void *self)
{
	struct http_fetch *f = self;

	if (f->answer.fault)
		fail(f, f->answer.fault, f->why);
	else
		fail(f, FAULT_TIMEOUT, "no answer in time");
}

/* --- the answer */

static int header_field(llhttp_t *p, const char *at, size_t size)
{
	struct http_fetch *f = p->data;

	if (f->value_at != f->field_at) {
		buf_put_byte(&f->headers, '\n');
		f->field_at = f->value_at = f->headers.size;
	}
	return buf_put(&f->headers, (struct span){ at, size }) ? 0 : -1;
}

static int header_value(llhttp_t *p, const char *at, size_t size)
{
	struct http_fetch *f = p->data;

	if (f->value_at == f->field_at) {
		buf_put_byte(&f->headers, ':');
		f->value_at = f->headers.size;
	}
	return buf_put(&f->headers, (struct span){ at, size }) ? 0 : -1;
}

static struct span header(const struct http_fetch *f, struct span name)
{
	struct span rest = buf_span(&f->headers), line;

	while (span_cut(&rest, '\n', &line))
		if (span_starts_fold(line, name) && line.size > name.size && line.at[name.size] == ':')
			return span_trim(span_slice(line, name.size + 1, line.size));
	return SPAN("");
}

static int64_t retry_after(struct span text)
{
	uint64_t seconds;
	struct tm tm = { 0 };
	char copy[40];
	int64_t wait_ms;

	if (span_number(text, &seconds))
		return seconds < 1000000 ? (int64_t)seconds * 1000 : 1000000000;
	snprintf(copy, sizeof copy, "%.*s", SPAN_ARGS(text));
	if (!text.size || !strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return -1;
	wait_ms = (int64_t)timegm(&tm) * 1000 - clock_wall_ms();
	return wait_ms > 0 ? wait_ms : 0;
}

static int headers_complete(llhttp_t *p)
{
	struct http_fetch *f = p->data;
	struct http_answer *a = &f->answer;

	a->status = p->status_code;
	a->content_type = header(f, SPAN("content-type"));
	a->location = header(f, SPAN("location"));
	a->date = header(f, SPAN("date"));
	a->retry_after_ms = retry_after(header(f, SPAN("retry-after")));
	return f->is_head ? 1 : 0;
}

static int body(llhttp_t *p, const char *at, size_t size)
{
	struct http_fetch *f = p->data;

	return buf_put(&f->body, (struct span){ at, size }) ? 0 : -1;
}

static int message_complete(llhttp_t *p)
{
	struct http_fetch *f = p->data;

	f->is_whole = true;
	return HPE_PAUSED;
}

static size_t stream_data(void *self, struct span bytes)
{
	struct http_fetch *f = self;
	llhttp_errno_t error = llhttp_execute(&f->parser, bytes.at, bytes.size);

	if (f->is_whole)
		finish(f);
	else if (f->body.overfull)
		fail(f, FAULT_TOO_LARGE, "the answer is larger than allowed");
	else if (error != HPE_OK)
		fail(f, FAULT_UPSTREAM_BROKEN, "the answer is not HTTP");
	return bytes.size;
}

static void stream_ended(void *self, enum fault fault, struct span why)
{
	struct http_fetch *f = self;
	char copy[160];

	if (fault == FAULT_CLOSED && f->answer.status)
		llhttp_finish(&f->parser); /* a body without a length ends here */
	if (f->is_whole) {
		finish(f);
		return;
	}
	snprintf(copy, sizeof copy, "%.*s", SPAN_ARGS(why));
	fail(f, fault, fault == FAULT_CLOSED ? "the connection was closed before the answer" : copy);
}

static void stream_opened(void *self)
{
	struct http_fetch *f = self;

	f->is_sent = true;
	stream_write(f->stream, buf_span(&f->request));
	buf_wipe(&f->request);
}

static const struct stream_events events = { .opened = stream_opened, .data = stream_data, .ended = stream_ended };

/* --- the request */

static void dialled(void *self, struct stream *stream, enum fault fault, struct span why)
{
	struct http_fetch *f = self;
	struct address peer;
	char copy[160];

	f->dial = NULL;
	f->stream = stream;
	if (!stream) {
		snprintf(copy, sizeof copy, "%.*s", SPAN_ARGS(why));
		fail(f, fault, copy);
		return;
	}
	peer = stream_peer(stream);
	stream_set_events(stream, &events, f);
	if (!f->is_https && !address_is_loopback(&peer))
		fail(f, FAULT_TLS_MISSING, "http is for loopback only");
	else if (!f->is_https)
		stream_opened(f);
	else if (!f->client->tls)
		fail(f, FAULT_TLS_UNTRUSTED, "there is no CA bundle");
	else
		stream_start_tls_client(stream, f->client->tls, span_of(f->host));
}

static bool url_parse(struct url *out, struct span text)
{
	struct span authority;
	uint64_t port;
	size_t colon;

	out->is_https = span_starts_fold(text, SPAN("https://"));
	if (!out->is_https && !span_starts_fold(text, SPAN("http://")))
		return false;
	text = span_slice(text, out->is_https ? 8 : 7, text.size);
	authority = span_slice(text, 0, span_find_byte(text, '/'));
	out->target = span_slice(text, authority.size, text.size);
	colon = authority.size;
	while (colon && authority.at[colon - 1] != ':' && authority.at[colon - 1] != ']')
		colon--;
	out->port = out->is_https ? 443 : 80;
	out->host = authority;
	if (colon && authority.at[colon - 1] == ':') {
		out->host = span_slice(authority, 0, colon - 1);
		if (!span_number(span_slice(authority, colon, authority.size), &port) || !port || port > 65535)
			return false;
		out->port = (uint16_t)port;
	}
	return out->host.size && out->host.size < 256;
}

static void put_request(struct http_fetch *f, const struct http_request *r, const struct url *url)
{
	struct buf *b = &f->request;
	bool usual = url->port == (url->is_https ? 443 : 80);

	buf_print(b, "%.*s %.*s HTTP/1.1\r\nHost: %.*s", SPAN_ARGS(r->method), SPAN_ARGS(url->target.size ? url->target : SPAN("/")),
		  SPAN_ARGS(url->host));
	if (!usual)
		buf_print(b, ":%u", url->port);
	buf_print(b, "\r\nAccept: */*\r\nConnection: close\r\n");
	for (size_t i = 0; i < r->header_count; i++)
		buf_print(b, "%.*s: %.*s\r\n", SPAN_ARGS(r->headers[i].name), SPAN_ARGS(r->headers[i].value));
	if (r->body.size || !span_equal(r->method, SPAN("GET")))
		buf_print(b, "Content-Length: %zu\r\n", r->body.size);
	buf_put(b, SPAN("\r\n"));
	buf_put(b, r->body);
}

static void fetch_init(struct http_fetch *f, const struct http_request *r)
{
	buf_init(&f->request, 16 * 1024 * 1024);
	buf_init(&f->headers, HEADER_BYTES);
	buf_init(&f->body, r->answer_bytes_max ? r->answer_bytes_max : ANSWER_BYTES);
	f->is_head = span_equal(r->method, SPAN("HEAD"));
	f->answer.retry_after_ms = -1;
	llhttp_settings_init(&f->settings);
	f->settings.on_header_field = header_field;
	f->settings.on_header_value = header_value;
	f->settings.on_headers_complete = headers_complete;
	f->settings.on_body = body;
	f->settings.on_message_complete = message_complete;
	llhttp_init(&f->parser, HTTP_RESPONSE, &f->settings);
	f->parser.data = f;
	timer_init(&f->deadline, f->client->loop, late, f);
	timer_after(&f->deadline, r->timeout_ms);
}

struct http_fetch *http_fetch(struct http_client *client, const struct http_request *r, http_done *done, void *self)
{
	struct http_fetch *f = calloc(1, sizeof *f);
	struct url url;

	if (!f)
		panic("out of memory");
	*f = (struct http_fetch){ .client = client, .done = done, .self = self, .next = client->fetches };
	client->fetches = f;
	fetch_init(f, r);
	if (!url_parse(&url, r->url)) {
		f->answer.fault = FAULT_MALFORMED;
		snprintf(f->why, sizeof f->why, "not an http address");
		timer_after(&f->deadline, 0);
		return f;
	}
	put_request(f, r, &url);
	f->is_https = url.is_https;
	if (url.host.at[0] == '[')
		url.host = span_slice(url.host, 1, url.host.size - 2);
	memcpy(f->host, url.host.at, url.host.size);
	f->dial = dial_start(client->dns, client->loop, url.host, url.port, NULL,
			     r->timeout_ms < CONNECT_MS ? r->timeout_ms : CONNECT_MS, dialled, f);
	return f;
}
