/* twin/twin_keys.h - the keys a simulated tenant lives by: token signing, sealing, and a CA with one certificate.
 *
 * Why       Clients verify what the twin signs and the certificate it shows, as they do with the real one.
 * Promise   twin_keys_save() and twin_keys_load() give the same keys back, so that grants outlive a restart of the twin.
 * Owns      Its keys.
 * Refuses   Saved keys that do not parse or whose certificate ends within a day: the caller makes new ones.
 * See       RFC 7515, RFC 7517; OpenSSL 3 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "base/seal.h"

struct twin_keys;

enum { TWIN_PEM_BYTES = 16 * 1024, TWIN_SIGNATURE_BYTES = 256 };

/* New ones. The certificate is for localhost, 127.0.0.1, ::1, smtp.office365.com and outlook.office365.com, good for 397 days. */
MUST_CHECK enum fault twin_keys_make(struct twin_keys **out, int64_t wall_ms);
void twin_keys_free(struct twin_keys **);

/* All of them as one text, and back. */
MUST_CHECK enum fault twin_keys_save(const struct twin_keys *, struct buf *out);
MUST_CHECK enum fault twin_keys_load(struct twin_keys **out, struct span saved, int64_t wall_ms);

/* The CA certificate to trust; the server certificate with its key. PEM. */
struct span twin_keys_ca(const struct twin_keys *);
struct span twin_keys_certificate(const struct twin_keys *);
struct span twin_keys_key(const struct twin_keys *);

/* Seals what the twin hands to others to keep: SEAL_KEY_BYTES. */
struct span twin_keys_seal(const struct twin_keys *);

/* The name of the signing key, and its modulus and exponent in base64url. */
struct span twin_keys_id(const struct twin_keys *);
void twin_keys_public(const struct twin_keys *, struct buf *modulus_out, struct buf *exponent_out);

/* RS256 over the text; and whether a signature is that. */
MUST_CHECK enum fault twin_keys_sign(const struct twin_keys *, struct span text, unsigned char signature_out[TWIN_SIGNATURE_BYTES]);
bool twin_keys_verify(const struct twin_keys *, struct span text, struct span signature);
