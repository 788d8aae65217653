#include "tests/replay/play.h"

#include "base/json.h"
#include "base/panic.h"
#include "base/trail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	WALL_SECONDS = 1780315200, /* 2026-06-01T12:00:00Z */
	LOG_BYTES = 64 * 1024 * 1024,
	TEXT_BYTES = 64 * 1024,
	READY_MS = 60000,
	LINK_MS = 120000,
	USUAL_UNTIL_MS = 60000,
};

static const char boot[] = "data = /data\nhost_name = gate.replay\nlog_level = debug\nsegment_bytes = 1048576\n"
			   "listener submission { port = 587 addresses = { 127.0.0.1 } certificate = c key = k }\n"
			   "listener pages { protocol = http port = 8080 tls = none addresses = { 127.0.0.1 } }\n";

void play_complain(struct play *p, const struct scenario_line *line, const char *format, ...)
{
	char text[1000];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (line)
		buf_print(&p->complaints, "line %u `%.*s`: ", line->number, SPAN_ARGS(line->source));
	buf_print(&p->complaints, "%s\n", text);
}

/* --- the log, and what waits for something to be said in it */

static void put_due(struct play *p, struct scenario_line *line)
{
	ASSERT(p->due_count < PLAY_DUE_MAX);
	p->due[p->due_count++] = line;
}

struct timed {
	struct play *play;
	struct scenario_line *line;
};

static struct timed timed[SCENARIO_LINES_MAX];

static void do_after(struct play *, struct scenario_line *, int64_t ms);

static void on_time(void *self)
{
	struct timed *t = self;

	put_due(t->play, t->line);
	if (t->line->kind == SCENARIO_AT && ++t->line->seen < t->line->times)
		do_after(t->play, t->line, t->line->every_ms);
}

static void do_after(struct play *p, struct scenario_line *line, int64_t ms)
{
	struct timed *t = &timed[line - p->scenario.lines];

	*t = (struct timed){ p, line };
	world_after(ms, on_time, t);
}

/* "expect rate TEXT N per MS": counts in the stretch of time that it is now. */
static void count_rate(struct play *p, struct scenario_line *line, struct span text)
{
	int64_t per_ms, bucket;

	if (line->count != 5 || span_find(text, line->words[1]) == text.size || !scenario_number(line->words[4], &per_ms) || !per_ms)
		return;
	bucket = (world_ms() - p->begun_ms) / per_ms;
	if (bucket != line->bucket)
		line->in_bucket = 0;
	line->bucket = bucket;
	if (++line->in_bucket > line->most)
		line->most = line->in_bucket;
}

static void look_at(struct play *p, struct span text)
{
	for (size_t i = 0; p->has_begun && i < p->scenario.count; i++) {
		struct scenario_line *line = &p->scenario.lines[i];

		if (line->kind == SCENARIO_EXPECT && span_equal(line->words[0], SPAN("rate")))
			count_rate(p, line, text);
		if (line->kind != SCENARIO_WHEN || span_find(text, line->text) == text.size || ++line->seen != line->times)
			continue;
		if (line->at_ms < 0)
			put_due(p, line);
		else
			do_after(p, line, line->at_ms);
	}
}

static void on_world_line(void *self, struct span line)
{
	struct play *p = self;

	buf_put(&p->log, line);
	look_at(p, line);
	if (p->failing && span_find(line, SPAN("the power fails before a sync")) < line.size) {
		p->has_failed = true;
		put_due(p, &p->scenario.lines[p->failing - p->scenario.lines]);
	}
}

static void on_trail_line(void *self, struct span line)
{
	struct play *p = self;

	if (!p->is_quiet || !p->has_begun)
		buf_print(&p->log, "                   %.*s", SPAN_ARGS(line));
	look_at(p, line);
}

/* --- raising the house */

static bool is_ready(void *self)
{
	return house_is_ready(((struct play *)self)->house);
}

static bool must(struct play *p, enum fault fault, const char *what, const struct buf *result)
{
	if (fault)
		play_complain(p, NULL, "%s: %s %.*s", what, fault_row(fault)->name, SPAN_ARGS(buf_span(result)));
	return fault == FAULT_OK;
}

static bool read_text(const struct buf *result, const char *member, char *out, size_t size)
{
	json_t *json = json_read(buf_span(result), TEXT_BYTES);
	struct span text = json ? json_text(json, member) : SPAN("");

	snprintf(out, size, "%.*s", SPAN_ARGS(text));
	json_decref(json);
	return out[0] != 0;
}

bool play_link(struct play *p, const char *address, struct buf *result)
{
	char code[64], state[64] = "";
	int64_t until;

	if (!must(p, admin_ask(p->admin, "mailbox.link", result, "{\"address\":\"%s\",\"device\":true}", address), "link", result))
		return false;
	if (!read_text(result, "user_code", code, sizeof code) || !cloud_approve(p->cloud, span_of(code), span_of(address))) {
		play_complain(p, NULL, "the device code is not approved: %.*s", SPAN_ARGS(buf_span(result)));
		return false;
	}
	for (until = world_ms() + LINK_MS; world_ms() < until && strcmp(state, "ready");) {
		world_run_until(world_ms() + 1000, NULL, NULL);
		if (!must(p, admin_ask(p->admin, "mailbox.show", result, "{\"address\":\"%s\"}", address), "show", result))
			return false;
		read_text(result, "state", state, sizeof state);
	}
	if (strcmp(state, "ready") != 0)
		play_complain(p, NULL, "the mailbox is not linked: %.*s", SPAN_ARGS(buf_span(result)));
	return !strcmp(state, "ready");
}

static bool add_mailbox(struct play *p, const char *address, struct buf *result)
{
	return must(p, admin_ask(p->admin, "mailbox.add", result, "{\"address\":\"%s\",\"org\":\"contoso\",\"provider\":\"twin\"}", address),
		    "mailbox add", result) &&
	       play_link(p, address, result);
}

static bool add_client(struct play *p, struct buf *result)
{
	struct buf mailboxes;
	bool good;

	buf_init(&mailboxes, TEXT_BYTES);
	for (size_t i = 0; i < p->mailbox_count; i++)
		buf_print(&mailboxes, "%s\"%s\"", i ? "," : "", p->mailboxes[i]);
	good = must(p, admin_ask(p->admin, "client.add", result, "{\"name\":\"app\",\"org\":\"contoso\",\"mailbox\":[%.*s]%.*s}",
				 SPAN_ARGS(buf_span(&mailboxes)), SPAN_ARGS(buf_span(&p->client))), "client add", result);
	buf_free(&mailboxes);
	if (good && !read_text(result, "password", p->password, sizeof p->password)) {
		play_complain(p, NULL, "no password: %.*s", SPAN_ARGS(buf_span(result)));
		return false;
	}
	return good;
}

static bool set_up(struct play *p, struct buf *result)
{
	struct buf registration;
	bool good;

	buf_init(&registration, TEXT_BYTES);
	cloud_registration(p->cloud, &registration);
	good = must(p, admin_ask(p->admin, "org.add", result, "{\"name\":\"contoso\"}"), "org add", result) &&
	       must(p, admin_ask(p->admin, "provider.add", result, "{\"name\":\"twin\",\"org\":\"contoso\",%.*s}",
				 SPAN_ARGS(buf_span(&registration))), "provider add", result);
	for (size_t i = 0; i < p->mailbox_count; i++)
		good = good && add_mailbox(p, p->mailboxes[i], result);
	buf_free(&registration);
	return good && add_client(p, result);
}

static bool raise(struct play *p)
{
	struct house_settings settings = { .boot = buf_span(&p->boot), .ca = cloud_ca(p->cloud) };
	struct buf result;
	bool good = false;

	p->house = house_new(&settings);
	if (world_run_until(READY_MS, is_ready, p)) {
		play_complain(p, NULL, "the roles are not ready");
		return false;
	}
	buf_init(&result, 1024 * 1024);
	good = set_up(p, &result);
	buf_wipe(&result);
	address_parse(&p->gate, SPAN("127.0.0.1"), 587);
	applications_at(p->applications, &p->gate, SPAN("app"), span_of(p->password));
	return good;
}

/* --- playing */

static void do_due(struct play *p)
{
	for (size_t i = 0; i < p->due_count; i++) {
		const struct scenario_line *line = p->due[i];

		world_note("line %u of the scenario", line->number);
		script_do(p, line);
	}
	p->due_count = 0;
}

/* Lines that wait for a number of things to have happened are looked at between any two of them. */
static bool something_is_due(void *self)
{
	struct play *p = self;

	if (cloud_is_full(p->cloud))
		script_gather(p);
	for (size_t i = 0; i < p->scenario.count; i++) {
		struct scenario_line *line = &p->scenario.lines[i];

		if (line->kind == SCENARIO_STEP && !line->seen && (int64_t)(world_steps() - p->begun_step) >= line->at_ms) {
			line->seen = 1;
			put_due(p, line);
		}
	}
	return p->due_count != 0;
}

static void perform(struct play *p)
{
	p->begun_ms = world_ms();
	p->begun_step = world_steps();
	p->has_begun = true;
	world_note("the play begins");
	if (p->is_quiet) {
		world_log(NULL, NULL);
		trail_configure(TRAIL_LOGFMT, LEVEL_INFO);
	}
	for (size_t i = 0; i < p->scenario.count; i++)
		if (p->scenario.lines[i].kind == SCENARIO_AT)
			do_after(p, &p->scenario.lines[i], p->scenario.lines[i].at_ms);
	while (!world_run_until(p->begun_ms + p->until_ms, something_is_due, p))
		do_due(p);
	world_log(on_world_line, p);
	world_disk_trouble("/data/spool", WORLD_DISK_ENDS, 0);
	world_disk_trouble("/data/vault", WORLD_DISK_ENDS, 0);
	world_note("the play ends");
	p->has_begun = false;
}

/* What the ledger and the house complain of, save what the scenario expects to be broken: a disk that lies must be seen. */
static void check_promises(struct play *p)
{
	struct span rest, one;
	struct buf broken;

	buf_init(&broken, TEXT_BYTES);
	ledger_check(&p->ledger, &broken);
	if (p->flood)
		flood_check(p->flood, p->queued, &broken);
	if (!script_expects_broken(p))
		script_check_house(p, &broken);
	rest = buf_span(&broken);
	while (span_cut(&rest, '\n', &one))
		if (one.size && !script_is_expected(p, one))
			play_complain(p, NULL, "%.*s", SPAN_ARGS(one));
	buf_free(&broken);
}

static void look_back(struct play *p)
{
	script_count(p);
	ledger_print(&p->ledger, &p->log);
	check_promises(p);
	for (size_t i = 0; i < p->scenario.count; i++) {
		const struct scenario_line *line = &p->scenario.lines[i];

		if (line->kind == SCENARIO_EXPECT)
			script_expect(p, line);
		if (line->kind == SCENARIO_WHEN && line->seen < line->times)
			play_complain(p, line, "'%.*s' was said %u times only", SPAN_ARGS(line->text), line->seen);
	}
}

void play_prepare(void)
{
	cloud_prepare(WALL_SECONDS * 1000ll);
}

static void prepare(struct play *p, struct span text, uint64_t seed)
{
	char why[256];

	play_prepare();
	world_begin(seed, WALL_SECONDS * 1000ll);
	*p = (struct play){ .until_ms = USUAL_UNTIL_MS };
	buf_init(&p->log, LOG_BYTES);
	buf_init(&p->complaints, TEXT_BYTES);
	buf_init(&p->rolled, SCENARIO_BYTES);
	buf_init(&p->boot, TEXT_BYTES);
	buf_init(&p->client, TEXT_BYTES);
	buf_put(&p->boot, span_of(boot));
	snprintf(p->mailboxes[p->mailbox_count++], sizeof p->mailboxes[0], "alex@contoso.example");
	world_log(on_world_line, p);
	trail_configure(TRAIL_LOGFMT, LEVEL_DEBUG);
	trail_redirect(on_trail_line, p);
	scenario_roll(text, seed, &p->rolled);
	if (!scenario_read(&p->scenario, buf_span(&p->rolled), why))
		play_complain(p, NULL, "%s", why);
	for (size_t i = 0; i < p->scenario.count; i++)
		if (p->scenario.lines[i].kind == SCENARIO_PREPARE)
			script_prepare(p, &p->scenario.lines[i]);
}

void play_run(struct play *p, struct span text, uint64_t seed)
{
	prepare(p, text, seed);
	p->cloud = cloud_new();
	script_people(p);
	p->admin = admin_new();
	p->applications = applications_new();
	if (!p->complaints.size && raise(p)) {
		perform(p);
		look_back(p);
	}
	house_free(&p->house);
	applications_free(&p->applications);
	flood_free(&p->flood);
	admin_free(&p->admin);
	cloud_free(&p->cloud);
	trail_redirect(NULL, NULL);
	scenario_free(&p->scenario);
	buf_free(&p->rolled);
	buf_free(&p->boot);
	buf_free(&p->client);
	world_end();
}
