#include "tests/replay/play.h"

#include "base/clock.h"
#include "base/fake/fake.h"
#include "base/json.h"
#include "twin/twin_fault.h"

#include <stdio.h>
#include <string.h>

enum { QUEUE_BYTES = 1024 * 1024 };

/* --- what can be done */

static bool number_of(struct play *p, const struct scenario_line *line, const char *word, int64_t preset, int64_t *out)
{
	struct span text = scenario_option(line, word);

	*out = preset;
	if (!text.size || scenario_number(text, out))
		return true;
	play_complain(p, line, "%s wants a number", word);
	return false;
}

static void add_recipients(struct play *p, const struct scenario_line *line, struct letter *letter)
{
	static const char *const words[] = { "from", "patience", "size", "copies", "no-message-id", "notify" };
	size_t at = 0;

	while (at < line->count && !span_equal(line->words[at], SPAN("to")))
		at++;
	for (at++; at < line->count; at++) {
		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (span_equal(line->words[at], span_of(words[i])))
				return;
		if (letter->recipient_count == LETTER_RECIPIENTS_MAX) {
			play_complain(p, line, "too many recipients");
			return;
		}
		snprintf(letter->recipients[letter->recipient_count++], sizeof letter->recipients[0], "%.*s", SPAN_ARGS(line->words[at]));
	}
}

static void do_send(struct play *p, const struct scenario_line *line)
{
	struct span from = scenario_option(line, "from"), notify = scenario_option(line, "notify");
	struct letter *letter;
	int64_t size, copies;

	if (line->count < 4 || ledger_letter(&p->ledger, line->words[1])) {
		play_complain(p, line, "send NAME to ADDRESS...");
		return;
	}
	letter = ledger_add(&p->ledger, line->words[1]);
	add_recipients(p, line, letter);
	snprintf(letter->sender, sizeof letter->sender, "%.*s", SPAN_ARGS(from.size ? from : span_of(p->mailboxes[0])));
	snprintf(letter->notify, sizeof letter->notify, "%.*s", SPAN_ARGS(notify));
	letter->no_message_id = scenario_has(line, "no-message-id");
	if (!number_of(p, line, "patience", 0, &letter->patience_ms) || !number_of(p, line, "size", 0, &size) ||
	    !number_of(p, line, "copies", 1, &copies))
		return;
	letter->size_bytes = (size_t)size;
	letter->copies_allowed = (size_t)copies;
	application_send(p->applications, letter);
}

static void do_resend(struct play *p, const struct scenario_line *line)
{
	struct letter *letter = ledger_letter(&p->ledger, line->words[1]);
	struct span last = letter ? ledger_reply(letter) : SPAN("");

	if (scenario_has(line, "if-needed") && letter && (!last.size || last.at[0] == '2'))
		return;
	if (letter && number_of(p, line, "patience", letter->patience_ms, &letter->patience_ms))
		application_send(p->applications, letter);
	else
		play_complain(p, line, "there is no such letter");
}

static bool role_of(struct span name, enum role *out)
{
	static const enum role roles[] = { ROLE_GATE, ROLE_VAULT, ROLE_POST, ROLE_DESK };

	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (span_equal(name, span_of(role_name(roles[i])))) {
			*out = roles[i];
			return true;
		}
	return false;
}

static void do_kill(struct play *p, const struct scenario_line *line)
{
	enum role role;

	if (role_of(line->words[1], &role))
		house_kill(p->house, role);
	else
		play_complain(p, line, "there is no such role");
}

static void do_power_cut(struct play *p, const struct scenario_line *line)
{
	static const char *const modes[] = { "lose", "dice", "keep" };
	struct span where = scenario_option(line, "at-sync");
	int64_t times;

	if (where.size && !p->has_failed) {
		number_of(p, line, "times", 1, &times);
		p->failing = line;
		world_disk_trouble(span_equal(where, SPAN("vault")) ? "/data/vault" : "/data/spool", WORLD_DISK_ENDS, (int)times);
		return;
	}
	p->has_failed = false;
	for (size_t i = 0; i < 3; i++)
		if (span_equal(line->words[1], span_of(modes[i]))) {
			house_power_cut(p->house, (enum world_cut_mode)i);
			return;
		}
	play_complain(p, line, "power-cut lose|dice|keep [at-sync post|vault [times N]]");
}

static void do_disk(struct play *p, const struct scenario_line *line)
{
	static const char *const troubles[] = { "sync-fails", "sync-lies", "write-fails", "read-fails", "full" };
	const char *path = span_equal(line->words[1], SPAN("vault")) ? "/data/vault" : "/data/spool";
	int64_t times;

	if (!number_of(p, line, "times", -1, &times))
		return;
	for (size_t i = 0; line->count > 2 && i < sizeof troubles / sizeof *troubles; i++)
		if (span_equal(line->words[2], span_of(troubles[i]))) {
			world_disk_trouble(path, (enum world_disk_trouble)i, scenario_has(line, "no-more") ? 0 : (int)times);
			return;
		}
	play_complain(p, line, "disk post|vault TROUBLE [times N|no-more]");
}

/* Whose port a word means; 0 for none. */
static uint16_t port_of(const struct play *p, struct span word)
{
	if (span_equal(word, SPAN("provider")))
		return cloud_smtp_port(p->cloud);
	if (span_equal(word, SPAN("identity")))
		return cloud_http_port(p->cloud);
	return span_equal(word, SPAN("applications")) ? 587 : 0;
}

static void do_road(struct play *p, const struct scenario_line *line)
{
	static const char *const states[] = { "open", "refused", "silent" };
	uint16_t port = line->count > 2 ? port_of(p, line->words[1]) : cloud_smtp_port(p->cloud);

	for (size_t i = 0; port && i < 3; i++)
		if (span_equal(line->words[line->count - 1], span_of(states[i]))) {
			world_road("127.0.0.1", port, (enum world_road)i);
			world_road("::1", port, (enum world_road)i);
			return;
		}
	play_complain(p, line, "road [provider|identity] open|refused|silent");
}

static void do_cut(struct play *p, const struct scenario_line *line)
{
	uint16_t port = port_of(p, line->words[1]);

	if (!port) {
		play_complain(p, line, "cut provider|identity|applications");
		return;
	}
	world_cut("127.0.0.1", port);
	world_cut("::1", port);
}

static void do_skew(struct play *p, const struct scenario_line *line)
{
	struct span text = line->words[1];
	bool back = span_starts(text, SPAN("-"));
	int64_t ms;

	if (scenario_number(span_slice(text, back, text.size), &ms))
		fake_clock_skew(back ? -ms : ms);
	else
		play_complain(p, line, "skew MS");
}

static void do_switch(struct play *p, const struct scenario_line *line)
{
	if (line->count < 3 || !cloud_switch(p->cloud, line->words[1], line->words[2], line->count > 3 ? line->words[3] : SPAN("")))
		play_complain(p, line, "the twin does not take that switch");
}

static void do_script(struct play *p, const struct scenario_line *line)
{
	int64_t times = TWIN_ALWAYS, ms, percent;
	bool always = span_equal(scenario_option(line, "times"), SPAN("always"));

	if ((!always && !number_of(p, line, "times", 1, &times)) || !number_of(p, line, "ms", 0, &ms) || !number_of(p, line, "percent", 0, &percent))
		return;
	if (!cloud_script(p->cloud, &(struct cloud_fault){ .name = line->words[1], .stage = scenario_option(line, "stage"),
							   .mailbox = scenario_option(line, "mailbox"), .text = scenario_option(line, "text"),
							   .times = times, .wait_ms = ms, .percent = percent }))
		play_complain(p, line, "the twin does not take that fault");
}

static void do_reset(struct play *p, const struct scenario_line *line)
{
	cloud_unscript(p->cloud);
}

static void do_link(struct play *p, const struct scenario_line *line)
{
	struct buf result;
	char address[128];

	snprintf(address, sizeof address, "%.*s", SPAN_ARGS(line->words[1]));
	buf_init(&result, QUEUE_BYTES);
	if (!play_link(p, address, &result))
		play_complain(p, line, "nobody can sign in");
	buf_wipe(&result);
}

static void do_flood(struct play *p, const struct scenario_line *line)
{
	int64_t count, sessions, size, copies;

	if (p->flood || !scenario_number(line->words[1], &count) || !count || !number_of(p, line, "sessions", 10, &sessions) ||
	    !number_of(p, line, "size", 0, &size) || !number_of(p, line, "copies", 1, &copies)) {
		play_complain(p, line, "flood N [sessions N] [size BYTES] [copies N], once");
		return;
	}
	p->flood = flood_new(&(struct flood_wish){ .gate = p->gate, .user = SPAN("app"), .password = span_of(p->password), .senders = p->mailboxes,
						   .sender_count = p->mailbox_count, .count = (uint64_t)count, .sessions = (unsigned)sessions,
						   .size_bytes = (size_t)size, .copies = (unsigned)copies, .begun_ms = p->begun_ms });
}

static void do_reload(struct play *p, const struct scenario_line *line)
{
	char why[256] = "";

	for (size_t i = 1; i < line->count; i++)
		buf_print(&p->boot, "%.*s ", SPAN_ARGS(line->words[i]));
	buf_put_byte(&p->boot, '\n');
	if (!house_reload(p->house, buf_span(&p->boot), why))
		play_complain(p, line, "the reload is refused: %s", why);
}

static void do_ask(struct play *p, const struct scenario_line *line)
{
	struct buf result;
	char operation[64];
	enum fault fault;

	snprintf(operation, sizeof operation, "%.*s", SPAN_ARGS(line->words[1]));
	buf_init(&result, QUEUE_BYTES);
	fault = admin_ask(p->admin, operation, &result, "%.*s", SPAN_ARGS(line->words[2]));
	world_note("%s: %s %.*s", operation, fault_row(fault)->name, SPAN_ARGS(span_slice(buf_span(&result), 0, 400)));
	if (fault)
		play_complain(p, line, "%s: %.*s", fault_row(fault)->name, SPAN_ARGS(buf_span(&result)));
	buf_wipe(&result);
}

static void do_queue(struct play *p, const struct scenario_line *line)
{
	struct letter *letter = line->count > 2 ? ledger_letter(&p->ledger, line->words[2]) : NULL;
	struct buf result;
	char operation[64];
	enum fault fault;

	if (!letter || !ledger_id(letter).size) {
		play_complain(p, line, "queue VERB NAME, for a letter that has an id");
		return;
	}
	snprintf(operation, sizeof operation, "queue.%.*s", SPAN_ARGS(line->words[1]));
	buf_init(&result, QUEUE_BYTES);
	fault = admin_ask(p->admin, operation, &result, "{\"id\":\"%.*s\"}", SPAN_ARGS(ledger_id(letter)));
	world_note("%s: %s %.*s", operation, fault_row(fault)->name, SPAN_ARGS(buf_span(&result)));
	if (fault)
		play_complain(p, line, "%s: %s", operation, fault_row(fault)->name);
	buf_free(&result);
}

static const struct {
	const char *word;
	size_t least_words;
	void (*act)(struct play *, const struct scenario_line *);
} actions[] = {
	{ "send", 4, do_send },	  { "resend", 2, do_resend }, { "kill", 2, do_kill }, { "power-cut", 2, do_power_cut },
	{ "disk", 3, do_disk },	  { "road", 2, do_road },     { "cut", 2, do_cut },   { "skew", 2, do_skew },
	{ "switch", 3, do_switch }, { "script", 2, do_script }, { "queue", 3, do_queue }, { "reload", 1, do_reload },
	{ "ask", 3, do_ask },	  { "unscript", 1, do_reset }, { "link", 2, do_link }, { "flood", 2, do_flood },
};

void script_do(struct play *p, const struct scenario_line *line)
{
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (span_equal(line->words[0], span_of(actions[i].word)) && line->count >= actions[i].least_words) {
			actions[i].act(p, line);
			return;
		}
	play_complain(p, line, "'%.*s' is nothing that can be done", SPAN_ARGS(line->words[0]));
}

/* --- what can be prepared */

static void prepare_network(struct play *p, const struct scenario_line *line)
{
	struct world_network n = { 1, 20, 0, 1, 256 * 1024, 1500 };
	int64_t most, piece;

	if (!number_of(p, line, "ms", n.most_ms, &most) || !number_of(p, line, "pieces", (int64_t)n.piece_bytes_max, &piece))
		return;
	n.most_ms = (int)most;
	n.piece_bytes_max = (size_t)piece;
	world_network(&n);
}

static void prepare_pool(struct play *p, const struct scenario_line *line)
{
	char name[32];
	int64_t ms;

	snprintf(name, sizeof name, "%.*s", SPAN_ARGS(line->words[1]));
	if (number_of(p, line, "ms", 2, &ms))
		world_pool_delay(name, 0, (int)ms);
}

void script_people(struct play *p)
{
	for (int64_t i = 0; i < p->people && p->mailbox_count < PLAY_MAILBOXES_MAX; i++)
		snprintf(p->mailboxes[p->mailbox_count++], sizeof p->mailboxes[0], "%s", cloud_add_person(p->cloud));
}

void script_prepare(struct play *p, const struct scenario_line *line)
{
	struct span what = line->words[0];

	if (span_equal(what, SPAN("until")) && scenario_number(line->words[1], &p->until_ms))
		return;
	if (span_equal(what, SPAN("boot"))) {
		for (size_t i = 1; i < line->count; i++)
			buf_print(&p->boot, "%.*s ", SPAN_ARGS(line->words[i]));
		buf_put_byte(&p->boot, '\n');
	} else if (span_equal(what, SPAN("client")) && line->count == 3) {
		buf_print(&p->client, ",\"%.*s\":\"%.*s\"", SPAN_ARGS(line->words[1]), SPAN_ARGS(line->words[2]));
	} else if (span_equal(what, SPAN("mailbox")) && p->mailbox_count < PLAY_MAILBOXES_MAX) {
		snprintf(p->mailboxes[p->mailbox_count++], sizeof p->mailboxes[0], "%.*s", SPAN_ARGS(line->words[1]));
	} else if (span_equal(what, SPAN("people")) && scenario_number(line->words[1], &p->people)) {
		return;
	} else if (span_equal(what, SPAN("log")) && span_equal(line->words[1], SPAN("quiet"))) {
		p->is_quiet = true;
	} else if (span_equal(what, SPAN("network"))) {
		prepare_network(p, line);
	} else if (span_equal(what, SPAN("pool"))) {
		prepare_pool(p, line);
	} else {
		play_complain(p, line, "'%.*s' is nothing that can be prepared", SPAN_ARGS(what));
	}
}

/* --- what became of it */

static void count_notice(struct play *p, struct span recipients)
{
	struct span word;
	size_t at;

	while (span_cut(&recipients, ' ', &word)) {
		for (at = 0; at < p->noticed_count && !span_equal_fold(span_of(p->notices[at].address), word); at++)
			;
		if (at == PLAY_NOTICED_MAX) {
			play_complain(p, NULL, "too many people are told something");
			return;
		}
		if (at == p->noticed_count)
			snprintf(p->notices[p->noticed_count++].address, sizeof p->notices[0].address, "%.*s", SPAN_ARGS(word));
		p->notices[at].count++;
	}
}

static void on_mail(void *self, const struct cloud_mail *mail)
{
	struct play *p = self;
	struct span subject = ledger_field(mail->bytes, SPAN("subject:"));
	bool is_report = span_starts_fold(ledger_field(mail->bytes, SPAN("auto-submitted:")), SPAN("auto-"));

	if (span_equal(ledger_field(mail->bytes, SPAN("x-postern-report:")), SPAN("notice"))) {
		count_notice(p, mail->recipients);
		return;
	}
	if (is_report ? flood_reported(p->flood, mail->bytes) : flood_arrived(p->flood, subject, world_ms() - clock_wall_ms() + mail->taken_at_ms))
		return;
	if (!ledger_arrived(&p->ledger, mail->recipients, mail->bytes))
		play_complain(p, NULL, "mail arrived that nobody sent, for %.*s", SPAN_ARGS(mail->recipients));
}

void script_gather(struct play *p)
{
	cloud_mails(p->cloud, on_mail, p);
}

/* The id of the message that a report is about: the trail said so when it was made. */
static struct span subject_of(const struct play *p, struct span report)
{
	struct span rest = buf_span(&p->log), line, word;

	while (span_cut(&rest, '\n', &line))
		if (span_find(line, SPAN("event=post.reported")) < line.size && span_find(line, report) < line.size)
			while (span_cut(&line, ' ', &word))
				if (span_starts(word, SPAN("id=")))
					return span_slice(word, 3, word.size);
	return SPAN("");
}

static void count_item(struct play *p, json_t *item)
{
	struct span id = json_text(item, "id"), state = json_text(item, "state");
	struct span about = span_equal(state, SPAN("undeliverable")) ? subject_of(p, id) : SPAN("");

	for (size_t i = 0; i < p->ledger.count; i++) {
		struct letter *letter = &p->ledger.letters[i];

		letter->is_kept = letter->is_kept || (about.size && span_equal(ledger_id(letter), about));
		if (!span_equal(ledger_id(letter), id) && !span_equal(json_text(item, "message_id"), ledger_message_id(letter)))
			continue;
		letter->is_held = letter->is_held || span_equal(state, SPAN("held"));
		letter->is_queued = letter->is_queued || !span_equal(state, SPAN("held"));
	}
}

/* One piece of the list; the last id of it, or an empty text when there are no more. */
static void count_piece(struct play *p, struct buf *result, char *last_id, size_t size)
{
	json_t *list, *item;
	size_t at;

	if (admin_ask(p->admin, "queue.list", result, last_id[0] ? "{\"limit\":\"1000\",\"after\":\"%s\"}" : "{\"limit\":\"1000\"}", last_id))
		play_complain(p, NULL, "the queue is not told: %.*s", SPAN_ARGS(buf_span(result)));
	last_id[0] = 0;
	list = json_read(buf_span(result), QUEUE_BYTES);
	json_array_foreach(json_object_get(list, "items"), at, item) {
		count_item(p, item);
		p->queued++;
		if (at == 999)
			snprintf(last_id, size, "%.*s", SPAN_ARGS(json_text(item, "id")));
	}
	json_decref(list);
}

void script_count(struct play *p)
{
	char last_id[32] = "";
	struct buf result;

	script_gather(p);
	buf_init(&result, QUEUE_BYTES);
	do
		count_piece(p, &result, last_id, sizeof last_id);
	while (last_id[0]);
	buf_free(&result);
}
