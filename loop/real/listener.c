#include "base/panic.h"
#include "loop/local_user.h"
#include "loop/real/inner.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 16, PAUSE_MS = 100 };

struct listener {
	struct loop *loop;
	int fd;
	void (*accepted)(void *self, int fd, const struct address *peer);
	void *self;
	struct watch watch;
	struct timer pause;
	struct errand grave;
	bool closed;
};

/* A socket left behind by a daemon that was killed: nobody answers on it. */
static bool is_stale(const struct address *a)
{
	struct stat found;
	int fd;

	if (a->family != ADDRESS_PATH || errno != EADDRINUSE || lstat(a->path, &found) || !S_ISSOCK(found.st_mode))
		return false;
	fd = socket_connect(a, NULL);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == ECONNREFUSED && !unlink(a->path);
}

static int bind_address(int fd, const struct address *a)
{
	struct sockaddr_storage name;
	socklen_t size = socket_name(&name, a);
	mode_t mask = umask(0117);
	int status = bind(fd, (struct sockaddr *)&name, size);

	if (status && is_stale(a))
		status = bind(fd, (struct sockaddr *)&name, size);
	umask(mask);
	return status;
}

/* TCP_NODELAY is inherited by what is accepted. "::" is IPv6 alone, so that 0.0.0.0 can stand beside it. */
int listener_bind(const struct address *a, int backlog)
{
	struct sockaddr_storage name;
	int fd, on = 1, failed;

	socket_name(&name, a);
	fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (a->family != ADDRESS_PATH) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	}
	if (a->family == ADDRESS_IPV6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (!bind_address(fd, a) && !listen(fd, backlog))
		return fd;
	failed = errno;
	close(fd);
	errno = failed;
	return -1;
}

static void on_pause_over(void *self)
{
	struct listener *l = self;

	watch_want(&l->watch, WATCH_READ);
}

/* Failures of one connection, and of the network under it, are not the listener's (accept(2)). */
static bool is_short_of_something(int number)
{
	return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

/* Over a Unix socket nobody has a name; what counts is whose program it is. */
static struct address peer_of(int fd, const struct sockaddr_storage *name, socklen_t name_size)
{
	struct ucred who;
	socklen_t size = sizeof who;

	if (name->ss_family != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size))
		return socket_address(name, name_size);
	return local_user(who.uid);
}

static void on_connection(void *self, unsigned events)
{
	struct listener *l = self;

	for (int i = 0; i < ACCEPTS_PER_TURN && !l->closed; i++) {
		struct sockaddr_storage name = { 0 };
		socklen_t size = sizeof name;
		int fd = accept4(l->fd, (struct sockaddr *)&name, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			struct address peer = peer_of(fd, &name, size);

			l->accepted(l->self, fd, &peer);
		} else if (is_short_of_something(errno)) {
			watch_want(&l->watch, 0);
			timer_after(&l->pause, PAUSE_MS);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
	}
}

static void dig(void *self)
{
	free(self);
}

struct listener *listener_new(struct loop *loop, int fd,
			      void (*accepted)(void *self, int fd, const struct address *peer), void *self)
{
	struct listener *l = calloc(1, sizeof *l);

	if (!l)
		panic("out of memory");
	*l = (struct listener){ .loop = loop, .fd = fd, .accepted = accepted, .self = self };
	l->grave.run = dig;
	l->grave.self = l;
	timer_init(&l->pause, loop, on_pause_over, l);
	if (!watch_open(&l->watch, loop, fd, on_connection, l))
		fatal("a listening socket cannot be watched");
	watch_want(&l->watch, WATCH_READ);
	loop_opened(loop, 1);
	return l;
}

void listener_free(struct listener **listener)
{
	struct listener *l = *listener;

	*listener = NULL;
	if (!l)
		return;
	l->closed = true;
	watch_close(&l->watch);
	close(l->fd);
	timer_stop(&l->pause);
	loop_opened(l->loop, -1);
	loop_bury(l->loop, &l->grave);
}

struct address listener_address(int fd)
{
	struct sockaddr_storage name = { 0 };
	socklen_t size = sizeof name;

	if (getsockname(fd, (struct sockaddr *)&name, &size))
		return (struct address){ 0 };
	return socket_address(&name, size);
}
