/* tests/replay/judge.h - one play in a process of its own, and what is to be said of it.
 *
 * Why       A play may panic, hang or be ended by a sanitizer; whoever plays ten thousand wants to hear of it and go on.
 * Promise   Every play gets a verdict within its time. A failing one can be reduced to the shortest scenario that fails in the same way.
 * Owns      A child process during a call.
 * Refuses   Nothing: a child that dies is a verdict.
 * See       tests/replay/play.h, tests/replay/reduce.h */
#pragma once
#include "base/buf.h"

enum { JUDGE_SECONDS = 120 };

/* Plays it; complaints are appended, none when it holds. The log, where one is wanted, goes to `log_fd`, else -1. */
void judge_play(struct span scenario, uint64_t seed, unsigned seconds, int log_fd, struct buf *complaints);

/* Appends the shortest scenario that fails as this one does with this seed. Returns how many plays it took. */
unsigned judge_reduce(struct span scenario, uint64_t seed, unsigned plays_max, struct buf *out);
