/* Mails of our own: put into the queue once, sent as any other, and out of the way of what is held. */
#include "tests/post_rig.h"

#include "queue/record.h"

#define AUTH_OFF "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."

static void give(struct rig *r, uint64_t id, uint64_t mailbox)
{
	char key[32];
	struct buf list;

	snprintf(key, sizeof key, "notice.%u", (unsigned)id);
	buf_init(&list, 1024);
	assert_true(record_recipient_put(&list, &(struct record_recipient){ .address = SPAN("chief@example.net") }));
	link_send(r->vault, &MESSAGE_OF(notice, .id = id, .key = span_of(key), .mailbox = mailbox, .organisation = SPAN("org"), .from = SPAN("box@example.org"),
					.recipients = buf_span(&list), .body = SPAN("Subject: held\r\nX-Postern-Report: notice\r\n\r\nhello\r\n")));
	buf_free(&list);
}

static void it_goes_out_once(void **state)
{
	struct rig *r = rig_new("");

	give(r, 1, 1);
	give(r, 1, 1);
	RIG_WAIT(r, r->noticed);
	assert_int_equal(r->noticed_fault, FAULT_OK);
	give(r, 1, 1);
	RIG_WAIT(r, r->noticed == 2);
	rig_restart(r);
	give(r, 1, 1);
	RIG_WAIT(r, r->noticed == 3);
	assert_int_equal(r->noticed_fault, FAULT_OK);
	give(r, 2, 1);
	RIG_WAIT(r, r->noticed == 4);
	assert_int_equal(r->provider.mail_count, 2);
	rig_free(r);
}

static void it_is_found_again_after_a_restart(void **state)
{
	struct rig *r = rig_new("retry_first = 1\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "451 4.3.0 not now", .times = 1 });
	give(r, 1, 1);
	RIG_WAIT(r, r->provider.sign_ins == 1);
	rig_restart(r);
	give(r, 1, 1);
	RIG_WAIT(r, r->noticed);
	assert_int_equal(r->noticed_fault, FAULT_OK);
	rig_wait_empty(r);
	assert_int_equal(r->causes[1], 0);
	rig_free(r);
}

/* Nothing is held for it, and nobody is told of a cause because of it. */
static void it_begins_no_cause(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = AUTH_OFF });
	give(r, 1, 1);
	RIG_WAIT(r, r->noticed);
	assert_int_equal(r->noticed_fault, FAULT_SMTP_AUTH_OFF_MAILBOX);
	rig_wait_empty(r);
	assert_int_equal(r->causes[1], 0);
	/* Asked again, through another mailbox perhaps, it is tried again. */
	provider_forget_rules(&r->provider);
	give(r, 1, 2);
	RIG_WAIT(r, r->noticed == 2);
	assert_int_equal(r->noticed_fault, FAULT_OK);
	assert_int_equal(r->provider.mail_count, 1);
	rig_free(r);
}

static void it_flees_what_is_held(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 3600000\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = AUTH_OFF });
	rig_send(r, (struct rig_letter){ .session = 1 });
	RIG_WAIT(r, rig_told(r, 1));
	RIG_WAIT(r, r->causes[1] == 1);
	give(r, 1, 1);
	RIG_WAIT(r, r->noticed);
	assert_int_equal(r->noticed_fault, FAULT_SMTP_AUTH_OFF_MAILBOX);
	/* The cause is told again to a vault that comes, and its end to the one that is there. */
	rig_restart(r);
	RIG_WAIT(r, r->causes[3] >= 2);
	assert_int_equal(r->causes[1], 2);
	provider_forget_rules(&r->provider);
	link_send(r->vault, &MESSAGE_OF(mended, .mailbox = 1, .fault = FAULT_OK));
	RIG_WAIT(r, r->causes[2] == 1);
	rig_free(r);
}

TESTS(it_goes_out_once, it_is_found_again_after_a_restart, it_begins_no_cause, it_flees_what_is_held)
