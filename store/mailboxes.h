/* store/mailboxes.h - the rows of mailboxes.
 *
 * Why       A mailbox is what mail leaves from; its sign-in stands apart (store/sign_ins.h).
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct mailbox_row {
	uint64_t id, organisation, provider;
	struct span address, name; /* the name is for people, may be empty */
	struct span aliases;       /* one address a line */
	struct span owner;         /* address of the person who answers for it, may be empty */
	enum language language;    /* of the owner */
	bool enabled;
	struct span ways;          /* names of ways out, one a line; empty: those of the organisation */
	uint64_t delegate;         /* the mailbox whose account signs in for this one; 0: its own */
};

/* All mailboxes by number; one added (its number is chosen), changed, removed. */
MUST_CHECK enum fault mailboxes_each(struct sqlite *, bool (*each)(void *self, const struct mailbox_row *), void *self);
MUST_CHECK enum fault mailboxes_add(struct sqlite *, const struct mailbox_row *, uint64_t *id_out);
MUST_CHECK enum fault mailboxes_set(struct sqlite *, const struct mailbox_row *);
/* Its sign-in and what clients and organisations had of it go along; its secrets do not (secrets_remove_all). */
MUST_CHECK enum fault mailboxes_remove(struct sqlite *, uint64_t id);
