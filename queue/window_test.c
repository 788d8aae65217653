/* Sliding windows against a plain list of everything that happened. */
#include "queue/window.h"

#include "base/rand.h"
#include "tests/test.h"

enum { EVENTS = 4000, LENGTH_MS = 60000, GRAIN_MS = 500 };

struct event {
	int64_t at_ms;
	uint32_t count;
};

static uint64_t true_use(const struct event *events, size_t count, int64_t now_ms, int64_t length_ms)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		if (events[i].at_ms + length_ms > now_ms)
			sum += events[i].count;
	return sum;
}

/* Never less than the truth, never more than the truth of a window longer by a grain, and no more parts than promised. */
static void it_counts_what_happened(void **state)
{
	static struct event events[EVENTS];
	struct window w;
	int64_t now_ms = 1000;

	window_init(&w, LENGTH_MS, GRAIN_MS);
	for (size_t i = 0; i < EVENTS; i++) {
		now_ms += (int64_t)rand_below(i % 1000 < 500 ? 90 : 900);
		events[i] = (struct event){ now_ms, (uint32_t)rand_below(9) + 1 };
		window_add(&w, now_ms, events[i].count);
		now_ms += (int64_t)rand_below(20);
		assert_in_range(window_used(&w, now_ms), true_use(events, i + 1, now_ms, LENGTH_MS),
				true_use(events, i + 1, now_ms, LENGTH_MS + GRAIN_MS));
		assert_true(w.count <= LENGTH_MS / GRAIN_MS + 2);
	}
	window_fini(&w);
}

/* Whoever asks before each one and waits as long as told is never beyond the limit. */
static void it_is_never_overshot(void **state)
{
	static struct event events[EVENTS];
	const uint64_t limit = 30;
	struct window w;
	int64_t now_ms = 5;

	window_init(&w, LENGTH_MS, GRAIN_MS);
	for (size_t i = 0; i < EVENTS; i++) {
		uint32_t count = (uint32_t)rand_below(4) + 1;
		int64_t at_ms = window_room_at_ms(&w, now_ms, count, limit);

		assert_true(at_ms >= now_ms && at_ms <= now_ms + LENGTH_MS);
		now_ms = at_ms;
		assert_int_equal(window_room_at_ms(&w, now_ms, count, limit), now_ms);
		events[i] = (struct event){ now_ms, count };
		window_add(&w, now_ms, count);
		assert_true(true_use(events, i + 1, now_ms, LENGTH_MS) <= limit);
		now_ms += (int64_t)rand_below(1500);
	}
	window_fini(&w);
}

/* As many as allowed go at once, the next when the first has left. */
static void it_leaves_no_room_unused(void **state)
{
	struct window w;

	window_init(&w, LENGTH_MS, GRAIN_MS);
	for (int64_t i = 0; i < 30; i++) {
		assert_int_equal(window_room_at_ms(&w, i * 1000, 1, 30), i * 1000);
		window_add(&w, i * 1000, 1);
	}
	assert_int_equal(window_room_at_ms(&w, 30000, 1, 30), LENGTH_MS);
	assert_int_equal(window_room_at_ms(&w, 30000, 3, 30), LENGTH_MS + 2000);
	assert_int_equal(window_room_at_ms(&w, 30000, 31, 30), LENGTH_MS + 29000); /* more than ever fits: when it is empty */
	assert_int_equal(window_used(&w, LENGTH_MS + 29000), 0);
	assert_null(w.parts); /* whoever sends nothing keeps nothing */
	assert_int_equal(window_room_at_ms(&w, LENGTH_MS + 29000, 31, 30), LENGTH_MS + 29000);
	window_fini(&w);
}

static void times_that_go_back_count_later(void **state)
{
	struct window w;

	window_init(&w, LENGTH_MS, GRAIN_MS);
	window_add(&w, 10000, 1);
	assert_int_equal(window_add(&w, 4000, 1)->at_ms, 10000);
	assert_int_equal(window_used(&w, 4000 + LENGTH_MS), 2);
	window_fini(&w);
}

TESTS(it_counts_what_happened, it_is_never_overshot, it_leaves_no_room_unused, times_that_go_back_count_later)
