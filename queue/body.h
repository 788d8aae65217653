/* queue/body.h - bodies too large for the log, each in a file of its own.
 *
 * Why       A scan of 100 MB must neither stand in memory nor fill the log.
 * Promise   After `ended` with FAULT_OK the whole body survives power loss, its name in the directory too. What is read is what was written,
 *           in order and whole, or a fault. At most BODY_CHUNK_BYTES of it are in memory when reading, a few times that when writing.
 * Owns      The directory `bodies`. The key of a file stands in its message's record, under the key of that segment.
 * Threads   Everything on the loop; files on a pool of two threads.
 * Refuses   Chunks that were altered, cut or moved: FAULT_SPOOL_DAMAGED. A full disk: FAULT_DISK_FULL, for that message alone.
 * See       docs/decisions/0010-segments.md */
#pragma once
#include "loop/disk.h"
#include "loop/loop.h"
#include "queue/record.h"

enum { BODY_CHUNK_BYTES = 64 * 1024, BODY_INLINE_BYTES = 256 * 1024 };

struct bodies;
struct body_writing;
struct body_reading;

/* Opens (and makes) the directory below the spool's. Closing finishes what is under way. */
MUST_CHECK enum fault bodies_open(struct bodies **out, struct loop *, struct disk *);
void bodies_close(struct bodies **);

struct body_events {
	/* So many bytes more are in the file (not yet synced). */
	void (*written)(void *self, size_t bytes);
	/* After body_end(), or at once when something fails. The writing is gone behind this call. */
	void (*ended)(void *self, enum fault, uint64_t size_bytes);
};

/* Begins the file of message `id`. The key (SEAL_KEY_BYTES) is copied. */
struct body_writing *bodies_write(struct bodies *, uint64_t id, struct span key, const struct body_events *, void *self);
void body_put(struct body_writing *, struct span);
void body_end(struct body_writing *);
/* Gives up: no event comes any more, the file is removed. */
void body_drop(struct body_writing **);

/* Reads one, chunk by chunk: body_next() is answered by `got`, with bytes that live until the next; `end` with the last of them. */
struct body_reading *bodies_read(struct bodies *, uint64_t id, struct span key,
				 void (*got)(void *self, enum fault, struct span bytes, bool end), void *self);
/* The same, but `got` has the bytes as they stand in the file, for a copy of it; that they open is looked at all the same. */
struct body_reading *bodies_copy(struct bodies *, uint64_t id, struct span key,
				 void (*got)(void *self, enum fault, struct span bytes, bool end), void *self);
void body_next(struct body_reading *);
void body_close(struct body_reading **);

/* Removes the file of a message. */
void bodies_remove(struct bodies *, uint64_t id);

/* Removes the files of messages that nobody knows. */
void bodies_sweep(struct bodies *, bool (*is_known)(void *self, uint64_t id), void *self);
