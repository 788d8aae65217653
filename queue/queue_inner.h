/* queue/queue_inner.h - what the files of the queue share.
 *
 * Why       Opening and indexing (queue_open.c) and the daily records (queue.c) are two stories about one object.
 * Promise   Nothing outside queue/queue*.c includes it.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "base/trail.h"
#include "loop/pool.h"
#include "queue/indexing.h"
#include "queue/queue.h"

enum { QUEUE_HEARD_MS = 200, QUEUE_HEARD_MOST = 8192 };

struct queue {
	struct loop *loop;
	struct queue_settings settings;
	const struct queue_events *events;
	void *self;
	struct trail trail;
	struct spool *spool;
	struct mails mails;
	struct limits *limits;
	struct schedule *schedule;
	struct resubmit resubmit;
	struct indexing *indexing;
	struct pool *recovery;
	size_t missing; /* messages that the index knew and the segments did not */
	struct recover recover;
	bool opening, is_open, closing;
	size_t payload_bytes;
	/* ids whose replies were heard, not yet written */
	struct buf heard;
	struct timer heard_timer;
	unsigned notes; /* records on their way */
	queue_done *flushed;
	void *flushed_self;
	struct queue_copy *copying;
	/* a new key-encryption key */
	unsigned rotating;
	enum fault rotate_fault;
	void (*rotated)(void *self, enum fault);
	void *rotated_self;
};

/* queue.c */
void queue_write_heard(void *queue); /* now */
void queue_nothing(struct queue *, uint64_t from, uint64_t to);

/* Looks whether all is written, where somebody waits for that. */
void queue_check_flushed(struct queue *);

/* One record less of a message is on its way. */
void queue_pending_over(struct queue *, struct mail *);

/* queue_copy.c: what is still open in an almost empty segment is written again, so that the segment can be used again. */
void queue_copy_forward(struct queue *);
void queue_copy_end(struct queue *);

/* queue_open.c: a message changed, or went, and the index must hear of it. */
void queue_mark(struct queue *, struct mail *);
void queue_index_gone(struct queue *, const struct mail *);
