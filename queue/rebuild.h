/* queue/rebuild.h - a spool written anew from the parts of a backup.
 *
 * Why       What was restored must be an ordinary spool, read by the ordinary recovery; and nothing of it may go out by itself.
 * Promise   Every message comes back under its own id, with what became of it, and held: as it was held where only a person could have released it, else
 *           with FAULT_RESTORED. rebuild_finish() with FAULT_OK means that all of it survives power loss.
 * Owns      Its files while they are written, and the keys of their segments.
 * Threads   All of it blocks: for a program of its own.
 * Refuses   Parts that make no sense: FAULT_BACKUP_DAMAGED. What the disk refuses.
 * See       queue/archive.h, queue/recover.h, docs/decisions/0075-backup.md */
#pragma once
#include "loop/disk.h"
#include "queue/archive.h"

struct rebuild;

struct rebuild_settings {
	uint64_t segment_bytes;
	int64_t at_ms;      /* the moment of the backup: held since then */
	struct span reason; /* for people: why it is held */
};

struct rebuild_counts {
	uint64_t messages, lost;
};

/* `disk` is the empty directory of the spool and stays the caller's. */
struct rebuild *rebuild_new(struct disk *, const struct rebuild_settings *);
void rebuild_free(struct rebuild **);

/* Takes a part of the spool's section, ARCHIVE_SPOOL_END too. */
MUST_CHECK enum fault rebuild_part(struct rebuild *, enum archive_kind, struct span text);

/* Writes the heads, each with the segment's key as `wrap` wrapped it, appended to `out`. */
MUST_CHECK enum fault rebuild_finish(struct rebuild *, bool (*wrap)(void *self, struct buf *out, struct span key), void *self);

/* What there was; final behind ARCHIVE_SPOOL_END. */
struct rebuild_counts rebuild_counts(const struct rebuild *);
