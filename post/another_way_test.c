/* A mailbox with more than one way out: which is tried, and when another is. */
#include "tests/post_rig.h"

static const char both[] = { WAY_APP_PASSWORD, WAY_SMTP };

static const struct rig_settled *told(struct rig *r, uint64_t session)
{
	RIG_WAIT(r, rig_told(r, session));
	return rig_told(r, session);
}

/* The app password first, which signs in by PLAIN; then the token, by XOAUTH2. */
static struct rig *with_both(const char *config)
{
	struct rig *r = rig_new(config);

	r->way_mechanisms[WAY_APP_PASSWORD] = 1;
	r->way_mechanisms[WAY_SMTP] = 3;
	link_send(r->vault, &MESSAGE_OF(mailbox_state, .mailbox = 1, .enabled = 1, .address = SPAN("box@example.org"), .ways = { both, sizeof both }));
	return r;
}

/* The first mail came over a session that XOAUTH2 began: base64 of "user=". */
static bool by_token(const struct rig *r)
{
	return !strncmp(r->provider.mails[0].user, "dXNlcj", 6);
}

static void the_first_way_is_taken(void **state)
{
	struct rig *r = with_both("");

	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 1);
	assert_int_equal(r->provider.sign_ins, 1);
	assert_int_equal(r->tokens, 1);
	assert_false(by_token(r));
	rig_free(r);
}

static void a_sign_in_refused_gives_room_to_the_next(void **state)
{
	struct rig *r = with_both("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 1);
	assert_int_equal(r->provider.mail_count, 1);
	assert_true(by_token(r));
	assert_non_null(strstr(r->log, "post.other_way"));
	rig_wait_empty(r);
	rig_free(r);
}

static void a_connection_lost_before_the_end_too(void **state)
{
	struct rig *r = with_both("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "DATA", .hang_up = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 1);
	assert_int_equal(r->provider.mail_count, 1);
	assert_int_equal(r->provider.connections, 2);
	assert_true(by_token(r));
	rig_free(r);
}

/* Whether it arrived is not known: another way would make a second copy. */
static void lost_behind_the_end_no_other_is_tried(void **state)
{
	struct rig *r = with_both("retry_first = 3600\nretry_longest = 3600\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = ".", .hang_up = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 3);
	assert_non_null(strstr(told(r, 1)->says, "it may have arrived"));
	assert_int_equal(r->provider.connections, 1);
	rig_free(r);
}

/* What is refused for its recipient is so by every way. */
static void a_refusal_is_final(void **state)
{
	struct rig *r = with_both("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT", .reply = "550 5.1.1 no such user" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 2);
	assert_int_equal(r->provider.connections, 1);
	rig_free(r);
}

/* Mail waits where one of the ways may work again by itself, and is held where none will. */
static void what_leaves_most_hope_speaks(void **state)
{
	struct rig *r = with_both("retry_first = 3600\nretry_longest = 3600\nprobe_first_ms = 3600000\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "421 4.3.2 The service is not available", .times = 1 });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.3 Authentication unsuccessful", .times = 2 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_true(span_starts(span_of(told(r, 1)->says), SPAN("queued: 421 4.3.2")));
	rig_free(r);
	r = with_both("probe_first_ms = 3600000\n");
	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", .times = 1 });
	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.3 Authentication unsuccessful", .times = 2 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_true(span_starts(span_of(told(r, 1)->says), SPAN("held: 535 5.7.139 ")));
	rig_free(r);
}

static void a_probe_signs_in_and_sends_nothing(void **state)
{
	struct rig *r = with_both("");

	link_send(r->vault, &MESSAGE_OF(probe, .request = 7, .mailbox = 1, .way = WAY_APP_PASSWORD));
	RIG_WAIT(r, r->has_probed);
	assert_int_equal(r->probed.request, 7);
	assert_int_equal(r->probed.fault, FAULT_OK);
	r->has_probed = false;
	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.3 Authentication unsuccessful" });
	link_send(r->vault, &MESSAGE_OF(probe, .request = 8, .mailbox = 1, .way = WAY_APP_PASSWORD));
	RIG_WAIT(r, r->has_probed);
	assert_int_equal(r->probed.request, 8);
	assert_int_not_equal(r->probed.fault, FAULT_OK);
	assert_int_equal(r->provider.mail_count, 0);
	rig_free(r);
}

TESTS(the_first_way_is_taken, a_sign_in_refused_gives_room_to_the_next, a_connection_lost_before_the_end_too, lost_behind_the_end_no_other_is_tried,
      a_refusal_is_final, what_leaves_most_hope_speaks, a_probe_signs_in_and_sends_nothing)
