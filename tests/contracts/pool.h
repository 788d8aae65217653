/* tests/contracts/pool.h - what loop/pool.h promises, as tests that both sides of it have to pass.
 *
 * Why       As tests/contracts/stream.h.
 * Promise   Nothing is timed: a gate of jobs is opened by the loop alone.
 * Owns      One loop and its pool.
 * Refuses   More than one thread: only one side has any. */
#pragma once
#include "tests/test.h"

#include "loop/pool.h"

enum { CONTRACT_JOBS = 50 };

struct bench {
	struct loop *loop;
	struct pool *pool;
	size_t worked[CONTRACT_JOBS], worked_count, done[CONTRACT_JOBS], done_count;
	bool asks_again, was_refused;
};

struct task {
	struct bench *bench;
	size_t number;
};

static void task_work(void *job)
{
	struct task *t = job;

	t->bench->worked[t->bench->worked_count++] = t->number;
}

static void task_done(void *job)
{
	struct task *t = job;
	struct bench *b = t->bench;

	assert_true(b->worked_count > b->done_count);
	b->done[b->done_count++] = t->number;
	if (b->asks_again)
		b->was_refused = !pool_run(b->pool, task_work, task_done, job);
	if (b->done_count == CONTRACT_JOBS)
		loop_stop(b->loop);
}

static void bench_enter(struct bench *b, struct task tasks[CONTRACT_JOBS], size_t waiting_max)
{
	*b = (struct bench){ .loop = loop_new() };
	b->pool = pool_new(b->loop, &(struct pool_settings){ .name = "contract", .threads = 1, .waiting_max = waiting_max });
	for (size_t i = 0; i < CONTRACT_JOBS; i++)
		tasks[i] = (struct task){ b, i };
}

static void assert_order(const struct bench *b)
{
	assert_int_equal(b->worked_count, CONTRACT_JOBS);
	assert_int_equal(b->done_count, CONTRACT_JOBS);
	for (size_t i = 0; i < CONTRACT_JOBS; i++) {
		assert_int_equal(b->worked[i], i);
		assert_int_equal(b->done[i], i);
	}
}

static void one_thread_keeps_the_order(void **state)
{
	struct task tasks[CONTRACT_JOBS];
	struct bench b;

	bench_enter(&b, tasks, CONTRACT_JOBS);
	for (size_t i = 0; i < CONTRACT_JOBS; i++)
		assert_true(pool_run(b.pool, task_work, task_done, &tasks[i]));
	assert_int_equal(b.done_count, 0);
	loop_run(b.loop);
	assert_order(&b);
	pool_free(&b.pool);
	assert_null(b.pool);
	loop_free(&b.loop);
}

static void the_end_works_what_waits(void **state)
{
	struct task tasks[CONTRACT_JOBS];
	struct bench b;

	bench_enter(&b, tasks, CONTRACT_JOBS);
	for (size_t i = 0; i < CONTRACT_JOBS; i++)
		assert_true(pool_run(b.pool, task_work, task_done, &tasks[i]));
	b.asks_again = true;
	pool_free(&b.pool);
	assert_order(&b);
	assert_true(b.was_refused);
	loop_free(&b.loop);
}

static void no_more_wait_than_may(void **state)
{
	struct task tasks[CONTRACT_JOBS];
	struct bench b;

	bench_enter(&b, tasks, 0);
	assert_false(pool_run(b.pool, task_work, task_done, &tasks[0]));
	pool_free(&b.pool);
	assert_int_equal(b.worked_count + b.done_count, 0);
	loop_free(&b.loop);
}

/* Defines main(). */
TESTS(one_thread_keeps_the_order, the_end_works_what_waits, no_more_wait_than_may)
