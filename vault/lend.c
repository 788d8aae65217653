#include "vault/inner.h"

struct lending {
	struct lend_wish wish;
	lend_given *give;
	struct change *change;
	struct span sealed;
	uint64_t key;
};

static void keep(void *self, const struct secret_row *row)
{
	struct lending *l = self;

	l->key = row->key;
	l->sealed = arena_copy(l->change->arena, row->sealed);
}

static enum fault fetch(struct change *c, struct sqlite *db)
{
	struct lending *l = c->data;

	return secrets_get(db, l->wish.subject, l->wish.row, l->wish.name, keep, l);
}

static void fetched(struct change *c)
{
	const struct lending *l = c->data;
	struct vault *v = c->vault;
	enum fault fault = c->fault != FAULT_OK ? c->fault : l->sealed.size ? FAULT_OK : l->wish.missing;
	struct buf text;

	buf_init(&text, KEYRING_SEALED_BYTES_MAX);
	if (fault == FAULT_OK) {
		fault = keyring_unseal(v->keys, &text, &(struct secret_row){ l->wish.subject, l->wish.row, l->wish.name, l->key, l->sealed });
		if (fault != FAULT_OK)
			TRAIL(&v->trail, EVENT_SECRET_SHUT, TRAIL_TEXT("what", l->wish.name));
	}
	l->give(v, &l->wish, fault, buf_span(&text));
	buf_wipe(&text);
}

void lend_secret(struct vault *v, const struct lend_wish *wish, lend_given *give)
{
	struct change *c = change_new(v, fetch, fetched, sizeof(struct lending));
	struct lending *l = c->data;

	*l = (struct lending){ .wish = *wish, .give = give, .change = c };
	change_run_take(c);
}
