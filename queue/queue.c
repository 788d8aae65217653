#include "queue/queue.h"

#include "base/clock.h"
#include "base/panic.h"
#include "queue/queue_inner.h"

#include <stdlib.h>
#include <string.h>

enum { NOTE_BYTES = 64 };

/* A record about a message, on its way to the disk. */
struct note {
	struct spool_ticket ticket;
	struct queue *queue;
	struct mail *mail; /* NULL: of none */
	queue_done *done;
	void *self;
	struct buf payload;
};

/* --- memory */

static void count_payload(struct queue *q, struct mail *m)
{
	q->payload_bytes += mail_payload(m).size;
	m->payload_counted = true;
}

static void drop_payload(struct queue *q, struct mail *m)
{
	if (m->payload_counted)
		q->payload_bytes -= mail_payload(m).size;
	m->payload_counted = false;
	mail_drop_payload(m);
}

void queue_unload(struct queue *q, struct mail *m, bool keep)
{
	if (!keep || q->payload_bytes > q->settings.payload_bytes_max)
		drop_payload(q, m);
}

struct load {
	struct spool_reading reading;
	struct queue *queue;
	struct mail *mail;
	bool keep;
	queue_loaded *done;
	void *self;
};

static void loaded(void *self, struct spool_reading *r)
{
	struct load *l = self;
	struct queue *q = l->queue;
	struct mail *m = l->mail;

	if (r->fault && !q->closing)
		TRAIL(&q->trail, EVENT_RECORD_DAMAGED, TRAIL_TEXT("fault", span_of(fault_row(r->fault)->name)));
	if (!q->closing && l->keep && !r->fault && !m->payload) {
		mail_set_payload(m, &r->payload);
		count_payload(q, m);
	}
	if (!q->closing) {
		l->done(l->self, m, r->fault, l->keep ? mail_payload(m) : buf_span(&r->payload));
		queue_pending_over(q, m);
	}
	buf_free(&r->payload);
	free(l);
}

void queue_load(struct queue *q, struct mail *m, bool keep, queue_loaded *done, void *self)
{
	struct load *l;

	if (m->payload) {
		done(self, m, FAULT_OK, mail_payload(m));
		return;
	}
	l = calloc(1, sizeof *l);
	if (!l)
		panic("out of memory");
	*l = (struct load){ .queue = q, .mail = m, .keep = keep, .done = done, .self = self };
	l->reading.place = m->place;
	l->reading.done = loaded;
	l->reading.self = l;
	m->pending++;
	spool_read(q->spool, &l->reading);
}

/* --- the end of a message */

static void end_if_over(struct queue *q, struct mail *m)
{
	if (!m->accepted || m->open_count || m->pending || m->trying)
		return;
	schedule_remove(m);
	spool_let_go(&m->place);
	drop_payload(q, m);
	q->events->ended(q->self, m);
	queue_index_gone(q, m);
	mails_remove(&q->mails, &m);
}

void queue_tried(struct queue *q, struct mail *m)
{
	m->trying = false;
	end_if_over(q, m);
}

void queue_pending_over(struct queue *q, struct mail *m)
{
	m->pending--;
	end_if_over(q, m);
}

/* --- records on their way */

void queue_check_flushed(struct queue *q)
{
	queue_done *done = q->flushed;

	if (!done || q->notes || q->heard.size || q->closing)
		return;
	if (indexing_is_behind(q->indexing)) {
		indexing_hurry(q->indexing);
		return;
	}
	q->flushed = NULL;
	done(q->flushed_self);
}

static struct note *note_new(struct queue *q, struct mail *m, unsigned type, queue_done *done, void *self)
{
	struct note *n = calloc(1, sizeof *n);

	if (!n)
		panic("out of memory");
	*n = (struct note){ .queue = q, .mail = m, .done = done, .self = self };
	n->ticket = (struct spool_ticket){ .type = type, .must = true, .self = n };
	buf_init(&n->payload, RECORD_BYTES_MAX);
	return n;
}

static void note_over(struct note *n)
{
	struct queue *q = n->queue;

	q->notes--;
	buf_free(&n->payload);
	free(n);
	queue_check_flushed(q);
}

static bool is_closing(const struct queue *q)
{
	return q->closing;
}

static void written(void *self, enum fault fault)
{
	struct note *n = self;

	ASSERT(!fault || is_closing(n->queue)); /* it must stand: the spool writes it again until it does */
	if (is_closing(n->queue)) {
		note_over(n);
		return;
	}
	if (n->mail)
		queue_mark(n->queue, n->mail);
	if (n->done)
		n->done(n->self);
	if (n->mail)
		queue_pending_over(n->queue, n->mail); /* only now: `done` may have been the last to need it */
	note_over(n);
}

static void put(struct note *n, bool encoded)
{
	ASSERT(encoded);
	n->ticket.payload = buf_span(&n->payload);
	n->ticket.done = written;
	if (n->mail)
		n->mail->pending++;
	n->queue->notes++;
	ASSERT(!spool_put(n->queue->spool, &n->ticket));
}

void queue_outcome(struct queue *q, struct mail *m, const struct record_outcome *o, queue_done *done, void *self)
{
	struct note *n = note_new(q, m, RECORD_NUMBER_outcome, done, self);

	put(n, record_put_outcome(&n->payload, o));
	mail_apply_outcome(m, o);
}

void queue_hold(struct queue *q, struct mail *m, const struct record_hold *h, queue_done *done, void *self)
{
	struct note *n = note_new(q, m, RECORD_NUMBER_hold, done, self);

	put(n, record_put_hold(&n->payload, h));
	mail_apply_hold(m, h);
}

void queue_release(struct queue *q, struct mail *m, struct span by, queue_done *done, void *self)
{
	struct note *n = note_new(q, m, RECORD_NUMBER_release, done, self);
	struct record_release r = { m->id, clock_wall_ms(), by };

	put(n, record_put_release(&n->payload, &r));
	mail_apply_release(m, &r);
}

void queue_delete(struct queue *q, struct mail *m, struct span by, queue_done *done, void *self)
{
	struct note *n = note_new(q, m, RECORD_NUMBER_removed, done, self);

	put(n, record_put_removed(&n->payload, &(struct record_removed){ m->id, clock_wall_ms(), by }));
	schedule_remove(m);
	resubmit_forget(&q->resubmit, m->id);
	m->open_count = 0;
}

/* Numbers that a stop cut off are not damage. */
void queue_nothing(struct queue *q, uint64_t from, uint64_t to)
{
	struct note *n = note_new(q, NULL, RECORD_NUMBER_nothing, NULL, NULL);

	put(n, record_put_nothing(&n->payload, &(struct record_nothing){ from, to }));
}

/* --- replies that were heard: many ids in one record, which waits a little for company */

void queue_write_heard(void *self)
{
	struct queue *q = self;
	struct note *n;

	timer_stop(&q->heard_timer);
	if (!q->heard.size)
		return;
	n = note_new(q, NULL, RECORD_NUMBER_heard, NULL, NULL);
	put(n, record_put_heard(&n->payload, &(struct record_heard){ buf_span(&q->heard) }));
	buf_clear(&q->heard);
}

void queue_heard(struct queue *q, uint64_t id)
{
	struct mail *m = mails_find(&q->mails, id);
	char *at;

	if (m)
		mail_heard(m);
	if (!resubmit_forget(&q->resubmit, id))
		return; /* another like it has taken its place */
	at = buf_room(&q->heard, sizeof id);
	for (size_t i = 0; i < sizeof id; i++)
		at[i] = (char)(id >> (8 * i) & 255);
	buf_grew(&q->heard, sizeof id);
	if (q->heard.size >= QUEUE_HEARD_MOST * sizeof id)
		queue_write_heard(q);
	else if (!timer_is_set(&q->heard_timer))
		timer_after(&q->heard_timer, QUEUE_HEARD_MS);
}

/* --- taking messages in */

static void on_commit_begun(void *self)
{
	struct note *n = self;
	struct queue *q = n->queue;

	if (q->events->committing && !is_closing(q))
		q->events->committing(q->self, n->mail);
}

static void on_accepted(void *self, enum fault fault)
{
	struct note *n = self;
	struct queue *q = n->queue;
	struct mail *m = n->mail;

	m->pending--;
	if (is_closing(q)) {
		note_over(n);
		return;
	}
	if (fault) {
		resubmit_forget(&q->resubmit, m->id);
		q->events->accepted(q->self, m, fault);
		drop_payload(q, m);
		mails_remove(&q->mails, &m);
		note_over(n);
		return;
	}
	m->accepted = true;
	m->place = n->ticket.place;
	spool_hold(&m->place);
	queue_mark(q, m);
	q->events->accepted(q->self, m, FAULT_OK);
	note_over(n);
}

enum fault queue_intake(const struct queue *q)
{
	if (!q->is_open)
		return FAULT_POST_AWAY;
	if (mails_count(&q->mails) >= q->settings.messages_max)
		return FAULT_QUEUE_FULL;
	return spool_intake(q->spool);
}

enum fault queue_accept(struct queue *q, struct mail *m, unsigned type)
{
	bool must = type == RECORD_REPORT;
	enum fault fault = must ? FAULT_OK : queue_intake(q);
	struct note *n;

	if (fault)
		return fault;
	n = note_new(q, m, type, NULL, NULL);
	n->ticket.payload = mail_payload(m);
	n->ticket.begun = on_commit_begun;
	n->ticket.done = on_accepted;
	n->ticket.must = must;
	fault = spool_put(q->spool, &n->ticket);
	if (fault) {
		free(n);
		return fault;
	}
	q->notes++;
	m->pending++;
	mails_add(&q->mails, m);
	count_payload(q, m);
	if (m->key)
		resubmit_add(&q->resubmit, m->key->bytes, m->id, m->key->until_ms);
	return FAULT_OK;
}

void queue_flush(struct queue *q, queue_done *done, void *self)
{
	q->flushed = done;
	q->flushed_self = self;
	queue_write_heard(q);
	queue_check_flushed(q);
}

/* --- the parts */

struct mails *queue_mails(struct queue *q)
{
	return &q->mails;
}

struct schedule *queue_schedule(struct queue *q)
{
	return q->schedule;
}

struct resubmit *queue_resubmit(struct queue *q)
{
	return &q->resubmit;
}

struct spool *queue_spool(struct queue *q)
{
	return q->spool;
}
