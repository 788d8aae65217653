/* base/map.h - from a text to a pointer.
 *
 * Why       Names, addresses and numbers chosen by strangers are looked up in time that no choice of theirs can spoil.
 * Promise   A look-up neither allocates nor fails. Hashing is keyed (SipHash), with a key of each map's own.
 * Owns      Its table. Keys and values are borrowed: a key must live, unchanged, as long as it stands in the map.
 * Refuses   Nothing: whoever fills it has a ceiling of their own. */
#pragma once
#include "base/span.h"

struct map_slot {
	struct span key;
	void *value; /* NULL in a free slot; `key.at` then still set where something was removed */
};

struct map {
	struct map_slot *slots;
	size_t room, count, used;
	unsigned char hash_key[16];
	bool fold; /* ASCII letters are compared without case */
};

/* An empty map; and an end to its table, not to what stood in it. */
void map_init(struct map *, bool fold);
void map_free(struct map *);

/* What stands under the key, or NULL. */
void *map_get(const struct map *, struct span key);

/* Puts `value` (not NULL), in place of what stood there, which is returned. The key given now is the one that is kept. */
void *map_put(struct map *, struct span key, void *value);

/* Takes it out and returns it, or NULL. */
void *map_remove(struct map *, struct span key);

/* How many stand in it. */
size_t map_count(const struct map *);

/* Each value once, in no order: begin with `*at` 0; NULL at the end. The map may lose the value just given, but gain nothing meanwhile. */
void *map_next(const struct map *, size_t *at);
