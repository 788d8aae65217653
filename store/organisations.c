#include "store/organisations.h"

struct each {
	bool (*each)(void *self, const struct organisation_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct organisation_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.name = sqlite_text(r, 1),
		.title = sqlite_text(r, 2),
		.language = sqlite_number(r, 3) == LANGUAGE_FR ? LANGUAGE_FR : LANGUAGE_EN,
		.notice_mailbox = (uint64_t)sqlite_number(r, 4),
		.ways = sqlite_text(r, 5),
		.admins = sqlite_text(r, 6),
	};

	return e->each(e->self, &row);
}

enum fault organisations_each(struct sqlite *db, bool (*each)(void *self, const struct organisation_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_ORGANISATIONS, give, &e);
}

enum fault organisations_add(struct sqlite *db, const struct organisation_row *o, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_ORGANISATION_ADD, VALUE_TEXT(o->name), VALUE_TEXT(o->title), VALUE_NUMBER(o->language),
				      VALUE_NUMBER(o->notice_mailbox), VALUE_TEXT(o->ways), VALUE_TEXT(o->admins));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault;
}

enum fault organisations_set(struct sqlite *db, const struct organisation_row *o)
{
	return SQLITE_RUN(db, STATEMENT_ORGANISATION_SET, VALUE_TEXT(o->title), VALUE_NUMBER(o->language), VALUE_NUMBER(o->notice_mailbox),
			  VALUE_TEXT(o->ways), VALUE_TEXT(o->admins), VALUE_NUMBER(o->id));
}

enum fault organisations_remove(struct sqlite *db, uint64_t id)
{
	return SQLITE_RUN(db, STATEMENT_ORGANISATION_REMOVE, VALUE_NUMBER(id));
}
