#include "cli/postbag.h"

#include "base/clock.h"
#include "base/rand.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The head of a file: the bits are written over in place, once they are known. */
#define FIRST_LINE "postern outbox 1\n"
#define BITS "bits 7\n"

enum { BITS_AT = sizeof FIRST_LINE + sizeof "bits " - 2, NAMES_BYTES = POSTBAG_MESSAGES_MAX * POSTBAG_NAME_BYTES, TRIES = 100 };

/* --- directories */

static bool make_places(int directory)
{
	static const char *const names[] = { "tmp", "new", "failed" };

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (mkdirat(directory, names[i], 0700) && errno != EEXIST)
			return false;
	return true;
}

int postbag_open(const char *outbox)
{
	char path[POSTBAG_PATH_BYTES];
	struct stat found;
	int fd;

	snprintf(path, sizeof path, "%s/%lu", outbox, (unsigned long)geteuid());
	if (mkdir(path, 0700) && errno != EEXIST)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &found) || found.st_uid != geteuid() || !make_places(fd)) {
		close(fd);
		errno = errno ? errno : EPERM;
		return -1;
	}
	return fd;
}

static bool sync_directory(int directory, const char *name)
{
	int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && !fsync(fd);

	if (fd >= 0)
		close(fd);
	return good;
}

static void path_of(char out[POSTBAG_PATH_BYTES], const char *place, struct span name)
{
	snprintf(out, POSTBAG_PATH_BYTES, "%s/%.*s", place, SPAN_ARGS(name));
}

/* --- writing */

static void clear(struct postbag_item *i, int directory)
{
	*i = (struct postbag_item){ .fd = -1, .directory = directory };
	buf_init(&i->text, POSTBAG_ENVELOPE_BYTES);
}

/* Whoever sweeps may have found the file before it was locked, and taken it for one that was left behind. */
static bool lock_fresh(int fd)
{
	struct stat found;

	return !flock(fd, LOCK_EX) && !fstat(fd, &found) && found.st_nlink;
}

bool postbag_item_new(struct postbag_item *i, int directory)
{
	char path[POSTBAG_PATH_BYTES];

	clear(i, directory);
	if (directory < 0) {
		char name[] = "/tmp/postern-XXXXXX";

		i->fd = mkostemp(name, O_CLOEXEC);
		return i->fd >= 0 && !unlink(name);
	}
	for (unsigned n = 0; n < TRIES; n++) {
		/* Names sort by their time. */
		snprintf(i->name, sizeof i->name, "%014lld.%ld.%08llx", (long long)clock_wall_ms(), (long)getpid(), (unsigned long long)rand_below(UINT32_MAX));
		path_of(path, "tmp", span_of(i->name));
		i->fd = openat(directory, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (i->fd < 0 && errno != EEXIST)
			return false;
		if (i->fd >= 0 && lock_fresh(i->fd))
			return true;
		if (i->fd >= 0)
			close(i->fd);
		i->fd = -1;
	}
	return false;
}

static bool write_all(int fd, struct span s)
{
	while (s.size) {
		ssize_t put = write(fd, s.at, s.size);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		s = span_slice(s, (size_t)put, s.size);
	}
	return true;
}

static bool read_envelope(struct postbag_item *i);

bool postbag_begin(struct postbag_item *i, const struct postbag_envelope *e)
{
	struct span rest = e->recipients, line;

	buf_print(&i->text, FIRST_LINE BITS "sender %.*s\nnotify %u\nreturn %u\nid %.*s\n", SPAN_ARGS(e->sender), e->notify, e->returns, SPAN_ARGS(e->envelope_id));
	while (rest.size && span_cut(&rest, '\n', &line))
		buf_print(&i->text, "to %.*s\n", SPAN_ARGS(line));
	buf_put(&i->text, SPAN("\n"));
	if (i->text.overfull || !write_all(i->fd, buf_span(&i->text))) {
		errno = i->text.overfull ? EFBIG : errno;
		return false;
	}
	return read_envelope(i);
}

bool postbag_put(struct postbag_item *i, struct span bytes)
{
	i->size_bytes += bytes.size;
	return write_all(i->fd, bytes);
}

bool postbag_finish(struct postbag_item *i, bool is_eight_bit)
{
	i->envelope.is_eight_bit = is_eight_bit;
	return pwrite(i->fd, is_eight_bit ? "8" : "7", 1, BITS_AT) == 1;
}

static bool is_full(int directory)
{
	int fd = openat(directory, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *new = fd >= 0 ? fdopendir(fd) : NULL;
	unsigned count = 0;

	while (new && count <= POSTBAG_MESSAGES_MAX && readdir(new))
		count++;
	if (new)
		closedir(new);
	else if (fd >= 0)
		close(fd);
	return count > POSTBAG_MESSAGES_MAX;
}

bool postbag_keep(struct postbag_item *i)
{
	char from[POSTBAG_PATH_BYTES], to[POSTBAG_PATH_BYTES];

	if (i->directory < 0 || is_full(i->directory)) {
		errno = i->directory < 0 ? ENOENT : ENOSPC;
		return false;
	}
	path_of(from, "tmp", span_of(i->name));
	path_of(to, "new", span_of(i->name));
	if (fsync(i->fd) || renameat(i->directory, from, i->directory, to))
		return false;
	/* The first message of a user is in directories that are new themselves. */
	i->is_kept = sync_directory(i->directory, "new") && sync_directory(i->directory, ".") && sync_directory(i->directory, "..");
	if (!i->is_kept)
		unlinkat(i->directory, to, 0);
	return i->is_kept;
}

/* --- reading */

static bool take_line(struct span *rest, const char *word, struct span *value_out)
{
	struct span line, name;

	if (!span_cut(rest, '\n', &line) || !rest->at)
		return false;
	*value_out = line;
	return span_cut(value_out, ' ', &name) && value_out->at && span_equal(name, span_of(word));
}

static bool take_number(struct span *rest, const char *word, unsigned *out)
{
	struct span value;
	uint64_t number;

	if (!take_line(rest, word, &value) || !span_number(value, &number) || number > 15)
		return false;
	*out = (unsigned)number;
	return true;
}

/* From `text`, which holds at least all of it. */
static bool read_envelope(struct postbag_item *i)
{
	struct span all = buf_span(&i->text), rest, bits;
	size_t end = span_find(all, SPAN("\n\n"));

	errno = EBADMSG;
	if (end == all.size || !span_starts(all, SPAN(FIRST_LINE)))
		return false;
	i->body_at = (off_t)end + 2;
	rest = span_slice(all, sizeof FIRST_LINE - 1, end + 1 - (sizeof FIRST_LINE - 1));
	if (!take_line(&rest, "bits", &bits) || !take_line(&rest, "sender", &i->envelope.sender) || !take_number(&rest, "notify", &i->envelope.notify) ||
	    !take_number(&rest, "return", &i->envelope.returns) || !take_line(&rest, "id", &i->envelope.envelope_id))
		return false;
	i->envelope.is_eight_bit = span_equal(bits, SPAN("8"));
	i->envelope.recipients = rest;
	return rest.size != 0;
}

static bool read_head(struct postbag_item *i)
{
	char piece[8192];
	ssize_t got = 1;
	struct stat found;

	while (got > 0 && span_find(buf_span(&i->text), SPAN("\n\n")) == i->text.size) {
		got = pread(i->fd, piece, sizeof piece, (off_t)i->text.size);
		if (got < 0 || !buf_put(&i->text, (struct span){ piece, (size_t)got }))
			return false;
	}
	if (!read_envelope(i) || fstat(i->fd, &found))
		return false;
	i->size_bytes = (uint64_t)(found.st_size - i->body_at);
	return true;
}

static bool open_in(struct postbag_item *i, int directory, const char *place, struct span name)
{
	char path[POSTBAG_PATH_BYTES];

	clear(i, directory);
	i->is_kept = true;
	if (!span_text(i->name, sizeof i->name, name))
		return false;
	path_of(path, place, name);
	i->fd = openat(directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return i->fd >= 0;
}

bool postbag_look(struct postbag_item *i, int directory, bool failed, struct span name)
{
	return open_in(i, directory, failed ? "failed" : "new", name) && read_head(i);
}

bool postbag_take(struct postbag_item *i, int directory, struct span name)
{
	struct stat found;

	if (!open_in(i, directory, "new", name) || flock(i->fd, LOCK_EX | LOCK_NB) || fstat(i->fd, &found))
		return false;
	errno = ENOENT; /* handed over between the opening and the lock */
	return found.st_nlink && read_head(i);
}

static bool is_name(const char *name)
{
	size_t size = strlen(name);

	return name[0] != '.' && size < POSTBAG_NAME_BYTES && (size < 4 || strcmp(name + size - 4, ".why"));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_listed(const struct dirent *d)
{
	return is_name(d->d_name);
}

bool postbag_list(int directory, bool failed, struct buf *names_out)
{
	struct dirent **found = NULL;
	int count = scandirat(directory, failed ? "failed" : "new", &found, is_listed, by_name);

	for (int i = 0; i < count; i++) {
		if (i < POSTBAG_MESSAGES_MAX)
			buf_print(names_out, "%s\n", found[i]->d_name);
		free(found[i]);
	}
	free(found);
	return count >= 0 && !names_out->overfull;
}

/* --- the end of a message */

bool postbag_strike(struct postbag_item *i)
{
	char path[POSTBAG_PATH_BYTES];

	if (!i->is_kept)
		return true; /* it goes when it is closed */
	path_of(path, "new", span_of(i->name));
	return !unlinkat(i->directory, path, 0) && sync_directory(i->directory, "new");
}

bool postbag_give_up(struct postbag_item *i, struct span why)
{
	char from[POSTBAG_PATH_BYTES], to[POSTBAG_PATH_BYTES], beside[POSTBAG_PATH_BYTES + 4];
	int fd;

	path_of(from, "new", span_of(i->name));
	path_of(to, "failed", span_of(i->name));
	snprintf(beside, sizeof beside, "%s.why", to);
	fd = openat(i->directory, beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0) {
		write_all(fd, why);
		fsync(fd);
		close(fd);
	}
	return !renameat(i->directory, from, i->directory, to) && sync_directory(i->directory, "failed") && sync_directory(i->directory, "new");
}

bool postbag_retry_all(int directory)
{
	char from[POSTBAG_PATH_BYTES], to[POSTBAG_PATH_BYTES], beside[POSTBAG_PATH_BYTES + 4];
	struct span rest, name;
	struct buf names;
	bool good;

	buf_init(&names, NAMES_BYTES);
	good = postbag_list(directory, true, &names);
	rest = buf_span(&names);
	while (good && rest.size && span_cut(&rest, '\n', &name)) {
		path_of(from, "failed", name);
		path_of(to, "new", name);
		snprintf(beside, sizeof beside, "%s.why", from);
		good = !renameat(directory, from, directory, to);
		unlinkat(directory, beside, 0);
	}
	buf_free(&names);
	return good && sync_directory(directory, "new") && sync_directory(directory, "failed");
}

void postbag_reason(int directory, struct span name, struct buf *out)
{
	char path[POSTBAG_PATH_BYTES], piece[1000];
	ssize_t got;
	int fd;

	snprintf(path, sizeof path, "failed/%.*s.why", SPAN_ARGS(name));
	fd = openat(directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	got = read(fd, piece, sizeof piece);
	if (got > 0)
		buf_put(out, (struct span){ piece, (size_t)got });
	close(fd);
}

void postbag_item_close(struct postbag_item *i)
{
	char path[POSTBAG_PATH_BYTES];

	if (i->fd >= 0 && !i->is_kept && i->directory >= 0) {
		path_of(path, "tmp", span_of(i->name));
		unlinkat(i->directory, path, 0);
	}
	if (i->fd >= 0)
		close(i->fd);
	i->fd = -1;
	buf_free(&i->text);
}

/* Who still writes holds the lock. */
static void sweep_one(int directory, const char *name)
{
	char path[POSTBAG_PATH_BYTES];
	int fd;

	path_of(path, "tmp", span_of(name));
	fd = openat(directory, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB))
		unlinkat(directory, path, 0);
	close(fd);
}

void postbag_sweep(int directory)
{
	int fd = openat(directory, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *tmp = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;

	while (tmp && (entry = readdir(tmp)))
		if (is_name(entry->d_name))
			sweep_one(directory, entry->d_name);
	if (tmp)
		closedir(tmp);
	else if (fd >= 0)
		close(fd);
}
