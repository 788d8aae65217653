#include "store/database.h"

static const char *const migrations[] = {
#include "store/schema/001.def"
	,
#include "store/schema/002.def"
};

static const char *const statements[] = {
#define STATEMENT(name, text) text,
#include "tables/statements.def"
#undef STATEMENT
};

/* "Pstv" */
static const struct sqlite_schema schema = { 0x50737476, migrations, sizeof migrations / sizeof *migrations, statements, STATEMENT_COUNT };

enum fault database_open(struct sqlite **out, const char *path, const char *vfs, char *why_out)
{
	return sqlite_open(out, path, vfs, &schema, why_out);
}

int database_schema_number(void)
{
	return schema.migration_count;
}
