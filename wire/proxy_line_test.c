/* PROXY headers of both versions, cut anywhere, and what is none. */
#include "wire/proxy_line.h"

#include "tests/test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Feeds in cuts of `step`; the bytes behind the header must be left alone. */
static struct proxy_line read_header(struct span text, size_t step, size_t *taken_out)
{
	struct proxy_line p;

	proxy_line_init(&p);
	for (*taken_out = 0; *taken_out < text.size && p.state == PROXY_LINE_MORE;)
		*taken_out += proxy_line_feed(&p, span_slice(text, *taken_out, step));
	return p;
}

static void good_headers(void **state)
{
	static const struct {
		struct span text;
		const char *address;
		unsigned port;
		bool is_local;
	} cases[] = {
		{ SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"), "192.0.2.7", 56324, false },
		{ SPAN("PROXY TCP6 2001:DB8::7 2001:db8::1 0 65535\r\n"), "2001:db8::7", 0, false },
		{ SPAN("PROXY UNKNOWN\r\n"), "", 0, true },
		{ SPAN("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "", 0, true },
		{ SPAN(SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"), "192.0.2.7", 56324,
		  false },
		{ SPAN(SIGNATURE "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0"
				 "\0\0\0\0\0\x01\0\x01\0\x02"),
		  "2001:db8::7", 1, false },
		{ SPAN(SIGNATURE "\x21\x11\0\x10\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19\x04\0\x01\0"), "192.0.2.7",
		  56324, false },
		{ SPAN(SIGNATURE "\x20\0\0\0"), "", 0, true },
		{ SPAN(SIGNATURE "\x20\x11\0\x03xyz"), "", 0, true },
		{ SPAN(SIGNATURE "\x21\0\0\0"), "", 0, true },
	};
	char text[200];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 80; step++) {
			size_t taken, size = cases[i].text.size;
			struct proxy_line p;

			memcpy(text, cases[i].text.at, size);
			memcpy(text + size, "EHLO c\r\n", 8);
			p = read_header((struct span){ text, size + 8 }, step, &taken);
			assert_int_equal(p.state, PROXY_LINE_DONE);
			assert_int_equal(taken, size);
			assert_string_equal(p.address, cases[i].address);
			assert_int_equal(p.port, cases[i].port);
			assert_int_equal(p.is_local, cases[i].is_local);
		}
}

/* T-RELAY 18: nothing but a true header moves an address. */
static void t_relay_18_broken_headers(void **state)
{
	static const struct span cases[] = {
		SPAN("EHLO c\r\n"),
		SPAN("proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n"),
		SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n"),
		SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n"),
		SPAN("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n"),
		SPAN("PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"),
		SPAN("PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n"),
		SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n"),
		SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n"),
		SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n"),
		SPAN("PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n"),
		SPAN("PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n"),
		SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n"),
		SPAN("PROXY \r\n"),
		SPAN("PROXY TCP4 192.0.2.7\0 198.51.100.1 1 2\r\n"),
		SPAN("PROXY\r\n"),
		SPAN("P\n"),
		SPAN("\n"),
		SPAN(SIGNATURE "\x11\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"),
		SPAN(SIGNATURE "\x22\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"),
		SPAN(SIGNATURE "\x21\x12\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"),
		SPAN(SIGNATURE "\x21\x31\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0\x19"),
		SPAN(SIGNATURE "\x21\x11\0\x0b\xc0\0\x02\x07\xc6\x33\x64\x01\xdc\x04\0"),
		SPAN(SIGNATURE "\x21\x21\0\0"),
		SPAN(SIGNATURE "\x21\x11\xff\xff"),
		SPAN("\r\n\r\nEHLO c\r\n"),
	};
	char endless[200];
	size_t taken;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 80; step += 3)
			if (read_header(cases[i], step, &taken).state != PROXY_LINE_BROKEN)
				fail_msg("case %zu was taken for a header", i);
	memset(endless, 'x', sizeof endless);
	memcpy(endless, "PROXY UNKNOWN ", 14);
	assert_int_equal(read_header((struct span){ endless, sizeof endless }, 200, &taken).state, PROXY_LINE_BROKEN);
	assert_int_equal(taken, 108);
}

TESTS(good_headers, t_relay_18_broken_headers)
