#include "store/links.h"

struct each {
	bool (*each)(void *self, const struct link_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct link_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.digest = sqlite_text(r, 1),
		.mailbox = (uint64_t)sqlite_number(r, 2),
		.actor = sqlite_text(r, 3),
		.expires_at_ms = sqlite_number(r, 4),
		.browser = sqlite_text(r, 5),
		.state = sqlite_text(r, 6),
		.nonce = sqlite_text(r, 7),
		.spent = sqlite_number(r, 8) != 0,
	};

	return e->each(e->self, &row);
}

enum fault links_each(struct sqlite *db, bool (*each)(void *self, const struct link_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_LINKS, give, &e);
}

enum fault links_add(struct sqlite *db, const struct link_row *l, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_LINK_ADD, VALUE_BYTES(l->digest), VALUE_NUMBER(l->mailbox), VALUE_TEXT(l->actor),
				      VALUE_NUMBER(l->expires_at_ms));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault;
}

enum fault links_press(struct sqlite *db, const struct link_row *l)
{
	return SQLITE_RUN(db, STATEMENT_LINK_PRESS, VALUE_BYTES(l->browser), VALUE_BYTES(l->state), VALUE_TEXT(l->nonce), VALUE_NUMBER(l->id));
}

enum fault links_spend(struct sqlite *db, uint64_t id)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_LINK_SPEND, VALUE_NUMBER(id));

	return fault == FAULT_OK && sqlite_changed(db) != 1 ? FAULT_LINK_SPENT : fault;
}

enum fault links_forget(struct sqlite *db, int64_t before_ms)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_LINK_SECRETS_FORGET, VALUE_NUMBER(before_ms));

	return fault == FAULT_OK ? SQLITE_RUN(db, STATEMENT_LINKS_FORGET, VALUE_NUMBER(before_ms)) : fault;
}
