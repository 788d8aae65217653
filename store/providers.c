#include "store/providers.h"

struct each {
	bool (*each)(void *self, const struct provider_row *);
	void *self;
};

static bool give(void *self, const struct sqlite_row *r)
{
	const struct each *e = self;
	struct provider_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.organisation = (uint64_t)sqlite_number(r, 1),
		.name = sqlite_text(r, 2),
		.kind = sqlite_text(r, 3),
		.tenant = sqlite_text(r, 4),
		.client_id = sqlite_text(r, 5),
		.issuer = sqlite_text(r, 6),
		.scopes = sqlite_text(r, 7),
		.smtp_host = sqlite_text(r, 8),
		.smtp_port = sqlite_number(r, 9),
		.smtp_tls = sqlite_number(r, 10),
		.mechanism = sqlite_number(r, 11),
		.access = sqlite_number(r, 12),
		.secret_ends_at_ms = sqlite_number(r, 13),
		.source = sqlite_text(r, 14),
		.certificate = sqlite_text(r, 15),
		.seen_address = sqlite_text(r, 16),
		.registered_address = sqlite_text(r, 17),
		.address_changed_at_ms = sqlite_number(r, 18),
		.messages_per_minute = sqlite_number(r, 19),
		.recipients_per_day = sqlite_number(r, 20),
		.connections = sqlite_number(r, 21),
	};

	return e->each(e->self, &row);
}

enum fault providers_each(struct sqlite *db, bool (*each)(void *self, const struct provider_row *), void *self)
{
	struct each e = { each, self };

	return SQLITE_EACH(db, STATEMENT_PROVIDERS, give, &e);
}

enum fault providers_add(struct sqlite *db, const struct provider_row *p, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_PROVIDER_ADD, VALUE_NUMBER(p->organisation), VALUE_TEXT(p->name), VALUE_TEXT(p->kind),
				      VALUE_TEXT(p->tenant), VALUE_TEXT(p->client_id), VALUE_TEXT(p->issuer), VALUE_TEXT(p->scopes),
				      VALUE_TEXT(p->smtp_host), VALUE_NUMBER(p->smtp_port), VALUE_NUMBER(p->smtp_tls), VALUE_NUMBER(p->mechanism),
				      VALUE_NUMBER(p->access), VALUE_NUMBER(p->secret_ends_at_ms), VALUE_TEXT(p->source), VALUE_TEXT(p->certificate),
				      VALUE_TEXT(p->registered_address), VALUE_NUMBER(p->messages_per_minute), VALUE_NUMBER(p->recipients_per_day),
				      VALUE_NUMBER(p->connections));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault;
}

enum fault providers_set(struct sqlite *db, const struct provider_row *p)
{
	return SQLITE_RUN(db, STATEMENT_PROVIDER_SET, VALUE_TEXT(p->tenant), VALUE_TEXT(p->client_id), VALUE_TEXT(p->issuer),
			  VALUE_TEXT(p->scopes), VALUE_TEXT(p->smtp_host), VALUE_NUMBER(p->smtp_port), VALUE_NUMBER(p->smtp_tls),
			  VALUE_NUMBER(p->mechanism), VALUE_NUMBER(p->access), VALUE_NUMBER(p->secret_ends_at_ms), VALUE_TEXT(p->source),
			  VALUE_TEXT(p->certificate), VALUE_TEXT(p->registered_address), VALUE_NUMBER(p->messages_per_minute),
			  VALUE_NUMBER(p->recipients_per_day), VALUE_NUMBER(p->connections), VALUE_NUMBER(p->id));
}

enum fault providers_see(struct sqlite *db, const struct provider_row *p)
{
	return SQLITE_RUN(db, STATEMENT_PROVIDER_SEEN, VALUE_TEXT(p->seen_address), VALUE_TEXT(p->registered_address),
			  VALUE_NUMBER(p->address_changed_at_ms), VALUE_NUMBER(p->id));
}

enum fault providers_remove(struct sqlite *db, uint64_t id)
{
	return SQLITE_RUN(db, STATEMENT_PROVIDER_REMOVE, VALUE_NUMBER(id));
}
