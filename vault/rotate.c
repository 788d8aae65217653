#include "vault/inner.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/seal.h"
#include "base/text.h"

#include <stdlib.h>

/* A rotation: a new key is made and stored; every secret is resealed under it, some at a time; every post rewraps its segments; then the keys before
 * it end. Each step starts from what the database says, so that a death at any point costs nothing but time. */

enum { BATCH_ROWS = 64, AGAIN_MS = 60 * 1000, SOON_MS = 2 * 1000, POSTS_MAX = 64 };

struct rotation {
	struct vault *vault;
	struct timer timer;
	bool is_resealing, is_resealed, is_ending;
	bool is_rewrapped[POSTS_MAX]; /* by post, for the current key */
};

static void reseal(struct rotation *);

static void say_to_posts(struct rotation *r)
{
	vault_tell(r->vault, ROLE_POST, &MESSAGE_OF(segment_rotate, .key_id = (uint32_t)keyring_current(r->vault->keys)));
}

/* Whatever a failed step left undone is begun again. */
static void again(void *self)
{
	struct rotation *r = self;

	if (!keyring_retiring(r->vault->keys, 0))
		return;
	say_to_posts(r);
	reseal(r);
	timer_after(&r->timer, AGAIN_MS);
}

/* --- the end of a key */

struct ending {
	size_t count;
	uint64_t ids[KEYRING_KEYS_MAX];
};

static enum fault end_keys(struct change *c, struct sqlite *db)
{
	const struct ending *e = c->data;
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < e->count && fault == FAULT_OK; i++)
		fault = keys_end(db, e->ids[i], clock_wall_ms());
	return fault;
}

static void keys_ended(struct change *c)
{
	const struct ending *e = c->data;
	struct vault *v = c->vault;

	v->rotation->is_ending = false;
	/* Something was sealed under an old key meanwhile, by a change that was on its way: once more. */
	if (c->fault == FAULT_IN_USE) {
		v->rotation->is_resealed = false;
		reseal(v->rotation);
	}
	if (c->fault != FAULT_OK)
		return;
	for (size_t i = 0; i < e->count; i++) {
		keyring_end(v->keys, e->ids[i]);
		TRAIL(&v->trail, EVENT_KEY_ENDED, TRAIL_NUMBER("id", e->ids[i]));
	}
	if (!keyring_retiring(v->keys, 0))
		timer_stop(&v->rotation->timer);
}

static bool are_posts_done(const struct rotation *r)
{
	const struct vault *v = r->vault;

	if (!r->is_rewrapped[0])
		return false;
	for (size_t i = 0; i < v->peer_count; i++)
		if (v->peers[i]->role == ROLE_POST && !r->is_rewrapped[v->peers[i]->index % POSTS_MAX])
			return false;
	return true;
}

static void end_if_done(struct rotation *r)
{
	struct change *c;
	struct ending *e;
	uint64_t id = 0;

	if (!r->is_resealed || r->is_ending || !are_posts_done(r) || !keyring_retiring(r->vault->keys, 0))
		return;
	r->is_ending = true;
	c = change_new(r->vault, end_keys, keys_ended, sizeof *e);
	e = c->data;
	while ((id = keyring_retiring(r->vault->keys, id)))
		e->ids[e->count++] = id;
	change_run_take(c);
}

/* --- secrets, some at a time: read on the store's thread, resealed here, written there unless they changed meanwhile */

struct batch {
	struct change *change;
	uint64_t current;
	size_t count;
	struct secret_row old[BATCH_ROWS], fresh[BATCH_ROWS];
};

static void copy_row(void *self, const struct secret_row *row)
{
	struct batch *b = self;
	struct secret_row *to = &b->old[b->count++];

	*to = (struct secret_row){ arena_copy(b->change->arena, row->subject), row->row, arena_copy(b->change->arena, row->name), row->key,
				   arena_copy(b->change->arena, row->sealed) };
}

static enum fault read_batch(struct change *c, struct sqlite *db)
{
	struct batch *b = c->data;

	return secrets_each_old(db, b->current, BATCH_ROWS, copy_row, b);
}

static enum fault write_batch(struct change *c, struct sqlite *db)
{
	const struct batch *b = c->data;
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < b->count && fault == FAULT_OK; i++)
		fault = secrets_reseal(db, &b->fresh[i], b->old[i].sealed);
	return fault;
}

static void batch_written(struct change *c)
{
	struct rotation *r = c->vault->rotation;

	r->is_resealing = false;
	if (c->fault == FAULT_OK)
		reseal(r);
}

static bool reseal_row(struct change *c, const struct secret_row *old, struct secret_row *fresh_out)
{
	struct buf text;
	bool good;

	buf_init(&text, KEYRING_SEALED_BYTES_MAX);
	good = keyring_unseal(c->vault->keys, &text, old) == FAULT_OK;
	if (good)
		*fresh_out = change_seal(c, old->subject, old->row, old->name, buf_span(&text));
	else
		TRAIL(&c->vault->trail, EVENT_SECRET_SHUT, TRAIL_TEXT("what", old->name));
	buf_wipe(&text);
	return good;
}

static void batch_read(struct change *c)
{
	struct rotation *r = c->vault->rotation;
	const struct batch *b = c->data;
	struct change *next;
	struct batch *to;

	r->is_resealing = false;
	if (c->fault != FAULT_OK)
		return;
	if (!b->count) {
		r->is_resealed = true;
		end_if_done(r);
		return;
	}
	next = change_new(c->vault, write_batch, batch_written, sizeof *to);
	to = next->data;
	to->change = next;
	for (size_t i = 0; i < b->count; i++) {
		to->old[to->count] = b->old[i];
		to->old[to->count].sealed = arena_copy(next->arena, b->old[i].sealed);
		to->count += reseal_row(next, &b->old[i], &to->fresh[to->count]);
	}
	/* One that does not open would be read again for ever: its key stays, and the log says so. */
	if (to->count < b->count) {
		change_drop(&next);
		return;
	}
	r->is_resealing = true;
	change_run_take(next);
}

static void reseal(struct rotation *r)
{
	struct change *c;
	struct batch *b;

	if (r->is_resealing || r->is_resealed) {
		end_if_done(r);
		return;
	}
	r->is_resealing = true;
	c = change_new(r->vault, read_batch, batch_read, sizeof *b);
	b = c->data;
	b->change = c;
	b->current = keyring_current(r->vault->keys);
	change_run_take(c);
}

void rotate_start(struct vault *v)
{
	struct rotation *r = calloc(1, sizeof *r);

	if (!r)
		panic("out of memory");
	r->vault = v;
	timer_init(&r->timer, v->loop, again, r);
	v->rotation = r;
	if (keyring_retiring(v->keys, 0))
		timer_after(&r->timer, 0);
}

void rotate_free(struct vault *v)
{
	if (v->rotation)
		timer_stop(&v->rotation->timer);
	free(v->rotation);
	v->rotation = NULL;
}

void rotate_post_came(struct vault *v, const struct vault_peer *peer)
{
	if (!keyring_retiring(v->keys, 0))
		return;
	v->rotation->is_rewrapped[peer->index % POSTS_MAX] = false;
	link_send(peer->link, &MESSAGE_OF(segment_rotate, .key_id = (uint32_t)keyring_current(v->keys)));
}

void rotate_post_done(struct vault *v, const struct vault_peer *peer, const struct message_segment_rotated *m)
{
	/* It was still busy with the key before, and may have missed this one. */
	if (m->key_id != (uint32_t)keyring_current(v->keys)) {
		rotate_post_came(v, peer);
		return;
	}
	if (m->fault != FAULT_OK) {
		TRAIL(&v->trail, EVENT_KEY_WAITS, TRAIL_NUMBER("id", m->key_id),
		      TRAIL_TEXT("fault", span_of(fault_row((enum fault)(m->fault % FAULT_COUNT))->name)));
		timer_after(&v->rotation->timer, SOON_MS);
		return;
	}
	v->rotation->is_rewrapped[peer->index % POSTS_MAX] = true;
	end_if_done(v->rotation);
}

/* --- postern key rotate, postern key list */

struct making {
	struct asker asker;
	struct secret *key;
	uint64_t id;
};

static enum fault store_key(struct change *c, struct sqlite *db)
{
	struct making *m = c->data;
	struct keyring *keys = c->vault->keys;
	char memory[SEAL_KEY_BYTES + SEAL_OVER_BYTES];
	struct buf sealed;
	enum fault fault = keys_add(db, clock_wall_ms(), &m->id);

	buf_over(&sealed, memory, sizeof memory);
	/* The root keys never change while the vault runs, so that this thread may use them. */
	if (fault == FAULT_OK && !keyring_seal_key(keys, &sealed, m->id, secret_borrow(m->key)))
		fault = FAULT_BUG;
	if (fault == FAULT_OK)
		fault = keys_seal(db, m->id, keyring_root(keys), buf_span(&sealed));
	return fault == FAULT_OK ? keys_age(db, m->id) : fault;
}

static void key_stored(struct change *c)
{
	struct making *m = c->data;
	struct vault *v = c->vault;
	struct rotation *r = v->rotation;
	json_t *result;

	if (c->fault != FAULT_OK) {
		secret_free(&m->key);
		asker_answer(v, &m->asker, c->fault, SPAN(""), NULL);
		return;
	}
	keyring_add_take(v->keys, m->id, m->key);
	TRAIL(&v->trail, EVENT_KEY_MADE, TRAIL_NUMBER("id", m->id), TRAIL_TEXT("actor", span_of(m->asker.actor)));
	for (size_t i = 0; i < POSTS_MAX; i++)
		r->is_rewrapped[i] = false;
	r->is_resealed = false;
	result = json_object();
	json_put_whole(result, "id", (int64_t)m->id);
	json_put_text(result, "state", SPAN("current"));
	asker_answer(v, &m->asker, FAULT_OK, SPAN(""), result);
	timer_after(&r->timer, 0);
}

static void rotate(struct vault *v, const struct asker *a, const json_t *arguments)
{
	struct change *c = change_new(v, store_key, key_stored, sizeof(struct making));
	struct making *m = c->data;

	m->asker = *a;
	m->key = secret_random(SEAL_KEY_BYTES);
	change_run_take(c);
}

struct listing {
	struct asker asker;
	size_t count;
	struct key_row rows[KEYRING_KEYS_MAX];
};

static bool take_key(void *self, const struct key_row *row)
{
	struct listing *l = self;

	l->rows[l->count] = *row;
	l->rows[l->count++].sealed = (struct span){ "", 0 };
	return l->count < KEYRING_KEYS_MAX;
}

static enum fault read_keys(struct change *c, struct sqlite *db)
{
	return keys_each(db, take_key, c->data);
}

static void keys_read(struct change *c)
{
	static const char *const states[] = { "current", "retiring", "ended" };
	const struct listing *l = c->data;
	json_t *result = json_object(), *items = json_array();

	for (size_t i = 0; i < l->count; i++) {
		json_t *item = json_object();

		json_put_whole(item, "id", (int64_t)l->rows[i].id);
		json_put_text(item, "state", span_of(states[l->rows[i].state]));
		operations_put_date(item, "created_at", l->rows[i].made_at_ms);
		operations_put_date(item, "ended_at", l->rows[i].ended_at_ms);
		json_put_whole(item, "sealed", l->rows[i].secret_count);
		json_array_append_new(items, item);
	}
	json_object_set_new(result, "items", items);
	asker_answer(c->vault, &l->asker, c->fault, SPAN(""), result);
}

static void list(struct vault *v, const struct asker *a, const json_t *arguments)
{
	struct change *c = change_new(v, read_keys, keys_read, sizeof(struct listing));

	((struct listing *)c->data)->asker = *a;
	change_run_take(c);
}

const struct vault_operation key_operations[] = { { "key.rotate", rotate }, { "key.list", list }, { NULL, NULL } };
