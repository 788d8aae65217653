/* store/database.h - the vault's database: its schema, its statements, and how it is opened.
 *
 * Why       Schema and statements are two tables; everything else in this folder only binds and reads.
 * Promise   As store/sqlite.h.
 * Owns      Nothing.
 * Refuses   As store/sqlite.h.
 * See       store/schema/, tables/statements.def */
#pragma once
#include "store/sqlite.h"

enum statement {
#define STATEMENT(name, text) STATEMENT_##name,
#include "tables/statements.def"
#undef STATEMENT
	STATEMENT_COUNT
};

/* Opens the file `path`; see sqlite_open(). */
MUST_CHECK enum fault database_open(struct sqlite **out, const char *path, const char *vfs, char *why_out);

/* The number of the newest schema that this version knows. */
int database_schema_number(void);
