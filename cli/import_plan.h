/* cli/import_plan.h - what an import comes to, beside what there is already.
 *
 * Why       A person sees what would happen before it happens, and a second run has nothing left to do.
 * Promise   What there is already is found again by what it is (an organisation by name, a provider by its registration, a mailbox by address, a client by name)
 *           and never changed. New names are the same at every run. No text shown holds a secret.
 * Owns      Its JSON, until import_plan_free().
 * Refuses   Accounts that no provider can be made for: they stand among the remarks.
 * See       cli/import.c carries it out */
#pragma once
#include "cli/cli.h"
#include "wire/import.h"

#include <jansson.h>

/* What there is of a thing, and what became of it. */
enum import_state { IMPORT_STATE_EXISTS, IMPORT_STATE_NEW, IMPORT_STATE_MADE, IMPORT_STATE_FAILED, IMPORT_STATE_COUNT };

struct import_plan_org {
	struct span name;
	enum import_state state;
};

struct import_plan_provider {
	struct span name, org;
	struct import_registration registration;
	enum import_state state;
};

struct import_plan_mailbox {
	struct import_account *account;
	struct span org, provider;
	enum import_state state;
	bool is_linked;            /* there already, or not to be touched */
	enum import_state sign_in; /* where the account has a token or a password: NEW until it was taken */
};

struct import_plan_client {
	struct import_client *client;
	struct span name, org;
	struct import_list mailboxes;
	enum import_state state;
};

struct import_plan {
	const struct cli *cli;
	struct import *found;
	json_t *orgs, *providers, *mailboxes, *clients; /* what the daemon has: arrays */
	size_t org_count, provider_count, mailbox_count, client_count;
	struct import_plan_org items_org[IMPORT_ACCOUNTS_MAX];
	struct import_plan_provider items_provider[IMPORT_ACCOUNTS_MAX];
	struct import_plan_mailbox items_mailbox[IMPORT_ACCOUNTS_MAX];
	struct import_plan_client items_client[IMPORT_CLIENTS_MAX * 2];
};

/* Asks the daemon what there is, and lays what was found beside it. `out` in the arena. CLI_DONE, or the failure, said. */
int import_plan_make(const struct cli *, struct import *, struct import_plan **out);
void import_plan_free(struct import_plan *);
