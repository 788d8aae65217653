/* keeper/confine.h - what a role gives up before it meets a stranger's bytes.
 *
 * Why       A captured role must find nothing to open, connect to, execute or trace.
 * Promise   Afterwards: no new privileges, no core dump, no file outside `directory` (landlock), no system call outside tables/confine.def (seccomp).
 * Owns      Nothing.
 * Refuses   Nothing: what this kernel lacks is said in an event and left out; CONFINE_STRICT in the environment makes that fatal, for tests.
 * See       tables/confine.def, landlock(7), seccomp(2) */
#pragma once
#include "base/message.h"

/* `directory` may be NULL: then no file at all. Before any thread is started. */
void confine_role(enum role, const char *directory);

/* The keeper's part when it is root: keeps CAP_NET_BIND_SERVICE, SETUID, SETGID, KILL and DAC_READ_SEARCH. */
void confine_keeper(void);
