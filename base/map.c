#include "base/map.h"

#include "base/panic.h"
#include "base/rand.h"

#include <sodium.h>
#include <stdlib.h>

enum { ROOM_FIRST = 16, FOLD_BYTES = 512 };

static size_t hash_of(const struct map *m, struct span key)
{
	unsigned char hash[crypto_shorthash_BYTES], folded[FOLD_BYTES];
	const unsigned char *at = (const unsigned char *)key.at;
	size_t size = key.size, value = 0;

	if (m->fold) {
		size = size < sizeof folded ? size : sizeof folded;
		for (size_t i = 0; i < size; i++)
			folded[i] = (unsigned char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] + 32 : at[i]);
		at = folded;
	}
	crypto_shorthash(hash, at, size, m->hash_key);
	for (size_t i = 0; i < sizeof value; i++)
		value = value << 8 | hash[i];
	return value;
}

static bool same(const struct map *m, struct span a, struct span b)
{
	return m->fold ? span_equal_fold(a, b) : span_equal(a, b);
}

void map_init(struct map *m, bool fold)
{
	*m = (struct map){ .fold = fold };
	rand_bytes(m->hash_key, sizeof m->hash_key);
}

void map_free(struct map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->room = m->count = m->used = 0;
}

/* The slot of the key, or the free one that ends its chain. */
static struct map_slot *slot_of(const struct map *m, struct span key)
{
	size_t at = hash_of(m, key) & (m->room - 1);

	while (m->slots[at].key.at && !(m->slots[at].value && same(m, m->slots[at].key, key)))
		at = (at + 1) & (m->room - 1);
	return &m->slots[at];
}

static void grow(struct map *m)
{
	struct map old = *m;

	m->room = m->count * 2 < old.room && old.room ? old.room : old.room ? old.room * 2 : ROOM_FIRST;
	m->slots = calloc(m->room, sizeof *m->slots);
	if (!m->slots)
		panic("out of memory");
	m->used = m->count;
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i].value)
			*slot_of(m, old.slots[i].key) = old.slots[i];
	free(old.slots);
}

void *map_get(const struct map *m, struct span key)
{
	return m->count && key.at ? slot_of(m, key)->value : NULL;
}

void *map_put(struct map *m, struct span key, void *value)
{
	struct map_slot *slot;
	void *before;

	ASSERT(value && key.at);
	if (m->used * 4 >= m->room * 3)
		grow(m);
	slot = slot_of(m, key);
	before = slot->value;
	if (!before) {
		m->count++;
		m->used++;
	}
	*slot = (struct map_slot){ key, value };
	return before;
}

void *map_remove(struct map *m, struct span key)
{
	struct map_slot *slot;
	void *value;

	if (!m->count || !key.at)
		return NULL;
	slot = slot_of(m, key);
	value = slot->value;
	if (value) {
		/* The chain must go on behind it, and the key's memory may go away. */
		*slot = (struct map_slot){ { "", 0 }, NULL };
		m->count--;
	}
	return value;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

void *map_next(const struct map *m, size_t *at)
{
	while (*at < m->room)
		if (m->slots[(*at)++].value)
			return m->slots[*at - 1].value;
	return NULL;
}
