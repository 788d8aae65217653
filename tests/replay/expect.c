#include "tests/replay/play.h"

#include "base/json.h"
#include "base/panic.h"
#include "loop/disk.h"

enum { ANSWER_BYTES = 256 * 1024, ROTATE_MS = 180000, REST_MS = 1000 };

static void expect_reply(struct play *p, const struct scenario_line *line, const struct letter *letter)
{
	struct span pattern = line->words[2];
	int64_t number = (int64_t)letter->try_count;

	if (line->count == 4 && (!scenario_number(line->words[2], &number) || number < 1 || number > (int64_t)letter->try_count)) {
		play_complain(p, line, "there was no such try");
		return;
	}
	if (line->count == 4)
		pattern = line->words[3];
	if (!number || !scenario_like(span_of(letter->tries[number - 1].reply), pattern))
		play_complain(p, line, "the reply was: %s", number ? letter->tries[number - 1].reply : "none");
}

static void expect_within(struct play *p, const struct scenario_line *line, const struct letter *letter)
{
	const struct letter_try *last = letter->try_count ? &letter->tries[letter->try_count - 1] : NULL;
	int64_t most;

	if (!last || !scenario_number(line->words[2], &most) || !last->ended_ms || last->ended_ms - last->begun_ms > most)
		play_complain(p, line, "it took %lld ms", last && last->ended_ms ? (long long)(last->ended_ms - last->begun_ms) : -1ll);
}

static void expect_count(struct play *p, const struct scenario_line *line, size_t count)
{
	if (!scenario_within(line->words[2], (int64_t)count))
		play_complain(p, line, "it was %zu", count);
}

static size_t arrived(const struct letter *letter, struct span recipient)
{
	size_t count = 0;

	for (size_t i = 0; i < letter->recipient_count; i++)
		if (!recipient.size || span_equal(span_of(letter->recipients[i]), recipient))
			count += letter->arrived[i];
	return count;
}

static size_t said(struct span text, struct span what)
{
	size_t count = 0, at;

	while ((at = span_find(text, what)) < text.size) {
		count++;
		text = span_slice(text, at + what.size, text.size);
	}
	return count;
}

static void expect_of_letter(struct play *p, const struct scenario_line *line)
{
	const struct letter *letter = ledger_letter(&p->ledger, line->words[1]);
	struct span what = line->words[0];

	if (!letter)
		play_complain(p, line, "there is no such letter");
	else if (span_equal(what, SPAN("reply")) && line->count > 2)
		expect_reply(p, line, letter);
	else if (span_equal(what, SPAN("arrived")) && line->count > 2)
		expect_count(p, line, arrived(letter, scenario_option(line, "for")));
	else if (span_equal(what, SPAN("within")) && line->count > 2)
		expect_within(p, line, letter);
	else if (span_equal(what, SPAN("reports")) && line->count > 2)
		expect_count(p, line, letter->reports);
	else if (span_equal(what, SPAN("delays")) && line->count > 2)
		expect_count(p, line, letter->delays);
	else if (span_equal(what, SPAN("held")) ? !letter->is_held : span_equal(what, SPAN("queued")) ? !letter->is_queued :
		 span_equal(what, SPAN("kept")) ? !letter->is_kept : true)
		play_complain(p, line, "it is not so");
}

static void expect_flood(struct play *p, const struct scenario_line *line)
{
	const struct flood_count c = p->flood ? flood_count(p->flood) : (struct flood_count){ 0 };
	const struct {
		const char *name;
		uint64_t number;
	} numbers[] = { { "accepted", c.accepted }, { "refused", c.refused }, { "arrived", c.arrived }, { "reported", c.reported }, { "spread", c.spread },
			{ "over", (uint64_t)c.last_ms }, { "stagger", (uint64_t)c.stagger_ms } };

	for (size_t i = 0; p->flood && i < sizeof numbers / sizeof *numbers; i++) {
		if (!span_equal(line->words[1], span_of(numbers[i].name)))
			continue;
		if (!scenario_within(line->words[2], (int64_t)numbers[i].number))
			play_complain(p, line, "it was %llu", (unsigned long long)numbers[i].number);
		return;
	}
	play_complain(p, line, "that cannot be expected of a flood");
}

static void expect_overshot(struct play *p, const struct scenario_line *line)
{
	uint64_t number;

	if (!cloud_overshot(p->cloud, line->words[1], &number))
		play_complain(p, line, "no such limit is counted");
	else if (!scenario_within(line->words[2], (int64_t)number))
		play_complain(p, line, "it was %llu", (unsigned long long)number);
}

static void expect_mailbox(struct play *p, const struct scenario_line *line)
{
	struct buf result;
	json_t *json;

	buf_init(&result, ANSWER_BYTES);
	if (admin_ask(p->admin, "mailbox.show", &result, "{\"address\":\"%.*s\"}", SPAN_ARGS(line->words[1])))
		play_complain(p, line, "the mailbox is not shown");
	json = json_read(buf_span(&result), ANSWER_BYTES);
	if (!span_equal(json_text(json, "state"), line->words[2]))
		play_complain(p, line, "it is %.*s", SPAN_ARGS(json_text(json, "state")));
	json_decref(json);
	buf_wipe(&result);
}

static void expect_notices(struct play *p, const struct scenario_line *line)
{
	size_t count = 0;

	for (size_t i = 0; i < p->noticed_count; i++)
		if (span_equal_fold(span_of(p->notices[i].address), line->words[1]))
			count = p->notices[i].count;
	expect_count(p, line, count);
}

void script_expect(struct play *p, const struct scenario_line *line)
{
	struct span what = line->words[0];

	if (span_equal(what, SPAN("broken")) && line->count == 2) {
		if (!line->seen)
			play_complain(p, line, "no such promise was broken");
	} else if (span_equal(what, SPAN("rate")) && line->count == 5) {
		if (!scenario_within(line->words[2], (int64_t)line->most))
			play_complain(p, line, "it was %llu", (unsigned long long)line->most);
	} else if (span_equal(what, SPAN("flood")) && line->count == 3) {
		expect_flood(p, line);
	} else if (span_equal(what, SPAN("notices")) && line->count == 3) {
		expect_notices(p, line);
	} else if (span_equal(what, SPAN("overshot")) && line->count == 3) {
		expect_overshot(p, line);
	} else if (span_equal(what, SPAN("mailbox")) && line->count == 3) {
		expect_mailbox(p, line);
	} else if (span_equal(what, SPAN("said")) && line->count > 2) {
		size_t count = said(buf_span(&p->log), line->words[1]);

		if (!span_equal(line->words[2], SPAN("some")))
			expect_count(p, line, count);
		else if (!count)
			play_complain(p, line, "it was never said");
	} else if (span_equal(what, SPAN("none")) && line->count > 1) {
		const struct letter *letter = ledger_letter(&p->ledger, line->words[1]);

		if (!letter)
			play_complain(p, line, "there is no such letter");
		else if (letter->is_held || letter->is_queued)
			play_complain(p, line, "something of it waits");
	} else if (line->count > 1) {
		expect_of_letter(p, line);
	} else {
		play_complain(p, line, "that cannot be expected");
	}
}

/* --- promises that are to be broken */

bool script_expects_broken(const struct play *p)
{
	for (size_t i = 0; i < p->scenario.count; i++)
		if (p->scenario.lines[i].kind == SCENARIO_EXPECT && span_equal(p->scenario.lines[i].words[0], SPAN("broken")))
			return true;
	return false;
}

bool script_is_expected(struct play *p, struct span complaint)
{
	bool found = false;

	for (size_t i = 0; i < p->scenario.count; i++) {
		struct scenario_line *line = &p->scenario.lines[i];

		if (line->kind == SCENARIO_EXPECT && line->count == 2 && span_equal(line->words[0], SPAN("broken")) && scenario_like(complaint, line->words[1])) {
			line->seen++;
			found = true;
		}
	}
	return found;
}

/* --- the house: invariants I7 and I8 */

static size_t old_keys(struct play *p, struct buf *result, int64_t newest)
{
	size_t count = 0, at;
	json_t *list, *item;
	int64_t id;

	if (admin_ask(p->admin, "key.list", result, "{}"))
		return 1;
	list = json_read(buf_span(result), ANSWER_BYTES);
	json_array_foreach(json_object_get(list, "items"), at, item)
		count += json_whole(item, "id", &id) && id != newest && !span_equal(json_text(item, "state"), SPAN("ended"));
	json_decref(list);
	return count;
}

/* A new key is made: only when everything under the old ones was opened and sealed again can they end. */
static void check_secrets(struct play *p, struct buf *complaints)
{
	int64_t until = world_ms() + ROTATE_MS, id = 0;
	struct buf result;
	json_t *json;

	buf_init(&result, ANSWER_BYTES);
	if (admin_ask(p->admin, "key.rotate", &result, "{}"))
		buf_print(complaints, "no key can be made: %.*s\n", SPAN_ARGS(buf_span(&result)));
	json = json_read(buf_span(&result), ANSWER_BYTES);
	if (!json || !json_whole(json, "id", &id))
		id = 0;
	json_decref(json);
	while (id && world_ms() < until && old_keys(p, &result, id))
		world_run_until(world_ms() + REST_MS, NULL, NULL);
	if (id && old_keys(p, &result, id))
		buf_print(complaints, "an old key cannot end: something does not open\n");
	buf_free(&result);
}

static bool complain_of_body(void *self, const char *name)
{
	buf_print(self, "the body %s belongs to no message\n", name);
	return true;
}

static void check_bodies(struct buf *complaints)
{
	struct disk *spool, *bodies = NULL;

	if (disk_open(&spool, "/data/spool", false) || disk_sub(&bodies, spool, "bodies", false) || disk_list(bodies, complain_of_body, complaints))
		buf_print(complaints, "the bodies cannot be listed\n");
	disk_close(&bodies);
	disk_close(&spool);
}

void script_check_house(struct play *p, struct buf *complaints)
{
	check_secrets(p, complaints);
	if (!p->queued)
		check_bodies(complaints);
}
