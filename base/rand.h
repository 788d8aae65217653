/* base/rand.h - random bytes.
 *
 * Why       One door, so that replay can put a seeded source behind it.
 * Promise   In the daemon the bytes come from the kernel's generator.
 * Owns      Nothing.
 * Refuses   Nothing: the real side panics when the kernel gives none.
 * See       base/real/rand.c, base/fake/rand.c */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Fills `size_bytes` bytes. */
void rand_bytes(void *out, size_t size_bytes);

/* A number below `limit` (which is above 0), evenly spread. */
uint64_t rand_below(uint64_t limit);
