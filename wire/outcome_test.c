/* What a remote said stays what it said, and harmless. */
#include "tests/test.h"
#include "wire/outcome.h"

static void keeps_the_words(void **state)
{
	struct outcome o;

	outcome_set(&o, FAULT_UPSTREAM_REPLY, 550, SPAN("5.1.1"), SPAN(" User unknown \r\n"));
	assert_int_equal(o.fault, FAULT_UPSTREAM_REPLY);
	assert_int_equal(o.code, 550);
	assert_string_equal(o.enhanced, "5.1.1");
	assert_string_equal(o.text, "User unknown");
}

static void makes_them_harmless(void **state)
{
	struct outcome o;

	outcome_set(&o, FAULT_UPSTREAM_REPLY, 550, SPAN("5.1.1\r\nX: y"), SPAN("a\r\nBcc: x\x1b[2J\xff\xc3\xa9\0b"));
	assert_string_equal(o.enhanced, "");
	assert_string_equal(o.text, "a??Bcc: x?[2J?\xc3\xa9?b");
}

static void cuts_between_characters(void **state)
{
	static char text[2000];
	struct outcome o;

	for (size_t i = 0; i + 1 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	for (size_t size = 470; size < 490; size++) {
		text[0] = text[1] = 'x';
		outcome_set(&o, FAULT_UPSTREAM_REPLY, 550, SPAN("5.0.0"), (struct span){ text, size - size % 2 });
		assert_true(strlen(o.text) < OUTCOME_TEXT_BYTES);
		if (size - size % 2 > 476)
			assert_string_equal(o.text + strlen(o.text) - 5, "\xc3\xa9...");
		else
			assert_int_equal(strlen(o.text), size - size % 2);
	}
	/* and the whole of it still fits one reply line */
	assert_true(strlen("550 5.999.999 ") + OUTCOME_TEXT_BYTES + 2 <= 512);
}

static void own_rows(void **state)
{
	struct outcome o;

	outcome_own(&o, FAULT_TLS_MISSING);
	assert_int_equal(o.code, 0);
	assert_string_equal(o.enhanced, "4.7.5");
	assert_string_equal(o.text, "the host did not offer STARTTLS");
	outcome_say(&o, FAULT_TIMEOUT, "no answer from %s", "up\r\n.example");
	assert_string_equal(o.text, "no answer from up??.example");
}

static void enhanced_codes(void **state)
{
	static const char *const good[] = { "2.0.0", "4.7.66", "5.7.139", "5.999.999" };
	static const char *const bad[] = { "", "5", "5.7", "5.7.", "3.0.0", "5.7.1.2", "5.7.1000", "55.7.1", "5.7.x", ".7.1", "5..1" };

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(outcome_is_enhanced(span_of(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(outcome_is_enhanced(span_of(bad[i])));
}

/* Every fault leads somewhere, and only FAULT_OK is done. */
static void what_follows(void **state)
{
	struct outcome o;

	for (unsigned f = 0; f < FAULT_COUNT; f++) {
		outcome_own(&o, (enum fault)f);
		assert_int_equal(outcome_next(&o) == OUTCOME_DONE, f == FAULT_OK);
	}
	outcome_own(&o, FAULT_UPSTREAM_AUTH);
	assert_int_equal(outcome_next(&o), OUTCOME_HOLD);
	outcome_own(&o, FAULT_UPSTREAM_REPLY);
	assert_int_equal(outcome_next(&o), OUTCOME_REFUSE);
	outcome_own(&o, FAULT_BAD_ADDRESS);
	assert_int_equal(outcome_next(&o), OUTCOME_REFUSE);
	outcome_own(&o, FAULT_DISK_FAILED);
	assert_int_equal(outcome_next(&o), OUTCOME_RETRY);
}

static void whole_words(void **state)
{
	char words[OUTCOME_WORDS_BYTES];
	struct outcome o;

	outcome_set(&o, FAULT_UPSTREAM_AUTH, 535, SPAN("5.7.3"), SPAN("Authentication unsuccessful"));
	assert_span(outcome_words(&o, words), "535 5.7.3 Authentication unsuccessful");
	outcome_set(&o, FAULT_OK, 250, SPAN(""), SPAN("queued"));
	assert_span(outcome_words(&o, words), "250 queued");
	outcome_own(&o, FAULT_UNREACHABLE);
	assert_span(outcome_words(&o, words), fault_row(FAULT_UNREACHABLE)->says[LANGUAGE_EN]);
}

TESTS(keeps_the_words, makes_them_harmless, cuts_between_characters, own_rows, enhanced_codes, what_follows, whole_words)
