/* The post role between a gate, a vault and a provider: what applications are told, and what arrives. */
#include "tests/post_rig.h"

static const struct rig_settled *told(struct rig *r, uint64_t session)
{
	RIG_WAIT(r, rig_told(r, session));
	return rig_told(r, session);
}

static void assert_told(struct rig *r, uint64_t session, unsigned kind, const char *says)
{
	const struct rig_settled *s = told(r, session);

	if (s->kind != kind || strcmp(s->says, says) != 0)
		fail_msg("kind %u, not %u: %s\n%s", s->kind, kind, s->says, r->log);
}

static void accepted_with_the_upstreams_words(void **state)
{
	struct rig *r = rig_new("");
	char header[64];

	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_told(r, 1, 1, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	assert_int_equal(strlen(rig_told(r, 1)->id), 13);
	assert_int_equal(r->provider.mail_count, 1);
	assert_string_equal(r->provider.mails[0].sender, "box@example.org");
	assert_string_equal(r->provider.mails[0].recipients, "x@example.net");
	snprintf(header, sizeof header, "X-Postern-Id: %s\r\nSubject: test\r\n\r\nhello\r\n", rig_told(r, 1)->id);
	assert_span(buf_span(&r->provider.mails[0].data), header);
	assert_true(r->provider.mails[0].user[0] != 0);
	rig_free(r);
}

static void refused_with_text_and_remedy(void **state)
{
	struct rig *r = rig_new("");
	const struct rig_settled *s;

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT", .reply = "550 5.1.1 no such user here" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	s = told(r, 1);
	assert_int_equal(s->kind, 2);
	assert_int_equal(s->code, 550);
	assert_string_equal(s->enhanced, "5.1.1");
	assert_true(span_starts(span_of(s->says), SPAN("no such user here")));
	provider_forget_rules(&r->provider);
	/* it never goes out, also not after a stop; nobody hears of it again */
	rig_restart(r);
	rig_send(r, (struct rig_letter){ .session = 2, .body = "Subject: other\r\n\r\n" });
	assert_told(r, 2, 1, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	if (r->provider.mail_count != 1)
		fail_msg("%s", r->log);
	rig_free(r);
}

static void put_off_is_queued_at_once_and_tried_again(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	char id[16];

	provider_rule(&r->provider, (struct provider_rule){ .verb = ".", .reply = "451 4.3.0 come back later", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_told(r, 1, 3, "queued: 451 4.3.0 come back later");
	snprintf(id, sizeof id, "%s", rig_told(r, 1)->id);
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_true(span_find(buf_span(&r->provider.mails[0].data), span_of(id)) < 20);
	assert_int_equal(r->settled_count, 1);
	rig_free(r);
}

static void a_client_that_does_not_wait(void **state)
{
	struct rig *r = rig_new("");

	rig_send(r, (struct rig_letter){ .session = 1, .verdict_wait_ms = -1 });
	assert_told(r, 1, 3, "queued: it is being sent");
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_int_equal(r->settled_count, 1);
	rig_free(r);
}

static void the_verdict_is_waited_for_no_longer_than_agreed(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "DATA", .stall = true });
	rig_send(r, (struct rig_letter){ .session = 1, .verdict_wait_ms = 50 });
	assert_told(r, 1, 3, "queued: the provider has not answered yet");
	assert_int_equal(r->settled_count, 1);
	rig_free(r);
}

static void some_refused_are_reported(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<bad", .reply = "550 5.1.1 no such user here" });
	rig_send(r, (struct rig_letter){ .session = 1, .recipients = "x@example.net bad@example.net y@example.net" });
	assert_told(r, 1, 1, "accepted for 2 of 3, report follows");
	RIG_WAIT(r, r->provider.mail_count == 2);
	assert_string_equal(r->provider.mails[0].recipients, "x@example.net y@example.net");
	assert_string_equal(r->provider.mails[1].recipients, "box@example.org");
	assert_string_equal(r->provider.mails[1].sender, "box@example.org");
	assert_true(span_find(buf_span(&r->provider.mails[1].data), SPAN("Auto-Submitted: auto-replied")) < r->provider.mails[1].data.size);
	assert_true(span_find(buf_span(&r->provider.mails[1].data), SPAN("bad@example.net")) < r->provider.mails[1].data.size);
	assert_false(span_find(buf_span(&r->provider.mails[1].data), SPAN("x@example.net")) < r->provider.mails[1].data.size);
	rig_free(r);
}

static void a_retry_names_only_the_open_ones(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<slow", .reply = "450 4.2.0 not now", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1, .recipients = "x@example.net slow@example.net" });
	assert_told(r, 1, 3, "queued: 450 4.2.0 not now");
	RIG_WAIT(r, r->provider.mail_count == 2);
	assert_string_equal(r->provider.mails[0].recipients, "x@example.net");
	assert_string_equal(r->provider.mails[1].recipients, "slow@example.net");
	rig_free(r);
}

static void lost_behind_the_final_dot(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	const struct rig_settled *s;

	provider_rule(&r->provider, (struct provider_rule){ .verb = ".", .hang_up = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	s = told(r, 1);
	assert_int_equal(s->kind, 3);
	assert_true(span_ends_fold(span_of(s->says), SPAN("; it may have arrived all the same")));
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_true(span_find(buf_span(&r->provider.mails[0].data), span_of(s->id)) < 20);
	rig_free(r);
}

/* Whoever left before the word is told by a report. */
static void a_session_that_left(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<bad", .reply = "550 5.1.1 no such user here" });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .stall = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1, .recipients = "bad@example.net" });
	RIG_WAIT(r, r->provider.connections == 1 && r->tokens == 1);
	link_send(r->gate, &MESSAGE_OF(mail_drop, .session = 1, .serial = 1));
	rig_idle(r, 100);
	/* the provider wakes up */
	provider_say(r->provider.open, "250-provider\r\n250 AUTH XOAUTH2");
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_string_equal(r->provider.mails[0].recipients, "box@example.org");
	if (r->settled_count)
		fail_msg("%s\n%s", r->settled[0].says, r->log);
	rig_free(r);
}

static void connections_are_kept_and_counted(void **state)
{
	struct rig *r = rig_new("");

	for (uint64_t i = 1; i <= 5; i++) {
		char body[64];

		snprintf(body, sizeof body, "Subject: %d\r\n\r\n", (int)i);
		rig_send(r, (struct rig_letter){ .session = i, .body = body });
		assert_told(r, i, 1, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	}
	assert_int_equal(r->provider.connections, 1);
	assert_int_equal(r->provider.sign_ins, 1);
	for (uint64_t i = 10; i < 40; i++) {
		char body[64];

		snprintf(body, sizeof body, "Subject: %d\r\n\r\n", (int)i);
		rig_send(r, (struct rig_letter){ .session = i, .body = body });
	}
	RIG_WAIT(r, r->provider.mail_count == 35);
	assert_true(r->provider.connections <= 3);
	for (uint64_t i = 10; i < 40; i++)
		told(r, i);
	rig_free(r);
}

static void a_kept_connection_that_went_stale(void **state)
{
	struct rig *r = rig_new("");

	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_told(r, 1, 1, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .hang_up = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 2, .body = "Subject: second\r\n\r\n" });
	assert_told(r, 2, 1, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	assert_int_equal(r->provider.connections, 2);
	rig_free(r);
}

static void a_stop_keeps_what_waits(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	char id[16];

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "451 4.3.0 later" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	snprintf(id, sizeof id, "%s", told(r, 1)->id);
	rig_restart(r);
	provider_forget_rules(&r->provider);
	RIG_WAIT(r, r->provider.mail_count == 1);
	assert_true(span_find(buf_span(&r->provider.mails[0].data), span_of(id)) < 20);
	rig_wait_empty(r);
	/* and what went does not go again */
	rig_restart(r);
	rig_idle(r, 1500);
	assert_int_equal(r->provider.mail_count, 1);
	rig_free(r);
}

static void draining_finishes_what_is_under_way(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .stall = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	RIG_WAIT(r, r->provider.connections == 1 && r->tokens == 1);
	rig_idle(r, 50);
	post_role.drain(r->post);
	rig_send(r, (struct rig_letter){ .session = 2 });
	assert_int_equal(told(r, 2)->code, 421);
	assert_false(r->drained);
	provider_say(r->provider.open, "250-provider\r\n250 AUTH XOAUTH2");
	assert_told(r, 1, 1, "accepted by 127.0.0.1: 250 2.0.0 OK <taken>");
	RIG_WAIT(r, r->drained);
	rig_free(r);
}

TESTS(accepted_with_the_upstreams_words, refused_with_text_and_remedy, put_off_is_queued_at_once_and_tried_again, a_client_that_does_not_wait,
      the_verdict_is_waited_for_no_longer_than_agreed, some_refused_are_reported, a_retry_names_only_the_open_ones, lost_behind_the_final_dot,
      a_session_that_left, connections_are_kept_and_counted, a_kept_connection_that_went_stale, a_stop_keeps_what_waits,
      draining_finishes_what_is_under_way)
