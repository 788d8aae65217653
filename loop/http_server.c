#include "loop/http_server.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"
#include "loop/http_parse.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BODY_BYTES = 64 * 1024,
	CONNECTIONS_MAX = 1000,
	IDLE_MS = 60 * 1000,
	REQUEST_MS = 20 * 1000,
	FINISH_MS = 10 * 1000,
	ANSWER_HEAD_BYTES = 64 * 1024,
};

/* A connection, and the request on it that is being answered, which may outlive it. */
struct http_exchange {
	struct http_server *server;
	struct http_exchange *next, *previous;
	struct stream *stream;
	struct http_parse parse;
	struct http_seen seen;
	struct timer deadline;
	void (*gone)(void *self);
	void *gone_self;
	bool is_tls;
	bool asked;   /* the handler has it */
	bool is_last; /* nothing follows the answer in hand */
	bool busy;    /* in on_data(), which frees it */
	bool freed;
};

struct http_server {
	struct loop *loop;
	struct listener *listener;
	struct tls *tls;
	struct http_server_settings settings;
	http_handler *handler;
	void *self;
	struct http_exchange *first, *last; /* of the connections; idle ones move to the end as they become idle */
	size_t count;
	struct timer deadline;
	bool finishing;
};

/* --- the list of connections */

static void unlist(struct http_exchange *x)
{
	struct http_server *s = x->server;

	*(x->previous ? &x->previous->next : &s->first) = x->next;
	*(x->next ? &x->next->previous : &s->last) = x->previous;
	x->next = x->previous = NULL;
	s->count--;
}

static void enlist(struct http_exchange *x)
{
	struct http_server *s = x->server;

	x->previous = s->last;
	*(s->last ? &s->last->next : &s->first) = x;
	s->last = x;
	s->count++;
}

static void server_free_when_done(struct http_server *s)
{
	if (!s->finishing || s->first)
		return;
	timer_stop(&s->deadline);
	tls_drop(&s->tls);
	free(s);
}

static void release(struct http_exchange *x)
{
	http_parse_fini(&x->parse);
	free(x);
}

/* The connection is over and its request answered. */
static void destroy(struct http_exchange *x)
{
	struct http_server *s = x->server;

	stream_close(&x->stream);
	timer_stop(&x->deadline);
	x->freed = true;
	if (s) {
		unlist(x);
		x->server = NULL;
		server_free_when_done(s);
	}
	if (!x->busy)
		release(x);
}

/* The connection is over; whoever has the request still owes an answer, which goes nowhere. */
static void lose(struct http_exchange *x)
{
	void (*gone)(void *self) = x->gone;

	stream_close(&x->stream);
	x->gone = NULL;
	if (!x->asked)
		destroy(x);
	else if (gone)
		gone(x->gone_self);
}

static bool is_idle(const struct http_exchange *x)
{
	return !x->asked && x->stream && !http_parse_has_begun(&x->parse);
}

static void rest(struct http_exchange *x)
{
	timer_after(&x->deadline, x->server->settings.idle_ms);
	unlist(x);
	enlist(x);
}

/* --- answers */

static const struct {
	int status;
	const char *says;
} reasons[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" },
	{ 417, "Expectation Failed" },
	{ 421, "Misdirected Request" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *reason(int status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
		if (reasons[i].status == status)
			return reasons[i].says;
	return "Other"; /* the phrase may be anything (RFC 9112 4) */
}

/* What every answer gets, unless the handler gives that header itself. */
static const struct span defaults[][2] = {
	{ { "X-Content-Type-Options", 22 }, { "nosniff", 7 } },
	{ { "Cache-Control", 13 }, { "no-store", 8 } },
	{ { "Content-Security-Policy", 23 }, { "frame-ancestors 'none'", 22 } },
	{ { "X-Frame-Options", 15 }, { "DENY", 4 } },
	{ { "Referrer-Policy", 15 }, { "no-referrer", 11 } },
};

static bool is_given(const struct span (*headers)[2], size_t count, struct span name)
{
	for (size_t i = 0; i < count; i++)
		if (span_equal_fold(headers[i][0], name))
			return true;
	return false;
}

/* A value with a line end would begin another header: it is left out. */
static void put_header(struct buf *out, struct span name, struct span value)
{
	for (size_t i = 0; i < value.size; i++)
		if (((unsigned char)value.at[i] < 0x20 && value.at[i] != '\t') || value.at[i] == 0x7f)
			return;
	buf_put(out, name);
	buf_put(out, SPAN(": "));
	buf_put(out, value);
	buf_put(out, SPAN("\r\n"));
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7) */
static void put_date(struct buf *out)
{
	static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm t;

	gmtime_r(&now, &t);
	buf_print(out, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n", days + 3 * t.tm_wday, t.tm_mday,
		  months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

struct reply {
	int status;
	struct span content_type;
	const struct span (*headers)[2];
	size_t header_count;
	struct span body;
};

static void put_head(struct buf *out, const struct reply *r, bool is_last)
{
	buf_print(out, "HTTP/1.1 %d %s\r\n", r->status, reason(r->status));
	put_date(out);
	if (r->status != 204 && r->status != 304)
		buf_print(out, "Content-Length: %zu\r\n", r->body.size);
	if (r->content_type.size)
		put_header(out, SPAN("Content-Type"), r->content_type);
	for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
		if (!is_given(r->headers, r->header_count, defaults[i][0]))
			put_header(out, defaults[i][0], defaults[i][1]);
	for (size_t i = 0; i < r->header_count; i++)
		put_header(out, r->headers[i][0], r->headers[i][1]);
	buf_print(out, "Connection: %s\r\n\r\n", is_last ? "close" : "keep-alive");
}

static void write_reply(struct http_exchange *x, const struct reply *r)
{
	bool has_body = r->status != 204 && r->status != 304 && !span_equal(x->parse.method, SPAN("HEAD"));
	struct buf head;

	buf_init(&head, ANSWER_HEAD_BYTES);
	put_head(&head, r, x->is_last);
	if (head.overfull) {
		x->is_last = true;
		buf_clear(&head);
		put_head(&head, &(struct reply){ .status = 500 }, true);
		has_body = false;
	}
	/* What a handler answers is its own and has a ceiling there: it goes out whole, however slowly it is read. */
	if (has_body && r->body.size > STREAM_UNSENT_BYTES / 2)
		stream_set_unsent_max(x->stream, STREAM_UNSENT_BYTES + head.size + r->body.size);
	stream_write(x->stream, buf_span(&head));
	if (has_body)
		stream_write(x->stream, r->body);
	buf_wipe(&head);
}

static void end_connection(struct http_exchange *x)
{
	stream_finish(&x->stream);
	destroy(x);
}

void http_answer(struct http_exchange *x, int status, struct span content_type, const struct span (*headers)[2],
		 size_t header_count, struct span body)
{
	ASSERT(x->asked && !x->freed);
	x->asked = false;
	x->gone = NULL;
	if (!x->stream) {
		destroy(x);
		return;
	}
	x->is_last |= !x->parse.keeps_alive;
	write_reply(x, &(struct reply){ status, content_type, headers, header_count, body });
	if (x->is_last) {
		end_connection(x);
		return;
	}
	http_parse_next(&x->parse);
	rest(x);
	if (!x->busy)
		stream_resume(x->stream); /* what the client sent ahead */
}

void http_cut(struct http_exchange *x)
{
	ASSERT(x->asked && !x->freed);
	x->asked = false;
	x->gone = NULL;
	destroy(x);
}

/* The request could not be read: said, and the end of the connection, since its next byte may be anything. */
static void refuse(struct http_exchange *x, int status)
{
	static const struct span allow[][2] = { { { "Allow", 5 }, { "GET, HEAD, POST, PUT, PATCH, DELETE", 35 } } };

	x->is_last = true;
	write_reply(x, &(struct reply){ status, SPAN("text/plain; charset=utf-8"), allow, status == 405,
					span_of(reason(status)) });
	end_connection(x);
}

/* --- requests */

static void ask_handler(struct http_exchange *x)
{
	struct http_server *s = x->server;
	struct http_parse *p = &x->parse;
	size_t mark = span_find_byte(p->target, '?');
	struct stream_credentials who = { 0 };

	if (s->settings.local)
		stream_credentials(x->stream, &who);
	x->seen = (struct http_seen){
		.method = p->method,
		.target = p->target,
		.path = span_slice(p->target, 0, mark),
		.query = span_slice(p->target, mark + 1, p->target.size),
		.host = http_parse_header(p, SPAN("Host")),
		.body = p->body_bytes,
		.content_type = http_parse_header(p, SPAN("Content-Type")),
		.peer = stream_peer(x->stream),
		.tls = x->is_tls,
		.peer_uid = who.uid,
		.peer_gid = who.gid,
		.peer_pid = who.pid,
	};
	x->asked = true;
	timer_stop(&x->deadline);
	s->handler(s->self, x);
}

static void serve(struct http_exchange *x)
{
	struct http_parse *p = &x->parse;

	if (p->state == HTTP_PARSE_REFUSED) {
		refuse(x, p->status);
	} else if (p->state == HTTP_PARSE_WHOLE && x->server->finishing) {
		refuse(x, 503);
	} else if (p->state == HTTP_PARSE_WHOLE) {
		ask_handler(x);
	} else if (p->wants_continue) {
		p->wants_continue = false;
		stream_write(x->stream, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
	}
}

/* A client that sends requests but reads no answers gets no more of them. */
static bool may_take(struct http_exchange *x)
{
	return !x->freed && !x->asked && stream_unsent(x->stream) <= STREAM_DRAIN_BYTES;
}

static size_t on_data(void *self, struct span bytes)
{
	struct http_exchange *x = self;
	size_t taken = 0;

	x->busy = true;
	while (taken < bytes.size && may_take(x)) {
		bool had_begun = http_parse_has_begun(&x->parse);

		taken += http_parse_feed(&x->parse, span_slice(bytes, taken, bytes.size));
		if (!had_begun)
			timer_after(&x->deadline, REQUEST_MS);
		serve(x);
	}
	x->busy = false;
	if (x->freed) {
		release(x);
		return taken;
	}
	return taken;
}

static void on_opened(void *self)
{
	struct http_exchange *x = self;

	if (x->server->tls && !x->is_tls) {
		x->is_tls = true;
		timer_stop(&x->deadline);
		stream_start_tls_server(x->stream, x->server->tls);
		return;
	}
	timer_after(&x->deadline, x->server->settings.idle_ms);
}

static void on_drained(void *self)
{
	struct http_exchange *x = self;

	stream_resume(x->stream);
}

/* A client may close its half behind its request. */
static void on_ended(void *self, enum fault fault, struct span why)
{
	struct http_exchange *x = self;

	if (fault != FAULT_CLOSED || why.size)
		lose(x);
	else if (x->asked)
		x->is_last = true;
	else
		end_connection(x);
}

static void on_deadline(void *self)
{
	struct http_exchange *x = self;

	if (http_parse_has_begun(&x->parse))
		refuse(x, 408);
	else
		end_connection(x);
}

static const struct stream_events events = { on_opened, on_data, on_drained, on_ended };

/* --- the server */

static bool make_room(struct http_server *s)
{
	if (s->count < s->settings.connections_max)
		return true;
	for (struct http_exchange *x = s->first; x; x = x->next)
		if (is_idle(x)) {
			end_connection(x);
			return true;
		}
	return false;
}

static void on_accepted(void *self, int fd, const struct address *peer)
{
	struct http_server *s = self;
	bool fits = make_room(s);
	struct http_exchange *x = calloc(1, sizeof *x);

	if (!x)
		panic("out of memory");
	x->server = s;
	timer_init(&x->deadline, s->loop, on_deadline, x);
	http_parse_init(&x->parse, s->settings.body_bytes_max);
	x->stream = stream_adopt_take(s->loop, fd, &events, x);
	enlist(x);
	if (!fits)
		destroy(x);
}

struct http_server *http_server_new(struct loop *loop, int listener_fd, struct tls *tls,
				    const struct http_server_settings *settings, http_handler *handler, void *self)
{
	struct http_server *s = calloc(1, sizeof *s);

	if (!s)
		panic("out of memory");
	s->loop = loop;
	s->settings = *settings;
	if (!s->settings.body_bytes_max)
		s->settings.body_bytes_max = BODY_BYTES;
	if (!s->settings.connections_max)
		s->settings.connections_max = CONNECTIONS_MAX;
	if (!s->settings.idle_ms)
		s->settings.idle_ms = IDLE_MS;
	s->tls = tls ? tls_hold(tls) : NULL;
	s->handler = handler;
	s->self = self;
	s->listener = listener_new(loop, listener_fd, on_accepted, s);
	return s;
}

void http_server_tls(struct http_server *s, struct tls *tls)
{
	struct tls *before = s->tls;

	s->tls = tls ? tls_hold(tls) : NULL;
	tls_drop(&before);
}

/* Late answers find no connection. */
static void on_finish_deadline(void *self)
{
	struct http_server *s = self;

	while (s->first) {
		struct http_exchange *x = s->first;

		unlist(x);
		x->server = NULL;
		lose(x);
	}
	server_free_when_done(s);
}

void http_server_finish(struct http_server **server)
{
	struct http_server *s = *server;

	*server = NULL;
	if (!s)
		return;
	listener_free(&s->listener);
	timer_init(&s->deadline, s->loop, on_finish_deadline, s);
	timer_after(&s->deadline, FINISH_MS);
	for (struct http_exchange *x = s->first, *next; x; x = next) {
		next = x->next;
		x->is_last = true;
		if (is_idle(x))
			end_connection(x);
	}
	s->finishing = true;
	server_free_when_done(s);
}

/* --- what handlers ask */

const struct http_seen *http_seen(const struct http_exchange *x)
{
	return &x->seen;
}

struct span http_header(const struct http_exchange *x, struct span name)
{
	return http_parse_header(&x->parse, name);
}

struct span http_header_last(const struct http_exchange *x, struct span name)
{
	for (size_t i = x->parse.header_count; i--;)
		if (span_equal_fold(x->parse.headers[i].name, name))
			return x->parse.headers[i].value;
	return SPAN("");
}

void http_on_gone(struct http_exchange *x, void (*gone)(void *self), void *self)
{
	x->gone = gone;
	x->gone_self = self;
}

static bool is_named(struct span encoded, struct span name)
{
	char memory[256];
	struct buf b;

	buf_over(&b, memory, sizeof memory);
	return text_from_percent(&b, encoded) && span_equal(buf_span(&b), name);
}

bool http_field(struct span encoded, struct span name, struct buf *out)
{
	struct span pair;

	while (span_cut(&encoded, '&', &pair)) {
		size_t equals = span_find_byte(pair, '=');

		if (is_named(span_slice(pair, 0, equals), name))
			return text_from_percent(out, span_slice(pair, equals + 1, pair.size));
	}
	return false;
}

static bool find_cookie(struct span list, struct span name, struct span *value_out)
{
	struct span pair;

	while (span_cut(&list, ';', &pair)) {
		size_t equals;

		pair = span_trim(pair);
		equals = span_find_byte(pair, '=');
		if (equals < pair.size && span_equal(span_slice(pair, 0, equals), name)) {
			*value_out = span_slice(pair, equals + 1, pair.size);
			return true;
		}
	}
	return false;
}

struct span http_cookie(const struct http_exchange *x, struct span name)
{
	struct span value = SPAN("");

	for (size_t i = 0; i < x->parse.header_count; i++)
		if (span_equal_fold(x->parse.headers[i].name, SPAN("Cookie")) &&
		    find_cookie(x->parse.headers[i].value, name, &value))
			break;
	return value;
}
