#include "keeper/alarm.h"

#include "base/panic.h"
#include "base/trail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS_MAX = 1024, PATIENCE = 100, SLOW_US = 10000, STACK_BYTES = 256 * 1024 };

struct alarm {
	struct trail trail;
	int socket_fd;
	enum role role;
	unsigned index;
	unsigned total, times[CALLS_MAX]; /* by number; numbers beyond share the last */
};

/* The role sends it as soon as its filter stands; -1 when it died before. */
static int await_descriptor(int socket_fd)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	ssize_t got;
	int fd;

	do
		got = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got != 1 || message.msg_controllen < sizeof control.head || control.head.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
	return fd;
}

static bool is_power_of_ten(unsigned n)
{
	while (n >= 10 && n % 10 == 0)
		n /= 10;
	return n == 1;
}

static void say(struct alarm *a, const struct seccomp_notif *tried)
{
	unsigned at = tried->data.nr < CALLS_MAX ? (unsigned)tried->data.nr : CALLS_MAX - 1;
	char *name;

	if (tried->data.nr < 0)
		return; /* no call at all: whoever traces the role took it away */
	if (!is_power_of_ten(++a->times[at]))
		return;
	name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, tried->data.nr);
	TRAIL(&a->trail, EVENT_FORBIDDEN_CALL, TRAIL_TEXT("name", span_of(role_name(a->role))), TRAIL_NUMBER("index", a->index),
	      TRAIL_NUMBER("pid", tried->pid), TRAIL_TEXT("call", span_of(name ? name : "unknown")), TRAIL_NUMBER("times", a->times[at]));
	free(name);
}

/* False when the role is gone. */
static bool await_call(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	while (poll(&wait, 1, -1) < 0)
		if (errno != EINTR)
			return false;
	return (wait.revents & POLLIN) != 0;
}

static void answer(struct alarm *a, int fd, struct seccomp_notif *tried, struct seccomp_notif_resp *reply)
{
	if (seccomp_notify_receive(fd, tried))
		return; /* whoever asked was killed meanwhile */
	say(a, tried);
	if (++a->total > PATIENCE)
		usleep(SLOW_US);
	*reply = (struct seccomp_notif_resp){ .id = tried->id, .error = -EPERM };
	seccomp_notify_respond(fd, reply);
}

static void *watch(void *self)
{
	struct alarm *a = self;
	struct seccomp_notif *tried = NULL;
	struct seccomp_notif_resp *reply = NULL;
	int fd = await_descriptor(a->socket_fd);

	close(a->socket_fd);
	if (fd >= 0 && !seccomp_notify_alloc(&tried, &reply)) {
		while (await_call(fd)) {
			memset(tried, 0, sizeof *tried);
			answer(a, fd, tried, reply);
		}
		seccomp_notify_free(tried, reply);
	}
	if (fd >= 0)
		close(fd);
	free(a);
	return NULL;
}

void alarm_start_take(int socket_fd, enum role role, unsigned index)
{
	struct alarm *a = calloc(1, sizeof *a);
	pthread_attr_t small;
	sigset_t all, before;
	pthread_t thread;

	if (!a)
		panic("out of memory");
	*a = (struct alarm){ .socket_fd = socket_fd, .role = role, .index = index };
	trail_init(&a->trail, "keeper", SPAN(""));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK_BYTES);
	pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &small, watch, a))
		fatal("a thread cannot be started");
	pthread_attr_destroy(&small);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
