/* queue/mail_heap.h - the messages of a lane, the next one first.
 *
 * Why       A mailbox may have a million waiting, of which only the next matters.
 * Promise   First by time (`lane_order`), then by age. Adding and taking out cost the logarithm of what waits.
 * Owns      The array; messages stay their owner's, and know their place in it (`lane_place`, counted from 1; 0 is nowhere).
 * Refuses   Nothing. */
#pragma once
#include "queue/mail.h"

struct mail_heap {
	struct mail **at;
	size_t count, room;
};

/* Zeroed it is empty. */
void mail_heap_add(struct mail_heap *, struct mail *);
void mail_heap_remove(struct mail_heap *, struct mail *);
void mail_heap_free(struct mail_heap *);
