/* A spool made from a backup: the ordinary recovery finds every message, held, and nothing goes out by itself. */
#include "queue/rebuild.h"

#include "base/fake/fake.h"
#include "loop/fake/world.h"
#include "queue/body.h"
#include "queue/queue.h"
#include "tests/test.h"

#include <stdlib.h>

#define PATH "/post/spool"
enum { SEGMENT_BYTES = 1024 * 1024, BACKUP_MS = 777000 };

static const char file_key[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all";

/* --- the vault: a wrapped key is the key with every bit turned */

static void turn(char to[SEAL_KEY_BYTES], const char *from)
{
	for (size_t i = 0; i < SEAL_KEY_BYTES; i++)
		to[i] = (char)~from[i];
}

static bool wrap(void *self, struct buf *out, struct span key)
{
	char wrapped[SEAL_KEY_BYTES];

	(*(size_t *)self)++;
	turn(wrapped, key.at);
	return buf_put(out, (struct span){ wrapped, sizeof wrapped });
}

/* --- a message of a backup */

static void put_message(struct buf *out, uint64_t id, size_t body_bytes, enum fault hold, bool has_file)
{
	struct record_envelope e = { .id = id, .mailbox = 7, .client = 9, .client_name = SPAN("erp"), .sender = SPAN("a@example.org") };
	struct record_closing c = { .accepted_at = 1000, .size = body_bytes, .file_key = has_file ? (struct span){ file_key, sizeof file_key } : SPAN("") };
	struct buf list, progress;
	struct mail *m;
	size_t begun;

	buf_init(&list, 4096);
	buf_init(&progress, 4096);
	assert_true(record_recipient_put(&list, &(struct record_recipient){ SPAN("b@example.org"), SPAN(""), 0 }));
	assert_true(record_recipient_put(&list, &(struct record_recipient){ SPAN("c@example.org"), SPAN(""), 0 }));
	e.recipients = buf_span(&list);
	m = mail_new(&e, &c);
	m->statuses[1] = RECORD_ACCEPTED;
	m->open_count--;
	if (hold)
		mail_apply_hold(m, &(struct record_hold){ .id = id, .at = 500, .fault = span_of(fault_row(hold)->name), .reason = SPAN("so"), .by = SPAN("anne") });
	assert_true(mail_put_progress(&progress, m));
	c.progress = buf_span(&progress);
	buf_clear(out);
	assert_true(record_message_begin(out, &e));
	begun = out->size;
	for (size_t i = 0; i < body_bytes && !has_file; i++)
		buf_put_byte(out, (char)('a' + i % 26));
	assert_true(record_message_end(out, begun, &c));
	mail_free(&m);
	buf_free(&list);
	buf_free(&progress);
}

static enum fault give(struct rebuild *r, uint64_t id, size_t body_bytes, enum fault hold, bool has_file)
{
	struct buf payload;
	enum fault fault;

	buf_init(&payload, RECORD_BYTES_MAX);
	put_message(&payload, id, body_bytes, hold, has_file);
	fault = rebuild_part(r, ARCHIVE_MESSAGE, buf_span(&payload));
	buf_free(&payload);
	return fault;
}

static struct rebuild *begin(struct disk **disk, uint64_t seed)
{
	world_begin(seed, 0);
	assert_int_equal(disk_open(disk, PATH, true), FAULT_OK);
	return rebuild_new(*disk, &(struct rebuild_settings){ .segment_bytes = SEGMENT_BYTES, .at_ms = BACKUP_MS, .reason = SPAN("restored from before") });
}

/* --- the queue that is opened over it */

struct bench {
	struct queue *queue;
	bool opened;
	enum fault fault;
	unsigned started;
};

static void on_key_wanted(void *self)
{
}

static void on_unwrap_wanted(void *self, uint64_t segment, struct span wrapped)
{
	struct bench *b = self;
	char key[SEAL_KEY_BYTES];

	assert_int_equal(wrapped.size, sizeof key);
	turn(key, wrapped.at);
	queue_unwrapped(b->queue, segment, FAULT_OK, (struct span){ key, sizeof key }, wrapped);
}

static void on_recovered(void *self)
{
	((struct bench *)self)->opened = true;
}

static void on_opened(void *self, enum fault fault, struct span why)
{
	((struct bench *)self)->fault = fault;
}

static void on_intake(void *self, enum fault fault)
{
}

static void on_accepted(void *self, struct mail *m, enum fault fault)
{
}

static void on_start(void *self, struct mail *m)
{
	((struct bench *)self)->started++;
}

static void on_ended(void *self, struct mail *m)
{
}

static const struct queue_events events = {
	.key_wanted = on_key_wanted, .unwrap_wanted = on_unwrap_wanted, .recovered = on_recovered, .opened = on_opened,
	.intake = on_intake, .accepted = on_accepted, .start = on_start, .ended = on_ended,
};

static void every_message_comes_back_held(void **state)
{
	static const struct { enum fault before, after; } holds[] = {
		{ FAULT_OK, FAULT_RESTORED },
		{ FAULT_UPSTREAM_AUTH, FAULT_RESTORED },
		{ FAULT_HELD_BY_PERSON, FAULT_HELD_BY_PERSON },
		{ FAULT_UNCONFIRMED, FAULT_UNCONFIRMED },
		{ FAULT_UNDELIVERABLE, FAULT_UNDELIVERABLE },
		{ FAULT_RESTORED, FAULT_RESTORED },
	};
	enum { HOLDS = sizeof holds / sizeof *holds, MESSAGES = 60 };
	struct queue_settings settings = { .spool = { SEGMENT_BYTES }, .schedule = { .slots = 100, .tries_max = 100, .retry_first_ms = 1000, .retry_longest_ms = 8000 },
					   .messages_max = 1000, .payload_bytes_max = 1 << 20 };
	struct bench b = { 0 };
	struct disk *disk;
	struct rebuild *r = begin(&disk, 7);
	struct loop *loop;
	size_t heads = 0;

	for (uint64_t i = 0; i < MESSAGES; i++)
		assert_int_equal(give(r, 100 + i, i % 10 == 3 ? 200000 : 100, holds[i % HOLDS].before, false), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_SPOOL_END, SPAN("{\"messages\":60,\"unreadable\":0}")), FAULT_OK);
	assert_int_equal(rebuild_finish(r, wrap, &heads), FAULT_OK);
	assert_true(heads > 1 && rebuild_counts(r).messages == MESSAGES);
	rebuild_free(&r);
	disk_close(&disk);

	loop = world_loop("post");
	assert_int_equal(queue_open(&b.queue, loop, PATH, &settings, &events, &b), FAULT_OK);
	queue_vault(b.queue);
	world_run_until(60000, NULL, NULL);
	assert_true(b.opened && !b.started);
	assert_int_equal(mails_count(queue_mails(b.queue)), MESSAGES);
	for (uint64_t i = 0; i < MESSAGES; i++) {
		const struct mail *m = mails_find(queue_mails(b.queue), 100 + i);

		assert_true(m && m->open_count == 1 && m->statuses[1] == RECORD_ACCEPTED && m->accepted_at_ms == 1000);
		assert_int_equal(m->hold, holds[i % HOLDS].after);
		assert_int_equal(m->held_since_ms, holds[i % HOLDS].before ? 500 : BACKUP_MS);
		if (m->hold == FAULT_RESTORED)
			assert_true(m->unknown && !strcmp(m->reason, "restored from before") && !m->held_by);
		else
			assert_true(!m->unknown && !strcmp(m->held_by, "anne"));
	}
	world_kill(loop);
	queue_close(&b.queue);
	world_buried(&loop);
	world_end();
}

static size_t names_below;
static bool count_name(void *self, const char *name)
{
	names_below++;
	return true;
}

static void bodies_come_whole_or_not_at_all(void **state)
{
	struct disk *disk, *bodies;
	struct rebuild *r = begin(&disk, 8);
	char name[MAIL_ID_TEXT_BYTES + 1], back[32];
	struct disk_file *file;
	size_t heads = 0, size;

	assert_int_equal(give(r, 1, 500000, FAULT_OK, true), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_BODY, SPAN("some bytes ")), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_BODY, SPAN("and more")), FAULT_OK);
	assert_int_equal(give(r, 2, 500000, FAULT_OK, true), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_BODY, SPAN("some bytes ")), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_LOST, SPAN("")), FAULT_OK);
	assert_int_equal(give(r, 3, 500000, FAULT_OK, true), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_LOST, SPAN("")), FAULT_OK);
	assert_int_equal(give(r, 4, 10, FAULT_OK, false), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_SPOOL_END, SPAN("{\"messages\":2,\"unreadable\":2}")), FAULT_OK);
	assert_int_equal(rebuild_finish(r, wrap, &heads), FAULT_OK);
	assert_true(rebuild_counts(r).messages == 2 && rebuild_counts(r).lost == 2);
	rebuild_free(&r);
	assert_int_equal(disk_sub(&bodies, disk, "bodies", false), FAULT_OK);
	names_below = 0;
	assert_int_equal(disk_list(bodies, count_name, NULL), FAULT_OK);
	assert_int_equal(names_below, 1);
	mail_id_text(name, 1);
	assert_int_equal(disk_file_open(&file, bodies, name, DISK_READ), FAULT_OK);
	assert_int_equal(disk_read(file, 0, back, sizeof back, &size), FAULT_OK);
	assert_span(((struct span){ back, size }), "some bytes and more");
	disk_file_close(&file);
	disk_close(&bodies);
	disk_close(&disk);
	world_end();
}

static void what_makes_no_sense_is_refused(void **state)
{
	struct disk *disk;
	struct rebuild *r = begin(&disk, 9);
	size_t heads = 0;

	assert_int_equal(rebuild_part(r, ARCHIVE_BODY, SPAN("of nothing")), FAULT_BACKUP_DAMAGED);
	assert_int_equal(rebuild_part(r, ARCHIVE_LOST, SPAN("")), FAULT_BACKUP_DAMAGED);
	assert_int_equal(rebuild_part(r, ARCHIVE_MESSAGE, SPAN("no record")), FAULT_BACKUP_DAMAGED);
	assert_int_equal(rebuild_finish(r, wrap, &heads), FAULT_BACKUP_DAMAGED);
	assert_int_equal(give(r, 1, 10, FAULT_OK, false), FAULT_OK);
	assert_int_equal(rebuild_part(r, ARCHIVE_BODY, SPAN("it has none")), FAULT_BACKUP_DAMAGED);
	assert_int_equal(give(r, 2, 500000, FAULT_OK, true), FAULT_OK);
	assert_int_equal(give(r, 3, 10, FAULT_OK, false), FAULT_BACKUP_DAMAGED); /* the one before has no body */
	assert_int_equal(rebuild_part(r, ARCHIVE_SPOOL_END, SPAN("{\"messages\":9}")), FAULT_BACKUP_DAMAGED);
	assert_int_equal(rebuild_part(r, ARCHIVE_SPOOL_END, SPAN("nonsense")), FAULT_BACKUP_DAMAGED);
	rebuild_free(&r);
	disk_close(&disk);
	world_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_comes_back_held),
		cmocka_unit_test(bodies_come_whole_or_not_at_all),
		cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
