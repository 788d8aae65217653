/* loop/loop.h - one thread's events: timers here, sockets and results in the headers beside it.
 *
 * Why       Every role is an object driven by a loop; replay drives the same objects by a fake one.
 * Promise   Callbacks run one at a time, never from inside the call that armed them.
 * Owns      What was opened on it, until closed.
 * Threads   Everything from the loop's own thread, save loop_post().
 * Refuses   Being freed while streams are open: that is a bug and panics.
 * See       loop/real/loop.c (libuv), loop/fake/loop.c (virtual time) */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* The real side ignores SIGPIPE for the process. */
struct loop *loop_new(void);
void loop_free(struct loop **);

/* Runs until loop_stop(). The fake loop also returns when nothing is left to happen. */
void loop_run(struct loop *);
void loop_stop(struct loop *);

/* Milliseconds since some moment, read once per turn. */
int64_t loop_now_ms(struct loop *);

/* From any thread: runs `done(job)` on the loop soon. Used by pools; prefer those. */
void loop_post(struct loop *, void (*done)(void *job), void *job);

/* A timer lives inside its owner. Zeroed means idle. */
struct timer {
	struct loop *loop;
	void (*fire)(void *self);
	void *self;
	int64_t at_ms;
	uint64_t order;
	size_t place; /* in the heap, counted from 1; 0 is idle */
};

/* Prepares an idle timer. */
void timer_init(struct timer *, struct loop *, void (*fire)(void *self), void *self);

/* Fires once, at `at_ms` (loop_now_ms time) or `after_ms` from now; a timer that was set is moved. */
void timer_at(struct timer *, int64_t at_ms);
void timer_after(struct timer *, int64_t after_ms);

/* Makes it idle. */
void timer_stop(struct timer *);
bool timer_is_set(const struct timer *);

/* Calls `handler(self)` when the process gets the signal (SIGTERM, SIGHUP, SIGCHLD); up to 8 of them. */
void loop_on_signal(struct loop *, int signal_number, void (*handler)(void *self), void *self);
