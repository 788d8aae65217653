/* tests/test.h - what every unit test includes: cmocka, a span assertion, and a main from a list of names.
 *
 * Why       A test file should hold cases and nothing else.
 * Promise   TESTS(a, b) runs each of `void a(void **state)`; the exit code counts the failures.
 * Owns      Nothing.
 * Refuses   More than 40 cases in a file: split it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/span.h"

/* Compares a span with a C string, and prints both when they differ. */
#define assert_span(span, text) assert_span_at(span, text, __FILE__, __LINE__)

static inline void assert_span_at(struct span got, const char *wanted, const char *file, int line)
{
	if (got.size == strlen(wanted) && !memcmp(got.at, wanted, got.size))
		return;
	print_error("got    |%.*s|\nwanted |%s|\n", (int)got.size, got.at ? got.at : "", wanted);
	_fail(file, line);
}

#define TEST_EACH(M, ...) __VA_OPT__(TEST_EXPAND(TEST_STEP(M, __VA_ARGS__)))
#define TEST_STEP(M, x, ...) M(x) __VA_OPT__(TEST_AGAIN TEST_PARENS (M, __VA_ARGS__))
#define TEST_AGAIN() TEST_STEP
#define TEST_PARENS ()
#define TEST_EXPAND(...) TEST_EXPAND3(TEST_EXPAND3(TEST_EXPAND3(TEST_EXPAND3(__VA_ARGS__))))
#define TEST_EXPAND3(...) TEST_EXPAND2(TEST_EXPAND2(TEST_EXPAND2(TEST_EXPAND2(__VA_ARGS__))))
#define TEST_EXPAND2(...) TEST_EXPAND1(TEST_EXPAND1(TEST_EXPAND1(__VA_ARGS__)))
#define TEST_EXPAND1(...) __VA_ARGS__

#define TESTS(...)                                                                              \
	int main(void)                                                                          \
	{                                                                                       \
		const struct CMUnitTest tests[] = { TEST_EACH(cmocka_unit_test_entry, __VA_ARGS__) }; \
		return cmocka_run_group_tests(tests, NULL, NULL);                               \
	}
#define cmocka_unit_test_entry(name) cmocka_unit_test(name),
