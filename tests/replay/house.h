/* tests/replay/house.h - a fake keeper: all roles of the product in one process, each on a loop of its own.
 *
 * Why       Replay runs the roles' shipped code; only who starts them differs.
 * Promise   Does what keeper/keeper.c does with its children: gives each its files, listeners and links, starts again what died after
 *           the same waits, and introduces it anew to the others.
 * Owns      The roles, their loops and the listening sockets, until house_free().
 * Refuses   A boot file that does not read, and a role that does not start: the test fails.
 * See       loop/role.h, loop/fake/world.h */
#pragma once
#include "loop/fake/world.h"
#include "loop/role.h"

struct house;

/* Borrowed for the call, save the CA bundle, which stays. */
struct house_settings {
	struct span boot; /* the text of the boot file */
	struct span ca;   /* the CA bundle */
};

/* Where desk's control socket is. */
#define HOUSE_CONTROL "/data/control.sock"

/* Begins every role; they serve when house_is_ready(). */
struct house *house_new(const struct house_settings *);
void house_free(struct house **);

/* Whether every role has said that it serves. */
bool house_is_ready(const struct house *);

/* Kills a role at once; the keeper starts it again. */
void house_kill(struct house *, enum role);

/* All die, and what was not synced is lost as `mode` says; then all are started again. */
void house_power_cut(struct house *, enum world_cut_mode mode);

/* Every role takes in a new boot file; false and a text (256 bytes) when one refuses. */
bool house_reload(struct house *, struct span boot, char *why_out);

/* How often a role has been started. */
unsigned house_starts(const struct house *, enum role);
