#include "tests/test.h"

#include "base/buf.h"
#include "loop/disk.h"
#include "loop/fake/world.h"

#include <sqlite3.h>
#include <stdlib.h>

/* As what a sync is to give: there is to be none. */
#define UNSYNCED FAULT_COUNT

static struct disk *disk_at(const char *path)
{
	struct disk *disk;

	assert_int_equal(disk_open(&disk, path, true), FAULT_OK);
	return disk;
}

static void write_at(struct disk *disk, const char *name, enum disk_mode mode, uint64_t at, struct span bytes, enum fault sync)
{
	struct disk_file *file;

	assert_int_equal(disk_file_open(&file, disk, name, mode), FAULT_OK);
	assert_int_equal(disk_write(file, at, bytes), FAULT_OK);
	if (sync != UNSYNCED)
		assert_int_equal(disk_sync(file), sync);
	disk_file_close(&file);
}

/* Compares a whole file; NULL: it must not be there. */
static void assert_file(const char *name, const char *wanted)
{
	size_t size = 0;
	char *bytes = world_disk_bytes("/d", name, &size);

	if (!wanted) {
		assert_null(bytes);
		return;
	}
	assert_non_null(bytes);
	assert_span(((struct span){ bytes, size }), wanted);
	free(bytes);
}

static void what_was_not_synced_is_lost(void **state)
{
	struct disk *disk;

	world_begin(1, 0);
	disk = disk_at("/d");
	write_at(disk, "a", DISK_MAKE, 0, SPAN("kept"), FAULT_OK);
	write_at(disk, "b", DISK_MAKE, 0, SPAN("kept"), FAULT_OK);
	assert_int_equal(disk_sync_names(disk), FAULT_OK);
	write_at(disk, "a", DISK_WRITE, 2, SPAN("XXXX"), UNSYNCED);
	write_at(disk, "c", DISK_MAKE, 0, SPAN("bytes are synced, the name is not"), FAULT_OK);
	assert_int_equal(disk_rename(disk, "b", "e"), FAULT_OK);
	assert_file("a", "keXXXX");
	world_power_cut("/d", WORLD_CUT_LOSE);
	assert_file("a", "kept");
	assert_file("b", "kept");
	assert_file("c", NULL);
	assert_file("e", NULL);
	disk_close(&disk);
	world_end();
}

static void what_was_not_synced_may_be_kept(void **state)
{
	struct disk *disk;

	world_begin(1, 0);
	disk = disk_at("/d");
	write_at(disk, "a", DISK_MAKE, 0, SPAN("text"), UNSYNCED);
	assert_int_equal(disk_rename(disk, "a", "b"), FAULT_OK);
	world_power_cut("/d", WORLD_CUT_KEEP);
	assert_file("a", NULL);
	assert_file("b", "text");
	disk_close(&disk);
	world_end();
}

/* Over many seeds: of two unsynced sectors each combination is seen, and a renaming is never half done. */
static void the_dice_tear_sectors_but_not_names(void **state)
{
	unsigned seen = 0, names = 0;

	for (uint64_t seed = 0; seed < 200; seed++) {
		struct disk *disk;
		char sector[512], *bytes;
		size_t size;

		world_begin(seed, 0);
		disk = disk_at("/d");
		memset(sector, 'o', sizeof sector);
		write_at(disk, "a", DISK_MAKE, 0, (struct span){ sector, 512 }, UNSYNCED);
		write_at(disk, "a", DISK_WRITE, 512, (struct span){ sector, 512 }, FAULT_OK);
		assert_int_equal(disk_sync_names(disk), FAULT_OK);
		memset(sector, 'n', sizeof sector);
		write_at(disk, "a", DISK_WRITE, 0, (struct span){ sector, 512 }, UNSYNCED);
		write_at(disk, "a", DISK_WRITE, 512, (struct span){ sector, 512 }, UNSYNCED);
		assert_int_equal(disk_rename(disk, "a", "b"), FAULT_OK);
		world_power_cut("/", WORLD_CUT_DICE);
		bytes = world_disk_bytes("/d", "a", &size);
		names |= bytes ? 1u : 2u;
		if (!bytes)
			bytes = world_disk_bytes("/d", "b", &size);
		assert_non_null(bytes);
		assert_int_equal(size, 1024);
		assert_memory_equal(bytes, bytes + 1, 511);
		assert_memory_equal(bytes + 512, bytes + 513, 511);
		seen |= 1u << ((bytes[0] == 'n') * 2 + (bytes[512] == 'n'));
		free(bytes);
		disk_close(&disk);
		world_end();
	}
	assert_int_equal(seen, 15);
	assert_int_equal(names, 3);
}

static void a_failed_sync_is_not_made_good_by_the_next(void **state)
{
	struct disk *disk;
	size_t size;
	char *bytes;

	world_begin(1, 0);
	disk = disk_at("/d");
	write_at(disk, "a", DISK_MAKE, 0, SPAN("old."), FAULT_OK);
	assert_int_equal(disk_sync_names(disk), FAULT_OK);
	world_disk_trouble("/", WORLD_DISK_SYNC_FAILS, 1);
	write_at(disk, "a", DISK_WRITE, 0, SPAN("new."), FAULT_DISK_FAILED);
	assert_file("a", "new.");
	write_at(disk, "b", DISK_MAKE, 0, SPAN("other"), FAULT_OK);
	write_at(disk, "a", DISK_WRITE, 5000, SPAN("more"), FAULT_OK);
	world_power_cut("/d", WORLD_CUT_KEEP);
	bytes = world_disk_bytes("/d", "a", &size);
	assert_int_equal(size, 5004);
	assert_memory_equal(bytes, "old.", 4);
	assert_memory_equal(bytes + 5000, "more", 4);
	free(bytes);
	disk_close(&disk);
	world_end();
}

static void a_lying_sync_keeps_nothing(void **state)
{
	struct disk *disk;

	world_begin(1, 0);
	disk = disk_at("/d");
	write_at(disk, "a", DISK_MAKE, 0, SPAN("old."), FAULT_OK);
	assert_int_equal(disk_sync_names(disk), FAULT_OK);
	world_disk_trouble("/d", WORLD_DISK_SYNC_LIES, -1);
	write_at(disk, "a", DISK_WRITE, 0, SPAN("new."), FAULT_OK);
	world_power_cut("/d", WORLD_CUT_LOSE);
	assert_file("a", "old.");
	disk_close(&disk);
	world_end();
}

static void a_full_disk_takes_only_what_it_has_a_place_for(void **state)
{
	struct disk *disk;
	struct disk_file *file;
	uint64_t free_bytes;

	world_begin(1, 0);
	disk = disk_at("/d");
	assert_int_equal(disk_file_open(&file, disk, "a", DISK_MAKE), FAULT_OK);
	assert_int_equal(disk_zero(file, 8192), FAULT_OK);
	world_disk_trouble("/d", WORLD_DISK_FULL, -1);
	assert_int_equal(disk_free_bytes(disk, &free_bytes), FAULT_OK);
	assert_int_equal(free_bytes, 0);
	assert_int_equal(disk_write(file, 4096, SPAN("fits")), FAULT_OK);
	assert_int_equal(disk_write(file, 8190, SPAN("does not")), FAULT_DISK_FULL);
	world_disk_trouble("/d", WORLD_DISK_FULL, 0);
	assert_int_equal(disk_write(file, 8190, SPAN("does now")), FAULT_OK);
	disk_file_close(&file);
	disk_close(&disk);
	world_end();
}

/* --- SQLite on the fake disk */

static sqlite3 *database(struct disk *disk)
{
	char path[512];
	sqlite3 *db;

	disk_sqlite_path(disk, "test.db", path);
	assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, disk_sqlite_vfs(disk)), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static int run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	int value;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	value = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	return value;
}

static void assert_sound(sqlite3 *db)
{
	sqlite3_stmt *statement;

	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
	sqlite3_finalize(statement);
}

/* Inserts until the disk dies under it; returns how many commits succeeded. */
static int commit_some(sqlite3 *db, int count)
{
	int committed = 0;

	for (int i = 0; i < count; i++) {
		char sql[200];

		snprintf(sql, sizeof sql, "INSERT INTO t(n, filler) VALUES(%d, hex(zeroblob(%d)))", i, 100 + i * 7 % 3000);
		if (run(db, sql) == SQLITE_OK)
			committed++;
	}
	return committed;
}

/* Death at any point, then power loss: what was committed is there, and nothing is torn. */
static void committed_rows_survive_a_power_cut(void **state)
{
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct disk *disk;
		struct loop *loop;
		sqlite3 *db, *second;
		int committed;

		world_begin(seed, 0);
		disk = disk_at("/d");
		loop = world_loop("vault");
		db = database(disk);
		second = database(disk);
		assert_int_equal(run(db, "PRAGMA wal_autocheckpoint=20; CREATE TABLE t(n INTEGER PRIMARY KEY, filler TEXT)"), SQLITE_OK);
		assert_int_equal(disk_sync_names(disk), FAULT_OK);
		committed = commit_some(db, 10 + (int)world_dice(60));
		assert_int_equal(number(second, "SELECT count(*) FROM t"), committed);
		assert_int_equal(run(db, "BEGIN; INSERT INTO t(n) VALUES(100000)"), SQLITE_OK);
		assert_int_equal(run(second, "BEGIN IMMEDIATE"), SQLITE_BUSY);
		world_kill(loop);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
		assert_int_equal(sqlite3_close(second), SQLITE_OK);
		world_buried(&loop);
		world_power_cut("/d", seed % 3 == 0 ? WORLD_CUT_LOSE : WORLD_CUT_DICE);
		db = database(disk);
		assert_sound(db);
		assert_int_equal(number(db, "SELECT count(*) FROM t"), committed);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
		disk_close(&disk);
		world_end();
	}
}

static void sqlite_is_told_of_troubles(void **state)
{
	struct disk *disk;
	sqlite3 *db;

	world_begin(1, 0);
	disk = disk_at("/d");
	db = database(disk);
	assert_int_equal(run(db, "CREATE TABLE t(n INTEGER PRIMARY KEY, filler TEXT)"), SQLITE_OK);
	world_disk_trouble("/d", WORLD_DISK_SYNC_FAILS, 1);
	assert_int_equal(run(db, "INSERT INTO t(n) VALUES(1)"), SQLITE_IOERR);
	world_disk_trouble("/d", WORLD_DISK_FULL, -1);
	assert_int_equal(run(db, "INSERT INTO t(n, filler) VALUES(1, hex(zeroblob(100000)))"), SQLITE_FULL);
	world_disk_trouble("/d", WORLD_DISK_FULL, 0);
	assert_int_equal(run(db, "INSERT INTO t(n) VALUES(2)"), SQLITE_OK);
	assert_int_equal(number(db, "SELECT sum(n) FROM t"), 2);
	assert_sound(db);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	disk_close(&disk);
	world_end();
}

TESTS(what_was_not_synced_is_lost, what_was_not_synced_may_be_kept, the_dice_tear_sectors_but_not_names,
      a_failed_sync_is_not_made_good_by_the_next, a_lying_sync_keeps_nothing, a_full_disk_takes_only_what_it_has_a_place_for,
      committed_rows_survive_a_power_cut, sqlite_is_told_of_troubles)
