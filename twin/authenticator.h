/* twin/authenticator.h - the codes that an authenticator app shows.
 *
 * Why       The twin's people have an authenticator; the demo shows its code, the sign-in page checks it.
 * Promise   RFC 6238 with HMAC-SHA-1, 30 s, six digits. A code is accepted one step early or late, and once.
 * Owns      Nothing.
 * Refuses   Secrets that are not base32: false.
 * See       RFC 6238, RFC 4226, RFC 4648 6 */
#pragma once
#include "base/buf.h"

enum { AUTHENTICATOR_STEP_SECONDS = 30, AUTHENTICATOR_SECRET_BYTES = 80 };

/* The code for a time step, `digits` (at most 9) of them; `key` is the raw secret. */
uint32_t authenticator_code(struct span key, uint64_t step, unsigned digits);

/* Decodes base32 in either case, with or without padding and blanks. */
bool authenticator_key(struct buf *out, struct span base32);

/* The six digits shown at a wall time. False when the secret is none. */
bool authenticator_show(struct span base32, int64_t wall_ms, char digits_out[7]);

/* Whether the digits hold at that time; blanks in them are ignored. `last_step` is the step used last, and moves on when they do. */
bool authenticator_check(struct span base32, int64_t wall_ms, struct span digits, uint64_t *last_step);
