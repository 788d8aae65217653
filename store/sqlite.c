#include "store/sqlite.h"

#include "base/panic.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHY_BYTES = 256, STATEMENTS_MAX = 256 };

struct sqlite {
	sqlite3 *connection;
	size_t count;
	sqlite3_stmt *statements[STATEMENTS_MAX];
	sqlite3_stmt *begin, *commit, *rollback;
};

struct sqlite_row {
	sqlite3_stmt *statement;
};

static enum fault fault_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_DONE:
	case SQLITE_ROW: return FAULT_OK;
	case SQLITE_FULL: return FAULT_DISK_FULL;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return FAULT_DATABASE_DAMAGED;
	case SQLITE_CONSTRAINT:
		return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID
			       ? FAULT_EXISTS
		       : code == SQLITE_CONSTRAINT_FOREIGNKEY || code == SQLITE_CONSTRAINT_TRIGGER ? FAULT_IN_USE
											  : FAULT_DATABASE_FAILED;
	default: return FAULT_DATABASE_FAILED;
	}
}

static enum fault failed(struct sqlite *s, int code, const char *doing, char *why_out)
{
	snprintf(why_out, WHY_BYTES, "%s: %s", doing, s->connection ? sqlite3_errmsg(s->connection) : sqlite3_errstr(code));
	return fault_of(code) == FAULT_OK ? FAULT_DATABASE_FAILED : fault_of(code);
}

static enum fault run_text(struct sqlite *s, const char *text, char *why_out)
{
	int code = sqlite3_exec(s->connection, text, NULL, NULL, NULL);

	return code == SQLITE_OK ? FAULT_OK : failed(s, code, text, why_out);
}

/* The first column of the first row, copied: of a pragma that answers. */
static enum fault ask_text(struct sqlite *s, const char *text, char *answer_out, size_t size, char *why_out)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(s->connection, text, -1, &statement, NULL);
	const char *answer;
	enum fault fault = FAULT_OK;

	*answer_out = 0;
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		answer = (const char *)sqlite3_column_text(statement, 0);
		snprintf(answer_out, size, "%s", answer ? answer : "");
	} else if (code != SQLITE_DONE) {
		fault = failed(s, code, text, why_out);
	}
	sqlite3_finalize(statement);
	return fault;
}

static enum fault ask_number(struct sqlite *s, const char *text, long *answer_out, char *why_out)
{
	char answer[WHY_BYTES];
	enum fault fault = ask_text(s, text, answer, sizeof answer, why_out);

	*answer_out = strtol(answer, NULL, 10);
	return fault;
}

static enum fault must_be(struct sqlite *s, const char *question, const char *wanted, enum fault otherwise, char *why_out)
{
	char answer[WHY_BYTES - 64];
	enum fault fault = ask_text(s, question, answer, sizeof answer, why_out);

	if (fault != FAULT_OK || !strcmp(answer, wanted))
		return fault;
	snprintf(why_out, WHY_BYTES, "%s: %s", question, answer);
	return otherwise;
}

/* locking_mode comes first: with it SQLite keeps the WAL's index in memory and needs no shared file. */
static enum fault set_up(struct sqlite *s, char *why_out)
{
	static const struct {
		const char *question, *wanted;
		enum fault otherwise;
	} settings[] = {
		{ "PRAGMA locking_mode=EXCLUSIVE", "exclusive", FAULT_DATABASE_FAILED },
		{ "PRAGMA journal_mode=WAL", "wal", FAULT_DATABASE_FAILED },
		{ "PRAGMA synchronous=FULL", "", FAULT_DATABASE_FAILED },
		{ "PRAGMA synchronous", "2", FAULT_DATABASE_FAILED },
		{ "PRAGMA foreign_keys=ON", "", FAULT_DATABASE_FAILED },
		{ "PRAGMA foreign_keys", "1", FAULT_DATABASE_FAILED },
		{ "PRAGMA temp_store=MEMORY", "", FAULT_DATABASE_FAILED },
		{ "PRAGMA trusted_schema=OFF", "", FAULT_DATABASE_FAILED },
		{ "PRAGMA secure_delete=ON", "1", FAULT_DATABASE_FAILED },
		{ "PRAGMA quick_check(1)", "ok", FAULT_DATABASE_DAMAGED },
	};
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < sizeof settings / sizeof *settings && fault == FAULT_OK; i++)
		fault = must_be(s, settings[i].question, settings[i].wanted, settings[i].otherwise, why_out);
	return fault;
}

static enum fault migrate_to(struct sqlite *s, const struct sqlite_schema *schema, int number, char *why_out)
{
	char numbers[96], ignored[WHY_BYTES];
	enum fault fault;

	snprintf(numbers, sizeof numbers, "PRAGMA user_version=%d; PRAGMA application_id=%d; COMMIT", number, schema->application_id);
	fault = run_text(s, "BEGIN IMMEDIATE", why_out);
	if (fault == FAULT_OK)
		fault = run_text(s, schema->migrations[number - 1], why_out);
	if (fault == FAULT_OK)
		fault = must_be(s, "PRAGMA foreign_key_check", "", FAULT_DATABASE_DAMAGED, why_out);
	if (fault == FAULT_OK)
		fault = run_text(s, numbers, why_out);
	if (fault != FAULT_OK && run_text(s, "ROLLBACK", ignored) != FAULT_OK)
		return fault;
	return fault;
}

static enum fault migrate(struct sqlite *s, const struct sqlite_schema *schema, char *why_out)
{
	long number = 0, application = 0, tables = 0;
	enum fault fault = ask_number(s, "PRAGMA user_version", &number, why_out);

	if (fault == FAULT_OK)
		fault = ask_number(s, "PRAGMA application_id", &application, why_out);
	if (fault == FAULT_OK)
		fault = ask_number(s, "SELECT count(*) FROM sqlite_schema", &tables, why_out);
	if (fault != FAULT_OK)
		return fault;
	if (tables && application != schema->application_id) {
		snprintf(why_out, WHY_BYTES, "the file belongs to another program (application id %ld)", application);
		return FAULT_DATABASE_FAILED;
	}
	if (number > schema->migration_count) {
		snprintf(why_out, WHY_BYTES, "the database has schema %ld, this version knows schemas up to %d", number,
			 schema->migration_count);
		return FAULT_DATABASE_NEWER;
	}
	for (int next = (int)number + 1; next <= schema->migration_count && fault == FAULT_OK; next++)
		fault = migrate_to(s, schema, next, why_out);
	/* The number then stands in the file itself, where a package that is to be put in this one's place looks. */
	if (fault == FAULT_OK && number < schema->migration_count)
		fault = must_be(s, "PRAGMA wal_checkpoint(TRUNCATE)", "0", FAULT_DATABASE_FAILED, why_out);
	return fault;
}

static enum fault prepare_one(struct sqlite *s, const char *text, sqlite3_stmt **out, char *why_out)
{
	int code = sqlite3_prepare_v3(s->connection, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	return code == SQLITE_OK ? FAULT_OK : failed(s, code, text, why_out);
}

static enum fault prepare(struct sqlite *s, const struct sqlite_schema *schema, char *why_out)
{
	enum fault fault = prepare_one(s, "BEGIN IMMEDIATE", &s->begin, why_out);

	ASSERT(schema->statement_count <= STATEMENTS_MAX);
	if (fault == FAULT_OK)
		fault = prepare_one(s, "COMMIT", &s->commit, why_out);
	if (fault == FAULT_OK)
		fault = prepare_one(s, "ROLLBACK", &s->rollback, why_out);
	for (; s->count < schema->statement_count && fault == FAULT_OK; s->count++)
		fault = prepare_one(s, schema->statements[s->count], &s->statements[s->count], why_out);
	return fault;
}

enum fault sqlite_open(struct sqlite **out, const char *path, const char *vfs, const struct sqlite_schema *schema, char *why_out)
{
	struct sqlite *s = calloc(1, sizeof *s);
	enum fault fault;
	int code;

	if (!s)
		panic("out of memory");
	*why_out = 0;
	code = sqlite3_open_v2(path, &s->connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs);
	fault = code == SQLITE_OK ? FAULT_OK : failed(s, code, path, why_out);
	if (fault == FAULT_OK) {
		sqlite3_extended_result_codes(s->connection, 1);
		sqlite3_db_config(s->connection, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(s->connection, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
		fault = set_up(s, why_out);
	}
	if (fault == FAULT_OK)
		fault = migrate(s, schema, why_out);
	if (fault == FAULT_OK)
		fault = prepare(s, schema, why_out);
	if (fault != FAULT_OK)
		sqlite_close(&s);
	*out = s;
	return fault;
}

void sqlite_close(struct sqlite **sqlite)
{
	struct sqlite *s = *sqlite;

	if (!s)
		return;
	for (size_t i = 0; i < STATEMENTS_MAX; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_finalize(s->begin);
	sqlite3_finalize(s->commit);
	sqlite3_finalize(s->rollback);
	if (sqlite3_close(s->connection) != SQLITE_OK)
		panic("a database was closed while it was asked");
	free(s);
	*sqlite = NULL;
}

static int bind(sqlite3_stmt *statement, int at, const struct sqlite_value *v)
{
	if (v->kind == SQLITE_VALUE_NUMBER)
		return sqlite3_bind_int64(statement, at, v->number);
	if (v->kind == SQLITE_VALUE_TEXT)
		return sqlite3_bind_text64(statement, at, v->bytes.at ? v->bytes.at : "", v->bytes.size, SQLITE_STATIC, SQLITE_UTF8);
	if (!v->bytes.at)
		return sqlite3_bind_null(statement, at);
	return sqlite3_bind_blob64(statement, at, v->bytes.at, v->bytes.size, SQLITE_STATIC);
}

enum fault sqlite_run(struct sqlite *s, size_t number, const struct sqlite_value *values, size_t count, sqlite_each *row, void *self)
{
	struct sqlite_row here;
	int code = SQLITE_OK;

	ASSERT(number < s->count);
	here.statement = s->statements[number];
	ASSERT((int)count == sqlite3_bind_parameter_count(here.statement));
	for (size_t i = 0; i < count && code == SQLITE_OK; i++)
		code = bind(here.statement, (int)i + 1, &values[i]);
	if (code == SQLITE_OK)
		do
			code = sqlite3_step(here.statement);
		while (code == SQLITE_ROW && (!row || row(self, &here)));
	sqlite3_reset(here.statement);
	sqlite3_clear_bindings(here.statement);
	return fault_of(code);
}

int64_t sqlite_number(const struct sqlite_row *row, int column)
{
	return sqlite3_column_int64(row->statement, column);
}

struct span sqlite_text(const struct sqlite_row *row, int column)
{
	const char *at = sqlite3_column_blob(row->statement, column);

	return (struct span){ at ? at : "", at ? (size_t)sqlite3_column_bytes(row->statement, column) : 0 };
}

static enum fault step(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	sqlite3_reset(statement);
	return fault_of(code);
}

enum fault sqlite_begin(struct sqlite *s)
{
	return step(s->begin);
}

enum fault sqlite_end(struct sqlite *s, enum fault fault)
{
	if (fault == FAULT_OK)
		fault = step(s->commit);
	if (fault != FAULT_OK && !sqlite3_get_autocommit(s->connection) && step(s->rollback) != FAULT_OK)
		panic("the database does not take a transaction back");
	return fault;
}

enum fault sqlite_copy(struct sqlite *s, const char *path)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(s->connection, "VACUUM INTO ?", -1, &statement, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return fault_of(code);
}

int64_t sqlite_last_id(const struct sqlite *s)
{
	return sqlite3_last_insert_rowid(s->connection);
}

int64_t sqlite_changed(const struct sqlite *s)
{
	return sqlite3_changes64(s->connection);
}
