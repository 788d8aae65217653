/* queue/spool.h - the log of segments: many records, one sync.
 *
 * Why       A sync per message limits us to the disk's sync rate; records that arrive together share one.
 * Promise   A ticket's `done` with FAULT_OK means that its record survives power loss. Before it, the record may or may not exist; never half.
 *           Records commit in the order they were put. A failed sync seals its file for good: messages in it get the fault and are voided by a
 *           record in the next file; records that must stand (outcomes, holds) are written again there by themselves, and messages are taken
 *           again only when that was synced.
 * Owns      The directory (locked), its segments and their keys, a spare key. Tickets and their payloads stay their owners', unchanged until `done`.
 * Threads   Everything on the loop; sealing, writing and syncing on a pool of one thread, zeroing and recycling on another, reading on a third.
 * Refuses   Messages while less than one segment would be left in reserve for outcomes (FAULT_DISK_FULL), after a failed sync (FAULT_DISK_FAILED),
 *           and over SPOOL_WAITING_BYTES not yet written (FAULT_NO_MEMORY). A directory that another daemon holds: FAULT_SPOOL_LOCKED.
 * See       docs/queue.md, docs/decisions/0010-segments.md, RFC 5321 6.1 */
#pragma once
#include "loop/loop.h"
#include "queue/segment.h"

enum {
	SPOOL_GROUP_BYTES = 4 * 1024 * 1024,    /* most of one commit group, save that one record always fits */
	SPOOL_WAITING_BYTES = 32 * 1024 * 1024,
	SPOOL_READY = 2,                        /* segments kept ready: the next one, and the reserve */
	SPOOL_RETRY_MS = 1000, SPOOL_RETRY_LONGEST_MS = 30000,
};

struct spool;

enum spool_state { SPOOL_FREE, SPOOL_IS_READY, SPOOL_ACTIVE, SPOOL_FULL, SPOOL_SEALED };

/* One file of the log; read by recovery and by copying, changed by the spool alone. */
struct spool_segment {
	struct segment file;
	enum spool_state state;
	bool damaged;              /* set aside instead of recycled */
	bool busy;                 /* a job has it */
	uint64_t at;               /* where the next group goes */
	uint64_t last_sequence;    /* of the frames in it; 0: none */
	uint32_t open, readers;    /* messages that still need it */
	uint64_t open_bytes;
	struct spool_segment *next;
};

struct spool_place {
	struct spool_segment *segment; /* NULL: nowhere */
	uint64_t sequence;
	uint32_t at, size;             /* bytes; a segment is no larger than 4 GB */
};

/* A record on its way to the disk. */
struct spool_ticket {
	struct span payload;
	unsigned type;
	bool must; /* stands whatever happens; else the fault comes back */
	void (*begun)(void *self); /* its group is on its way to the disk; may be NULL */
	void (*done)(void *self, enum fault);
	void *self;
	struct spool_place place; /* filled in before `done` */
	struct spool_ticket *next;
};

/* A record being read back. `done` has the payload in `payload`, which the reader frees. */
struct spool_reading {
	struct spool_place place;
	struct buf payload;
	unsigned type;
	enum fault fault;
	void (*done)(void *self, struct spool_reading *);
	void *self;
	struct spool *spool;
};

struct spool_events {
	/* One new key is wanted from the vault: answer by spool_key(). */
	void (*key_wanted)(void *self);
	/* What a message would get now: FAULT_OK or why not. Called when it changes. */
	void (*intake)(void *self, enum fault);
};

struct spool_settings {
	uint64_t segment_bytes;
};

/* Opens and locks the directory, and reads the heads of its segments. Blocks shortly. `trail` names the role in the log. */
MUST_CHECK enum fault spool_open(struct spool **out, struct loop *, const char *path, const struct spool_settings *,
				 const struct spool_events *, void *self);
/* Ends what is under way, says `done` for it, closes. */
void spool_close(struct spool **);
struct disk *spool_disk(struct spool *);

/* The segments, in the order of their numbers; each with a number and no key needs spool_unwrapped() before spool_start(). */
struct spool_segment *spool_segments(struct spool *);
void spool_unwrapped(struct spool_segment *, struct span key);

/* After recovery: the last sequence number seen. Continues in the newest segment that has room. */
void spool_start(struct spool *, uint64_t last_sequence);

/* A key of the vault's. Copied. */
void spool_key(struct spool *, struct span key, struct span wrapped);

/* The key that wrapped them will end: forgets the spare one, which no segment holds yet, and asks for another. False while one is being put into a
 * new segment: to be asked again. */
bool spool_drop_key(struct spool *);

/* The vault is new, or back: asks again for what was asked. */
void spool_ask_again(struct spool *);

/* Puts a record. A fault (only where `must` is false) means that it was not taken, and `done` is not called. */
MUST_CHECK enum fault spool_put(struct spool *, struct spool_ticket *);
enum fault spool_intake(const struct spool *);

/* The highest sequence number that is committed. */
uint64_t spool_committed(const struct spool *);

/* Reads a record back, later; counts as needing its segment until `done`. */
void spool_read(struct spool *, struct spool_reading *);

/* A message of that place is open, or no longer. */
void spool_hold(const struct spool_place *);
void spool_let_go(const struct spool_place *);

/* The index is durable up to that sequence number: segments that nobody needs are recycled. */
void spool_passed(struct spool *, uint64_t sequence);

/* A segment whose few open messages should be copied forward, or NULL. */
struct spool_segment *spool_sparse(struct spool *);

/* Writes heads with new wrapped copies; `done` once. See segment_rotate in tables/messages.def. */
void spool_rewrap(struct spool *, struct spool_segment *, struct span wrapped, void (*done)(void *self, enum fault), void *self);

struct spool_numbers {
	unsigned segments, ready, sealed, damaged;
	uint64_t bytes;
};

/* How many files there are, and in which state. */
struct spool_numbers spool_numbers(const struct spool *);
