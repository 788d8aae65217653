/* queue/crc.h - the check sum of what stands in the spool.
 *
 * Why       Damage must be found without the key, and before the cipher says no more than "no".
 * Promise   CRC-32C (Castagnoli), as in RFC 3720 appendix B.4.
 * Owns      Its tables, made at the first call by whichever thread comes first.
 * Refuses   Nothing. */
#pragma once
#include "base/span.h"

/* Of these bytes, behind those that gave `before` (0 at the start). */
uint32_t crc_of(uint32_t before, struct span);

/* The same without the processor's instruction for it, which other machines do: for tests. */
uint32_t crc_by_tables(uint32_t before, struct span);
