/* queue/indexing.h - tells the index what the segments say, in batches, behind the commit.
 *
 * Why       Most messages are gone before the index would hear of them; those that stay are written many at a time, and nobody waits.
 * Promise   A batch holds all changes up to a sequence number, and that number; segments are recycled by it. A failing index stops
 *           nothing but recycling: the batch is written again.
 * Owns      The database, the lists of what changed, a pool of one thread.
 * Refuses   Nothing. A damaged index is set aside at the start, and the segments are read instead.
 * See       store/queue_index.h, architecture section 5 */
#pragma once
#include "queue/mail.h"
#include "queue/resubmit.h"

enum { INDEXING_MS = 1000, INDEXING_ROWS = 5000, INDEXING_RETRY_MS = 5000 };

struct indexing;

/* Opens the database beside the segments. Blocks shortly. FAULT_DATABASE_NEWER is for people to decide; other trouble begins an empty one. */
MUST_CHECK enum fault indexing_open(struct indexing **out, struct loop *, struct spool *, struct mails *, struct resubmit *);
void indexing_close(struct indexing **);

/* For recovery, on its thread: fills the tables with what the index knows, and marks segments; returns the watermark, 0 for none. */
uint64_t indexing_read(struct indexing *, struct spool_segment *, size_t *missing_out);

/* The daemon runs: batches may be written. `passed` is called with the watermark after each. */
void indexing_start(struct indexing *, void (*passed)(void *self, uint64_t sequence), void *self);

/* A message changed, or went. */
void indexing_changed(struct indexing *, struct mail *);
void indexing_gone(struct indexing *, const struct mail *);

/* Writes what there is, at once. */
void indexing_hurry(struct indexing *);
bool indexing_is_behind(const struct indexing *);
