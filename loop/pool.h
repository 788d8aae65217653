/* loop/pool.h - work that blocks, on threads of its own, its result posted back.
 *
 * Why       Nothing blocks a loop; and one kind of work must not starve another, so each kind has its pool.
 * Promise   `done(job)` runs on the loop once for every pool_run(), after `work(job)`. Jobs of a pool with one thread keep their order.
 * Owns      Its threads. The job belongs to the pool between the two calls.
 * Refuses   More than `waiting_max` jobs: pool_run() says false and has called nothing.
 * See       loop/real/pool.c (threads), loop/fake/pool.c (inline, at a virtual delay) */
#pragma once
#include "loop/loop.h"

struct pool;

struct pool_settings {
	const char *name;     /* of the threads */
	unsigned threads;
	size_t waiting_max;
	bool low_priority;    /* nice 10 */
};

/* Starts the threads; the settings are copied. */
struct pool *pool_new(struct loop *, const struct pool_settings *);

/* Lets all jobs be worked, then calls what is left of their `done` from inside; pool_run() says false to them. Sets it to NULL. */
void pool_free(struct pool **);

/* Puts a job behind those that wait: `work` on a thread, then `done` on the loop. False when too many wait: the job stays the caller's. */
bool pool_run(struct pool *, void (*work)(void *job), void (*done)(void *job), void *job);
