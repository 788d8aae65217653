/* store/app_passwords.h - the rows of app passwords that providers gave: whose they are and since when. The passwords stand in `secrets`.
 *
 * Why       Who set one, and when, is shown; the password itself never is.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct app_password_row {
	uint64_t mailbox;
	struct span user;    /* whom it signs in; empty: the mailbox's address */
	struct span actor;   /* who set it */
	int64_t made_at_ms;  /* wall clock */
};

/* All by mailbox; one put in its mailbox's place; taken away, without its secret. */
MUST_CHECK enum fault app_passwords_each(struct sqlite *, bool (*each)(void *self, const struct app_password_row *), void *self);
MUST_CHECK enum fault app_passwords_put(struct sqlite *, const struct app_password_row *);
MUST_CHECK enum fault app_passwords_remove(struct sqlite *, uint64_t mailbox);
