/* Ways out of a mailbox, and the app password that a provider gave: kept sealed, tested at once, given to post alone. */
#include "tests/vault_stage.h"

static void an_app_password_is_set_tested_and_given_to_post(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','way':['app-password']}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "not linked");
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_PASSWORD_NOT_SET);
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':'bdfh jlnp rtvx zbdf'}"), FAULT_OK);
	assert_int_equal(s.probes, 1);
	assert_int_equal(s.probe_way, WAY_APP_PASSWORD);
	assert_string_equal(s.ways, "c");
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_OK);
	assert_string_equal(s.access_token, "bdfhjlnprtvxzbdf");
	assert_string_equal(s.token_user, "ann@example.com");
	assert_string_equal(s.token_host, "localhost");
	assert_int_equal(s.token.mechanism, 2);
	assert_int_equal(s.token.way, WAY_APP_PASSWORD);
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_string_equal(stage_text(&s, "app_password_user"), "ann@example.com");
	/* It survives a restart, sealed; nobody but post is told it. */
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_OK);
	assert_string_equal(s.access_token, "bdfhjlnprtvxzbdf");
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':''}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_PASSWORD_NOT_SET);
	stage_end(&s);
}

/* Only Google's sixteen letters lose their blanks: in any other password they are part of it. */
static void blanks_of_other_passwords_stay(void **state)
{
	static const struct {
		const char *given, *kept;
	} cases[] = {
		{ "abcd efgh ijkl mnop", "abcdefghijklmnop" }, { "ABCD EFGH IJKL MNOP", "ABCDEFGHIJKLMNOP" }, { "abcdefghijklmnop", "abcdefghijklmnop" },
		{ "correct horse", "correct horse" }, { "abcd efgh ijkl mno1", "abcd efgh ijkl mno1" }, { " abc", " abc" },
		{ "abcd efgh ijkl mnopq", "abcd efgh ijkl mnopq" },
	};
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','user':'DOMAIN-ann','password':'%s'}", cases[i].given), FAULT_OK);
		assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_OK);
		assert_string_equal(s.access_token, cases[i].kept);
		assert_string_equal(s.token_user, "DOMAIN-ann");
	}
	stage_end(&s);
}

static void a_password_that_does_not_work_is_kept_and_said(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.probe_fault = FAULT_BASIC_AUTH_OFF;
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':'wrong'}"), FAULT_BASIC_AUTH_OFF);
	assert_non_null(strstr(s.answer_why, "app-password: "));
	assert_non_null(strstr(s.answer_why, "535 5.7.3 Authentication unsuccessful"));
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_OK);
	stage_end(&s);
}

/* The mailbox's own ways go before its organisation's; post hears of those that are set up. */
static void ways_are_inherited_and_overridden(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_string_equal(s.ways, "b");
	assert_int_equal(stage_call(&s, "org.set", "{'name':'school','way':['app-password','smtp']}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_string_equal(s.ways, "cb"); /* neither is set up: both are told, so that somebody is told what is missing */
	stage_linked(&s);
	stage_pass(&s, 100);
	assert_string_equal(s.ways, "b");
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':'x'}"), FAULT_OK);
	assert_string_equal(s.ways, "cb");
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','way':['smtp','app-password']}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_string_equal(s.ways, "bc");
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','way':['']}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_string_equal(s.ways, "cb");
	stage_end(&s);
}

static void every_way_that_is_set_up_is_tested(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.test", "{'address':'ann@example.com'}"), FAULT_MAILBOX_NOT_READY);
	assert_int_equal(s.probes, 0);
	stage_linked(&s);
	assert_int_equal(stage_call(&s, "mailbox.test", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_int_equal(s.probes, 1);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 1);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','way':['smtp','app-password']}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':'x'}"), FAULT_OK);
	s.probes = 0;
	assert_int_equal(stage_call(&s, "mailbox.test", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_int_equal(s.probes, 2);
	assert_int_equal(stage_call(&s, "mailbox.test", "{'address':'ann@example.com','way':'smtp'}"), FAULT_OK);
	assert_int_equal(s.probe_way, WAY_SMTP);
	assert_int_equal(s.probes, 3);
	link_close(&s.post);
	stage_pass(&s, 100);
	assert_int_equal(stage_call(&s, "mailbox.test", "{'address':'ann@example.com'}"), FAULT_POST_AWAY);
	stage_end(&s);
}

static void an_app_password_goes_with_its_mailbox_and_provider(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':'x'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'second','org':'school','kind':'smtp','smtp_host':'mx.example.net'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','provider':'second'}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_PASSWORD_NOT_SET);
	assert_int_equal(stage_call(&s, "mailbox.password", "{'address':'ann@example.com','password':'y'}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_OK);
	assert_int_equal(s.token.mechanism, 1);
	assert_int_equal(stage_call(&s, "mailbox.remove", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_int_equal(stage_want(&s, 1, WAY_APP_PASSWORD, 0), FAULT_NOT_LINKED);
	stage_end(&s);
}

/* A shared mailbox has no sign-in of its own: a person with Send As on it signs in, and it is the envelope that names it. */
static void a_delegate_signs_in_for_a_shared_mailbox(void **state)
{
	struct stage s;
	unsigned mended;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'admissions@example.com','org':'school','provider':'m365','sign_in_as':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "sign_in_as"), "ann@example.com");
	assert_string_equal(stage_text(&s, "state"), "not linked");
	assert_int_equal(stage_call(&s, "mailbox.link", "{'address':'admissions@example.com'}"), FAULT_FORBIDDEN);
	mended = s.mended;
	stage_linked(&s);
	stage_pass(&s, 100);
	assert_int_equal(s.mended, mended + 2);
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'admissions@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_OK);
	assert_string_equal(s.token_user, "ann@example.com");
	/* no chains, no rings, nobody else's */
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','sign_in_as':'admissions@example.com'}"), FAULT_MALFORMED);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'admissions@example.com','sign_in_as':'admissions@example.com'}"), FAULT_MALFORMED);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'admissions@example.com','sign_in_as':'nobody@example.com'}"), FAULT_NOT_FOUND);
	/* the token of one provider is not shown to another */
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'second','org':'school','kind':'microsoft','client_id':'app-2','issuer':'%s'}", s.idp.issuer), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'admissions@example.com','provider':'second'}"), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_NOT_LINKED);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'admissions@example.com','provider':'m365'}"), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_OK);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.remove", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_NOT_LINKED);
	stage_end(&s);
}

TESTS(a_delegate_signs_in_for_a_shared_mailbox, an_app_password_is_set_tested_and_given_to_post, blanks_of_other_passwords_stay, a_password_that_does_not_work_is_kept_and_said,
      ways_are_inherited_and_overridden, every_way_that_is_set_up_is_tested, an_app_password_goes_with_its_mailbox_and_provider)
