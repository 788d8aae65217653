/* The queue on a disk that loses, fails and fills: what was promised is there after any stop, and nothing else is. */
#include "base/clock.h"
#include "base/fake/fake.h"
#include "base/message.h"
#include "base/trail.h"
#include "loop/fake/world.h"
#include "queue/queue_inner.h"
#include "tests/test.h"

#include <stdlib.h>

enum { MESSAGES_MAX = 4000, SEGMENT_BYTES = 1024 * 1024 };
#define PATH "/post/spool"

/* What the world outside knows of a message. */
struct entry {
	uint64_t id;
	bool acknowledged, failed; /* its session was told 250, or a fault */
	unsigned sent;             /* given to the provider so often */
	bool sent_written, refused_written, deleted_written; /* and that is on the disk */
	bool refuse, keep;         /* what will become of it */
};

struct bench {
	struct loop *loop;
	struct queue *queue;
	struct entry entries[MESSAGES_MAX];
	size_t count;
	bool opened, vault_away, paused; /* paused: what is started is not answered */
	enum fault opened_fault, intake;
	unsigned intake_changes;
	uint64_t next_id;
	struct queue_settings settings;
};

static struct entry *find(struct bench *b, uint64_t id)
{
	for (size_t i = b->count; i--;)
		if (b->entries[i].id == id)
			return &b->entries[i];
	fail_msg("nobody knows message %llu", (unsigned long long)id);
	return NULL;
}

/* --- the vault: a wrapped key is the key with every bit turned */

struct answer {
	struct bench *bench;
	struct loop *loop;
	uint64_t segment;
	char key[SEAL_KEY_BYTES], wrapped[SEAL_KEY_BYTES];
	struct timer timer;
};

static void on_answer(void *self)
{
	struct answer *a = self;
	struct span key = { a->key, sizeof a->key }, wrapped = { a->wrapped, sizeof a->wrapped };

	if (a->bench->queue && a->bench->loop == a->loop) {
		if (a->segment)
			queue_unwrapped(a->bench->queue, a->segment, FAULT_OK, key, wrapped);
		else
			queue_key(a->bench->queue, key, wrapped);
	}
	free(a);
}

static struct answer *answer_soon(struct bench *b, uint64_t segment)
{
	struct answer *a = calloc(1, sizeof *a);

	*a = (struct answer){ .bench = b, .loop = b->loop, .segment = segment };
	world_after(1, on_answer, a);
	return a;
}

static void turn(char *to, const char *from)
{
	for (size_t i = 0; i < SEAL_KEY_BYTES; i++)
		to[i] = (char)~from[i];
}

static void on_key_wanted(void *self)
{
	struct bench *b = self;
	struct answer *a;

	if (b->vault_away)
		return;
	a = answer_soon(b, 0);
	for (size_t i = 0; i < sizeof a->key; i++)
		a->key[i] = (char)world_dice(256);
	turn(a->wrapped, a->key);
}

static void on_unwrap_wanted(void *self, uint64_t segment, struct span wrapped)
{
	struct answer *a = answer_soon(self, segment);

	assert_int_equal(wrapped.size, SEAL_KEY_BYTES);
	memcpy(a->wrapped, wrapped.at, sizeof a->wrapped);
	turn(a->key, wrapped.at);
}

/* --- what the queue says */

static void on_recovered(void *self)
{
}

static void on_opened(void *self, enum fault fault, struct span why)
{
	struct bench *b = self;

	b->opened = true;
	b->opened_fault = fault;
}

static void on_intake(void *self, enum fault fault)
{
	struct bench *b = self;

	b->intake = fault;
	b->intake_changes++;
}

static void on_accepted(void *self, struct mail *m, enum fault fault)
{
	struct bench *b = self;
	struct entry *e = find(b, m->id);

	e->acknowledged = !fault;
	e->failed = fault != FAULT_OK;
	if (!fault)
		schedule_add(queue_schedule(b->queue), m, loop_now_ms(b->loop));
}

static void on_sent_written(void *self)
{
	((struct entry *)self)->sent_written = true;
}

static void on_refused_written(void *self)
{
	((struct entry *)self)->refused_written = true;
}

static void write_outcome(struct bench *b, struct mail *m, enum record_status status, queue_done *done, void *self)
{
	struct buf run, runs;

	buf_init(&run, 4096);
	buf_init(&runs, 4096);
	record_put_run(&run, &(struct record_run){ .count = m->recipient_count, .status = (uint8_t)status, .text = SPAN("said") });
	message_list_put(&runs, buf_span(&run));
	queue_outcome(b->queue, m, &(struct record_outcome){ .id = m->id, .at = clock_wall_ms(), .attempts = m->attempts + 1,
							     .next_try_at = clock_wall_ms() + 1000, .host = SPAN("host"), .runs = buf_span(&runs) },
		      done, self);
	buf_free(&run);
	buf_free(&runs);
}

static void on_loaded(void *self, struct mail *m, enum fault fault, struct span payload)
{
	struct bench *b = self;
	struct entry *e = find(b, m->id);
	struct record_envelope envelope;
	struct record_closing closing;
	struct span body;

	assert_int_equal(fault, FAULT_OK);
	assert_int_equal(record_get_message(&envelope, &body, &closing, payload), FAULT_OK);
	assert_true(envelope.id == m->id && body.size == closing.size);
	for (size_t i = 0; i < body.size; i += 97)
		assert_int_equal((unsigned char)body.at[i], (unsigned char)(m->id + i));
	schedule_ended(m, SCHEDULE_WENT, 0);
	if (e->keep) { /* put off, for as long as the test lasts */
		write_outcome(b, m, RECORD_OPEN, NULL, NULL);
		schedule_add(queue_schedule(b->queue), m, loop_now_ms(b->loop) + 3600000);
	} else if (e->refuse) {
		write_outcome(b, m, RECORD_REFUSED, on_refused_written, e);
	} else {
		e->sent++;
		write_outcome(b, m, RECORD_ACCEPTED, on_sent_written, e);
	}
	queue_unload(b->queue, m, m->open_count != 0);
	queue_tried(b->queue, m);
}

static void on_turn(void *self, struct mail *m)
{
	struct bench *b = self;

	if (!b->paused)
		queue_load(b->queue, m, true, on_loaded, b);
}

static void on_ended(void *self, struct mail *m)
{
}

static const struct queue_events events = { .key_wanted = on_key_wanted, .unwrap_wanted = on_unwrap_wanted, .recovered = on_recovered,
					    .opened = on_opened, .intake = on_intake, .accepted = on_accepted, .start = on_turn, .ended = on_ended };

/* --- the bench */

static bool is_open(void *self)
{
	return ((struct bench *)self)->opened;
}

static void raise(struct bench *b)
{
	b->loop = world_loop("post");
	b->opened = false;
	b->intake = FAULT_OK;
	assert_int_equal(queue_open(&b->queue, b->loop, PATH, &b->settings, &events, b), FAULT_OK);
	queue_vault(b->queue);
	world_run_until(world_ms() + 60000, is_open, b);
	assert_true(b->opened);
	assert_int_equal(b->opened_fault, FAULT_OK);
}

static void lower(struct bench *b)
{
	world_kill(b->loop);
	queue_close(&b->queue);
	world_buried(&b->loop);
}

static struct bench *bench_new(uint64_t seed)
{
	struct bench *b = calloc(1, sizeof *b);

	trail_configure(TRAIL_SILENT, LEVEL_ERROR);
	world_begin(seed, 1700000000000);
	b->next_id = 1;
	b->settings = (struct queue_settings){ .spool = { SEGMENT_BYTES }, .schedule = { .slots = 1000, .tries_max = 100000, .retry_first_ms = 1000,
										       .retry_longest_ms = 1000 },
					       .messages_max = 1000000, .payload_bytes_max = 65536 };
	raise(b);
	return b;
}

static void bench_free(struct bench *b)
{
	lower(b);
	world_run_until(world_ms() + 100, NULL, NULL); /* answers under way find nobody */
	world_end();
	free(b);
}

/* A message of that size comes in; true where the queue took it on its way. */
static struct entry *give(struct bench *b, size_t size)
{
	struct mails *mails = queue_mails(b->queue);
	struct record_envelope envelope = { .id = mails_new_id(mails, clock_wall_ms()), .mailbox = 1 + world_dice(20), .sender = SPAN("a@b") };
	struct record_closing closing = { .accepted_at = clock_wall_ms(), .size = size };
	struct entry *e = &b->entries[b->count++];
	struct buf list, payload;
	struct mail *m;
	size_t begun;

	assert_true(b->count <= MESSAGES_MAX);
	*e = (struct entry){ .id = envelope.id };
	buf_init(&list, 4096);
	record_recipient_put(&list, &(struct record_recipient){ .address = SPAN("c@d") });
	envelope.recipients = buf_span(&list);
	buf_init(&payload, RECORD_BYTES_MAX);
	assert_true(record_message_begin(&payload, &envelope));
	begun = payload.size;
	for (size_t i = 0; i < size; i++)
		assert_true(buf_put_byte(&payload, (char)(envelope.id + i)));
	assert_true(record_message_end(&payload, begun, &closing));
	m = mail_new(&envelope, &closing);
	mail_set_payload(m, &payload);
	if (queue_accept(b->queue, m, RECORD_MESSAGE)) {
		e->failed = true;
		mail_free(&m);
	}
	buf_free(&list);
	return e;
}

static void pass(int64_t ms)
{
	world_run_until(world_ms() + ms, NULL, NULL);
}

/* After a start: what was acknowledged and is not over must be there; what is over, and written so, must not. */
static void check_ledger(struct bench *b)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct entry *e = &b->entries[i];
		const struct mail *m = mails_find(queue_mails(b->queue), e->id);
		bool over = e->sent_written || e->refused_written || e->deleted_written;

		if (e->acknowledged && !over && !e->sent && !e->refuse && !m)
			fail_msg("message %zu was acknowledged and is lost", i);
		if (over && m)
			fail_msg("message %zu was over and came back", i);
		if (e->failed && m)
			fail_msg("message %zu was put off and is here all the same", i);
	}
}

/* --- any stop, at any moment */

static void random_load(struct bench *b, unsigned messages)
{
	for (unsigned i = 0; i < messages; i++) {
		struct entry *e = give(b, world_dice(10) ? world_dice(6000) : world_dice(200000));

		e->refuse = !world_dice(5);
		e->keep = !world_dice(6);
		if (!world_dice(3))
			pass((int64_t)world_dice(4));
	}
}

static void power_is_cut_at_any_moment(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct bench *b = bench_new(seed);

		for (unsigned round = 0; round < 6; round++) {
			random_load(b, 30);
			for (uint64_t steps = world_dice(200); steps; steps--)
				world_step();
			lower(b);
			world_power_cut(PATH, (enum world_cut_mode)world_dice(3));
			raise(b);
			check_ledger(b);
			if (world_dice(2))
				pass((int64_t)world_dice(3000)); /* sometimes the index gets ahead */
		}
		bench_free(b);
	}
}

/* A sync fails: who was not answered is put off and stays unsent; outcomes stand; the next file takes messages again. */
static void a_failed_sync(void **state)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct bench *b = bench_new(seed);

		random_load(b, 20);
		pass(50);
		world_disk_trouble(PATH, WORLD_DISK_SYNC_FAILS, 1 + (int)world_dice(3));
		random_load(b, 20);
		pass(60000);
		world_disk_trouble(PATH, WORLD_DISK_SYNC_FAILS, 0);
		pass(60000);
		assert_int_equal(b->intake, FAULT_OK);
		random_load(b, 10);
		pass(1000);
		for (size_t i = b->count - 10; i < b->count; i++)
			assert_true(b->entries[i].acknowledged);
		/* every outcome came to the disk, in one file or the next */
		for (size_t i = 0; i < b->count; i++) {
			const struct entry *e = &b->entries[i];

			assert_true(e->failed || e->keep || e->sent_written || e->refused_written);
			assert_true(e->sent <= 1);
		}
		lower(b);
		world_power_cut(PATH, WORLD_CUT_DICE);
		raise(b);
		check_ledger(b);
		bench_free(b);
	}
}

/* --- the index */

static size_t count_files(const char *prefix)
{
	size_t count = 0;
	char name[64];

	for (unsigned i = 1; i < 200; i++) {
		size_t size;
		char *bytes;

		snprintf(name, sizeof name, "%s%06u", prefix, i);
		bytes = world_disk_bytes(PATH, name, &size);
		count += bytes != NULL;
		free(bytes);
	}
	return count;
}

static void lose_index(void)
{
	static const char *const names[] = { "index.db", "index.db-wal", "index.db-shm" };
	struct disk *disk;

	assert_int_equal(disk_open(&disk, PATH, false), FAULT_OK);
	for (size_t i = 0; i < 3; i++)
		(void)!disk_remove(disk, names[i]);
	assert_int_equal(disk_sync_names(disk), FAULT_OK);
	disk_close(&disk);
}

/* What a failed sync left behind may stand on the disk all the same: the record that voids it decides. */
static void what_was_voided_is_not_sent(void **state)
{
	struct bench *b = bench_new(9);
	const struct mail *m;

	b->paused = true;
	for (unsigned i = 0; i < 5; i++)
		give(b, 1000);
	pass(100);
	m = mails_find(queue_mails(b->queue), b->entries[2].id);
	queue_nothing(b->queue, m->place.sequence, m->place.sequence);
	pass(100);
	lower(b);
	lose_index();
	b->paused = false;
	raise(b);
	pass(5000);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(b->entries[i].sent, i != 2);
	bench_free(b);
}

static void the_index_is_lost_and_all_segments_are_there(void **state)
{
	struct bench *b = bench_new(3);

	random_load(b, 60);
	pass(5000);
	lower(b);
	lose_index();
	raise(b);
	check_ledger(b);
	for (const struct mail *m = queue_mails(b->queue)->oldest; m; m = m->behind)
		assert_int_equal(m->hold, FAULT_OK);
	bench_free(b);
}

/* A damaged database is as good as none. */
static void the_index_is_damaged(void **state)
{
	struct bench *b = bench_new(4);

	random_load(b, 60);
	pass(5000);
	lower(b);
	for (uint64_t at = 0; at < 16; at++)
		assert_true(world_disk_damage(PATH, "index.db", at));
	raise(b);
	check_ledger(b);
	bench_free(b);
}

/* Segments are used again; those in which little is open are emptied first, so that the spool does not grow with what is held. */
static void segments_are_used_again(void **state)
{
	struct bench *b = bench_new(5);
	size_t kept = 0;

	for (unsigned round = 0; round < 30; round++) {
		give(b, 3000)->keep = true;
		kept++;
		for (unsigned i = 0; i < 10; i++)
			give(b, 60000 + world_dice(60000));
		pass(2500);
	}
	pass(5000);
	assert_int_equal(mails_count(queue_mails(b->queue)), kept);
	assert_true(count_files("segment-") <= 10); /* 30 MB went through */
	lower(b);
	world_power_cut(PATH, WORLD_CUT_LOSE);
	raise(b);
	check_ledger(b);
	assert_int_equal(mails_count(queue_mails(b->queue)), kept);
	/* and what was copied can still be read, and sent */
	for (size_t i = 0; i < b->count; i++)
		b->entries[i].keep = false;
	pass(20000);
	assert_int_equal(mails_count(queue_mails(b->queue)), 0);
	for (size_t i = 0; i < b->count; i++)
		assert_int_equal(b->entries[i].sent, 1);
	bench_free(b);
}

/* With the index gone, and segments that were used again, nobody knows whether an older message was sent: people decide. */
static void a_lost_index_never_sends_twice(void **state)
{
	struct bench *b = bench_new(6);
	struct entry *big;
	size_t held = 0;

	/* the first segment stays: half of it is open */
	for (unsigned i = 0; i < 6; i++)
		give(b, 90000)->keep = true;
	big = &b->entries[0];
	pass(3000);
	for (unsigned round = 0; round < 12; round++) {
		for (unsigned i = 0; i < 10; i++)
			give(b, 90000);
		pass(2500);
		if (round == 2) { /* its outcome stands in a segment that will be used again */
			big->keep = false;
			schedule_remove(mails_find(queue_mails(b->queue), big->id));
			schedule_add(queue_schedule(b->queue), mails_find(queue_mails(b->queue), big->id), 0);
		}
	}
	assert_true(big->sent_written);
	lower(b);
	lose_index();
	raise(b);
	pass(10000);
	assert_int_equal(big->sent, 1);
	for (const struct mail *m = queue_mails(b->queue)->oldest; m; m = m->behind)
		held += m->hold == FAULT_UNCONFIRMED;
	assert_true(held >= 6);
	for (size_t i = 0; i < b->count; i++)
		assert_true(b->entries[i].sent <= 1);
	bench_free(b);
}

/* --- a full disk */

static void a_full_disk_stops_intake_and_nothing_else(void **state)
{
	struct bench *b = bench_new(7);
	size_t taken = 0, put_off = 0;

	b->paused = true;
	for (unsigned i = 0; i < 4; i++)
		give(b, 50000);
	pass(100);
	world_disk_trouble(PATH, WORLD_DISK_FULL, -1);
	for (unsigned i = 0; i < 120; i++) {
		give(b, 50000);
		pass(20);
	}
	pass(1000);
	assert_int_equal(b->intake, FAULT_DISK_FULL);
	for (size_t i = 0; i < b->count; i++) {
		taken += b->entries[i].acknowledged;
		put_off += b->entries[i].failed;
	}
	assert_true(taken > 10 && put_off > 10 && taken + put_off == b->count);
	/* what was taken goes out, and its outcomes have their room */
	lower(b);
	b->paused = false;
	raise(b);
	check_ledger(b);
	pass(20000);
	for (size_t i = 0; i < b->count; i++)
		assert_true(b->entries[i].failed || b->entries[i].sent_written);
	world_disk_trouble(PATH, WORLD_DISK_FULL, 0);
	pass(20000);
	assert_int_equal(b->intake, FAULT_OK);
	give(b, 100);
	pass(1000);
	assert_true(b->entries[b->count - 1].sent_written);
	bench_free(b);
}

/* --- damage */

static void a_damaged_record_costs_itself(void **state)
{
	struct bench *b = bench_new(8);
	struct spool_place place;
	char name[SEGMENT_NAME_BYTES];
	size_t lost = 0;

	for (unsigned i = 0; i < 10; i++)
		give(b, 5000)->keep = true;
	pass(500);
	place = mails_find(queue_mails(b->queue), b->entries[4].id)->place;
	snprintf(name, sizeof name, "%s", place.segment->file.name);
	lower(b);
	lose_index();
	assert_true(world_disk_damage(PATH, name, place.at + 300));
	raise(b);
	for (size_t i = 0; i < b->count; i++) {
		const struct mail *m = mails_find(queue_mails(b->queue), b->entries[i].id);

		lost += !m;
		if (m && i < 4) /* its outcome may have been what was lost */
			assert_int_equal(m->hold, FAULT_UNCONFIRMED);
		if (m && i > 4)
			assert_int_equal(m->hold, FAULT_OK);
	}
	assert_int_equal(lost, 1);
	assert_null(mails_find(queue_mails(b->queue), b->entries[4].id));
	bench_free(b);
}

TESTS(power_is_cut_at_any_moment, a_failed_sync, what_was_voided_is_not_sent, the_index_is_lost_and_all_segments_are_there, the_index_is_damaged, segments_are_used_again,
      a_lost_index_never_sends_twice, a_full_disk_stops_intake_and_nothing_else, a_damaged_record_costs_itself)
