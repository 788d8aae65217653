/* tests/e2e/scarcity.c - memory that runs out and calls that do half of what they were asked, put before a program by LD_PRELOAD.
 *
 * Orders stand in the file SCARCITY, which is mapped before main(), so that roles that may open nothing follow them too: for each role how many allocations
 * succeed before one fails, and out of how many calls one is interrupted, finds nothing ready or does a part. What was done is counted there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ROLES = 4, PIECES_MAX = 64 };

struct orders {
	int64_t allocations_left; /* 0: none fails; 1: the next one does */
	int64_t one_in;           /* 0: calls do as they are asked */
	int64_t allocations, failed, spoilt;
};

static volatile struct orders *mine;

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

/* Which of the roles this is, by its command line: `postern role NAME INDEX`. */
static int place(void)
{
	static const char *const names[ROLES] = { "gate", "vault", "post", "desk" };
	char line[256] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t size = fd >= 0 ? read(fd, line, sizeof line - 1) : -1;
	const char *word = size > 0 ? memmem(line, (size_t)size, "\0role\0", 6) : NULL;

	if (fd >= 0)
		close(fd);
	for (int i = 0; word && i < ROLES; i++)
		if (!strcmp(word + 6, names[i]))
			return i;
	return -1;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("SCARCITY");
	int at = path ? place() : -1, fd = at >= 0 ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *all = fd >= 0 ? mmap(NULL, ROLES * sizeof *mine, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (fd >= 0)
		close(fd);
	if (all != MAP_FAILED)
		mine = (volatile struct orders *)all + at;
}

static int is_refused(void)
{
	if (!mine)
		return 0;
	__atomic_fetch_add(&mine->allocations, 1, __ATOMIC_RELAXED);
	if (mine->allocations_left <= 0 || __atomic_sub_fetch(&mine->allocations_left, 1, __ATOMIC_RELAXED) != 0)
		return 0;
	__atomic_fetch_add(&mine->failed, 1, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return is_refused() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *at, size_t size)
{
	return is_refused() ? NULL : __libc_realloc(at, size);
}

/* --- calls */

static uint32_t dice(void)
{
	static _Thread_local uint32_t state;

	if (!state)
		state = (uint32_t)(uintptr_t)&state ^ (uint32_t)getpid() * 2654435761u;
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static int is_spoilt(void)
{
	if (!mine || !mine->one_in || dice() % (uint32_t)mine->one_in)
		return 0;
	__atomic_fetch_add(&mine->spoilt, 1, __ATOMIC_RELAXED);
	return 1;
}

static int fails(int number)
{
	errno = number;
	return -1;
}

/* A part of what was asked, at least a byte. */
static size_t some(size_t size)
{
	return size > 1 ? 1 + dice() % (uint32_t)(size > 65536 ? 65536 : size - 1) : size;
}

/* Vectors with less in them. Returns how many are used. */
static int lessen(struct iovec *out, const struct iovec *in, int count)
{
	int used = count > 1 ? 1 + (int)(dice() % (uint32_t)(count < PIECES_MAX ? count : PIECES_MAX)) : count;

	memcpy(out, in, (size_t)used * sizeof *in);
	if (used)
		out[used - 1].iov_len = some(out[used - 1].iov_len);
	return used;
}

ssize_t read(int fd, void *at, size_t size)
{
	if (size > 8 && is_spoilt()) {
		if (dice() % 2)
			return fails(EINTR);
		size = 7 + some(size - 7); /* a counter of the kernel (eventfd) does not come in parts */
	}
	return syscall(SYS_read, fd, at, size);
}

ssize_t write(int fd, const void *at, size_t size)
{
	if (size > 8 && is_spoilt()) {
		if (dice() % 2)
			return fails(EINTR);
		size = some(size);
	}
	return syscall(SYS_write, fd, at, size);
}

ssize_t pread(int fd, void *at, size_t size, off_t offset)
{
	if (is_spoilt()) {
		if (dice() % 2)
			return fails(EINTR);
		size = some(size);
	}
	return syscall(SYS_pread64, fd, at, size, offset);
}

ssize_t pwrite(int fd, const void *at, size_t size, off_t offset)
{
	if (is_spoilt()) {
		if (dice() % 2)
			return fails(EINTR);
		size = some(size);
	}
	return syscall(SYS_pwrite64, fd, at, size, offset);
}

ssize_t pread64(int, void *, size_t, off64_t) __attribute__((alias("pread")));
ssize_t pwrite64(int, const void *, size_t, off64_t) __attribute__((alias("pwrite")));

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
	struct iovec less[PIECES_MAX];

	if (count > 0 && is_spoilt()) {
		if (dice() % 2)
			return fails(EINTR);
		count = lessen(less, pieces, count);
		pieces = less;
	}
	return syscall(SYS_pwritev, fd, pieces, count, offset, 0);
}

ssize_t pwritev64(int, const struct iovec *, int, off64_t) __attribute__((alias("pwritev")));

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	struct iovec less[PIECES_MAX];

	if (count > 0 && is_spoilt()) {
		if (dice() % 2)
			return fails(EINTR);
		count = lessen(less, pieces, count);
		pieces = less;
	}
	return syscall(SYS_writev, fd, pieces, count);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (is_spoilt()) {
		if (dice() % 2)
			return fails(dice() % 2 ? EINTR : EAGAIN);
		if (m->msg_iovlen)
			m->msg_iov[0].iov_len = some(m->msg_iov[0].iov_len);
	}
	return syscall(SYS_recvmsg, fd, m, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	struct iovec less[PIECES_MAX];
	struct msghdr part = *m;

	if (m->msg_iovlen && is_spoilt()) {
		if (dice() % 2)
			return fails(dice() % 2 ? EINTR : EAGAIN);
		part.msg_iovlen = (size_t)lessen(less, m->msg_iov, (int)m->msg_iovlen);
		part.msg_iov = less;
	}
	return syscall(SYS_sendmsg, fd, &part, flags);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	static const int numbers[] = { EINTR, EAGAIN, ECONNABORTED };

	if (is_spoilt())
		return fails(numbers[dice() % 3]);
	return (int)syscall(SYS_accept4, fd, address, size, flags);
}
