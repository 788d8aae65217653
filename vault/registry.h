/* vault/registry.h - organisations, providers, mailboxes and clients, as they stand in the database, held in memory.
 *
 * Why       A login and a token must not wait for a disk.
 * Promise   Look-ups by name, address, number and credential; names and addresses without case. A row changes here only after its commit.
 * Owns      Copies of the rows.
 * Refuses   Nothing: the database has refused already.
 * See       store/ */
#pragma once
#include "base/arena.h"
#include "base/map.h"
#include "loop/address.h"
#include "store/app_passwords.h"
#include "store/clients.h"
#include "store/mailboxes.h"
#include "store/organisations.h"
#include "store/providers.h"
#include "store/sign_ins.h"

struct registry_organisation {
	struct arena *arena;
	struct organisation_row row;
};

struct registry_provider {
	struct arena *arena;
	struct provider_row row;
	struct provider *provider; /* upstream/provider.h; its owner frees it */
	bool has_passwords;        /* of a mailbox that signs in by one; as vault/lapse.c saw it last */
};

struct registry_mailbox {
	struct arena *arena, *sign_in_arena, *app_password_arena;
	struct mailbox_row row;
	struct sign_in_row sign_in; /* `mailbox` is 0 when it was never linked */
	struct app_password_row app_password; /* `mailbox` is 0 when there is none */
};

struct registry_client {
	struct arena *arena;
	struct client_row row;
	struct network *networks;
	size_t network_count;
	int64_t used_at_ms;         /* newer than the row's, not stored yet, when it differs */
};

struct registry {
	struct map organisations, organisation_names;
	struct map providers, provider_names;
	struct map mailboxes, mailbox_addresses;
	struct map clients, client_names, client_credentials;
};

/* Empty; and an end to all rows, though not to the providers' objects. */
void registry_init(struct registry *);
void registry_fini(struct registry *);

/* Copies a row in, in place of the one of its number. */
struct registry_organisation *registry_put_organisation(struct registry *, const struct organisation_row *);
struct registry_provider *registry_put_provider(struct registry *, const struct provider_row *);
struct registry_mailbox *registry_put_mailbox(struct registry *, const struct mailbox_row *);
struct registry_client *registry_put_client(struct registry *, const struct client_row *);
void registry_put_sign_in(struct registry *, const struct sign_in_row *);
void registry_put_app_password(struct registry *, const struct app_password_row *);

/* Takes a row out. */
void registry_remove_app_password(struct registry *, uint64_t mailbox);
void registry_remove_organisation(struct registry *, uint64_t id);
void registry_remove_provider(struct registry *, uint64_t id);
void registry_remove_client(struct registry *, uint64_t id);

/* Takes it from the clients that had it as well. */
void registry_remove_mailbox(struct registry *, uint64_t id);

/* By number (`map` is one of those above), or NULL. */
void *registry_by_id(const struct map *, uint64_t id);

/* Everything of a map, sorted by number, in an array of the arena's that ends with NULL. */
void **registry_sorted(const struct map *, struct arena *, size_t *count_out);

/* Deep copies, for whoever outlives the original. */
struct organisation_row registry_copy_organisation(struct arena *, const struct organisation_row *);
struct provider_row registry_copy_provider(struct arena *, const struct provider_row *);
struct mailbox_row registry_copy_mailbox(struct arena *, const struct mailbox_row *);
struct client_row registry_copy_client(struct arena *, const struct client_row *);
struct app_password_row registry_copy_app_password(struct arena *, const struct app_password_row *);
struct sign_in_row registry_copy_sign_in(struct arena *, const struct sign_in_row *);
