/* store/warnings.h - of what people were warned already.
 *
 * Why       A warning that comes again after every restart is read by nobody.
 * Promise   Each function is one statement; a caller that needs several to hold together puts them into a transaction (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct warning_row {
	struct span what, object; /* a kind of tables/lapses.def, perhaps with a name of tables/retirements.def behind a slash; what it is of */
	int64_t stage;            /* days ahead, the fewest that were warned of */
};

/* All of them; one put in the place of what was known, removed. */
MUST_CHECK enum fault warnings_each(struct sqlite *, bool (*each)(void *self, const struct warning_row *), void *self);
MUST_CHECK enum fault warnings_put(struct sqlite *, const struct warning_row *);
MUST_CHECK enum fault warnings_remove(struct sqlite *, const struct warning_row *);
