#include "loop/http_parse.h"

#include "base/panic.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_DIGITS_MAX = 8 };

enum {
	CHUNK_ALONE, /* no chunks: the length is given */
	CHUNK_SIZE,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_END_CR,
	CHUNK_END_LF,
	CHUNK_END,
};

static bool is_upper(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] < 'A' || s.at[i] > 'Z')
			return false;
	return s.size != 0;
}

static void refuse(struct http_parse *p, int status)
{
	if (p->state == HTTP_PARSE_REFUSED)
		return;
	p->state = HTTP_PARSE_REFUSED;
	p->status = status;
	p->keeps_alive = false;
}

/* --- what llhttp says */

static struct http_parse *owner(llhttp_t *grammar)
{
	return grammar->data;
}

static int on_name(llhttp_t *grammar, const char *at, size_t size)
{
	struct http_parse *p = owner(grammar);

	if (p->header_count == HTTP_PARSE_HEADERS_MAX) {
		refuse(p, 431);
		return HPE_USER;
	}
	p->headers[p->header_count++] = (struct http_parse_header){ { at, size }, { "", 0 } };
	return 0;
}

static int on_value(llhttp_t *grammar, const char *at, size_t size)
{
	struct http_parse *p = owner(grammar);

	p->headers[p->header_count - 1].value = span_trim((struct span){ at, size });
	return 0;
}

/* Its own reading of bodies takes CR and any byte for the end of a chunk's size, and has trailers: bodies are read
 * below. */
static int on_headers_complete(llhttp_t *grammar)
{
	enum { HAS_NO_BODY = 1 };

	grammar->upgrade =
		0; /* no other protocol is spoken here: the request is answered as it stands (RFC 9110 7.8) */
	return HAS_NO_BODY;
}

static int on_message_complete(llhttp_t *grammar)
{
	owner(grammar)->head_is_read = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_message_complete = on_message_complete,
};

/* --- the head, guarded */

static const struct span methods[] = { { "GET", 3 }, { "HEAD", 4 },  { "POST", 4 },
				       { "PUT", 3 }, { "PATCH", 5 }, { "DELETE", 6 } };

static bool is_known_method(struct span method)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (span_equal(method, methods[i]))
			return true;
	return false;
}

/* Origin form (RFC 9112 3.2.1). The other forms are for proxies. */
static bool is_target(struct span target)
{
	for (size_t i = 0; i < target.size; i++)
		if (target.at[i] < 0x21 || target.at[i] > 0x7e || target.at[i] == '#')
			return false;
	return span_starts(target, SPAN("/"));
}

/* method SP target SP version, checked as soon as it is there: what is no HTTP must not wait for an empty line. */
static void check_request_line(struct http_parse *p, struct span line)
{
	struct span rest = line, version;

	if (!span_cut(&rest, ' ', &p->method) || !rest.at || !is_upper(p->method) ||
	    !span_cut(&rest, ' ', &p->target) || !rest.at) {
		refuse(p, 400);
		return;
	}
	version = rest;
	if (!span_starts(version, SPAN("HTTP/")) || version.size != 8)
		refuse(p, 400);
	else if (!span_equal(version, SPAN("HTTP/1.1")) && !span_equal(version, SPAN("HTTP/1.0")))
		refuse(p, 505);
	else if (!is_known_method(p->method))
		refuse(p, 405);
	else if (!is_target(p->target))
		refuse(p, 400);
}

/* Control characters but tab; CR without LF, LF without CR. */
static bool is_clean_byte(struct span before, char c)
{
	bool after_cr = before.size && before.at[before.size - 1] == '\r';

	if (c == '\n' || after_cr)
		return c == '\n' && after_cr;
	return c == '\r' || c == '\t' || ((unsigned char)c >= 0x20 && c != 0x7f);
}

static void check_header(struct http_parse *p, const struct http_parse_header *h)
{
	if (!h->name.size)
		refuse(p, 400);
	if (span_equal_fold(h->name, SPAN("Host"))) {
		if (p->has_host)
			refuse(p, 400);
		p->has_host = true;
	}
	if (span_equal_fold(h->name, SPAN("Content-Length"))) {
		if (p->has_length)
			refuse(p, 400);
		p->has_length = true;
	}
	if (span_equal_fold(h->name, SPAN("Transfer-Encoding"))) {
		if (p->is_chunked || !span_equal_fold(h->value, SPAN("chunked")))
			refuse(p, 400);
		p->is_chunked = true;
	}
	if (span_equal_fold(h->name, SPAN("Expect"))) {
		if (!span_equal_fold(h->value, SPAN("100-continue")))
			refuse(p, 417);
		p->wants_continue = true;
	}
}

static void check_headers(struct http_parse *p)
{
	bool is_old = p->target.at[p->target.size + sizeof " HTTP/1." - 1] == '0';
	struct span length = http_parse_header(p, SPAN("Content-Length"));

	for (size_t i = 0; i < p->header_count; i++)
		check_header(p, &p->headers[i]);
	if ((!p->has_host && !is_old) || (p->is_chunked && (p->has_length || is_old)))
		refuse(p, 400);
	if (p->has_length && !span_number(length, &p->left))
		refuse(p, 400);
	if (p->left > p->body_max)
		refuse(p, 413);
	if (is_old || !(p->left || p->is_chunked))
		p->wants_continue = false;
}

static void end_body(struct http_parse *p)
{
	p->state = HTTP_PARSE_WHOLE;
	p->body_bytes = buf_span(&p->body);
}

/* The head is whole: read in one piece, so that names and values are spans of it. */
static void end_head(struct http_parse *p)
{
	struct span head = buf_span(&p->head);
	llhttp_errno_t error = llhttp_execute(p->grammar, head.at, head.size);

	if (error != HPE_PAUSED || !p->head_is_read || llhttp_get_error_pos(p->grammar) != head.at + head.size)
		refuse(p, 400);
	if (p->state == HTTP_PARSE_REFUSED)
		return;
	p->keeps_alive = llhttp_should_keep_alive(p->grammar) != 0;
	check_headers(p);
	if (p->state == HTTP_PARSE_REFUSED)
		return;
	p->state = HTTP_PARSE_BODY;
	p->chunk = p->is_chunked ? CHUNK_SIZE : CHUNK_ALONE;
	if (!p->is_chunked && !p->left)
		end_body(p);
}

static void end_line(struct http_parse *p)
{
	struct span line = span_slice(buf_span(&p->head), p->line_at, p->head.size - p->line_at - 2);
	bool is_first = !p->line_at;

	p->line_at = p->head.size;
	if (is_first && !line.size) /* RFC 9112 2.2: an empty line before the request is passed over, once */
		return;
	if (is_first || p->line_at == line.size + 4) {
		check_request_line(p, line);
		return;
	}
	if (!line.size)
		end_head(p);
}

static size_t feed_head(struct http_parse *p, struct span bytes)
{
	size_t taken = 0;

	if (bytes.size && !p->head.at)
		buf_room(&p->head, HTTP_HEAD_BYTES); /* at once, so that it never moves under the spans */
	while (taken < bytes.size && p->state == HTTP_PARSE_HEAD) {
		char c = bytes.at[taken++];

		if (!is_clean_byte(buf_span(&p->head), c) ||
		    (p->line_at > 2 && p->head.size == p->line_at && (c == ' ' || c == '\t')))
			refuse(p, 400);
		else if (!buf_put_byte(&p->head, c))
			refuse(p, 431);
		else if (c == '\n')
			end_line(p);
	}
	return taken;
}

/* --- the body: by its length, or in chunks (RFC 9112 7.1) without extensions and trailers */

static size_t take_data(struct http_parse *p, struct span bytes)
{
	struct span piece = span_slice(bytes, 0, (size_t)(p->left < bytes.size ? p->left : bytes.size));

	if (!buf_put(&p->body, piece))
		refuse(p, 413);
	p->left -= piece.size;
	if (!p->left && p->chunk == CHUNK_ALONE)
		end_body(p);
	if (!p->left && p->chunk == CHUNK_DATA)
		p->chunk = CHUNK_DATA_CR;
	return piece.size;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void take_digit(struct http_parse *p, char c)
{
	int digit = hex(c);

	if (c == '\r' && p->chunk_digits) {
		p->chunk = CHUNK_SIZE_LF;
		return;
	}
	if (digit < 0 || p->chunk_digits == CHUNK_DIGITS_MAX) {
		refuse(p, 400);
		return;
	}
	p->chunk_digits++;
	p->left = p->left * 16 + (unsigned)digit;
	if (p->body.size + p->left > p->body_max)
		refuse(p, 413);
}

static void take_framing(struct http_parse *p, char c)
{
	static const struct {
		char due;
		unsigned then;
	} steps[] = {
		[CHUNK_SIZE_LF] = { '\n', CHUNK_DATA }, [CHUNK_DATA_CR] = { '\r', CHUNK_DATA_LF },
		[CHUNK_DATA_LF] = { '\n', CHUNK_SIZE }, [CHUNK_END_CR] = { '\r', CHUNK_END_LF },
		[CHUNK_END_LF] = { '\n', CHUNK_END },
	};

	if (p->chunk == CHUNK_SIZE) {
		take_digit(p, c);
		return;
	}
	if (c != steps[p->chunk].due) {
		refuse(p, 400);
		return;
	}
	p->chunk = steps[p->chunk].then;
	p->chunk_digits = 0;
	if (p->chunk == CHUNK_DATA && !p->left)
		p->chunk = CHUNK_END_CR;
	if (p->chunk == CHUNK_END)
		end_body(p);
}

/* --- life */

static void begin(struct http_parse *p)
{
	llhttp_init(p->grammar, HTTP_REQUEST, &settings);
	((llhttp_t *)p->grammar)->data = p;
	p->state = HTTP_PARSE_HEAD;
	p->method = p->target = p->body_bytes = SPAN("");
	p->header_count = p->line_at = 0;
	p->keeps_alive = p->wants_continue = p->is_chunked = p->has_host = p->has_length = p->head_is_read = false;
	p->left = 0;
	p->chunk_digits = 0;
	p->chunk = CHUNK_ALONE;
	p->status = 0;
}

void http_parse_init(struct http_parse *p, size_t body_bytes_max)
{
	memset(p, 0, sizeof *p);
	p->body_max = body_bytes_max;
	p->grammar = malloc(sizeof(llhttp_t));
	if (!p->grammar)
		panic("out of memory");
	buf_init(&p->head, HTTP_HEAD_BYTES);
	buf_init(&p->body, body_bytes_max);
	begin(p);
}

void http_parse_fini(struct http_parse *p)
{
	buf_wipe(&p->head);
	buf_wipe(&p->body);
	free(p->grammar);
	p->grammar = NULL;
}

void http_parse_next(struct http_parse *p)
{
	buf_wipe(&p->head); /* an idle connection keeps no memory */
	buf_wipe(&p->body);
	begin(p);
}

size_t http_parse_feed(struct http_parse *p, struct span bytes)
{
	size_t taken = feed_head(p, bytes);

	while (p->state == HTTP_PARSE_BODY && taken < bytes.size) {
		if (p->left && (p->chunk == CHUNK_ALONE || p->chunk == CHUNK_DATA))
			taken += take_data(p, span_slice(bytes, taken, bytes.size));
		else
			take_framing(p, bytes.at[taken++]);
	}
	return taken;
}

bool http_parse_has_begun(const struct http_parse *p)
{
	return p->head.size != 0;
}

struct span http_parse_header(const struct http_parse *p, struct span name)
{
	for (size_t i = 0; i < p->header_count; i++)
		if (span_equal_fold(p->headers[i].name, name))
			return p->headers[i].value;
	return SPAN("");
}
