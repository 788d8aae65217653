/* base/signature.h - whether a public key signed a text.
 *
 * Why       Tokens of providers are signed; one place checks sizes before a library meets them.
 * Promise   True only for a sound key and an unaltered text. Numbers are big-endian bytes, as in a JWK.
 * Owns      Nothing.
 * Refuses   RSA under 2048 or over 8192 bits, points off the curve, signatures of another length: false.
 * See       RFC 7518 3.3 to 3.5; OpenSSL */
#pragma once
#include "base/span.h"

enum signature_kind { SIGNATURE_RS256, SIGNATURE_PS256 };

/* RSA with SHA-256: PKCS #1 1.5, or PSS with a salt as long as the digest. */
bool signature_rsa(enum signature_kind, struct span modulus, struct span exponent, struct span text, struct span signature);

/* ECDSA on P-256 with SHA-256; `signature` is r and s, 32 bytes each; `x` and `y` have 32 bytes. */
bool signature_p256(struct span x, struct span y, struct span text, struct span signature);
