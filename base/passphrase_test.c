/* A key under a passphrase: only the passphrase opens it, and only unaltered. */
#include "base/passphrase.h"

#include "tests/test.h"

static void only_the_passphrase_opens_it(void **state)
{
	struct buf file, text;

	buf_init(&file, 4096);
	buf_init(&text, 4096);
	assert_true(passphrase_seal(&file, SPAN("words to remember"), SPAN("the key\n")));
	assert_true(passphrase_sealed(buf_span(&file)));
	assert_true(span_find(buf_span(&file), SPAN("the key")) == file.size);
	assert_true(passphrase_open(&text, SPAN("words to remember"), buf_span(&file)));
	assert_span(buf_span(&text), "the key\n");
	buf_clear(&text);
	assert_false(passphrase_open(&text, SPAN("words to remember "), buf_span(&file)));
	file.at[file.size - 4] ^= 1;
	assert_false(passphrase_open(&text, SPAN("words to remember"), buf_span(&file)));
	assert_int_equal(text.size, 0);
	buf_free(&file);
	buf_free(&text);
}

static void what_was_not_made_here_is_no_sealed_key(void **state)
{
	static const char *const table[] = { "", "# a remark\n", "c29tZXRoaW5n\n", "postern-sealed-key 2 AAAA\n" };
	struct buf text;

	buf_init(&text, 4096);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		assert_false(passphrase_sealed(span_of(table[i])));
		assert_false(passphrase_open(&text, SPAN("x"), span_of(table[i])));
	}
	assert_false(passphrase_open(&text, SPAN("x"), SPAN("postern-sealed-key 1 \n")));
	assert_false(passphrase_open(&text, SPAN("x"), SPAN("postern-sealed-key 1 AAAA\n")));
	assert_false(passphrase_open(&text, SPAN("x"), SPAN("postern-sealed-key 1 not base64 !!\n")));
	assert_false(passphrase_seal(&text, SPAN(""), SPAN("a key")));
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_passphrase_opens_it),
		cmocka_unit_test(what_was_not_made_here_is_no_sealed_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
