/* store/providers.h - the rows of providers: one app registration each.
 *
 * Why       A mailbox signs in through the registration of its organisation at its provider.
 * Promise   Each function is one statement or a few; a caller that needs several to hold together puts them into a transaction
 *           (sqlite_begin, sqlite_end).
 * Owns      Nothing: rows are borrowed, and those given to `each` are valid during that call.
 * Refuses   As store/sqlite.h. */
#pragma once
#include "store/database.h"

struct provider_row {
	uint64_t id, organisation;
	struct span name, kind, tenant, client_id, issuer, scopes, smtp_host; /* empty: as its kind has it */
	int64_t smtp_port;                                                    /* 0: as its kind has it */
	int64_t smtp_tls, mechanism;                                          /* as in message `token`; -1: as its kind has it */
	int64_t access;                                                       /* 0 each owner's own sign-in, 1 the application's */
	int64_t secret_ends_at_ms;                                            /* wall clock; 0: nobody said, -1: never */
	int64_t messages_per_minute, recipients_per_day, connections;         /* of a mailbox; 0: without limit; -1: as its kind has it */
	/* of a connector */
	struct span source;               /* the address to go out from; empty: any of IPv4 */
	struct span certificate;          /* PEM, the leaf first; empty: it is known by its address */
	struct span seen_address;         /* which the provider saw last; empty: none yet */
	struct span registered_address;   /* which the provider was told of */
	int64_t address_changed_at_ms;    /* wall clock; 0: it never was another */
};

/* All providers by number; one added (its number is chosen), changed (but not in what was seen of it), seen from another address, removed. */
MUST_CHECK enum fault providers_each(struct sqlite *, bool (*each)(void *self, const struct provider_row *), void *self);
MUST_CHECK enum fault providers_add(struct sqlite *, const struct provider_row *, uint64_t *id_out);
MUST_CHECK enum fault providers_set(struct sqlite *, const struct provider_row *);
MUST_CHECK enum fault providers_see(struct sqlite *, const struct provider_row *);
MUST_CHECK enum fault providers_remove(struct sqlite *, uint64_t id);
