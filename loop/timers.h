/* loop/timers.h - the heap of timers under both loops.
 *
 * Why       Timers that live inside their owners need no closing handshake; order is the same on both sides.
 * Promise   Fires by time, and timers of one time in the order they were set.
 * Owns      An array of pointers; the timers are their owners'.
 * Refuses   Nothing. */
#pragma once
#include "loop/loop.h"

struct timers {
	struct timer **heap;
	size_t count, room;
	uint64_t order;
};

/* Gives the array back; timers still in it stay their owners'. */
void timers_free(struct timers *);

/* Puts a timer in, or moves it, to be due at `at_ms` of the loop's clock; or takes it out, if it is in. */
void timers_set(struct timers *, struct timer *, int64_t at_ms);
void timers_remove(struct timers *, struct timer *);

/* When the first is due, or INT64_MAX. */
int64_t timers_next_ms(const struct timers *);

/* Fires those due at `now_ms` that were set before this call. */
void timers_fire(struct timers *, int64_t now_ms);

/* The loop's heap; provided by each side of loop.h for the functions in timers.c. */
struct timers *loop_timers(struct loop *);
