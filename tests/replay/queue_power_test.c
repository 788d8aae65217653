/* The queue on a disk that dies: whatever was accepted before is there after, whatever ended before is not, at any moment and whatever is lost. */
#include "tests/test.h"

#include "base/clock.h"
#include "base/message.h"
#include "base/rand.h"
#include "base/trail.h"
#include "loop/fake/world.h"
#include "queue/queue.h"

#include <stdlib.h>

enum { MESSAGES_MAX = 600, SEEDS = 8, LIVES = 6, MAILBOXES = 4, BODY_BYTES_MAX = 40000, UNWRAPS_MAX = 64, WRAPPED_BYTES = SEAL_KEY_BYTES + 8 };

enum fate { FATE_NONE, FATE_UNKNOWN, FATE_PROMISED, FATE_REFUSED, FATE_ENDING, FATE_ENDED };

struct item {
	uint64_t id, mailbox;
	size_t size;
	enum fate fate;
};

struct unwrap {
	uint64_t segment;
	char wrapped[WRAPPED_BYTES];
};

/* Post's part, played badly: takes messages, ends most of them, dies. */
struct poster {
	struct loop *loop;
	struct queue *queue;
	struct timer next, answers;
	bool is_open, key_wanted;
	enum fault open_fault;
	struct unwrap unwraps[UNWRAPS_MAX];
	size_t unwrap_count;
	struct item all[MESSAGES_MAX];
	size_t count;
	uint64_t promised, refused;
};

static struct item *of_id(struct poster *p, uint64_t id)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->all[i].id == id)
			return &p->all[i];
	fail_msg("a message came back that was never put");
	return NULL;
}

static void fill(char *bytes, const struct item *m)
{
	for (size_t i = 0; i < m->size; i++)
		bytes[i] = (char)(m->id * 131 + i * 7);
}

/* --- the vault: a wrapped key is the key with a mark before it; answers come later, as they do over a link */

static void answer(void *self)
{
	struct poster *p = self;
	char wrapped[WRAPPED_BYTES] = "WRAPPED ";

	while (p->unwrap_count) {
		struct unwrap *u = &p->unwraps[--p->unwrap_count];
		struct span copy = { u->wrapped, WRAPPED_BYTES };

		queue_unwrapped(p->queue, u->segment, FAULT_OK, span_slice(copy, WRAPPED_BYTES - SEAL_KEY_BYTES, SEAL_KEY_BYTES), copy);
	}
	if (!p->key_wanted)
		return;
	p->key_wanted = false;
	rand_bytes(wrapped + WRAPPED_BYTES - SEAL_KEY_BYTES, SEAL_KEY_BYTES);
	queue_key(p->queue, (struct span){ wrapped + WRAPPED_BYTES - SEAL_KEY_BYTES, SEAL_KEY_BYTES },
		  (struct span){ wrapped, sizeof wrapped });
}

static void on_key_wanted(void *self)
{
	struct poster *p = self;

	p->key_wanted = true;
	timer_after(&p->answers, (int64_t)world_dice(5));
}

static void on_unwrap_wanted(void *self, uint64_t segment, struct span wrapped)
{
	struct poster *p = self;

	assert_int_equal(wrapped.size, WRAPPED_BYTES);
	assert_true(span_starts(wrapped, SPAN("WRAPPED ")) && p->unwrap_count < UNWRAPS_MAX);
	p->unwraps[p->unwrap_count].segment = segment;
	memcpy(p->unwraps[p->unwrap_count++].wrapped, wrapped.at, WRAPPED_BYTES);
	timer_after(&p->answers, (int64_t)world_dice(5));
}

/* --- taking */

static void put_one(struct poster *p)
{
	struct item *m = &p->all[p->count];
	struct record_recipient to = { .address = SPAN("anna@fabrikam.example") };
	struct record_envelope envelope = { .sender = SPAN("alex@contoso.example") };
	struct record_closing closing = { .accepted_at = clock_wall_ms() };
	struct buf recipients, payload;
	struct mail *mail;
	char *body;
	size_t at;

	if (p->count == MESSAGES_MAX)
		return;
	*m = (struct item){ mails_new_id(queue_mails(p->queue), clock_wall_ms()), 1 + world_dice(MAILBOXES),
			       (size_t)world_dice(BODY_BYTES_MAX), FATE_UNKNOWN };
	buf_init(&recipients, 1000);
	buf_init(&payload, RECORD_BYTES_MAX);
	body = malloc(m->size + 1);
	fill(body, m);
	record_recipient_put(&recipients, &to);
	envelope.id = m->id;
	envelope.mailbox = m->mailbox;
	envelope.recipients = buf_span(&recipients);
	closing.size = m->size;
	assert_true(record_message_begin(&payload, &envelope));
	at = payload.size;
	assert_true(buf_put(&payload, (struct span){ body, m->size }) && record_message_end(&payload, at, &closing));
	mail = mail_new(&envelope, &closing);
	mail_set_payload(mail, &payload);
	if (queue_accept(p->queue, mail, RECORD_MESSAGE)) {
		mail_free(&mail);
		m->fate = FATE_REFUSED;
		p->refused++;
	}
	p->count++;
	free(body);
	buf_free(&recipients);
}

static void on_accepted(void *self, struct mail *mail, enum fault fault)
{
	struct poster *p = self;
	struct item *m = of_id(p, mail->id);

	assert_int_equal(m->fate, FATE_UNKNOWN);
	m->fate = fault ? FATE_REFUSED : FATE_PROMISED;
	p->promised += !fault;
	p->refused += fault != FAULT_OK;
	if (fault)
		return;
	schedule_lane(queue_schedule(p->queue), mail->mailbox);
	schedule_add(queue_schedule(p->queue), mail, loop_now_ms(p->loop));
	queue_unload(p->queue, mail, world_dice(2));
}

/* --- ending */

static void on_outcome_written(void *self)
{
	struct item *m = self;

	if (m->fate == FATE_ENDING)
		m->fate = FATE_ENDED;
}

static void end_one(struct poster *p, struct mail *mail)
{
	struct record_run run = { .first = 0, .count = 1, .status = RECORD_ACCEPTED };
	struct item *m = of_id(p, mail->id);
	struct buf item, runs;

	buf_init(&item, 1000);
	buf_init(&runs, 1000);
	assert_true(record_put_run(&item, &run) && message_list_put(&runs, buf_span(&item)));
	m->fate = FATE_ENDING;
	queue_outcome(p->queue, mail, &(struct record_outcome){ .id = mail->id, .at = clock_wall_ms(), .attempts = 1, .runs = buf_span(&runs) },
		      on_outcome_written, m);
	schedule_ended(mail, SCHEDULE_WENT, 0);
	queue_unload(p->queue, mail, false);
	queue_tried(p->queue, mail);
	buf_free(&item);
	buf_free(&runs);
}

static void on_loaded(void *self, struct mail *mail, enum fault fault, struct span payload)
{
	struct poster *p = self;
	struct item *m = of_id(p, mail->id);
	struct record_envelope envelope;
	struct record_closing closing;
	struct span body;
	char *wanted = malloc(m->size + 1);

	assert_int_equal(fault, FAULT_OK);
	assert_int_equal(record_get_message(&envelope, &body, &closing, payload), FAULT_OK);
	fill(wanted, m);
	assert_int_equal(body.size, m->size);
	assert_memory_equal(body.at, wanted, m->size);
	free(wanted);
	if (world_dice(3))
		end_one(p, mail);
	/* else: the provider never answers */
}

static void on_start(void *self, struct mail *mail)
{
	struct poster *p = self;

	queue_load(p->queue, mail, true, on_loaded, p);
}

static void on_ended(void *self, struct mail *mail)
{
}

/* --- living */

static void on_next(void *self)
{
	struct poster *p = self;

	for (uint64_t i = world_dice(6); i > 0; i--)
		put_one(p);
	timer_after(&p->next, (int64_t)world_dice(40));
}

static void on_opened(void *self, enum fault fault, struct span why)
{
	struct poster *p = self;

	p->is_open = true;
	p->open_fault = fault;
	if (fault)
		print_error("%.*s\n", SPAN_ARGS(why));
	timer_after(&p->next, 1);
}

static void on_recovered(void *self)
{
}

static void on_intake(void *self, enum fault fault)
{
}

static const struct queue_events events = {
	.key_wanted = on_key_wanted, .unwrap_wanted = on_unwrap_wanted, .recovered = on_recovered, .opened = on_opened,
	.intake = on_intake, .accepted = on_accepted, .start = on_start, .ended = on_ended,
};

static void live(struct poster *p)
{
	const struct queue_settings settings = { .spool = { 1024 * 1024 }, .schedule = { 3, 100, 1000, 60000 }, .messages_max = 100000,
						 .payload_bytes_max = 100000 };

	p->loop = world_loop("post");
	p->is_open = false;
	p->key_wanted = false;
	p->unwrap_count = 0;
	timer_init(&p->next, p->loop, on_next, p);
	timer_init(&p->answers, p->loop, answer, p);
	assert_int_equal(queue_open(&p->queue, p->loop, "/spool", &settings, &events, p), FAULT_OK);
	queue_vault(p->queue);
}

static bool is_open(void *self)
{
	return ((struct poster *)self)->is_open;
}

static bool has_spent(void *self)
{
	return world_steps() >= *(uint64_t *)self;
}

static void die(struct poster *p, enum world_cut_mode mode)
{
	timer_stop(&p->next);
	timer_stop(&p->answers);
	world_kill(p->loop);
	queue_close(&p->queue);
	world_buried(&p->loop);
	world_power_cut("/spool", mode);
}

/* What is told about a message while its objects are freed was never heard by anybody. */
static void forget_last_words(struct poster *p, const struct item *before)
{
	memcpy(p->all, before, p->count * sizeof *before);
}

/* How many promises were broken. */
static size_t broken(struct poster *p)
{
	size_t count = 0;

	for (size_t i = 0; i < p->count; i++) {
		struct item *m = &p->all[i];
		struct mail *mail = mails_find(queue_mails(p->queue), m->id);
		bool is_there = mail && mail->open_count;

		if ((m->fate == FATE_PROMISED && !is_there) || ((m->fate == FATE_REFUSED || m->fate == FATE_ENDED) && is_there)) {
			if (!count++)
				print_message("message %zu was %s\n", i, is_there ? "over and is there" : "accepted and is lost");
		}
		if (m->fate == FATE_UNKNOWN)
			m->fate = is_there ? FATE_PROMISED : FATE_REFUSED;
		if (m->fate == FATE_ENDING)
			m->fate = is_there ? FATE_PROMISED : FATE_ENDED;
	}
	return count;
}

static void trouble(void)
{
	static const enum world_disk_trouble kinds[] = { WORLD_DISK_SYNC_FAILS, WORLD_DISK_WRITE_FAILS, WORLD_DISK_FULL };

	for (size_t i = 0; i < 3; i++)
		world_disk_trouble("/spool", kinds[i], world_dice(3) ? 0 : 1 + (int)world_dice(2));
}

static void calm(void)
{
	world_disk_trouble("/spool", WORLD_DISK_SYNC_FAILS, 0);
	world_disk_trouble("/spool", WORLD_DISK_WRITE_FAILS, 0);
	world_disk_trouble("/spool", WORLD_DISK_FULL, 0);
	world_disk_trouble("/spool", WORLD_DISK_SYNC_LIES, 0);
}

/* Several lives of one spool; returns how many messages were accepted. */
static uint64_t suffer(uint64_t seed, bool troubled)
{
	static struct poster p;
	static struct item before[MESSAGES_MAX];

	world_begin(seed, 1780000000000);
	trail_configure(TRAIL_SILENT, LEVEL_ERROR);
	p = (struct poster){ .count = 0 };
	for (int life = 0; life < LIVES; life++) {
		uint64_t until;

		live(&p);
		if (world_run_until(world_ms() + 60000, is_open, &p))
			fail_msg("the queue does not open");
		assert_int_equal(p.open_fault, FAULT_OK);
		assert_int_equal(broken(&p), 0);
		if (troubled)
			trouble();
		until = world_steps() + world_dice(1200);
		world_run_until(world_ms() + 60000, has_spent, &until);
		memcpy(before, p.all, sizeof before);
		die(&p, (enum world_cut_mode)world_dice(3));
		forget_last_words(&p, before);
		calm();
	}
	world_end();
	assert_true(troubled || !p.refused);
	return p.promised;
}

static void suffer_all(bool troubled)
{
	const char *wanted = getenv("REPLAY_SEEDS");
	uint64_t seeds = wanted ? strtoull(wanted, NULL, 10) : SEEDS, promised = 0;

	for (uint64_t seed = 1; seed <= seeds; seed++)
		promised += suffer(seed, troubled);
	assert_true(promised > 20 * seeds);
}

static void power_is_cut_at_any_moment(void **state)
{
	suffer_all(false);
}

static void power_is_cut_and_the_disk_has_troubles(void **state)
{
	suffer_all(true);
}

/* The test can fail: a disk that lies costs messages, and that is seen. */
static void a_lying_disk_is_found_out(void **state)
{
	static struct poster p;
	uint64_t until;

	world_begin(3, 1780000000000);
	p = (struct poster){ .count = 0 };
	live(&p);
	assert_false(world_run_until(world_ms() + 60000, is_open, &p));
	until = world_steps() + 300;
	world_run_until(world_ms() + 60000, has_spent, &until);
	world_disk_trouble("/spool", WORLD_DISK_SYNC_LIES, -1);
	until = world_steps() + 300;
	world_run_until(world_ms() + 60000, has_spent, &until);
	die(&p, WORLD_CUT_LOSE);
	calm();
	live(&p);
	assert_false(world_run_until(world_ms() + 60000, is_open, &p));
	assert_true(broken(&p) > 0);
	die(&p, WORLD_CUT_KEEP);
	world_end();
}

TESTS(power_is_cut_at_any_moment, power_is_cut_and_the_disk_has_troubles, a_lying_disk_is_found_out)
