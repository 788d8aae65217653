/* Encodings against their published examples, and what each decoder must refuse. */
#include "base/text.h"
#include "tests/test.h"

static bool decodes(bool (*decode)(struct buf *, struct span), const char *text, const char *wanted)
{
	struct buf b;
	bool good;

	buf_init(&b, 4096);
	good = decode(&b, span_of(text));
	if (good && wanted)
		good = span_equal(buf_span(&b), span_of(wanted));
	buf_free(&b);
	return good;
}

static void encodes(bool (*encode)(struct buf *, struct span), const char *text, const char *wanted)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_true(encode(&b, span_of(text)));
	assert_span(buf_span(&b), wanted);
	buf_free(&b);
}

/* RFC 4648 10 */
static void base64_examples(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" },
						{ "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		encodes(text_base64, pairs[i][0], pairs[i][1]);
		assert_true(decodes(text_from_base64, pairs[i][1], pairs[i][0]));
	}
}

static void base64_strictness(void **state)
{
	assert_true(decodes(text_from_base64, "Zg", "f"));        /* unpadded clients */
	assert_false(decodes(text_from_base64, "Zg=", NULL));
	assert_false(decodes(text_from_base64, "Z", NULL));
	assert_false(decodes(text_from_base64, "Zh==", NULL));    /* left-over bits */
	assert_false(decodes(text_from_base64, "Zm9v\n", NULL));
	assert_false(decodes(text_from_base64, "Zm 9v", NULL));
	assert_false(decodes(text_from_base64, "-_-_", NULL));
	assert_false(decodes(text_from_base64, "Zg==Zg==", NULL));
	assert_false(decodes(text_from_base64, "=", NULL));
	assert_true(decodes(text_from_base64_url, "-_-_", "\xfb\xff\xbf"));
	assert_false(decodes(text_from_base64_url, "+/+/", NULL));
}

/* An unpadded encoding fits a buffer of exactly its size. */
static void base64_room(void **state)
{
	struct buf b;

	for (size_t size = 0; size < 40; size++) {
		buf_init(&b, (size * 4 + 2) / 3);
		assert_true(text_base64_url(&b, (struct span){ "0123456789012345678901234567890123456789", size }));
		assert_int_equal(b.size, (size * 4 + 2) / 3);
		buf_free(&b);
	}
}

static void percent(void **state)
{
	encodes(text_percent, "a b&c=d/\xc3\xa9", "a%20b%26c%3Dd%2F%C3%A9");
	assert_true(decodes(text_from_percent, "a+b%26c", "a b&c"));
	assert_false(decodes(text_from_percent, "%4", NULL));
	assert_false(decodes(text_from_percent, "%zz", NULL));
}

static void html_and_plain(void **state)
{
	encodes(text_html, "<a href='x'>\"&", "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
	encodes(text_plain, "a\r\nb\x1b[0m\xc3\xa9\xff\xe2\x80\xa8", "a??b?[0m\xc3\xa9??");
}

static void dates(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_true(text_mail_date(&b, 1433160000000));
	assert_span(buf_span(&b), "Mon, 01 Jun 2015 12:00:00 +0000");
	buf_clear(&b);
	assert_true(text_date(&b, 1433160000007));
	assert_span(buf_span(&b), "2015-06-01T12:00:00.007Z");
	buf_free(&b);
}

static void dates_are_read(void **state)
{
	static const struct {
		const char *text;
		int64_t wall_ms;
	} good[] = {
		{ "2015-06-01", 1433116800000 },
		{ "2015-06-01T12:00:00.007Z", 1433160000007 },
		{ "2015-06-01t14:30:00.0071+02:30", 1433160000007 },
		{ "2015-06-01T07:00:00-05:00", 1433160000000 },
		{ "1970-01-01T00:00:00Z", 0 },
		{ "2024-02-29", 1709164800000 },
		{ "9999-12-31T23:59:60Z", 253402300800000 },
	};
	static const char *const bad[] = { "", "2015", "2015-6-1", "2015-13-01", "2015-00-10", "2015-02-29", "2100-02-29", "2015-06-31", "1969-12-31",
					   "2015-06-01T", "2015-06-01T12:00:00", "2015-06-01T24:00:00Z", "2015-06-01T12:00:00.Z", "2015-06-01T12:00:00Zx",
					   "2015-06-01T12:00:00+1:00", "1970-01-01T00:00:00+01:00", "20150601", "2015/06/01" };
	int64_t wall_ms;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(text_from_date(span_of(good[i].text), &wall_ms));
		assert_int_equal(wall_ms, good[i].wall_ms);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (text_from_date(span_of(bad[i]), &wall_ms))
			fail_msg("'%s' was read", bad[i]);
}

/* Every day there is, both ways. */
static void every_day_is_read_back(void **state)
{
	char memory[64];
	int64_t wall_ms;
	struct buf b;

	for (int64_t day = 0; day < 60000; day++) {
		buf_over(&b, memory, sizeof memory);
		assert_true(text_date(&b, day * 86400000));
		assert_true(text_from_date(span_slice(buf_span(&b), 0, 10), &wall_ms));
		assert_int_equal(wall_ms, day * 86400000);
	}
}

static void utf8(void **state)
{
	assert_true(text_is_utf8(SPAN("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")));
	assert_false(text_is_utf8(SPAN("\xc0\x80")));
	assert_false(text_is_utf8(SPAN("\xed\xa0\x80")));
	assert_false(text_is_utf8(SPAN("\xe2\x82")));
}

static void what_hides_is_found(void **state)
{
	static const char *const plain[] = { "", "erp", "a b", "\xc3\xa9l\xc3\xa8ve", "e\xcc\x81", "\xd0\xb0lex", "\xe6\xbc\xa2\xe5\xad\x97", "\xf0\x9f\x93\xa0" };
	static const char *const hidden[] = { "e\xc2\xadrp", "e\xe2\x80\x8brp", "\xef\xbb\xbf" "erp", "\xe2\x80\xae" "erp", "\xef\xbd\x85rp", "a\xc2\xa0" "b",
					      "a\xe3\x80\x80" "b", "a\tb", "a\x7f", "a\xc2\x85", "\xf3\xa0\x81\x85rp", "a\xcd\x8f", "\xff" };

	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		assert_true(text_hides_nothing(span_of(plain[i])));
	for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
		if (text_hides_nothing(span_of(hidden[i])))
			fail_msg("case %zu", i);
	assert_false(text_hides_nothing((struct span){ "a\0b", 3 }));
}

TESTS(base64_examples, base64_strictness, base64_room, percent, html_and_plain, dates, dates_are_read, every_day_is_read_back, utf8,
      what_hides_is_found)
