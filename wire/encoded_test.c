/* Text in header fields: as it is where it may be, else in the spelling that the place wants. */
#include "tests/test.h"
#include "wire/encoded.h"

static void texts(void **state)
{
	static const struct {
		const char *text, *put;
	} cases[] = {
		{ "", "" },
		{ "Hello, world", "Hello, world" },
		{ "caf\xc3\xa9", "=?UTF-8?B?Y2Fmw6k=?=" },
		{ "a\r\nBcc: x@y", "=?UTF-8?B?YSAgQmNjOiB4QHk=?=" },
		{ " a", "=?UTF-8?B?IGE=?=" },
		{ "=?x?", "=?UTF-8?B?PT94Pw==?=" },
		{ "one two three four five six seven eight nine ten eleven twelve thirteen", "one two three four five six seven eight nine ten eleven twelve\r\n thirteen" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out;

		buf_init(&out, 4000);
		assert_true(encoded_text(&out, span_of(cases[i].text), 9));
		assert_span(buf_span(&out), cases[i].put);
		buf_free(&out);
	}
}

/* Two-byte letters in a row: none is cut, no line is too long. */
static void long_texts(void **state)
{
	for (size_t column = 0; column < 90; column++) {
		struct span rest, line;
		struct buf text, out;
		size_t longest = 0, before = column;

		buf_init(&text, 4000);
		buf_init(&out, 8000);
		for (unsigned i = 0; i < 300; i++)
			buf_put(&text, SPAN("\xc3\xa9"));
		assert_true(encoded_text(&out, buf_span(&text), column));
		for (rest = buf_span(&out); span_cut(&rest, '\n', &line); before = 0) {
			size_t payload = span_find(line, SPAN("?B?"));

			longest = before + line.size > longest && line.size > 1 ? before + line.size : longest;
			if (payload < line.size)
				assert_int_equal((span_find(line, SPAN("?=")) - payload - 3) % 4, 0);
		}
		assert_true(longest <= ENCODED_LINE_BYTES + 1);
		buf_free(&text);
		buf_free(&out);
	}
}

static void phrases(void **state)
{
	static const struct {
		const char *text, *put;
	} cases[] = {
		{ "Cron Daemon", "Cron Daemon" },
		{ "Doe, John", "\"Doe, John\"" },
		{ "a \"b\" \\", "\"a \\\"b\\\" \\\\\"" },
		{ "Zo\xc3\xab", "=?UTF-8?B?Wm/Dqw==?=" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out;

		buf_init(&out, 4000);
		assert_true(encoded_phrase(&out, span_of(cases[i].text), 6));
		assert_span(buf_span(&out), cases[i].put);
		buf_free(&out);
	}
}

static void parameters(void **state)
{
	static const struct {
		const char *value, *put;
	} cases[] = {
		{ "a.pdf", ";\r\n filename=\"a.pdf\"" },
		{ "a\"b.pdf", ";\r\n filename=\"a\\\"b.pdf\"" },
		{ "r\xc3\xa9sum\xc3\xa9 1.pdf", ";\r\n filename*=UTF-8''r%C3%A9sum%C3%A9%201.pdf" },
		{ "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9",
		  ";\r\n filename*0*=UTF-8''%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9;\r\n filename*1*=%C3%A9" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf out;

		buf_init(&out, 4000);
		assert_true(encoded_parameter(&out, "filename", span_of(cases[i].value)));
		assert_span(buf_span(&out), cases[i].put);
		buf_free(&out);
	}
}

static void refused(void **state)
{
	char memory[4];
	struct buf out;

	buf_over(&out, memory, sizeof memory);
	assert_false(encoded_text(&out, SPAN("\xff"), 0));
	assert_false(encoded_phrase(&out, SPAN("\xc3"), 0));
	assert_false(encoded_parameter(&out, "name", SPAN("\xc3")));
	assert_false(encoded_text(&out, SPAN("hello"), 0));
}

TESTS(texts, long_texts, phrases, parameters, refused)
