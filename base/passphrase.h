/* base/passphrase.h - a text sealed under words that a person remembers.
 *
 * Why       A copy of the key that lies in a drawer must not be the key.
 * Promise   passphrase_open() gives the text only for the same passphrase and an unaltered file. Guessing costs 256 MB and about a second a guess (argon2id).
 * Owns      Nothing.
 * Refuses   Another passphrase, an altered file: false.
 * See       RFC 9106; docs/decisions/0075-backup.md */
#pragma once
#include "base/buf.h"

/* Appends a remark for people and one line. False when memory is short or `out` is full. */
bool passphrase_seal(struct buf *out, struct span passphrase, struct span text);

/* Whether the file was made by passphrase_seal(). */
bool passphrase_sealed(struct span file);

/* Appends the text. */
bool passphrase_open(struct buf *out, struct span passphrase, struct span file);
