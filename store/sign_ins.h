/* store/sign_ins.h - the state of the sign-in of each mailbox that was ever linked.
 *
 * Why       Which account signed in, and how its tokens fare, must survive a restart; the tokens themselves are in store/secrets.h.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct sign_in_row {
	uint64_t mailbox;
	struct span tenant, object;      /* who signed in: `tid` and `oid`, or issuer and `sub` */
	struct span account;             /* the address that came with it, for people */
	uint64_t generation;             /* counts the tokens that were stored */
	struct span fault, why;          /* name of the fault that stands in the way, empty when none does; and its text */
	int64_t linked_at_ms, refreshed_at_ms, expires_at_ms; /* wall clock; the end is the access token's */
	int64_t lasts_ms;                /* how long the tenant's sign-in frequency lets a sign-in last, where a refusal told; else 0 */
	int64_t ends_at_ms;              /* when the refresh token ends, where the provider says; 0: unknown; negative: no refresh has shown yet that it stays */
};

/* All sign-ins by mailbox; one put in the place of what was known, removed. */
MUST_CHECK enum fault sign_ins_each(struct sqlite *, bool (*each)(void *self, const struct sign_in_row *), void *self);
MUST_CHECK enum fault sign_ins_put(struct sqlite *, const struct sign_in_row *);
MUST_CHECK enum fault sign_ins_remove(struct sqlite *, uint64_t mailbox);
