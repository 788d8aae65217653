#include "identity/throttle.h"

#include "tests/test.h"

enum { LIMIT = 20 };

static void fail_times(struct throttle *t, struct span address, int times, int64_t now_ms)
{
	for (int i = 0; i < times; i++)
		throttle_fail(t, address, now_ms);
}

static void the_limit_is_exact(void **state)
{
	struct throttle *t = throttle_new(LIMIT);

	fail_times(t, SPAN("\x0a\0\0\1"), LIMIT, 0);
	assert_false(throttle_is_over(t, SPAN("\x0a\0\0\1"), 0));
	fail_times(t, SPAN("\x0a\0\0\1"), 1, 0);
	assert_true(throttle_is_over(t, SPAN("\x0a\0\0\1"), 0));
	assert_false(throttle_is_over(t, SPAN("\x0a\0\0\2"), 0));
	throttle_free(&t);
}

static void it_leaks_away(void **state)
{
	struct throttle *t = throttle_new(LIMIT);

	fail_times(t, SPAN("\x0a\0\0\1"), LIMIT * 100, 0);
	assert_true(throttle_is_over(t, SPAN("\x0a\0\0\1"), THROTTLE_WINDOW_MS - 1));
	assert_false(throttle_is_over(t, SPAN("\x0a\0\0\1"), THROTTLE_WINDOW_MS * 2));
	throttle_free(&t);
}

/* A clock of many small steps gives the same answer as one jump. */
static void small_steps_leak_as_one(void **state)
{
	struct throttle *t = throttle_new(LIMIT);
	int64_t now_ms = 0;

	fail_times(t, SPAN("\x0a\0\0\1"), LIMIT + 10, 0);
	while (throttle_is_over(t, SPAN("\x0a\0\0\1"), now_ms))
		now_ms += 1000;
	assert_in_range(now_ms, THROTTLE_WINDOW_MS * 10 / LIMIT - 1000, THROTTLE_WINDOW_MS * 10 / LIMIT + 40000);
	throttle_free(&t);
}

static void a_network_of_ipv6_counts_as_one(void **state)
{
	struct throttle *t = throttle_new(LIMIT);

	for (int i = 0; i < LIMIT + 1; i++) {
		char address[16] = { 0x20, 1, 0xd, (char)0xb8, 0, 0, 0, 1 };

		address[15] = (char)i;
		throttle_fail(t, (struct span){ address, 16 }, 0);
	}
	assert_true(throttle_is_over(t, SPAN("\x20\1\x0d\xb8\0\0\0\1\xff\xff\xff\xff\xff\xff\xff\xff"), 0));
	assert_false(throttle_is_over(t, SPAN("\x20\1\x0d\xb8\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff"), 0));
	throttle_free(&t);
}

static void a_flood_of_addresses_forgets_the_oldest(void **state)
{
	struct throttle *t = throttle_new(LIMIT);

	fail_times(t, SPAN("old!"), LIMIT + 1, 0);
	fail_times(t, SPAN("busy"), LIMIT + 1, 0);
	for (uint32_t i = 0; i < THROTTLE_PLACES * 2; i++) {
		throttle_fail(t, (struct span){ (char *)&i, 4 }, 0);
		throttle_fail(t, SPAN("busy"), 0);
	}
	assert_false(throttle_is_over(t, SPAN("old!"), 0));
	assert_true(throttle_is_over(t, SPAN("busy"), 0));
	throttle_free(&t);
}

TESTS(the_limit_is_exact, it_leaks_away, small_steps_leak_as_one, a_network_of_ipv6_counts_as_one, a_flood_of_addresses_forgets_the_oldest)
