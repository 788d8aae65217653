#include "loop/loop.h"

#include "base/panic.h"
#include "loop/fake/inside.h"

#include <stdio.h>
#include <stdlib.h>

struct posted {
	struct timer timer;
	struct loop *loop;
	void (*done)(void *job);
	void *job;
	struct posted *next;
};

struct loop *world_loop(const char *name)
{
	struct world *w = world_now();
	struct loop *loop = calloc(1, sizeof *loop), **end = &w->loops;

	if (!loop)
		panic("out of memory");
	snprintf(loop->name, sizeof loop->name, "%s", name);
	while (*end)
		end = &(*end)->next;
	*end = loop;
	return loop;
}

const char *world_loop_name(const struct loop *loop)
{
	return loop->name;
}

struct loop *loop_new(void)
{
	return world_loop("loop");
}

static void posted_free(struct posted *posted)
{
	struct posted **at = &posted->loop->posted;

	while (*at != posted)
		at = &(*at)->next;
	*at = posted->next;
	free(posted);
}

void loop_free(struct loop **loop_in)
{
	struct loop *loop = *loop_in, **at = &world_now()->loops;

	*loop_in = NULL;
	if (!loop)
		return;
	stream_loop_died(loop);
	ASSERT(!loop->streams && !loop->listeners);
	while (loop->posted)
		posted_free(loop->posted);
	while (*at != loop)
		at = &(*at)->next;
	*at = loop->next;
	timers_free(&loop->timers);
	free(loop);
}

void world_kill(struct loop *loop)
{
	struct world *w = world_now();

	ASSERT(!w->current && !loop->dead);
	world_note("%s dies", loop->name);
	loop->dead = true;
	stream_loop_died(loop);
	w->current = loop;
}

void world_buried(struct loop **loop)
{
	ASSERT(world_now()->current == *loop && (*loop)->dead);
	world_now()->current = NULL;
	loop_free(loop);
}

void loop_run(struct loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped && world_step())
		;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

int64_t loop_now_ms(struct loop *loop)
{
	return world_now()->now_ms;
}

/* Draws the next number of the world's order into the heap, so that events of one moment happen in the order they were arranged. */
struct timers *loop_timers(struct loop *loop)
{
	struct world *w = world_now();

	loop->timers.order = w->order++;
	return &loop->timers;
}

static void post_fire(void *self)
{
	struct posted *posted = self;
	void (*done)(void *) = posted->done;
	void *job = posted->job;

	posted_free(posted);
	done(job);
}

void loop_post(struct loop *loop, void (*done)(void *job), void *job)
{
	struct posted *posted = calloc(1, sizeof *posted);

	if (!posted)
		panic("out of memory");
	*posted = (struct posted){ .loop = loop, .done = done, .job = job, .next = loop->posted };
	loop->posted = posted;
	timer_init(&posted->timer, loop, post_fire, posted);
	timer_after(&posted->timer, 0);
}

void loop_on_signal(struct loop *loop, int signal_number, void (*handler)(void *self), void *self)
{
	ASSERT(loop->signal_count < LOOP_SIGNALS_MAX);
	loop->signals[loop->signal_count].number = signal_number;
	loop->signals[loop->signal_count].handler = handler;
	loop->signals[loop->signal_count++].self = self;
}

void world_signal(struct loop *loop, int signal_number)
{
	world_note("signal %d to %s", signal_number, loop->name);
	for (size_t i = 0; i < loop->signal_count; i++)
		if (loop->signals[i].number == signal_number)
			loop_post(loop, loop->signals[i].handler, loop->signals[i].self);
}
