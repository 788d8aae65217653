/* store/organisations.h - the rows of organisations.
 *
 * Why       Customers, schools or departments on one installation are kept apart by these.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct organisation_row {
	uint64_t id;
	struct span name, title;
	enum language language;  /* of its administrators */
	uint64_t notice_mailbox; /* that reports and notices are sent from when nothing else works; 0 for none */
	struct span ways;        /* names of ways out, one a line; empty: `smtp` */
	struct span admins;      /* addresses of its administrators, one a line */
};

/* All organisations by number; one added (its number is chosen), changed, removed. */
MUST_CHECK enum fault organisations_each(struct sqlite *, bool (*each)(void *self, const struct organisation_row *), void *self);
MUST_CHECK enum fault organisations_add(struct sqlite *, const struct organisation_row *, uint64_t *id_out);
MUST_CHECK enum fault organisations_set(struct sqlite *, const struct organisation_row *);
MUST_CHECK enum fault organisations_remove(struct sqlite *, uint64_t id);
