/* What a person can mend: held, announced, probed, released by itself. */
#include "tests/post_rig.h"

static const struct rig_settled *told(struct rig *r, uint64_t session)
{
	RIG_WAIT(r, rig_told(r, session));
	return rig_told(r, session);
}

#define AUTH_OFF "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox."

static void held_and_released_by_the_switch_alone(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 200\nprobe_longest = 1\n");
	const struct rig_settled *s;

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = AUTH_OFF });
	rig_send(r, (struct rig_letter){ .session = 1 });
	s = told(r, 1);
	assert_int_equal(s->kind, 3);
	assert_true(span_starts(span_of(s->says), SPAN("held: 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox; ")));
	/* the token had not expired: it was made anew, once, before that was believed */
	assert_int_equal(r->forced, 1);
	/* the next ones are told at once, without a sign-in each */
	for (uint64_t i = 2; i <= 4; i++) {
		char body[64];

		snprintf(body, sizeof body, "Subject: %d\r\n\r\n", (int)i);
		rig_send(r, (struct rig_letter){ .session = i, .body = body });
		assert_true(span_starts(span_of(told(r, i)->says), SPAN("held: 535 5.7.139 Authentication unsuccessful")));
	}
	assert_int_equal(r->provider.mail_count, 0);
	rig_call(r, "queue.list", "{}");
	assert_non_null(strstr(r->answer, "\"state\":\"held\""));
	assert_null(strstr(r->answer, "\"state\":\"waiting\""));
	/* the switch is turned: nothing else is done */
	provider_forget_rules(&r->provider);
	RIG_WAIT(r, r->provider.mail_count == 4);
	rig_send(r, (struct rig_letter){ .session = 5, .body = "Subject: 5\r\n\r\n" });
	assert_int_equal(told(r, 5)->kind, 1);
	rig_free(r);
}

/* The first one released is alone; when it meets the cause again, the others stay. */
static void the_first_decides_for_the_rest(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 100\nprobe_longest = 1\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "550 5.7.60 SMTP; Client does not have permissions" });
	provider_forget_rules(&r->provider);
	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "535 5.7.3 Authentication unsuccessful", .times = 3 });
	for (uint64_t i = 1; i <= 4; i++) {
		char body[64];

		snprintf(body, sizeof body, "Subject: %d\r\n\r\n", (int)i);
		rig_send(r, (struct rig_letter){ .session = i, .body = body });
		assert_true(span_starts(span_of(told(r, i)->says), SPAN("held: ")));
	}
	/* one met it as the cause, two more as the first one released: never two at once */
	RIG_WAIT(r, r->provider.mail_count == 4);
	assert_true(r->provider.rules[0].verb == NULL);
	rig_free(r);
}

static void mended_here_is_released_at_once(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 60000\n");

	r->token_fault = FAULT_OAUTH_GRANT_ENDED;
	r->token_why = "AADSTS50173: The provided grant has expired";
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_true(span_starts(span_of(told(r, 1)->says), SPAN("held: AADSTS50173: The provided grant has expired; ")));
	assert_int_equal(r->provider.connections, 0);
	r->token_fault = FAULT_OK;
	link_send(r->vault, &MESSAGE_OF(mended, .mailbox = 1));
	RIG_WAIT(r, r->provider.mail_count == 1);
	rig_free(r);
}

static void a_disabled_mailbox_holds_its_mail(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 100\n");

	link_send(r->vault, &MESSAGE_OF(mailbox_state, .mailbox = 1, .enabled = 0, .address = SPAN("box@example.org")));
	rig_idle(r, 20);
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_true(span_starts(span_of(told(r, 1)->says), SPAN("held: the mailbox is disabled; ")));
	/* another mailbox is none the wiser */
	rig_send(r, (struct rig_letter){ .session = 2, .mailbox = 2 });
	assert_int_equal(told(r, 2)->kind, 1);
	rig_idle(r, 300);
	assert_int_equal(r->provider.mail_count, 1);
	link_send(r->vault, &MESSAGE_OF(mailbox_state, .mailbox = 1, .enabled = 1, .address = SPAN("box@example.org")));
	RIG_WAIT(r, r->provider.mail_count == 2);
	rig_free(r);
}

static void a_hold_survives_a_stop(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 300\nprobe_longest = 1\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = AUTH_OFF });
	rig_send(r, (struct rig_letter){ .session = 1 });
	told(r, 1);
	rig_restart(r);
	rig_call(r, "queue.list", "{}");
	assert_non_null(strstr(r->answer, "\"state\":\"held\""));
	assert_non_null(strstr(r->answer, "SmtpClientAuthentication is disabled"));
	assert_non_null(strstr(r->answer, "\"remedy\":"));
	assert_non_null(strstr(r->answer, "`Set-CASMailbox -Identity box@example.org -SmtpClientAuthenticationDisabled $false`"));
	rig_send(r, (struct rig_letter){ .session = 2, .body = "Subject: 2\r\n\r\n" });
	assert_true(span_starts(span_of(told(r, 2)->says), SPAN("held: ")));
	provider_forget_rules(&r->provider);
	RIG_WAIT(r, r->provider.mail_count == 2);
	rig_free(r);
}

/* A token that was revoked though its time was not over: made anew, it does. */
static void a_token_made_anew(void **state)
{
	struct rig *r = rig_new("");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.3 Authentication unsuccessful", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 1);
	assert_int_equal(r->forced, 1);
	assert_int_equal(r->provider.sign_ins, 2);
	rig_free(r);
}

static void an_expired_token_is_not_asked_for_by_force(void **state)
{
	struct rig *r = rig_new("");

	r->token_expires_at_ms = 1;
	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.3 Authentication unsuccessful" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_true(span_starts(span_of(told(r, 1)->says), SPAN("held: ")));
	assert_int_equal(r->forced, 0);
	rig_free(r);
}

/* A stored password that is refused is probed at most hourly, so that the account is not locked. */
static void passwords_are_not_hammered(void **state)
{
	struct rig *r = rig_new("probe_first_ms = 100\nprobe_longest = 1\n");

	r->token_mechanism = 1;
	provider_rule(&r->provider, (struct provider_rule){ .verb = "sign-in", .reply = "535 5.7.3 Authentication unsuccessful" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_true(span_starts(span_of(told(r, 1)->says), SPAN("held: ")));
	rig_idle(r, 600);
	assert_int_equal(r->provider.sign_ins, 1);
	provider_forget_rules(&r->provider);
	link_send(r->vault, &MESSAGE_OF(mended, .mailbox = 1));
	RIG_WAIT(r, r->provider.mail_count == 1);
	rig_free(r);
}

static void an_unreachable_host_backs_off_for_all_of_it(void **state)
{
	struct rig *r = rig_new("retry_first = 2\nretry_longest = 2\n");
	uint16_t port = r->provider.port;

	r->provider.port = 1; /* nobody listens there */
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 3);
	/* the next one is not even tried, nor is another mailbox of the same host once it is known */
	rig_send(r, (struct rig_letter){ .session = 2, .body = "Subject: 2\r\n\r\n" });
	assert_true(span_starts(span_of(told(r, 2)->says), SPAN("queued: the provider cannot be reached now; the next try is in ")));
	assert_int_equal(r->tokens, 1);
	r->provider.port = port;
	RIG_WAIT(r, r->provider.mail_count == 2);
	rig_free(r);
}

static void the_vault_is_away(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");

	link_close(&r->vault);
	rig_idle(r, 20);
	rig_send(r, (struct rig_letter){ .session = 1 });
	assert_int_equal(told(r, 1)->kind, 3);
	r->vault = rig_link(r, ROLE_VAULT, rig_vault_received);
	RIG_WAIT(r, r->provider.mail_count == 1);
	rig_free(r);
}

/* The key that lies ready for the next segment is wrapped under the old one too: it must not be used any more. */
static void the_key_encryption_key_is_rotated(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	unsigned wanted;

	provider_rule(&r->provider, (struct provider_rule){ .verb = "MAIL", .reply = "451 4.3.0 later" });
	rig_send(r, (struct rig_letter){ .session = 1 });
	told(r, 1);
	rig_idle(r, 100);
	wanted = r->keys_wanted;
	link_send(r->vault, &MESSAGE_OF(segment_rotate, .key_id = 2));
	RIG_WAIT(r, r->rotated);
	RIG_WAIT(r, r->keys_wanted == wanted + 1);
	rig_restart(r);
	provider_forget_rules(&r->provider);
	RIG_WAIT(r, r->provider.mail_count == 1);
	rig_free(r);
}

TESTS(held_and_released_by_the_switch_alone, the_first_decides_for_the_rest, mended_here_is_released_at_once, a_disabled_mailbox_holds_its_mail,
      a_hold_survives_a_stop, a_token_made_anew, an_expired_token_is_not_asked_for_by_force, passwords_are_not_hammered,
      an_unreachable_host_backs_off_for_all_of_it, the_vault_is_away, the_key_encryption_key_is_rotated)
