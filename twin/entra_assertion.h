/* twin/entra_assertion.h - a client that proves itself with a certificate instead of a secret.
 *
 * Why       Organisations that forbid secrets register certificates; what the product signs has to be met by a real verification.
 * Promise   An assertion holds only with the registered certificate's key, for this client, this token endpoint and this time.
 * Owns      Nothing.
 * Refuses   Other algorithms than PS256 and RS256, and every assertion of a registration without a certificate, by AADSTS number.
 * See       RFC 7523, RFC 7518 3.3 and 3.5, RFC 7515 4.1.7 (x5t) and 4.1.8 (x5t#S256) */
#pragma once
#include "twin/entra.h"

/* 0, or the AADSTS number that refuses it. */
int entra_assertion_check(const struct entra *, const struct twin_app *, struct span assertion, int64_t wall_ms);
