/* identity/throttle.h - failed logins, counted by address.
 *
 * Why       Whoever tries many passwords is told to wait; a machine behind the same address that has the right one is not.
 * Promise   A count covers ten minutes, leaking evenly; an IPv6 address counts with its whole /64. Memory is fixed: when the table is full the
 *           address that failed longest ago is forgotten.
 * Owns      Its table.
 * Refuses   Nothing: it counts, and says when it is too many; a right password is let in all the same, since guessing one is hopeless and
 *           one bad client must not lock out the others of its network. */
#pragma once
#include "base/map.h"

enum { THROTTLE_WINDOW_MS = 10 * 60 * 1000, THROTTLE_PLACES = 16384 };

struct throttle;

/* Whoever fails more often than this within the window is over. */
struct throttle *throttle_new(unsigned failures_max);
void throttle_free(struct throttle **);

/* Changes the limit. */
void throttle_limit(struct throttle *, unsigned failures_max);

/* Counts a failure at `now_ms` (monotonic). `address` is 4 or 16 bytes, or a path. */
void throttle_fail(struct throttle *, struct span address, int64_t now_ms);

/* Whether the failures of this address are more than the limit. */
bool throttle_is_over(struct throttle *, struct span address, int64_t now_ms);
