/* keeper/child.h - one role as a process: born by exec of ourselves, spoken to over one socket.
 *
 * Why       exec drops the keeper's memory, with it every key that a role must not have.
 * Promise   The child has its own user (when we are root), descriptor 3 as its link to the keeper, CHILD_WATCHER_FD
 *           as the socket for its alarm, and nothing else open but standard output and error.
 * Owns      Nothing; the keeper waits for the process.
 * Refuses   Nothing: a failed fork is said by -1.
 * See       keeper/role_main.c is what the child runs */
#pragma once
#include "base/config.h"
#include "base/message.h"

#include <sys/types.h>

enum { CHILD_LINK_FD = 3, CHILD_WATCHER_FD = 5 };

/* The user and group a role runs as; -1 for no change. */
struct child_user {
	uid_t uid;
	gid_t gid;
};

/* Looks up PREFIX-ROLE, then uid_base; without either and as root it is the caller's fault and the answer is false. */
bool child_user(const struct config *, enum role, struct child_user *out);

/* What the keeper has of a child: its process id, our end of the link (a descriptor for link_new_take) and of the alarm's socket (for alarm_start_take). */
struct child_ends {
	pid_t pid;
	int link_fd, alarm_fd;
};

/* Starts the role; `pid` is -1 when it cannot be, and there are no descriptors then. */
struct child_ends child_start(enum role, unsigned index, struct child_user);
