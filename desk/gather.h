/* desk/gather.h - one question to several roles at once.
 *
 * Why       Health, numbers and status are put together from what every role says, and must not wait for one that is silent.
 * Promise   `done` is called exactly once, never from inside gather_start(), when all have answered or the deadline has passed. Vault and post
 *           always have a part, even before they were introduced.
 * Owns      Copies of the answers, during `done`.
 * Refuses   Nothing. */
#pragma once
#include "desk/errand.h"

struct gather_part {
	enum role role;
	unsigned index;
	bool came;         /* it answered */
	enum fault fault;  /* what it answered, or why it did not */
	struct span result;
};

typedef void gather_done(void *self, const struct gather_part *, size_t count);

/* Asks every introduced role of the set `roles` (enum role, joined by |) for `operation`, without arguments. */
void gather_start(struct errands *, unsigned roles, struct span operation, enum language, int wait_ms, gather_done *done, void *self);
