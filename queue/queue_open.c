#include "base/clock.h"
#include "base/panic.h"
#include "queue/queue_inner.h"

#include <stdlib.h>

enum { ABSENCE_COUNTED_MS = 24 * 3600 * 1000 };

static void on_key_wanted(void *self)
{
	struct queue *q = self;

	q->events->key_wanted(q->self);
}

static void on_intake(void *self, enum fault fault)
{
	struct queue *q = self;

	if (q->closing)
		return;
	if (!q->is_open) {
		q->is_open = true;
		q->events->opened(q->self, FAULT_OK, (struct span){ 0 });
	}
	q->events->intake(q->self, fault);
}

static const struct spool_events spool_events = { .key_wanted = on_key_wanted, .intake = on_intake };

static void on_turn(void *self, struct mail *m)
{
	struct queue *q = self;

	q->events->start(q->self, m);
}

static void on_kept(void *self, struct limit *limit, uint64_t mailbox, const struct limit_rates *rates)
{
	struct queue *q = self;

	schedule_recall(q->schedule, limit, mailbox, rates);
}

static bool on_rates(void *self, uint64_t mailbox, struct limit_rates *out)
{
	struct queue *q = self;

	return q->events->rates && q->events->rates(q->self, mailbox, out);
}

/* Without its file, what was sent is known until the next start. */
static void open_limits(struct queue *q)
{
	enum fault fault;

	schedule_count_by(q->schedule, q->limits, on_rates, q);
	fault = limits_open(q->limits, spool_disk(q->spool), on_kept, q);
	if (fault)
		TRAIL(&q->trail, EVENT_LIMITS_NOT_KEPT, TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
}

enum fault queue_open(struct queue **out, struct loop *loop, const char *path, const struct queue_settings *settings,
		      const struct queue_events *events, void *self)
{
	struct queue *q = calloc(1, sizeof *q);
	enum fault fault;

	if (!q)
		panic("out of memory");
	q->loop = loop;
	q->settings = *settings;
	q->events = events;
	q->self = self;
	trail_init(&q->trail, "post", SPAN("queue"));
	mails_init(&q->mails);
	resubmit_init(&q->resubmit);
	buf_init(&q->heard, QUEUE_HEARD_MOST * sizeof(uint64_t));
	timer_init(&q->heard_timer, loop, queue_write_heard, q);
	q->schedule = schedule_new(loop, &settings->schedule, on_turn, q);
	q->limits = limits_new(loop);
	q->recovery = pool_new(loop, &(struct pool_settings){ .name = "recovery", .threads = 1, .waiting_max = 1 });
	fault = spool_open(&q->spool, loop, path, &settings->spool, &spool_events, q);
	if (!fault)
		fault = indexing_open(&q->indexing, loop, q->spool, &q->mails, &q->resubmit);
	if (!fault)
		open_limits(q);
	q->opening = !fault;
	*out = q;
	if (fault)
		queue_close(out);
	return fault;
}

void queue_close(struct queue **out)
{
	struct queue *q = *out;

	if (!q)
		return;
	q->closing = true;
	timer_stop(&q->heard_timer);
	pool_free(&q->recovery);
	indexing_close(&q->indexing);
	spool_close(&q->spool);
	queue_copy_end(q);
	timer_stop(&q->heard_timer);
	schedule_free(&q->schedule);
	limits_free(&q->limits);
	resubmit_free(&q->resubmit);
	mails_free(&q->mails);
	buf_free(&q->heard);
	free(q);
	*out = NULL;
}

void queue_set(struct queue *q, const struct queue_settings *settings)
{
	q->settings = *settings;
	schedule_set(q->schedule, &settings->schedule);
}

void queue_sweep(struct queue *q)
{
	limits_sweep(q->limits);
}

void queue_mark(struct queue *q, struct mail *m)
{
	indexing_changed(q->indexing, m);
}

void queue_index_gone(struct queue *q, const struct mail *m)
{
	indexing_gone(q->indexing, m);
}

static void on_passed(void *self, uint64_t sequence)
{
	struct queue *q = self;

	spool_passed(q->spool, sequence);
	queue_copy_forward(q);
	queue_check_flushed(q);
}

/* --- recovery */

static void recovery_work(void *job)
{
	struct queue *q = job;

	q->recover.passed = indexing_read(q->indexing, q->recover.segments, &q->missing);
	recover_run(&q->recover);
}

/* Wall time of a retry as loop time; a clock that jumped costs no more than the longest wait. */
static int64_t due_ms(const struct queue *q, const struct mail *m)
{
	int64_t wait_ms = m->next_try_at_ms - clock_wall_ms();

	if (wait_ms > q->settings.schedule.retry_longest_ms)
		wait_ms = q->settings.schedule.retry_longest_ms;
	return loop_now_ms(q->loop) + (wait_ms > 0 ? wait_ms : 0);
}

static void void_torn(struct queue *q)
{
	for (size_t i = 0; i < q->recover.torn_count; i++)
		queue_nothing(q, q->recover.torn[i].from, q->recover.torn[i].to);
}

/* When somebody was last there to try a message, as far as the messages tell: a wait ends within the day. */
static int64_t last_seen_ms(const struct queue *q)
{
	int64_t newest_ms = 0;

	for (const struct mail *m = q->mails.oldest; m; m = m->behind) {
		newest_ms = m->accepted_at_ms > newest_ms ? m->accepted_at_ms : newest_ms;
		newest_ms = m->next_try_at_ms > newest_ms ? m->next_try_at_ms : newest_ms;
	}
	return newest_ms;
}

/* A lifetime counts the time in which a message could be tried: of the time the machine was off, or its clock leapt while nobody looked, one day.
 * Else a clock that is years ahead at boot would return the whole queue. A clock that came back since leaves no message young for ever. */
static void forgive_absence(struct queue *q)
{
	int64_t now_ms = clock_wall_ms(), absent_ms = q->mails.oldest ? now_ms - last_seen_ms(q) - ABSENCE_COUNTED_MS : 0;

	if (absent_ms > 0)
		TRAIL(&q->trail, EVENT_QUEUE_ABSENT, TRAIL_NUMBER("hours", absent_ms / 3600000), TRAIL_NUMBER("messages", mails_count(&q->mails)));
	for (struct mail *m = q->mails.oldest; m; m = m->behind) {
		int64_t past_ms = now_ms > m->accepted_at_ms ? now_ms - m->accepted_at_ms : 0;

		if (absent_ms > 0 && !m->hold)
			m->held_ms += absent_ms;
		if (m->held_ms > past_ms)
			m->held_ms = past_ms;
	}
}

static void recovery_done(void *job)
{
	struct queue *q = job;
	struct recover *r = &q->recover;

	if (q->closing)
		return;
	if (r->fault) {
		q->events->opened(q->self, r->fault, SPAN("the spool cannot be read"));
		return;
	}
	TRAIL(&q->trail, EVENT_QUEUE_RECOVERED, TRAIL_NUMBER("records", r->records), TRAIL_NUMBER("messages", mails_count(&q->mails)),
	      TRAIL_NUMBER("damaged", r->damaged), TRAIL_NUMBER("unconfirmed", r->unconfirmed));
	if (r->damaged || r->unconfirmed)
		TRAIL(&q->trail, EVENT_RECORDS_LOST, TRAIL_NUMBER("records", r->damaged), TRAIL_NUMBER("unconfirmed", r->unconfirmed));
	if (q->missing)
		TRAIL(&q->trail, EVENT_INDEX_MISSES, TRAIL_NUMBER("messages", q->missing));
	forgive_absence(q);
	for (struct mail *m = q->mails.oldest, *behind; m; m = behind) {
		behind = m->behind;
		m->accepted = true;
		if (!m->open_count) { /* the index still has it */
			queue_index_gone(q, m);
			mails_remove(&q->mails, &m);
			continue;
		}
		spool_hold(&m->place);
		if (!m->indexed || m->stale)
			queue_mark(q, m);
		if (!mail_is_kept(m))
			schedule_add(q->schedule, m, due_ms(q, m));
	}
	q->events->recovered(q->self);
	spool_start(q->spool, r->last_sequence);
	void_torn(q);
	indexing_start(q->indexing, on_passed, q);
}

static bool ask_for_keys(struct queue *q)
{
	bool all = true;

	for (struct spool_segment *g = spool_segments(q->spool); g; g = g->next)
		if (g->file.number && !g->file.key) {
			q->events->unwrap_wanted(q->self, g->file.number, (struct span){ g->file.wrapped, g->file.wrapped_size });
			all = false;
		}
	return all;
}

static void begin_recovery(struct queue *q)
{
	q->opening = false;
	q->recover.segments = spool_segments(q->spool);
	q->recover.mails = &q->mails;
	q->recover.resubmit = &q->resubmit;
	q->recover.wall_ms = clock_wall_ms();
	ASSERT(pool_run(q->recovery, recovery_work, recovery_done, q));
}

static struct spool_segment *find_segment(struct queue *q, uint64_t number)
{
	struct spool_segment *g = spool_segments(q->spool);

	while (g && g->file.number != number)
		g = g->next;
	return g;
}

static void opened_key(struct queue *q, struct spool_segment *g, enum fault fault, struct span key)
{
	if (fault || key.size != SEAL_KEY_BYTES) {
		q->opening = false;
		q->events->opened(q->self, fault ? fault : FAULT_KEY_WRONG, SPAN("a segment's key cannot be had"));
		return;
	}
	spool_unwrapped(g, key);
	for (g = spool_segments(q->spool); g; g = g->next)
		if (g->file.number && !g->file.key)
			return;
	begin_recovery(q);
}

/* --- another key-encryption key */

static void rotation_over(struct queue *q)
{
	if (--q->rotating)
		return;
	q->rotated(q->rotated_self, q->rotate_fault);
}

static void on_rewrapped(void *self, enum fault fault)
{
	struct queue *q = self;

	if (fault)
		q->rotate_fault = fault;
	rotation_over(q);
}

void queue_rotate(struct queue *q, void (*done)(void *self, enum fault), void *self)
{
	if (q->opening || q->rotating || !spool_drop_key(q->spool)) {
		done(self, FAULT_POST_AWAY);
		return;
	}
	q->rotated = done;
	q->rotated_self = self;
	q->rotate_fault = FAULT_OK;
	q->rotating = 1;
	for (struct spool_segment *g = spool_segments(q->spool); g; g = g->next)
		if (g->file.number && g->file.key) {
			q->rotating++;
			q->events->unwrap_wanted(q->self, g->file.number, (struct span){ g->file.wrapped, g->file.wrapped_size });
		}
	rotation_over(q);
}

/* A segment that was recycled meanwhile has nothing left to wrap. */
static void rotated_key(struct queue *q, struct spool_segment *g, enum fault fault, struct span wrapped)
{
	if (fault || wrapped.size > SEGMENT_WRAPPED_BYTES || !g || g->busy) {
		on_rewrapped(q, fault ? fault : g ? FAULT_POST_AWAY : FAULT_OK);
		return;
	}
	spool_rewrap(q->spool, g, wrapped, on_rewrapped, q);
}

void queue_unwrapped(struct queue *q, uint64_t segment, enum fault fault, struct span key, struct span wrapped)
{
	struct spool_segment *g = find_segment(q, segment);

	if (q->opening && g && !g->file.key)
		opened_key(q, g, fault, key);
	else if (q->rotating)
		rotated_key(q, g, fault, wrapped);
}

void queue_key(struct queue *q, struct span key, struct span wrapped)
{
	spool_key(q->spool, key, wrapped);
}

void queue_vault(struct queue *q)
{
	if (q->rotating) { /* the answers of the old vault will not come */
		q->rotating = 1;
		q->rotate_fault = FAULT_VAULT_AWAY;
		rotation_over(q);
	}
	spool_ask_again(q->spool);
	if (q->opening && ask_for_keys(q))
		begin_recovery(q);
}
