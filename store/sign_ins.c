#include "store/sign_ins.h"

struct each {
	bool (*each)(void *self, const struct sign_in_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct sign_in_row row = {
		.mailbox = (uint64_t)sqlite_number(r, 0),
		.tenant = sqlite_text(r, 1),
		.object = sqlite_text(r, 2),
		.account = sqlite_text(r, 3),
		.generation = (uint64_t)sqlite_number(r, 4),
		.fault = sqlite_text(r, 5),
		.why = sqlite_text(r, 6),
		.linked_at_ms = sqlite_number(r, 7),
		.refreshed_at_ms = sqlite_number(r, 8),
		.expires_at_ms = sqlite_number(r, 9),
		.lasts_ms = sqlite_number(r, 10),
		.ends_at_ms = sqlite_number(r, 11),
	};

	return e->each(e->self, &row);
}

enum fault sign_ins_each(struct sqlite *db, bool (*each)(void *self, const struct sign_in_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_SIGN_INS, give, &e);
}

enum fault sign_ins_put(struct sqlite *db, const struct sign_in_row *s)
{
	return SQLITE_RUN(db, STATEMENT_SIGN_IN_PUT, VALUE_NUMBER(s->mailbox), VALUE_TEXT(s->tenant), VALUE_TEXT(s->object), VALUE_TEXT(s->account),
			  VALUE_NUMBER(s->generation), VALUE_TEXT(s->fault), VALUE_TEXT(s->why), VALUE_NUMBER(s->linked_at_ms),
			  VALUE_NUMBER(s->refreshed_at_ms), VALUE_NUMBER(s->expires_at_ms), VALUE_NUMBER(s->lasts_ms),
			  VALUE_NUMBER(s->ends_at_ms));
}

enum fault sign_ins_remove(struct sqlite *db, uint64_t mailbox)
{
	return SQLITE_RUN(db, STATEMENT_SIGN_IN_REMOVE, VALUE_NUMBER(mailbox));
}
