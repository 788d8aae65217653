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
#include <sys/syscall.h>
#include <unistd.h>

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
static void run(enum role role, unsigned index, struct child_user user, int link_fd, int self_fd)
{
	char number[12];
	char *const words[] = { "postern", "role", (char *)role_name(role), number, NULL };
	sigset_t none;

	snprintf(number, sizeof number, "%u", index);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(link_fd, 3) < 0)
		_exit(122);
	if (self_fd != 4 && dup2(self_fd, 4) < 0)
		_exit(122);
	fcntl(4, F_SETFD, FD_CLOEXEC);
	syscall(SYS_close_range, 5u, ~0u, 0u);
	become(user);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user would have cleared it */
	syscall(SYS_execveat, 4, "", words, environ, AT_EMPTY_PATH);
	_exit(123);
}

pid_t child_start(enum role role, unsigned index, struct child_user user, int *link_fd_out)
{
	int ends[2], self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (self_fd < 0 || stream_pair(ends))
		fatal("cannot start a role: %s", strerror(errno));
	/* Keep both clear of 3 and 4, which the child gives a meaning. */
	while (self_fd >= 0 && self_fd < 5)
		self_fd = fcntl(self_fd, F_DUPFD_CLOEXEC, 5);
	while (ends[1] >= 0 && ends[1] < 5)
		ends[1] = fcntl(ends[1], F_DUPFD_CLOEXEC, 5);
	pid = fork();
	if (pid == 0)
		run(role, index, user, ends[1], self_fd);
	close(ends[1]);
	close(self_fd);
	*link_fd_out = ends[0];
	if (pid < 0) {
		close(ends[0]);
		*link_fd_out = -1;
	}
	return pid;
}
