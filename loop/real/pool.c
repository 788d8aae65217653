#include "loop/pool.h"

#include "base/panic.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LOW_NICENESS = 10 };

struct job {
	void (*work)(void *job), (*done)(void *job);
	void *job;
};

/* A ring of jobs. */
struct jobs {
	struct job *at;
	size_t first, count, room;
};

struct pool {
	struct loop *loop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct jobs waiting, finished;
	size_t waiting_max;
	unsigned thread_count;
	bool low_priority, closing, knocked, freed;
	char name[16];
	pthread_t threads[];
};

static void jobs_put(struct jobs *j, struct job job)
{
	if (j->count == j->room) {
		size_t room = j->room ? j->room * 2 : 16;
		struct job *at = calloc(room, sizeof *at);

		if (!at)
			panic("out of memory");
		for (size_t i = 0; i < j->count; i++)
			at[i] = j->at[(j->first + i) % j->room];
		free(j->at);
		*j = (struct jobs){ at, 0, j->count, room };
	}
	j->at[(j->first + j->count++) % j->room] = job;
}

static struct job jobs_take(struct jobs *j)
{
	struct job job = j->at[j->first];

	j->first = (j->first + 1) % j->room;
	j->count--;
	return job;
}

static void destroy(struct pool *p)
{
	free(p->waiting.at);
	free(p->finished.at);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	free(p);
}

/* Those that finished together are told together. */
static void tell_finished(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	while (p->finished.count) {
		struct job job = jobs_take(&p->finished);

		pthread_mutex_unlock(&p->lock);
		job.done(job.job);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
}

static void on_knock(void *self)
{
	struct pool *p = self;
	bool freed;

	pthread_mutex_lock(&p->lock);
	p->knocked = false;
	freed = p->freed;
	pthread_mutex_unlock(&p->lock);
	if (freed)
		destroy(p);
	else
		tell_finished(p);
}

static void finish(struct pool *p, struct job job)
{
	bool knock = !p->knocked;

	jobs_put(&p->finished, job);
	p->knocked = true;
	if (knock)
		loop_post(p->loop, on_knock, p);
}

static void *run(void *self)
{
	struct pool *p = self;

	pthread_setname_np(pthread_self(), p->name);
	if (p->low_priority)
		setpriority(PRIO_PROCESS, 0, LOW_NICENESS); /* of this thread */
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct job job;

		while (!p->waiting.count && !p->closing)
			pthread_cond_wait(&p->wake, &p->lock);
		if (!p->waiting.count)
			break;
		job = jobs_take(&p->waiting);
		pthread_mutex_unlock(&p->lock);
		job.work(job.job);
		pthread_mutex_lock(&p->lock);
		finish(p, job);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are the loop's. */
static void start_threads(struct pool *p)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < p->thread_count; i++)
		if (pthread_create(&p->threads[i], NULL, run, p))
			fatal("a thread cannot be started");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

struct pool *pool_new(struct loop *loop, const struct pool_settings *s)
{
	struct pool *p = calloc(1, sizeof *p + s->threads * sizeof *p->threads);

	if (!p)
		panic("out of memory");
	p->loop = loop;
	p->waiting_max = s->waiting_max;
	p->thread_count = s->threads;
	p->low_priority = s->low_priority;
	snprintf(p->name, sizeof p->name, "%s", s->name);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	start_threads(p);
	return p;
}

void pool_free(struct pool **pool)
{
	struct pool *p = *pool;
	bool knocked;

	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->thread_count; i++)
		pthread_join(p->threads[i], NULL);
	tell_finished(p);
	*pool = NULL;
	pthread_mutex_lock(&p->lock);
	p->freed = true;
	knocked = p->knocked; /* then on_knock() is still to come, and frees */
	pthread_mutex_unlock(&p->lock);
	if (!knocked)
		destroy(p);
}

bool pool_run(struct pool *p, void (*work)(void *job), void (*done)(void *job), void *job)
{
	bool fits;

	pthread_mutex_lock(&p->lock);
	fits = p->waiting.count < p->waiting_max && !p->closing;
	if (fits)
		jobs_put(&p->waiting, (struct job){ work, done, job });
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return fits;
}
