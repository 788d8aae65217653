/* A library that a test loads into a running role, beside the shipped program: at SIGUSR1 it tries everything that no role may do, from the role's own
 * thread, and says what came of it on standard error, a line each: PROBE NAME CALL RESULT. At SIGUSR2 it calls as a 32-bit program would, which ends the
 * process. Whom and what it tries on stands in the file that is its standard input. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static volatile sig_atomic_t wanted;
static char text[4096];

static struct {
	char *place, *data, *other_place, *outside, *control;
	pid_t other, keeper;
	int port;
} target;

/* `key=value` lines; the values stay in `text`. */
static char *value_of(const char *key)
{
	size_t size = strlen(key);

	for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (!strncmp(line, key, size) && line[size] == '=')
			return line + size + 1;
	return NULL;
}

static char *text_of(const char *key)
{
	char *at = value_of(key), *copy;

	if (!at || *at == '\n')
		return NULL;
	copy = strndup(at, strcspn(at, "\n"));
	return copy;
}

static int number_of(const char *key)
{
	char *at = value_of(key);

	return at ? atoi(at) : 0;
}

static void read_targets(void)
{
	ssize_t got = pread(0, text, sizeof text - 1, 0);

	text[got > 0 ? got : 0] = 0;
	target.place = text_of("place");
	target.data = text_of("data");
	target.other_place = text_of("other_place");
	target.outside = text_of("outside");
	target.control = text_of("control");
	target.other = number_of("other");
	target.keeper = number_of("keeper");
	target.port = number_of("port");
}

/* --- what came of it */

static void say(const char *name, const char *call, long result)
{
	char line[256];
	int size = snprintf(line, sizeof line, "PROBE %s %s %s\n", name, call, result >= 0 ? "done" : strerrorname_np(errno));

	if (write(2, line, (size_t)size) < 0)
		_exit(9);
}

#define TRY(name, call, ...) (errno = 0, say(name, #call, syscall(SYS_##call, ##__VA_ARGS__)))

static void try_open(const char *name, const char *folder, const char *file, int flags)
{
	char path[512];
	long fd;

	snprintf(path, sizeof path, "%s%s", folder ? folder : "", file);
	errno = 0;
	fd = syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
	say(name, "openat", fd);
	if (fd >= 0)
		close((int)fd);
}

static void try_process_file(const char *name, pid_t pid, const char *file, int flags)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	try_open(name, NULL, path, flags);
}

static const char *below(const char *folder, const char *file)
{
	static char path[4][512];
	static unsigned turn;
	char *here = path[turn++ % 4];

	snprintf(here, sizeof path[0], "%s/%s", folder, file);
	return here;
}

/* --- files */

static void files(void)
{
	struct open_how { uint64_t flags, mode, resolve; } how = { O_RDONLY, 0, 0 };

	if (target.place) {
		try_open("own-create", target.place, "/probe.own", O_CREAT | O_RDWR);
		TRY("own-rename-out", rename, below(target.place, "probe.own"), below(target.data, "probe.out"));
		TRY("own-renameat-out", renameat, AT_FDCWD, below(target.place, "probe.own"), AT_FDCWD, below(target.data, "probe.out"));
		TRY("own-execute", execve, below(target.place, "probe.own"), NULL, NULL);
		TRY("own-socket-file", mknod, below(target.place, "probe.socket"), S_IFSOCK | 0600, 0);
		TRY("own-pipe", mknodat, AT_FDCWD, below(target.place, "probe.pipe"), S_IFIFO | 0600, 0);
		TRY("own-symlink", symlink, "/etc/passwd", below(target.place, "probe.link"));
		TRY("own-set-user-id", fchmodat, AT_FDCWD, below(target.place, "probe.own"), 04755);
		TRY("own-remove", unlink, below(target.place, "probe.own"));
	}
	try_open("passwd-read", NULL, "/etc/passwd", O_RDONLY);
	try_open("outside-read", NULL, target.outside, O_RDONLY);
	try_open("outside-write", NULL, target.outside, O_WRONLY);
	try_open("outside-truncate", NULL, target.outside, O_RDWR | O_TRUNC);
	try_open("outside-create", target.data, "/probe.new", O_CREAT | O_RDWR);
	try_open("tmp-create", NULL, "/tmp/postern-probe", O_CREAT | O_RDWR);
	try_open("tmp-unnamed", NULL, "/tmp", O_TMPFILE | O_RDWR);
	try_open("boot-file-read", target.data, "/postern.conf", O_RDONLY);
	try_open("key-read", target.data, "/kek", O_RDONLY);
	try_open("other-place-list", NULL, target.other_place, O_RDONLY | O_DIRECTORY);
	try_open("other-place-create", target.other_place, "/probe.new", O_CREAT | O_RDWR);
	try_open("root-list", NULL, "/", O_RDONLY | O_DIRECTORY);
	try_open("terminal", NULL, "/dev/tty", O_RDWR);
	try_open("kernel-log", NULL, "/dev/kmsg", O_RDONLY);
	TRY("open", open, "/etc/passwd", O_RDONLY);
	TRY("openat2", openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how);
	TRY("creat", creat, "/tmp/postern-probe", 0600);
	TRY("open-by-handle", open_by_handle_at, AT_FDCWD, NULL, O_RDONLY);
	TRY("link", link, target.outside, "/tmp/postern-probe");
	TRY("chmod", chmod, target.outside, 0777);
	TRY("chown", chown, target.outside, 0, 0);
	TRY("truncate", truncate, target.outside, 0);
	TRY("xattr", setxattr, target.outside, "user.probe", "x", 1, 0);
	TRY("outside-remove", unlink, target.outside);
	TRY("outside-mkdir", mkdir, below(target.data, "probe.folder"), 0700);
	TRY("outside-rmdir", rmdir, target.other_place);
	TRY("mknod", mknod, "/tmp/postern-probe", S_IFCHR | 0600, 0x101);
	TRY("chdir", chdir, "/");
	TRY("chroot", chroot, "/");
	TRY("inotify", inotify_init1, 0);
}

/* --- programs */

static void programs(void)
{
	char *const words[] = { "true", NULL };
	void *page;

	TRY("execve", execve, "/bin/true", words, NULL);
	TRY("execveat", execveat, AT_FDCWD, "/bin/true", words, NULL, 0);
	TRY("execveat-descriptor", execveat, 0, "", words, NULL, AT_EMPTY_PATH);
	TRY("memfd", memfd_create, "probe", 0);
	errno = 0;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say("mmap-executable", "mmap", page == MAP_FAILED ? -1 : 0);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	errno = 0;
	say("mprotect-executable", "mprotect", mprotect(page, 4096, PROT_READ | PROT_EXEC));
	TRY("pkey-mprotect", pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1);
	TRY("personality", personality, 0x0400000);
	TRY("userfaultfd", userfaultfd, 0);
}

/* --- processes; where one is made after all, it ends at once */

static void say_child(const char *name, const char *call, long pid)
{
	if (pid == 0)
		_exit(0);
	say(name, call, pid);
}

static void children(void)
{
	struct clone_args { uint64_t flags, rest[10]; } args = { .flags = CLONE_NEWUSER };

	errno = 0, say_child("fork", "fork", syscall(SYS_fork));
	errno = 0, say_child("clone-process", "clone", syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
	errno = 0, say_child("clone-user-namespace", "clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
	errno = 0, say_child("clone-network-namespace", "clone", syscall(SYS_clone, CLONE_NEWNET | CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
	errno = 0, say_child("clone3", "clone3", syscall(SYS_clone3, &args, sizeof args));
	TRY("unshare-user", unshare, CLONE_NEWUSER);
	TRY("unshare-mount", unshare, CLONE_NEWNS);
	TRY("unshare-network", unshare, CLONE_NEWNET);
	TRY("setns", setns, 0, 0);
}

static void others(void)
{
	struct rlimit64 { uint64_t now, most; } limit = { 0, 0 };
	siginfo_t info = { .si_signo = SIGTERM, .si_code = SI_QUEUE };
	char byte;
	struct iovec here = { &byte, 1 }, there = { &byte, 1 };

	TRY("kill-other", kill, target.other, SIGTERM);
	TRY("kill-keeper", kill, target.keeper, SIGTERM);
	TRY("kill-all", kill, -1, SIGTERM);
	TRY("tkill-other", tkill, target.other, SIGTERM);
	TRY("tgkill-other", tgkill, target.other, target.other, SIGTERM);
	TRY("sigqueue-other", rt_sigqueueinfo, target.other, SIGTERM, &info);
	TRY("pidfd", pidfd_open, target.other, 0);
	TRY("own-by-signal", fcntl, 0, F_SETOWN, target.other);
	TRY("ptrace-attach", ptrace, PTRACE_ATTACH, target.other, NULL, NULL);
	TRY("ptrace-seize", ptrace, PTRACE_SEIZE, target.keeper, NULL, NULL);
	TRY("ptrace-me", ptrace, PTRACE_TRACEME, 0, NULL, NULL);
	TRY("memory-read", process_vm_readv, target.other, &here, 1, &there, 1, 0);
	TRY("memory-write", process_vm_writev, target.other, &here, 1, &there, 1, 0);
	TRY("compare", kcmp, target.other, target.keeper, 0, 0, 0);
	TRY("limits-other", prlimit64, target.other, RLIMIT_NOFILE, &limit, NULL);
	TRY("priority-other", setpriority, PRIO_PROCESS, target.other, 19);
	TRY("affinity-other", sched_setaffinity, target.other, 8, &limit);
	try_process_file("memory-file-other", target.other, "mem", O_RDWR);
	try_process_file("memory-file-keeper", target.keeper, "mem", O_RDWR);
	try_process_file("environment-other", target.other, "environ", O_RDONLY);
	try_process_file("memory-file-own", getpid(), "mem", O_RDWR);
	try_process_file("descriptors-other", target.other, "fd/3", O_RDWR);
}

/* --- sockets */

static void try_connect(const char *name, int family, int kind, int protocol, const void *to, socklen_t size)
{
	long fd;

	errno = 0;
	fd = syscall(SYS_socket, family, kind, protocol);
	if (fd < 0) {
		say(name, "socket", fd);
		return;
	}
	say(name, "connect", syscall(SYS_connect, fd, to, size));
	close((int)fd);
}

static void listening(void)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	long fd;

	errno = 0;
	fd = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
	if (fd < 0) {
		say("tcp-listen", "socket", fd);
		return;
	}
	say("tcp-bind", "bind", syscall(SYS_bind, fd, &here, sizeof here));
	errno = 0;
	say("tcp-listen", "listen", syscall(SYS_listen, fd, 1));
	close((int)fd);
}

static void sockets(void)
{
	struct sockaddr_in tcp = { .sin_family = AF_INET, .sin_port = htons((uint16_t)target.port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_un named = { .sun_family = AF_UNIX }, abstract = { .sun_family = AF_UNIX, .sun_path = "\0postern-probe" };
	int pair[2] = { -1, -1 };

	strncpy(named.sun_path, target.control, sizeof named.sun_path - 1);
	try_connect("tcp-connect", AF_INET, SOCK_STREAM, 0, &tcp, sizeof tcp);
	try_connect("unix-connect", AF_UNIX, SOCK_STREAM, 0, &named, sizeof named);
	try_connect("unix-abstract-connect", AF_UNIX, SOCK_STREAM, 0, &abstract, sizeof abstract);
	listening();
	TRY("raw-socket", socket, AF_INET, SOCK_RAW, IPPROTO_ICMP);
	TRY("raw-socket-6", socket, AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
	TRY("packet-socket", socket, AF_PACKET, SOCK_RAW, 0);
	TRY("netlink-socket", socket, AF_NETLINK, SOCK_RAW, 0);
	TRY("vsock-socket", socket, AF_VSOCK, SOCK_STREAM, 0);
	TRY("alg-socket", socket, AF_ALG, SOCK_SEQPACKET, 0);
	TRY("unix-datagram-pair", socketpair, AF_UNIX, SOCK_DGRAM, 0, pair);
}

/* --- the kernel */

static void kernel(void)
{
	struct io_uring_params ring = { 0 };
	union bpf_attr program = { 0 };
	struct perf_event_attr counter = { .type = PERF_TYPE_SOFTWARE, .size = sizeof counter };
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct all[2] = { { ~0u, ~0u, ~0u }, { ~0u, ~0u, ~0u } };
	struct rlimit core = { RLIM_INFINITY, RLIM_INFINITY };

	TRY("mount", mount, "none", "/tmp", "tmpfs", 0, NULL);
	TRY("umount", umount2, "/tmp", 0);
	TRY("new-mount", fsopen, "tmpfs", 0);
	TRY("pivot-root", pivot_root, "/", "/");
	TRY("io-uring", io_uring_setup, 4, &ring);
	TRY("bpf", bpf, BPF_MAP_CREATE, &program, sizeof program);
	TRY("keyctl", keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1);
	TRY("add-key", add_key, "user", "probe", "x", 1, KEY_SPEC_PROCESS_KEYRING);
	TRY("perf", perf_event_open, &counter, 0, -1, -1, 0);
	TRY("seccomp", seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(uint32_t){ SECCOMP_RET_ALLOW });
	TRY("setuid", setuid, 0);
	TRY("setresuid", setresuid, 0, 0, 0);
	TRY("setgroups", setgroups, 0, NULL);
	TRY("capset", capset, &head, all);
	TRY("core-limit", prlimit64, 0, RLIMIT_CORE, &core, NULL);
	TRY("core-setrlimit", setrlimit, RLIMIT_CORE, &core);
	TRY("dumpable", prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	TRY("tracer", prctl, PR_SET_PTRACER, -1, 0, 0, 0);
	TRY("module", init_module, NULL, 0, "");
	TRY("kexec", kexec_load, 0, 0, NULL, 0);
	TRY("reboot", reboot, 0, 0, 0, NULL);
	TRY("host-name", sethostname, "probe", 5);
	TRY("clock", clock_settime, 0, &(struct timespec){ 1, 0 });
	TRY("system-log", syslog, 10, NULL, 0);
	TRY("shared-memory", shmget, 0, 4096, 0600);
	TRY("message-queue", msgget, 0, 0600);
	TRY("posix-queue", mq_open, "probe", O_CREAT | O_RDWR, 0600, NULL);
	TRY("terminal-input", ioctl, 0, 0x5412, "x");
}

static void call_as_32_bits(void)
{
#ifdef __x86_64__
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	say("32-bit", "getpid", result);
#endif
}

static void run(int how)
{
	static const char done[] = "PROBE end end done\n";

	if (how == SIGUSR2) {
		call_as_32_bits();
		return;
	}
	read_targets();
	files();
	programs();
	children();
	others();
	sockets();
	kernel();
	if (write(2, done, sizeof done - 1) < 0)
		_exit(9);
}

/* --- how it comes to run: the loop waits here, in the role's main thread */

static void on_signal(int number)
{
	wanted = number;
}

__attribute__((constructor)) static void begin(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
}

int epoll_wait(int fd, struct epoll_event *events, int max, int wait_ms)
{
	int (*next)(int, struct epoll_event *, int, int) = (int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait");
	int got = next(fd, events, max, wait_ms), before = errno, how = wanted;

	if (how) {
		wanted = 0;
		run(how);
	}
	errno = before;
	return got;
}
