/* store/sqlite.h - one SQLite database: opened with care, asked by numbered statements.
 *
 * Why       What must hold for every database of ours (durable commits, schema numbers, damage noticed at start) stands in one place, and no
 *           caller meets SQLite's corners.
 * Promise   After FAULT_OK from sqlite_end() what was written survives power loss: WAL with synchronous=FULL, read back and compared at
 *           the start. Migrations run forward, each in a transaction with its number. Every statement is prepared at the start, so one
 *           that does not fit the schema is found then.
 * Owns      The connection and its prepared statements. One thread at a time; which one does not matter.
 * Refuses   A damaged file (FAULT_DATABASE_DAMAGED), one of a newer schema (FAULT_DATABASE_NEWER), one of another program or in use by another
 *           process (FAULT_DATABASE_FAILED). A row that exists already: FAULT_EXISTS; one that others need, or that needs one that is
 *           missing: FAULT_IN_USE. A full disk: FAULT_DISK_FULL. The rest: FAULT_DATABASE_FAILED.
 * See       docs/decisions/0051-vault-store.md */
#pragma once
#include "base/fault.h"

struct sqlite;
struct sqlite_row;

/* What a database consists of. Schema number n is reached by `migrations[n - 1]`, several statements of SQL. */
struct sqlite_schema {
	int32_t application_id; /* stands in the file's head, so that nobody else's file is taken for ours */
	const char *const *migrations;
	int migration_count;
	const char *const *statements;
	size_t statement_count;
};

/* Opens, makes or migrates. `vfs` is NULL for SQLite's own. `why_out` (256 bytes) gets a text on a fault. */
MUST_CHECK enum fault sqlite_open(struct sqlite **out, const char *path, const char *vfs, const struct sqlite_schema *, char *why_out);
void sqlite_close(struct sqlite **);

/* A value to bind: a number, a text, bytes (with `at` NULL: the SQL NULL). Borrowed for the call. */
struct sqlite_value {
	enum { SQLITE_VALUE_NUMBER, SQLITE_VALUE_TEXT, SQLITE_VALUE_BYTES } kind;
	int64_t number;
	struct span bytes;
};
#define VALUE_NUMBER(n) ((struct sqlite_value){ SQLITE_VALUE_NUMBER, (int64_t)(n), { 0, 0 } })
#define VALUE_TEXT(s) ((struct sqlite_value){ SQLITE_VALUE_TEXT, 0, s })
#define VALUE_BYTES(s) ((struct sqlite_value){ SQLITE_VALUE_BYTES, 0, s })

/* Runs statement number `statement`. `row` (NULL when there is none to see) is called for each row until it says false. */
typedef bool sqlite_each(void *self, const struct sqlite_row *);
MUST_CHECK enum fault sqlite_run(struct sqlite *, size_t statement, const struct sqlite_value *, size_t count, sqlite_each *row, void *self);

/* SQLITE_RUN(db, STATEMENT_X, VALUE_NUMBER(7), VALUE_TEXT(name)) */
#define SQLITE_RUN(db, statement, ...) SQLITE_EACH(db, statement, NULL, NULL, ##__VA_ARGS__)
#define SQLITE_EACH(db, statement, row, self, ...)                                                               \
	sqlite_run(db, statement, (const struct sqlite_value[]){ { 0 }, ##__VA_ARGS__ } + 1,                      \
		   sizeof((const struct sqlite_value[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(struct sqlite_value) - 1, row, self)

/* Columns of a row, counted from 0; texts and bytes are valid during the call. */
int64_t sqlite_number(const struct sqlite_row *, int column);
struct span sqlite_text(const struct sqlite_row *, int column);

/* A transaction. sqlite_end() commits when `fault` is FAULT_OK, else takes everything back and returns `fault`. */
MUST_CHECK enum fault sqlite_begin(struct sqlite *);
MUST_CHECK enum fault sqlite_end(struct sqlite *, enum fault fault);

/* Writes a copy of the whole database, as it stands between two transactions, to a file that is not there yet; what was deleted is not in it. Not synced. */
MUST_CHECK enum fault sqlite_copy(struct sqlite *, const char *path);

/* The id of the row inserted last; how many rows the last statement changed. */
int64_t sqlite_last_id(const struct sqlite *);
int64_t sqlite_changed(const struct sqlite *);
