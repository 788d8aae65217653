/* Work on threads: order, ceiling, and what happens at the end. */
#include "loop/pool.h"
#include "tests/test.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { JOBS = 3000 };

struct scene {
	struct loop *loop;
	struct pool *pool;
	pthread_t loop_thread;
	int worked, done, wrong, stop_at;
	pthread_mutex_t gate;
	pthread_cond_t opened;
	bool is_open;
};

struct job {
	struct scene *scene;
	int number, worked_as, niceness;
};

static void work(void *self)
{
	struct job *j = self;

	j->worked_as = __atomic_add_fetch(&j->scene->worked, 1, __ATOMIC_SEQ_CST);
	if (pthread_equal(pthread_self(), j->scene->loop_thread))
		__atomic_add_fetch(&j->scene->wrong, 1, __ATOMIC_SEQ_CST);
	j->niceness = getpriority(PRIO_PROCESS, (id_t)gettid());
}

static void wait_work(void *self)
{
	struct job *j = self;
	struct scene *s = j->scene;

	pthread_mutex_lock(&s->gate);
	while (!s->is_open)
		pthread_cond_wait(&s->opened, &s->gate);
	pthread_mutex_unlock(&s->gate);
	work(j);
}

static void done(void *self)
{
	struct job *j = self;
	struct scene *s = j->scene;

	s->done++;
	if (!pthread_equal(pthread_self(), s->loop_thread) || !j->worked_as)
		s->wrong++;
	if (s->done == s->stop_at)
		loop_stop(s->loop);
}

static void done_in_order(void *self)
{
	struct job *j = self;

	if (j->number != j->scene->done || j->worked_as != j->number + 1)
		j->scene->wrong++;
	done(self);
}

static void begin(struct scene *s, unsigned threads, size_t waiting_max, bool low)
{
	*s = (struct scene){ .loop = loop_new(),
			     .loop_thread = pthread_self(),
			     .gate = PTHREAD_MUTEX_INITIALIZER,
			     .opened = PTHREAD_COND_INITIALIZER };
	s->pool = pool_new(s->loop, &(struct pool_settings){ "test", threads, waiting_max, low });
}

static void open_gate(struct scene *s)
{
	pthread_mutex_lock(&s->gate);
	s->is_open = true;
	pthread_cond_broadcast(&s->opened);
	pthread_mutex_unlock(&s->gate);
}

static void one_thread_keeps_order(void **state)
{
	static struct job jobs[JOBS];
	struct scene s;

	begin(&s, 1, JOBS, false);
	s.stop_at = JOBS;
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){ &s, i, 0, 0 };
		assert_true(pool_run(s.pool, work, done_in_order, &jobs[i]));
	}
	assert_int_equal(s.done, 0); /* never from inside */
	loop_run(s.loop);
	assert_int_equal(s.wrong, 0);
	assert_int_equal(s.done, JOBS);
	pool_free(&s.pool);
	loop_free(&s.loop);
}

static void many_threads_lose_nothing(void **state)
{
	static struct job jobs[JOBS];
	struct scene s;

	begin(&s, 4, JOBS, false);
	s.stop_at = JOBS;
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){ &s, i, 0, 0 };
		assert_true(pool_run(s.pool, work, done, &jobs[i]));
	}
	loop_run(s.loop);
	assert_int_equal(s.worked, JOBS);
	assert_int_equal(s.wrong, 0);
	pool_free(&s.pool);
	loop_free(&s.loop);
}

static void the_ceiling_holds(void **state)
{
	struct job jobs[8];
	struct scene s;
	int taken = 0;

	begin(&s, 1, 3, false);
	for (int i = 0; i < 8; i++) {
		jobs[i] = (struct job){ &s, i, 0, 0 };
		taken += pool_run(s.pool, wait_work, done, &jobs[i]);
	}
	assert_true(taken == 3 || taken == 4); /* the thread may hold one already */
	s.stop_at = taken;
	open_gate(&s);
	loop_run(s.loop);
	assert_int_equal(s.worked, taken);
	pool_free(&s.pool);
	loop_free(&s.loop);
}

/* What was promised is kept even when the pool goes. */
static void freeing_finishes_the_work(void **state)
{
	struct job jobs[50];
	struct scene s;

	begin(&s, 2, 50, false);
	for (int i = 0; i < 50; i++) {
		jobs[i] = (struct job){ &s, i, 0, 0 };
		assert_true(pool_run(s.pool, wait_work, done, &jobs[i]));
	}
	open_gate(&s);
	pool_free(&s.pool);
	assert_null(s.pool);
	assert_int_equal(s.worked, 50);
	assert_int_equal(s.done, 50);
	assert_int_equal(s.wrong, 0);
	loop_free(&s.loop);
}

static void low_priority_is_nice(void **state)
{
	struct job job;
	struct scene s;
	int before = getpriority(PRIO_PROCESS, 0);

	begin(&s, 1, 1, true);
	job = (struct job){ &s, 0, 0, 0 };
	s.stop_at = 1;
	assert_true(pool_run(s.pool, work, done, &job));
	loop_run(s.loop);
	assert_int_equal(job.niceness, before > 10 ? before : 10);
	assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
	pool_free(&s.pool);
	loop_free(&s.loop);
}

TESTS(one_thread_keeps_order, many_threads_lose_nothing, the_ceiling_holds, freeing_finishes_the_work,
      low_priority_is_nice)
