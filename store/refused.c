#include "store/refused.h"

struct each {
	bool (*each)(void *self, const struct refused_row *);
	void *self;
};

enum fault refused_add(struct sqlite *db, const struct refused_row *r)
{
	return SQLITE_RUN(db, STATEMENT_REFUSED_ADD, VALUE_NUMBER(r->at_ms), VALUE_TEXT(r->fault), VALUE_NUMBER(r->client), VALUE_TEXT(r->name),
			  VALUE_NUMBER(r->organisation), VALUE_TEXT(r->listener), VALUE_TEXT(r->remote), VALUE_TEXT(r->user), VALUE_TEXT(r->sender),
			  VALUE_TEXT(r->recipient), VALUE_NUMBER(r->times));
}

enum fault refused_forget(struct sqlite *db)
{
	return SQLITE_RUN(db, STATEMENT_REFUSED_FORGET, VALUE_NUMBER(REFUSED_ROWS_MAX));
}

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct refused_row row = {
		.at_ms = sqlite_number(r, 0),
		.fault = sqlite_text(r, 1),
		.client = (uint64_t)sqlite_number(r, 2),
		.name = sqlite_text(r, 3),
		.organisation = (uint64_t)sqlite_number(r, 4),
		.listener = sqlite_text(r, 5),
		.remote = sqlite_text(r, 6),
		.user = sqlite_text(r, 7),
		.sender = sqlite_text(r, 8),
		.recipient = sqlite_text(r, 9),
		.times = sqlite_number(r, 10),
	};

	return e->each(e->self, &row);
}

enum fault refused_each(struct sqlite *db, struct span client, uint64_t organisation, int64_t limit,
			bool (*each)(void *self, const struct refused_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_REFUSED, give, &e, VALUE_TEXT(client), VALUE_NUMBER(organisation), VALUE_NUMBER(limit));
}
