/* vault/keyring.h - the keys that secrets are sealed under, and sealing.
 *
 * Why       Root keys come from the operator and change rarely; the keys that seal are rows of the database, sealed under a root key, and rotate
 *           while everything runs. What is sealed is bound to its table, row, column and key, so that nothing can be moved.
 * Promise   What was sealed opens only in its own place and under its own key. A key that ended opens nothing any more.
 * Owns      Root keys and keys, in locked memory.
 * Refuses   A key file without a key of 32 bytes: FAULT_KEY_UNREADABLE. A database whose keys no root key opens: FAULT_KEY_WRONG.
 * See       docs/decisions/0050-vault-keys.md; base/seal.h */
#pragma once
#include "store/secrets.h"

struct buf;
struct secret;
struct keyring;

enum { KEYRING_ROOTS_MAX = 8, KEYRING_KEYS_MAX = 1024, KEYRING_SEALED_BYTES_MAX = 64 * 1024 };

/* `file`: one root key a line, base64, the newest first; `#` begins a remark. Or one root key, its 32 bytes and nothing else. */
MUST_CHECK enum fault keyring_open(struct keyring **out, struct span file);
void keyring_close(struct keyring **);

/* Reads the keys of the database; makes the first in a new one; seals them under the newest root key. Blocking: before the loop runs. */
MUST_CHECK enum fault keyring_load(struct keyring *, struct sqlite *, int64_t wall_ms);

/* Another set of root keys, as keyring_load() would use it: FAULT_KEY_WRONG, and nothing changed, when a live key would be lost. */
MUST_CHECK enum fault keyring_check(const struct keyring *, struct span file);

/* The key that is sealed under now. */
uint64_t keyring_current(const struct keyring *);

/* A key made by keyring_make() whose row is in the database: it becomes the current one, those before it begin to retire. */
void keyring_add_take(struct keyring *, uint64_t id, struct secret *key);

/* Those that are retiring, one after the other: the id after `after`, or 0. */
uint64_t keyring_retiring(const struct keyring *, uint64_t after);

/* Forgets a key. */
void keyring_end(struct keyring *, uint64_t id);

/* The root key that keys are sealed under. */
uint64_t keyring_root(const struct keyring *);
bool keyring_seal_key(const struct keyring *, struct buf *out, uint64_t id, struct span key);

/* Seals a secret for its place: fills in `key` and appends what is to be stored to `out`. False when `out` is full. */
bool keyring_seal(const struct keyring *, struct buf *out, struct secret_row *place, struct span text);

/* Opens one; FAULT_KEY_WRONG when its key is not here, or it does not open. */
MUST_CHECK enum fault keyring_unseal(const struct keyring *, struct buf *out, const struct secret_row *);

/* The key of a backup, under the newest root key; and opened by whichever root key has that mark: FAULT_KEY_WRONG when none has, or it does not open. */
bool keyring_seal_backup(const struct keyring *, struct buf *out, int64_t at_ms, struct span key);
MUST_CHECK enum fault keyring_open_backup(const struct keyring *, struct buf *out, int64_t at_ms, uint64_t root, struct span sealed);

/* What keys of segments are wrapped for. */
#define KEYRING_SEGMENT SPAN("segment")

/* A key of another role, wrapped under the current key: the key's id (8 bytes) and the sealed bytes. */
bool keyring_wrap(const struct keyring *, struct buf *out, struct span purpose, struct span key);
MUST_CHECK enum fault keyring_unwrap(const struct keyring *, struct buf *out, struct span purpose, struct span wrapped);
