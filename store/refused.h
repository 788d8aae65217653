/* store/refused.h - what was refused: who, what, when, from where, and why.
 *
 * Why       An administrator must see which application tried what in vain; a stranger must not fill the disk with it.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

enum { REFUSED_ROWS_MAX = 100000 };

struct refused_row {
	int64_t at_ms;
	struct span fault;         /* name of its row */
	uint64_t client, organisation; /* 0: unknown */
	struct span name;          /* of the client */
	struct span listener, remote, user, sender, recipient;
	int64_t times;             /* how often in a row */
};

/* One more. */
MUST_CHECK enum fault refused_add(struct sqlite *, const struct refused_row *);

/* Drops all but the newest REFUSED_ROWS_MAX. */
MUST_CHECK enum fault refused_forget(struct sqlite *);

/* The newest first, at most `limit`; of one client (by name) or organisation, unless empty or 0. */
MUST_CHECK enum fault refused_each(struct sqlite *, struct span client, uint64_t organisation, int64_t limit,
				   bool (*each)(void *self, const struct refused_row *), void *self);
