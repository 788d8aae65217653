#include "base/json.h"

#include "tests/test.h"

static json_t *read(const char *text)
{
	return json_read(span_of(text), 4096);
}

static void members_are_read(void **state)
{
	json_t *j = read("{\"a\":\"x\\u00e9\",\"n\":-7,\"t\":\"3599\",\"f\":true,\"w\":\"No\",\"l\":[\"p\",\"q\",3],\"z\":null}");
	struct span item;
	int64_t n = 0;

	assert_non_null(j);
	assert_span(json_text(j, "a"), "x\xc3\xa9");
	assert_span(json_text(j, "n"), "");
	assert_span(json_text(j, "missing"), "");
	assert_true(json_whole(j, "n", &n));
	assert_int_equal(n, -7);
	assert_true(json_whole(j, "t", &n));
	assert_int_equal(n, 3599);
	assert_false(json_whole(j, "a", &n));
	assert_false(json_whole(j, "missing", &n));
	assert_true(json_flag(j, "f", false));
	assert_false(json_flag(j, "w", true));
	assert_true(json_flag(j, "missing", true));
	assert_true(json_item(j, "l", 1, &item));
	assert_span(item, "q");
	assert_false(json_item(j, "l", 2, &item));
	assert_true(json_item(j, "a", 0, &item));
	assert_false(json_item(j, "a", 1, &item));
	assert_true(json_has(j, "n"));
	assert_false(json_has(j, "z"));
	json_decref(j);
}

static void what_is_no_sound_json_is_refused(void **state)
{
	static const char *const bad[] = { "", "1", "{", "{\"a\":1,\"a\":2}", "{} x", "<html>", "{\"a\":\"\\ud800\"}", "[1,]" };
	char deep[300];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_null(read(bad[i]));
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	deep[200] = 0;
	assert_null(read(deep));
	assert_null(json_read(SPAN("{\"a\":1}"), 3));
	assert_null(json_read((struct span){ 0 }, 3));
}

static void brackets_in_texts_are_no_depth(void **state)
{
	json_t *j = read("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"{{{\"}");

	assert_non_null(j);
	json_decref(j);
}

static void members_are_written(void **state)
{
	json_t *j = json_object();
	struct buf out;

	buf_init(&out, 256);
	json_put_text(j, "b", SPAN("\xc3\xa9\"\n"));
	json_put_text(j, "bad", SPAN("x\xff"));
	json_put_text(j, "empty", (struct span){ 0 });
	json_put_whole(j, "a", -3);
	json_put_flag(j, "c", true);
	assert_true(json_write(&out, j));
	assert_span(buf_span(&out), "{\"b\":\"\xc3\xa9\\\"\\n\",\"bad\":\"x?\",\"empty\":\"\",\"a\":-3,\"c\":true}");
	buf_free(&out);
	json_decref(j);
}

/* What was written must be readable, whatever bytes somebody put into a text. */
static void nul_is_no_text(void **state)
{
	json_t *j = json_object(), *again;
	struct buf out;

	assert_null(json_read((struct span){ "{\"a\":2\0}", 8 }, 4096));
	buf_init(&out, 256);
	json_put_text(j, "a", (struct span){ "x\0y", 3 });
	assert_true(json_write(&out, j));
	again = json_read(buf_span(&out), 4096);
	assert_span(json_text(again, "a"), "x?y");
	buf_free(&out);
	json_decref(j);
	json_decref(again);
}

TESTS(nul_is_no_text, members_are_read, what_is_no_sound_json_is_refused, brackets_in_texts_are_no_depth, members_are_written)
