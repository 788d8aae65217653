/* base/seal.h - the few ciphers and digests we use, behind names of ours.
 *
 * Why       One place where lengths are checked, so that no caller meets a library's corner.
 * Promise   seal_open() gives the text only when key, context and every byte are right.
 * Owns      Nothing.
 * Refuses   Sealed text that was altered, cut, or sealed for another context: false.
 * See       XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), HMAC-SHA-256, SHA-256; of libsodium and OpenSSL */
#pragma once
#include "base/buf.h"
#include "base/secret.h"

enum {
	SEAL_KEY_BYTES = 32,
	SEAL_NONCE_BYTES = 24,
	SEAL_TAG_BYTES = 16,
	SEAL_OVER_BYTES = SEAL_NONCE_BYTES + SEAL_TAG_BYTES,
	SEAL_MAC_BYTES = 32,
	SEAL_DIGEST_BYTES = 32,
};

/* Appends nonce, ciphertext and tag. `context` is bound to it but not stored: table, row, key id.
 * `key` has SEAL_KEY_BYTES. False when `out` is full. */
bool seal_put(struct buf *out, struct span key, struct span context, struct span text);

/* Appends the text that seal_put() took. False when it does not open. */
bool seal_open(struct buf *out, struct span key, struct span context, struct span sealed);

/* HMAC-SHA-256 over all the pieces, each preceded by its length so that they cannot run together. */
void seal_mac(unsigned char mac_out[SEAL_MAC_BYTES], struct span key, const struct span *pieces, size_t count);

/* Plain HMAC-SHA-256 of one text, any key size. */
void seal_hmac(unsigned char mac_out[SEAL_MAC_BYTES], struct span key, struct span text);

/* SHA-256. */
void seal_digest(unsigned char digest_out[SEAL_DIGEST_BYTES], struct span text);

/* SHA-256 of a text that comes in pieces. From seal_hash_init() it owns memory until seal_hash_end() or seal_hash_free(); a zeroed one may be freed. */
struct seal_hash { void *state; };
void seal_hash_init(struct seal_hash *);
void seal_hash_put(struct seal_hash *, struct span);
void seal_hash_end(struct seal_hash *, unsigned char digest_out[SEAL_DIGEST_BYTES]);
void seal_hash_free(struct seal_hash *);
