#include "loop/disk.h"

#include "base/panic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_BYTES = 512, PIECES_PER_CALL = 256, ZERO_BYTES = 1024 * 1024 };

struct disk {
	int fd, lock_fd;
	char path[PATH_BYTES];
};

struct disk_file {
	int fd, direct; /* `direct` bypasses the cache; -1: it cannot */
};

static enum fault fault_of(int number)
{
	switch (number) {
	case ENOENT: return FAULT_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return FAULT_DISK_FULL;
	default: return FAULT_DISK_FAILED;
	}
}

static bool is_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
}

static enum fault open_beneath(struct disk **out, int parent, const char *name, const char *path)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct disk *d;

	if (fd < 0)
		return fault_of(errno);
	d = calloc(1, sizeof *d);
	if (!d)
		panic("out of memory");
	d->fd = fd;
	d->lock_fd = -1;
	snprintf(d->path, sizeof d->path, "%s", path);
	*out = d;
	return FAULT_OK;
}

enum fault disk_open(struct disk **out, const char *path, bool make)
{
	char whole[PATH_MAX];

	*out = NULL;
	signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk to us, not the end */
	if (make && mkdir(path, 0700) && errno != EEXIST)
		return fault_of(errno);
	if (!realpath(path, whole))
		return fault_of(errno);
	if (strlen(whole) >= PATH_BYTES)
		return FAULT_DISK_FAILED;
	return open_beneath(out, AT_FDCWD, whole, whole);
}

enum fault disk_sub(struct disk **out, struct disk *d, const char *name, bool make)
{
	char path[PATH_BYTES * 2];

	*out = NULL;
	if (!is_name(name))
		return FAULT_DISK_FAILED;
	if (make && mkdirat(d->fd, name, 0700) && errno != EEXIST)
		return fault_of(errno);
	snprintf(path, sizeof path, "%s/%s", d->path, name);
	if (strlen(path) >= PATH_BYTES)
		return FAULT_DISK_FAILED;
	return open_beneath(out, d->fd, name, path);
}

void disk_close(struct disk **disk)
{
	struct disk *d = *disk;

	*disk = NULL;
	if (!d)
		return;
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	close(d->fd);
	free(d);
}

/* The lock is the kernel's and ends with the process; the number is for people. */
enum fault disk_lock(struct disk *d)
{
	int fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fault_of(errno);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		enum fault f = errno == EWOULDBLOCK ? FAULT_SPOOL_LOCKED : FAULT_DISK_FAILED;

		close(fd);
		return f;
	}
	if (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		close(fd);
		return FAULT_DISK_FULL;
	}
	d->lock_fd = fd;
	return FAULT_OK;
}

enum fault disk_file_open(struct disk_file **out, struct disk *d, const char *name, enum disk_mode mode)
{
	static const int flags[] = {
		[DISK_READ] = O_RDONLY, [DISK_WRITE] = O_RDWR, [DISK_MAKE] = O_RDWR | O_CREAT | O_EXCL
	};
	int fd;

	*out = NULL;
	if (!is_name(name))
		return FAULT_DISK_FAILED;
	fd = openat(d->fd, name, flags[mode] | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fault_of(errno);
	*out = malloc(sizeof **out);
	if (!*out)
		panic("out of memory");
	**out = (struct disk_file){ fd, -1 };
	return FAULT_OK;
}

void disk_file_bypass(struct disk *d, struct disk_file *f, const char *name)
{
	if (f->direct < 0 && is_name(name))
		f->direct = openat(d->fd, name, O_RDWR | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
}

void disk_file_end_bypass(struct disk_file *f)
{
	if (f->direct >= 0)
		close(f->direct);
	f->direct = -1;
}

void disk_file_close(struct disk_file **file)
{
	if (*file) {
		disk_file_end_bypass(*file);
		close((*file)->fd);
	}
	free(*file);
	*file = NULL;
}

enum fault disk_write(struct disk_file *f, uint64_t at, struct span bytes)
{
	return disk_write_pieces(f, at, &bytes, 1);
}

/* Fills `vector` from the pieces, without the first `skip` bytes. */
static int gather(struct iovec vector[PIECES_PER_CALL], const struct span *pieces, size_t count, size_t skip)
{
	int used = 0;

	for (size_t i = 0; i < count && used < PIECES_PER_CALL; i++) {
		size_t cut = skip < pieces[i].size ? skip : pieces[i].size;

		skip -= cut;
		if (cut < pieces[i].size)
			vector[used++] = (struct iovec){ (char *)pieces[i].at + cut, pieces[i].size - cut };
	}
	return used;
}

/* The descriptor for a write: the direct one takes whole blocks only. */
static int descriptor_for(const struct disk_file *f, const struct iovec *vector, int count, uint64_t at)
{
	bool is_whole = count == 1 && !(((uintptr_t)vector->iov_base | vector->iov_len | at) % DISK_BLOCK_BYTES);

	return f->direct >= 0 && is_whole ? f->direct : f->fd;
}

enum fault disk_write_pieces(struct disk_file *f, uint64_t at, const struct span *pieces, size_t count)
{
	struct iovec vector[PIECES_PER_CALL];
	size_t skip = 0; /* of the first piece */

	for (;;) {
		ssize_t written;
		int used, fd;

		while (count && skip >= pieces->size) {
			skip -= pieces->size;
			pieces++;
			count--;
		}
		if (!count)
			return FAULT_OK;
		used = gather(vector, pieces, count, skip);
		fd = descriptor_for(f, vector, used, at);
		written = pwritev(fd, vector, used, (off_t)at);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EINVAL && fd == f->direct) { /* a device of larger blocks */
			disk_file_end_bypass(f);
			continue;
		}
		if (written <= 0)
			return written ? fault_of(errno) : FAULT_DISK_FULL;
		at += (uint64_t)written;
		skip += (size_t)written;
	}
}

enum fault disk_read(struct disk_file *f, uint64_t at, char *bytes_out, size_t size, size_t *size_out)
{
	*size_out = 0;
	while (*size_out < size) {
		ssize_t got = pread(f->fd, bytes_out + *size_out, size - *size_out, (off_t)(at + *size_out));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fault_of(errno);
		if (!got)
			break;
		*size_out += (size_t)got;
	}
	return FAULT_OK;
}

enum fault disk_size(struct disk_file *f, uint64_t *size_out)
{
	struct stat found;

	*size_out = 0;
	if (fstat(f->fd, &found))
		return fault_of(errno);
	*size_out = (uint64_t)found.st_size;
	return FAULT_OK;
}

enum fault disk_zero(struct disk_file *f, uint64_t size)
{
	enum fault fault = FAULT_OK;
	char *zeros;

	while (fallocate(f->fd, 0, 0, (off_t)size))
		if (errno == EOPNOTSUPP)
			break;
		else if (errno != EINTR)
			return fault_of(errno);
	zeros = aligned_alloc(DISK_BLOCK_BYTES, ZERO_BYTES);
	if (!zeros)
		panic("out of memory");
	memset(zeros, 0, ZERO_BYTES);
	for (uint64_t at = 0; at < size && fault == FAULT_OK; at += ZERO_BYTES)
		fault = disk_write(f, at,
				   (struct span){ zeros, size - at < ZERO_BYTES ? (size_t)(size - at) : ZERO_BYTES });
	free(zeros);
	return fault == FAULT_OK ? disk_sync(f) : fault;
}

enum fault disk_sync(struct disk_file *f)
{
	return fdatasync(f->fd) ? fault_of(errno) : FAULT_OK;
}

enum fault disk_sync_names(struct disk *d)
{
	return fsync(d->fd) ? fault_of(errno) : FAULT_OK;
}

enum fault disk_rename(struct disk *d, const char *from, const char *to)
{
	if (!is_name(from) || !is_name(to))
		return FAULT_DISK_FAILED;
	return renameat(d->fd, from, d->fd, to) ? fault_of(errno) : FAULT_OK;
}

enum fault disk_remove(struct disk *d, const char *name)
{
	if (!is_name(name))
		return FAULT_DISK_FAILED;
	return unlinkat(d->fd, name, 0) ? fault_of(errno) : FAULT_OK;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **at;
	size_t count, room;
};

static void names_put(struct names *n, const char *name)
{
	if (n->count == n->room) {
		n->room = n->room ? n->room * 2 : 64;
		n->at = realloc(n->at, n->room * sizeof *n->at);
	}
	if (!n->at || !(n->at[n->count++] = strdup(name)))
		panic("out of memory");
}

static bool is_file(int fd, const struct dirent *e)
{
	struct stat found;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_REG;
	return !fstatat(fd, e->d_name, &found, AT_SYMLINK_NOFOLLOW) && S_ISREG(found.st_mode);
}

enum fault disk_list(struct disk *d, bool (*each)(void *self, const char *name), void *self)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct names names = { 0 };
	struct dirent *e;
	bool more = true;

	if (!directory)
		return fault_of(errno);
	while ((e = readdir(directory)))
		if (is_file(d->fd, e))
			names_put(&names, e->d_name);
	closedir(directory);
	if (names.count)
		qsort(names.at, names.count, sizeof *names.at, by_bytes);
	for (size_t i = 0; i < names.count; i++) {
		more = more && each(self, names.at[i]);
		free(names.at[i]);
	}
	free(names.at);
	return FAULT_OK;
}

enum fault disk_free_bytes(struct disk *d, uint64_t *bytes_out)
{
	struct statvfs found;

	*bytes_out = 0;
	if (fstatvfs(d->fd, &found))
		return fault_of(errno);
	*bytes_out = (uint64_t)found.f_bavail * found.f_frsize;
	return FAULT_OK;
}

const char *disk_sqlite_vfs(struct disk *d)
{
	return NULL;
}

void disk_sqlite_path(struct disk *d, const char *name, char path_out[512])
{
	if (snprintf(path_out, PATH_BYTES, "%s/%s", d->path, name) >= PATH_BYTES)
		panic("the path of the data directory is too long");
}
