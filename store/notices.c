#include "store/notices.h"

struct each {
	bool (*notice)(void *self, const struct notice_row *);
	bool (*trouble)(void *self, const struct trouble_row *);
	void *self;
};

static bool give_notice(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct notice_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.organisation = (uint64_t)sqlite_number(r, 1),
		.kind = sqlite_number(r, 2),
		.language = sqlite_number(r, 3) == LANGUAGE_FR ? LANGUAGE_FR : LANGUAGE_EN,
		.recipients = sqlite_text(r, 4),
		.text = sqlite_text(r, 5),
		.made_at_ms = sqlite_number(r, 6),
	};

	return e->notice(e->self, &row);
}

enum fault notices_each(struct sqlite *db, bool (*each)(void *self, const struct notice_row *), void *self)
{
	struct each e = { .notice = each, .self = self };

	return SQLITE_EACH(db, STATEMENT_NOTICES, give_notice, &e);
}

enum fault notices_add(struct sqlite *db, const struct notice_row *n, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_NOTICE_ADD, VALUE_NUMBER(n->organisation), VALUE_NUMBER(n->kind), VALUE_NUMBER(n->language),
				      VALUE_TEXT(n->recipients), VALUE_TEXT(n->text), VALUE_NUMBER(n->made_at_ms));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault;
}

enum fault notices_remove(struct sqlite *db, uint64_t id)
{
	return SQLITE_RUN(db, STATEMENT_NOTICE_REMOVE, VALUE_NUMBER(id));
}

static bool give_trouble(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct trouble_row row = {
		.mailbox = (uint64_t)sqlite_number(r, 0),
		.tenant = sqlite_text(r, 1),
		.fault = sqlite_text(r, 2),
		.since_ms = sqlite_number(r, 3),
	};

	return e->trouble(e->self, &row);
}

enum fault troubles_each(struct sqlite *db, bool (*each)(void *self, const struct trouble_row *), void *self)
{
	struct each e = { .trouble = each, .self = self };

	return SQLITE_EACH(db, STATEMENT_TROUBLES, give_trouble, &e);
}

enum fault troubles_put(struct sqlite *db, const struct trouble_row *t)
{
	return SQLITE_RUN(db, STATEMENT_TROUBLE_PUT, VALUE_NUMBER(t->mailbox), VALUE_TEXT(t->tenant), VALUE_TEXT(t->fault), VALUE_NUMBER(t->since_ms));
}

enum fault troubles_remove(struct sqlite *db, uint64_t mailbox, struct span tenant)
{
	return SQLITE_RUN(db, STATEMENT_TROUBLE_REMOVE, VALUE_NUMBER(mailbox), VALUE_TEXT(tenant));
}
