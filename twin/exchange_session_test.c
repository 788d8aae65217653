/* Transcripts against what was captured or documented, however the bytes are cut; every reply by its name; limits on a clock that is given. */
#include "twin/exchange_session.h"

#include "base/rand.h"
#include "base/text.h"
#include "twin/google_token.h"
#include "tests/test.h"
#include "tests/twin_site.h"

static const int64_t wall = 1433160000000; /* Mon, 1 Jun 2015 12:00:00 */
static struct twin_keys *keys;

static void make_keys(void)
{
	if (!keys)
		assert_int_equal(twin_keys_make(&keys, wall), FAULT_OK);
}

/* A session with what it said and has not been looked at. */
struct talk {
	struct test_tenant *tenant;
	struct exchange_session session;
	struct buf said, pending; /* pending: sent and not yet taken */
	int64_t now;
	unsigned cut; /* 0 whole, 1 byte by byte, else at random */
};

static void hear(struct talk *t)
{
	buf_put(&t->said, buf_span(&t->session.out));
	buf_clear(&t->session.out);
}

/* `who` comes to the host. */
static void talk_begin(struct talk *t, struct test_tenant *tenant, unsigned cut, enum exchange_door door, struct span who)
{
	*t = (struct talk){ .tenant = tenant, .cut = cut, .now = 1000 };
	buf_init(&t->said, 1 << 20);
	buf_init(&t->pending, 1 << 20);
	exchange_session_init(&t->session, &tenant->world, door, who, t->now, wall);
	hear(t);
}

static void talk_init(struct talk *t, struct test_tenant *tenant, unsigned cut)
{
	talk_begin(t, tenant, cut, EXCHANGE_SUBMISSION, SPAN("127.0.0.1"));
}

static void talk_fini(struct talk *t)
{
	exchange_session_fini(&t->session);
	buf_free(&t->said);
	buf_free(&t->pending);
}

/* Hands over what is pending as the stream does: what was not taken comes again with more. */
static void push(struct talk *t)
{
	size_t shown = t->cut ? 0 : t->pending.size;

	while (t->pending.size) {
		size_t taken;

		if (shown < t->pending.size)
			shown += t->cut == 1 ? 1 : 1 + rand_below(t->pending.size - shown);
		taken = exchange_session_feed(&t->session, span_slice(buf_span(&t->pending), 0, shown), t->now, wall);
		hear(t);
		buf_drop(&t->pending, taken);
		shown -= taken;
		if (!taken && shown == t->pending.size)
			return;
	}
}

static void say(struct talk *t, const char *text)
{
	buf_put(&t->pending, span_of(text));
	push(t);
}

static bool matches(struct span text, struct span pattern)
{
	size_t star = span_find_byte(pattern, '*');

	if (star == pattern.size)
		return span_equal(text, pattern);
	if (!span_starts(text, span_slice(pattern, 0, star)))
		return false;
	text = span_slice(text, star, text.size);
	pattern = span_slice(pattern, star + 1, pattern.size);
	for (size_t at = 0; at <= text.size; at++)
		if (matches(span_slice(text, at, text.size), pattern))
			return true;
	return false;
}

static void hears(struct talk *t, const char *pattern, unsigned line)
{
	size_t end = span_find(buf_span(&t->said), SPAN("\r\n"));
	struct span got = span_slice(buf_span(&t->said), 0, end);

	if (end == t->said.size || !matches(got, span_of(pattern))) {
		print_error("line %u\ngot    |%.*s|\nwanted |%s|\n", line, SPAN_ARGS(got), pattern);
		fail();
	}
	buf_drop(&t->said, end + 2);
}

/* An application's own token, with its roles for Exchange, for alex's mailbox. */
static void put_application(struct talk *t, struct buf *out)
{
	struct twin_claims claims = { .tenant = &t->tenant->tenant, .client_id = t->tenant->tenant.apps[0].id, .issuer = "http://localhost/x/v2.0",
				      .audience = SPAN("https://outlook.office365.com"), .scope = SPAN("SMTP.SendAsApp IMAP.AccessAsApp"), .wall_ms = wall,
				      .seconds = 3600 };

	buf_put(out, SPAN("user=alex@contoso.example\1auth=Bearer "));
	assert_int_equal(twin_access_put(out, t->tenant->keys, &claims), FAULT_OK);
	buf_put(out, SPAN("\1\1"));
}

/* A token of Google's for alex, as XOAUTH2 or OAUTHBEARER puts it, for them or for somebody else. */
static void put_google(struct talk *t, struct buf *out, struct span name)
{
	const struct twin_user *alex = twin_tenant_user(&t->tenant->tenant, SPAN("alex@contoso.example"));
	const char *user = span_ends_fold(name, SPAN("foreign")) ? "billing@contoso.example" : alex->address;
	struct google_access access = { .scope = GOOGLE_SCOPE_MAIL, .until_ms = wall + 1000 };

	snprintf(access.oid, sizeof access.oid, "%s", alex->oid);
	if (span_starts(name, SPAN("gbearer")))
		buf_print(out, "n,a=%s,\1host=localhost\1port=587\1auth=Bearer ", user);
	else
		buf_print(out, "user=%s\1auth=Bearer ", user);
	assert_int_equal(google_access_put(out, keys, &access), FAULT_OK);
	buf_print(out, "\1\1");
}

/* {token}, {graph}, {foreign}, {application}, {gtoken}, {gforeign}, {gbearer}, {b:TEXT} and {p:NAME|PASSWORD} in a line. */
static void expand(struct talk *t, struct span line, struct buf *out)
{
	size_t open = span_find_byte(line, '{'), close = span_find_byte(line, '}');
	struct span name = span_slice(line, open + 1, close - open - 1);
	struct buf text;

	buf_put(out, span_slice(line, 0, open));
	if (open == line.size)
		return;
	buf_init(&text, 1 << 16);
	if (span_starts(name, SPAN("b:")))
		buf_put(&text, span_slice(name, 2, name.size));
	else if (span_equal(name, SPAN("application")))
		put_application(t, &text);
	else if (span_starts(name, SPAN("p:"))) {
		size_t bar = span_find_byte(name, '|');

		buf_put_byte(&text, 0);
		buf_put(&text, span_slice(name, 2, bar - 2));
		buf_put_byte(&text, 0);
		buf_put(&text, span_slice(name, bar + 1, name.size));
	} else if (span_starts(name, SPAN("g")) && !span_equal(name, SPAN("graph")))
		put_google(t, &text, name);
	else
		test_tenant_xoauth2(t->tenant, &text, span_equal(name, SPAN("foreign")) ? "billing@contoso.example" : "alex@contoso.example",
				    "alex@contoso.example", span_equal(name, SPAN("graph")) ? "https://graph.microsoft.com" : "https://outlook.office.com", wall);
	text_base64(out, buf_span(&text));
	buf_put(out, span_slice(line, close + 1, line.size));
	buf_free(&text);
}

static char *read_corpus(const char *name)
{
	char path[512], *text = calloc(1, 1 << 20);
	FILE *file;

	snprintf(path, sizeof path, "%s/tests/corpus/%s", TEST_SOURCE_ROOT, name);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static void throw(struct test_tenant *tenant, struct span line)
{
	struct span word[4] = { { 0 } };
	struct twin_change change;

	for (size_t i = 0; i < 4; i++)
		span_cut(&line, ' ', &word[i]);
	if (span_equal(word[0], SPAN("switch")))
		assert_int_equal(twin_tenant_set(&tenant->tenant, word[1], word[2], word[3], wall, &change), FAULT_OK);
	else
		assert_int_equal(twin_script_add(&tenant->scripts, &(struct twin_script_wish){ .name = word[1], .stage = word[2] }), FAULT_OK);
}

/* One pass over the file; the number of sessions. */
static unsigned run_file(struct span rest, unsigned cut)
{
	struct test_tenant tenant;
	struct talk *t = NULL, talk;
	unsigned sessions = 0, number = 0;
	bool open = false;
	struct span line;
	struct buf text;

	buf_init(&text, 1 << 17);
	while (span_cut(&rest, '\n', &line)) {
		number++;
		buf_clear(&text);
		if (span_starts(line, SPAN("=="))) {
			if (t) {
				assert_int_equal(t->said.size, 0);
				talk_fini(t);
			}
			if (open)
				test_tenant_fini(&tenant);
			test_tenant_init(&tenant, keys);
			open = true;
			t = NULL;
			sessions++;
		} else if (span_starts(line, SPAN("switch ")) || span_starts(line, SPAN("fault "))) {
			throw(&tenant, line);
		} else if (line.size && line.at[0] != '#') {
			if (span_equal(line, SPAN("gmail"))) {
				talk_begin(t = &talk, &tenant, cut, EXCHANGE_GMAIL, SPAN("127.0.0.1"));
				continue;
			}
			if (span_starts(line, SPAN("mx "))) {
				talk_begin(t = &talk, &tenant, cut, EXCHANGE_MX, span_slice(line, 3, line.size));
				continue;
			}
			if (!t)
				talk_init(t = &talk, &tenant, cut);
			if (span_equal(line, SPAN("tls")) || span_starts(line, SPAN("tls "))) {
				exchange_session_secured(&t->session, span_slice(line, 4, line.size));
			} else if (span_equal(line, SPAN("closed"))) {
				assert_int_equal(t->session.next, EXCHANGE_CLOSE);
			} else if (span_starts(line, SPAN("C: "))) {
				expand(t, span_slice(line, 3, line.size), &text);
				buf_put(&text, SPAN("\r\n\0"));
				assert_int_equal(t->said.size, 0);
				say(t, text.at);
			} else {
				assert_true(span_starts(line, SPAN("S: ")));
				buf_put(&text, span_slice(line, 3, line.size));
				buf_put_byte(&text, 0);
				hears(t, text.at, number);
			}
		}
	}
	assert_int_equal(t->said.size, 0);
	talk_fini(t);
	test_tenant_fini(&tenant);
	buf_free(&text);
	return sessions;
}

static void transcripts(void **state)
{
	char *text = read_corpus("twin_transcripts.txt");

	make_keys();
	assert_int_equal(run_file(span_of(text), 0), 41);
	free(text);
}

static void transcripts_however_cut(void **state)
{
	char *text = read_corpus("twin_transcripts.txt");

	make_keys();
	run_file(span_of(text), 1);
	for (unsigned i = 0; i < 40; i++)
		run_file(span_of(text), 2);
	free(text);
}

/* Signs alex in and has MAIL and RCPT behind it, as far as the stage that is wanted. */
static void reach(struct talk *t, enum twin_stage stage)
{
	struct buf text, line;

	buf_init(&text, 1 << 16);
	buf_init(&line, 1 << 17);
	if (stage > TWIN_STAGE_EHLO) {
		exchange_session_secured(&t->session, SPAN(""));
		say(t, "HELO x\r\n");
	}
	if (stage > TWIN_STAGE_AUTH) {
		test_tenant_xoauth2(t->tenant, &text, "alex@contoso.example", "alex@contoso.example", "https://outlook.office.com", wall);
		buf_put(&line, SPAN("AUTH XOAUTH2 "));
		text_base64(&line, buf_span(&text));
		buf_put(&line, SPAN("\r\n\0"));
		say(t, line.at);
	}
	if (stage > TWIN_STAGE_MAIL)
		say(t, "MAIL FROM:<alex@contoso.example>\r\n");
	if (stage > TWIN_STAGE_RCPT)
		say(t, "RCPT TO:<a@example.net>\r\n");
	if (stage > TWIN_STAGE_DATA)
		say(t, "DATA\r\n");
	buf_free(&text);
	buf_free(&line);
}

static void every_reply_by_its_name(void **state)
{
	static const char *const lines[TWIN_STAGE_COUNT] = { [TWIN_STAGE_EHLO] = "EHLO x\r\n", [TWIN_STAGE_AUTH] = "AUTH XOAUTH2 dXNlcj14\r\n",
							     [TWIN_STAGE_MAIL] = "MAIL FROM:<alex@contoso.example>\r\n",
							     [TWIN_STAGE_RCPT] = "RCPT TO:<a@example.net>\r\n", [TWIN_STAGE_DATA] = "DATA\r\n",
							     [TWIN_STAGE_DOT] = "From: alex@contoso.example\r\n\r\n.\r\n" };
	char *text = read_corpus("twin_replies.txt"), last[64] = "";
	struct span rest = span_of(text), line;
	struct test_tenant tenant;
	struct talk t;
	unsigned number = 0;

	make_keys();
	while (span_cut(&rest, '\n', &line)) {
		size_t bar = span_find_byte(line, '|');
		char name[64], pattern[512];
		const struct twin_fault_row *row;

		number++;
		if (!line.size || line.at[0] == '#')
			continue;
		snprintf(name, sizeof name, "%.*s", (int)bar, line.at);
		snprintf(pattern, sizeof pattern, "%.*s", (int)(line.size - bar - 1), line.at + bar + 1);
		row = twin_fault_named(span_of(name));
		assert_non_null(row);
		assert_non_null(lines[row->stage]);
		if (strcmp(name, last)) {
			if (last[0]) {
				assert_int_equal(t.said.size, 0);
				talk_fini(&t);
				test_tenant_fini(&tenant);
			}
			test_tenant_init(&tenant, keys);
			talk_init(&t, &tenant, 0);
			reach(&t, row->stage);
			buf_clear(&t.said);
			test_tenant_fault(&tenant, name, "", 1, 0);
			say(&t, lines[row->stage]);
		}
		snprintf(last, sizeof last, "%s", name);
		hears(&t, pattern, number);
	}
	talk_fini(&t);
	test_tenant_fini(&tenant);
	free(text);
}

static void message(struct talk *t)
{
	say(t, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	say(t, "From: alex@contoso.example\r\n\r\nhello\r\n.\r\n");
}

/* The last reply line begins so. */
static void answered(struct talk *t, const char *start)
{
	struct span rest = buf_span(&t->said), line, last = { 0 };

	while (span_cut(&rest, '\n', &line))
		if (line.size)
			last = line;
	if (!span_starts(last, span_of(start)))
		print_error("got |%.*s| wanted |%s|\n", SPAN_ARGS(last), start);
	assert_true(span_starts(last, span_of(start)));
	buf_clear(&t->said);
}

static void what_arrives_is_what_was_sent(void **state)
{
	struct test_tenant tenant;
	const struct twin_mail *m;
	struct talk t;

	make_keys();
	test_tenant_init(&tenant, keys);
	talk_init(&t, &tenant, 1);
	reach(&t, TWIN_STAGE_MAIL);
	say(&t, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	say(&t, "From: alex@contoso.example\r\nSubject: =?utf-8?q?x?=\r\n folded\r\n\r\n..\r\n...x\r\nbare\nlf\n.\nstill\r\n.\rx\r\nend\r\n.\r\n");
	answered(&t, "250 2.0.0 OK ");
	m = twin_shelf_mail(tenant.world.shelf, 1);
	assert_non_null(m);
	assert_span(m->bytes, "From: alex@contoso.example\r\nSubject: =?utf-8?q?x?=\r\n folded\r\n\r\n.\r\n..x\r\nbare\nlf\n.\nstill\r\n\rx\r\nend\r\n");
	assert_span(m->recipients, "a@example.net b@example.net");
	assert_span(m->mailbox, "alex@contoso.example");
	assert_true(m->bare_newline);
	say(&t, "NOOP\r\n");
	answered(&t, "250 2.0.0 OK");
	talk_fini(&t);
	test_tenant_fini(&tenant);
}

static void too_large_a_message(void **state)
{
	struct test_tenant tenant;
	char line[1026];
	struct talk t;

	make_keys();
	memset(line, 'x', sizeof line);
	memcpy(line + 1022, "\r\n", 3);
	test_tenant_init(&tenant, keys);
	test_tenant_set(&tenant, "message_bytes", "2048", "");
	talk_init(&t, &tenant, 0);
	reach(&t, TWIN_STAGE_BODY);
	for (size_t i = 0; i < 5; i++)
		say(&t, line);
	say(&t, ".\r\n");
	answered(&t, "552 5.3.4 ");
	assert_int_equal(twin_shelf_last(tenant.world.shelf), 0);
	talk_fini(&t);
	test_tenant_fini(&tenant);
}

/* 30 messages in any 60 s: carried over, refused, or answered late. */
static void the_rate_slides(void **state)
{
	struct test_tenant tenant;
	const struct twin_mail *m;
	struct talk t;

	make_keys();
	test_tenant_init(&tenant, keys);
	talk_init(&t, &tenant, 0);
	reach(&t, TWIN_STAGE_MAIL);
	for (size_t i = 0; i < 30; i++) {
		message(&t);
		answered(&t, "250 2.0.0 OK ");
		t.now += 1000;
	}
	message(&t); /* at 31 s: room comes at 61 s */
	answered(&t, "250 2.0.0 OK ");
	m = twin_shelf_mail(tenant.world.shelf, 31);
	assert_int_equal(m->arrives_at_ms - m->taken_at_ms, 30000);
	test_tenant_set(&tenant, "rate_excess", "refuse", "");
	t.now += 29000; /* 60 s after the first: none has left the window but the 31st is in it already */
	message(&t);
	assert_true(span_find(buf_span(&t.said), SPAN("421 4.4.2 Message submission rate for this client has exceeded the configured limit")) < t.said.size);
	buf_clear(&t.said);
	t.now += 2000;
	message(&t);
	answered(&t, "250 2.0.0 OK ");
	test_tenant_set(&tenant, "rate_excess", "delay", "");
	message(&t);
	assert_true(t.session.is_held);
	t.now = t.session.held_until_ms;
	exchange_session_tick(&t.session, t.now);
	hear(&t);
	answered(&t, "250 2.0.0 OK ");
	talk_fini(&t);
	test_tenant_fini(&tenant);
}

static void the_day_slides(void **state)
{
	struct test_tenant tenant;
	struct talk t;

	make_keys();
	test_tenant_init(&tenant, keys);
	test_tenant_set(&tenant, "recipients_per_day", "4", "");
	talk_init(&t, &tenant, 0);
	reach(&t, TWIN_STAGE_MAIL);
	message(&t);
	answered(&t, "250 2.0.0 OK ");
	t.now += 12 * 3600000;
	message(&t);
	answered(&t, "250 2.0.0 OK ");
	message(&t);
	answered(&t, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException");
	t.now += 12 * 3600000 + 60000;
	message(&t);
	answered(&t, "250 2.0.0 OK ");
	message(&t);
	answered(&t, "554 5.2.0 ");
	talk_fini(&t);
	test_tenant_fini(&tenant);
}

static void a_fourth_session_is_refused_at_the_end(void **state)
{
	struct test_tenant tenant;
	struct talk t[4];

	make_keys();
	test_tenant_init(&tenant, keys);
	for (size_t i = 0; i < 4; i++) {
		talk_init(&t[i], &tenant, 0);
		reach(&t[i], TWIN_STAGE_MAIL);
	}
	message(&t[3]);
	answered(&t[3], "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. [Hostname=");
	for (size_t i = 0; i < 3; i++) {
		message(&t[i]);
		answered(&t[i], "250 2.0.0 OK ");
	}
	talk_fini(&t[0]);
	message(&t[3]);
	answered(&t[3], "250 2.0.0 OK ");
	for (size_t i = 1; i < 4; i++)
		talk_fini(&t[i]);
	test_tenant_fini(&tenant);
}

static void stalls_and_cuts(void **state)
{
	struct test_tenant tenant;
	struct talk t;

	make_keys();
	test_tenant_init(&tenant, keys);
	test_tenant_fault(&tenant, "stall_greeting", "", 1, 3000);
	talk_init(&t, &tenant, 0);
	assert_int_equal(t.said.size, 0);
	t.now += 2999;
	exchange_session_tick(&t.session, t.now);
	hear(&t);
	assert_int_equal(t.said.size, 0);
	t.now++;
	exchange_session_tick(&t.session, t.now);
	hear(&t);
	answered(&t, "220 ");
	reach(&t, TWIN_STAGE_MAIL);
	buf_clear(&t.said);
	test_tenant_fault(&tenant, "stall_data", "", 1, 500);
	test_tenant_fault(&tenant, "stall_dot", "", 1, 500);
	say(&t, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@example.net>\r\nDATA\r\nFrom: alex@contoso.example\r\n\r\n.\r\nNOOP\r\n");
	answered(&t, "250 2.1.5 ");
	exchange_session_tick(&t.session, t.now += 500);
	hear(&t);
	push(&t);
	answered(&t, "354 ");
	assert_int_equal(twin_shelf_last(tenant.world.shelf), 1); /* taken, though not answered */
	exchange_session_tick(&t.session, t.now += 500);
	hear(&t);
	answered(&t, "250 2.0.0 OK <");
	push(&t);
	answered(&t, "250 2.0.0 OK");
	test_tenant_fault(&tenant, "cut_after_dot", "", 1, 0);
	message(&t);
	answered(&t, "354 ");
	assert_int_equal(t.session.next, EXCHANGE_CLOSE);
	assert_int_equal(twin_shelf_last(tenant.world.shelf), 2);
	talk_fini(&t);
	test_tenant_fault(&tenant, "cut_before_dot", "", 1, 0);
	talk_init(&t, &tenant, 0);
	reach(&t, TWIN_STAGE_MAIL);
	message(&t);
	answered(&t, "354 ");
	assert_int_equal(t.session.next, EXCHANGE_CLOSE);
	assert_int_equal(twin_shelf_last(tenant.world.shelf), 2);
	talk_fini(&t);
	test_tenant_fini(&tenant);
}

static void scripts_are_used_up(void **state)
{
	struct test_tenant tenant;
	struct talk t;

	make_keys();
	test_tenant_init(&tenant, keys);
	test_tenant_fault(&tenant, "temporary_mrh1", "", 2, 0);
	assert_int_equal(twin_script_add(&tenant.scripts, &(struct twin_script_wish){ .name = SPAN("mailbox_full"), .mailbox = SPAN("billing@contoso.example") }),
			 FAULT_OK);
	assert_int_equal(twin_script_add(&tenant.scripts, &(struct twin_script_wish){ .name = SPAN("no_such_fault") }), FAULT_NOT_FOUND);
	assert_int_equal(twin_script_add(&tenant.scripts, &(struct twin_script_wish){ .name = SPAN("stall"), .stage = SPAN("nowhere") }), FAULT_NOT_FOUND);
	talk_init(&t, &tenant, 0);
	reach(&t, TWIN_STAGE_MAIL);
	message(&t);
	answered(&t, "451 4.3.111 ");
	message(&t);
	answered(&t, "451 4.3.111 ");
	message(&t);
	answered(&t, "250 2.0.0 OK ");
	test_tenant_fault(&tenant, "mailbox_full", "", TWIN_ALWAYS, 0);
	for (size_t i = 0; i < 3; i++) {
		message(&t);
		answered(&t, "554 5.2.2 ");
	}
	talk_fini(&t);
	test_tenant_fini(&tenant);
}

TESTS(transcripts, transcripts_however_cut, every_reply_by_its_name, what_arrives_is_what_was_sent, too_large_a_message, the_rate_slides, the_day_slides,
      a_fourth_session_is_refused_at_the_end, stalls_and_cuts, scripts_are_used_up)
