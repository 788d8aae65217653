#include "loop/loop.h"

#include "base/panic.h"
#include "base/trail.h"
#include "loop/real/inner.h"
#include "loop/timers.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { SIGNALS_MAX = 8, POSTED_MAX = 1024 * 1024, SPARES_MAX = 32, SPARE_BYTES = 64 * 1024 };

struct posted {
	void (*done)(void *job);
	void *job;
};

struct posts {
	struct posted *at;
	size_t count, room;
};

struct signal_watch {
	uv_signal_t handle;
	void (*handler)(void *self);
	void *self;
};

struct loop {
	uv_loop_t uv;
	uv_prepare_t before;
	uv_check_t after;
	uv_timer_t alarm;
	uv_async_t knock;
	struct timers timers;
	struct errand soon, end, dead, exit;
	pthread_mutex_t lock;
	struct posts posted, taken;
	struct signal_watch signals[SIGNALS_MAX];
	size_t signal_count, spare_count;
	struct buf spares[SPARES_MAX];
	struct watch_handle *watches;
	char *raw, *plain;
	int open;
	bool runs;
};

static void list_init(struct errand *list)
{
	list->next = list->previous = list;
}

static void list_put(struct errand *list, struct errand *e)
{
	if (e->next)
		return;
	e->previous = list->previous;
	e->next = list;
	list->previous->next = e;
	list->previous = e;
}

void loop_cancel(struct errand *e)
{
	if (!e->next)
		return;
	e->previous->next = e->next;
	e->next->previous = e->previous;
	e->next = e->previous = NULL;
}

/* Those that are on the list now; what they add waits for the next round. */
static void list_run(struct errand *list)
{
	struct errand now;

	if (list->next == list)
		return;
	now = *list;
	now.next->previous = now.previous->next = &now;
	list_init(list);
	while (now.next != &now) {
		struct errand *e = now.next;

		loop_cancel(e);
		e->run(e->self);
	}
}

void loop_soon(struct loop *l, struct errand *e)
{
	list_put(&l->soon, e);
}

void loop_at_end(struct loop *l, struct errand *e)
{
	list_put(&l->end, e);
}

void loop_bury(struct loop *l, struct errand *e)
{
	list_put(&l->dead, e);
}

void loop_at_exit(struct loop *l, struct errand *e)
{
	list_put(&l->exit, e);
}

static void end_turn(struct loop *l)
{
	list_run(&l->soon);
	list_run(&l->end);
	list_run(&l->dead);
}

static void on_alarm(uv_timer_t *alarm)
{
}

/* Before sleeping: what was done outside of a turn is finished, and the sleep is cut to the first timer. */
static void on_before(uv_prepare_t *before)
{
	struct loop *l = before->data;
	int64_t next = timers_next_ms(&l->timers), wait;

	list_run(&l->end);
	list_run(&l->dead);
	trail_flush();
	if (l->soon.next != &l->soon || l->end.next != &l->end)
		next = 0;
	if (next == INT64_MAX) {
		uv_timer_stop(&l->alarm);
		return;
	}
	wait = next - (int64_t)uv_now(&l->uv);
	uv_timer_start(&l->alarm, on_alarm, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void on_after(uv_check_t *after)
{
	struct loop *l = after->data;

	timers_fire(&l->timers, (int64_t)uv_now(&l->uv));
	end_turn(l);
}

static void on_knock(uv_async_t *knock)
{
	struct loop *l = knock->data;
	struct posts work;

	pthread_mutex_lock(&l->lock);
	work = l->posted;
	l->posted = l->taken;
	l->taken = (struct posts){ 0 };
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < work.count; i++)
		work.at[i].done(work.at[i].job);
	work.count = 0;
	l->taken = work;
}

void loop_post(struct loop *l, void (*done)(void *job), void *job)
{
	struct posts *p = &l->posted;

	pthread_mutex_lock(&l->lock);
	if (p->count == p->room) {
		if (p->room == POSTED_MAX)
			panic("more than %d results wait for the loop", POSTED_MAX);
		p->room = p->room ? p->room * 2 : 64;
		p->at = realloc(p->at, p->room * sizeof *p->at);
		if (!p->at)
			panic("out of memory");
	}
	p->at[p->count++] = (struct posted){ done, job };
	pthread_mutex_unlock(&l->lock);
	uv_async_send(&l->knock);
}

static void must(int status, const char *what)
{
	if (status < 0)
		fatal("the loop cannot start: %s: %s", what, uv_strerror(status));
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof *l);

	if (!l)
		panic("out of memory");
	signal(SIGPIPE, SIG_IGN);
	list_init(&l->soon);
	list_init(&l->end);
	list_init(&l->dead);
	list_init(&l->exit);
	pthread_mutex_init(&l->lock, NULL);
	must(uv_loop_init(&l->uv), "uv_loop_init");
	l->before.data = l->after.data = l->alarm.data = l->knock.data = l;
	must(uv_prepare_init(&l->uv, &l->before), "uv_prepare_init");
	must(uv_check_init(&l->uv, &l->after), "uv_check_init");
	must(uv_timer_init(&l->uv, &l->alarm), "uv_timer_init");
	must(uv_async_init(&l->uv, &l->knock, on_knock), "uv_async_init");
	must(uv_prepare_start(&l->before, on_before), "uv_prepare_start");
	must(uv_check_start(&l->after, on_after), "uv_check_start");
	l->raw = malloc(LOOP_RAW_BYTES);
	l->plain = malloc(LOOP_PLAIN_BYTES);
	if (!l->raw || !l->plain)
		panic("out of memory");
	return l;
}

static void close_handles(struct loop *l)
{
	uv_close((uv_handle_t *)&l->before, NULL);
	uv_close((uv_handle_t *)&l->after, NULL);
	uv_close((uv_handle_t *)&l->alarm, NULL);
	uv_close((uv_handle_t *)&l->knock, NULL);
	for (size_t i = 0; i < l->signal_count; i++)
		uv_close((uv_handle_t *)&l->signals[i].handle, NULL);
	while (uv_run(&l->uv, UV_RUN_DEFAULT)) /* a loop_stop() outside loop_run() ends the first of them early */
		;
	must(uv_loop_close(&l->uv), "uv_loop_close");
}

void loop_free(struct loop **loop)
{
	struct loop *l = *loop;

	if (!l)
		return;
	if (l->open)
		panic("a loop is freed with %d streams open", l->open);
	on_knock(&l->knock);
	list_run(&l->exit);
	list_run(&l->dead);
	close_handles(l);
	watch_forget(l->watches);
	timers_free(&l->timers);
	for (size_t i = 0; i < l->spare_count; i++)
		free(l->spares[i].at);
	free(l->posted.at);
	free(l->taken.at);
	free(l->raw);
	free(l->plain);
	pthread_mutex_destroy(&l->lock);
	free(l);
	*loop = NULL;
}

void loop_run(struct loop *l)
{
	l->runs = true;
	trail_gather(true);
	uv_update_time(&l->uv);
	uv_run(&l->uv, UV_RUN_DEFAULT);
	trail_gather(false);
	l->runs = false;
}

void loop_stop(struct loop *l)
{
	uv_stop(&l->uv);
}

/* Outside of a turn libuv's time stands still, and a start may take seconds. */
int64_t loop_now_ms(struct loop *l)
{
	if (!l->runs)
		uv_update_time(&l->uv);
	return (int64_t)uv_now(&l->uv);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct signal_watch *s = handle->data;

	s->handler(s->self);
}

void loop_on_signal(struct loop *l, int signal_number, void (*handler)(void *self), void *self)
{
	struct signal_watch *s = &l->signals[l->signal_count];

	ASSERT(l->signal_count < SIGNALS_MAX);
	l->signal_count++;
	s->handler = handler;
	s->self = self;
	s->handle.data = s;
	must(uv_signal_init(&l->uv, &s->handle), "uv_signal_init");
	must(uv_signal_start(&s->handle, on_signal, signal_number), "uv_signal_start");
}

struct timers *loop_timers(struct loop *l)
{
	return &l->timers;
}

void loop_opened(struct loop *l, int by)
{
	l->open += by;
}

char *loop_raw(struct loop *l)
{
	return l->raw;
}

char *loop_plain(struct loop *l)
{
	return l->plain;
}

void loop_lend(struct loop *l, struct buf *b)
{
	struct buf *spare;

	if (b->at || !l->spare_count)
		return;
	spare = &l->spares[--l->spare_count];
	b->at = spare->at;
	b->room = spare->room;
}

void loop_return(struct loop *l, struct buf *b)
{
	if (!b->at)
		return;
	if (l->spare_count == SPARES_MAX || b->room > SPARE_BYTES) {
		buf_free(b);
		return;
	}
	l->spares[l->spare_count++] = *b;
	buf_init(b, b->max);
}

struct watch_handle **loop_watches(struct loop *l)
{
	return &l->watches;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
	return &l->uv;
}
