/* Line ends of every kind become pairs, in every cutting. */
#include "tests/test.h"
#include "wire/line_mend.h"

static const struct {
	bool ends_at_dot;
	const char *in, *out;
} cases[] = {
	{ false, "", "" },
	{ false, "a", "a\r\n" },
	{ false, "a\nb\n", "a\r\nb\r\n" },
	{ false, "a\r\nb\r\n", "a\r\nb\r\n" },
	{ false, "a\rb", "a\r\nb\r\n" },
	{ false, "a\r\rb\r", "a\r\n\r\nb\r\n" },
	{ false, "a\r\r\nb", "a\r\nb\r\n" },
	{ false, "\n\n", "\r\n\r\n" },
	{ false, "\r", "\r\n" },
	{ false, "a\n.\nb\n", "a\r\n.\r\nb\r\n" },
	{ false, "a\n.", "a\r\n.\r\n" },
	{ true, "a\n.\nb\n", "a\r\n" },
	{ true, "a\r\n.\r\nb\n", "a\r\n" },
	{ true, "a\r.\rb\n", "a\r\n" },
	{ true, "a\n.", "a\r\n" },
	{ true, ".\n", "" },
	{ true, "..\n.a\n", "..\r\n.a\r\n" },
	{ true, "a.\n", "a.\r\n" },
	{ true, "a\n.\r\r\n\nb", "a\r\n" },
};

static void every_cutting(void **state)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t piece = 1; piece < 16; piece++) {
			struct span all = span_of(cases[i].in);
			struct line_mend m;
			struct buf out;

			buf_init(&out, 1000);
			line_mend_init(&m, cases[i].ends_at_dot);
			for (size_t at = 0; at < all.size; at += piece)
				assert_true(line_mend_put(&m, span_slice(all, at, piece), &out));
			assert_true(line_mend_end(&m, &out));
			assert_span(buf_span(&out), cases[i].out);
			buf_free(&out);
		}
}

/* A run of CRs is not held for ever. */
static void many_returns(void **state)
{
	char run[3 * LINE_MEND_HELD_BYTES];
	struct line_mend m;
	struct buf out;

	memset(run, '\r', sizeof run);
	buf_init(&out, 4 * sizeof run);
	line_mend_init(&m, false);
	assert_true(line_mend_put(&m, (struct span){ run, sizeof run }, &out));
	assert_int_equal(out.size, 2 * sizeof run);
	assert_int_equal(m.returns, 0);
	buf_free(&out);
}

static void no_room(void **state)
{
	struct line_mend m;
	char memory[4];
	struct buf out;

	buf_over(&out, memory, sizeof memory);
	line_mend_init(&m, false);
	assert_false(line_mend_put(&m, SPAN("abc\n"), &out));
}

TESTS(every_cutting, many_returns, no_room)
