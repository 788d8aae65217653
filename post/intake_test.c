/* What comes from gates: grants, sizes, sessions that go, messages that come twice. */
#include "tests/post_rig.h"

static const struct rig_settled *told(struct rig *r, uint64_t session)
{
	RIG_WAIT(r, rig_told(r, session));
	return rig_told(r, session);
}

static void grants_that_do_not_hold(void **state)
{
	struct rig *r = rig_new("");

	rig_send(r, (struct rig_letter){ .session = 1, .bad_grant = true });
	assert_int_equal(told(r, 1)->kind, 2);
	assert_int_equal(rig_told(r, 1)->fault, FAULT_GRANT_INVALID);
	assert_int_equal(rig_told(r, 1)->code, 550);
	assert_string_equal(rig_told(r, 1)->id, "");
	/* a sender that the grant does not name, whatever gate says */
	rig_send(r, (struct rig_letter){ .session = 2, .sender = "boss@example.org" });
	assert_int_equal(told(r, 2)->fault, FAULT_SENDER_NOT_GRANTED);
	rig_send(r, (struct rig_letter){ .session = 3, .sender = "alias@example.org" });
	assert_int_equal(told(r, 3)->kind, 1);
	/* revoked between the sign-in and the end of the message */
	link_send(r->vault, &MESSAGE_OF(revoked, .client = 5, .at_ms = clock_wall_ms()));
	rig_idle(r, 20);
	rig_send(r, (struct rig_letter){ .session = 4, .body = "Subject: late\r\n\r\n" });
	assert_int_equal(told(r, 4)->fault, FAULT_CLIENT_REVOKED);
	rig_send(r, (struct rig_letter){ .session = 5, .client = 6, .body = "Subject: other client\r\n\r\n" });
	assert_int_equal(told(r, 5)->kind, 1);
	assert_int_equal(r->provider.mail_count, 2);
	rig_free(r);
}

/* A body over 256 KB goes to a file of its own, and arrives as it came; gate is told how much was taken. */
static void a_large_body(void **state)
{
	struct rig *r = rig_new("body_memory = 1048576\n");
	const char *line = "0123456789012345678901234567890123456789012345678901234567890\r\n";
	size_t repeats = 20000, size = strlen(line) * repeats;
	struct span data;

	rig_send(r, (struct rig_letter){ .session = 1, .body = line, .body_repeats = 1000, .stays_open = true });
	for (size_t sent = 1000; sent < repeats; sent += 1000) {
		for (size_t i = 0; i < 1000; i++)
			link_send(r->gate, &MESSAGE_OF(mail_body, .session = 1, .serial = 1, .bytes = span_of(line)));
		if (sent * strlen(line) > 300000)
			RIG_WAIT(r, r->taken_bytes + 200000 > sent * strlen(line)); /* as gate does */
	}
	link_send(r->gate, &MESSAGE_OF(mail_end, .session = 1, .serial = 1, .message_id = SPAN("<big@x>"), .digest = SPAN("digest")));
	assert_int_equal(told(r, 1)->kind, 1);
	data = buf_span(&r->provider.mails[0].data);
	assert_int_equal(data.size, size + strlen("X-Postern-Id: 0123456789ABC\r\n"));
	assert_true(span_starts(span_slice(data, data.size - size, size), span_of(line)));
	assert_true(span_ends_fold(data, span_of(line)));
	rig_wait_empty(r);
	rig_free(r);
}

static void a_large_body_survives_a_stop(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	const char *line = "Subject: a long one\r\n\r\n0123456789012345678901234567890123456789\r\n";

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "451 4.3.0 later" });
	rig_send(r, (struct rig_letter){ .session = 1, .body = line, .body_repeats = 6000 });
	assert_int_equal(told(r, 1)->kind, 3);
	rig_restart(r);
	provider_forget_rules(&r->provider);
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_int_equal(r->provider.mails[0].data.size, strlen(line) * 6000 + strlen("X-Postern-Id: 0123456789ABC\r\n"));
	rig_free(r);
}

/* A file that was cut is never sent as if it were whole: people are shown it. */
static void a_damaged_body_is_kept_and_shown(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	const char *line = "Subject: a long one\r\n\r\n0123456789012345678901234567890123456789\r\n";
	char command[256];

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "451 4.3.0 later" });
	rig_send(r, (struct rig_letter){ .session = 1, .body = line, .body_repeats = 6000 });
	told(r, 1);
	rig_lower(r);
	snprintf(command, sizeof command, "truncate -s 200000 %s/spool/bodies/*", r->directory);
	assert_int_equal(system(command), 0);
	provider_forget_rules(&r->provider);
	assert_int_equal(rig_raise(r), FAULT_OK);
	RIG_WAIT(r, r->ready);
	do
		rig_call(r, "queue.list", "{\"state\":\"held\"}");
	while (!strstr(r->answer, "SPOOL_DAMAGED"));
	assert_int_equal(r->provider.mail_count, 0);
	rig_free(r);
}

static void too_much_at_once_is_put_off(void **state)
{
	struct rig *r = rig_new("body_memory = 1048576\n");
	static char body[200001];

	memset(body, 'x', sizeof body - 1);
	for (uint64_t i = 1; i <= 8; i++)
		rig_send(r, (struct rig_letter){ .session = i, .body = body, .stays_open = true });
	RIG_WAIT(r, r->settled_count >= 3);
	for (size_t i = 0; i < r->settled_count; i++) {
		assert_int_equal(r->settled[i].code, 452);
		assert_int_equal(r->settled[i].fault, FAULT_NO_MEMORY);
	}
	/* it passes */
	for (uint64_t i = 1; i <= 8; i++)
		link_send(r->gate, &MESSAGE_OF(mail_drop, .session = i, .serial = i));
	rig_send(r, (struct rig_letter){ .session = 20 });
	assert_int_equal(told(r, 20)->kind, 1);
	rig_free(r);
}

static void the_same_message_again_joins_the_first(void **state)
{
	struct rig *r = rig_new("");
	char id[16];

	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .stall = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1, .message_id = "<1@x>" });
	RIG_WAIT(r, r->provider.connections == 1);
	link_send(r->gate, &MESSAGE_OF(mail_drop, .session = 1, .serial = 1)); /* it timed out */
	rig_send(r, (struct rig_letter){ .session = 2, .message_id = "<1@x>" });
	rig_send(r, (struct rig_letter){ .session = 3, .message_id = "<1@x>", .verdict_wait_ms = 100 });
	assert_int_equal(told(r, 3)->kind, 3);
	snprintf(id, sizeof id, "%s", rig_told(r, 3)->id);
	provider_say(r->provider.open, "250-provider\r\n250 AUTH XOAUTH2");
	assert_int_equal(told(r, 2)->kind, 1);
	assert_string_equal(rig_told(r, 2)->id, id);
	rig_wait_empty(r);
	/* still not heard: the outcome is told again */
	rig_send(r, (struct rig_letter){ .session = 4, .message_id = "<1@x>" });
	assert_int_equal(told(r, 4)->kind, 1);
	assert_string_equal(rig_told(r, 4)->id, id);
	assert_string_equal(rig_told(r, 4)->says, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	/* also after a stop */
	rig_restart(r);
	rig_send(r, (struct rig_letter){ .session = 5, .message_id = "<1@x>" });
	assert_string_equal(told(r, 5)->id, id);
	assert_string_equal(rig_told(r, 5)->says, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	assert_int_equal(r->provider.mail_count, 1);
	/* other bytes, another client: another message */
	rig_send(r, (struct rig_letter){ .session = 6, .message_id = "<1@x>", .body = "Subject: else\r\n\r\n" });
	rig_send(r, (struct rig_letter){ .session = 7, .message_id = "<1@x>", .client = 6 });
	told(r, 6);
	told(r, 7);
	assert_string_not_equal(rig_told(r, 6)->id, id);
	assert_string_not_equal(rig_told(r, 7)->id, id);
	/* heard: whoever sends it again means it */
	link_send(r->gate, &MESSAGE_OF(heard, .id = span_of(id)));
	rig_send(r, (struct rig_letter){ .session = 8, .message_id = "<1@x>" });
	assert_string_not_equal(told(r, 8)->id, id);
	assert_int_equal(r->provider.mail_count, 4);
	rig_free(r);
}

static void what_was_heard_stays_heard(void **state)
{
	struct rig *r = rig_new("");
	char id[16];

	rig_send(r, (struct rig_letter){ .session = 1, .message_id = "<1@x>" });
	snprintf(id, sizeof id, "%s", told(r, 1)->id);
	link_send(r->gate, &MESSAGE_OF(heard, .id = span_of(id)));
	rig_idle(r, 400); /* the note waits for company, and is committed */
	rig_restart(r);
	rig_send(r, (struct rig_letter){ .session = 2, .message_id = "<1@x>" });
	assert_string_not_equal(told(r, 2)->id, id);
	rig_free(r);
}

static void a_refused_one_that_comes_again_is_new(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT", .reply = "550 5.1.1 no such user here", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1, .message_id = "<1@x>" });
	assert_int_equal(told(r, 1)->kind, 2);
	rig_send(r, (struct rig_letter){ .session = 2, .message_id = "<1@x>" });
	assert_int_equal(told(r, 2)->kind, 1);
	rig_free(r);
}

/* Sent anew, it would reach some a second time. */
static void one_accepted_in_part_that_comes_again_joins(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	const char *to = "x@example.net bad@example.net", *later = "y@example.net slow@example.net", *part = "accepted for 1 of 2, report follows";

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<bad", .reply = "550 5.1.1 no such user here" });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<slow", .reply = "450 4.2.0 not now", .times = 1 });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<slow", .reply = "550 5.1.1 no such user here" });
	rig_send(r, (struct rig_letter){ .session = 1, .message_id = "<1@x>", .recipients = to });
	assert_string_equal(told(r, 1)->says, part);
	rig_send(r, (struct rig_letter){ .session = 2, .message_id = "<1@x>", .recipients = to });
	assert_string_equal(told(r, 2)->says, part);
	/* the refusal came at a later try than the acceptance */
	rig_send(r, (struct rig_letter){ .session = 3, .message_id = "<2@x>", .recipients = later });
	assert_int_equal(told(r, 3)->kind, 3);
	rig_wait_empty(r);
	rig_restart(r);
	rig_send(r, (struct rig_letter){ .session = 4, .message_id = "<1@x>", .recipients = to });
	rig_send(r, (struct rig_letter){ .session = 5, .message_id = "<2@x>", .recipients = later });
	assert_string_equal(told(r, 4)->says, part);
	assert_string_equal(told(r, 5)->says, part);
	assert_int_equal(r->provider.mail_count, 4); /* two messages, two reports */
	rig_free(r);
}

/* All sessions of a gate that died have gone; their messages are tried all the same. */
static void a_gate_that_died(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .stall = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	rig_send(r, (struct rig_letter){ .session = 2, .stays_open = true });
	RIG_WAIT(r, r->provider.connections == 1);
	link_close(&r->gate);
	rig_idle(r, 50);
	provider_say(r->provider.open, "250-provider\r\n250 AUTH XOAUTH2");
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_int_equal(r->settled_count, 0);
	rig_free(r);
}

static void two_daemons_on_one_spool(void **state)
{
	struct rig *r = rig_new("");
	struct role_file ca = { .purpose = SPAN("ca"), .name = SPAN("") };
	struct role_start start = { .config = r->config, .files = &ca, .file_count = 1, .mac_key = { rig_mac_key, sizeof rig_mac_key } };
	struct certificate_pair pair;
	void *other = NULL;
	char why[256] = "";

	assert_int_equal(certificate_authority(&pair, "test"), FAULT_OK);
	ca.bytes = buf_span(&pair.certificate_pem);
	assert_int_equal(post_role.start(&other, r->loop, &start, why), FAULT_SPOOL_LOCKED);
	assert_null(other);
	assert_true(strlen(why) > 0);
	certificate_pair_free(&pair);
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 1);
	rig_free(r);
}

/* Without the vault there is no key to the spool: post waits, and then goes on. */
static void the_vault_comes_late(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "451 4.3.0 later" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	told(r, 1);
	rig_lower(r);
	provider_forget_rules(&r->provider);
	r->vault_is_silent = true;
	assert_int_equal(rig_raise(r), FAULT_OK);
	rig_idle(r, 100);
	assert_false(r->ready);
	r->vault_is_silent = false;
	link_close(&r->vault);
	r->vault = rig_link(r, ROLE_VAULT, rig_vault_received);
	RIG_WAIT(r, r->ready && r->provider.mail_count == 1);
	rig_free(r);
}

static void a_key_that_does_not_open(void **state)
{
	struct rig *r = rig_new("");

	rig_send(r, (struct rig_letter){ .session = 1 });
	told(r, 1);
	rig_lower(r);
	r->unwrap_fault = FAULT_KEY_WRONG;
	assert_int_equal(rig_raise(r), FAULT_OK);
	RIG_WAIT(r, r->ready);
	assert_int_equal(r->ready_fault, FAULT_KEY_WRONG);
	rig_free(r);
}

TESTS(grants_that_do_not_hold, a_large_body, a_large_body_survives_a_stop, a_damaged_body_is_kept_and_shown, too_much_at_once_is_put_off, the_same_message_again_joins_the_first,
      what_was_heard_stays_heard, a_refused_one_that_comes_again_is_new, one_accepted_in_part_that_comes_again_joins,
      a_gate_that_died, two_daemons_on_one_spool, the_vault_comes_late,
      a_key_that_does_not_open)
