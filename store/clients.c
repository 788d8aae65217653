#include "store/clients.h"

#include "base/panic.h"

#include <stdlib.h>

struct mailboxes {
	uint64_t *ids;
	size_t count;
};

struct each {
	struct sqlite *db;
	bool (*each)(void *self, const struct client_row *);
	void *self;
	struct mailboxes mailboxes;
	enum fault fault;
};

static bool take_mailbox(void *self, const struct sqlite_row *r)
{
	struct mailboxes *m = self;

	m->ids[m->count++] = (uint64_t)sqlite_number(r, 0);
	return m->count < CLIENT_MAILBOXES_MAX;
}

static bool give(void *self, const struct sqlite_row *r)
{
	struct each *e = self;
	struct client_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.organisation = (uint64_t)sqlite_number(r, 1),
		.name = sqlite_text(r, 2),
		.credential = sqlite_text(r, 3),
		.verifier = sqlite_text(r, 4),
		.mailboxes = e->mailboxes.ids,
		.default_mailbox = (uint64_t)sqlite_number(r, 5),
		.senders = sqlite_text(r, 6),
		.networks = sqlite_text(r, 7),
		.listeners = sqlite_text(r, 8),
		.protocols = sqlite_number(r, 9),
		.sender_rule = sqlite_number(r, 10),
		.maps = sqlite_text(r, 11),
		.verdict_wait_ms = sqlite_number(r, 12),
		.enabled = sqlite_number(r, 13) != 0,
		.made_at_ms = sqlite_number(r, 14),
		.used_at_ms = sqlite_number(r, 15),
	};

	e->mailboxes.count = 0;
	e->fault = SQLITE_EACH(e->db, STATEMENT_CLIENT_MAILBOXES, take_mailbox, &e->mailboxes, VALUE_NUMBER(row.id));
	row.mailbox_count = e->mailboxes.count;
	return e->fault == FAULT_OK && e->each(e->self, &row);
}

enum fault clients_each(struct sqlite *db, bool (*each)(void *self, const struct client_row *), void *self)
{
	struct each e = { .db = db, .each = each, .self = self };
	enum fault fault;

	e.mailboxes.ids = calloc(CLIENT_MAILBOXES_MAX, sizeof *e.mailboxes.ids);
	if (!e.mailboxes.ids)
		panic("out of memory");
	fault = SQLITE_EACH(db, STATEMENT_CLIENTS, give, &e);
	free(e.mailboxes.ids);
	return fault == FAULT_OK ? e.fault : fault;
}

static enum fault put_mailboxes(struct sqlite *db, const struct client_row *c, uint64_t id)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_CLIENT_MAILBOXES_REMOVE, VALUE_NUMBER(id));

	for (size_t i = 0; i < c->mailbox_count && fault == FAULT_OK; i++)
		fault = SQLITE_RUN(db, STATEMENT_CLIENT_MAILBOX_ADD, VALUE_NUMBER(id), VALUE_NUMBER(c->mailboxes[i]), VALUE_NUMBER(i));
	return fault;
}

/* Without a password both columns are NULL, since a credential must be unique. */
static struct sqlite_value or_null(struct span value, bool is_text)
{
	if (!value.size)
		return VALUE_BYTES(((struct span){ NULL, 0 }));
	return is_text ? VALUE_TEXT(value) : VALUE_BYTES(value);
}

enum fault clients_add(struct sqlite *db, const struct client_row *c, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_CLIENT_ADD, VALUE_NUMBER(c->organisation), VALUE_TEXT(c->name), or_null(c->credential, true),
				      or_null(c->verifier, false), VALUE_NUMBER(c->default_mailbox), VALUE_TEXT(c->senders),
				      VALUE_TEXT(c->networks), VALUE_TEXT(c->listeners), VALUE_NUMBER(c->protocols),
				      VALUE_NUMBER(c->sender_rule), VALUE_TEXT(c->maps), VALUE_NUMBER(c->verdict_wait_ms),
				      VALUE_NUMBER(c->enabled), VALUE_NUMBER(c->made_at_ms));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault == FAULT_OK ? put_mailboxes(db, c, *id_out) : fault;
}

enum fault clients_set(struct sqlite *db, const struct client_row *c)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_CLIENT_SET, or_null(c->credential, true), or_null(c->verifier, false),
				      VALUE_NUMBER(c->default_mailbox), VALUE_TEXT(c->senders), VALUE_TEXT(c->networks),
				      VALUE_TEXT(c->listeners), VALUE_NUMBER(c->protocols), VALUE_NUMBER(c->sender_rule), VALUE_TEXT(c->maps),
				      VALUE_NUMBER(c->verdict_wait_ms), VALUE_NUMBER(c->enabled), VALUE_NUMBER(c->id));

	return fault == FAULT_OK ? put_mailboxes(db, c, c->id) : fault;
}

enum fault clients_used(struct sqlite *db, uint64_t id, int64_t at_ms)
{
	return SQLITE_RUN(db, STATEMENT_CLIENT_USED, VALUE_NUMBER(at_ms), VALUE_NUMBER(id));
}

enum fault clients_remove(struct sqlite *db, uint64_t id)
{
	return SQLITE_RUN(db, STATEMENT_CLIENT_REMOVE, VALUE_NUMBER(id));
}

enum fault clients_revoke(struct sqlite *db, uint64_t id, int64_t at_ms, int64_t forget_before_ms)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_REVOCATIONS_FORGET, VALUE_NUMBER(forget_before_ms));

	return fault == FAULT_OK ? SQLITE_RUN(db, STATEMENT_REVOCATION_PUT, VALUE_NUMBER(id), VALUE_NUMBER(at_ms)) : fault;
}

struct each_revoked {
	void (*each)(void *self, uint64_t id, int64_t at_ms);
	void *self;
};

static bool give_revoked(void *self, const struct sqlite_row *r)
{
	const struct each_revoked *e = self;

	e->each(e->self, (uint64_t)sqlite_number(r, 0), sqlite_number(r, 1));
	return true;
}

enum fault clients_each_revoked(struct sqlite *db, void (*each)(void *self, uint64_t id, int64_t at_ms), void *self)
{
	struct each_revoked e = { each, self };

	return SQLITE_EACH(db, STATEMENT_REVOCATIONS, give_revoked, &e);
}

enum fault clients_end_credential(struct sqlite *db, const struct client_row *c, int64_t at_ms)
{
	if (!c->credential.size)
		return FAULT_OK;
	return SQLITE_RUN(db, STATEMENT_ENDED_CREDENTIAL_PUT, VALUE_TEXT(c->credential), VALUE_NUMBER(c->id), VALUE_TEXT(c->name),
			  VALUE_NUMBER(at_ms));
}

struct each_ended {
	void (*each)(void *self, struct span credential, uint64_t client, struct span name);
	void *self;
};

static bool give_ended(void *self, const struct sqlite_row *r)
{
	const struct each_ended *e = self;

	e->each(e->self, sqlite_text(r, 0), (uint64_t)sqlite_number(r, 1), sqlite_text(r, 2));
	return true;
}

enum fault clients_each_ended(struct sqlite *db, int64_t most,
			      void (*each)(void *self, struct span credential, uint64_t client, struct span name), void *self)
{
	struct each_ended e = { each, self };

	return SQLITE_EACH(db, STATEMENT_ENDED_CREDENTIALS, give_ended, &e, VALUE_NUMBER(most));
}
