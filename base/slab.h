/* base/slab.h - many objects of one size, close together.
 *
 * Why       Objects of which a million may wait for days must not lie among the short-lived blocks of malloc(): the gaps that these leave would take
 *           a fifth as much again.
 * Promise   An object costs its own size. When the last one was given back, all memory but one block goes back to malloc().
 * Owns      Its blocks; the last one stays for good.
 * Threads   One at a time.
 * Refuses   Nothing: whoever fills it has a ceiling of their own. */
#pragma once
#include <stddef.h>

struct slab {
	size_t size_bytes;         /* of an object; set once, at least a pointer's */
	size_t count;              /* objects that are out */
	size_t begun;              /* objects of the newest block that were ever out */
	struct slab_block *blocks; /* newest first */
	struct slab_free *free;
};

/* A zeroed object; never NULL. */
void *slab_take(struct slab *);

/* Gives it back; it may not be touched any more. */
void slab_give(struct slab *, void *object);
