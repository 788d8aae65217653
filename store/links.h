/* store/links.h - the rows of single-use links.
 *
 * Why       A link, the browser it is bound to and the sign-in under way must survive a restart of the vault; none is stored as such, only its digest.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct link_row {
	uint64_t id, mailbox;
	struct span digest;         /* SHA-256 of the link's secret part */
	struct span actor;          /* who asked for it */
	int64_t expires_at_ms;      /* wall clock */
	struct span browser, state; /* SHA-256 of the cookie and of the `state` under way; empty before the button is pressed */
	struct span nonce;
	bool spent;
};

/* All links by number; one added, its number chosen. */
MUST_CHECK enum fault links_each(struct sqlite *, bool (*each)(void *self, const struct link_row *), void *self);
MUST_CHECK enum fault links_add(struct sqlite *, const struct link_row *, uint64_t *id_out);

/* Stores browser, state and nonce. */
MUST_CHECK enum fault links_press(struct sqlite *, const struct link_row *);

/* Uses it up; FAULT_LINK_SPENT when it was already. */
MUST_CHECK enum fault links_spend(struct sqlite *, uint64_t id);

/* Drops those, and their secrets, that ended before. */
MUST_CHECK enum fault links_forget(struct sqlite *, int64_t before_ms);
