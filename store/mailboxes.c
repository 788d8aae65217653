#include "store/mailboxes.h"

struct each {
	bool (*each)(void *self, const struct mailbox_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct mailbox_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.organisation = (uint64_t)sqlite_number(r, 1),
		.provider = (uint64_t)sqlite_number(r, 2),
		.address = sqlite_text(r, 3),
		.name = sqlite_text(r, 4),
		.aliases = sqlite_text(r, 5),
		.owner = sqlite_text(r, 6),
		.language = sqlite_number(r, 7) == LANGUAGE_FR ? LANGUAGE_FR : LANGUAGE_EN,
		.enabled = sqlite_number(r, 8) != 0,
		.ways = sqlite_text(r, 9),
		.delegate = (uint64_t)sqlite_number(r, 10),
	};

	return e->each(e->self, &row);
}

enum fault mailboxes_each(struct sqlite *db, bool (*each)(void *self, const struct mailbox_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_MAILBOXES, give, &e);
}

enum fault mailboxes_add(struct sqlite *db, const struct mailbox_row *m, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_MAILBOX_ADD, VALUE_NUMBER(m->organisation), VALUE_NUMBER(m->provider), VALUE_TEXT(m->address),
				      VALUE_TEXT(m->name), VALUE_TEXT(m->aliases), VALUE_TEXT(m->owner), VALUE_NUMBER(m->language),
				      VALUE_NUMBER(m->enabled), VALUE_TEXT(m->ways), VALUE_NUMBER(m->delegate));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault;
}

enum fault mailboxes_set(struct sqlite *db, const struct mailbox_row *m)
{
	return SQLITE_RUN(db, STATEMENT_MAILBOX_SET, VALUE_NUMBER(m->provider), VALUE_TEXT(m->name), VALUE_TEXT(m->aliases), VALUE_TEXT(m->owner),
			  VALUE_NUMBER(m->language), VALUE_NUMBER(m->enabled), VALUE_TEXT(m->ways), VALUE_NUMBER(m->delegate), VALUE_NUMBER(m->id));
}

enum fault mailboxes_remove(struct sqlite *db, uint64_t id)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_MAILBOX_NOT_NOTICE, VALUE_NUMBER(id));

	if (fault == FAULT_OK)
		fault = SQLITE_RUN(db, STATEMENT_MAILBOX_NOT_PRESET, VALUE_NUMBER(id));
	if (fault == FAULT_OK)
		fault = SQLITE_RUN(db, STATEMENT_MAILBOX_NOT_DELEGATE, VALUE_NUMBER(id));
	return fault == FAULT_OK ? SQLITE_RUN(db, STATEMENT_MAILBOX_REMOVE, VALUE_NUMBER(id)) : fault;
}
