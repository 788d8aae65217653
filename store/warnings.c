#include "store/warnings.h"

struct each {
	bool (*each)(void *self, const struct warning_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct warning_row row = { .what = sqlite_text(r, 0), .object = sqlite_text(r, 1), .stage = sqlite_number(r, 2) };

	return e->each(e->self, &row);
}

enum fault warnings_each(struct sqlite *db, bool (*each)(void *self, const struct warning_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_WARNINGS, give, &e);
}

enum fault warnings_put(struct sqlite *db, const struct warning_row *w)
{
	return SQLITE_RUN(db, STATEMENT_WARNING_PUT, VALUE_TEXT(w->what), VALUE_TEXT(w->object), VALUE_NUMBER(w->stage));
}

enum fault warnings_remove(struct sqlite *db, const struct warning_row *w)
{
	return SQLITE_RUN(db, STATEMENT_WARNING_REMOVE, VALUE_TEXT(w->what), VALUE_TEXT(w->object));
}
