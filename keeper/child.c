#include "keeper/child.h"

#include "base/panic.h"
#include "loop/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SELF_FD = 4 };

static unsigned role_order(enum role r)
{
	return (unsigned)__builtin_ctz((unsigned)r);
}

bool child_user(const struct config *c, enum role role, struct child_user *out)
{
	char name[64];
	struct passwd *found;

	*out = (struct child_user){ (uid_t)-1, (gid_t)-1 };
	if (geteuid())
		return true;
	snprintf(name, sizeof name, "%.*s-%s", SPAN_ARGS(span_slice(c->user, 0, 32)), role_name(role));
	found = getpwnam(name);
	if (found)
		*out = (struct child_user){ found->pw_uid, found->pw_gid };
	else if (c->uid_base)
		*out = (struct child_user){ (uid_t)c->uid_base + role_order(role), (gid_t)c->uid_base + role_order(role) };
	return found || c->uid_base;
}

static void become(struct child_user user)
{
	if (user.uid == (uid_t)-1)
		return;
	if (setgroups(0, NULL) || setresgid(user.gid, user.gid, user.gid) || setresuid(user.uid, user.uid, user.uid))
		_exit(121);
}

/* Runs in the child: only calls that are safe after fork. */
static void run(enum role role, unsigned index, struct child_user user, int link_fd, int watcher_fd, int self_fd)
{
	char number[12];
	char *const words[] = { "postern", "role", (char *)role_name(role), number, NULL };
	sigset_t none;

	snprintf(number, sizeof number, "%u", index);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(link_fd, CHILD_LINK_FD) < 0 || dup2(self_fd, SELF_FD) < 0 || dup2(watcher_fd, CHILD_WATCHER_FD) < 0)
		_exit(122);
	fcntl(SELF_FD, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, CHILD_WATCHER_FD + 1u, ~0u, 0u);
	become(user);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user would have cleared it */
	syscall(SYS_execveat, SELF_FD, "", words, environ, AT_EMPTY_PATH);
	_exit(123);
}

/* Keeps a descriptor clear of those that the child gives a meaning. */
static void lift(int *fd)
{
	int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, CHILD_WATCHER_FD + 1);

	if (lifted < 0)
		fatal("cannot start a role: %s", strerror(errno));
	close(*fd);
	*fd = lifted;
}

struct child_ends child_start(enum role role, unsigned index, struct child_user user)
{
	int link[2], watch[2], self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct child_ends ends;

	if (self_fd < 0 || stream_pair(link) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, watch))
		fatal("cannot start a role: %s", strerror(errno));
	lift(&self_fd);
	lift(&link[1]);
	lift(&watch[1]);
	ends = (struct child_ends){ fork(), link[0], watch[0] };
	if (ends.pid == 0)
		run(role, index, user, link[1], watch[1], self_fd);
	close(link[1]);
	close(watch[1]);
	close(self_fd);
	if (ends.pid < 0) {
		close(ends.link_fd);
		close(ends.alarm_fd);
	}
	return ends;
}
