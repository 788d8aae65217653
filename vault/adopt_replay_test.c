/* A refresh token that another program got: proved, compared, kept; or refused, and nothing is kept. */
#include "tests/vault_stage.h"

#define ADOPT "{'address':'ann@example.com','refresh_token':'from-before'}"

static void expect_unlinked(struct stage *s)
{
	assert_int_equal(stage_want_token(s, 1, 0), FAULT_NOT_LINKED);
	assert_int_equal(stage_call(s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(s, "state"), "not linked");
	assert_string_equal(stage_text(s, "account"), "");
}

static void a_token_becomes_a_sign_in(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.nonce = "";
	assert_int_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_OK);
	assert_string_equal(s.idp.refresh_token, "from-before");
	assert_string_equal(stage_text(&s, "account"), "Ann@example.com");
	assert_true(s.mended >= 1);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-1");
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "account_id"), "O-1");
	/* What is there is never replaced. */
	assert_int_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_EXISTS);
	assert_int_equal(s.idp.tokens, 1);
	stage_end(&s);
}

/* Where the provider rotates nothing, the token that was brought is the one that renews; after a restart too. */
static void the_token_that_came_goes_on(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.nonce = "";
	s.idp.no_refresh = true;
	assert_int_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_OK);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	s.idp.refresh_token[0] = 0;
	stage_pass(&s, 2LL * 3600 * 1000);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.idp.refresh_token, "from-before");
	assert_string_equal(s.access_token, "access-2");
	stage_end(&s);
}

static void another_account_keeps_nothing(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.nonce = "";
	s.idp.account = "eve@example.com";
	s.idp.object = "O-2";
	assert_int_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_WRONG_ACCOUNT);
	assert_non_null(strstr(s.answer_why, "eve@example.com"));
	expect_unlinked(&s);
	stage_end(&s);
}

static void what_names_nobody_keeps_nothing(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.no_id_token = true;
	assert_int_not_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_OK);
	expect_unlinked(&s);
	stage_end(&s);
}

static void a_refusal_is_told_in_the_providers_words(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.token_status = 400;
	s.idp.token_body = "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70008: The refresh token has expired.\"}";
	assert_int_not_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_OK);
	assert_non_null(strstr(s.answer_why, "AADSTS70008"));
	s.idp.token_status = 503;
	s.idp.token_body = "<html>";
	assert_int_not_equal(stage_call(&s, "mailbox.adopt", ADOPT), FAULT_OK);
	expect_unlinked(&s);
	stage_end(&s);
}

static void what_is_no_token_is_not_tried(void **state)
{
	static const struct { const char *arguments; enum fault fault; } cases[] = {
		{ "{'address':'ann@example.com'}", FAULT_MALFORMED },
		{ "{'address':'ann@example.com','refresh_token':''}", FAULT_MALFORMED },
		{ "{'address':'ann@example.com','refresh_token':'two words'}", FAULT_MALFORMED },
		{ "{'address':'nobody@example.com','refresh_token':'x'}", FAULT_NOT_FOUND },
	};
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(stage_call(&s, "mailbox.adopt", "%s", cases[i].arguments), cases[i].fault);
	assert_int_equal(s.idp.tokens, 0);
	stage_end(&s);
}

static void a_proof_under_way_ends_with_the_vault(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.is_mute = true;
	stage_begin_call(&s, "mailbox.adopt", ADOPT);
	stage_pass(&s, 1000);
	assert_int_equal(s.idp.mute_count, 1);
	stage_end(&s);
}

TESTS(a_token_becomes_a_sign_in, the_token_that_came_goes_on, another_account_keeps_nothing, what_names_nobody_keeps_nothing,
      a_refusal_is_told_in_the_providers_words, what_is_no_token_is_not_tried, a_proof_under_way_ends_with_the_vault)
