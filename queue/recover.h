/* queue/recover.h - reads the log back after a stop, whatever the stop was.
 *
 * Why       The records are the truth; what the daemon knew is rebuilt from them, and nothing is guessed.
 * Promise   Every whole record counts, wherever damage lies. A message whose outcome may have stood in what is missing is held (FAULT_UNCONFIRMED),
 *           never sent again by itself. What was voided is not sent. What a power cut tore off was never acknowledged and is forgotten; so
 *           is an end that stands behind what was torn off, since the report that it relies on may have stood there.
 * Owns      Nothing; fills the tables given.
 * Threads   recover_run() blocks: for a pool thread that has the tables alone.
 * Refuses   A segment that cannot be read at all: FAULT_DISK_FAILED.
 * See       docs/queue.md, docs/decisions/0010-segments.md */
#pragma once
#include "queue/mail.h"
#include "queue/resubmit.h"

enum { RECOVER_GAPS_MAX = 4096 };

struct recover_gap {
	uint64_t from, to; /* sequence numbers that are not there */
};

struct recover {
	/* given */
	struct spool_segment *segments; /* with keys */
	struct mails *mails;            /* as the index knows them, or empty */
	struct resubmit *resubmit;
	uint64_t passed;                /* the index is right up to this number; 0: there is none */
	int64_t wall_ms;
	/* found */
	enum fault fault;
	uint64_t last_sequence;
	uint64_t records, damaged;      /* read; missing where something was lost */
	size_t unconfirmed;             /* messages now to be held for that reason: their `hold` says so */
	size_t torn_count;
	struct recover_gap torn[RECOVER_GAPS_MAX]; /* to be voided, so that nobody takes them for damage later */
};

/* A segment with `last_sequence` not 0 and not above `passed` is not read; others are read from their `at`, which is set to where the next
 * group may go. */
void recover_run(struct recover *);
