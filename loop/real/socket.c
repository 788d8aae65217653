#include "base/panic.h"
#include "loop/real/inner.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* Gone is noticed within a minute. */
enum { KEEPALIVE_IDLE_S = 30, KEEPALIVE_BETWEEN_S = 10, KEEPALIVE_COUNT = 3 };

socklen_t socket_name(struct sockaddr_storage *out, const struct address *a)
{
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_un *path = (struct sockaddr_un *)out;

	memset(out, 0, sizeof *out);
	switch (a->family) {
	case ADDRESS_IPV4:
		four->sin_family = AF_INET;
		four->sin_port = htons(a->port);
		memcpy(&four->sin_addr, a->bytes, 4);
		return sizeof *four;
	case ADDRESS_IPV6:
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(a->port);
		six->sin6_scope_id = a->scope;
		memcpy(&six->sin6_addr, a->bytes, 16);
		return sizeof *six;
	case ADDRESS_PATH:
		path->sun_family = AF_UNIX;
		memcpy(path->sun_path, a->path, sizeof path->sun_path);
		return sizeof *path;
	default: panic("an address of no family has no socket");
	}
}

static struct address from_six(const struct sockaddr_in6 *six)
{
	struct address a = { .family = ADDRESS_IPV6, .port = ntohs(six->sin6_port) };

	if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
		a.family = ADDRESS_IPV4;
		memcpy(a.bytes, six->sin6_addr.s6_addr + 12, 4);
		return a;
	}
	memcpy(a.bytes, &six->sin6_addr, 16);
	a.scope = six->sin6_scope_id;
	return a;
}

struct address socket_address(const struct sockaddr_storage *name, socklen_t size)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)name;
	const struct sockaddr_un *path = (const struct sockaddr_un *)name;
	struct address a = { 0 };
	size_t head = offsetof(struct sockaddr_un, sun_path);

	switch (name->ss_family) {
	case AF_INET:
		a.family = ADDRESS_IPV4;
		a.port = ntohs(four->sin_port);
		memcpy(a.bytes, &four->sin_addr, 4);
		break;
	case AF_INET6: return from_six((const struct sockaddr_in6 *)name);
	case AF_UNIX:
		a.family = ADDRESS_PATH;
		if (size > head)
			memcpy(a.path, path->sun_path,
			       size - head < sizeof a.path - 1 ? size - head : sizeof a.path - 1);
		break;
	default: break;
	}
	return a;
}

/* 0.0.0.0 and :: are what the system takes anyway: not bound, since a confined role may not be allowed to. */
static bool is_any(const struct address *a)
{
	static const unsigned char zeros[16];

	return a->family == ADDRESS_NONE || (a->family != ADDRESS_PATH && !memcmp(a->bytes, zeros, sizeof zeros));
}

/* The port is chosen at connect(), so that many connections from one address do not use the ports up. */
static int bind_source(int fd, const struct address *source)
{
	struct sockaddr_storage name;
	socklen_t size = socket_name(&name, source);
	int on = 1;

	if (source->family == ADDRESS_PATH)
		return 0;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	return bind(fd, (struct sockaddr *)&name, size);
}

/* A peer that is gone without a word, or whose last word was lost on the way, would be waited for as long as RFC 5321 lets a reply take: ten minutes. */
static void keep_alive(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = { { SOL_SOCKET, SO_KEEPALIVE, 1 },
			{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
			{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_BETWEEN_S },
			{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT } };

	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

int socket_connect(const struct address *to, const struct address *source)
{
	struct sockaddr_storage name;
	socklen_t size = socket_name(&name, to);
	int fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), failed;

	if (fd < 0)
		return -1;
	if (to->family != ADDRESS_PATH)
		keep_alive(fd);
	if ((!source || is_any(source) || !bind_source(fd, source)) &&
	    (!connect(fd, (struct sockaddr *)&name, size) || errno == EINPROGRESS))
		return fd;
	failed = errno;
	close(fd);
	errno = failed;
	return -1;
}

int socket_error(int fd)
{
	int error = 0;
	socklen_t size = sizeof error;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
}

static bool keep_descriptors(struct descriptors *kept, const struct cmsghdr *head)
{
	const unsigned char *at = CMSG_DATA(head);
	size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	bool fits = true;

	if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
		return true;
	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, at + i * sizeof fd, sizeof fd);
		if (kept->count < DESCRIPTORS_MAX) {
			kept->at[kept->count++] = fd;
			continue;
		}
		close(fd);
		fits = false;
	}
	return fits;
}

ssize_t socket_receive(int fd, char *bytes_out, size_t size, struct descriptors *kept)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
	} control;
	struct iovec piece = { bytes_out, size };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
	};
	ssize_t got;

	if (!kept)
		return recv(fd, bytes_out, size, 0);
	got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	if (got < 0)
		return got;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head))
		if (!keep_descriptors(kept, head)) {
			errno = ENOBUFS;
			return -1;
		}
	return got;
}

int socket_take_descriptor(struct descriptors *d)
{
	int fd;

	if (!d->count)
		return -1;
	fd = d->at[0];
	d->count--;
	memmove(d->at, d->at + 1, d->count * sizeof *d->at);
	return fd;
}

void socket_close_descriptors(struct descriptors *d)
{
	while (d->count)
		close(d->at[--d->count]);
}
