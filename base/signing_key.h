/* base/signing_key.h - a private key of RSA with its certificate, that signs in our name.
 *
 * Why       An application proves itself to Entra by its certificate, and to Google by a service account's key, instead of a shared secret.
 * Promise   Both parts were read as PEM and belong together; a signature is of RSA with SHA-256.
 * Owns      The key, wiped when it is freed.
 * Refuses   Keys under 2048 bits or over 8192, keys under a passphrase, a certificate of another key: FAULT_MALFORMED.
 * See       RFC 7517 4.9 (x5t#S256), RFC 7518 3.3, 3.5; OpenSSL */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "base/signature.h"

struct signing_key;

/* Reads `pem`: a private key, and where `wants_certificate` its certificate too, in any order. `why_out` has 256 bytes. */
MUST_CHECK enum fault signing_key_read(struct signing_key **out, struct span pem, bool wants_certificate, char *why_out);
void signing_key_free(struct signing_key **);

/* Another of the same key, freed by itself. */
struct signing_key *signing_key_copy(const struct signing_key *);

/* Appends the signature of `text`. False when `out` is full. */
bool signing_key_sign(const struct signing_key *, enum signature_kind, struct span text, struct buf *out);

/* SHA-256 of the certificate as it is written in DER; until when it serves (wall clock). Only with a certificate. */
struct span signing_key_thumbprint(const struct signing_key *);
int64_t signing_key_ends_ms(const struct signing_key *);
