/* base/fernet.h - tokens of the Fernet recipe, as other programs sealed them.
 *
 * Why       Who moves in from another program brings its tokens along, sealed under a password of theirs.
 * Promise   fernet_open() gives the text only when the key is right and no byte was altered: the MAC is checked first, in constant time.
 * Owns      Nothing.
 * Refuses   To make any: Postern seals with base/seal.h. Passwords stretched by no round or by over FERNET_ROUNDS_MAX: false.
 * See       the Fernet specification (version 0x80: AES-128-CBC, HMAC-SHA-256), RFC 8018 5.2 (PBKDF2); OpenSSL */
#pragma once
#include "base/buf.h"

enum { FERNET_KEY_BYTES = 32, FERNET_ROUNDS_MAX = 10 * 1000 * 1000, FERNET_TOKEN_BYTES_MAX = 64 * 1024 };

/* PBKDF2 with HMAC-SHA-256; the caller wipes the key. About 0.4 s for 1,200,000 rounds. */
bool fernet_stretch(unsigned char key_out[FERNET_KEY_BYTES], struct span password, struct span salt, uint64_t rounds);

/* Appends the text of a token (base64url, with its padding or without). False when it does not open, and `out` is as it was. */
bool fernet_open(struct buf *out, const unsigned char key[FERNET_KEY_BYTES], struct span token);
