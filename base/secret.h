/* base/secret.h - a secret value: kept out of swap and dumps, wiped, never printed.
 *
 * Why       A type with no formatter cannot be logged by accident.
 * Promise   The bytes live in guarded, locked memory and are wiped by secret_free().
 * Owns      Its bytes.
 * Refuses   Being printed: there is no function that formats one. secret_borrow() is for the wire
 *           and for ciphers only. */
#pragma once
#include "base/span.h"

struct secret;

/* A copy of the bytes; the caller still wipes its own. */
struct secret *secret_new(struct span bytes);

/* Random bytes from the system. */
struct secret *secret_random(size_t size_bytes);

/* Wipes and releases; accepts NULL inside, sets it to NULL. */
void secret_free(struct secret **);

/* The bytes, for as long as the secret lives. NULL gives the empty span. */
struct span secret_borrow(const struct secret *);

/* Compares in time that depends on the sizes alone. */
bool secret_equal(struct span, struct span);

/* Clears bytes that held a secret. */
void secret_wipe(void *, size_t size_bytes);
