#include "queue/schedule.h"

#include "base/map.h"
#include "base/panic.h"
#include "base/rand.h"
#include "queue/mail_heap.h"

#include <stdlib.h>
#include <string.h>

enum { DOUBLINGS_MAX = 20, FULL_LONGEST_MS = 3600 * 1000, MINUTE_MS = 60 * 1000 };

/* A mailbox, tenant or host, and how it fares. */
struct scope {
	char *name;
	unsigned failures, trying;
	int64_t until_ms;
};

struct lane {
	struct schedule *schedule;
	uint64_t mailbox;
	struct scope self, *scopes[SCHEDULE_SCOPES]; /* tenant and host are NULL while unknown */
	struct mail_heap heap;
	unsigned used;
	bool blocked, hungry, is_full; /* the provider's word that the day is full */
	struct timer timer;
	struct lane *next_hungry;
	struct limit_rates rates;
	bool rates_known;
	struct limit *limit; /* what it has sent; NULL where that is nothing, or no matter */
};

struct schedule {
	struct loop *loop;
	struct schedule_settings settings;
	schedule_start *start;
	void *self;
	struct map lanes, tenants, hosts;
	unsigned trying;
	struct lane *hungry, **hungry_last;
	uint64_t order;
	struct limits *limits; /* NULL: nothing is counted */
	schedule_rates *rates;
	void *rates_self;
};

static void *take(void *old, size_t size)
{
	void *at = realloc(old, size);

	if (!at)
		panic("out of memory");
	return at;
}

struct schedule *schedule_new(struct loop *loop, const struct schedule_settings *settings, schedule_start *start, void *self)
{
	struct schedule *s = take(NULL, sizeof *s);

	*s = (struct schedule){ .loop = loop, .settings = *settings, .start = start, .self = self };
	map_init(&s->lanes, false);
	map_init(&s->tenants, true);
	map_init(&s->hosts, true);
	s->hungry_last = &s->hungry;
	return s;
}

static void scopes_free(struct map *map)
{
	struct scope *scope;

	for (size_t at = 0; (scope = map_next(map, &at));) {
		map_remove(map, span_of(scope->name));
		free(scope->name);
		free(scope);
	}
	map_free(map);
}

void schedule_free(struct schedule **out)
{
	struct schedule *s = *out;
	struct lane *lane;

	if (!s)
		return;
	for (size_t at = 0; (lane = map_next(&s->lanes, &at));) {
		map_remove(&s->lanes, (struct span){ (const char *)&lane->mailbox, sizeof lane->mailbox });
		timer_stop(&lane->timer);
		if (lane->limit)
			limit_own(lane->limit, NULL);
		mail_heap_free(&lane->heap);
		free(lane);
	}
	map_free(&s->lanes);
	scopes_free(&s->tenants);
	scopes_free(&s->hosts);
	free(s);
	*out = NULL;
}

/* --- whether something may start */

static bool scope_is_free(const struct scope *scope, int64_t now_ms)
{
	return !scope || (scope->until_ms <= now_ms && !(scope->failures && scope->trying));
}

static bool scopes_are_free(const struct lane *lane)
{
	int64_t now_ms = loop_now_ms(lane->schedule->loop);

	for (size_t i = 0; i < SCHEDULE_SCOPES; i++)
		if (!scope_is_free(lane->scopes[i], now_ms))
			return false;
	return true;
}

static bool is_counted(const struct lane *lane)
{
	return lane->schedule->limits && (!lane->rates_known || lane->rates.messages_per_minute || lane->rates.recipients_per_day);
}

static unsigned slots_of(const struct lane *lane)
{
	unsigned slots = lane->schedule->settings.slots;

	return lane->rates.connections && lane->rates.connections < slots ? lane->rates.connections : slots;
}

/* When its limits let a message to so many recipients begin: not later than now, later, or INT64_MAX, when a try has ended. */
static int64_t limit_until_ms(const struct lane *lane, uint32_t recipients, enum limit_kind *which_out)
{
	*which_out = LIMIT_NONE;
	return lane->limit && is_counted(lane) ? limit_room_at_ms(lane->limit, &lane->rates, recipients, which_out) : 0;
}

static bool limit_is_free(const struct lane *lane, uint32_t recipients)
{
	enum limit_kind which;

	return limit_until_ms(lane, recipients, &which) <= loop_now_ms(lane->schedule->loop);
}

bool schedule_is_free(struct lane *lane, uint32_t recipients)
{
	const struct schedule *s = lane->schedule;

	return !lane->blocked && lane->used < slots_of(lane) && s->trying < s->settings.tries_max && scopes_are_free(lane) &&
	       limit_is_free(lane, recipients) && (!lane->heap.count || (int64_t)lane->heap.at[0]->lane_order > loop_now_ms(s->loop));
}

struct schedule_limit schedule_limit(struct lane *lane, uint32_t recipients, size_t before)
{
	struct schedule_limit l;

	if (lane->is_full && lane->self.until_ms > loop_now_ms(lane->schedule->loop))
		return (struct schedule_limit){ LIMIT_DAY, 0, lane->self.until_ms };
	l.until_ms = limit_until_ms(lane, recipients, &l.kind);
	if (l.until_ms == INT64_MAX)
		l.until_ms = loop_now_ms(lane->schedule->loop) + MINUTE_MS;
	l.allowed = l.kind == LIMIT_DAY ? lane->rates.recipients_per_day : lane->rates.messages_per_minute;
	if (lane->rates.messages_per_minute)
		l.until_ms += (int64_t)(before / lane->rates.messages_per_minute) * MINUTE_MS;
	return l;
}

int64_t lane_until_ms(const struct lane *lane)
{
	int64_t until = 0;

	for (size_t i = 0; i < SCHEDULE_SCOPES; i++)
		if (lane->scopes[i] && lane->scopes[i]->until_ms > until)
			until = lane->scopes[i]->until_ms;
	return until;
}

/* Sets the lane's clock for its next chance. While slots are full or somebody tries for all, the end of a try is the next chance. */
static void arm(struct lane *lane)
{
	enum limit_kind which;
	int64_t due_ms, room_ms;

	timer_stop(&lane->timer);
	if (lane->blocked || !lane->heap.count || lane->hungry || lane->used >= slots_of(lane))
		return;
	due_ms = (int64_t)lane->heap.at[0]->lane_order;
	if (lane_until_ms(lane) > due_ms)
		due_ms = lane_until_ms(lane);
	room_ms = limit_until_ms(lane, lane->heap.at[0]->open_count, &which);
	if (room_ms == INT64_MAX)
		return; /* the end of a try makes room */
	if (room_ms > due_ms)
		due_ms = room_ms;
	if (due_ms <= loop_now_ms(lane->schedule->loop) && !scopes_are_free(lane))
		return; /* somebody tries for all */
	timer_at(&lane->timer, due_ms);
}

static void begin(struct lane *lane, struct mail *m)
{
	struct schedule *s = lane->schedule;

	mail_heap_remove(&lane->heap, m);
	if (is_counted(lane)) {
		if (!lane->limit)
			limit_new(s->limits, lane->mailbox, &lane->limit);
		limit_take(lane->limit, m->id, m->open_count);
	}
	lane->used++;
	s->trying++;
	m->trying = true;
	for (size_t i = 0; i < SCHEDULE_SCOPES; i++)
		if (lane->scopes[i])
			lane->scopes[i]->trying++;
	s->start(s->self, m);
}

static void wait_for_turn(struct lane *lane)
{
	struct schedule *s = lane->schedule;

	if (lane->hungry)
		return;
	lane->hungry = true;
	lane->next_hungry = NULL;
	*s->hungry_last = lane;
	s->hungry_last = &lane->next_hungry;
}

static void run(void *self)
{
	struct lane *lane = self;
	struct schedule *s = lane->schedule;

	while (!lane->blocked && lane->heap.count && lane->used < slots_of(lane) && scopes_are_free(lane) &&
	       (int64_t)lane->heap.at[0]->lane_order <= loop_now_ms(s->loop) && limit_is_free(lane, lane->heap.at[0]->open_count)) {
		if (s->trying >= s->settings.tries_max) {
			wait_for_turn(lane);
			return;
		}
		begin(lane, lane->heap.at[0]);
	}
	arm(lane);
}

static void feed_hungry(struct schedule *s)
{
	while (s->hungry && s->trying < s->settings.tries_max) {
		struct lane *lane = s->hungry;

		s->hungry = lane->next_hungry;
		if (!s->hungry)
			s->hungry_last = &s->hungry;
		lane->hungry = false;
		run(lane);
	}
}

/* --- what mailboxes may */

static void learn_rates(struct lane *lane)
{
	struct schedule *s = lane->schedule;
	struct limit_rates rates;

	if (!s->rates || !s->rates(s->rates_self, lane->mailbox, &rates))
		return;
	lane->rates = rates;
	lane->rates_known = true;
	if (!is_counted(lane))
		limit_free(&lane->limit);
}

void schedule_count_by(struct schedule *s, struct limits *limits, schedule_rates *rates, void *self)
{
	s->limits = limits;
	s->rates = rates;
	s->rates_self = self;
}

void schedule_rates_changed(struct schedule *s, uint64_t mailbox)
{
	struct lane *lane = map_get(&s->lanes, (struct span){ (const char *)&mailbox, sizeof mailbox });

	if (!lane)
		return;
	learn_rates(lane);
	arm(lane);
}

void schedule_recall(struct schedule *s, struct limit *limit, uint64_t mailbox, const struct limit_rates *rates)
{
	struct lane *lane = schedule_lane(s, mailbox);

	if (lane->limit)
		return; /* a second place in the file, which nobody reads: it goes when it is old */
	if (!lane->rates_known)
		lane->rates = *rates;
	limit_own(limit, &lane->limit);
}

/* --- lanes */

struct lane *schedule_lane(struct schedule *s, uint64_t mailbox)
{
	struct lane *lane = map_get(&s->lanes, (struct span){ (const char *)&mailbox, sizeof mailbox });

	if (lane)
		return lane;
	lane = take(NULL, sizeof *lane);
	*lane = (struct lane){ .schedule = s, .mailbox = mailbox };
	lane->scopes[SCHEDULE_MAILBOX] = &lane->self;
	timer_init(&lane->timer, s->loop, run, lane);
	map_put(&s->lanes, (struct span){ (const char *)&lane->mailbox, sizeof lane->mailbox }, lane);
	learn_rates(lane);
	return lane;
}

uint64_t lane_mailbox(const struct lane *lane)
{
	return lane->mailbox;
}

struct span lane_tenant(const struct lane *lane)
{
	return span_of(lane->scopes[SCHEDULE_TENANT] ? lane->scopes[SCHEDULE_TENANT]->name : "");
}

static struct scope *scope_named(struct map *map, struct span name)
{
	struct scope *scope = name.size ? map_get(map, name) : NULL;

	if (scope || !name.size)
		return scope;
	scope = take(NULL, sizeof *scope);
	*scope = (struct scope){ .name = strndup(name.at, name.size) };
	if (!scope->name)
		panic("out of memory");
	map_put(map, span_of(scope->name), scope);
	return scope;
}

static void change_scope(struct lane *lane, enum schedule_scope kind, struct scope *to)
{
	struct scope *from = lane->scopes[kind];

	if (from == to)
		return;
	if (from)
		from->trying -= lane->used;
	if (to)
		to->trying += lane->used;
	lane->scopes[kind] = to;
}

void schedule_name(struct lane *lane, struct span tenant, struct span host)
{
	change_scope(lane, SCHEDULE_TENANT, scope_named(&lane->schedule->tenants, tenant));
	change_scope(lane, SCHEDULE_HOST, scope_named(&lane->schedule->hosts, host));
}

void schedule_add(struct schedule *s, struct mail *m, int64_t due_ms)
{
	struct lane *lane = schedule_lane(s, m->mailbox);

	m->lane = lane;
	m->lane_order = (uint64_t)(due_ms > 0 ? due_ms : 0);
	mail_heap_add(&lane->heap, m);
	arm(lane);
}

bool schedule_try(struct schedule *s, struct mail *m)
{
	struct lane *lane = schedule_lane(s, m->mailbox);

	if (!schedule_is_free(lane, m->open_count))
		return false;
	m->lane = lane;
	m->lane_order = (uint64_t)loop_now_ms(s->loop);
	mail_heap_add(&lane->heap, m);
	begin(lane, m);
	return true;
}

void schedule_remove(struct mail *m)
{
	if (!m->lane_place)
		return;
	mail_heap_remove(&m->lane->heap, m);
	arm(m->lane);
}

void schedule_start_alone(struct mail *m)
{
	begin(m->lane, m);
}

struct mail *lane_oldest(const struct lane *lane)
{
	struct mail *oldest = NULL;

	for (size_t i = 0; i < lane->heap.count; i++)
		if (!oldest || lane->heap.at[i]->id < oldest->id)
			oldest = lane->heap.at[i];
	return oldest;
}

size_t lane_count(const struct lane *lane)
{
	return lane->heap.count;
}

struct mail *lane_at(const struct lane *lane, size_t at)
{
	return at < lane->heap.count ? lane->heap.at[at] : NULL;
}

void schedule_block(struct lane *lane, bool blocked)
{
	lane->blocked = blocked;
	arm(lane);
}

bool lane_is_blocked(const struct lane *lane)
{
	return lane->blocked;
}

struct lane *schedule_next_lane(struct schedule *s, size_t *at)
{
	return map_next(&s->lanes, at);
}

/* --- after a try */

int64_t schedule_wait_ms(const struct schedule *s, uint32_t attempts)
{
	unsigned doublings = attempts > DOUBLINGS_MAX ? DOUBLINGS_MAX : attempts ? attempts - 1 : 0;
	int64_t wait_ms = s->settings.retry_first_ms << doublings;

	if (wait_ms > s->settings.retry_longest_ms)
		wait_ms = s->settings.retry_longest_ms;
	return wait_ms - (int64_t)rand_below((uint64_t)wait_ms / 4 + 1);
}

static void charge(struct schedule *s, struct scope *scope)
{
	int64_t until_ms;

	if (!scope)
		return;
	/* several tries that were under way when it broke are one failure */
	if (scope->until_ms > loop_now_ms(s->loop))
		return;
	scope->failures++;
	until_ms = loop_now_ms(s->loop) + schedule_wait_ms(s, scope->failures);
	scope->until_ms = until_ms;
}

static void clear(struct scope *scope)
{
	if (scope)
		scope->failures = 0;
	if (scope)
		scope->until_ms = 0;
}

/* Others may send from the mailbox too, so that the provider's count is not ours: it is asked again when ours moves, at least every hour. */
static void fill(struct lane *lane)
{
	struct schedule *s = lane->schedule;
	int64_t now_ms = loop_now_ms(s->loop), moves_ms = lane->limit ? limit_day_moves_at_ms(lane->limit) : 0;

	lane->is_full = true;
	charge(s, &lane->self);
	clear(lane->scopes[SCHEDULE_HOST]);
	if (!moves_ms || moves_ms > now_ms + FULL_LONGEST_MS)
		moves_ms = now_ms + FULL_LONGEST_MS;
	if (moves_ms > lane->self.until_ms)
		lane->self.until_ms = moves_ms;
}

static void judge(struct lane *lane, enum schedule_end end)
{
	struct scope *mailbox = lane->scopes[SCHEDULE_MAILBOX], *tenant = lane->scopes[SCHEDULE_TENANT], *host = lane->scopes[SCHEDULE_HOST];

	switch (end) {
	case SCHEDULE_WENT:
		lane->is_full = false;
		clear(mailbox);
		clear(tenant);
		clear(host);
		break;
	case SCHEDULE_MAILBOX_FAILED:
		charge(lane->schedule, mailbox);
		clear(host);
		break;
	case SCHEDULE_MAILBOX_FULL: fill(lane); break;
	case SCHEDULE_TENANT_FAILED:
		charge(lane->schedule, tenant ? tenant : mailbox);
		break;
	case SCHEDULE_HOST_FAILED:
		charge(lane->schedule, host ? host : mailbox);
		break;
	case SCHEDULE_STOPPED: break;
	}
}

/* Lanes that share a tenant or host with this one may have waited for it. */
static void wake_sharers(struct lane *lane)
{
	struct lane *other;

	for (size_t at = 0; (other = map_next(&lane->schedule->lanes, &at));)
		if (other != lane && other->heap.count &&
		    ((other->scopes[SCHEDULE_TENANT] && other->scopes[SCHEDULE_TENANT] == lane->scopes[SCHEDULE_TENANT]) ||
		     (other->scopes[SCHEDULE_HOST] && other->scopes[SCHEDULE_HOST] == lane->scopes[SCHEDULE_HOST])))
			arm(other);
}

static bool is_troubled(const struct lane *lane)
{
	return (lane->scopes[SCHEDULE_TENANT] && lane->scopes[SCHEDULE_TENANT]->failures) ||
	       (lane->scopes[SCHEDULE_HOST] && lane->scopes[SCHEDULE_HOST]->failures);
}

void schedule_begun(struct mail *m)
{
	if (m->lane->limit)
		limit_begin(m->lane->limit, &m->lane->rates, m->id);
}

void schedule_ended(struct mail *m, enum schedule_end end, uint32_t recipients)
{
	struct lane *lane = m->lane;
	struct schedule *s = lane->schedule;
	bool was_troubled = is_troubled(lane);

	ASSERT(lane->used && s->trying);
	if (lane->limit)
		limit_end(lane->limit, &lane->rates, m->id, recipients);
	for (size_t i = 0; i < SCHEDULE_SCOPES; i++)
		if (lane->scopes[i])
			lane->scopes[i]->trying--;
	lane->used--;
	s->trying--;
	judge(lane, end);
	arm(lane);
	if (was_troubled || is_troubled(lane))
		wake_sharers(lane);
	feed_hungry(s);
}

void schedule_hurry(struct lane *lane)
{
	for (size_t i = 0; i < SCHEDULE_SCOPES; i++)
		if (lane->scopes[i])
			lane->scopes[i]->until_ms = 0;
	arm(lane);
}

void schedule_set(struct schedule *s, const struct schedule_settings *settings)
{
	struct lane *lane;

	s->settings = *settings;
	for (size_t at = 0; (lane = map_next(&s->lanes, &at));)
		arm(lane);
}
