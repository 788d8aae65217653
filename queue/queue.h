/* queue/queue.h - the queue as a whole: what is in it, and what is written about it.
 *
 * Why       Post decides; here it is made to last, in one place and in the right order.
 * Promise   queue_accept() says FAULT_OK only for what survives power loss. What is written of a message is seen here at once, and is on the disk when
 *           `done` comes; it then stands whatever the disk does meanwhile. Nothing is forgotten before it is on the disk.
 * Owns      The spool, the table of open messages, the schedule, the resubmission keys, the index.
 * Refuses   More than `messages_max` open messages (FAULT_QUEUE_FULL), and what the spool refuses.
 * See       docs/queue.md */
#pragma once
#include "queue/mail.h"
#include "queue/recover.h"
#include "queue/resubmit.h"
#include "queue/schedule.h"
#include "queue/spool.h"

struct queue;

struct queue_settings {
	struct spool_settings spool;
	struct schedule_settings schedule;
	uint64_t messages_max;
	size_t payload_bytes_max; /* of messages kept in memory while they wait; beyond it they are read again */
};

struct queue_events {
	/* A key is wanted of the vault: a new one (answer by queue_key()), or that of a segment (by queue_unwrapped()). */
	void (*key_wanted)(void *self);
	void (*unwrap_wanted)(void *self, uint64_t segment, struct span wrapped);
	/* The messages of before are in the table and in their lanes; nothing was started yet. */
	void (*recovered)(void *self);
	/* Recovered and ready, or not; once. */
	void (*opened)(void *self, enum fault, struct span why);
	/* What a message would get now. */
	void (*intake)(void *self, enum fault);
	/* A message that was accepted is on its way to the disk, with others. May be NULL. */
	void (*committing)(void *self, struct mail *);
	/* A message that was accepted is on the disk, or was not taken: then it is freed behind this call. */
	void (*accepted)(void *self, struct mail *, enum fault);
	/* A message's turn has come. */
	schedule_start *start;
	/* What a mailbox may; see schedule_count_by(). NULL: nothing is known of any. */
	schedule_rates *rates;
	/* Its last record is on the disk; it is freed behind this call. */
	void (*ended)(void *self, struct mail *);
};

/* Opens the directory; then the segments' keys are asked for, the log is read, and `opened` comes. */
MUST_CHECK enum fault queue_open(struct queue **out, struct loop *, const char *path, const struct queue_settings *, const struct queue_events *,
				 void *self);

/* Ends what is under way, without a word to the owner, and frees. */
void queue_close(struct queue **);

/* New settings; the size of segments counts for those to come. */
void queue_set(struct queue *, const struct queue_settings *);


/* From time to time: what is not needed any more is forgotten. */
void queue_sweep(struct queue *);

/* A new key of the vault's. */
void queue_key(struct queue *, struct span key, struct span wrapped);
/* The vault's answer about a segment: its key, and the key wrapped anew. A fault while opening ends the opening. */
void queue_unwrapped(struct queue *, uint64_t segment, enum fault, struct span key, struct span wrapped);
/* The vault is there (again): what is still wanted is asked. */
void queue_vault(struct queue *);
/* Another key-encryption key: every live segment's key is asked for again and its head rewritten; `done` once. */
void queue_rotate(struct queue *, void (*done)(void *self, enum fault), void *self);

/* Its parts. */
struct mails *queue_mails(struct queue *);
struct schedule *queue_schedule(struct queue *);
struct resubmit *queue_resubmit(struct queue *);
struct spool *queue_spool(struct queue *);

/* What a message would get now. */
enum fault queue_intake(const struct queue *);

/* Takes a message whose payload is whole. On a fault it is the caller's to free. */
MUST_CHECK enum fault queue_accept(struct queue *, struct mail *, unsigned type);

/* What is written of a message. `done` may be NULL; it comes once the record is on the disk. */
typedef void queue_done(void *self);
void queue_outcome(struct queue *, struct mail *, const struct record_outcome *, queue_done *done, void *self);
void queue_hold(struct queue *, struct mail *, const struct record_hold *, queue_done *done, void *self);
void queue_release(struct queue *, struct mail *, struct span by, queue_done *done, void *self);
void queue_delete(struct queue *, struct mail *, struct span by, queue_done *done, void *self);
void queue_heard(struct queue *, uint64_t id);

/* A try of a message ended, and what came of it was written: it leaves the table once that is on the disk and no recipient is open. */
void queue_tried(struct queue *, struct mail *);

/* Brings the payload in: `done` at once when it is at hand, else later, with a fault when it cannot be read. With `keep` it stays with the message
 * until queue_unload(), for a try; else it lives during the call. The message lives until then. */
typedef void queue_loaded(void *self, struct mail *, enum fault, struct span payload);
void queue_load(struct queue *, struct mail *, bool keep, queue_loaded *done, void *self);
/* It is not needed any more now: kept while there is room, else dropped. */
void queue_unload(struct queue *, struct mail *, bool keep);

/* Nothing more will be written: calls `done` when all that was put is on the disk, and the index with it. */
void queue_flush(struct queue *, queue_done *done, void *self);
