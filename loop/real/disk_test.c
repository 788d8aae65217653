/* Files of a directory on a real file system. */
#include "loop/disk.h"
#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char path[64];

static struct disk *open_new(void)
{
	struct disk *d;

	strcpy(path, "/tmp/disk_test.XXXXXX");
	assert_non_null(mkdtemp(path));
	assert_int_equal(disk_open(&d, path, true), FAULT_OK);
	return d;
}

static bool remove_each(void *self, const char *name)
{
	assert_int_equal(disk_remove(self, name), FAULT_OK);
	return true;
}

static void close_and_remove(struct disk *d)
{
	assert_int_equal(disk_list(d, remove_each, d), FAULT_OK);
	disk_close(&d);
	assert_null(d);
	assert_int_equal(rmdir(path), 0);
}

static void write_and_read(void **state)
{
	struct disk *d = open_new();
	struct disk_file *f;
	char bytes[64];
	uint64_t size;
	size_t got;

	assert_int_equal(disk_file_open(&f, d, "one", DISK_READ), FAULT_NOT_FOUND);
	assert_null(f);
	assert_int_equal(disk_file_open(&f, d, "one", DISK_MAKE), FAULT_OK);
	assert_int_equal(disk_write(f, 4, SPAN("there")), FAULT_OK);
	assert_int_equal(disk_write(f, 0, SPAN("you ")), FAULT_OK);
	assert_int_equal(disk_sync(f), FAULT_OK);
	assert_int_equal(disk_sync_names(d), FAULT_OK);
	assert_int_equal(disk_size(f, &size), FAULT_OK);
	assert_int_equal(size, 9);
	assert_int_equal(disk_read(f, 0, bytes, sizeof bytes, &got), FAULT_OK);
	assert_span(((struct span){ bytes, got }), "you there");
	assert_int_equal(disk_read(f, 9, bytes, sizeof bytes, &got), FAULT_OK);
	assert_int_equal(got, 0);
	disk_file_close(&f);
	assert_int_equal(disk_file_open(&f, d, "one", DISK_MAKE), FAULT_DISK_FAILED);
	assert_int_equal(disk_file_open(&f, d, "one", DISK_READ), FAULT_OK);
	assert_int_equal(disk_write(f, 0, SPAN("x")), FAULT_DISK_FAILED);
	disk_file_close(&f);
	close_and_remove(d);
}

/* Whole blocks past the cache, parts of blocks through it, in turns; everybody reads the newest. */
static void past_the_cache(void **state)
{
	enum { BLOCKS = 64, ROUNDS = 400 };
	static char wanted[BLOCKS * DISK_BLOCK_BYTES], found[BLOCKS * DISK_BLOCK_BYTES];
	char *aligned = aligned_alloc(DISK_BLOCK_BYTES, sizeof wanted);
	struct disk *d = open_new();
	struct disk_file *f;
	size_t got;

	assert_non_null(aligned);
	assert_int_equal(disk_file_open(&f, d, "one", DISK_MAKE), FAULT_OK);
	disk_file_bypass(d, f, "one");
	disk_file_bypass(d, f, "one");
	assert_int_equal(disk_zero(f, sizeof wanted), FAULT_OK);
	srand(7);
	for (int round = 0; round < ROUNDS; round++) {
		bool whole = rand() % 3;
		size_t at = (size_t)rand() % BLOCKS * DISK_BLOCK_BYTES, size = (size_t)(rand() % 8 + 1) * DISK_BLOCK_BYTES;

		if (at + size > sizeof wanted)
			size = sizeof wanted - at;
		if (!whole)
			size = size / 2 + 1;
		memset(aligned, round, size);
		memset(wanted + at, round, size);
		assert_int_equal(disk_write(f, at, (struct span){ aligned, size }), FAULT_OK);
		if (round == ROUNDS / 2)
			disk_file_end_bypass(f);
		assert_int_equal(disk_read(f, 0, found, sizeof found, &got), FAULT_OK);
		assert_int_equal(got, sizeof wanted);
		assert_memory_equal(found, wanted, sizeof wanted);
	}
	assert_int_equal(disk_sync(f), FAULT_OK);
	disk_file_close(&f);
	free(aligned);
	close_and_remove(d);
}

/* More pieces than one system call takes, empty ones among them. */
static void pieces(void **state)
{
	static char wanted[5000], got_bytes[6000];
	struct span list[1000];
	struct disk *d = open_new();
	struct disk_file *f;
	size_t total = 0, got;

	for (size_t i = 0; i < sizeof wanted; i++)
		wanted[i] = (char)i;
	for (size_t i = 0; i < 1000; i++) {
		list[i] = (struct span){ wanted + total, i % 10 };
		total += i % 10;
	}
	assert_int_equal(disk_file_open(&f, d, "p", DISK_MAKE), FAULT_OK);
	assert_int_equal(disk_write_pieces(f, 0, list, 1000), FAULT_OK);
	assert_int_equal(disk_write_pieces(f, 0, list, 0), FAULT_OK);
	assert_int_equal(disk_read(f, 0, got_bytes, sizeof got_bytes, &got), FAULT_OK);
	assert_int_equal(got, total);
	assert_memory_equal(got_bytes, wanted, total);
	disk_file_close(&f);
	close_and_remove(d);
}

static void zeroing(void **state)
{
	struct disk *d = open_new();
	struct disk_file *f;
	static char bytes[3 * 1024 * 1024 + 7];
	uint64_t size;
	size_t got;

	assert_int_equal(disk_file_open(&f, d, "z", DISK_MAKE), FAULT_OK);
	assert_int_equal(disk_write(f, 100, SPAN("an old record")), FAULT_OK);
	assert_int_equal(disk_zero(f, sizeof bytes), FAULT_OK);
	assert_int_equal(disk_size(f, &size), FAULT_OK);
	assert_int_equal(size, sizeof bytes);
	bytes[0] = 1;
	assert_int_equal(disk_read(f, 0, bytes, sizeof bytes, &got), FAULT_OK);
	for (size_t i = 0; i < sizeof bytes; i++)
		if (bytes[i])
			fail_msg("byte %zu", i);
	disk_file_close(&f);
	close_and_remove(d);
}

struct names {
	char text[128];
	unsigned left;
};

static bool note_each(void *self, const char *name)
{
	struct names *n = self;

	strcat(strcat(n->text, name), " ");
	return --n->left != 0;
}

static void names_in_byte_order(void **state)
{
	static const char *const names[] = { "b", "a10", "a2", "Z", "c" };
	struct disk *d = open_new(), *sub;
	struct names n = { .left = 100 };
	struct disk_file *f;

	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(disk_file_open(&f, d, names[i], DISK_MAKE), FAULT_OK);
		disk_file_close(&f);
	}
	assert_int_equal(disk_sub(&sub, d, "below", false), FAULT_NOT_FOUND);
	assert_int_equal(disk_sub(&sub, d, "below", true), FAULT_OK);
	assert_int_equal(disk_list(d, note_each, &n), FAULT_OK);
	assert_string_equal(n.text, "Z a10 a2 b c ");
	n = (struct names){ .left = 2 };
	assert_int_equal(disk_rename(d, "Z", "z"), FAULT_OK);
	assert_int_equal(disk_list(d, note_each, &n), FAULT_OK);
	assert_string_equal(n.text, "a10 a2 ");
	assert_int_equal(disk_rename(d, "nothing", "z"), FAULT_NOT_FOUND);
	assert_int_equal(disk_remove(d, "nothing"), FAULT_NOT_FOUND);
	disk_close(&sub);
	strcat(path, "/below");
	rmdir(path);
	path[strlen(path) - strlen("/below")] = '\0';
	close_and_remove(d);
}

static void no_name_leads_out(void **state)
{
	static const char *const names[] = { "", ".", "..", "a/b", "/etc/passwd", "../x" };
	struct disk *d = open_new(), *sub;
	struct disk_file *f;
	char link_path[96];

	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(disk_file_open(&f, d, names[i], DISK_READ), FAULT_DISK_FAILED);
		assert_int_equal(disk_sub(&sub, d, names[i], false), FAULT_DISK_FAILED);
		assert_int_equal(disk_remove(d, names[i]), FAULT_DISK_FAILED);
		assert_int_equal(disk_rename(d, names[i], "x"), FAULT_DISK_FAILED);
		assert_int_equal(disk_rename(d, "x", names[i]), FAULT_DISK_FAILED);
	}
	snprintf(link_path, sizeof link_path, "%s/link", path);
	assert_int_equal(symlink("/etc/passwd", link_path), 0);
	assert_int_equal(disk_file_open(&f, d, "link", DISK_READ), FAULT_DISK_FAILED);
	unlink(link_path);
	close_and_remove(d);
}

static void the_directory_is_made_private(void **state)
{
	struct stat found;
	struct disk *d;

	snprintf(path, sizeof path, "/tmp/disk_test.%d", (int)getpid());
	assert_int_equal(disk_open(&d, path, false), FAULT_NOT_FOUND);
	assert_int_equal(disk_open(&d, path, true), FAULT_OK);
	assert_int_equal(stat(path, &found), 0);
	assert_int_equal(found.st_mode & 0777, 0700);
	close_and_remove(d);
}

/* In another process, since the lock is the process's own. */
static enum fault lock_elsewhere(void)
{
	int status;
	pid_t child = fork();

	if (!child) {
		struct disk *d;
		enum fault f = disk_open(&d, path, false);

		if (f == FAULT_OK)
			f = disk_lock(d);
		_exit(f == FAULT_OK ? 0 : f == FAULT_SPOOL_LOCKED ? 1 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	return WEXITSTATUS(status) ? FAULT_SPOOL_LOCKED : FAULT_OK;
}

static void two_daemons_on_one_directory(void **state)
{
	struct disk *d = open_new(), *again;
	struct disk_file *f;
	char text[32] = "", wanted[32];
	size_t got;

	assert_int_equal(disk_lock(d), FAULT_OK);
	assert_int_equal(lock_elsewhere(), FAULT_SPOOL_LOCKED);
	assert_int_equal(disk_file_open(&f, d, "lock", DISK_READ), FAULT_OK);
	assert_int_equal(disk_read(f, 0, text, sizeof text - 1, &got), FAULT_OK);
	snprintf(wanted, sizeof wanted, "%d\n", (int)getpid());
	assert_string_equal(text, wanted);
	disk_file_close(&f);
	disk_close(&d);
	assert_int_equal(lock_elsewhere(), FAULT_OK);
	assert_int_equal(disk_open(&again, path, false), FAULT_OK);
	assert_int_equal(disk_lock(again), FAULT_OK);
	close_and_remove(again);
}

/* A file size limit is how a test fills a disk. */
static void a_full_disk(void **state)
{
	static char much[64 * 1024];
	struct rlimit before, small = { 32 * 1024, RLIM_INFINITY };
	struct disk *d = open_new();
	struct disk_file *f;
	uint64_t free_bytes;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small.rlim_max = before.rlim_max;
	assert_int_equal(disk_file_open(&f, d, "f", DISK_MAKE), FAULT_OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	enum fault written = disk_write(f, 0, (struct span){ much, sizeof much });
	enum fault zeroed = disk_zero(f, sizeof much);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(written, FAULT_DISK_FULL);
	assert_int_equal(zeroed, FAULT_DISK_FULL);
	assert_int_equal(disk_write(f, 0, (struct span){ much, sizeof much }), FAULT_OK);
	assert_int_equal(disk_free_bytes(d, &free_bytes), FAULT_OK);
	assert_true(free_bytes > 0);
	disk_file_close(&f);
	close_and_remove(d);
}

static void sqlite_path(void **state)
{
	struct disk *d = open_new();
	char name[512], wanted[512];

	disk_sqlite_path(d, "index.db", name);
	snprintf(wanted, sizeof wanted, "%s/index.db", path);
	assert_string_equal(name, wanted);
	assert_null(disk_sqlite_vfs(d));
	close_and_remove(d);
}

TESTS(write_and_read, past_the_cache, pieces, zeroing, names_in_byte_order, no_name_leads_out, the_directory_is_made_private,
      two_daemons_on_one_directory, a_full_disk, sqlite_path)
