/* queue/window.h - how much happened in the last so many milliseconds: a window that slides.
 *
 * Why       Providers count what a mailbox sends in any sixty seconds and in any day; who stays below must count as they do, or more.
 * Promise   Never less is counted than happened within the window. What happened within one `grain_ms` stands together at the time of the last of
 *           it, so that it leaves at most that much too late, and a window takes no more than length / grain + 2 parts of memory.
 * Owns      Its parts; none while nothing is in it.
 * Refuses   Nothing. Times that go back count as the last one did. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happened within a grain: how much, and when the last of it. */
struct window_part {
	int64_t at_ms;
	uint32_t count;
};

struct window {
	int64_t length_ms, grain_ms;
	uint64_t used;             /* the sum of all parts */
	struct window_part *parts; /* a ring, the oldest at `first` */
	size_t first, count, room;
};

/* An empty window; and an end to what it took. It may be used again. */
void window_init(struct window *, int64_t length_ms, int64_t grain_ms);
void window_fini(struct window *);

/* How much is in it; what is too old goes first. */
uint64_t window_used(struct window *, int64_t now_ms);

/* Adds what happens now (at_ms may lie in the past while no later part stands there). The part that it went into, valid until the next call. */
const struct window_part *window_add(struct window *, int64_t at_ms, uint32_t count);

/* When so much may leave that `wanted` more stay within `limit`; `now_ms` when they do already. More than the whole limit never fits: it waits for an
 * empty window. */
int64_t window_room_at_ms(struct window *, int64_t now_ms, uint64_t wanted, uint64_t limit);
