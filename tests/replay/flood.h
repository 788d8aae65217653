/* tests/replay/flood.h - an application that sends many letters over few kept sessions, and the ledger of them all.
 *
 * Why       What a storm does to a queue shows with thousands of letters, not with ten; nobody wants to read about each.
 * Promise   Each letter is given until it has a final reply. flood_check() counts those for which sending, reply and arrival do not agree.
 * Owns      Its connections, and a few bytes for each letter, until flood_free().
 * Refuses   A second flood while one is there. */
#pragma once
#include "base/buf.h"
#include "loop/address.h"

struct flood;

/* Borrowed for the call, save `senders`, which stay. */
struct flood_wish {
	struct address gate;
	struct span user, password;
	const char (*senders)[128]; /* letters are theirs in turn */
	size_t sender_count;
	uint64_t count;
	unsigned sessions;
	size_t size_bytes;
	unsigned copies;  /* of one letter that are no fault, where what sends it dies */
	int64_t begun_ms; /* when the play began, in virtual time */
};

/* Begins to send at once. */
struct flood *flood_new(const struct flood_wish *);
/* Its connections end without a word. */
void flood_free(struct flood **);

/* A mail at the sink, or a report about a letter; false when it is no letter of this flood. */
bool flood_arrived(struct flood *, struct span subject, int64_t taken_at_ms);
bool flood_reported(struct flood *, struct span report);

struct flood_count {
	uint64_t accepted, refused, unanswered;
	uint64_t arrived, reported, missing, twice, wrong; /* missing: 250, but neither arrived nor reported; wrong: 5xx, but arrived or reported */
	uint64_t spread;      /* the most letters that one sender was ahead of another which had letters left */
	int64_t last_ms;      /* when the last one arrived, since the play began */
	int64_t stagger_ms;   /* between the last letter of the sender that was done first and of the one that was done last */
	char first_missing[32];
};
struct flood_count flood_count(const struct flood *);

/* Appends a line for each kind of promise that was broken; `queued` is how many messages post still has. */
void flood_check(const struct flood *, uint64_t queued, struct buf *complaints);
