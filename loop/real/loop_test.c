/* Timers, posts and signals of the real loop. */
#include "base/clock.h"
#include "loop/loop.h"
#include "loop/timers.h"
#include "tests/test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct mark {
	struct timer timer;
	char name;
	struct loop *loop;
};

static char order[64];
static size_t order_size;

static void note(void *self)
{
	struct mark *m = self;

	order[order_size++] = m->name;
	if (m->name == 'z')
		loop_stop(m->loop);
}

static void timers_by_time_then_by_order(void **state)
{
	static const struct {
		char name;
		int after_ms;
	} rows[] = { { 'd', 20 }, { 'a', 5 }, { 'z', 30 }, { 'b', 5 }, { '0', 0 }, { 'c', 5 }, { '1', -7 } };
	struct loop *loop = loop_new();
	struct mark marks[7];

	order_size = 0;
	for (size_t i = 0; i < 7; i++) {
		marks[i] = (struct mark){ .name = rows[i].name, .loop = loop };
		timer_init(&marks[i].timer, loop, note, &marks[i]);
	}
	for (size_t i = 0; i < 7; i++)
		timer_at(&marks[i].timer, loop_now_ms(loop) / 1000 * 1000 + 1000 + rows[i].after_ms);
	loop_run(loop);
	assert_int_equal(order_size, 7);
	order[order_size] = 0;
	assert_string_equal(order, "10abcdz");
	loop_free(&loop);
}

static void stopped_and_moved(void **state)
{
	struct loop *loop = loop_new();
	struct mark a = { .name = 'a', .loop = loop }, b = { .name = 'b', .loop = loop },
		    z = { .name = 'z', .loop = loop };

	order_size = 0;
	timer_init(&a.timer, loop, note, &a);
	timer_init(&b.timer, loop, note, &b);
	timer_init(&z.timer, loop, note, &z);
	timer_after(&a.timer, 1);
	timer_after(&b.timer, 1);
	timer_after(&z.timer, 20);
	timer_after(&a.timer, 10);
	timer_stop(&b.timer);
	timer_stop(&b.timer);
	assert_true(timer_is_set(&a.timer));
	assert_false(timer_is_set(&b.timer));
	loop_run(loop);
	order[order_size] = 0;
	assert_string_equal(order, "az");
	loop_free(&loop);
}

/* The heap against a list sorted by hand. */
static void a_thousand_timers(void **state)
{
	static struct mark marks[1000];
	struct timers heap = { 0 };
	int64_t last = 0;
	unsigned seed = 7;

	for (size_t i = 0; i < 1000; i++) {
		seed = seed * 1103515245u + 12345u;
		timers_set(&heap, &marks[i].timer, seed >> 16 & 255);
	}
	for (size_t i = 0; i < 1000; i += 3)
		timers_remove(&heap, &marks[i].timer);
	assert_int_equal(heap.count, 666);
	while (heap.count) {
		assert_true(timers_next_ms(&heap) >= last);
		last = timers_next_ms(&heap);
		timers_remove(&heap, heap.heap[0]);
	}
	timers_free(&heap);
}

static void never_early(void **state)
{
	struct loop *loop = loop_new();
	struct mark z = { .name = 'z', .loop = loop };
	int64_t began = clock_monotonic_ms();

	timer_init(&z.timer, loop, note, &z);
	usleep(30000); /* a start that takes long must not eat the wait */
	timer_after(&z.timer, 20);
	loop_run(loop);
	assert_true(clock_monotonic_ms() - began >= 49);
	loop_free(&loop);
}

enum { POSTS = 20000 };

struct posting {
	struct loop *loop;
	int next, wrong;
	struct post_job {
		struct posting *posting;
		int number;
	} jobs[POSTS];
};

static void posted(void *self)
{
	struct post_job *j = self;

	j->posting->wrong += j->number != j->posting->next++;
	if (j->posting->next == POSTS)
		loop_stop(j->posting->loop);
}

static void *post_all(void *self)
{
	struct posting *p = self;

	for (int i = 0; i < POSTS; i++) {
		p->jobs[i] = (struct post_job){ p, i };
		loop_post(p->loop, posted, &p->jobs[i]);
	}
	return NULL;
}

static void posts_keep_their_order(void **state)
{
	struct posting *p = calloc(1, sizeof *p);
	pthread_t thread;

	p->loop = loop_new();
	assert_int_equal(pthread_create(&thread, NULL, post_all, p), 0);
	loop_run(p->loop);
	pthread_join(thread, NULL);
	assert_int_equal(p->wrong, 0);
	loop_free(&p->loop);
	free(p);
}

static void got_signal(void *self)
{
	note(self);
}

static void signals(void **state)
{
	struct loop *loop = loop_new();
	struct mark h = { .name = 'h', .loop = loop }, z = { .name = 'z', .loop = loop };

	order_size = 0;
	loop_on_signal(loop, SIGHUP, got_signal, &h);
	loop_on_signal(loop, SIGUSR1, got_signal, &z);
	kill(getpid(), SIGHUP);
	kill(getpid(), SIGUSR1);
	loop_run(loop);
	order[order_size] = 0;
	assert_string_equal(order, "hz");
	loop_free(&loop);
	assert_null(loop);
}

TESTS(timers_by_time_then_by_order, stopped_and_moved, a_thousand_timers, never_early, posts_keep_their_order, signals)
