/* Lanes, slots and waits: who is tried, who is not, and for whose failure. On a real loop, with waits of milliseconds. */
#include "queue/schedule.h"

#include "tests/test.h"

#include <stdlib.h>

enum { MAILS_MAX = 64 };

struct bench {
	struct loop *loop;
	struct schedule *schedule;
	struct timer guard;
	bool gave_up;
	struct mail mails[MAILS_MAX], *started[256];
	size_t count, started_count, wanted;
};

static void on_start(void *self, struct mail *m)
{
	struct bench *b = self;

	b->started[b->started_count++] = m;
	if (b->started_count >= b->wanted)
		loop_stop(b->loop);
}

static void on_guard(void *self)
{
	struct bench *b = self;

	b->gave_up = true;
	loop_stop(b->loop);
}

static struct bench *bench_new(unsigned slots, unsigned tries_max)
{
	struct bench *b = calloc(1, sizeof *b);
	struct schedule_settings settings = { .slots = slots, .tries_max = tries_max, .retry_first_ms = 30, .retry_longest_ms = 120 };

	b->loop = loop_new();
	b->schedule = schedule_new(b->loop, &settings, on_start, b);
	timer_init(&b->guard, b->loop, on_guard, b);
	return b;
}

static void bench_free(struct bench *b)
{
	timer_stop(&b->guard);
	schedule_free(&b->schedule);
	loop_free(&b->loop);
	free(b);
}

/* The schedule goes first. */
static void limits_free_behind(struct bench *b, struct limits **limits)
{
	schedule_free(&b->schedule);
	limits_free(limits);
	bench_free(b);
}

static struct mail *add(struct bench *b, uint64_t mailbox)
{
	struct mail *m = &b->mails[b->count++];

	m->id = b->count;
	m->mailbox = mailbox;
	m->open_count = 1;
	schedule_add(b->schedule, m, loop_now_ms(b->loop));
	return m;
}

/* Runs until so many were started in all. */
static void until(struct bench *b, size_t started)
{
	b->wanted = started;
	timer_after(&b->guard, 10000);
	while (b->started_count < started && !b->gave_up)
		loop_run(b->loop);
	assert_int_equal(b->started_count, started);
}

/* Lets some time pass in which nothing may start. */
static void quiet(struct bench *b, int64_t ms)
{
	size_t before = b->started_count;

	b->wanted = SIZE_MAX;
	timer_after(&b->guard, ms);
	while (!b->gave_up)
		loop_run(b->loop);
	b->gave_up = false;
	assert_int_equal(b->started_count, before);
}

static void slots_are_each_mailboxs_own(void **state)
{
	struct bench *b = bench_new(2, 100);

	for (unsigned i = 0; i < 5; i++)
		add(b, 1);
	add(b, 2);
	until(b, 3);
	assert_true(b->mails[5].lane_place == 0); /* the other mailbox did not wait */
	quiet(b, 20);
	assert_false(schedule_is_free(schedule_lane(b->schedule, 1), 1));
	assert_true(schedule_is_free(schedule_lane(b->schedule, 2), 1));
	schedule_ended(&b->mails[0], SCHEDULE_WENT, 1);
	until(b, 4);
	assert_ptr_equal(b->started[3], &b->mails[2]); /* the oldest first */
	bench_free(b);
}

static void lanes_take_turns_under_the_ceiling(void **state)
{
	struct bench *b = bench_new(3, 2);

	for (uint64_t mailbox = 1; mailbox <= 3; mailbox++)
		for (unsigned i = 0; i < 3; i++)
			add(b, mailbox);
	until(b, 2);
	for (size_t n = 3; n <= 9; n++) {
		schedule_ended(b->started[n - 3], SCHEDULE_WENT, 1);
		until(b, n);
	}
	quiet(b, 10);
	bench_free(b);
}

/* A failing mailbox waits, then is tried by one message alone until that one went. */
static void a_mailbox_that_fails_waits_alone(void **state)
{
	struct bench *b = bench_new(3, 100);
	struct lane *lane;

	for (unsigned i = 0; i < 6; i++)
		add(b, 1);
	add(b, 2);
	until(b, 4);
	lane = schedule_lane(b->schedule, 1);
	schedule_name(lane, SPAN("t"), SPAN("h"));
	for (unsigned i = 0; i < 3; i++) /* three under way that broke together are one failure */
		schedule_ended(&b->mails[i], SCHEDULE_MAILBOX_FAILED, 0);
	assert_true(lane_until_ms(lane) > loop_now_ms(b->loop) && lane_until_ms(lane) <= loop_now_ms(b->loop) + 30);
	assert_false(schedule_is_free(lane, 1));
	schedule_name(schedule_lane(b->schedule, 2), SPAN("t"), SPAN("h"));
	schedule_ended(&b->mails[6], SCHEDULE_WENT, 1);
	assert_true(schedule_is_free(schedule_lane(b->schedule, 2), 1)); /* same tenant and host, other mailbox */
	until(b, 5);
	quiet(b, 50); /* one only */
	schedule_ended(b->started[4], SCHEDULE_MAILBOX_FAILED, 0);
	assert_true(lane_until_ms(lane) > loop_now_ms(b->loop) + 30); /* it doubles */
	until(b, 6);
	schedule_ended(b->started[5], SCHEDULE_WENT, 1);
	until(b, 7);
	bench_free(b);
}

/* What fails for all of a host waits for all of it; one tries for all. */
static void a_host_that_fails_stops_its_mailboxes(void **state)
{
	struct bench *b = bench_new(3, 100);
	struct lane *one = schedule_lane(b->schedule, 1), *two = schedule_lane(b->schedule, 2), *other = schedule_lane(b->schedule, 3);

	schedule_name(one, SPAN("t1"), SPAN("h"));
	schedule_name(two, SPAN("t2"), SPAN("h"));
	schedule_name(other, SPAN("t1"), SPAN("h2"));
	add(b, 1);
	until(b, 1);
	schedule_ended(b->started[0], SCHEDULE_HOST_FAILED, 0);
	assert_false(schedule_is_free(two, 1));
	assert_true(schedule_is_free(other, 1));
	add(b, 2);
	add(b, 1);
	until(b, 2);
	quiet(b, 40);
	schedule_ended(b->started[1], SCHEDULE_WENT, 1);
	until(b, 3);
	bench_free(b);
}

static void blocked_lanes_start_nothing_but_one_alone(void **state)
{
	struct bench *b = bench_new(3, 100);
	struct lane *lane = schedule_lane(b->schedule, 1);

	schedule_block(lane, true);
	for (unsigned i = 0; i < 3; i++)
		add(b, 1);
	quiet(b, 20);
	assert_ptr_equal(lane_oldest(lane), &b->mails[0]);
	schedule_start_alone(lane_oldest(lane));
	assert_int_equal(b->started_count, 1);
	quiet(b, 20);
	schedule_ended(b->started[0], SCHEDULE_STOPPED, 0);
	schedule_block(lane, false);
	until(b, 3);
	bench_free(b);
}

static void removed_ones_are_not_started(void **state)
{
	struct bench *b = bench_new(1, 100);
	struct lane *lane = schedule_lane(b->schedule, 1);

	schedule_block(lane, true);
	for (unsigned i = 0; i < 20; i++)
		add(b, 1);
	for (unsigned i = 0; i < 20; i += 2)
		schedule_remove(&b->mails[i]);
	schedule_block(lane, false);
	for (size_t n = 1; n <= 10; n++) {
		until(b, n);
		assert_ptr_equal(b->started[n - 1], &b->mails[n * 2 - 1]);
		schedule_ended(b->started[n - 1], SCHEDULE_WENT, 1);
	}
	assert_int_equal(lane_count(lane), 0);
	bench_free(b);
}

/* --- what a provider allows; without a file */

struct allowed {
	uint64_t mailbox;
	struct limit_rates rates;
};

static bool on_rates(void *self, uint64_t mailbox, struct limit_rates *out)
{
	const struct allowed *a = self;

	*out = a->mailbox == mailbox ? a->rates : (struct limit_rates){ 0 };
	return true;
}

static void a_mailbox_at_its_limit_waits_and_no_other(void **state)
{
	struct allowed allowed = { 1, { .messages_per_minute = 2 } };
	struct bench *b = bench_new(5, 100);
	struct limits *limits = limits_new(b->loop);
	struct lane *lane;
	struct schedule_limit l;

	schedule_count_by(b->schedule, limits, on_rates, &allowed);
	lane = schedule_lane(b->schedule, 1);
	for (unsigned i = 0; i < 7; i++)
		add(b, 1);
	until(b, 2);
	quiet(b, 20);
	for (unsigned i = 0; i < 2; i++) {
		schedule_begun(&b->mails[i]);
		schedule_ended(&b->mails[i], SCHEDULE_WENT, 1);
	}
	quiet(b, 20);
	assert_false(schedule_is_free(lane, 1));
	l = schedule_limit(lane, 1, lane_count(lane) - 1);
	assert_int_equal(l.kind, LIMIT_MINUTE);
	assert_int_equal(l.allowed, 2);
	assert_in_range(l.until_ms - loop_now_ms(b->loop), 170000, 181000); /* five wait: the last of them goes in the third minute */
	add(b, 2);
	until(b, 3);
	assert_ptr_equal(b->started[2], &b->mails[7]);
	allowed.rates.messages_per_minute = 3; /* more is allowed: one more goes at once */
	schedule_rates_changed(b->schedule, 1);
	until(b, 4);
	quiet(b, 20);
	schedule_ended(b->started[3], SCHEDULE_STOPPED, 0); /* it was never begun, and takes nothing */
	until(b, 5);
	quiet(b, 20);
	allowed.rates.messages_per_minute = 0; /* and then without limit */
	schedule_rates_changed(b->schedule, 1);
	until(b, 8);
	limits_free_behind(b, &limits);
}

static void the_day_and_the_connections_count_too(void **state)
{
	struct allowed allowed = { 1, { .recipients_per_day = 10, .connections = 2 } };
	struct bench *b = bench_new(5, 100);
	struct limits *limits = limits_new(b->loop);
	struct lane *lane;

	schedule_count_by(b->schedule, limits, on_rates, &allowed);
	lane = schedule_lane(b->schedule, 1);
	schedule_block(lane, true);
	for (unsigned i = 0; i < 4; i++)
		add(b, 1)->open_count = 4;
	schedule_block(lane, false);
	until(b, 2);
	quiet(b, 20); /* two at once */
	schedule_begun(&b->mails[0]);
	schedule_ended(&b->mails[0], SCHEDULE_WENT, 4);
	quiet(b, 20); /* eight are named: four more are too many */
	assert_int_equal(schedule_limit(lane, 4, 0).kind, LIMIT_DAY);
	assert_int_equal(schedule_limit(lane, 4, 0).allowed, 10);
	assert_true(schedule_limit(lane, 2, 0).until_ms <= loop_now_ms(b->loop));
	schedule_begun(&b->mails[1]);
	schedule_ended(&b->mails[1], SCHEDULE_WENT, 1); /* three of its four were refused */
	until(b, 3);
	schedule_begun(&b->mails[2]);
	schedule_ended(&b->mails[2], SCHEDULE_MAILBOX_FULL, 0); /* whatever we count, the provider knows */
	assert_true(lane_until_ms(lane) > loop_now_ms(b->loop) + 3500 * 1000);
	limits_free_behind(b, &limits);
}

static void waits_double_up_to_the_longest(void **state)
{
	struct bench *b = bench_new(1, 1);

	for (unsigned i = 0; i < 200; i++) {
		assert_in_range(schedule_wait_ms(b->schedule, 1), 22, 30);
		assert_in_range(schedule_wait_ms(b->schedule, 2), 45, 60);
		assert_in_range(schedule_wait_ms(b->schedule, 3), 90, 120);
		assert_in_range(schedule_wait_ms(b->schedule, 1000000), 90, 120);
	}
	bench_free(b);
}

TESTS(slots_are_each_mailboxs_own, lanes_take_turns_under_the_ceiling, a_mailbox_that_fails_waits_alone, a_host_that_fails_stops_its_mailboxes,
      blocked_lanes_start_nothing_but_one_alone, removed_ones_are_not_started,
      a_mailbox_at_its_limit_waits_and_no_other, the_day_and_the_connections_count_too, waits_double_up_to_the_longest)
