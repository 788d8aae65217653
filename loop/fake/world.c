#include "loop/fake/world.h"

#include "base/buf.h"
#include "base/fake/fake.h"
#include "base/panic.h"
#include "loop/fake/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct world the_world;

struct later {
	struct timer timer;
	void (*fire)(void *self);
	void *self;
	struct later *next;
};

static struct later *laters;

void world_begin(uint64_t seed, int64_t wall_ms)
{
	ASSERT(!the_world.begun);
	the_world = (struct world){ .begun = true, .dice = seed * 0x9e3779b97f4a7c15u + 1 };
	fake_begin(seed, wall_ms);
	sqlite_vfs_begin();
}

struct world *world_now(void)
{
	if (!the_world.begun)
		world_begin(1, 1700000000000);
	return &the_world;
}

static void later_free(struct later *later)
{
	struct later **at = &laters;

	while (*at != later)
		at = &(*at)->next;
	*at = later->next;
	free(later);
}

void world_end(void)
{
	if (!the_world.begun)
		return;
	ASSERT(!the_world.loops);
	while (laters)
		later_free(laters);
	network_end();
	dns_end();
	pool_delays_end();
	disk_tree_end();
	timers_free(&the_world.timers);
	the_world = (struct world){ 0 };
}

/* splitmix64, apart from the dice of base/fake. */
uint64_t world_dice(uint64_t limit)
{
	uint64_t z = world_now()->dice += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (z ^ (z >> 31)) % limit;
}

int world_between(int least, int most)
{
	return most <= least ? least : least + (int)world_dice((uint64_t)(most - least) + 1);
}

bool world_is_ghost(void)
{
	return the_world.current && the_world.current->dead;
}

void world_event(struct timer *timer, int64_t after_ms, void (*fire)(void *self), void *self)
{
	struct world *w = world_now();

	if (timer->place)
		timers_remove(&w->timers, timer);
	timer_init(timer, NULL, fire, self);
	w->timers.order = w->order++;
	timers_set(&w->timers, timer, w->now_ms + after_ms);
}

void world_event_stop(struct timer *timer)
{
	if (timer->place)
		timers_remove(&world_now()->timers, timer);
}

/* The heap whose first event is the next of all; NULL when all are empty. */
static struct timers *soonest(struct world *w, struct loop **whose_out)
{
	struct timers *best = w->timers.count ? &w->timers : NULL;

	*whose_out = NULL;
	for (struct loop *l = w->loops; l; l = l->next) {
		struct timer *first = l->timers.count ? l->timers.heap[0] : NULL;

		if (!first || l->dead)
			continue;
		if (best && (best->heap[0]->at_ms < first->at_ms ||
			     (best->heap[0]->at_ms == first->at_ms && best->heap[0]->order < first->order)))
			continue;
		best = &l->timers;
		*whose_out = l;
	}
	return best;
}

static bool step_until(int64_t limit_ms)
{
	struct world *w = world_now();
	struct loop *whose;
	struct timers *heap = soonest(w, &whose);
	struct timer *timer;

	if (!heap || heap->heap[0]->at_ms > limit_ms)
		return false;
	ASSERT(!w->current);
	timer = heap->heap[0];
	if (timer->at_ms > w->now_ms) {
		w->now_ms = timer->at_ms;
		fake_clock_set(w->now_ms);
	}
	timers_remove(heap, timer);
	w->current = whose;
	w->steps++;
	timer->fire(timer->self);
	w->current = NULL;
	return true;
}

bool world_step(void)
{
	return step_until(INT64_MAX);
}

bool world_run_until(int64_t at_ms, bool (*is_done)(void *self), void *self)
{
	struct world *w = world_now();

	do {
		if (is_done && is_done(self))
			return false;
	} while (step_until(at_ms));
	if (at_ms > w->now_ms) {
		w->now_ms = at_ms;
		fake_clock_set(at_ms);
	}
	return true;
}

int64_t world_ms(void)
{
	return world_now()->now_ms;
}

uint64_t world_steps(void)
{
	return world_now()->steps;
}

static void later_fire(void *self)
{
	struct later *later = self;
	void (*fire)(void *) = later->fire;
	void *whom = later->self;

	later_free(later);
	fire(whom);
}

void world_after(int64_t after_ms, void (*fire)(void *self), void *self)
{
	struct later *later = calloc(1, sizeof *later);

	if (!later)
		panic("out of memory");
	*later = (struct later){ .fire = fire, .self = self, .next = laters };
	laters = later;
	world_event(&later->timer, after_ms, later_fire, later);
}

void world_log(void (*write)(void *self, struct span line), void *self)
{
	world_now()->log_write = write;
	world_now()->log_self = self;
}

void world_note(const char *format, ...)
{
	struct world *w = world_now();
	char text[600];
	struct buf line;
	va_list arguments;

	if (!w->log_write)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	buf_init(&line, 1024);
	buf_print(&line, "%8lld %-9s %s\n", (long long)w->now_ms, w->current ? w->current->name : "-", text);
	w->log_write(w->log_self, buf_span(&line));
	buf_free(&line);
}
