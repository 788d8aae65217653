#include "keeper/confine.h"

#include "base/panic.h"
#include "base/trail.h"
#include "loop/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct trail trail = { .role = "confine" };

static void lacking(const char *what, const char *why)
{
	if (getenv("CONFINE_STRICT"))
		fatal("not confined: %s: %s", what, why);
	TRAIL(&trail, EVENT_NOT_CONFINED, TRAIL_TEXT("what", span_of(what)), TRAIL_TEXT("why", span_of(why)));
}

/* --- sets of roles, from the rows */

enum way { ACCEPT, CONNECT, CONNECT_FROM };

enum role_set {
	ALL = ROLE_GATE | ROLE_VAULT | ROLE_POST | ROLE_DESK,
	GATE = ROLE_GATE,
	VAULT = ROLE_VAULT,
	POST = ROLE_POST,
	DESK = ROLE_DESK,
	FILES = 0
#define PLACE(role, ...) | ROLE_##role
#include "tables/confine.def"
	,
	ACCEPTING = 0
#define NETWORK(role, way, ...) | (way == ACCEPT ? ROLE_##role : 0)
#include "tables/confine.def"
	,
	CONNECTING = 0
#define NETWORK(role, way, ...) | (way != ACCEPT ? ROLE_##role : 0)
#include "tables/confine.def"
	,
	CHOOSING_SOURCE = 0
#define NETWORK(role, way, ...) | (way == CONNECT_FROM ? ROLE_##role : 0)
#include "tables/confine.def"
};

/* --- files, ports, processes: landlock */

/* Newer kernels know rights that Debian 12's header does not name. */
enum {
	RIGHT_REFER = 1 << 13,
	RIGHT_TRUNCATE = 1 << 14,
	RIGHT_IOCTL_DEVICE = 1 << 15,
	NET_BIND = 1 << 0,
	NET_CONNECT = 1 << 1,
	RULE_NET_PORT = 2,
	SCOPE_ABSTRACT_SOCKETS = 1 << 0,
	SCOPE_SIGNALS = 1 << 1,
};

struct ruleset {
	uint64_t files, net, scopes;
};

enum {
	READ = LANDLOCK_ACCESS_FS_READ_FILE,
	LIST = LANDLOCK_ACCESS_FS_READ_DIR,
	WRITE = LANDLOCK_ACCESS_FS_WRITE_FILE | RIGHT_TRUNCATE,
	CREATE = LANDLOCK_ACCESS_FS_MAKE_REG,
	MAKE_DIRECTORY = LANDLOCK_ACCESS_FS_MAKE_DIR,
	REMOVE = LANDLOCK_ACCESS_FS_REMOVE_FILE,
	MOVE = RIGHT_REFER,
};

static const struct place {
	enum role role;
	const char *name;
	uint64_t rights;
} places[] = {
#define PLACE(role, name, rights, reason) { ROLE_##role, name, rights },
#include "tables/confine.def"
};

static const struct place *place_of(enum role role)
{
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		if (places[i].role == role)
			return &places[i];
	return NULL;
}

const char *confine_place(enum role role)
{
	const struct place *place = place_of(role);

	return place ? place->name : NULL;
}

static const struct file_outside {
	unsigned roles;
	const char *path;
	uint64_t rights;
} files_outside[] = {
#define FILE_OUTSIDE(roles, path, rights, reason) { roles, path, rights },
#include "tables/confine.def"
};

/* All that the kernel's version can deny. What an older one cannot, seccomp denies too: there is no call to listen with, to signal others, or to make a socket
 * of another kind. */
static struct ruleset deniable(enum role role, long version)
{
	uint64_t first = (1 << 13) - 1;

	return (struct ruleset){
		.files = first | (version >= 2 ? RIGHT_REFER : 0) | (version >= 3 ? RIGHT_TRUNCATE : 0) | (version >= 5 ? RIGHT_IOCTL_DEVICE : 0),
		.net = version >= 4 ? NET_BIND | (role & CONNECTING ? 0 : NET_CONNECT) : 0,
		.scopes = version >= 6 ? SCOPE_ABSTRACT_SOCKETS | SCOPE_SIGNALS : 0,
	};
}

static bool landlock_allow(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr beneath = { .allowed_access = rights };
	long result;

	beneath.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (beneath.parent_fd < 0)
		return false;
	result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	close(beneath.parent_fd);
	return result == 0;
}

/* Port 0: an address may be bound, a port may not be chosen. There is no call to listen with. */
static bool landlock_allow_source(int ruleset)
{
	const struct {
		uint64_t rights, port;
	} any_port = { NET_BIND, 0 };

	return !syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &any_port, 0);
}

static bool landlock_allow_all(int ruleset, enum role role, const char *directory, const struct ruleset *denied)
{
	const struct place *place = place_of(role);

	for (size_t i = 0; i < sizeof files_outside / sizeof *files_outside; i++)
		if (files_outside[i].roles & role && !landlock_allow(ruleset, files_outside[i].path, files_outside[i].rights))
			lacking(files_outside[i].path, strerror(errno));
	if (role & CHOOSING_SOURCE && denied->net & NET_BIND && !landlock_allow_source(ruleset))
		return false;
	return !place || !directory || landlock_allow(ruleset, directory, place->rights & denied->files);
}

static void landlock_only(enum role role, const char *directory)
{
	static const size_t sizes[] = { 0, 8, 8, 8, 16, 16 }; /* of the structure, by version */
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset denied;
	int ruleset;

	if (version < 1) {
		lacking("landlock", strerror(errno));
		return;
	}
	denied = deniable(role, version);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &denied,
			       version < (long)(sizeof sizes / sizeof *sizes) ? sizes[version] : sizeof denied, 0);
	if (ruleset < 0 || !landlock_allow_all(ruleset, role, directory, &denied) ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0))
		lacking("landlock", strerror(errno));
	if (ruleset >= 0)
		close(ruleset);
}

/* --- system calls: seccomp */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZERS 1
#endif
#endif
#ifndef SANITIZERS
#define SANITIZERS 0
#endif

enum when { USUAL = 1, RARE = 1, SANITIZED = SANITIZERS };
enum { CONDITIONS_MAX = 2 };

struct call {
	unsigned roles;
	int number, error; /* error 0: allowed */
	struct scmp_arg_cmp conditions[CONDITIONS_MAX];
};

#define FLAGS(argument, mask, value) { argument, SCMP_CMP_MASKED_EQ, (uint32_t)(mask), (uint32_t)(value) }
#define IS(argument, value) FLAGS(argument, UINT32_MAX, value)
#define OURSELVES(argument) IS(argument, getpid())

static int add_call(scmp_filter_ctx filter, const struct call *c)
{
	unsigned count = 0;

	while (count < CONDITIONS_MAX && c->conditions[count].op)
		count++;
	return seccomp_rule_add_array(filter, c->error ? SCMP_ACT_ERRNO((uint32_t)c->error) : SCMP_ACT_ALLOW, c->number, count, c->conditions);
}

static int add_calls(scmp_filter_ctx filter, enum role role)
{
	const struct call calls[] = {
#define ANSWER(roles, name, error, reason) { roles, SCMP_SYS(name), error, { { 0 } } },
#define CALL(roles, name, when, reason, ...) { when ? roles : 0, SCMP_SYS(name), 0, { __VA_ARGS__ } },
#include "tables/confine.def"
	};
	int result = 0;

	for (size_t i = 0; i < sizeof calls / sizeof *calls && !result; i++)
		if (calls[i].roles & role)
			result = add_call(filter, &calls[i]);
	return result;
}

/* Loads it; calls of another architecture, whose numbers mean something else, end the process. */
static int load(enum role role, uint32_t otherwise, scmp_filter_ctx *filter_out)
{
	scmp_filter_ctx filter = seccomp_init(otherwise);
	int result = filter ? seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) : -ENOSYS;

	if (!result)
		result = add_calls(filter, role);
	if (!result)
		result = seccomp_load(filter);
	*filter_out = filter;
	return result;
}

static bool give(int watcher, int fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	char byte = 0;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };

	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	return sendmsg(watcher, &message, MSG_NOSIGNAL) == 1;
}

/* With somebody who watches each forbidden call waits for its answer, which is EPERM too. */
static bool seccomp_watched(enum role role, int watcher)
{
	scmp_filter_ctx filter;
	int result = load(role, SCMP_ACT_NOTIFY, &filter), fd = -1;

	if (!result) {
		fd = seccomp_notify_fd(filter);
		if (fd < 0 || !give(watcher, fd))
			fatal("nobody would hear of forbidden calls: %s", strerror(errno));
		close(fd);
	}
	seccomp_release(filter);
	return !result;
}

static void seccomp_only(enum role role, int watcher)
{
	scmp_filter_ctx filter;
	int result;

	if (watcher >= 0 && seccomp_watched(role, watcher))
		return;
	if (watcher >= 0)
		lacking("alarm", "another filter of this machine has a listener, or the kernel none; forbidden calls fail unheard");
	result = load(role, SCMP_ACT_ERRNO(EPERM), &filter);
	if (result)
		lacking("seccomp", strerror(-result));
	seccomp_release(filter);
}

void confine_role(enum role role, const char *directory, int watcher)
{
	struct rlimit none = { 0, 0 };

	trail_init(&trail, role_name(role), SPAN(""));
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		lacking("no_new_privs", strerror(errno));
	landlock_only(role, directory);
	seccomp_only(role, watcher);
	if (watcher >= 0)
		close(watcher);
	TRAIL(&trail, EVENT_CONFINED, TRAIL_NUMBER("uid", getuid()));
}

void confine_keeper(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	static const unsigned kept[] = {
#define CAPABILITY(name, reason) CAP_##name,
#include "tables/confine.def"
	};
	struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	if (geteuid())
		return;
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		data[0].effective |= 1u << kept[i];
	data[0].permitted = data[0].effective;
	if (syscall(SYS_capset, &head, data))
		lacking("capabilities", strerror(errno));
}
