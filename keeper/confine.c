#include "keeper/confine.h"

#include "base/panic.h"
#include "base/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct trail trail = { .role = "confine" };

static void lacking(const char *what, const char *why)
{
	if (getenv("CONFINE_STRICT"))
		fatal("not confined: %s: %s", what, why);
	TRAIL(&trail, EVENT_NOT_CONFINED, TRAIL_TEXT("what", span_of(what)), TRAIL_TEXT("why", span_of(why)));
}

#define FILE_RIGHTS                                                                                                        \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |                      \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                   \
	 LANDLOCK_ACCESS_FS_MAKE_DIR)
#define ALL_RIGHTS                                                                                                         \
	(FILE_RIGHTS | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |          \
	 LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* Newer kernels know rights that Debian 12's header does not name. */
enum { RIGHT_REFER = 1 << 13, RIGHT_TRUNCATE = 1 << 14 };

static bool landlock_allow(int ruleset, const char *directory, uint64_t rights)
{
	struct landlock_path_beneath_attr beneath = { .allowed_access = rights };
	long result;

	beneath.parent_fd = open(directory, O_PATH | O_CLOEXEC);
	if (beneath.parent_fd < 0)
		return false;
	result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	close(beneath.parent_fd);
	return result == 0;
}

static void landlock_only(const char *directory)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { .handled_access_fs = ALL_RIGHTS };
	uint64_t rights = FILE_RIGHTS;
	int ruleset;

	if (abi < 1) {
		lacking("landlock", strerror(errno));
		return;
	}
	if (abi >= 2) {
		attr.handled_access_fs |= RIGHT_REFER;
		rights |= RIGHT_REFER;
	}
	if (abi >= 3) {
		attr.handled_access_fs |= RIGHT_TRUNCATE;
		rights |= RIGHT_TRUNCATE;
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (ruleset < 0 || (directory && !landlock_allow(ruleset, directory, rights)) ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0))
		lacking("landlock", strerror(errno));
	if (ruleset >= 0)
		close(ruleset);
}

#define ALL ROLE_ANY
#define GATE ROLE_GATE
#define VAULT ROLE_VAULT
#define POST ROLE_POST
#define DESK ROLE_DESK
#define FILES (ROLE_VAULT | ROLE_POST)
#define OUT (ROLE_VAULT | ROLE_POST)

static const struct {
	unsigned roles;
	int number;
} calls[] = {
#define CALL(roles, name) { roles, SCMP_SYS(name) },
#include "tables/confine.def"
#undef CALL
};

static void seccomp_only(enum role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int result = filter ? 0 : -ENOMEM;

	for (size_t i = 0; i < sizeof calls / sizeof *calls && !result; i++)
		if (calls[i].roles & role)
			result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i].number, 0);
	if (!result)
		result = seccomp_load(filter);
	if (result)
		lacking("seccomp", strerror(-result));
	seccomp_release(filter);
}

void confine_role(enum role role, const char *directory)
{
	struct rlimit none = { 0, 0 };

	trail_init(&trail, role_name(role), SPAN(""));
	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		lacking("no_new_privs", strerror(errno));
	landlock_only(directory);
	seccomp_only(role);
	TRAIL(&trail, EVENT_CONFINED, TRAIL_NUMBER("uid", getuid()));
}

void confine_keeper(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	static const unsigned kept[] = { CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_DAC_READ_SEARCH };
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
