/* Reports: who is told of what, in which form, and that nothing in them can be forged from outside. */
#include "tests/test.h"
#include "wire/dsn.h"

#define MESSAGE "From: al@example.org\r\nSubject: hi\r\nX-Last: yes\r\n\r\nthe body\r\n"
#define HEADER "From: al@example.org\r\nSubject: hi\r\nX-Last: yes\r\n"

static char memory[1 << 22];
static struct buf made;
static struct dsn_needs needs;
static struct outcome outcome;
static struct dsn_recipient recipient;
static struct dsn_report report;

/* One recipient that failed, whole message at hand. */
static void start(void)
{
	outcome_set(&outcome, FAULT_UPSTREAM_REPLY, 550, SPAN("5.1.1"), SPAN("User unknown"));
	recipient = (struct dsn_recipient){ .address = SPAN("bob@example.com"), .action = DSN_FAILED, .outcome = &outcome,
					    .remote = SPAN("smtp.example.com"), .tried_ms = 1433160000000 };
	report = (struct dsn_report){ .host = SPAN("gw.example.org"), .from = SPAN("gw@example.org"), .to = SPAN("al@example.org"),
				      .message_id = SPAN("<r1@gw.example.org>"), .date_ms = 1433160000000,
				      .about = SPAN("<m1@example.org>"), .queue_id = SPAN("q1"), .content = SPAN(MESSAGE),
				      .recipients = &recipient, .recipient_count = 1 };
}

/* Composes, and holds what every report must be. */
static void compose(void)
{
	buf_over(&made, memory, sizeof memory);
	assert_int_equal(dsn_compose(&made, &report, &needs), FAULT_OK);
	for (size_t i = 0; i < made.size; i++) {
		assert_true(made.at[i] != '\n' || (i && made.at[i - 1] == '\r'));
		assert_true(made.at[i] != '\r' || (i + 1 < made.size && made.at[i + 1] == '\n'));
		assert_true(made.at[i] != 0);
	}
	made.at[made.size] = 0;
}

static bool has(const char *text)
{
	return strstr(made.at, text) != NULL;
}

static void whole_report(void **state)
{
	start();
	report.envelope_id = SPAN("QQ+2B314159");
	report.arrival_ms = 1433159000000;
	recipient.original = SPAN("rfc822;Bob+40example.com");
	compose();
	assert_span(buf_span(&made),
		    "From: Postern <gw@example.org>\r\nTo: <al@example.org>\r\nSubject: Mail not delivered\r\n"
		    "Date: Mon, 01 Jun 2015 12:00:00 +0000\r\nMessage-ID: <r1@gw.example.org>\r\nIn-Reply-To: <m1@example.org>\r\n"
		    "References: <m1@example.org>\r\nAuto-Submitted: auto-replied\r\nX-Postern-Report: 1\r\nMIME-Version: 1.0\r\n"
		    "Content-Language: en\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n"
		    " boundary=\"=_postern_f2e790f029afc136\"\r\n\r\n--=_postern_f2e790f029afc136\r\n"
		    "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "This is a report of Postern, the mail gateway at gw.example.org.\r\n\r\n"
		    "Your message could not be delivered to:\r\n\r\n  <bob@example.com>\r\n"
		    "    Reason: the provider refused the message\r\n"
		    "    smtp.example.com said: 550 5.1.1 User unknown\r\n"
		    "    What to do: See the provider's text.\r\n\r\n"
		    "The message was <m1@example.org>, known here as q1.\r\n\r\n"
		    "--=_postern_f2e790f029afc136\r\nContent-Type: message/delivery-status\r\n\r\n"
		    "Reporting-MTA: dns; gw.example.org\r\nOriginal-Envelope-Id: QQ+314159\r\n"
		    "Arrival-Date: Mon, 01 Jun 2015 11:43:20 +0000\r\n\r\nOriginal-Recipient: rfc822; Bob@example.com\r\n"
		    "Final-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		    "Remote-MTA: dns; smtp.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n"
		    "Last-Attempt-Date: Mon, 01 Jun 2015 12:00:00 +0000\r\n\r\n"
		    "--=_postern_f2e790f029afc136\r\nContent-Type: text/rfc822-headers\r\n\r\n" HEADER
		    "\r\n--=_postern_f2e790f029afc136--\r\n");
	assert_false(needs.eight_bit || needs.utf8);
}

/* NOTIFY x RET x action (RFC 3461 4.1, 4.3, 5.2). */
static void notify_ret_outcome_matrix(void **state)
{
	static const struct {
		unsigned notify;
		bool told[5]; /* failed, delayed, delivered, relayed, expanded */
	} rows[] = {
		{ 0, { true, false, false, false, false } },
		{ DSN_NEVER, { false, false, false, false, false } },
		{ DSN_SUCCESS, { false, false, true, true, true } },
		{ DSN_FAILURE, { true, false, false, false, false } },
		{ DSN_DELAY, { false, true, false, false, false } },
		{ DSN_SUCCESS | DSN_FAILURE, { true, false, true, true, true } },
		{ DSN_SUCCESS | DSN_DELAY, { false, true, true, true, true } },
		{ DSN_FAILURE | DSN_DELAY, { true, true, false, false, false } },
		{ DSN_SUCCESS | DSN_FAILURE | DSN_DELAY, { true, true, true, true, true } },
		{ DSN_NEVER | DSN_FAILURE, { false, false, false, false, false } },
	};
	static const char *const words[] = { "Action: failed\r\nStatus: 5.", "Action: delayed\r\nStatus: 4.",
					     "Action: delivered\r\nStatus: 2.", "Action: relayed\r\nStatus: 2.",
					     "Action: expanded\r\nStatus: 2." };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (int ret = DSN_RETURN_UNSET; ret <= DSN_RETURN_FULL; ret++)
			for (int action = DSN_FAILED; action <= DSN_EXPANDED; action++) {
				bool told = rows[i].told[action], full = ret == DSN_RETURN_FULL && action == DSN_FAILED;

				start();
				report.returns = (enum dsn_return)ret;
				recipient.notify = rows[i].notify;
				recipient.action = (enum dsn_action)action;
				assert_int_equal(dsn_wants(rows[i].notify, recipient.action), told);
				assert_int_equal(dsn_wanted(&report), told);
				buf_over(&made, memory, sizeof memory);
				if (!told) {
					assert_int_equal(dsn_compose(&made, &report, &needs), FAULT_NOT_FOUND);
					assert_int_equal(made.size, 0);
					continue;
				}
				compose();
				assert_true(has(words[action]));
				assert_int_equal(has("Content-Type: message/rfc822\r\n\r\n" MESSAGE "\r\n--"), full);
				assert_int_equal(has("Content-Type: text/rfc822-headers\r\n\r\n" HEADER "\r\n--"), !full);
			}
}

/* Only those who want it are named, and one report holds several actions. */
static void names_only_who_wants_it(void **state)
{
	struct dsn_recipient three[3];

	start();
	for (size_t i = 0; i < 3; i++)
		three[i] = recipient;
	three[1].address = SPAN("never@example.com");
	three[1].notify = DSN_NEVER;
	three[2].address = SPAN("late@example.com");
	three[2].action = DSN_DELAYED;
	three[2].notify = DSN_DELAY;
	three[2].until_ms = 1433260000000;
	report.recipients = three;
	report.recipient_count = 3;
	compose();
	assert_false(has("never@example.com"));
	assert_true(has("Final-Recipient: rfc822; late@example.com\r\nAction: delayed\r\nStatus: 4.1.1\r\n"));
	assert_true(has("Will-Retry-Until: Tue, 02 Jun 2015 15:46:40 +0000\r\n"));
	assert_true(has("    Tried until: Tue, 02 Jun 2015 15:46:40 +0000\r\n"));
	assert_true(has("Subject: Mail not delivered\r\n"));
}

/* RFC 3464 2.3.4: the class of the status is that of the action, whatever the last reply was. */
static void status_fits_the_action(void **state)
{
	static const struct {
		enum fault fault;
		int code;
		const char *enhanced;
		enum dsn_action action;
		const char *status;
	} rows[] = {
		{ FAULT_UPSTREAM_BUSY, 451, "4.3.0", DSN_FAILED, "Status: 5.3.0\r\n" },
		{ FAULT_UPSTREAM_AUTH, 535, "5.7.139", DSN_DELAYED, "Status: 4.7.139\r\n" },
		{ FAULT_OK, 250, "2.1.5", DSN_RELAYED, "Status: 2.1.5\r\n" },
		{ FAULT_OK, 250, "", DSN_DELIVERED, "Status: 2.0.0\r\n" },
		{ FAULT_UPSTREAM_REPLY, 550, "", DSN_FAILED, "Status: 5.0.0\r\n" },
		{ FAULT_EXPIRED, 0, "", DSN_FAILED, "Status: 5.4.7\r\n" },
		{ FAULT_UPSTREAM_REPLY, 550, "5.1.1", DSN_DELIVERED, "Status: 2.0.0\r\n" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		start();
		outcome_set(&outcome, rows[i].fault, rows[i].code, span_of(rows[i].enhanced), SPAN("x"));
		recipient.action = rows[i].action;
		recipient.notify = DSN_SUCCESS | DSN_FAILURE | DSN_DELAY;
		compose();
		assert_true(has(rows[i].status));
	}
}

static void in_french(void **state)
{
	start();
	report.language = LANGUAGE_FR;
	recipient.action = DSN_DELAYED;
	recipient.notify = DSN_DELAY;
	outcome_own(&outcome, FAULT_TLS_MISSING);
	compose();
	assert_true(has("Content-Language: fr\r\n"));
	assert_true(has("Subject: =?utf-8?Q?Courrier_retard=C3=A9=2C_envoi_toujours_en_cours?=\r\n"));
	assert_true(has("    Motif : l'h=C3=B4te n'a pas propos=C3=A9 STARTTLS\r\n"));
	assert_true(has("    Que faire : Quelque chose entre ici et l'h=C3=B4te retire STARTTLS ;"));
	assert_true(has("Diagnostic-Code: x-postern; the host did not offer STARTTLS\r\n"));
	assert_false(needs.eight_bit);
}

/* The remedy's command holds the address of the mailbox that was used, as one word of a shell. */
static void remedies_name_the_mailbox(void **state)
{
	static const struct { const char *mailbox, *wanted; } cases[] = {
		{ "box@example.org", "`postern mailbox link box@example.org`" },
		{ "b;id@example.org", "`postern mailbox link 'b;id@example.org'`" },
		{ "b\r\nBcc: x@example.org", "`postern mailbox link <address>`" },
		{ "", "`postern mailbox link <address>`" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		start();
		report.mailbox = span_of(cases[i].mailbox);
		outcome_own(&outcome, FAULT_NOT_LINKED);
		compose();
		assert_true(has(cases[i].wanted));
		assert_false(has("Bcc:"));
	}
}

/* Every row has its words in both languages, within lines that may be sent. */
static void every_fault_in_both_languages(void **state)
{
	for (unsigned f = 1; f < FAULT_COUNT; f++)
		for (unsigned l = 0; l < LANGUAGE_COUNT; l++) {
			size_t column = 0;

			start();
			report.language = (enum language)l;
			outcome_own(&outcome, (enum fault)f);
			compose();
			for (size_t i = 0; i < made.size; i++) {
				column = made.at[i] == '\n' ? 0 : column + 1;
				assert_true(column <= 78);
				assert_true((unsigned char)made.at[i] < 128);
			}
		}
}

/* T-SMUGGLE 15, in reports: nothing from outside begins a line of its own. */
static void t_smuggle_15_reports(void **state)
{
	start();
	outcome_set(&outcome, FAULT_UPSTREAM_REPLY, 550, SPAN("5.1.1"), SPAN("no\r\nBcc: evil@x\r\n\r\n--=_postern"));
	recipient.address = SPAN("b@y\r\nAction: delivered");
	recipient.remote = SPAN("up\r\nX: y");
	recipient.original = SPAN("rfc822;b+0D+0AAction: delivered");
	report.envelope_id = SPAN("a+0D+0AX: y");
	report.host = SPAN("gw\nX: y");
	report.from = SPAN("gw@x\r\nX: y");
	report.to = SPAN("al@x>\r\nX: y");
	report.message_id = SPAN("<x\r\nX: y>");
	report.about = SPAN("<x\r\nX: y>");
	report.queue_id = SPAN("q\r\nX: y");
	compose();
	assert_false(has("\r\nX: y"));
	assert_false(has("\r\nBcc"));
	assert_false(has("\r\nAction: delivered"));
	assert_true(has("Diagnostic-Code: smtp; 550 5.1.1 no??Bcc: evil@x????" "--=_postern\r\n"));
}

/* The message cannot end the part it is returned in. */
static void boundary_is_not_in_the_message(void **state)
{
	static char content[2000];

	start();
	compose();
	snprintf(content, sizeof content, "Subject: x\r\n\r\n%.*s\r\n%.*s--\r\n", 28, strstr(made.at, "--=_postern_"), 28,
		 strstr(made.at, "--=_postern_"));
	report.content = span_of(content);
	report.returns = DSN_RETURN_FULL;
	compose();
	assert_true(has(content));
	assert_null(strstr(content, strstr(made.at, "boundary=") + 10));
	content[0] = 0;
	for (char *at = strstr(made.at, "boundary=\"") + 10; *at != '"'; at++)
		strncat(content, at, 1);
	/* its own boundary stands where it must: in the head, before each of three parts, at the end */
	size_t count = 0;
	for (char *at = made.at; (at = strstr(at, content)); at++)
		count++;
	assert_int_equal(count, 5);
}

/* What cannot come back whole comes back as its header, and the report still fits. */
static void content_that_may_not_return(void **state)
{
	static char large[DSN_CONTENT_BYTES + 100];
	size_t size;

	memset(large, 'x', sizeof large);
	memcpy(large, "Subject: hi\r\n\r\n", 15);
	memcpy(large + sizeof large - 2, "\r\n", 2);
	start();
	report.returns = DSN_RETURN_FULL;
	report.content = (struct span){ large, sizeof large };
	compose();
	assert_true(has("text/rfc822-headers\r\n\r\nSubject: hi\r\n\r\n--"));
	report.content = SPAN("Subject: hi\r\n\r\nbare\nline\r\n");
	compose();
	assert_true(has("text/rfc822-headers\r\n\r\nSubject: hi\r\n\r\n--"));
	report.content = SPAN("Subject: hi\r\n\r\nnul\0\r\n");
	compose();
	assert_true(has("text/rfc822-headers\r\n\r\nSubject: hi\r\n\r\n--"));
	/* a header given by itself, with ends of lines of any kind */
	report.content = (struct span){ 0 };
	report.header = SPAN("A: 1\nB: 2\rC: 3\r\nD: 4\r\r\n\r\n");
	compose();
	assert_true(has("text/rfc822-headers\r\n\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n--"));
	/* nothing at hand: two parts */
	report.header = (struct span){ 0 };
	compose();
	assert_false(has("rfc822-headers"));
	/* a small ceiling: first the body goes, then the header, then it fails */
	start();
	report.returns = DSN_RETURN_FULL;
	compose();
	size = made.size;
	for (size_t room = size + 2000; room > 100; room -= 50) {
		enum fault f;

		buf_over(&made, memory, room);
		f = dsn_compose(&made, &report, &needs);
		assert_true(f == FAULT_OK || (f == FAULT_TOO_LARGE && room < size));
		if (f == FAULT_OK)
			assert_memory_equal(made.at + made.size - 4, "--\r\n", 4);
	}
}

/* RFC 6533: with a reader for it, as UTF-8; else in ASCII. */
static void utf8_addresses(void **state)
{
	start();
	recipient.address = SPAN("\xc3\xa9l\xc3\xa8ve@ex\xe2\x82\xac.\xf0\x9f\x98\x80");
	recipient.original = SPAN("utf-8;\\x{E9}l\\x{E8}ve@y");
	report.content = SPAN("Subject: \xc3\xa9\r\n\r\nbody\r\n");
	compose();
	assert_true(has("Original-Recipient: utf-8; \\x{E9}l\\x{E8}ve@y\r\n"
			"Final-Recipient: utf-8; \\x{E9}l\\x{E8}ve@ex\\x{20AC}.\\x{1F600}\r\n"));
	assert_true(has("Content-Type: message/delivery-status\r\n"));
	assert_true(has("Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: \xc3\xa9\r\n"));
	assert_true(needs.eight_bit && !needs.utf8);
	report.utf8 = true;
	compose();
	assert_true(has("Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"));
	assert_true(has("Final-Recipient: utf-8; \xc3\xa9l\xc3\xa8ve@ex\xe2\x82\xac.\xf0\x9f\x98\x80\r\n"));
	assert_true(has("Content-Type: message/global-headers\r\n"));
	assert_true(needs.eight_bit && needs.utf8);
	report.returns = DSN_RETURN_FULL;
	compose();
	assert_true(has("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: \xc3\xa9\r\n\r\nbody\r\n"));
	/* all in ASCII: none of it, even where it could be read */
	start();
	report.utf8 = true;
	compose();
	assert_true(has("Content-Type: message/delivery-status\r\n"));
	assert_false(needs.eight_bit || needs.utf8);
}

static void thousand_recipients(void **state)
{
	static struct dsn_recipient many[1000];
	static char names[1000][32];
	size_t count = 0;

	start();
	for (size_t i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof names[i], "user%zu@example.com", i);
		many[i] = recipient;
		many[i].address = span_of(names[i]);
	}
	report.recipients = many;
	report.recipient_count = 1000;
	compose();
	for (char *at = made.at; (at = strstr(at, "Action: failed")); at++)
		count++;
	assert_int_equal(count, 1000);
	assert_true(has("  <user49@example.com>\r\n"));
	assert_false(has("  <user50@example.com>\r\n"));
	assert_true(has("and 950 more, all named in the second part of this report.\r\n"));
}

/* ORCPT and ENVID as strangers write them (RFC 3461 4). */
static void xtext(void **state)
{
	static const char *const rows[][2] = {
		{ "rfc822;a+2Bb@y", "Original-Recipient: rfc822; a+b@y\r\n" },
		{ "RFC822;a@y", "Original-Recipient: RFC822; a@y\r\n" },
		{ "rfc822;a+2", "Original-Recipient: rfc822; a+2\r\n" },
		{ "rfc822;a+ZZ", "Original-Recipient: rfc822; a+ZZ\r\n" },
		{ "rfc822;a+00b", "Original-Recipient: rfc822; a+00b\r\n" },
		{ "x400;/G=a/", "Original-Recipient: x400; /G=a/\r\n" },
		{ "rfc822;", NULL }, { ";a@y", NULL }, { "a@y", NULL }, { "", NULL },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		start();
		recipient.original = span_of(rows[i][0]);
		compose();
		assert_int_equal(has("Original-Recipient"), rows[i][1] != NULL);
		assert_true(!rows[i][1] || has(rows[i][1]));
	}
}

/* A report is never reported on. */
static void loop_mark(void **state)
{
	start();
	compose();
	assert_true(dsn_is_report(buf_span(&made)));
	assert_true(dsn_is_report(SPAN("From: x\r\nx-postern-report: 1\r\n")));
	assert_false(dsn_is_report(SPAN(MESSAGE)));
	assert_false(dsn_is_report(SPAN("From: x\r\n\r\nX-Postern-Report: 1\r\n")));
	assert_false(dsn_is_report(SPAN("Subject: X-Postern-Report: 1\r\n")));
	assert_false(dsn_is_report((struct span){ "", 0 }));
}

TESTS(whole_report, notify_ret_outcome_matrix, names_only_who_wants_it, status_fits_the_action, in_french, remedies_name_the_mailbox,
      every_fault_in_both_languages, t_smuggle_15_reports, boundary_is_not_in_the_message, content_that_may_not_return,
      utf8_addresses, thousand_recipients, xtext, loop_mark)
