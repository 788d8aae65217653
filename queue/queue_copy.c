#include "base/panic.h"
#include "queue/queue_inner.h"

#include <stdlib.h>

/* A segment being emptied: its open messages are read and written again, one after the other. Their ids and their story stay. */
struct queue_copy {
	struct queue *queue;
	struct spool_segment *segment;
	uint64_t *ids;
	size_t count, next;
	uint64_t id; /* of the one under way */
	struct spool_ticket ticket;
	struct buf payload;
};

static void copy_next(struct queue_copy *);

static void copy_end(struct queue_copy *c)
{
	c->queue->copying = NULL;
	buf_free(&c->payload);
	free(c->ids);
	free(c);
}

static void on_copied(void *self, enum fault fault)
{
	struct queue_copy *c = self;
	struct queue *q = c->queue;
	struct mail *m = mails_find(&q->mails, c->id);

	q->notes--;
	if (q->closing) {
		copy_end(c);
		return;
	}
	ASSERT(!fault && m); /* it was pending, so it is still there */
	spool_let_go(&m->place);
	m->place = c->ticket.place;
	spool_hold(&m->place);
	queue_mark(q, m);
	queue_pending_over(q, m);
	copy_next(c);
}

/* The record again, with what became of the message since. False when it cannot be read: it stays where it is. */
static bool rewrite(struct queue_copy *c, const struct mail *m, struct span payload)
{
	struct record_envelope e;
	struct record_closing closing;
	struct span body;
	struct buf progress;
	size_t begun;
	bool good;

	if (record_get_message(&e, &body, &closing, payload))
		return false;
	buf_init(&progress, RECORD_BYTES_MAX);
	buf_clear(&c->payload);
	good = mail_put_progress(&progress, m) && record_message_begin(&c->payload, &e);
	begun = c->payload.size;
	closing.progress = buf_span(&progress);
	good = good && buf_put(&c->payload, body) && record_message_end(&c->payload, begun, &closing);
	buf_free(&progress);
	return good;
}

static void on_loaded(void *self, struct mail *m, enum fault fault, struct span payload)
{
	struct queue_copy *c = self;

	if (fault || !m->open_count || m->place.segment != c->segment || !rewrite(c, m, payload)) {
		copy_next(c);
		return;
	}
	c->id = m->id;
	c->ticket = (struct spool_ticket){ .payload = buf_span(&c->payload), .type = m->report_of ? RECORD_REPORT : RECORD_MESSAGE, .must = true,
					   .done = on_copied, .self = c };
	m->pending++;
	c->queue->notes++;
	ASSERT(!spool_put(c->queue->spool, &c->ticket));
}

static void copy_next(struct queue_copy *c)
{
	struct mail *m = NULL;

	while (!m && c->next < c->count)
		m = mails_find(&c->queue->mails, c->ids[c->next++]);
	if (m)
		queue_load(c->queue, m, false, on_loaded, c);
	else
		copy_end(c);
}

void queue_copy_forward(struct queue *q)
{
	struct spool_segment *segment = q->copying ? NULL : spool_sparse(q->spool);
	struct queue_copy *c;

	if (!segment || q->flushed)
		return;
	c = calloc(1, sizeof *c);
	if (!c)
		panic("out of memory");
	*c = (struct queue_copy){ .queue = q, .segment = segment };
	buf_init(&c->payload, RECORD_BYTES_MAX);
	c->ids = calloc(segment->open, sizeof *c->ids);
	if (!c->ids)
		panic("out of memory");
	q->copying = c;
	for (const struct mail *m = q->mails.oldest; m && c->count < segment->open; m = m->behind)
		if (m->accepted && m->place.segment == segment)
			c->ids[c->count++] = m->id;
	copy_next(c);
}

void queue_copy_end(struct queue *q)
{
	if (q->copying)
		copy_end(q->copying);
}
