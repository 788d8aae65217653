#include "tests/test.h"

#include "tests/replay/judge.h"
#include "tests/replay/reduce.h"
#include "tests/replay/scenario.h"

static unsigned tries;

static bool has(struct span text, const char *what)
{
	return span_find(text, span_of(what)) < text.size;
}

/* Fails when post dies after more than 136 things and something big was sent before. */
static bool fails(void *self, struct span text)
{
	struct span line;
	uint64_t number, size = 0;

	tries++;
	while (span_cut(&text, '\n', &line)) {
		if (span_starts(line, SPAN("at 0 send m1 to x size ")) && span_number(span_slice(line, 23, line.size), &number))
			size = number;
		if (size >= 70 && has(line, "kill post") && span_starts(line, SPAN("step ")) &&
		    span_number(span_slice(line, 5, span_find(line, SPAN(" kill")) - 5), &number) && number > 136)
			return true;
	}
	return false;
}

static void assert_reduced(const struct reduce_wish *wish, const char *text, const char *wanted)
{
	struct buf out;
	unsigned told;

	buf_init(&out, SCENARIO_BYTES);
	tries = 0;
	told = reduce(wish, span_of(text), &out);
	assert_int_equal(told, tries);
	assert_span(buf_span(&out), wanted);
	buf_free(&out);
}

static const char long_one[] = "\nclient verdict_wait 3s\nuntil 5000\nat 0 send m1 to x size 3000\nat 5 send m2 to y\n\nat 10 road open\n"
			       "step 400 kill gate\nstep 500 kill post\nat 7 resend m1\nexpect reply m1 \"250 *\"\nexpect none m1\n";

static void what_does_not_matter_goes(void **state)
{
	assert_reduced(&(struct reduce_wish){ .fails = fails, .tries_max = 1000 }, long_one,
		       "until 5000\nat 0 send m1 to x size 72\nstep 140 kill post\n");
	assert_reduced(&(struct reduce_wish){ .fails = fails, .tries_max = 1000, .keeps_healing = true }, long_one,
		       "until 5000\nat 0 send m1 to x size 72\nat 10 road open\nstep 140 kill post\nat 7 resend m1\n");
}

static void tries_are_counted(void **state)
{
	assert_reduced(&(struct reduce_wish){ .fails = fails, .tries_max = 0 }, "a\nb\n", "a\nb\n");
	assert_reduced(&(struct reduce_wish){ .fails = fails, .tries_max = 3 }, "a\nstep 9 b\n", "a\nstep 9 b\n");
	assert_int_equal(tries, 3);
}

/* The real thing: a disk that lies, and a promise that is broken for it. */
static void a_broken_promise_is_reduced_to_what_breaks_it(void **state)
{
	static const char text[] = "until 60000\nclient verdict_wait 1s\nat 0 road refused\nat 1..40 disk post sync-lies\nat 50..90 send m1 to a@x.example\n"
				   "at 70 send m2 to b@x.example\nat 20000 power-cut lose\nat 30000 road open\n";
	struct buf out, again, complaints;

	buf_init(&out, SCENARIO_BYTES);
	buf_init(&again, SCENARIO_BYTES);
	buf_init(&complaints, SCENARIO_BYTES);
	judge_play(span_of(text), 7, JUDGE_SECONDS, -1, &complaints);
	assert_true(has(buf_span(&complaints), "answered 250 and lost for"));
	assert_true(judge_reduce(span_of(text), 7, 200, &out) < 100);
	judge_reduce(span_of(text), 7, 200, &again);
	assert_true(span_equal(buf_span(&out), buf_span(&again)));
	assert_true(has(buf_span(&out), "power-cut lose"));
	assert_true(has(buf_span(&out), "disk post sync-lies"));
	assert_true(has(buf_span(&out), "m2") != has(buf_span(&out), "m1"));
	assert_false(has(buf_span(&out), "verdict_wait"));
	buf_clear(&complaints);
	judge_play(buf_span(&out), 7, JUDGE_SECONDS, -1, &complaints);
	assert_true(has(buf_span(&complaints), "answered 250 and lost for"));
	buf_free(&out);
	buf_free(&again);
	buf_free(&complaints);
}

/* A play that panics is a verdict too. */
static void a_death_is_a_verdict(void **state)
{
	struct buf complaints;

	buf_init(&complaints, SCENARIO_BYTES);
	judge_play(SPAN("until 100000000000\nboot queue_lifetime = nonsense\n"), 1, JUDGE_SECONDS, -1, &complaints);
	assert_true(has(buf_span(&complaints), "it died of"));
	buf_free(&complaints);
}

TESTS(what_does_not_matter_goes, tries_are_counted, a_broken_promise_is_reduced_to_what_breaks_it, a_death_is_a_verdict)
