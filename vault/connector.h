/* vault/connector.h - the way out by port 25: what is kept of a connector, what is shown of it, and what its provider sees.
 *
 * Why       Nobody signs in there: the provider must have been told of this server's address or certificate, and told again when that changes.
 * Promise   The key of a certificate is sealed, and leaves the vault for one connection's handshake alone. The address is what the provider says it
 *           sees, never a guess.
 * Owns      Nothing: the rows are the registry's.
 * Refuses   A certificate without its key; what a provider calls an address and is none.
 * See       upstream/smtp_way_road.c, docs/decisions/0091-the-connector.md */
#pragma once
#include "vault/arguments.h"
#include "vault/inner.h"

/* The connector that a mailbox goes out by: its own provider, else the first of its organisation; or NULL. */
const struct registry_provider *connector_of(const struct vault *, const struct registry_mailbox *);

/* What is set of one, beside the row of its provider. */
struct connector_edit {
	struct provider_row *row;
	struct secret *key;       /* of the certificate that was given, or NULL; the caller frees it */
	bool drops_key;           /* an empty certificate was given */
	struct secret_row sealed;
};

/* Reads the arguments into the row; seals the key, once the row has its number; stores it, inside a change. */
void connector_read(struct arguments *, struct connector_edit *);
void connector_seal(struct change *, struct connector_edit *);
MUST_CHECK enum fault connector_store(struct sqlite *, const struct connector_edit *);

/* Puts what its administrators need into a description: the command, the plan, the addresses. Nothing for another kind. */
void connector_describe(const struct registry_provider *, enum language, json_t *to);

/* One whose provider sees another address than it was told of. For notices, and for whoever watches. */
struct connector_move {
	uint64_t provider, organisation;
	struct span name, registered, seen;
	int64_t at_ms; /* since when, wall clock */
};
bool connector_moved(const struct registry_provider *);
void connector_each_moved(const struct vault *, void (*each)(void *self, const struct connector_move *), void *self);

/* Adds them to the list that `postern status` begins with. */
void connector_put_attention(const struct vault *, json_t *list, enum language);

/* A provider said which address it sees; what a connection needs is asked for. */
void connector_seen(struct vault *, const struct message_address_seen *);
void connector_wanted(struct vault *, const struct vault_peer *, const struct message_token_wanted *);
