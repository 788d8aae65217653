/* store/notices.h - what people were told of, and the mails about it that are not on their way yet.
 *
 * Why       A notice must come once, and must come, whatever dies between the cause and the mail.
 * Promise   Each function is one statement; a caller that needs several to hold together puts them into a transaction (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct notice_row {
	uint64_t id, organisation;
	int64_t kind;            /* number of tables/notices.def */
	enum language language;
	struct span recipients;  /* addresses, one a line */
	struct span text;        /* UTF-8, lines end in LF */
	int64_t made_at_ms;
};

/* All by number; one added (its number is chosen), removed. */
MUST_CHECK enum fault notices_each(struct sqlite *, bool (*each)(void *self, const struct notice_row *), void *self);
MUST_CHECK enum fault notices_add(struct sqlite *, const struct notice_row *, uint64_t *id_out);
MUST_CHECK enum fault notices_remove(struct sqlite *, uint64_t id);

/* What mail is held for, told to people. */
struct trouble_row {
	uint64_t mailbox;        /* 0: of a tenant */
	struct span tenant, fault;
	int64_t since_ms;
};

/* All of them; one put in the place of what was known, removed. */
MUST_CHECK enum fault troubles_each(struct sqlite *, bool (*each)(void *self, const struct trouble_row *), void *self);
MUST_CHECK enum fault troubles_put(struct sqlite *, const struct trouble_row *);
MUST_CHECK enum fault troubles_remove(struct sqlite *, uint64_t mailbox, struct span tenant);
