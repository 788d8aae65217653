/* Reports: who is told, from where, and what happens to a report that finds no way. */
#include "tests/post_rig.h"

static const struct rig_settled *told(struct rig *r, uint64_t session)
{
	RIG_WAIT(r, rig_told(r, session));
	return rig_told(r, session);
}

static bool holds(const struct provider_mail *m, const char *text)
{
	return span_find(buf_span(&m->data), span_of(text)) < m->data.size;
}

/* The organisation's notice mailbox is number 77 in the rig's grants. */
static void tell_notice_mailbox(struct rig *r)
{
	link_send(r->vault, &MESSAGE_OF(mailbox_state, .mailbox = 77, .enabled = 1, .address = SPAN("notices@example.org")));
	rig_idle(r, 20);
}

/* Queued first, so that a later refusal has nobody to tell but the sender. */
static void queue_then_refuse(struct rig *r, struct rig_letter letter)
{
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<x@example.net", .reply = "451 4.3.0 later", .times = 1 });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<x@example.net", .reply = "550 5.1.1 no such user here" });
	rig_send(r, letter);
	assert_int_equal(told(r, letter.session)->kind, 3);
}

static void a_refusal_behind_queued_is_reported(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	struct provider_mail *m = &r->provider.mails[0];

	queue_then_refuse(r, (struct rig_letter){ .session = 1, .message_id = "<about@x>" });
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_string_equal(m->recipients, "box@example.org");
	assert_true(holds(m, "Content-Type: multipart/report"));
	assert_true(holds(m, "Final-Recipient: rfc822; x@example.net") || holds(m, "Final-Recipient: rfc822;x@example.net"));
	assert_true(holds(m, "no such user here"));
	assert_true(holds(m, "X-Postern-Report:"));
	assert_true(holds(m, rig_told(r, 1)->id));
	rig_wait_empty(r);
	rig_free(r);
}

static void reports_speak_the_owners_language(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	queue_then_refuse(r, (struct rig_letter){ .session = 1, .language = LANGUAGE_FR });
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_true(holds(&r->provider.mails[0], "Bonjour") || holds(&r->provider.mails[0], "remis") || holds(&r->provider.mails[0], "destinataire"));
	rig_free(r);
}

static void nobody_is_told_who_does_not_want_to(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	queue_then_refuse(r, (struct rig_letter){ .session = 1, .notify = 1 /* NEVER */ });
	rig_wait_empty(r);
	provider_forget_rules(&r->provider);
	/* nor for MAIL FROM:<>, which leaves with the mailbox's address */
	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL FROM:<box@example.org>", .reply = "451 4.3.0 later", .times = 1 });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT", .reply = "550 5.1.1 no such user here" });
	rig_send(r, (struct rig_letter){ .session = 2, .sender = "", .body = "Subject: 2\r\n\r\n" });
	assert_int_equal(told(r, 2)->kind, 3);
	rig_wait_empty(r);
	assert_int_equal(r->provider.mail_count, 0);
	rig_free(r);
}

static void too_old_is_reported(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\nqueue_lifetime = 60\n");

	/* what a config row does not allow, the clock of a test may not wait for: the lifetime is cut behind the reader */
	r->config->queue_lifetime = 1;
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<x@example.net", .reply = "451 4.3.0 not today" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 3);
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_string_equal(r->provider.mails[0].recipients, "box@example.org");
	assert_true(holds(&r->provider.mails[0], "not today"));
	rig_wait_empty(r);
	rig_free(r);
}

static void a_mailbox_that_cannot_send_its_report(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	tell_notice_mailbox(r);
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<box@example.org", .reply = "550 5.7.1 not to yourself", .times = 1 });
	queue_then_refuse(r, (struct rig_letter){ .session = 1 });
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_string_equal(r->provider.mails[0].sender, "notices@example.org");
	assert_string_equal(r->provider.mails[0].recipients, "box@example.org");
	assert_true(holds(&r->provider.mails[0], "<notices@example.org>"));
	assert_true(holds(&r->provider.mails[0], "no such user here"));
	rig_wait_empty(r);
	rig_free(r);
}

/* The last rung: kept and shown, never a report about a report. */
static void a_report_that_finds_no_way(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	tell_notice_mailbox(r);
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<box@example.org", .reply = "550 5.7.1 not to yourself" });
	queue_then_refuse(r, (struct rig_letter){ .session = 1 });
	do
		rig_call(r, "queue.list", "{\"state\":\"undeliverable\"}");
	while (!strstr(r->answer, "\"state\":\"undeliverable\""));
	assert_non_null(strstr(r->answer, "not to yourself"));
	assert_non_null(strstr(r->answer, "\"report_of\":"));
	assert_int_equal(r->provider.mail_count, 0);
	/* it is still there after a stop */
	rig_restart(r);
	rig_call(r, "queue.list", "{\"state\":\"undeliverable\"}");
	assert_non_null(strstr(r->answer, "\"state\":\"undeliverable\""));
	rig_free(r);
}

/* A success that the sender asked to hear of, where the provider does not take that over. */
static void relayed_is_reported_where_it_was_asked(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .reply = "250-provider\r\n250 AUTH XOAUTH2" });
	rig_send(r, (struct rig_letter){ .session = 1, .notify = 2 /* SUCCESS */ });
	assert_int_equal(told(r, 1)->kind, 1);
	RIG_WAIT(r, r->provider.mail_count == 2);
	assert_true(holds(&r->provider.mails[1], "Action: relayed"));
	rig_free(r);
}

/* Once, to whoever asked, and not again after a stop; never where nobody asked, nor for MAIL FROM:<>. */
static void a_delay_is_reported_once_where_it_was_asked(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\ndelay_report_after = 1\n");
	const struct provider_mail *m = &r->provider.mails[0];

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<x@example.net", .reply = "451 4.3.0 not today" });
	rig_send(r, (struct rig_letter){ .session = 1, .notify = 8 /* DELAY */, .body = "Subject: 1\r\n\r\n" });
	rig_send(r, (struct rig_letter){ .session = 2, .body = "Subject: 2\r\n\r\n" });
	rig_send(r, (struct rig_letter){ .session = 3, .notify = 4 /* FAILURE */, .body = "Subject: 3\r\n\r\n" });
	rig_send(r, (struct rig_letter){ .session = 4, .notify = 8, .sender = "", .body = "Subject: 4\r\n\r\n" });
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_string_equal(m->recipients, "box@example.org");
	assert_true(holds(m, "Action: delayed\r\n"));
	assert_true(holds(m, "\r\nWill-Retry-Until: "));
	assert_true(holds(m, "not today"));
	assert_true(holds(m, told(r, 1)->id));
	rig_idle(r, 2500);
	rig_restart(r);
	rig_idle(r, 2500);
	assert_int_equal(r->provider.mail_count, 1);
	rig_free(r);
}

TESTS(a_refusal_behind_queued_is_reported, reports_speak_the_owners_language, nobody_is_told_who_does_not_want_to, too_old_is_reported,
      a_mailbox_that_cannot_send_its_report, a_report_that_finds_no_way, relayed_is_reported_where_it_was_asked,
      a_delay_is_reported_once_where_it_was_asked)
