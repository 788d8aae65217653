/* keeper/confine.h - what a role gives up before it meets a stranger's bytes.
 *
 * Why       A captured role must find nothing to open, connect to, execute or trace.
 * Promise   Afterwards: no new privileges, no core dump, no file outside the role's place, no TCP port, abstract socket or process outside of it
 *           (landlock), no system call outside its rows (seccomp); whoever watches hears of each that was tried.
 * Owns      Nothing.
 * Refuses   Nothing: what this kernel lacks is said in an event and left out; CONFINE_STRICT in the environment makes that fatal, for tests.
 * See       tables/confine.def, docs/reference/role-*.md, keeper/alarm.h, landlock(7), seccomp_unotify(2) */
#pragma once
#include "base/message.h"

/* `directory` is the role's place, or NULL for none: then no file at all. `watcher` is a socket of a pair that takes the descriptor by which forbidden calls
 * are heard of, or -1. Before any thread is started. */
void confine_role(enum role, const char *directory, int watcher);

/* The name of the role's place below the data directory, or NULL. */
const char *confine_place(enum role);

/* The keeper's part when it is root: keeps the capabilities of the table. */
void confine_keeper(void);
