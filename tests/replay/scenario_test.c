#include "tests/test.h"

#include "tests/replay/ledger.h"
#include "tests/replay/scenario.h"

static void lines_are_read(void **state)
{
	struct scenario s;
	char why[256];

	assert_true(scenario_read(&s, SPAN("# a comment\n\nboot verdict_wait_ms = 100  # another\n"
					   "at 10 send m1 to \"a b\" c\n"
					   "when \"a text\" times 2 after 30 kill post\nwhen x kill gate\n"
					   "expect reply m1 250*\nstep 3 kill post\n"), why));
	assert_int_equal(s.count, 6);
	assert_int_equal(s.lines[5].kind, SCENARIO_STEP);
	assert_int_equal(s.lines[5].at_ms, 3);
	assert_int_equal(s.lines[0].kind, SCENARIO_PREPARE);
	assert_int_equal(s.lines[0].count, 4);
	assert_int_equal(s.lines[1].kind, SCENARIO_AT);
	assert_int_equal(s.lines[1].at_ms, 10);
	assert_span(s.lines[1].words[0], "send");
	assert_span(scenario_option(&s.lines[1], "to"), "a b");
	assert_true(scenario_has(&s.lines[1], "c"));
	assert_int_equal(s.lines[2].kind, SCENARIO_WHEN);
	assert_int_equal(s.lines[2].times, 2);
	assert_int_equal(s.lines[2].at_ms, 30);
	assert_span(s.lines[2].text, "a text");
	assert_span(s.lines[2].words[0], "kill");
	assert_int_equal(s.lines[3].at_ms, -1);
	assert_int_equal(s.lines[4].kind, SCENARIO_EXPECT);
	assert_int_equal(s.lines[4].number, 7);
	scenario_free(&s);
	assert_false(scenario_read(&s, SPAN("boot x\nat soon send m1"), why));
	assert_string_equal(why, "line 2 is not understood");
	scenario_free(&s);
}

static void assert_rolled(uint64_t seed, const char *text, const char *wanted)
{
	struct buf out;

	buf_init(&out, 10000);
	scenario_roll(span_of(text), seed, &out);
	assert_span(buf_span(&out), wanted);
	buf_free(&out);
}

static uint64_t rolled_number(uint64_t seed, const char *text)
{
	struct buf out;
	struct span rest, word;
	uint64_t number;

	buf_init(&out, 10000);
	scenario_roll(span_of(text), seed, &out);
	rest = buf_span(&out);
	span_cut(&rest, ' ', &word);
	span_cut(&rest, ' ', &word);
	assert_true(span_number(word, &number));
	buf_free(&out);
	return number;
}

static void ranges_are_rolled(void **state)
{
	bool low = false, high = false;
	int64_t number;

	for (uint64_t seed = 0; seed < 200; seed++) {
		uint64_t rolled = rolled_number(seed, "at 5..7 kill post");

		assert_in_range(rolled, 5, 7);
		low = low || rolled == 5;
		high = high || rolled == 7;
		assert_int_equal(rolled, rolled_number(seed, "at 5..7 kill post"));
	}
	assert_true(low && high);
	assert_rolled(1, "# a comment\nat 3..3 x  \"5..7\" 'a # b' # no\n\nexpect arrived m1 1..2", "\nat 3 x \"5..7\" 'a # b'\n\nexpect arrived m1 1..2\n");
	assert_true(scenario_number(SPAN("12"), &number));
	assert_int_equal(number, 12);
	assert_false(scenario_number(SPAN("5..7"), &number));
	assert_false(scenario_number(SPAN("x"), &number));
	assert_true(scenario_within(SPAN("2..3"), 3));
	assert_false(scenario_within(SPAN("2..3"), 4));
	assert_false(scenario_within(SPAN("2"), 1));
	assert_false(scenario_within(SPAN("x"), 0));
}

static void patterns_match(void **state)
{
	assert_true(scenario_like(SPAN("250 2.0.0 ABC queued"), SPAN("250 *queued*")));
	assert_true(scenario_like(SPAN("250"), SPAN("250")));
	assert_false(scenario_like(SPAN("250 "), SPAN("250")));
	assert_false(scenario_like(SPAN("451 x"), SPAN("25*")));
	assert_true(scenario_like(SPAN("abcabd"), SPAN("*ab*d")));
}

/* --- the ledger must be able to find fault */

static struct letter *sent(struct ledger *l, const char *name, const char *reply)
{
	struct letter *letter = ledger_add(l, span_of(name));

	snprintf(letter->recipients[0], sizeof letter->recipients[0], "a@x.example");
	snprintf(letter->recipients[1], sizeof letter->recipients[1], "b@x.example");
	letter->recipient_count = 2;
	letter->try_count = 1;
	snprintf(letter->tries[0].reply, sizeof letter->tries[0].reply, "%s", reply);
	return letter;
}

static void assert_complaints(const struct ledger *l, const char *wanted)
{
	struct buf b;

	buf_init(&b, 10000);
	ledger_check(l, &b);
	assert_span(buf_span(&b), wanted);
	buf_free(&b);
}

static void the_ledger_finds_what_is_wrong(void **state)
{
	static struct ledger l;
	struct letter *letter = sent(&l, "m1", "250 2.0.0 queued");

	assert_complaints(&l, "m1: answered 250 and lost for a@x.example\nm1: answered 250 and lost for b@x.example\n");
	letter->is_held = true;
	assert_complaints(&l, "");
	letter->is_held = false;
	assert_true(ledger_arrived(&l, SPAN("a@x.example B@x.example"), SPAN("From: x\r\nSubject: m1\r\n\r\nSubject: m2\r\n")));
	assert_complaints(&l, "");
	assert_true(ledger_arrived(&l, SPAN("b@x.example"), SPAN("subject: m1\r\n\r\n")));
	assert_complaints(&l, "m1: 2 copies for b@x.example\n");
	letter->copies_allowed = 2;
	assert_complaints(&l, "");
	snprintf(letter->tries[0].reply, sizeof letter->tries[0].reply, "550 no");
	assert_complaints(&l, "m1: answered 5xx and yet arrived for a@x.example\nm1: answered 5xx and yet arrived for b@x.example\n");
	letter->arrived[0] = letter->arrived[1] = 0;
	assert_complaints(&l, "");
	letter->reported[0] = 1;
	assert_complaints(&l, "m1: answered 5xx and yet reported for a@x.example\n");
	letter->reported[0] = 0;
	letter->tries[0].reply[0] = 0;
	assert_complaints(&l, "m1: never answered\n");
	snprintf(letter->tries[0].reply, sizeof letter->tries[0].reply, "250 accepted for 1 of 2, report follows");
	assert_true(ledger_arrived(&l, SPAN("a@x.example"), SPAN("Subject: m1\r\n\r\n")));
	assert_complaints(&l, "m1: answered 250 and lost for b@x.example\n");
	assert_true(ledger_arrived(&l, SPAN("me@x.example"),
				   SPAN("Subject: Undelivered\r\nAuto-Submitted: auto-replied\r\n\r\nFinal-Recipient: rfc822; b@x.example\r\nAction: failed\r\n\r\n"
					"Message-ID: <m1@replay.example>\r\n")));
	assert_complaints(&l, "");
	assert_true(ledger_arrived(&l, SPAN("me@x.example"),
				   SPAN("Subject: Undelivered\r\nAuto-Submitted: auto-replied\r\n\r\nFinal-Recipient: rfc822; b@x.example\r\nAction: failed\r\n\r\n"
					"Message-ID: <m1@replay.example>\r\n")));
	letter->copies_allowed = 1;
	assert_complaints(&l, "m1: 1 further copies of a report\n");
	letter->copies_allowed = 2;
	assert_complaints(&l, "");
	letter->arrived[1] = 1;
	assert_complaints(&l, "m1: arrived and yet reported for b@x.example\n");
	letter->arrived[1] = 0;
	letter->reported[1] = 3;
	assert_complaints(&l, "m1: 3 reports for b@x.example\n");
	letter->reported[1] = 0;
	assert_complaints(&l, "m1: answered 250 and lost for b@x.example\n");
	assert_false(ledger_arrived(&l, SPAN("a@x.example"), SPAN("Subject: stranger\r\n\r\n")));
}

TESTS(lines_are_read, ranges_are_rolled, patterns_match, the_ledger_finds_what_is_wrong)
