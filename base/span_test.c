#include "base/span.h"

#include "tests/test.h"

static void text_is_whole_or_untouched(void **state)
{
	char to[4] = "old";

	assert_false(span_text(to, sizeof to, SPAN("four")));
	assert_string_equal(to, "old");
	assert_true(span_text(to, sizeof to, SPAN("new")));
	assert_string_equal(to, "new");
	assert_true(span_text(to, sizeof to, (struct span){ NULL, 0 }));
	assert_string_equal(to, "");
	assert_false(span_text(to, 0, SPAN("")));
}

static void slices_stay_inside(void **state)
{
	assert_span(span_slice(SPAN("postern"), 0, 4), "post");
	assert_span(span_slice(SPAN("postern"), 4, SIZE_MAX), "ern");
	assert_span(span_slice(SPAN("postern"), 7, 1), "");
	assert_span(span_slice(SPAN("postern"), SIZE_MAX, SIZE_MAX), "");
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t number;
	} rows[] = {
		{ "0", true, 0 }, { "18446744073709551615", true, UINT64_MAX }, { "18446744073709551616", false, 0 }, { "", false, 0 },
		{ "-1", false, 0 }, { "+1", false, 0 }, { " 1", false, 0 }, { "1x", false, 0 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t number = 0;

		assert_int_equal(span_number(span_of(rows[i].text), &number), rows[i].good);
		if (rows[i].good)
			assert_true(number == rows[i].number);
	}
}

static void cutting_gives_every_piece(void **state)
{
	static const char *const wanted[] = { "a", "", "b", "" };
	struct span rest = SPAN("a,,b,"), piece;

	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		assert_true(span_cut(&rest, ',', &piece));
		assert_span(piece, wanted[i]);
	}
	assert_false(span_cut(&rest, ',', &piece));
	assert_null(rest.at);
}

static void finding(void **state)
{
	assert_int_equal(span_find(SPAN("aab"), SPAN("ab")), 1);
	assert_int_equal(span_find(SPAN("aab"), SPAN("abc")), 3);
	assert_int_equal(span_find_fold(SPAN("xDATA"), SPAN("data")), 1);
	assert_int_equal(span_find_byte(SPAN("ab"), 'b'), 1);
	assert_int_equal(span_find_byte(SPAN(""), 'b'), 0);
	assert_true(span_starts_fold(SPAN("Mail from"), SPAN("MAIL")));
	assert_false(span_starts(SPAN("Mail"), SPAN("MAIL")));
	assert_false(span_starts(SPAN("MA"), SPAN("MAIL")));
	assert_true(span_ends_fold(SPAN("a@B.example"), SPAN("@b.EXAMPLE")));
	assert_true(span_equal_fold(SPAN("\xc9"), SPAN("\xc9")));
	assert_false(span_equal_fold(SPAN("\xc9"), SPAN("\xe9")));
	assert_span(span_trim(SPAN(" \t x y\r\n")), "x y");
}

TESTS(text_is_whole_or_untouched, slices_stay_inside, numbers, cutting_gives_every_piece, finding)
