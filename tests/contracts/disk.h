/* tests/contracts/disk.h - what loop/disk.h promises, as tests that both sides of it have to pass.
 *
 * Why       As tests/contracts/stream.h.
 * Promise   Works below one directory, whose path the including file gives as DISK_CONTRACT_PATH.
 * Owns      What it makes there, and removes.
 * Refuses   Faults and power loss: those only the fake side can make. */
#pragma once
#include "tests/test.h"

#include "base/buf.h"
#include "loop/disk.h"

static struct disk *fresh_disk(void)
{
	struct disk *disk;

	assert_int_equal(disk_open(&disk, DISK_CONTRACT_PATH, true), FAULT_OK);
	(void)!disk_remove(disk, "a");
	(void)!disk_remove(disk, "b");
	(void)!disk_remove(disk, "c");
	(void)!disk_remove(disk, "lock");
	return disk;
}

static struct disk_file *made(struct disk *disk, const char *name)
{
	struct disk_file *file;

	assert_int_equal(disk_file_open(&file, disk, name, DISK_MAKE), FAULT_OK);
	return file;
}

static void bytes_are_kept(void **state)
{
	struct disk *disk = fresh_disk();
	struct disk_file *file = made(disk, "a");
	const struct span pieces[] = { SPAN("one "), SPAN(""), SPAN("two") };
	char out[32];
	uint64_t size;
	size_t got;

	assert_int_equal(disk_write_pieces(file, 10, pieces, 3), FAULT_OK);
	assert_int_equal(disk_size(file, &size), FAULT_OK);
	assert_int_equal(size, 17);
	assert_int_equal(disk_read(file, 8, out, sizeof out, &got), FAULT_OK);
	assert_int_equal(got, 9);
	assert_memory_equal(out, "\0\0one two", 9);
	assert_int_equal(disk_read(file, 17, out, sizeof out, &got), FAULT_OK);
	assert_int_equal(got, 0);
	assert_int_equal(disk_write(file, 14, SPAN("2")), FAULT_OK);
	assert_int_equal(disk_sync(file), FAULT_OK);
	disk_file_close(&file);
	assert_int_equal(disk_sync_names(disk), FAULT_OK);
	assert_int_equal(disk_file_open(&file, disk, "a", DISK_READ), FAULT_OK);
	assert_int_equal(disk_read(file, 10, out, sizeof out, &got), FAULT_OK);
	assert_memory_equal(out, "one 2wo", 7);
	disk_file_close(&file);
	disk_close(&disk);
}

static void zeros_are_given(void **state)
{
	struct disk *disk = fresh_disk();
	struct disk_file *file = made(disk, "a");
	char out[4];
	uint64_t size;
	size_t got;

	assert_int_equal(disk_zero(file, 1000 * 1000), FAULT_OK);
	assert_int_equal(disk_size(file, &size), FAULT_OK);
	assert_int_equal(size, 1000 * 1000);
	assert_int_equal(disk_read(file, 999998, out, sizeof out, &got), FAULT_OK);
	assert_int_equal(got, 2);
	assert_memory_equal(out, "\0\0", 2);
	disk_file_close(&file);
	disk_close(&disk);
}

static bool collect(void *self, const char *name)
{
	buf_print(self, "%s ", name);
	return true;
}

static void names_are_listed_renamed_and_removed(void **state)
{
	struct disk *disk = fresh_disk();
	struct disk_file *file = made(disk, "b");
	struct buf names;

	buf_init(&names, 1000);
	disk_file_close(&file);
	file = made(disk, "a");
	assert_int_equal(disk_write(file, 0, SPAN("x")), FAULT_OK);
	disk_file_close(&file);
	assert_int_not_equal(disk_file_open(&file, disk, "a", DISK_MAKE), FAULT_OK);
	assert_null(file);
	assert_int_equal(disk_file_open(&file, disk, "c", DISK_WRITE), FAULT_NOT_FOUND);
	assert_int_equal(disk_list(disk, collect, &names), FAULT_OK);
	assert_span(buf_span(&names), "a b ");
	buf_clear(&names);
	assert_int_equal(disk_rename(disk, "a", "c"), FAULT_OK);
	assert_int_equal(disk_rename(disk, "a", "c"), FAULT_NOT_FOUND);
	assert_int_equal(disk_rename(disk, "c", "b"), FAULT_OK);
	assert_int_equal(disk_list(disk, collect, &names), FAULT_OK);
	assert_span(buf_span(&names), "b ");
	assert_int_equal(disk_remove(disk, "b"), FAULT_OK);
	assert_int_equal(disk_remove(disk, "b"), FAULT_NOT_FOUND);
	buf_free(&names);
	disk_close(&disk);
}

static void a_lock_is_for_one(void **state)
{
	struct disk *first = fresh_disk(), *second = NULL;

	assert_int_equal(disk_open(&second, DISK_CONTRACT_PATH, false), FAULT_OK);
	assert_int_equal(disk_lock(first), FAULT_OK);
	assert_int_equal(disk_lock(second), FAULT_SPOOL_LOCKED);
	disk_close(&first);
	assert_int_equal(disk_lock(second), FAULT_OK);
	disk_close(&second);
}

static void a_directory_below_is_another(void **state)
{
	struct disk *disk = fresh_disk(), *below;
	struct disk_file *file;

	assert_int_equal(disk_sub(&below, disk, "missing", false), FAULT_NOT_FOUND);
	assert_int_equal(disk_sub(&below, disk, "below", true), FAULT_OK);
	(void)!disk_remove(below, "a");
	file = made(below, "a");
	disk_file_close(&file);
	assert_int_equal(disk_file_open(&file, disk, "a", DISK_READ), FAULT_NOT_FOUND);
	disk_close(&below);
	disk_close(&disk);
	assert_int_equal(disk_open(&disk, DISK_CONTRACT_PATH "/nowhere", false), FAULT_NOT_FOUND);
}

/* Defines main(). */
TESTS(bytes_are_kept, zeros_are_given, names_are_listed_renamed_and_removed, a_lock_is_for_one, a_directory_below_is_another)
