/* tests/replay/reduce.h - the shortest scenario that still fails.
 *
 * Why       A failure among forty lines and a thousand milliseconds is a riddle; among four it is a bug report.
 * Promise   The result fails as the caller's judge says, and so on for each line and number in it: without the line, or with the number halved, it would
 *           not. The same text and judge give the same result.
 * Owns      Nothing beyond the call.
 * Refuses   More tries than it was given: what it has by then is the result. */
#pragma once
#include "base/buf.h"

struct reduce_wish {
	bool (*fails)(void *self, struct span scenario); /* whether it still fails in the same way */
	void *self;
	/* An expectation is what failed. What heals (road open, no-more, resend) is left alone, or the shortest scenario would be one that nobody heals. */
	bool keeps_healing;
	unsigned tries_max;
};

/* `rolled` is a scenario that fails, without ranges; the result is appended. Returns how many tries it took. */
unsigned reduce(const struct reduce_wish *, struct span rolled, struct buf *out);
