/* keeper/child.h - one role as a process: born by exec of ourselves, spoken to over one socket.
 *
 * Why       exec drops the keeper's memory, with it every key that a role must not have.
 * Promise   The child has its own user (when we are root), descriptor 3 as its link to the keeper, and nothing else open but standard output and error.
 * Owns      Nothing; the keeper waits for the process.
 * Refuses   Nothing: a failed fork is said by -1.
 * See       keeper/role_main.c is what the child runs */
#pragma once
#include "base/config.h"
#include "base/message.h"

#include <sys/types.h>

/* The user and group a role runs as; -1 for no change. */
struct child_user {
	uid_t uid;
	gid_t gid;
};

/* Looks up PREFIX-ROLE, then uid_base; without either and as root it is the caller's fault and the answer is false. */
bool child_user(const struct config *, enum role, struct child_user *out);

/* Starts the role; returns its process id and our end of the link (a descriptor for link_new_take). */
pid_t child_start(enum role, unsigned index, struct child_user, int *link_fd_out);
