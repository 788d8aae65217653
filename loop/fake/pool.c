#include "loop/pool.h"

#include "base/panic.h"
#include "loop/fake/inside.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { DELAYS_MAX = 16 };

struct job {
	struct timer timer;
	struct pool *pool;
	void (*work)(void *job);
	void (*done)(void *job);
	void *job;
	bool is_started, is_worked;
	struct job *next;
};

struct pool {
	struct loop *loop;
	char name[32];
	unsigned threads, busy;
	bool is_closing;
	size_t waiting, waiting_max;
	struct job *jobs, **jobs_end; /* in the order they came */
};

struct delay {
	char pool[32];
	int least_ms, most_ms;
};

static struct delay delays[DELAYS_MAX];
static size_t delay_count;

void world_pool_delay(const char *pool, int least_ms, int most_ms)
{
	size_t at = 0;

	while (at < delay_count && strcmp(delays[at].pool, pool) != 0)
		at++;
	ASSERT(at < DELAYS_MAX);
	delay_count = at < delay_count ? delay_count : at + 1;
	snprintf(delays[at].pool, sizeof delays[at].pool, "%s", pool);
	delays[at].least_ms = least_ms;
	delays[at].most_ms = most_ms;
}

void pool_delays_end(void)
{
	delay_count = 0;
}

static int delay_of(const struct pool *pool)
{
	const struct delay *best = NULL;

	for (size_t i = 0; i < delay_count; i++)
		if (!strcmp(delays[i].pool, pool->name) || (!delays[i].pool[0] && !best))
			best = &delays[i];
	return best ? world_between(best->least_ms, best->most_ms) : world_between(0, 2);
}

struct pool *pool_new(struct loop *loop, const struct pool_settings *settings)
{
	struct pool *pool = calloc(1, sizeof *pool);

	if (!pool)
		panic("out of memory");
	*pool = (struct pool){ .loop = loop, .threads = settings->threads ? settings->threads : 1,
			       .waiting_max = settings->waiting_max };
	snprintf(pool->name, sizeof pool->name, "%s", settings->name ? settings->name : "");
	pool->jobs_end = &pool->jobs;
	return pool;
}

static void job_fire(void *self);

static void start_some(struct pool *pool)
{
	for (struct job *j = pool->is_closing ? NULL : pool->jobs; j && pool->busy < pool->threads; j = j->next) {
		if (j->is_started)
			continue;
		j->is_started = true;
		pool->busy++;
		pool->waiting--;
		timer_after(&j->timer, delay_of(pool));
	}
}

static void unlink_job(struct job *job)
{
	struct pool *pool = job->pool;
	struct job **at = &pool->jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	if (!*at)
		pool->jobs_end = at;
	if (job->is_started)
		pool->busy--;
	else
		pool->waiting--;
}

static void finish(struct job *job)
{
	void (*done)(void *) = job->done;
	void *what = job->job;

	unlink_job(job);
	start_some(job->pool);
	free(job);
	done(what);
}

/* First the work, as its thread does it; then, as another event, so that a death may lie between, the result. */
static void job_fire(void *self)
{
	struct job *job = self;

	if (job->is_worked) {
		finish(job);
		return;
	}
	job->work(job->job);
	job->is_worked = true;
	timer_after(&job->timer, 0);
}

bool pool_run(struct pool *pool, void (*work)(void *job), void (*done)(void *job), void *what)
{
	struct job *job;

	if (pool->waiting >= pool->waiting_max || pool->is_closing || pool->loop->dead)
		return false;
	job = calloc(1, sizeof *job);
	if (!job)
		panic("out of memory");
	*job = (struct job){ .pool = pool, .work = work, .done = done, .job = what };
	timer_init(&job->timer, pool->loop, job_fire, job);
	*pool->jobs_end = job;
	pool->jobs_end = &job->next;
	pool->waiting++;
	start_some(pool);
	return true;
}

void pool_free(struct pool **pool_in)
{
	struct pool *pool = *pool_in;

	if (!pool)
		return;
	pool->is_closing = true;
	for (struct job *j = pool->jobs; j; j = j->next) {
		timer_stop(&j->timer);
		if (!j->is_worked)
			j->work(j->job);
	}
	while (pool->jobs)
		finish(pool->jobs);
	*pool_in = NULL;
	free(pool);
}
