/* queue/spool_inner.h - what the files of the spool share.
 *
 * Why       Committing (spool.c) and keeping segments at hand (spool_upkeep.c) are two stories about one object.
 * Promise   Nothing outside queue/spool*.c includes it.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "base/trail.h"
#include "loop/pool.h"
#include "queue/spool.h"

enum { SPOOL_FILES_KEPT = 4, SPOOL_UPKEEP_JOBS = 4096, SPOOL_KEY_MS = 2000 };

/* A commit group while the pool has it. */
struct spool_flight {
	struct spool *spool;
	struct spool_segment *segment;
	struct spool_ticket *first;
	struct buf sealed; /* over `memory`, which begins on a block, so that the write may bypass the cache */
	char *memory;
	uint64_t from, to; /* sequence numbers */
	uint64_t end;      /* where the next group will go */
	enum fault fault;
	bool busy;
};

/* A segment being made ready, wiped or removed. */
struct spool_chore {
	struct spool *spool;
	struct spool_segment *segment;
	uint64_t number, first_sequence;
	struct span wrapped;
	struct secret *key;  /* of a segment being made ready, and its wrapped copy */
	char key_wrapped[SEGMENT_WRAPPED_BYTES];
	size_t key_wrapped_size;
	bool is_new;
	enum fault fault;
	void (*done)(void *self, enum fault);
	void *self;
};

struct spool {
	struct loop *loop;
	struct disk *disk;
	struct pool *commits, *chores, *readers;
	struct spool_settings settings;
	const struct spool_events *events;
	void *self;
	struct trail trail;
	struct spool_segment *segments, *active;
	uint64_t next_number, next_sequence, committed, passed;
	unsigned next_file;
	bool started, closing;
	/* records that wait, in order; and the group on its way */
	struct spool_ticket *waiting, **waiting_last;
	size_t waiting_bytes;
	struct spool_flight flight;
	struct timer launch;
	/* after a failed sync: frames from..to never were */
	bool failed;
	uint64_t void_from, void_to;
	struct spool_ticket void_ticket;
	char void_payload[32];
	int64_t retry_ms;
	enum fault intake;
	/* keys and chores */
	struct secret *spare;
	char spare_wrapped[SEGMENT_WRAPPED_BYTES];
	size_t spare_wrapped_size;
	bool asked, preparing;
	enum fault prepare_fault;
	struct timer prepare_again, key_late;
	int64_t asked_at_ms;
};

/* spool.c */
void spool_launch_soon(struct spool *);
void spool_say_intake(struct spool *);
void spool_give_up(struct spool *); /* at the end: what still waits is told so */

/* spool_upkeep.c */
unsigned spool_ready_count(const struct spool *);

/* Segments that were ready, and soon are again: their keys are being wrapped anew. */
unsigned spool_rewrapping_count(const struct spool *);
struct spool_segment *spool_take_ready(struct spool *);
void spool_upkeep(struct spool *);
