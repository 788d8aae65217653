/* store/clients.h - the rows of clients: applications and devices, and what they may use.
 *
 * Why       Only what is written here may send; a revocation outlives its client until every grant has ended.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

enum { CLIENT_VERIFIER_BYTES = 32, CLIENT_MAILBOXES_MAX = 4096 };

struct client_row {
	uint64_t id, organisation;
	struct span name;
	struct span credential, verifier;    /* id of the client password, and its keyed hash; empty: no password */
	const uint64_t *mailboxes;
	size_t mailbox_count;
	uint64_t default_mailbox;            /* 0 for none */
	struct span senders, networks, listeners; /* one a line */
	struct span maps;                    /* "from to", one a line */
	int64_t protocols, sender_rule;      /* sets of enum grant_protocol, enum grant_sender_rule */
	int64_t verdict_wait_ms;             /* -1: as the boot file has it */
	bool enabled;
	int64_t made_at_ms, used_at_ms;      /* made; last recognised, 0 for never */
};

/* All clients by number; one added (its number is chosen), changed, removed. */
MUST_CHECK enum fault clients_each(struct sqlite *, bool (*each)(void *self, const struct client_row *), void *self);
MUST_CHECK enum fault clients_add(struct sqlite *, const struct client_row *, uint64_t *id_out);
MUST_CHECK enum fault clients_set(struct sqlite *, const struct client_row *);
/* When it was last recognised. */
MUST_CHECK enum fault clients_used(struct sqlite *, uint64_t id, int64_t at_ms);
MUST_CHECK enum fault clients_remove(struct sqlite *, uint64_t id);

/* Grants of this client that were issued up to `at_ms` are void. Older revocations than `forget_before_ms` are dropped. */
MUST_CHECK enum fault clients_revoke(struct sqlite *, uint64_t id, int64_t at_ms, int64_t forget_before_ms);
MUST_CHECK enum fault clients_each_revoked(struct sqlite *, void (*each)(void *self, uint64_t id, int64_t at_ms), void *self);

/* Credentials that were taken back, so that a login with one can be named; the newest `most` of them. */
MUST_CHECK enum fault clients_end_credential(struct sqlite *, const struct client_row *, int64_t at_ms);
MUST_CHECK enum fault clients_each_ended(struct sqlite *, int64_t most,
					 void (*each)(void *self, struct span credential, uint64_t client, struct span name), void *self);
