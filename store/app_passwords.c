#include "store/app_passwords.h"

struct each {
	bool (*each)(void *self, const struct app_password_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct app_password_row row = {
		.mailbox = (uint64_t)sqlite_number(r, 0),
		.user = sqlite_text(r, 1),
		.actor = sqlite_text(r, 2),
		.made_at_ms = sqlite_number(r, 3),
	};

	return e->each(e->self, &row);
}

enum fault app_passwords_each(struct sqlite *db, bool (*each)(void *self, const struct app_password_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_APP_PASSWORDS, give, &e);
}

enum fault app_passwords_put(struct sqlite *db, const struct app_password_row *row)
{
	return SQLITE_RUN(db, STATEMENT_APP_PASSWORD_PUT, VALUE_NUMBER(row->mailbox), VALUE_TEXT(row->user), VALUE_TEXT(row->actor),
			  VALUE_NUMBER(row->made_at_ms));
}

enum fault app_passwords_remove(struct sqlite *db, uint64_t mailbox)
{
	return SQLITE_RUN(db, STATEMENT_APP_PASSWORD_REMOVE, VALUE_NUMBER(mailbox));
}
