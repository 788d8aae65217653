#include "keeper/collect.h"

#include "base/panic.h"
#include "loop/loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { PATH_BYTES = 512, LOOKED_AT_MAX = 20000, CLOSE_ON_EXEC = 1 << 2 /* CLOSE_RANGE_CLOEXEC, newer than some headers */ };

struct collect {
	struct timer round, deadline;
	char outbox[PATH_BYTES], socket[PATH_BYTES]; /* no socket: no listener with a path */
	pid_t pid;                                   /* 0: none runs */
	int64_t last;                                /* the user whose turn it was; -1: the round begins */
};

/* --- whose turn it is */

/* Whether there is anything in `new`. Whatever its owner put there, a link is not followed. */
static bool has_mail(int user_directory)
{
	int fd = openat(user_directory, "new", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *new = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	bool found = false;

	while (new && !found && (entry = readdir(new)))
		found = entry->d_name[0] != '.';
	if (new)
		closedir(new);
	else if (fd >= 0)
		close(fd);
	return found;
}

static bool is_theirs(int outbox, const char *name, uint64_t uid, gid_t *gid_out)
{
	int fd = openat(outbox, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat found;
	bool good = fd >= 0 && !fstat(fd, &found) && found.st_uid == uid && (!geteuid() || found.st_uid == geteuid()) && has_mail(fd);

	if (good)
		*gid_out = found.st_gid;
	if (fd >= 0)
		close(fd);
	return good;
}

/* The lowest number above the last one that has mail. */
static bool next_user(struct collect *c, uid_t *uid_out, gid_t *gid_out)
{
	DIR *outbox = opendir(c->outbox);
	const struct dirent *entry;
	bool is_found = false;

	/* Anybody may make as many as they like. */
	for (unsigned i = 0; outbox && i < LOOKED_AT_MAX && (entry = readdir(outbox)); i++) {
		uint64_t uid;
		gid_t gid;

		if (!span_number(span_of(entry->d_name), &uid) || uid >= UINT32_MAX || (int64_t)uid <= c->last || (is_found && uid > *uid_out) ||
		    !is_theirs(dirfd(outbox), entry->d_name, uid, &gid))
			continue;
		*uid_out = (uid_t)uid;
		*gid_out = gid;
		is_found = true;
	}
	if (outbox)
		closedir(outbox);
	return is_found;
}

/* --- the process */

/* Runs in the child: only calls that are safe after fork. */
static void run(int self_fd, uid_t uid, gid_t gid, char *const environment[])
{
	char *const words[] = { "postern", "sendmail", "-q", NULL };
	int nothing = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	for (int fd = 0; fd < 3; fd++)
		if (dup2(nothing, fd) < 0)
			_exit(EX_OSERR);
	syscall(SYS_close_range, 3u, ~0u, CLOSE_ON_EXEC);
	if (!geteuid() && (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)))
		_exit(EX_NOPERM);
	syscall(SYS_execveat, self_fd, "", words, environment, AT_EMPTY_PATH);
	_exit(EX_OSERR);
}

static void start(struct collect *c, uid_t uid, gid_t gid)
{
	char socket[PATH_BYTES + 32], outbox[PATH_BYTES + 32];
	char *environment[] = { socket, outbox, "PATH=/usr/bin:/bin", NULL };
	int self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	snprintf(socket, sizeof socket, "POSTERN_SENDMAIL_SOCKET=%s", c->socket);
	snprintf(outbox, sizeof outbox, "POSTERN_OUTBOX=%s", c->outbox);
	pid = self_fd < 0 ? -1 : fork();
	if (pid == 0)
		run(self_fd, uid, gid, environment);
	if (self_fd >= 0)
		close(self_fd);
	c->last = uid;
	if (pid < 0) {
		timer_after(&c->round, COLLECT_ROUND_MS);
		return;
	}
	c->pid = pid;
	timer_after(&c->deadline, COLLECT_RUN_MS);
}

static void next(struct collect *c)
{
	uid_t uid = 0;
	gid_t gid = 0;

	if (c->socket[0] && next_user(c, &uid, &gid)) {
		start(c, uid, gid);
		return;
	}
	c->last = -1;
	timer_after(&c->round, COLLECT_ROUND_MS);
}

static void on_round(void *self)
{
	struct collect *c = self;

	c->last = -1;
	if (!c->pid)
		next(c);
}

static void on_deadline(void *self)
{
	const struct collect *c = self;

	if (c->pid)
		kill(c->pid, SIGKILL);
}

bool collect_ended(struct collect *c, pid_t pid, int status)
{
	if (!c->pid || pid != c->pid)
		return false;
	c->pid = 0;
	timer_stop(&c->deadline);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EX_TEMPFAIL)
		timer_after(&c->round, COLLECT_ROUND_MS); /* gate is away: the others would fare no better */
	else
		next(c);
	return true;
}

/* --- life */

static void take_config(struct collect *c, const struct config *config)
{
	c->socket[0] = 0;
	snprintf(c->outbox, sizeof c->outbox, "%.*s/outbox", SPAN_ARGS(config->data));
	for (size_t i = 0; i < config->listener_count; i++)
		for (size_t j = 0; j < config->listeners[i].addresses.count && span_equal(config->listeners[i].protocol, SPAN("smtp")); j++) {
			struct span path = config->listeners[i].addresses.items[j];

			if (!c->socket[0] && span_starts(path, SPAN("/")))
				span_text(c->socket, sizeof c->socket, path);
		}
}

/* As /tmp: everybody may make a directory of their own, and nobody may move another's. */
static void make_outbox(const char *path)
{
	if ((!mkdir(path, 0700) || errno == EEXIST) && !geteuid() && chmod(path, 01777))
		fatal("cannot open %s to all users: %s", path, strerror(errno));
}

struct collect *collect_new(struct loop *loop, const struct config *config)
{
	struct collect *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	c->last = -1;
	timer_init(&c->round, loop, on_round, c);
	timer_init(&c->deadline, loop, on_deadline, c);
	take_config(c, config);
	make_outbox(c->outbox);
	return c;
}

void collect_start(struct collect *c, const struct config *config)
{
	take_config(c, config);
	if (!c->pid)
		timer_after(&c->round, 0);
}

void collect_free(struct collect **collect)
{
	struct collect *c = *collect;

	if (!c)
		return;
	if (c->pid)
		kill(c->pid, SIGKILL);
	timer_stop(&c->round);
	timer_stop(&c->deadline);
	free(c);
	*collect = NULL;
}
