#include "loop/timers.h"

#include "base/panic.h"

#include <stdlib.h>

static bool earlier(const struct timer *a, const struct timer *b)
{
	return a->at_ms < b->at_ms || (a->at_ms == b->at_ms && a->order < b->order);
}

static void put(struct timers *t, struct timer *timer, size_t place)
{
	t->heap[place - 1] = timer;
	timer->place = place;
}

static void rise(struct timers *t, struct timer *timer, size_t place)
{
	while (place > 1 && earlier(timer, t->heap[place / 2 - 1])) {
		put(t, t->heap[place / 2 - 1], place);
		place /= 2;
	}
	put(t, timer, place);
}

static void sink(struct timers *t, struct timer *timer, size_t place)
{
	for (;;) {
		size_t child = place * 2;

		if (child > t->count)
			break;
		if (child < t->count && earlier(t->heap[child], t->heap[child - 1]))
			child++;
		if (!earlier(t->heap[child - 1], timer))
			break;
		put(t, t->heap[child - 1], place);
		place = child;
	}
	put(t, timer, place);
}

void timers_free(struct timers *t)
{
	free(t->heap);
	*t = (struct timers){ 0 };
}

void timers_remove(struct timers *t, struct timer *timer)
{
	size_t place = timer->place;
	struct timer *last;

	if (!place)
		return;
	ASSERT(place <= t->count && t->heap[place - 1] == timer);
	last = t->heap[t->count - 1];
	t->count--;
	timer->place = 0;
	if (last == timer)
		return;
	sink(t, last, place);
	rise(t, last, last->place);
}

void timers_set(struct timers *t, struct timer *timer, int64_t at_ms)
{
	timers_remove(t, timer);
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->heap = realloc(t->heap, t->room * sizeof(struct timer *));
		if (!t->heap)
			panic("out of memory");
	}
	timer->at_ms = at_ms;
	timer->order = ++t->order;
	t->count++;
	rise(t, timer, t->count);
}

int64_t timers_next_ms(const struct timers *t)
{
	return t->count ? t->heap[0]->at_ms : INT64_MAX;
}

void timers_fire(struct timers *t, int64_t now_ms)
{
	uint64_t newest = t->order;

	while (t->count && t->heap[0]->at_ms <= now_ms && t->heap[0]->order <= newest) {
		struct timer *timer = t->heap[0];

		timers_remove(t, timer);
		timer->fire(timer->self);
	}
}

void timer_init(struct timer *timer, struct loop *loop, void (*fire)(void *self), void *self)
{
	*timer = (struct timer){ .loop = loop, .fire = fire, .self = self };
}

void timer_at(struct timer *timer, int64_t at_ms)
{
	timers_set(loop_timers(timer->loop), timer, at_ms);
}

void timer_after(struct timer *timer, int64_t after_ms)
{
	timer_at(timer, loop_now_ms(timer->loop) + (after_ms > 0 ? after_ms : 0));
}

void timer_stop(struct timer *timer)
{
	if (timer->place)
		timers_remove(loop_timers(timer->loop), timer);
}

bool timer_is_set(const struct timer *timer)
{
	return timer->place != 0;
}
