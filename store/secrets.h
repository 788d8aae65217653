/* store/secrets.h - sealed values, and the keys they are sealed under.
 *
 * Why       All secrets stand in one table, so that rotation and backup have one place to look; nothing here can open any.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct secret_row {
	struct span subject; /* "mailbox", "provider", "link", "vault" */
	uint64_t row;        /* id of the subject */
	struct span name;    /* "refresh_token" ... */
	uint64_t key;        /* id of the key it is sealed under */
	struct span sealed;
};

/* Puts one into its place, whatever stood there. */
MUST_CHECK enum fault secrets_put(struct sqlite *, const struct secret_row *);

/* Gives the one row to `each`, or does not call it when there is none. */
MUST_CHECK enum fault secrets_get(struct sqlite *, struct span subject, uint64_t row, struct span name,
				  void (*each)(void *self, const struct secret_row *), void *self);
/* Puts `sealed` (under `key`) in the place of `before`; nothing happens when something else stands there by now. */
MUST_CHECK enum fault secrets_reseal(struct sqlite *, const struct secret_row *, struct span before);
/* Removes one; all of a subject. */
MUST_CHECK enum fault secrets_remove(struct sqlite *, struct span subject, uint64_t row, struct span name);
MUST_CHECK enum fault secrets_remove_all(struct sqlite *, struct span subject, uint64_t row);

/* Those sealed under keys before `key`, at most `limit`. */
MUST_CHECK enum fault secrets_each_old(struct sqlite *, uint64_t key, int64_t limit, void (*each)(void *self, const struct secret_row *), void *self);

enum key_state { KEY_CURRENT, KEY_RETIRING, KEY_ENDED };

struct key_row {
	uint64_t id, root;   /* the root key that `sealed` opens under */
	struct span sealed;  /* empty once it ended */
	enum key_state state;
	int64_t made_at_ms, ended_at_ms;
	int64_t secret_count;
};

/* All keys by number, ended ones too. */
MUST_CHECK enum fault keys_each(struct sqlite *, bool (*each)(void *self, const struct key_row *), void *self);

/* Makes room for a key and gives its id; keys_seal() puts it there. Both belong into one transaction. */
MUST_CHECK enum fault keys_add(struct sqlite *, int64_t at_ms, uint64_t *id_out);
MUST_CHECK enum fault keys_seal(struct sqlite *, uint64_t id, uint64_t root, struct span sealed);

/* All current keys but this one begin to retire. */
MUST_CHECK enum fault keys_age(struct sqlite *, uint64_t but_id);

/* Wipes a key under which nothing is sealed any more; FAULT_IN_USE when something is. */
MUST_CHECK enum fault keys_end(struct sqlite *, uint64_t id, int64_t at_ms);
