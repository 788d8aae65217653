#include "store/secrets.h"

struct each {
	void (*each)(void *self, const struct secret_row *);
	void *self;
	struct secret_row row;
};

enum fault secrets_put(struct sqlite *db, const struct secret_row *s)
{
	return SQLITE_RUN(db, STATEMENT_SECRET_PUT, VALUE_TEXT(s->subject), VALUE_NUMBER(s->row), VALUE_TEXT(s->name), VALUE_NUMBER(s->key),
			  VALUE_BYTES(s->sealed));
}

static bool give_one(void *self, const struct sqlite_row *r)
{
	struct each *e = self;

	e->row.key = (uint64_t)sqlite_number(r, 0);
	e->row.sealed = sqlite_text(r, 1);
	e->each(e->self, &e->row);
	return false;
}

enum fault secrets_get(struct sqlite *db, struct span subject, uint64_t row, struct span name,
		       void (*each)(void *self, const struct secret_row *), void *self)
{
	struct each e = { each, self, { .subject = subject, .row = row, .name = name } };

	return SQLITE_EACH(db, STATEMENT_SECRET_GET, give_one, &e, VALUE_TEXT(subject), VALUE_NUMBER(row), VALUE_TEXT(name));
}

enum fault secrets_reseal(struct sqlite *db, const struct secret_row *s, struct span before)
{
	return SQLITE_RUN(db, STATEMENT_SECRET_RESEAL, VALUE_NUMBER(s->key), VALUE_BYTES(s->sealed), VALUE_TEXT(s->subject), VALUE_NUMBER(s->row),
			  VALUE_TEXT(s->name), VALUE_BYTES(before));
}

enum fault secrets_remove(struct sqlite *db, struct span subject, uint64_t row, struct span name)
{
	return SQLITE_RUN(db, STATEMENT_SECRET_REMOVE, VALUE_TEXT(subject), VALUE_NUMBER(row), VALUE_TEXT(name));
}

enum fault secrets_remove_all(struct sqlite *db, struct span subject, uint64_t row)
{
	return SQLITE_RUN(db, STATEMENT_SECRETS_REMOVE, VALUE_TEXT(subject), VALUE_NUMBER(row));
}

static bool give(void *self, const struct sqlite_row *r)
{
	struct each *e = self;
	struct secret_row row = {
		.subject = sqlite_text(r, 0),
		.row = (uint64_t)sqlite_number(r, 1),
		.name = sqlite_text(r, 2),
		.key = (uint64_t)sqlite_number(r, 3),
		.sealed = sqlite_text(r, 4),
	};

	e->each(e->self, &row);
	return true;
}

enum fault secrets_each_old(struct sqlite *db, uint64_t key, int64_t limit, void (*each)(void *self, const struct secret_row *), void *self)
{
	struct each e = { .each = each, .self = self };

	return SQLITE_EACH(db, STATEMENT_SECRETS_OLD, give, &e, VALUE_NUMBER(key), VALUE_NUMBER(limit));
}

struct each_key {
	bool (*each)(void *self, const struct key_row *);
	void *self;
};

static bool give_key(void *self, const struct sqlite_row *r)
{
	const struct each_key *e = self;
	int64_t state = sqlite_number(r, 3);
	struct key_row row = {
		.id = (uint64_t)sqlite_number(r, 0),
		.root = (uint64_t)sqlite_number(r, 1),
		.sealed = sqlite_text(r, 2),
		.state = state == KEY_CURRENT || state == KEY_RETIRING ? (enum key_state)state : KEY_ENDED,
		.made_at_ms = sqlite_number(r, 4),
		.ended_at_ms = sqlite_number(r, 5),
		.secret_count = sqlite_number(r, 6),
	};

	return e->each(e->self, &row);
}

enum fault keys_each(struct sqlite *db, bool (*each)(void *self, const struct key_row *), void *self)
{
	struct each_key e = { each, self };

	return SQLITE_EACH(db, STATEMENT_KEYS, give_key, &e);
}

enum fault keys_add(struct sqlite *db, int64_t at_ms, uint64_t *id_out)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_KEY_ADD, VALUE_NUMBER(KEY_CURRENT), VALUE_NUMBER(at_ms));

	*id_out = (uint64_t)sqlite_last_id(db);
	return fault;
}

enum fault keys_seal(struct sqlite *db, uint64_t id, uint64_t root, struct span sealed)
{
	return SQLITE_RUN(db, STATEMENT_KEY_SEAL, VALUE_NUMBER(root), VALUE_BYTES(sealed), VALUE_NUMBER(id));
}

enum fault keys_age(struct sqlite *db, uint64_t but_id)
{
	return SQLITE_RUN(db, STATEMENT_KEYS_AGE, VALUE_NUMBER(KEY_RETIRING), VALUE_NUMBER(KEY_CURRENT), VALUE_NUMBER(but_id));
}

enum fault keys_end(struct sqlite *db, uint64_t id, int64_t at_ms)
{
	enum fault fault = SQLITE_RUN(db, STATEMENT_KEY_END, VALUE_NUMBER(KEY_ENDED), VALUE_NUMBER(at_ms), VALUE_NUMBER(id));

	return fault == FAULT_OK && sqlite_changed(db) != 1 ? FAULT_IN_USE : fault;
}
