/* base/clock.h - what time it is.
 *
 * Why       One door, so that replay can run on virtual time.
 * Promise   clock_monotonic_ms() never goes back; clock_wall_ms() may.
 * Owns      Nothing.
 * Refuses   Nothing.
 * See       base/real/clock.c, base/fake/clock.c */
#pragma once
#include <stdint.h>

/* Milliseconds since some moment; for waits and deadlines. */
int64_t clock_monotonic_ms(void);

/* Milliseconds since 1970-01-01 UTC; for what people and other machines read. */
int64_t clock_wall_ms(void);

/* A number of this start of the machine, from which the steady clock counts; 0 where the system does not say. Asked first before confinement. */
uint32_t clock_boot(void);
