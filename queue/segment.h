/* queue/segment.h - one file of the log: its head, and the frames in it.
 *
 * Why       Appending to a file whose blocks exist and hold zeros lets one fdatasync of data alone be the commit.
 * Promise   segment_scan() gives every whole frame of this use of the file, wherever damage lies between them, and none of an earlier use.
 *           A head that is being rewritten never loses the one before it: there are two, written one after the other, and either will do.
 * Owns      Its descriptor, key and the wrapped copy of the key.
 * Threads   All of it blocks: for pool threads, and for the time before a loop runs. One thread at a time, save segment_read().
 * Refuses   A head of a newer release: FAULT_SPOOL_NEWER. Both damaged: FAULT_SPOOL_DAMAGED.
 * See       docs/decisions/0010-segments.md, docs/queue.md
 *
 * Two head blocks of 4 KB, then commit groups, each from a fresh block of 4 KB. A head: 0 magic "PSTNSEG1", 8 CRC-32C of all that follows,
 * 12 format, 16 number, 24 number of the first frame, 32 turn (the higher of the two heads counts), 36 size and 40 bytes of the wrapped key. */
#pragma once
#include "loop/disk.h"
#include "queue/record.h"

enum {
	SEGMENT_BLOCK_BYTES = 4096,
	SEGMENT_DATA_AT = 2 * SEGMENT_BLOCK_BYTES,
	SEGMENT_FORMAT = 1,
	SEGMENT_WRAPPED_BYTES = 1024,
	SEGMENT_NAME_BYTES = 32,
};

struct segment {
	char name[SEGMENT_NAME_BYTES];
	struct disk_file *file;
	uint64_t size;
	uint64_t number;         /* of this use of the file, from 1, never used again; 0: it is free */
	uint64_t first_sequence; /* no frame in it has a lower number */
	uint32_t turn;
	struct secret *key;      /* NULL until it was unwrapped */
	char wrapped[SEGMENT_WRAPPED_BYTES];
	size_t wrapped_size;
};

/* Makes a file of `size` zeros, durably. The segment is free. */
MUST_CHECK enum fault segment_make(struct segment *, struct disk *, const char *name, uint64_t size);

/* Opens a file and reads its head. FAULT_SPOOL_DAMAGED leaves it open with number 0; so does FAULT_SPOOL_NEWER, for people to decide. */
MUST_CHECK enum fault segment_open(struct segment *, struct disk *, const char *name);

/* Closes the file and wipes the key. */
void segment_close(struct segment *);

/* Writes and syncs the head of a new use. The key's bytes are copied. */
MUST_CHECK enum fault segment_begin(struct segment *, uint64_t number, uint64_t first_sequence, struct span key, struct span wrapped);

/* Writes and syncs a head with another wrapped copy of the same key. */
MUST_CHECK enum fault segment_rewrap(struct segment *, struct span wrapped);

/* Overwrites both heads, durably: the key is gone, and with it what the file held. The segment is free. */
MUST_CHECK enum fault segment_wipe(struct segment *);

struct segment_found {
	const struct record_frame *frame;
	uint64_t at; /* where the frame begins in the file */
	struct span payload; /* opened; valid during the call */
	bool opened; /* false: the frame is whole, the seal is not */
};

/* Calls `each` for every frame from `at` on. `end_out` is where the next commit group may begin. */
MUST_CHECK enum fault segment_scan(struct segment *, uint64_t at, void (*each)(void *self, const struct segment_found *), void *self,
				   uint64_t *end_out);

/* Reads, checks and opens one frame, appending its payload. FAULT_SPOOL_DAMAGED when it does not hold. From any thread. */
MUST_CHECK enum fault segment_read(const struct segment *, uint64_t at, size_t size, unsigned *type_out, struct buf *payload_out);

/* The next multiple of the block size. */
uint64_t segment_block_up(uint64_t at);
