/* Who is recognised, what they are granted, and what becomes of everyone else. */
#include "tests/vault_stage.h"

#include "base/message.h"

static char password[64];

/* A client "copier" with Ann's mailbox; `more` goes into its arguments. */
static void add_client(struct stage *s, const char *more)
{
	assert_int_equal(stage_call(s, "client.add", "{'name':'copier','org':'school','mailbox':['ann@example.com']%s}", more), FAULT_OK);
	snprintf(password, sizeof password, "%s", stage_text(s, "password"));
}

static void begin(struct stage *s, const char *more)
{
	stage_begin(s);
	stage_people(s);
	add_client(s, more);
}

/* The newest refusal: its fault and whom it names. */
static void assert_refused(struct stage *s, const char *fault, const char *client)
{
	json_t *item;

	assert_int_equal(stage_call(s, "client.refused", "{'limit':'1'}"), FAULT_OK);
	item = json_array_get(json_object_get(s->result, "items"), 0);
	assert_string_equal(json_string_value(json_object_get(item, "fault")), fault);
	assert_string_equal(json_string_value(json_object_get(item, "client")), client);
	assert_non_null(json_object_get(item, "at"));
	assert_true(json_string_length(json_object_get(item, "why")) > 10);
	assert_true(json_string_length(json_object_get(item, "remedy")) > 10);
}

static void a_client_is_recognised_by_its_name_and_addresses(void **state)
{
	static const char *const names[] = { "copier", "COPIER", "ann@example.com", "Ann@Example.COM", "a@example.com" };
	struct stage s;

	begin(&s, "");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(stage_login(&s, names[i], password), FAULT_OK);
	assert_span(s.grant.client_name, "copier");
	assert_span(s.grant.organisation, "school");
	assert_int_equal(s.grant.mailbox_count, 1);
	assert_int_equal(s.grant.default_mailbox, 1);
	assert_int_equal(s.grant.verdict_wait_ms, 5000);
	assert_span(s.grant.mailboxes[0].address, "ann@example.com");
	assert_span(s.grant.mailboxes[0].name, "Ann");
	assert_int_equal(s.grant.mailboxes[0].ready, FAULT_MAILBOX_NOT_READY);
	assert_int_equal(s.grant.mailboxes[0].language, LANGUAGE_FR);
	assert_non_null(grant_mailbox_for(&s.grant, SPAN("a@example.com")));
	assert_null(grant_mailbox_for(&s.grant, SPAN("boss@example.com")));
	stage_linked(&s);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(s.grant.mailboxes[0].ready, FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','enabled':'no'}"), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(s.grant.mailboxes[0].ready, FAULT_MAILBOX_DISABLED);
	stage_end(&s);
}

static void the_bearer_is_a_client_password_too(void **state)
{
	struct stage s;

	begin(&s, "");
	assert_int_equal(stage_login_from(&s, 3, "ann@example.com", password, "submission", "192.0.2.1"), FAULT_OK);
	assert_int_equal(stage_login_from(&s, 4, "", password, "submission", "[2001:db8::1]:4711"), FAULT_OK);
	assert_int_equal(stage_login_from(&s, 1, "", password, "submission", "192.0.2.1"), FAULT_BAD_LOGIN);
	assert_int_equal(stage_login_from(&s, 4, "eve@example.com", password, "submission", "192.0.2.1"), FAULT_BAD_LOGIN);
	stage_end(&s);
}

/* Everybody who is refused hears the same; the administrator sees why. */
static void all_refusals_sound_alike(void **state)
{
	struct stage s;
	char wrong[64], old[64];

	begin(&s, ",'network':['192.0.2.0/24'],'listener':['submission']");
	assert_int_equal(stage_login(&s, "copier", "hunter2"), FAULT_BAD_LOGIN);
	assert_refused(&s, "CREDENTIAL_UNKNOWN", "copier");
	snprintf(wrong, sizeof wrong, "%s", password);
	wrong[20] = wrong[20] == 'x' ? 'y' : 'x';
	assert_int_equal(stage_login(&s, "copier", wrong), FAULT_BAD_LOGIN);
	assert_refused(&s, "CREDENTIAL_WRONG", "copier");
	assert_int_equal(stage_login(&s, "boss@example.com", password), FAULT_BAD_LOGIN);
	assert_refused(&s, "USER_NOT_GRANTED", "copier");
	assert_int_equal(stage_login_from(&s, 1, "copier", password, "devices", "192.0.2.1"), FAULT_BAD_LOGIN);
	assert_refused(&s, "LISTENER_NOT_GRANTED", "copier");
	assert_int_equal(stage_login_from(&s, 1, "copier", password, "submission", "192.0.3.1"), FAULT_BAD_LOGIN);
	assert_refused(&s, "NETWORK_NOT_GRANTED", "copier");
	assert_int_equal(stage_call(&s, "client.set", "{'name':'copier','protocol':['imap']}"), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_BAD_LOGIN);
	assert_refused(&s, "PROTOCOL_NOT_GRANTED", "copier");
	assert_int_equal(stage_call(&s, "client.set", "{'name':'copier','protocol':['smtp'],'enabled':false}"), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_BAD_LOGIN);
	assert_refused(&s, "CLIENT_DISABLED", "copier");
	assert_int_equal(stage_call(&s, "client.set", "{'name':'copier','enabled':'yes'}"), FAULT_OK);
	snprintf(old, sizeof old, "%s", password);
	assert_int_equal(stage_call(&s, "client.password", "{'name':'copier'}"), FAULT_OK);
	snprintf(password, sizeof password, "%s", stage_text(&s, "password"));
	assert_int_equal(stage_login(&s, "copier", old), FAULT_BAD_LOGIN);
	assert_refused(&s, "CLIENT_REVOKED", "copier");
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(stage_call(&s, "client.remove", "{'name':'copier'}"), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_BAD_LOGIN);
	assert_refused(&s, "CLIENT_REVOKED", "copier");
	stage_end(&s);
}

static void what_gate_refused_is_shown_too(void **state)
{
	json_t *item;
	struct stage s;

	begin(&s, "");
	for (int i = 0; i < 3; i++)
		link_send(s.gate, &MESSAGE_OF(refused, .fault = FAULT_SENDER_NOT_GRANTED, .client = 1, .listener = SPAN("submission"),
					      .remote = SPAN("192.0.2.9"), .sender = SPAN("boss@example.com")));
	stage_pass(&s, 100);
	assert_refused(&s, "SENDER_NOT_GRANTED", "copier");
	item = json_array_get(json_object_get(s.result, "items"), 0);
	assert_int_equal(json_integer_value(json_object_get(item, "times")), 3);
	assert_string_equal(json_string_value(json_object_get(item, "sender")), "boss@example.com");
	assert_int_equal(stage_call(&s, "client.refused", "{'client':'nobody'}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 0);
	assert_int_equal(stage_call(&s, "client.refused", "{'org':'school'}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 1);
	assert_int_equal(stage_call(&s, "client.refused", "{'org':'elsewhere'}"), FAULT_NOT_FOUND);
	stage_end(&s);
}

static void too_many_failures_are_told_to_wait_and_the_right_password_is_not(void **state)
{
	struct stage s;

	begin(&s, "");
	for (int i = 0; i < 20; i++)
		assert_int_equal(stage_login(&s, "copier", "hunter2"), FAULT_BAD_LOGIN);
	assert_int_equal(stage_login(&s, "copier", "hunter2"), FAULT_TOO_MANY_LOGINS);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(stage_login_from(&s, 1, "copier", "hunter2", "submission", "192.0.2.2"), FAULT_BAD_LOGIN);
	stage_pass(&s, 11 * 60 * 1000);
	assert_int_equal(stage_login(&s, "copier", "hunter2"), FAULT_BAD_LOGIN);
	stage_end(&s);
}

static void t_relay_18_trusted_networks(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "10.1.2.3"), FAULT_AUTH_NEEDED);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'wide','org':'school','mailbox':['ann@example.com'],'network':['10.0.0.0/8'],"
						      "'no_password':'yes'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "password"), "");
	assert_int_equal(stage_call(&s, "client.add", "{'name':'narrow','org':'school','mailbox':['ann@example.com'],"
						      "'network':['10.1.2.0/24','2001:db8::/64'],'no_password':true,'listener':['devices']}"), FAULT_OK);
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "10.1.2.3"), FAULT_OK);
	assert_span(s.grant.client_name, "narrow");
	assert_int_equal(stage_login_from(&s, 0, "", "", "submission", "10.1.2.3"), FAULT_OK);
	assert_span(s.grant.client_name, "wide");
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "10.200.0.1"), FAULT_OK);
	assert_span(s.grant.client_name, "wide");
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "2001:db8::17"), FAULT_OK);
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "2001:db8:1::17"), FAULT_AUTH_NEEDED);
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "192.0.2.1"), FAULT_AUTH_NEEDED);
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "nonsense"), FAULT_FORBIDDEN);
	assert_int_equal(stage_call(&s, "client.set", "{'name':'wide','enabled':false}"), FAULT_OK);
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "10.200.0.1"), FAULT_AUTH_NEEDED);
	stage_end(&s);
}

/* A network binds a client that has a password; it does not recognise it. */
static void a_network_does_not_stand_in_for_a_password(void **state)
{
	struct stage s;

	begin(&s, ",'network':['10.0.0.0/8']");
	assert_int_equal(stage_login_from(&s, 0, "", "", "devices", "10.1.2.3"), FAULT_AUTH_NEEDED);
	stage_end(&s);
}

static void senders_and_maps_are_granted(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'bob@example.com','org':'school','provider':'m365'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "client.add",
				    "{'name':'erp','org':'school','mailbox':['ann@example.com','bob@example.com'],'default_mailbox':"
				    "'bob@example.com','sender':['@shop.example','info@example.com'],'sender_rule':'map','map':"
				    "['old@example.com=ann@example.com','@legacy.example bob@example.com'],'verdict_wait':'250ms'}"), FAULT_OK);
	snprintf(password, sizeof password, "%s", stage_text(&s, "password"));
	assert_int_equal(stage_login(&s, "erp", password), FAULT_OK);
	assert_int_equal(s.grant.default_mailbox, 2);
	assert_int_equal(s.grant.verdict_wait_ms, 250);
	assert_int_equal(s.grant.sender_rule, GRANT_SENDER_MAP);
	assert_int_equal(grant_mailbox_for(&s.grant, SPAN("ann@example.com"))->id, 1);
	assert_int_equal(grant_mailbox_for(&s.grant, SPAN("any@shop.example"))->id, 2);
	assert_int_equal(grant_mailbox_for(&s.grant, SPAN("INFO@example.com"))->id, 2);
	assert_null(grant_mailbox_for(&s.grant, SPAN("old@example.com")));
	assert_span(grant_mapped(&s.grant, SPAN("old@example.com")), "ann@example.com");
	assert_span(grant_mapped(&s.grant, SPAN("x@legacy.example")), "bob@example.com");
	stage_end(&s);
}

/* Grants given out before a change are void, those after it hold, however the clock jumps. */
static void a_change_revokes_what_was_granted_before(void **state)
{
	struct stage s;
	int64_t before_ms;

	begin(&s, "");
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	before_ms = s.grant.issued_at_ms;
	assert_int_equal(stage_call(&s, "client.set", "{'name':'copier','sender':['x@example.com']}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_int_equal(s.gate_revoked, 1);
	assert_int_equal(s.post_revoked, 1);
	assert_true(before_ms <= s.revoked_at_ms);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_true(s.grant.issued_at_ms > s.revoked_at_ms);
	/* A post that comes back hears of it again, even from a vault that died meanwhile. */
	stage_kill(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	stage_pass(&s, 100);
	assert_int_equal(s.post_revoked, 2);
	assert_int_equal(s.gate_revoked, 1);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_true(s.grant.issued_at_ms > s.revoked_at_ms);
	stage_end(&s);
}

static void a_mailbox_that_goes_takes_its_grants_along(void **state)
{
	struct stage s;

	begin(&s, "");
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.remove", "{'address':'ann@example.com'}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_int_equal(s.gate_revoked, 1);
	assert_false(s.state_enabled);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(s.grant.mailbox_count, 0);
	assert_int_equal(s.grant.default_mailbox, 0);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(s.grant.mailbox_count, 0);
	stage_end(&s);
}

/* Nothing that a stranger can do makes a login wait for the disk: the store is stuck, and logins go on. */
static void logins_do_not_wait_for_the_disk(void **state)
{
	struct stage s;
	int64_t begun_ms;

	begin(&s, "");
	world_pool_delay("store", 60 * 1000, 60 * 1000);
	stage_begin_call(&s, "org.add", "{'name':'slow'}");
	begun_ms = world_ms();
	for (int i = 0; i < 50; i++) {
		assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
		assert_int_equal(stage_login_from(&s, 1, "copier", "hunter2", "submission", "192.0.2.77") == FAULT_OK, false);
	}
	assert_in_range(world_ms() - begun_ms, 0, 2000);
	assert_false(s.is_answered);
	world_pool_delay("store", 0, 1);
	stage_end(&s);
}

/* A flood of refusals is counted, and fills neither memory nor disk. */
static void a_flood_of_refusals_is_bounded(void **state)
{
	char user[32];
	struct stage s;

	begin(&s, "");
	for (int i = 0; i < 5000; i++) {
		snprintf(user, sizeof user, "user%d", i);
		link_send(s.gate, &MESSAGE_OF(refused, .fault = FAULT_RELAY_REFUSED, .remote = SPAN("192.0.2.9"), .user = span_of(user)));
	}
	stage_pass(&s, 5000);
	assert_int_equal(stage_call(&s, "client.refused", "{'limit':1000}"), FAULT_OK);
	assert_in_range(json_array_size(json_object_get(s.result, "items")), 1, 600);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	stage_end(&s);
}

/* One account by one spelling: capitals are the same, all else is somebody else, and what cannot be told from it by eye is not taken. */
static void t_sasl_25_one_account_by_one_spelling(void **state)
{
	static const char *const others[] = {
		"ann@example.com.", "a.nn@example.com", "ann.@example.com", ".ann@example.com", "ann@example..com", "ann@@example.com",      "ann @example.com",
		"\"ann\"@example.com", "\xd0\xb0nn@example.com", "a\xcc\x81nn@example.com", "ann@ex\xd0\xb0mple.com", "\xef\xbd\x81nn@example.com",
		"a\xc2\xadnn@example.com", "a\xe2\x80\x8bnn@example.com", "ann@example\xe3\x80\x82" "com", "' OR 1=1 --", "ann@example.com' --", "%", "_nn@example.com",
		"a_n@example.com", "%@example.com", "\\\\", "copier'", "cop%", "copie_", "c\xd0\xbepier", "\xef\xbd\x83opier", "cop\xc2\xadier", "copier\xe2\x80\x8b",
	};
	static const char *const refused[] = { "\xef\xbd\x81nn@example.com", "a\xc2\xadnn@example.com", "a\xe2\x80\x8bnn@example.com", "\\\"ann\\\"@example.com",
					       "ann@example.com.", "ann@example\xe3\x80\x82" "com" };
	static const char *const separate[] = { "\xd0\xb0nn@example.com", "a.nn@example.com", "a\xcc\x81nn@example.com", "ann@ex\xd0\xb0mple.com",
						"%nn@example.com", "_nn@example.com" };
	struct stage s;

	begin(&s, "");
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (stage_login(&s, others[i], password) != FAULT_BAD_LOGIN && stage_login(&s, others[i], password) != FAULT_TOO_MANY_LOGINS)
			fail_msg("let in: %s", others[i]);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'ANN@Example.COM','org':'school','provider':'m365'}"), FAULT_EXISTS);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'COPIER','org':'school','mailbox':['ann@example.com']}"), FAULT_EXISTS);
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (stage_call(&s, "mailbox.add", "{'address':'%s','org':'school','provider':'m365'}", refused[i]) != FAULT_MALFORMED)
			fail_msg("taken: %s", refused[i]);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'cop\xc2\xadier','org':'school','mailbox':['ann@example.com']}"), FAULT_MALFORMED);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'\xef\xbd\x83opier','org':'school','mailbox':['ann@example.com']}"), FAULT_MALFORMED);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'cop\\u0000ier','org':'school','mailbox':['ann@example.com']}"), FAULT_MALFORMED);
	for (size_t i = 0; i < sizeof separate / sizeof *separate; i++)
		if (stage_call(&s, "mailbox.add", "{'address':'%s','org':'school','provider':'m365'}", separate[i]) != FAULT_OK)
			fail_msg("not taken: %s", separate[i]);
	assert_int_equal(stage_login(&s, "ann@example.com", password), FAULT_OK);
	assert_int_equal(s.grant.mailbox_count, 1);
	for (size_t i = 0; i < sizeof separate / sizeof *separate; i++)
		assert_null(grant_mailbox_for(&s.grant, span_of(separate[i])));
	assert_int_not_equal(stage_login(&s, separate[0], password), FAULT_OK);
	stage_end(&s);
}

TESTS(a_client_is_recognised_by_its_name_and_addresses, the_bearer_is_a_client_password_too, all_refusals_sound_alike,
      what_gate_refused_is_shown_too, too_many_failures_are_told_to_wait_and_the_right_password_is_not, t_relay_18_trusted_networks,
      a_network_does_not_stand_in_for_a_password, senders_and_maps_are_granted, a_change_revokes_what_was_granted_before,
      a_mailbox_that_goes_takes_its_grants_along, logins_do_not_wait_for_the_disk, a_flood_of_refusals_is_bounded,
      t_sasl_25_one_account_by_one_spelling)
