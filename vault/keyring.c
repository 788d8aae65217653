#include "vault/keyring.h"

#include "base/panic.h"
#include "base/seal.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONTEXT_BYTES = 256, LINE_BYTES_MAX = 256, ID_BYTES = 8 };

struct key {
	uint64_t id;
	struct secret *secret; /* NULL once it ended */
	enum key_state state;
	uint64_t root;
};

struct keyring {
	struct secret *roots[KEYRING_ROOTS_MAX];
	uint64_t root_ids[KEYRING_ROOTS_MAX];
	size_t root_count;
	struct key keys[KEYRING_KEYS_MAX];
	size_t count, current;
};

/* A root key is known by a mark made from it, so that the file needs no numbers. */
static uint64_t mark_of(struct span root)
{
	unsigned char mac[SEAL_MAC_BYTES];
	uint64_t mark = 0;

	seal_hmac(mac, root, SPAN("postern root key"));
	for (size_t i = 0; i < 7; i++)
		mark = mark << 8 | mac[i];
	return mark;
}

static void take_root(struct keyring *k, struct span key)
{
	k->root_ids[k->root_count] = mark_of(key);
	k->roots[k->root_count++] = secret_new(key);
}

static enum fault take_line(struct keyring *k, struct span line)
{
	char memory[SEAL_KEY_BYTES * 2];
	struct buf key;
	enum fault fault = FAULT_KEY_UNREADABLE;

	if (!line.size || *line.at == '#')
		return FAULT_OK;
	buf_over(&key, memory, sizeof memory);
	if (line.size < LINE_BYTES_MAX && k->root_count < KEYRING_ROOTS_MAX && text_from_base64(&key, line) && key.size == SEAL_KEY_BYTES) {
		take_root(k, buf_span(&key));
		fault = FAULT_OK;
	}
	secret_wipe(memory, sizeof memory);
	return fault;
}

enum fault keyring_open(struct keyring **out, struct span file)
{
	struct keyring *k = calloc(1, sizeof *k);
	enum fault fault = FAULT_OK;
	struct span line;

	if (!k)
		panic("out of memory");
	if (file.size == SEAL_KEY_BYTES)
		take_root(k, file);
	else
		while (fault == FAULT_OK && span_cut(&file, '\n', &line))
			fault = take_line(k, span_trim(line));
	if (fault == FAULT_OK && !k->root_count)
		fault = FAULT_KEY_UNREADABLE;
	if (fault != FAULT_OK)
		keyring_close(&k);
	*out = k;
	return fault;
}

void keyring_close(struct keyring **keyring)
{
	struct keyring *k = *keyring;

	if (!k)
		return;
	for (size_t i = 0; i < k->root_count; i++)
		secret_free(&k->roots[i]);
	for (size_t i = 0; i < k->count; i++)
		secret_free(&k->keys[i].secret);
	free(k);
	*keyring = NULL;
}

static struct span root_of(const struct keyring *k, uint64_t mark)
{
	for (size_t i = 0; i < k->root_count; i++)
		if (k->root_ids[i] == mark)
			return secret_borrow(k->roots[i]);
	return (struct span){ "", 0 };
}

static struct span key_context(char context[CONTEXT_BYTES], uint64_t id, uint64_t root)
{
	snprintf(context, CONTEXT_BYTES, "keys|%llu|sealed|%llx", (unsigned long long)id, (unsigned long long)root);
	return span_of(context);
}

bool keyring_seal_key(const struct keyring *k, struct buf *out, uint64_t id, struct span key)
{
	char context[CONTEXT_BYTES];

	return seal_put(out, secret_borrow(k->roots[0]), key_context(context, id, k->root_ids[0]), key);
}

uint64_t keyring_root(const struct keyring *k)
{
	return k->root_ids[0];
}

static struct span backup_context(char context[CONTEXT_BYTES], int64_t at_ms, uint64_t root)
{
	snprintf(context, CONTEXT_BYTES, "backup|%lld|key|%llx", (long long)at_ms, (unsigned long long)root);
	return span_of(context);
}

bool keyring_seal_backup(const struct keyring *k, struct buf *out, int64_t at_ms, struct span key)
{
	char context[CONTEXT_BYTES];

	return seal_put(out, secret_borrow(k->roots[0]), backup_context(context, at_ms, k->root_ids[0]), key);
}

enum fault keyring_open_backup(const struct keyring *k, struct buf *out, int64_t at_ms, uint64_t root, struct span sealed)
{
	struct span key = root_of(k, root);
	char context[CONTEXT_BYTES];

	return key.size && seal_open(out, key, backup_context(context, at_ms, root), sealed) ? FAULT_OK : FAULT_KEY_WRONG;
}

static enum fault open_key(const struct keyring *k, struct key *key, const struct key_row *row)
{
	char context[CONTEXT_BYTES], memory[SEAL_KEY_BYTES];
	struct span root = root_of(k, row->root);
	struct buf text;
	bool good;

	if (!root.size)
		return FAULT_KEY_WRONG;
	buf_over(&text, memory, sizeof memory);
	good = seal_open(&text, root, key_context(context, row->id, row->root), row->sealed) && text.size == SEAL_KEY_BYTES;
	if (good)
		key->secret = secret_new(buf_span(&text));
	secret_wipe(memory, sizeof memory);
	return good ? FAULT_OK : FAULT_KEY_WRONG;
}

struct loading {
	struct keyring *keyring;
	enum fault fault;
};

static bool load_key(void *self, const struct key_row *row)
{
	struct loading *l = self;
	struct keyring *k = l->keyring;
	struct key *key = &k->keys[k->count];

	if (row->state == KEY_ENDED)
		return true;
	if (k->count == KEYRING_KEYS_MAX) {
		l->fault = FAULT_KEY_WRONG;
		return false;
	}
	*key = (struct key){ row->id, NULL, row->state, row->root };
	l->fault = open_key(k, key, row);
	if (l->fault == FAULT_OK && row->state == KEY_CURRENT)
		k->current = k->count;
	k->count += l->fault == FAULT_OK;
	return l->fault == FAULT_OK;
}

static enum fault store_key(struct keyring *k, struct sqlite *db, uint64_t id, struct span key)
{
	char memory[SEAL_KEY_BYTES + SEAL_OVER_BYTES];
	struct buf sealed;

	buf_over(&sealed, memory, sizeof memory);
	if (!keyring_seal_key(k, &sealed, id, key))
		panic("a sealed key does not fit");
	return keys_seal(db, id, k->root_ids[0], buf_span(&sealed));
}

static enum fault make_first(struct keyring *k, struct sqlite *db, int64_t wall_ms)
{
	struct secret *key = secret_random(SEAL_KEY_BYTES);
	uint64_t id = 0;
	enum fault fault = sqlite_begin(db);

	if (fault == FAULT_OK)
		fault = keys_add(db, wall_ms, &id);
	if (fault == FAULT_OK)
		fault = store_key(k, db, id, secret_borrow(key));
	fault = sqlite_end(db, fault);
	if (fault != FAULT_OK) {
		secret_free(&key);
		return fault;
	}
	keyring_add_take(k, id, key);
	return FAULT_OK;
}

/* After the operator put a new root key on top, what the older one sealed is sealed under the new one. */
static enum fault move_to_newest_root(struct keyring *k, struct sqlite *db)
{
	enum fault fault = sqlite_begin(db);

	for (size_t i = 0; i < k->count && fault == FAULT_OK; i++)
		if (k->keys[i].root != k->root_ids[0])
			fault = store_key(k, db, k->keys[i].id, secret_borrow(k->keys[i].secret));
	return sqlite_end(db, fault);
}

enum fault keyring_load(struct keyring *k, struct sqlite *db, int64_t wall_ms)
{
	struct loading l = { k, FAULT_OK };
	enum fault fault = keys_each(db, load_key, &l);

	if (fault == FAULT_OK)
		fault = l.fault;
	if (fault == FAULT_OK)
		fault = k->count ? move_to_newest_root(k, db) : make_first(k, db, wall_ms);
	return fault;
}

enum fault keyring_check(const struct keyring *k, struct span file)
{
	struct keyring *next;
	enum fault fault = keyring_open(&next, file);

	if (fault != FAULT_OK)
		return fault;
	/* All keys are sealed under the newest root key since the start: it must still be among them. */
	if (!root_of(next, k->root_ids[0]).size)
		fault = FAULT_KEY_WRONG;
	keyring_close(&next);
	return fault;
}

uint64_t keyring_current(const struct keyring *k)
{
	return k->keys[k->current].id;
}

void keyring_add_take(struct keyring *k, uint64_t id, struct secret *key)
{
	ASSERT(k->count < KEYRING_KEYS_MAX);
	for (size_t i = 0; i < k->count; i++)
		if (k->keys[i].state == KEY_CURRENT)
			k->keys[i].state = KEY_RETIRING;
	k->current = k->count;
	k->keys[k->count++] = (struct key){ id, key, KEY_CURRENT, k->root_ids[0] };
}

uint64_t keyring_retiring(const struct keyring *k, uint64_t after)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->keys[i].state == KEY_RETIRING && k->keys[i].id > after)
			return k->keys[i].id;
	return 0;
}

void keyring_end(struct keyring *k, uint64_t id)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->keys[i].id == id && k->keys[i].state == KEY_RETIRING) {
			secret_free(&k->keys[i].secret);
			memmove(&k->keys[i], &k->keys[i + 1], sizeof k->keys[0] * (k->count - i - 1));
			k->count--;
			k->current -= k->current > i;
			return;
		}
}

static struct span secret_of(const struct keyring *k, uint64_t id)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->keys[i].id == id)
			return secret_borrow(k->keys[i].secret);
	return (struct span){ "", 0 };
}

static struct span context_of(char context[CONTEXT_BYTES], const struct secret_row *s)
{
	snprintf(context, CONTEXT_BYTES, "secrets|%.*s|%llu|%.*s|%llu", SPAN_ARGS(s->subject), (unsigned long long)s->row, SPAN_ARGS(s->name),
		 (unsigned long long)s->key);
	return span_of(context);
}

bool keyring_seal(const struct keyring *k, struct buf *out, struct secret_row *place, struct span text)
{
	char context[CONTEXT_BYTES];
	size_t start = out->size;

	place->key = keyring_current(k);
	if (!seal_put(out, secret_borrow(k->keys[k->current].secret), context_of(context, place), text))
		return false;
	place->sealed = span_slice(buf_span(out), start, out->size);
	return true;
}

enum fault keyring_unseal(const struct keyring *k, struct buf *out, const struct secret_row *row)
{
	char context[CONTEXT_BYTES];
	struct span key = secret_of(k, row->key);

	return key.size && seal_open(out, key, context_of(context, row), row->sealed) ? FAULT_OK : FAULT_KEY_WRONG;
}

static struct span wrap_context(char context[CONTEXT_BYTES], struct span purpose, uint64_t id)
{
	snprintf(context, CONTEXT_BYTES, "wrapped|%.*s|%llu", SPAN_ARGS(purpose), (unsigned long long)id);
	return span_of(context);
}

bool keyring_wrap(const struct keyring *k, struct buf *out, struct span purpose, struct span key)
{
	uint64_t id = keyring_current(k);
	char context[CONTEXT_BYTES], bytes[ID_BYTES];

	for (size_t i = 0; i < ID_BYTES; i++)
		bytes[i] = (char)(id >> (8 * i) & 255);
	return buf_put(out, (struct span){ bytes, ID_BYTES }) &&
	       seal_put(out, secret_borrow(k->keys[k->current].secret), wrap_context(context, purpose, id), key);
}

enum fault keyring_unwrap(const struct keyring *k, struct buf *out, struct span purpose, struct span wrapped)
{
	char context[CONTEXT_BYTES];
	struct span key;
	uint64_t id = 0;

	if (wrapped.size < ID_BYTES)
		return FAULT_KEY_WRONG;
	for (size_t i = 0; i < ID_BYTES; i++)
		id |= (uint64_t)(unsigned char)wrapped.at[i] << (8 * i);
	key = secret_of(k, id);
	return key.size && seal_open(out, key, wrap_context(context, purpose, id), span_slice(wrapped, ID_BYTES, wrapped.size)) ? FAULT_OK
															       : FAULT_KEY_WRONG;
}
