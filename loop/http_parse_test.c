/* Requests: what is read, what is refused, and that cutting changes nothing. */
#include "loop/http_parse.h"
#include "tests/test.h"

#include <stdlib.h>

#define HEAD "GET /a HTTP/1.1\r\nHost: h\r\n"

/* One line for each request, then the refusal, if any. */
static void describe(struct buf *out, struct http_parse *p)
{
	if (p->state == HTTP_PARSE_REFUSED) {
		buf_print(out, "%d", p->status);
		return;
	}
	buf_print(out, "%.*s %.*s", SPAN_ARGS(p->method), SPAN_ARGS(p->target));
	for (size_t i = 0; i < p->header_count; i++)
		buf_print(out, " [%.*s=%.*s]", SPAN_ARGS(p->headers[i].name), SPAN_ARGS(p->headers[i].value));
	if (p->body_bytes.size)
		buf_print(out, " {%.*s}", SPAN_ARGS(p->body_bytes));
	buf_print(out, "%s;", p->keeps_alive ? "" : " last");
}

/* `seed` 0 is whole, 1 byte by byte, others random pieces. */
static void run(struct buf *out, struct span input, unsigned seed, size_t body_max)
{
	struct http_parse p;
	bool ends = false;

	buf_clear(out);
	http_parse_init(&p, body_max);
	while (!ends && input.size) {
		size_t cut = seed == 0 ? input.size : 1;

		if (seed > 1) {
			seed = seed * 1103515245u + 12345u;
			cut = (seed >> 16) % 9 + 1;
		}
		for (struct span piece = span_slice(input, 0, cut); piece.size && !ends;) {
			size_t taken = http_parse_feed(&p, piece);

			piece = span_slice(piece, taken, piece.size);
			input = span_slice(input, taken, input.size);
			if (p.wants_continue) {
				buf_print(out, "continue;");
				p.wants_continue = false;
			}
			if (p.state < HTTP_PARSE_WHOLE)
				continue;
			describe(out, &p);
			ends = p.state == HTTP_PARSE_REFUSED;
			if (!ends)
				http_parse_next(&p);
		}
	}
	if (!ends && http_parse_has_begun(&p))
		buf_print(out, "...");
	http_parse_fini(&p);
}

static void gives(struct span input, const char *wanted)
{
	struct buf got;

	buf_init(&got, 1 << 20);
	for (unsigned seed = 0; seed < 40; seed++) {
		run(&got, input, seed, 64);
		if (!span_equal(buf_span(&got), span_of(wanted)))
			print_error("seed %u, input |%.*s|\n", seed, SPAN_ARGS(input));
		assert_span(buf_span(&got), wanted);
	}
	buf_free(&got);
}

static void requests(void **state)
{
	gives(SPAN(HEAD "\r\n"), "GET /a [Host=h];");
	gives(SPAN("\r\n" HEAD "\r\n"), "GET /a [Host=h];");
	gives(SPAN(HEAD "X-Empty:\r\nX-Wide: \t a b \t\r\n\r\n"), "GET /a [Host=h] [X-Empty=] [X-Wide=a b];");
	gives(SPAN("HEAD /a?b=%20c HTTP/1.1\r\nhost: h\r\nConnection: close\r\n\r\n"),
	      "HEAD /a?b=%20c [host=h] [Connection=close] last;");
	gives(SPAN("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
	      "POST /a [Host=h] [Content-Length=5] {hello};");
	gives(SPAN("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"), "POST /a [Host=h] [Content-Length=0];");
	gives(SPAN("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
	      "PUT /a [Host=h] [Transfer-Encoding=Chunked] {hello};");
	gives(SPAN("PATCH / HTTP/1.1\r\nHost: h\r\n\r\nDELETE / HTTP/1.1\r\nHost: h\r\n\r\n"),
	      "PATCH / [Host=h];DELETE / [Host=h];");
	gives(SPAN("GET / HTTP/1.0\r\n\r\n"), "GET / last;");
	gives(SPAN("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "GET / [Connection=keep-alive];");
	gives(SPAN(HEAD), "...");
	gives(SPAN(""), "");
}

/* Pipelined: what stands behind a body is the next request, and is not lost. */
static void pipelining(void **state)
{
	gives(SPAN("POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
		   "POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET /4 "
		   "HTTP/1.1\r\nHost: h\r\n\r\n"),
	      "POST /1 [Host=h] [Content-Length=3] {abc};GET /2 [Host=h];POST /3 [Host=h] [Transfer-Encoding=chunked] "
	      "{x};"
	      "GET /4 [Host=h];");
}

/* The table of what parsers disagree on; each row was accepted by somebody. */
static void strictness(void **state)
{
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\nx"), "400");
	gives(SPAN(HEAD "X: a\rX-Smuggled: b\r\n\r\n"), "400");
	gives(SPAN("GET / HTTP/1.1\rHost: h\r\r"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	      "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
	      "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\nx"), "400");
	gives(SPAN("GET / HTTP/1.1\nHost: h\n\n"), "400");
	gives(SPAN("GET / HTTP/1.1\r\nHost: h\n\r\n"), "400");
	gives(SPAN(HEAD "X: a\0b\r\n\r\n"), "400");
	gives(SPAN(HEAD "X\0: a\r\n\r\n"), "400");
	gives(SPAN("GET / HTTP/1.1\r\nHost: h\r\n\rX"), "400");
	gives(SPAN(HEAD " X: folded\r\n\r\n"), "400");
	gives(SPAN("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), "400");
	gives(SPAN(HEAD "X: a\r\n\tb\r\n\r\n"), "400");
	gives(SPAN("GET / HTTP/1.1\r\n\r\n"), "400");
	gives(SPAN("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
	      "400");
	gives(SPAN("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nTransfer_Encoding: chunked\r\nX: \x0b"
		   "chunked\r\n\r\n"),
	      "400");
	gives(SPAN(HEAD "no colon\r\n\r\n"), "400");
	gives(SPAN(HEAD ": no name\r\n\r\n"), "400");
}

static void lengths(void **state)
{
	static const char *const wrong[] = { "-1", "+1", "0x1", "1 1", "", "99999999999999999999", "1e1", "\xc2\xb9" };
	char text[200];

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %s\r\n\r\nx", wrong[i]);
		gives(span_of(text), "400");
	}
}

#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

static void chunks(void **state)
{
	gives(SPAN(CHUNKED "1;ext=1\r\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1;ext\r\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nx\r\n0\r\nTrailer: x\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nx\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nxy\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1 \r\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "0x1\r\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "-1\r\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "\r\nx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "ffffffffffffffff1\r\nx"), "413");
	gives(SPAN(CHUNKED "0000000001\r\nx\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nx\r\n0\r\n\rX"), "400");
	gives(SPAN(CHUNKED "1\r\nx\r\n0\r\n\n"), "400");
	gives(SPAN(CHUNKED "1\rx\r\n0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nx\r0\r\n\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nx\r\n0\rx\r\n"), "400");
	gives(SPAN(CHUNKED "1\r\nx\r\n00\r\n\r\n" HEAD "\r\n"),
	      "POST / [Host=h] [Transfer-Encoding=chunked] {x};GET /a [Host=h];");
	gives(SPAN(CHUNKED "0\r\n\r\n"), "POST / [Host=h] [Transfer-Encoding=chunked];");
	gives(SPAN(CHUNKED "1\r\nx\r\n"), "...");
}

static void request_lines(void **state)
{
	static const struct {
		const char *line, *wanted;
	} rows[] = {
		{ "GET /", "400" },
		{ "GET", "400" },
		{ "", "400" },
		{ "GET / HTTP/1.1 ", "400" },
		{ "GET  / HTTP/1.1", "400" },
		{ " GET / HTTP/1.1", "400" },
		{ "GET / http/1.1", "400" },
		{ "GET / HTTP/11", "400" },
		{ "GET / HTTP/1.2", "505" },
		{ "GET / HTTP/2.0", "505" },
		{ "PRI * HTTP/2.0", "505" },
		{ "GET /\xc3\xa9 HTTP/1.1", "400" },
		{ "GET /a#b HTTP/1.1", "400" },
		{ "GET a HTTP/1.1", "400" },
		{ "GET http://h/ HTTP/1.1", "400" },
		{ "CONNECT h:443 HTTP/1.1", "405" },
		{ "OPTIONS * HTTP/1.1", "405" },
		{ "TRACE / HTTP/1.1", "405" },
		{ "BREW / HTTP/1.1", "405" },
		{ "get / HTTP/1.1", "400" },
		{ "EHLO there", "400" },
		{ "\x16\x03\x01\x02", "400" },
	};
	char text[200];

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		/* said at the end of the line: nobody waits for more */
		snprintf(text, sizeof text, "%s\r\n%s", rows[i].line, *rows[i].line ? "" : "\r\n");
		gives(span_of(text), rows[i].wanted);
	}
}

static void ceilings(void **state)
{
	struct buf input;
	struct span kept;

	buf_init(&input, 1 << 20);
	buf_put(&input, SPAN(HEAD "X: "));
	while (input.size < HTTP_HEAD_BYTES - 4)
		buf_put_byte(&input, 'x');
	buf_put(&input, SPAN("\r\n\r\n"));
	struct http_parse p;
	http_parse_init(&p, 64);
	assert_int_equal(http_parse_feed(&p, buf_span(&input)), HTTP_HEAD_BYTES);
	assert_int_equal(p.state, HTTP_PARSE_WHOLE);
	kept = http_parse_header(&p, SPAN("x"));
	assert_int_equal(kept.size, HTTP_HEAD_BYTES - 4 - strlen(HEAD "X: "));
	http_parse_fini(&p);
	buf_drop(&input, 0);
	input.size -= 4;
	buf_put(&input, SPAN("x\r\n\r\n"));
	gives(buf_span(&input), "431");
	for (unsigned count = 99; count <= 100; count++) {
		buf_clear(&input);
		buf_put(&input, SPAN(HEAD));
		for (unsigned i = 0; i < count; i++)
			buf_put(&input, SPAN("X: y\r\n"));
		buf_put(&input, SPAN("\r\n"));
		http_parse_init(&p, 64);
		http_parse_feed(&p, buf_span(&input));
		assert_int_equal(p.state, count == 99 ? HTTP_PARSE_WHOLE : HTTP_PARSE_REFUSED);
		assert_int_equal(p.status, count == 99 ? 0 : 431);
		http_parse_fini(&p);
	}
	buf_free(&input);
}

static void bodies_too_large(void **state)
{
	char text[512] = CHUNKED;

	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n"), "413");
	for (int i = 0; i < 9; i++)
		strcat(text, "8\r\n12345678\r\n");
	gives(span_of(text), "413");
}

static void expectations(void **state)
{
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx"),
	      "continue;POST / [Host=h] [Content-Length=1] [Expect=100-continue] {x};");
	gives(SPAN(HEAD "Expect: 100-Continue\r\n\r\n"), "GET /a [Host=h] [Expect=100-Continue];");
	gives(SPAN(HEAD "Expect: miracles\r\n\r\n"), "417");
}

/* Another protocol is offered; it is answered in ours. */
static void upgrades_are_passed_over(void **state)
{
	gives(SPAN(HEAD
		   "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
	      "GET /a [Host=h] [Connection=Upgrade, HTTP2-Settings] [Upgrade=h2c];GET /b [Host=h];");
	gives(SPAN("POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\nx"),
	      "POST / [Host=h] [Connection=upgrade] [Upgrade=h2c] [Content-Length=1] {x};");
}

/* Thousands of cuts of random mixtures. */
static void cutting_changes_nothing(void **state)
{
	const struct span parts[] = {
		SPAN(HEAD "\r\n"),
		SPAN("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
		SPAN(CHUNKED "2\r\nab\r\n0\r\n\r\n"),
		SPAN("\r\n"),
		SPAN(HEAD " x\r\n\r\n"),
		SPAN("GET / HTTP/1.0\r\n\r\n"),
		SPAN(CHUNKED "2\r\nabc\r\n"),
		SPAN("junk"),
	};
	struct buf input, whole, cut;

	buf_init(&input, 4096);
	buf_init(&whole, 65536);
	buf_init(&cut, 65536);
	for (unsigned seed = 2; seed < 3000; seed++) {
		unsigned dice = seed * 2654435761u;

		buf_clear(&input);
		for (int i = 0; i < 4; i++)
			buf_put(&input, parts[(dice = dice * 1103515245u + 12345u) >> 20 & 7]);
		run(&whole, buf_span(&input), 0, 64);
		run(&cut, buf_span(&input), seed, 64);
		if (!span_equal(buf_span(&whole), buf_span(&cut)))
			fail_msg("seed %u: |%.*s| |%.*s|", seed, SPAN_ARGS(buf_span(&whole)),
				 SPAN_ARGS(buf_span(&cut)));
	}
	buf_free(&input);
	buf_free(&whole);
	buf_free(&cut);
}

TESTS(requests, pipelining, strictness, lengths, chunks, request_lines, ceilings, bodies_too_large, expectations,
      upgrades_are_passed_over, cutting_changes_nothing)
