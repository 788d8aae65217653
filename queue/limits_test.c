/* Counts of mailboxes over restarts: what was kept, what was under way, what an earlier owner of the place or an earlier start of the machine left. */
#include "queue/limits.h"

#include "base/clock.h"
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct bench {
	char path[64];
	struct disk *disk;
	struct loop *loop;
	struct limits *limits;
	struct limit *limit; /* of mailbox 7 */
	size_t kept;
	struct limit_rates rates;
};

static const struct limit_rates rates = { 30, 100, 3 };

static void on_kept(void *self, struct limit *l, uint64_t mailbox, const struct limit_rates *were)
{
	struct bench *b = self;

	b->kept++;
	b->rates = *were;
	if (mailbox == 7)
		limit_own(l, &b->limit);
}

static void start(struct bench *b)
{
	b->kept = 0;
	b->limits = limits_new(b->loop);
	assert_int_equal(limits_open(b->limits, b->disk, on_kept, b), FAULT_OK);
}

static void restart(struct bench *b)
{
	limits_free(&b->limits);
	assert_null(b->limit);
	start(b);
}

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof *b);

	snprintf(b->path, sizeof b->path, "/tmp/limits-XXXXXX");
	assert_non_null(mkdtemp(b->path));
	assert_int_equal(disk_open(&b->disk, b->path, false), FAULT_OK);
	b->loop = loop_new();
	start(b);
	return b;
}

static void bench_free(struct bench *b)
{
	char file[96];

	limits_free(&b->limits);
	disk_close(&b->disk);
	loop_free(&b->loop);
	snprintf(file, sizeof file, "%s/limits", b->path);
	unlink(file);
	rmdir(b->path);
	free(b);
}

static void send_one(struct bench *b, uint64_t id, uint32_t recipients)
{
	if (!b->limit)
		limit_new(b->limits, 7, &b->limit);
	limit_take(b->limit, id, recipients);
	limit_begin(b->limit, &rates, id);
	limit_end(b->limit, &rates, id, recipients);
}

/* How many more messages to one may begin now. */
static uint32_t room(struct bench *b)
{
	enum limit_kind which = LIMIT_NONE;
	uint32_t count = 0;

	if (!b->limit)
		limit_new(b->limits, 7, &b->limit);
	while (limit_room_at_ms(b->limit, &rates, 1, &which) <= loop_now_ms(b->loop))
		limit_take(b->limit, 1000000 + count++, 1);
	assert_int_not_equal(which, LIMIT_NONE);
	for (uint32_t i = 0; i < count; i++)
		limit_end(b->limit, &rates, 1000000 + i, 0);
	return count;
}

static void a_try_takes_room_and_gives_back_what_never_began(void **state)
{
	struct bench *b = bench_new();
	enum limit_kind which;

	assert_int_equal(room(b), 30);
	limit_take(b->limit, 1, 10);
	assert_int_equal(room(b), 29);
	limit_end(b->limit, &rates, 1, 0); /* it never said a word */
	assert_int_equal(room(b), 30);
	send_one(b, 2, 95);
	assert_int_equal(room(b), 5);
	assert_true(limit_room_at_ms(b->limit, &rates, 6, &which) > loop_now_ms(b->loop) + 23 * 3600 * 1000);
	assert_int_equal(which, LIMIT_DAY);
	assert_true(limit_day_moves_at_ms(b->limit) > loop_now_ms(b->loop) + 23 * 3600 * 1000);
	for (uint64_t i = 3; i < 32; i++)
		send_one(b, i, 0); /* refused: it counts by the minute alone */
	assert_true(limit_room_at_ms(b->limit, &rates, 1, &which) > loop_now_ms(b->loop) + 50 * 1000);
	assert_int_equal(which, LIMIT_MINUTE);
	bench_free(b);
}

static void a_limit_filled_by_tries_waits_for_their_end(void **state)
{
	static const struct limit_rates two = { 2, 0, 0 };
	struct bench *b = bench_new();
	enum limit_kind which;

	limit_new(b->limits, 7, &b->limit);
	limit_take(b->limit, 1, 1);
	limit_take(b->limit, 2, 1);
	assert_true(limit_room_at_ms(b->limit, &two, 1, &which) == INT64_MAX);
	assert_int_equal(which, LIMIT_MINUTE);
	limit_end(b->limit, &two, 1, 0);
	assert_true(limit_room_at_ms(b->limit, &two, 1, &which) <= loop_now_ms(b->loop));
	bench_free(b);
}

static void a_restart_forgets_nothing(void **state)
{
	struct bench *b = bench_new();

	for (uint64_t i = 1; i <= 10; i++)
		send_one(b, i, 2);
	restart(b);
	assert_int_equal(b->kept, 1);
	assert_int_equal(b->rates.messages_per_minute, 30);
	assert_int_equal(b->rates.recipients_per_day, 100);
	assert_int_equal(b->rates.connections, 3);
	assert_int_equal(room(b), 20);
	for (uint64_t i = 11; i <= 20; i++)
		send_one(b, i, 9);
	restart(b);
	assert_int_equal(room(b), 0); /* 110 recipients */
	bench_free(b);
}

/* A process that dies between the first word and the last has sent, for all that anybody knows. */
static void what_was_under_way_counts(void **state)
{
	struct bench *b = bench_new();

	limit_new(b->limits, 7, &b->limit);
	for (uint64_t i = 1; i <= 5; i++)
		limit_take(b->limit, i, 10);
	for (uint64_t i = 1; i <= 3; i++)
		limit_begin(b->limit, &rates, i);
	limit_begin(b->limit, &rates, 3); /* twice is once */
	restart(b);
	assert_int_equal(room(b), 27);
	restart(b);
	assert_int_equal(room(b), 27); /* and once only */
	bench_free(b);
}

static void places_are_used_again_and_not_believed(void **state)
{
	struct bench *b = bench_new();
	struct limit *other = NULL;

	send_one(b, 1, 50);
	limit_free(&b->limit);
	limit_new(b->limits, 8, &other);
	limit_take(other, 2, 1);
	limit_begin(other, &rates, 2);
	restart(b);
	assert_int_equal(b->kept, 1); /* mailbox 8 */
	assert_null(b->limit);
	bench_free(b);
}

/* Writes over some bytes of the file. */
static void spoil(struct bench *b, uint64_t at, const char *bytes, size_t size)
{
	struct disk_file *file;

	assert_int_equal(disk_file_open(&file, b->disk, "limits", DISK_WRITE), FAULT_OK);
	assert_int_equal(disk_write(file, at, (struct span){ bytes, size }), FAULT_OK);
	disk_file_close(&file);
}

static void damage_is_passed_over(void **state)
{
	struct bench *b = bench_new();

	send_one(b, 1, 1);
	limits_free(&b->limits);
	spoil(b, 20, "\xff", 1);
	start(b);
	assert_int_equal(b->kept, 0);
	assert_int_equal(room(b), 30);
	send_one(b, 2, 1);
	restart(b);
	assert_int_equal(room(b), 29);
	bench_free(b);
}

static void a_mailbox_at_rest_takes_nothing(void **state)
{
	struct bench *b = bench_new();

	limit_new(b->limits, 7, &b->limit);
	limits_sweep(b->limits);
	assert_null(b->limit);
	send_one(b, 1, 1);
	limits_sweep(b->limits);
	assert_non_null(b->limit);
	bench_free(b);
}

TESTS(a_try_takes_room_and_gives_back_what_never_began, a_limit_filled_by_tries_waits_for_their_end, a_restart_forgets_nothing,
      what_was_under_way_counts, places_are_used_again_and_not_believed, damage_is_passed_over, a_mailbox_at_rest_takes_nothing)
