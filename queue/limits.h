/* queue/limits.h - what each mailbox has sent, counted as its provider counts, so that no limit is overshot.
 *
 * Why       A provider that is asked for more than it allows answers with delays, refusals and penalties; and a restart must not ask twice.
 * Promise   A message counts from before its first byte goes upstream until its window has passed since the try *ended*: whenever between the two the
 *           provider counts it, it is within. What was under way when the process died counts as ended at the next start. Windows leave room up to
 *           half a second (of a minute) or four minutes (of a day) late, never early. No disk is waited for.
 * Owns      The counts, none for a mailbox that sends nothing; the file that keeps them.
 * Refuses   Nothing: who asks limit_room_at_ms() and waits stays below.
 * See       queue/limits_file.h, docs/decisions/0085-limits-of-mailboxes.md */
#pragma once
#include "loop/loop.h"
#include "queue/limits_file.h"

struct limits; /* of all mailboxes */
struct limit;  /* of one */

enum limit_kind { LIMIT_NONE, LIMIT_MINUTE, LIMIT_DAY };

/* Of no mailbox, and without a file; to be freed behind the schedule that counts by it. */
struct limits *limits_new(struct loop *);
void limits_free(struct limits **);

/* Reads what was kept; `kept` gets each mailbox that has sent within its windows, with the rates it had. On a fault nothing is kept on the disk. */
typedef void limits_kept(void *self, struct limit *, uint64_t mailbox, const struct limit_rates *);
MUST_CHECK enum fault limits_open(struct limits *, struct disk *, limits_kept *kept, void *self);

/* From time to time: forgets mailboxes that have sent nothing. */
void limits_sweep(struct limits *);

/* The counts of a mailbox that has none yet. `owner`, here and below, is where the pointer stands: it becomes NULL when they are forgotten; NULL: nobody has
 * it any more. */
struct limit *limit_new(struct limits *, uint64_t mailbox, struct limit **owner);
void limit_own(struct limit *, struct limit **owner);
/* They are not needed any more. Sets the owner's pointer to NULL. */
void limit_free(struct limit **);

/* When a message to so many recipients may begin, in loop time, and which limit it waits for: now, later, or INT64_MAX for when a try has ended. */
int64_t limit_room_at_ms(struct limit *, const struct limit_rates *, uint32_t recipients, enum limit_kind *which_out);

/* A try of the message of that id takes its room; is about to say its first word upstream; has ended. Where it had begun, it counts as one message to so
 * many recipients: those that the provider has taken or may have taken. */
void limit_take(struct limit *, uint64_t id, uint32_t recipients);
void limit_begin(struct limit *, const struct limit_rates *, uint64_t id);
void limit_end(struct limit *, const struct limit_rates *, uint64_t id, uint32_t recipients);

/* When the first of the day's recipients leave its window; 0 when there are none. */
int64_t limit_day_moves_at_ms(struct limit *);
