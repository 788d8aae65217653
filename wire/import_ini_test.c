/* Sections and keys as Python's configparser has them. */
#include "wire/import_ini.h"

#include "tests/test.h"

static const char text[] = "# a comment\n; another\n[DEFAULT]\nshared = yes\n\n[One]\nKey = value\nother: a = b\nlong = first\n  second\n# between\n\tthird\n"
			   "  indented = x\nempty =\n[two]\nshared = no\nkey=2\n[One]\nkey = last\n";

static void values(void **state)
{
	static const struct { const char *section, *key, *value; } cases[] = {
		{ "One", "other", "a = b" }, { "One", "KEY", "last" }, { "One", "shared", "yes" }, { "two", "shared", "no" },
		{ "two", "key", "2" }, { "one", "key", "" }, { "One", "empty", "" }, { "none", "shared", "yes" },
	};
	struct arena *arena = arena_new(1 << 20);
	struct import_ini ini;

	assert_true(import_ini_read(&ini, arena, span_of(text)));
	assert_int_equal(ini.section_count, 3);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_span(import_ini_value(&ini, span_of(cases[i].section), cases[i].key), cases[i].value);
	assert_true(import_ini_has(&ini, SPAN("two")));
	assert_false(import_ini_has(&ini, SPAN("three")));
	arena_free(&arena);
}

/* What is deeper than its key goes on, whatever it looks like; comments between count for nothing. */
static void values_of_several_lines(void **state)
{
	struct arena *arena = arena_new(1 << 20);
	struct import_ini ini;
	struct span value;

	assert_true(import_ini_read(&ini, arena, span_of(text)));
	value = import_ini_value(&ini, SPAN("One"), "long");
	assert_true(span_starts(value, SPAN("first")));
	assert_int_equal(span_find_byte(value, '\n'), value.size);
	assert_true(span_find(value, SPAN("second")) < value.size && span_find(value, SPAN("third")) < value.size);
	assert_true(span_find(value, SPAN("indented = x")) < value.size);
	assert_int_equal(span_find(value, SPAN("between")), value.size);
	arena_free(&arena);
}

static void what_is_none(void **state)
{
	static const struct { struct span text; unsigned line; } cases[] = {
		{ SPAN("key = 1\n"), 1 }, { SPAN("[a]\nnothing\n"), 2 }, { SPAN("[a]\n= 1\n"), 2 }, { SPAN("[a]\nk = \0\n"), 2 },
	};
	struct arena *arena = arena_new(1 << 20);
	struct import_ini ini;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_false(import_ini_read(&ini, arena, cases[i].text));
		assert_int_equal(ini.line, cases[i].line);
	}
	arena_free(&arena);
}

TESTS(values, values_of_several_lines, what_is_none)
