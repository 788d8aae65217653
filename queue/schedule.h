/* queue/schedule.h - which message is tried next, and when.
 *
 * Why       One bad mailbox, tenant or host must not slow another, and what fails must not be hammered.
 * Promise   Each mailbox has a lane with slots of its own. A failure is charged to the thing that failed: the mailbox, its tenant, or the host;
 *           while it waits nothing of that thing is tried, then one message at a time until one succeeds. Waits double from `retry_first_ms`
 *           to `retry_longest_ms`, each shortened by up to a quarter by chance. Lanes beyond `tries_max` take turns. What the provider allows a
 *           mailbox in a minute, in a day and at once is never overshot; a mailbox at its limit waits by one timer, whatever is in its lane.
 * Owns      Lanes and scopes; messages stay their owner's.
 * Refuses   Nothing: what may not start now waits.
 * See       architecture section 4, point 7 */
#pragma once
#include "loop/loop.h"
#include "queue/limits.h"
#include "queue/mail.h"

struct schedule;

struct schedule_settings {
	unsigned slots;     /* messages of one mailbox tried at once */
	unsigned tries_max; /* of all */
	int64_t retry_first_ms, retry_longest_ms;
};

enum schedule_scope { SCHEDULE_MAILBOX, SCHEDULE_TENANT, SCHEDULE_HOST, SCHEDULE_SCOPES };

/* How a try ended for the schedule. */
enum schedule_end {
	SCHEDULE_WENT,           /* mailbox, tenant and host work, whatever became of the message */
	SCHEDULE_MAILBOX_FAILED,
	SCHEDULE_MAILBOX_FULL,   /* the provider says that it has sent enough for a day */
	SCHEDULE_TENANT_FAILED,
	SCHEDULE_HOST_FAILED,
	SCHEDULE_STOPPED,        /* says nothing of any of them: held, or given up by us */
};

/* Called for a message whose turn it is; it has left its lane and keeps a slot until schedule_ended(). Never from inside a call of schedule_add(). */
typedef void schedule_start(void *self, struct mail *);

/* Its settings may change at any time. To be freed when its messages are no longer used. */
struct schedule *schedule_new(struct loop *, const struct schedule_settings *, schedule_start *, void *self);
void schedule_free(struct schedule **);
void schedule_set(struct schedule *, const struct schedule_settings *);

/* From now on counts what mailboxes send. `rates` says what a mailbox may; false where that is not known yet: then it is counted, without a limit. */
typedef bool schedule_rates(void *self, uint64_t mailbox, struct limit_rates *out);
void schedule_count_by(struct schedule *, struct limits *, schedule_rates *, void *self);

/* What a mailbox may has changed. What it sent and might was kept, as limits_kept has it. */
void schedule_rates_changed(struct schedule *, uint64_t mailbox);
void schedule_recall(struct schedule *, struct limit *, uint64_t mailbox, const struct limit_rates *);

/* The lane of a mailbox; made when there is none. */
struct lane *schedule_lane(struct schedule *, uint64_t mailbox);

/* Whose lane it is; its tenant, or an empty span. */
uint64_t lane_mailbox(const struct lane *);
struct span lane_tenant(const struct lane *);

/* Who the mailbox's tenant and host are, once they are known. */
void schedule_name(struct lane *, struct span tenant, struct span host);

/* Whether a message to so many recipients would be tried at once. */
bool schedule_is_free(struct lane *, uint32_t recipients);

/* Which limit keeps the next message of the lane, or one to so many recipients, waiting, how much it allows, and until when, in loop time, the last of
 * `before` others and that one have gone, as far as can be told. */
struct schedule_limit {
	enum limit_kind kind;
	uint32_t allowed; /* 0: as much as was sent; the provider has said that the day is full */
	int64_t until_ms;
};
struct schedule_limit schedule_limit(struct lane *, uint32_t recipients, size_t before);

/* Starts a message now, from inside this call, where schedule_is_free(); else false. */
bool schedule_try(struct schedule *, struct mail *);

/* Puts a message in its lane, to be tried at `due_ms` (loop time) at the earliest; takes it out again. */
void schedule_add(struct schedule *, struct mail *, int64_t due_ms);
void schedule_remove(struct mail *);

/* Starts a message that waits in a blocked lane, alone: the first one released. Its try ends as any other. The caller has seen that no limit stands
 * against it. */
void schedule_start_alone(struct mail *);

/* The message that is being tried is about to be named upstream: from here on it counts. */
void schedule_begun(struct mail *);

/* The oldest message waiting in a lane, or NULL; how many wait. */
struct mail *lane_oldest(const struct lane *);
size_t lane_count(const struct lane *);
struct mail *lane_at(const struct lane *, size_t at);

/* A blocked lane starts nothing. */
void schedule_block(struct lane *, bool blocked);
bool lane_is_blocked(const struct lane *);

/* The try of a message ended; gives its slot back. Where it had begun, `recipients` is how many the provider has taken, or may have taken. */
void schedule_ended(struct mail *, enum schedule_end, uint32_t recipients);

/* Forgets what a lane's things wait for: a person wants it tried now. */
void schedule_hurry(struct lane *);

/* How long a message of its own trouble waits after so many attempts; and when, in loop time, a lane may be tried again. */
int64_t schedule_wait_ms(const struct schedule *, uint32_t attempts);
int64_t lane_until_ms(const struct lane *);

/* Every lane once; NULL at the end. */
struct lane *schedule_next_lane(struct schedule *, size_t *at);
