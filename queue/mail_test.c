/* What is known of a message: ids that people can read aloud, and a story that comes to the same however it is told. */
#include "queue/mail.h"

#include "base/message.h"
#include "tests/test.h"

static void ids_are_read_as_people_type_them(void **state)
{
	static const uint64_t ids[] = { 0, 1, 31, 32, 0x0123456789abcdef, UINT64_MAX, 1433160000000u };
	char text[MAIL_ID_TEXT_BYTES + 1];
	uint64_t id;

	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		mail_id_text(text, ids[i]);
		assert_int_equal(strlen(text), MAIL_ID_TEXT_BYTES);
		assert_true(mail_id_read(&id, span_of(text)));
		assert_true(id == ids[i]);
	}
	assert_true(mail_id_read(&id, SPAN("00000000000il")) && id == (1 << 5 | 1)); /* I and L are 1, in either case */
	assert_true(mail_id_read(&id, SPAN("oOoOoOoOoOoO1")) && id == 1);
	assert_false(mail_id_read(&id, SPAN("000000000000")));
	assert_false(mail_id_read(&id, SPAN("00000000000000")));
	assert_false(mail_id_read(&id, SPAN("000000000000U"))); /* Crockford leaves it out */
	assert_false(mail_id_read(&id, SPAN("G000000000000"))); /* over 64 bits */
	assert_false(mail_id_read(&id, SPAN("00000000000\0o")));
}

static void ids_grow_whatever_the_clock_does(void **state)
{
	struct mails m;
	uint64_t last = 0;

	mails_init(&m);
	for (int64_t i = 0; i < 1000; i++) {
		uint64_t id = mails_new_id(&m, i % 3 ? 1700000000000 - i * 1000 : 1700000000000 + i);

		assert_true(id > last);
		last = id;
	}
	mails_free(&m);
}

static void put_run(struct buf *runs, uint32_t first, uint32_t count, enum record_status status, const char *text)
{
	struct buf run;

	buf_init(&run, 4096);
	assert_true(record_put_run(&run, &(struct record_run){ first, count, (uint8_t)status, SPAN("UPSTREAM_REPLY"), 550, SPAN("5.1.1"), span_of(text) }));
	assert_true(message_list_put(runs, buf_span(&run)));
	buf_free(&run);
}

static void outcomes_are_final_for_each_recipient(void **state)
{
	struct mail *m = mail_empty(7, 12);
	struct buf runs;

	buf_init(&runs, 65536);
	put_run(&runs, 0, 3, RECORD_ACCEPTED, "taken");
	put_run(&runs, 3, 2, RECORD_OPEN, "later");
	mail_apply_outcome(m, &(struct record_outcome){ .id = 7, .attempts = 1, .runs = buf_span(&runs) });
	assert_int_equal(m->open_count, 9);
	assert_non_null(strstr(m->reason, "later"));
	buf_clear(&runs);
	put_run(&runs, 0, 12, RECORD_REFUSED, "no"); /* what was accepted stays so */
	put_run(&runs, 10, 9, RECORD_REFUSED, "nobody is there");
	put_run(&runs, UINT32_MAX, 2, RECORD_REFUSED, "nor there");
	mail_apply_outcome(m, &(struct record_outcome){ .id = 7, .attempts = 2, .runs = buf_span(&runs) });
	assert_int_equal(m->open_count, 0);
	assert_int_equal(m->statuses[0], RECORD_ACCEPTED);
	assert_int_equal(m->statuses[4], RECORD_REFUSED);
	buf_free(&runs);
	mail_free(&m);
}

/* Held time does not count; a progress tells the whole story. */
static void progress_tells_it_all(void **state)
{
	struct mail *m = mail_empty(7, 2), *again = mail_empty(7, 2), *other = mail_empty(7, 3);
	struct buf progress;

	mail_apply_hold(m, &(struct record_hold){ .at = 1000, .fault = SPAN("UPSTREAM_AUTH"), .reason = SPAN("why") });
	mail_apply_release(m, &(struct record_release){ .at = 5000 });
	assert_int_equal(m->held_ms, 4000);
	assert_int_equal(m->next_try_at_ms, 5000);
	mail_apply_reported(m, (struct span){ "\1\0\0\0", 4 });
	mail_apply_hold(m, &(struct record_hold){ .at = 6000, .fault = SPAN("HELD_BY_PERSON"), .reason = SPAN("held"), .by = SPAN("ann") });
	assert_true(mail_is_kept(m));
	m->attempts = 3;
	m->unknown = true;
	buf_init(&progress, 65536);
	assert_true(mail_put_progress(&progress, m));
	assert_int_equal(mail_apply_progress(again, buf_span(&progress)), FAULT_OK);
	assert_true(again->held_ms == 4000 && again->attempts == 3 && again->unknown && again->open_count == 1 && again->held_since_ms == 6000);
	assert_int_equal(again->hold, FAULT_HELD_BY_PERSON);
	assert_int_equal(again->statuses[1], RECORD_REPORTED);
	assert_string_equal(again->held_by, "ann");
	assert_int_equal(mail_apply_progress(other, buf_span(&progress)), FAULT_MALFORMED); /* of another message */
	buf_free(&progress);
	mail_free(&m);
	mail_free(&again);
	mail_free(&other);
}

/* A failure that only a newer release knows is kept as one of ours, not dropped. */
static void failures_are_kept_by_name(void **state)
{
	struct mail *m = mail_empty(7, 1);

	mail_apply_hold(m, &(struct record_hold){ .at = 1, .fault = SPAN("INVENTED_LATER"), .reason = SPAN("why") });
	assert_int_equal(m->hold, FAULT_BUG);
	mail_free(&m);
}

TESTS(ids_are_read_as_people_type_them, ids_grow_whatever_the_clock_does, outcomes_are_final_for_each_recipient, progress_tells_it_all,
      failures_are_kept_by_name)
