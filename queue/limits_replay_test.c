/* A schedule over virtual time with deaths in between, against a provider that counts in the worst way it may: each message at a moment of its choice
 * between the first word of a try and its end. No window may hold more than was allowed, and little may be left unused. LIMITS_MAILBOXES=1000 and
 * LIMITS_MINUTES=60 for the full count. */
#include "base/clock.h"
#include "loop/fake/world.h"
#include "queue/schedule.h"
#include "tests/test.h"

#include <stdlib.h>

enum { MINUTE_MS = 60000, PER_MINUTE = 30, CONNECTIONS = 3, TRY_MS_MAX = 9000, REFUSED_PERCENT = 7, AWAY_MS_MAX = 2000, DAY = 120 };
#define PATH "/post/spool"

struct count {
	int64_t at_ms;
	uint32_t recipients;
};

struct box {
	struct count *counts; /* as the provider made them */
	size_t count, room;
	unsigned open, open_most;
};

struct attempt {
	struct bench *bench;
	struct mail *mail;
	struct timer timer;
	int64_t begun_ms;
	bool begins;
};

struct bench {
	struct loop *loop;
	struct disk *disk;
	struct limits *limits;
	struct schedule *schedule;
	struct box *boxes;
	size_t box_count, attempts, deaths;
	struct limit_rates rates;
	struct mail **mails;
	size_t mail_count;
	struct attempt **under_way;
	uint64_t last_id;
};

static const struct schedule_settings settings = { .slots = 10, .tries_max = 1000, .retry_first_ms = 15000, .retry_longest_ms = 3600000 };

/* --- the provider */

static void provider_counts(struct bench *b, const struct attempt *a, int64_t until_ms)
{
	struct box *box = &b->boxes[a->mail->mailbox - 1];

	if (box->count == box->room) {
		box->room = box->room ? box->room * 2 : 64;
		box->counts = realloc(box->counts, box->room * sizeof *box->counts);
		assert_non_null(box->counts);
	}
	box->counts[box->count++] = (struct count){ a->begun_ms + (int64_t)world_dice((uint64_t)(until_ms - a->begun_ms) + 1), a->mail->open_count };
}

static int by_time(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
}

static void judge(struct bench *b)
{
	for (size_t i = 0; i < b->box_count; i++) {
		struct box *box = &b->boxes[i];
		uint64_t day = 0;
		size_t first = 0;

		qsort(box->counts, box->count, sizeof *box->counts, by_time);
		for (size_t k = 0; k < box->count; k++) {
			if (b->rates.messages_per_minute && k >= b->rates.messages_per_minute)
				assert_true(box->counts[k].at_ms - box->counts[k - b->rates.messages_per_minute].at_ms >= MINUTE_MS);
			day += box->counts[k].recipients;
			while (box->counts[first].at_ms + 24 * 60 * MINUTE_MS <= box->counts[k].at_ms)
				day -= box->counts[first++].recipients;
			assert_true(!b->rates.recipients_per_day || day <= b->rates.recipients_per_day);
		}
		assert_true(box->open_most <= CONNECTIONS);
	}
}

/* --- tries */

static struct mail *mail_make(struct bench *b, uint64_t mailbox)
{
	struct mail *m = mail_empty(++b->last_id, 1 + (uint32_t)world_dice(3));

	m->mailbox = mailbox;
	b->mails = realloc(b->mails, (b->mail_count + 1) * sizeof *b->mails);
	assert_non_null(b->mails);
	b->mails[b->mail_count++] = m;
	m->client = b->mail_count - 1; /* where it stands */
	return m;
}

static void mail_end(struct bench *b, struct mail *m)
{
	b->mails[m->client] = b->mails[--b->mail_count];
	b->mails[m->client]->client = m->client;
	mail_free(&m);
}

static void on_end(void *self)
{
	struct attempt *a = self;
	struct bench *b = a->bench;
	struct mail *m = a->mail;
	bool refused = world_dice(100) < REFUSED_PERCENT;
	uint64_t mailbox = m->mailbox;

	b->boxes[mailbox - 1].open--;
	if (a->begins && !refused)
		provider_counts(b, a, loop_now_ms(b->loop));
	schedule_ended(m, SCHEDULE_WENT, a->begins && !refused ? m->open_count : 0);
	if (!a->begins) {
		schedule_add(b->schedule, m, loop_now_ms(b->loop));
	} else {
		mail_end(b, m);
		schedule_add(b->schedule, mail_make(b, mailbox), loop_now_ms(b->loop));
	}
	for (size_t i = 0; i < b->attempts; i++)
		if (b->under_way[i] == a)
			b->under_way[i] = b->under_way[--b->attempts];
	free(a);
}

static void on_start(void *self, struct mail *m)
{
	struct bench *b = self;
	struct attempt *a = calloc(1, sizeof *a);
	struct box *box = &b->boxes[m->mailbox - 1];

	*a = (struct attempt){ .bench = b, .mail = m, .begun_ms = loop_now_ms(b->loop), .begins = world_dice(20) != 0 };
	if (a->begins)
		schedule_begun(m);
	box->open++;
	box->open_most = box->open > box->open_most ? box->open : box->open_most;
	b->under_way = realloc(b->under_way, (b->attempts + 1) * sizeof *b->under_way);
	assert_non_null(b->under_way);
	b->under_way[b->attempts++] = a;
	timer_init(&a->timer, b->loop, on_end, a);
	timer_after(&a->timer, 1 + (int64_t)world_dice(world_dice(10) ? 60 : TRY_MS_MAX));
}

/* --- lives and deaths */

static bool on_rates(void *self, uint64_t mailbox, struct limit_rates *out)
{
	*out = ((struct bench *)self)->rates;
	return true;
}

static void on_kept(void *self, struct limit *l, uint64_t mailbox, const struct limit_rates *rates)
{
	schedule_recall(((struct bench *)self)->schedule, l, mailbox, rates);
}

static void live(struct bench *b)
{
	b->loop = world_loop("post");
	assert_int_equal(disk_open(&b->disk, PATH, true), FAULT_OK);
	b->schedule = schedule_new(b->loop, &settings, on_start, b);
	b->limits = limits_new(b->loop);
	schedule_count_by(b->schedule, b->limits, on_rates, b);
	assert_int_equal(limits_open(b->limits, b->disk, on_kept, b), FAULT_OK);
	for (size_t i = 0; i < b->mail_count; i++)
		schedule_add(b->schedule, b->mails[i], loop_now_ms(b->loop));
}

/* What was under way may have been counted by the provider or not. */
static void die(struct bench *b)
{
	world_kill(b->loop);
	for (size_t i = 0; i < b->attempts; i++) {
		struct attempt *a = b->under_way[i];

		if (a->begins && world_dice(2))
			provider_counts(b, a, world_ms());
		b->boxes[a->mail->mailbox - 1].open = 0;
		timer_stop(&a->timer);
		free(a);
	}
	b->attempts = 0;
	for (size_t i = 0; i < b->mail_count; i++)
		b->mails[i]->lane_place = 0;
	schedule_free(&b->schedule);
	limits_free(&b->limits);
	disk_close(&b->disk);
	world_buried(&b->loop);
	b->deaths++;
}

static size_t number_of(const char *name, size_t otherwise)
{
	const char *text = getenv(name);

	return text ? (size_t)strtoul(text, NULL, 10) : otherwise;
}

static void play(uint64_t seed, struct limit_rates rates, int64_t minutes, unsigned lives)
{
	struct bench *b = calloc(1, sizeof *b);
	int64_t length_ms = minutes * MINUTE_MS;

	world_begin(seed, 1780000000000);
	b->rates = rates;
	b->box_count = number_of("LIMITS_MAILBOXES", 40);
	b->boxes = calloc(b->box_count, sizeof *b->boxes);
	for (uint64_t mailbox = 1; mailbox <= b->box_count; mailbox++)
		for (size_t i = 0; i < 5; i++)
			mail_make(b, mailbox);
	for (unsigned life = 1; life <= lives; life++) {
		live(b);
		world_run_until(length_ms / lives * life - (int64_t)world_dice(AWAY_MS_MAX), NULL, NULL);
		die(b);
		world_run_until(length_ms / lives * life, NULL, NULL);
	}
	judge(b);
	for (size_t i = 0; rates.messages_per_minute && i < b->box_count; i++) /* and little was left unused, whoever died meanwhile */
		assert_true(b->boxes[i].count >= (size_t)minutes * PER_MINUTE * 3 / 4);
	for (size_t i = 0; rates.recipients_per_day && i < b->box_count; i++)
		assert_true(b->boxes[i].count > DAY / 4);
	while (b->mail_count)
		mail_free(&b->mails[--b->mail_count]);
	for (size_t i = 0; i < b->box_count; i++)
		free(b->boxes[i].counts);
	free(b->boxes);
	free(b->mails);
	free(b->under_way);
	free(b);
	world_end();
}

static void no_minute_is_overshot(void **state)
{
	for (uint64_t seed = 1; seed <= 3; seed++)
		play(seed, (struct limit_rates){ .messages_per_minute = PER_MINUTE, .connections = CONNECTIONS }, (int64_t)number_of("LIMITS_MINUTES", 10), 7);
}

static void no_day_is_overshot(void **state)
{
	play(1, (struct limit_rates){ .recipients_per_day = DAY, .connections = CONNECTIONS }, 50 * 60, 5);
}

TESTS(no_minute_is_overshot, no_day_is_overshot)
