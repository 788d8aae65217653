#include "base/panic.h"
#include "loop/real/inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FDS_PER_CALL = 16 };

struct outbox_fd {
	uint64_t at;
	int fd;
};

void outbox_init(struct outbox *o, size_t max_bytes)
{
	*o = (struct outbox){ 0 };
	buf_init(&o->bytes, max_bytes);
}

/* The memory goes back to be lent to another: what stood in it, perhaps a password, must not. */
static void rest(struct outbox *o, struct loop *loop)
{
	if (o->bytes.size)
		explicit_bzero(o->bytes.at, o->bytes.size);
	o->gone_before += o->gone;
	o->gone = 0;
	buf_clear(&o->bytes);
	loop_return(loop, &o->bytes);
}

void outbox_free(struct outbox *o, struct loop *loop)
{
	for (size_t i = 0; i < o->fd_count; i++)
		close(o->fds[i].fd);
	free(o->fds);
	o->fds = NULL;
	o->fd_count = o->fd_room = 0;
	rest(o, loop);
}

bool outbox_put(struct outbox *o, struct loop *loop, struct span bytes)
{
	if (o->gone && o->gone >= o->bytes.size / 2) {
		size_t before = o->bytes.size;

		buf_drop(&o->bytes, o->gone);
		explicit_bzero(o->bytes.at + o->bytes.size, before - o->bytes.size);
		o->gone_before += o->gone;
		o->gone = 0;
	}
	if (!o->bytes.at)
		loop_lend(loop, &o->bytes);
	return buf_put(&o->bytes, bytes);
}

void outbox_put_fd_take(struct outbox *o, int fd)
{
	if (o->fd_count == o->fd_room) {
		o->fd_room = o->fd_room ? o->fd_room * 2 : 4;
		o->fds = realloc(o->fds, o->fd_room * sizeof *o->fds);
		if (!o->fds)
			panic("out of memory");
	}
	o->fds[o->fd_count++] = (struct outbox_fd){ o->gone_before + o->bytes.size, fd };
}

size_t outbox_size(const struct outbox *o)
{
	return o->bytes.size - o->gone;
}

struct span outbox_next(const struct outbox *o, size_t size_max)
{
	return span_slice(buf_span(&o->bytes), o->gone, size_max);
}

void outbox_went(struct outbox *o, struct loop *loop, size_t size)
{
	o->gone += size;
	if (o->gone == o->bytes.size)
		rest(o, loop);
}

/* The descriptors that belong to the next byte; `upto` is cut before the byte that the following one belongs to. */
static size_t due_fds(const struct outbox *o, int fds_out[FDS_PER_CALL], size_t *upto)
{
	uint64_t here = o->gone_before + o->gone;
	size_t due = 0;

	while (due < o->fd_count && due < FDS_PER_CALL && o->fds[due].at <= here) {
		fds_out[due] = o->fds[due].fd;
		due++;
	}
	if (due < o->fd_count && o->fds[due].at <= here)
		*upto = 1;
	else if (due < o->fd_count && o->fds[due].at - here < *upto)
		*upto = (size_t)(o->fds[due].at - here);
	return due;
}

static ssize_t send_fds(int fd, struct span bytes, const int *fds, size_t count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS_PER_CALL * sizeof(int))];
	} control = { 0 };
	struct iovec piece = { (char *)bytes.at, bytes.size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control };

	message.msg_controllen = CMSG_SPACE(count * sizeof(int));
	control.head = (struct cmsghdr){ CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
	return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void fds_went(struct outbox *o, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(o->fds[i].fd);
	o->fd_count -= count;
	memmove(o->fds, o->fds + count, o->fd_count * sizeof *o->fds);
}

static ssize_t send_some(struct outbox *o, int fd)
{
	int fds[FDS_PER_CALL];
	size_t upto = outbox_size(o), due;
	ssize_t sent;

	if (!o->fd_count)
		return send(fd, o->bytes.at + o->gone, upto, MSG_NOSIGNAL);
	due = due_fds(o, fds, &upto);
	if (!due)
		return send(fd, o->bytes.at + o->gone, upto, MSG_NOSIGNAL);
	sent = send_fds(fd, outbox_next(o, upto), fds, due);
	if (sent > 0)
		fds_went(o, due);
	return sent;
}

int outbox_send(struct outbox *o, struct loop *loop, int fd)
{
	while (outbox_size(o)) {
		size_t before = outbox_size(o);
		ssize_t sent = send_some(o, fd);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
		outbox_went(o, loop, (size_t)sent);
		/* A short write means a full socket: asking again would only be told so. */
		if ((size_t)sent < before && !o->fd_count)
			return 0;
	}
	return 1;
}
