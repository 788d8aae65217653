/* queue/limits_file.h - what limits.c knows of each mailbox, in a file that outlives the process.
 *
 * Why       A restart must not forget what was sent a moment ago, else the next minute holds twice what the provider allows.
 * Promise   What was written is there after the death of the process at any moment, since the kernel has it: no write waits for a disk, and
 *           nothing is synced. Power loss takes what the kernel had not written by itself. A damaged or foreign entry is as if it were not there.
 * Owns      The file `limits` of the spool: 16 KB for each mailbox that has sent within a day, used again by others after it.
 * Refuses   More than LIMITS_FILE_MAX mailboxes: LIMITS_FILE_NONE, and these are counted in memory alone.
 * See       docs/decisions/0085-limits-of-mailboxes.md
 *
 * A region is little-endian: its head in 64 bytes, then a place of 32 bytes for each part of the minute and of the day. Every place has a checksum
 * that takes in the mailbox, so that what an earlier owner left is not believed. */
#pragma once
#include "loop/disk.h"

enum {
	LIMITS_FILE_MINUTE_PLACES = 122,
	LIMITS_FILE_DAY_PLACES = 362,
	LIMITS_FILE_MAX = 100000,
	LIMITS_FILE_NONE = UINT32_MAX,
};

struct limits_file;

/* What a provider allows a mailbox; 0: no limit. */
struct limit_rates {
	uint32_t messages_per_minute, recipients_per_day, connections;
};

/* The head of a region: whose it is, and what was under way when it was written. */
struct limits_file_head {
	uint64_t mailbox;
	struct limit_rates rates;
	uint32_t messages, recipients;
};

/* How much was sent, and when the last of it, by both clocks; `boot` is the start of the machine that the steady one counts from. */
struct limits_file_part {
	int64_t steady_ms, wall_ms;
	uint32_t count, boot;
};

/* A region as it was found. Parts with a count of 0 are none. */
struct limits_file_found {
	uint32_t region;
	struct limits_file_head head;
	uint32_t boot; /* in which the head was written */
	struct limits_file_part minute[LIMITS_FILE_MINUTE_PLACES], day[LIMITS_FILE_DAY_PLACES];
};

/* Says whether the region is still wanted; else another mailbox may have it. */
typedef bool limits_file_each(void *self, const struct limits_file_found *);

/* Opens the file, or makes it, and shows every region once; `each` may write already. */
MUST_CHECK enum fault limits_file_open(struct limits_file **out, struct disk *, limits_file_each *each, void *self);
void limits_file_close(struct limits_file **);

/* A region for another mailbox, or LIMITS_FILE_NONE; and one that is not needed any more. */
uint32_t limits_file_take(struct limits_file *);
void limits_file_give(struct limits_file *, uint32_t region);

/* Writes a head, or a part of a mailbox into its place. Of a region LIMITS_FILE_NONE nothing. */
MUST_CHECK enum fault limits_file_head(struct limits_file *, uint32_t region, const struct limits_file_head *);
MUST_CHECK enum fault limits_file_minute(struct limits_file *, uint32_t region, uint64_t mailbox, size_t place, const struct limits_file_part *);
MUST_CHECK enum fault limits_file_day(struct limits_file *, uint32_t region, uint64_t mailbox, size_t place, const struct limits_file_part *);

/* Nothing stands in the region any more. */
MUST_CHECK enum fault limits_file_clear(struct limits_file *, uint32_t region);
