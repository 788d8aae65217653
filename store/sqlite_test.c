#include "store/sqlite.h"

#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const migrations[] = {
	"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL); INSERT INTO notes VALUES (1, 'first');",
	"ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue';",
	"UPDATE notes SET colour = 'red' WHERE id = 1;",
};
enum { NOTE_ADD, NOTES };
static const char *const statements[] = { "INSERT INTO notes (text) VALUES (?)", "SELECT id, text FROM notes ORDER BY id" };
static const char *const later_statements[] = { "INSERT INTO notes (text) VALUES (?)", "SELECT id, colour FROM notes ORDER BY id" };

struct bench {
	char folder[64], path[96], why[256];
	struct sqlite *db;
};

static void set_up(struct bench *b)
{
	*b = (struct bench){ .folder = "/tmp/postern-sqlite-XXXXXX" };
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->path, sizeof b->path, "%s/a.db", b->folder);
}

static void tear_down(struct bench *b)
{
	char name[128];

	sqlite_close(&b->db);
	unlink(b->path);
	snprintf(name, sizeof name, "%s-wal", b->path);
	unlink(name);
	assert_int_equal(rmdir(b->folder), 0);
}

static enum fault open_at(struct bench *b, int schema_number)
{
	const struct sqlite_schema schema = { 77, migrations, schema_number, schema_number > 1 ? later_statements : statements, 2 };

	return sqlite_open(&b->db, b->path, NULL, &schema, b->why);
}

static bool first_text(void *self, const struct sqlite_row *r)
{
	snprintf(self, 32, "%.*s", SPAN_ARGS(sqlite_text(r, 1)));
	return false;
}

static void migrations_go_forward_from_each_number(void **state)
{
	for (int from = 1; from <= 3; from++) {
		struct bench b;
		char colour[32] = "";

		set_up(&b);
		assert_int_equal(open_at(&b, from), FAULT_OK);
		sqlite_close(&b.db);
		assert_int_equal(open_at(&b, 3), FAULT_OK);
		assert_int_equal(SQLITE_EACH(b.db, NOTES, first_text, colour), FAULT_OK);
		assert_string_equal(colour, "red");
		tear_down(&b);
	}
}

static void a_newer_schema_is_refused(void **state)
{
	struct bench b;

	set_up(&b);
	assert_int_equal(open_at(&b, 3), FAULT_OK);
	sqlite_close(&b.db);
	assert_int_equal(open_at(&b, 2), FAULT_DATABASE_NEWER);
	assert_null(b.db);
	assert_non_null(strstr(b.why, "schema 3"));
	tear_down(&b);
}

static void a_failed_migration_leaves_the_old_schema(void **state)
{
	static const char *const broken[] = { "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);", "DELETE FROM notes; DROP TABLE nothing;" };
	const struct sqlite_schema schema = { 77, broken, 2, statements, 2 };
	struct bench b;
	char text[32] = "";

	set_up(&b);
	assert_int_equal(open_at(&b, 1), FAULT_OK);
	sqlite_close(&b.db);
	assert_int_equal(sqlite_open(&b.db, b.path, NULL, &schema, b.why), FAULT_DATABASE_FAILED);
	assert_int_equal(open_at(&b, 1), FAULT_OK);
	assert_int_equal(SQLITE_EACH(b.db, NOTES, first_text, text), FAULT_OK);
	assert_string_equal(text, "first");
	tear_down(&b);
}

static void a_foreign_file_is_refused(void **state)
{
	const struct sqlite_schema other = { 78, migrations, 1, statements, 2 };
	struct bench b;

	set_up(&b);
	assert_int_equal(open_at(&b, 1), FAULT_OK);
	sqlite_close(&b.db);
	assert_int_equal(sqlite_open(&b.db, b.path, NULL, &other, b.why), FAULT_DATABASE_FAILED);
	assert_non_null(strstr(b.why, "another program"));
	tear_down(&b);
}

static void two_openers_are_one_too_many(void **state)
{
	struct bench b;
	struct sqlite *second = NULL;
	const struct sqlite_schema schema = { 77, migrations, 1, statements, 2 };

	set_up(&b);
	assert_int_equal(open_at(&b, 1), FAULT_OK);
	assert_int_equal(sqlite_open(&second, b.path, NULL, &schema, b.why), FAULT_DATABASE_FAILED);
	assert_null(second);
	tear_down(&b);
}

/* Bytes written over the file at each of its pages in turn: each is noticed at the start or does no harm to what is read. */
static void damage_is_noticed(void **state)
{
	struct bench b;
	struct stat file;
	int noticed = 0, fd;

	set_up(&b);
	assert_int_equal(open_at(&b, 1), FAULT_OK);
	for (int i = 0; i < 300; i++)
		assert_int_equal(SQLITE_RUN(b.db, NOTE_ADD, VALUE_TEXT(SPAN("a note of some length, so that several pages are filled"))), FAULT_OK);
	sqlite_close(&b.db);
	assert_int_equal(stat(b.path, &file), 0);
	for (off_t page = 0; page < file.st_size; page += 4096) {
		char kept[64], junk[64];
		enum fault fault;

		memset(junk, 0xa5, sizeof junk);
		fd = open(b.path, O_RDWR);
		assert_int_equal(pread(fd, kept, sizeof kept, page), sizeof kept);
		assert_int_equal(pwrite(fd, junk, sizeof junk, page), sizeof junk);
		fault = open_at(&b, 1);
		noticed += fault == FAULT_DATABASE_DAMAGED;
		sqlite_close(&b.db);
		assert_int_equal(pwrite(fd, kept, sizeof kept, page), sizeof kept);
		close(fd);
	}
	assert_int_equal(noticed, file.st_size / 4096);
	assert_int_equal(open_at(&b, 1), FAULT_OK);
	tear_down(&b);
}

static void a_file_of_text_is_damaged(void **state)
{
	struct bench b;
	int fd;

	set_up(&b);
	fd = open(b.path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "this is no database, only a text that someone put here by mistake, longer than a header", 87), 87);
	close(fd);
	assert_int_equal(open_at(&b, 1), FAULT_DATABASE_DAMAGED);
	tear_down(&b);
}

TESTS(migrations_go_forward_from_each_number, a_newer_schema_is_refused, a_failed_migration_leaves_the_old_schema, a_foreign_file_is_refused,
      two_openers_are_one_too_many, damage_is_noticed, a_file_of_text_is_damaged)
