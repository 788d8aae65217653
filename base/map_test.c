#include "base/map.h"

#include "base/rand.h"
#include "tests/test.h"

#include <stdlib.h>

static void what_was_put_is_found(void **state)
{
	struct map m;
	int a, b;

	map_init(&m, false);
	assert_null(map_get(&m, SPAN("x")));
	assert_null(map_put(&m, SPAN("x"), &a));
	assert_ptr_equal(map_put(&m, SPAN("x"), &b), &a);
	assert_ptr_equal(map_get(&m, SPAN("x")), &b);
	assert_null(map_get(&m, SPAN("X")));
	assert_null(map_get(&m, SPAN("")));
	assert_int_equal(map_count(&m), 1);
	assert_ptr_equal(map_remove(&m, SPAN("x")), &b);
	assert_null(map_remove(&m, SPAN("x")));
	assert_int_equal(map_count(&m), 0);
	map_free(&m);
}

static void case_is_folded_when_asked(void **state)
{
	struct map m;
	int a;

	map_init(&m, true);
	map_put(&m, SPAN("Ann@Example.com"), &a);
	assert_ptr_equal(map_get(&m, SPAN("ann@EXAMPLE.COM")), &a);
	assert_null(map_get(&m, SPAN("ann@example.co")));
	map_free(&m);
}

/* A thousand keys put and removed a hundred thousand times, beside a plain array. */
static void it_agrees_with_an_array(void **state)
{
	enum { KEYS = 1000 };
	static char keys[KEYS][8];
	static void *stands[KEYS];
	size_t count = 0, at = 0, seen = 0;
	struct map m;

	map_init(&m, false);
	for (int i = 0; i < KEYS; i++)
		snprintf(keys[i], sizeof keys[i], "k%d", i);
	for (int i = 0; i < 100000; i++) {
		size_t k = (size_t)rand_below(KEYS);
		struct span key = span_of(keys[k]);

		if (rand_below(2)) {
			assert_ptr_equal(map_put(&m, key, keys[k]), stands[k]);
			count += !stands[k];
			stands[k] = keys[k];
		} else {
			assert_ptr_equal(map_remove(&m, key), stands[k]);
			count -= !!stands[k];
			stands[k] = NULL;
		}
	}
	assert_int_equal(map_count(&m), count);
	for (int i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(&m, span_of(keys[i])), stands[i]);
	while (map_next(&m, &at))
		seen++;
	assert_int_equal(seen, count);
	map_free(&m);
}

TESTS(what_was_put_is_found, case_is_folded_when_asked, it_agrees_with_an_array)
