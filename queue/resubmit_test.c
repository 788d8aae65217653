/* Messages that come again: found by all that they are, for as long as agreed, and no longer once they were heard. */
#include "queue/resubmit.h"

#include "tests/test.h"

static const struct resubmit_source source = { .client = 5, .mailbox = 1, .sender = { "a@b", 3 }, .recipients = { "list", 4 },
					       .message_id = { "<1@x>", 5 }, .digest = { "digest", 6 } };

static void any_difference_makes_another_message(void **state)
{
	struct resubmit_source others[] = { source, source, source, source, source, source };
	unsigned char key[MAIL_KEY_BYTES], again[MAIL_KEY_BYTES];

	others[0].client = 6;
	others[1].mailbox = 2;
	others[2].sender = SPAN("a@bl"); /* pieces do not run together */
	others[2].recipients = SPAN("ist");
	others[3].recipients = SPAN("lisp");
	others[4].message_id = SPAN("<2@x>");
	others[5].digest = SPAN("digesT");
	resubmit_key(key, &source);
	resubmit_key(again, &source);
	assert_memory_equal(key, again, sizeof key);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
		resubmit_key(again, &others[i]);
		assert_memory_not_equal(key, again, sizeof key);
	}
}

static void for_a_day_or_for_ten_minutes(void **state)
{
	struct resubmit r;
	unsigned char key[MAIL_KEY_BYTES];

	assert_true(resubmit_until_ms(1000, SPAN("<1@x>")) == 1000 + 24 * 3600 * 1000);
	assert_true(resubmit_until_ms(1000, SPAN("")) == 1000 + 600 * 1000);
	resubmit_init(&r);
	resubmit_key(key, &source);
	resubmit_add(&r, key, 7, 5000);
	assert_true(resubmit_find(&r, key, 4999)->id == 7);
	assert_null(resubmit_find(&r, key, 5000));
	assert_false(resubmit_forget(&r, 7));
	resubmit_free(&r);
}

static void words_for_those_who_come_late(void **state)
{
	struct resubmit r;
	unsigned char key[MAIL_KEY_BYTES];

	resubmit_init(&r);
	resubmit_key(key, &source);
	resubmit_add(&r, key, 7, 5000);
	assert_null(resubmit_find(&r, key, 0)->says);
	resubmit_accepted(&r, 7, SPAN("accepted by host: OK"));
	assert_string_equal(resubmit_find(&r, key, 0)->says, "accepted by host: OK");
	resubmit_accepted(&r, 8, SPAN("of nobody"));
	assert_true(resubmit_forget(&r, 7));
	assert_null(resubmit_find(&r, key, 0));
	resubmit_free(&r);
}

static void the_later_takes_the_place(void **state)
{
	struct resubmit r;
	unsigned char key[MAIL_KEY_BYTES];

	resubmit_init(&r);
	resubmit_key(key, &source);
	resubmit_add(&r, key, 7, 5000);
	resubmit_add(&r, key, 8, 6000);
	assert_true(resubmit_find(&r, key, 0)->id == 8);
	assert_false(resubmit_forget(&r, 7));
	resubmit_free(&r);
}

static void a_sweep_takes_what_is_over(void **state)
{
	struct resubmit r;
	unsigned char key[MAIL_KEY_BYTES] = { 0 };

	resubmit_init(&r);
	for (uint64_t i = 1; i <= 300; i++) {
		memcpy(key, &i, sizeof i);
		resubmit_add(&r, key, i, (int64_t)i);
	}
	resubmit_sweep(&r, 150); /* a few at a time */
	resubmit_sweep(&r, 150);
	assert_int_equal(map_count(&r.by_key), 150);
	assert_int_equal(map_count(&r.by_id), 150);
	resubmit_free(&r);
}

TESTS(any_difference_makes_another_message, for_a_day_or_for_ten_minutes, words_for_those_who_come_late, the_later_takes_the_place,
      a_sweep_takes_what_is_over)
