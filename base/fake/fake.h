/* base/fake/fake.h - the strings behind the fake clock and the fake dice.
 *
 * Why       Replay runs on virtual time and from a seed.
 * Promise   Time moves only by fake_clock_set() and fake_clock_skew(); the same seed gives the same bytes.
 * Owns      One clock and one generator for the process.
 * Refuses   Moving the monotonic clock back. */
#pragma once
#include <stdint.h>

/* Starts the generator anew and sets the monotonic clock to 0 and the wall to `wall_ms`. */
void fake_begin(uint64_t seed, int64_t wall_ms);

/* Moves both clocks on to monotonic `now_ms`. */
void fake_clock_set(int64_t now_ms);

/* Moves the wall clock alone, by `by_ms` in either direction. */
void fake_clock_skew(int64_t by_ms);
