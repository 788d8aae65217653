/* Replies as providers write them, cut anywhere. */
#include "tests/test.h"
#include "wire/smtp_reply.h"

static const struct {
	const char *wire;
	int code; /* 0: no reply */
	const char *enhanced, *text;
} cases[] = {
	{ "250 ok\r\n", 250, "", "ok" },
	{ "334\r\n", 334, "", "" },
	{ "334 \r\n", 334, "", "" },
	{ "354  Go ahead d2e1a72fcca58 - gsmtp\r\n", 354, "", "Go ahead d2e1a72fcca58 - gsmtp" },
	{ "250\tok\n", 250, "", "ok" },
	{ "250 2.1.5 Recipient OK\r\n", 250, "2.1.5", "Recipient OK" },
	{ "250 2.0.0\r\n", 250, "2.0.0", "" },
	{ "535-5.7.8 Username and Password not accepted. Learn more at\r\n535 5.7.8  https://support.google.com/mail/?p=x y - gsmtp\r\n",
	  535, "5.7.8", "Username and Password not accepted. Learn more at https://support.google.com/mail/?p=x y - gsmtp" },
	{ "534 5.7.9 Application-specific password required. Learn more at 5.7.9 https://support.google.com/\r\n", 534, "5.7.9",
	  "Application-specific password required. Learn more at 5.7.9 https://support.google.com/" },
	{ "550-first\r\n550-\r\n550-5.1.1 second\r\n550-5.2.2 third\r\n550\r\n", 550, "5.1.1", "first second 5.2.2 third" },
	{ "451-4.7.0 one\r\n550 5.1.1 other\r\n", 550, "4.7.0", "one 5.1.1 other" }, /* the last code decides */
	{ "250 a\rb\0c\r\n", 250, "", "a\rb" },
	{ "421 4.7.66 TLS 1.0 and 1.1 are not supported.\r\n", 421, "4.7.66", "TLS 1.0 and 1.1 are not supported." },
	{ "250 10.20.30 is no enhanced code\r\n", 250, "", "10.20.30 is no enhanced code" },
	{ "250 2.1.5.6 nor this\r\n", 250, "", "2.1.5.6 nor this" },
	{ "hello\r\n", 0, "", "" },
	{ "\r\n", 0, "", "" },
	{ "25\r\n", 0, "", "" },
	{ "250ok\r\n", 0, "", "" },
	{ "2500 ok\r\n", 0, "", "" },
	{ "150 ok\r\n", 0, "", "" },
	{ "650 ok\r\n", 0, "", "" },
	{ "250-a\r\nok\r\n", 0, "", "" },
	{ " 250 ok\r\n", 0, "", "" },
};

/* Reads one reply in pieces; returns how many bytes it took. */
static size_t read_reply(struct smtp_reply *r, struct span wire, size_t piece, enum smtp_reply_end *end)
{
	size_t at = 0;

	do {
		size_t taken = smtp_reply_feed(r, span_slice(wire, at, piece), end);

		at += taken;
	} while (at < wire.size && (*end == SMTP_REPLY_MORE || *end == SMTP_REPLY_LINE));
	return at;
}

static void every_cutting(void **state)
{
	static struct smtp_reply r;
	enum smtp_reply_end end;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t piece = 1; piece < 200; piece++) {
			struct span wire = span_of(cases[i].wire);

			if (strstr(cases[i].text, "a\rb"))
				wire = SPAN("250 a\rb\r\n");
			smtp_reply_init(&r);
			read_reply(&r, wire, piece, &end);
			assert_int_equal(end, cases[i].code ? SMTP_REPLY_WHOLE : SMTP_REPLY_BROKEN);
			if (!cases[i].code)
				continue;
			assert_int_equal(r.code, cases[i].code);
			assert_span(smtp_reply_enhanced(&r), cases[i].enhanced);
			assert_span(smtp_reply_text(&r), cases[i].text);
		}
}

static void bytes_behind_the_end_stay(void **state)
{
	static struct smtp_reply r;
	enum smtp_reply_end end;

	smtp_reply_init(&r);
	assert_int_equal(smtp_reply_feed(&r, SPAN("250 ok\r\n354 go\r\n"), &end), 8);
	assert_int_equal(end, SMTP_REPLY_WHOLE);
	assert_int_equal(smtp_reply_feed(&r, (struct span){ "", 0 }, &end), 0);
	assert_int_equal(end, SMTP_REPLY_MORE);
	assert_span(smtp_reply_text(&r), "ok");
	assert_int_equal(smtp_reply_feed(&r, SPAN("354 go\r\n"), &end), 8);
	assert_int_equal(r.code, 354);
}

/* 4 KB are kept, however it is spread over lines; the rest is read all the same. */
static void long_replies(void **state)
{
	static struct smtp_reply r;
	static char wire[300000];
	enum smtp_reply_end end;
	size_t size;

	memset(wire, 'x', sizeof wire);
	memcpy(wire, "550 5.1.1 ", 10);
	memcpy(wire + 100000, "\r\n", 2);
	smtp_reply_init(&r);
	assert_int_equal(read_reply(&r, (struct span){ wire, 100002 }, 1000, &end), 100002);
	assert_int_equal(end, SMTP_REPLY_WHOLE);
	assert_span(smtp_reply_enhanced(&r), "5.1.1");
	assert_in_range(smtp_reply_text(&r).size, SMTP_REPLY_TEXT_BYTES - 6, SMTP_REPLY_TEXT_BYTES);
	for (size = 0; size < 100000;)
		size += (size_t)snprintf(wire + size, sizeof wire - size, "550-line of text\r\n");
	size += (size_t)snprintf(wire + size, sizeof wire - size, "550 the last\r\n");
	smtp_reply_init(&r);
	assert_int_equal(read_reply(&r, (struct span){ wire, size }, 777, &end), size);
	assert_int_equal(end, SMTP_REPLY_WHOLE);
	assert_in_range(smtp_reply_text(&r).size, SMTP_REPLY_TEXT_BYTES - 20, SMTP_REPLY_TEXT_BYTES);
	/* a reply without end is none */
	memset(wire, 'x', sizeof wire);
	memcpy(wire, "250 ", 4);
	smtp_reply_init(&r);
	assert_int_equal(read_reply(&r, (struct span){ wire, sizeof wire }, 5000, &end), SMTP_REPLY_TOTAL_BYTES + 1);
	assert_int_equal(end, SMTP_REPLY_BROKEN);
	assert_int_equal(smtp_reply_feed(&r, SPAN("250 ok\r\n"), &end), 0);
	assert_int_equal(end, SMTP_REPLY_BROKEN);
}

static void line_by_line(void **state)
{
	static struct smtp_reply r;
	enum smtp_reply_end end;
	struct span rest = SPAN("250-up\r\n250-SIZE 100\r\n250 DSN\r\n");
	static const char *const lines[] = { "up", "SIZE 100", "DSN" };

	smtp_reply_init(&r);
	for (size_t i = 0; i < 3; i++) {
		rest = span_slice(rest, smtp_reply_feed(&r, rest, &end), rest.size);
		assert_span(smtp_reply_line(&r), lines[i]);
		smtp_reply_drop_line(&r);
	}
	assert_int_equal(end, SMTP_REPLY_WHOLE);
	assert_span(smtp_reply_text(&r), "");
}

TESTS(every_cutting, bytes_behind_the_end_stay, long_replies, line_by_line)
