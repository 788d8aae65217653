/* base/arena.h - memory of one lifetime, freed in one place.
 *
 * Why       With one owner per lifetime there is no ladder of frees, so no `goto`.
 * Promise   What arena_take() returns is zeroed, aligned for any object and stays until arena_free().
 * Owns      Its blocks.
 * Refuses   Growing past the ceiling given to arena_new(): that is a bug of ours and panics, since
 *           everything a stranger can size has a ceiling of its own below it. */
#pragma once
#include "base/span.h"

struct arena;

/* `ceiling_bytes` is the most it may hand out in its life. */
struct arena *arena_new(size_t ceiling_bytes);

/* Frees everything taken from it. Accepts NULL inside; sets it to NULL. */
void arena_free(struct arena **);

/* As arena_free(), but wipes every block first: for arenas that held secrets. */
void arena_wipe(struct arena **);

/* Zeroed bytes; never NULL. */
void *arena_take(struct arena *, size_t size_bytes);

/* A copy that lives as long as the arena. The copy is followed by a NUL that is not counted. */
struct span arena_copy(struct arena *, struct span);
char *arena_text(struct arena *, struct span);

/* printf into the arena; returns the text without its NUL. */
struct span arena_print(struct arena *, const char *format, ...) __attribute__((format(printf, 2, 3)));
