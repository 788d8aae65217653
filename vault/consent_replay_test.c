/* The third journey: a mailbox is linked by a browser or a device code, by the account meant and by no other. */
#include "tests/vault_stage.h"

static void a_mailbox_is_linked_by_the_account_meant(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;
	struct buf challenge;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_NOT_LINKED);
	stage_link(&s, &c);
	assert_true(!strncmp(stage_text(&s, "link"), "https://mail.example.com/link/", 30));
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_true(!strncmp(c.url, "http://127.0.0.1:9000/authorize?client_id=app-1&", 48));
	assert_non_null(strstr(c.url, "prompt=select_account"));
	assert_null(strstr(c.url, "login_hint"));
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	assert_string_equal(stage_text(&s, "address"), "ann@example.com");
	assert_string_equal(stage_text(&s, "account"), "Ann@example.com");
	assert_string_equal(stage_text(&s, "language"), "fr");
	assert_string_equal(s.idp.redirect, "https://mail.example.com/oauth/callback");
	buf_init(&challenge, 64);
	{
		unsigned char digest[32];

		EVP_Digest(s.idp.verifier, strlen(s.idp.verifier), digest, NULL, EVP_sha256(), NULL);
		text_base64_url(&challenge, (struct span){ (char *)digest, sizeof digest });
		assert_span(buf_span(&challenge), s.idp.challenge);
	}
	buf_free(&challenge);
	assert_true(s.mended >= 1);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-1");
	assert_string_equal(s.token_user, "ann@example.com");
	assert_string_equal(s.token_host, "localhost");
	assert_int_equal(s.token.port, 2587);
	assert_int_equal(s.token.tls, 1);
	assert_int_equal(s.token.mechanism, 3);
	assert_string_equal(s.token_tenant, "T-1");
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_string_equal(stage_text(&s, "account_id"), "O-1");
	stage_end(&s);
}

static void ten_gets_leave_a_link_usable(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(stage_call(&s, "consent.page", "{'link':'%s'}", c.link), FAULT_OK);
		assert_string_equal(stage_text(&s, "address"), "ann@example.com");
		assert_string_equal(stage_text(&s, "provider"), "Microsoft 365");
	}
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	stage_end(&s);
}

static void a_wrong_account_stores_nothing_and_is_named(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	s.idp.account = "eve@example.com";
	s.idp.object = "O-2";
	assert_int_equal(stage_finish(&s, &c), FAULT_WRONG_ACCOUNT);
	assert_non_null(strstr(s.answer_why, "eve@example.com"));
	assert_non_null(strstr(s.answer_why, "ann@example.com"));
	assert_string_equal(stage_text(&s, "account"), "eve@example.com");
	assert_true(json_is_true(json_object_get(s.result, "link_usable")));
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_NOT_LINKED);
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "not linked");
	assert_string_equal(stage_text(&s, "account"), "");
	assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
	/* The key of client passwords, the provider's secret, the link's verifier; no token. */
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(s.result, "items"), 0), "sealed")), 3);
	/* Another try, in the same browser: now the right address is asked for by name. */
	s.idp.account = "ann@example.com";
	s.idp.object = "O-1";
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_non_null(strstr(c.url, "login_hint=ann%40example.com"));
	assert_null(strstr(c.url, "select_account"));
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	stage_end(&s);
}

static void a_link_that_succeeded_does_nothing_more(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	assert_int_equal(stage_finish(&s, &c), FAULT_LINK_SPENT);
	assert_int_equal(stage_press(&s, &c), FAULT_LINK_SPENT);
	assert_int_equal(stage_call(&s, "consent.page", "{'link':'%s'}", c.link), FAULT_LINK_SPENT);
	assert_int_equal(s.idp.tokens, 1);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_call(&s, "consent.page", "{'link':'%s'}", c.link), FAULT_LINK_SPENT);
	stage_end(&s);
}

static void a_late_link_does_nothing(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	stage_pass(&s, 14 * 60 * 1000);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	stage_pass(&s, 61 * 1000);
	assert_int_equal(stage_finish(&s, &c), FAULT_LINK_LATE);
	assert_int_equal(stage_press(&s, &c), FAULT_LINK_LATE);
	assert_int_equal(stage_call(&s, "consent.page", "{'link':'%s'}", c.link), FAULT_LINK_LATE);
	assert_int_equal(s.idp.tokens, 0);
	stage_pass(&s, 25LL * 3600 * 1000);
	assert_int_equal(stage_call(&s, "consent.page", "{'link':'%s'}", c.link), FAULT_LINK_UNKNOWN);
	stage_end(&s);
}

static void another_browser_does_nothing(void **state)
{
	struct stage_consent c = { 0 }, other;
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	other = c;
	snprintf(other.browser, sizeof other.browser, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	assert_int_equal(stage_press(&s, &other), FAULT_LINK_FOREIGN);
	assert_int_equal(stage_finish(&s, &other), FAULT_LINK_FOREIGN);
	*other.browser = 0;
	assert_int_equal(stage_press(&s, &other), FAULT_LINK_FOREIGN);
	assert_int_equal(stage_finish(&s, &other), FAULT_LINK_FOREIGN);
	assert_int_equal(s.idp.tokens, 0);
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	stage_end(&s);
}

/* A cookie that somebody planted before the button was pressed is not taken up. */
static void a_planted_cookie_is_not_taken_up(void **state)
{
	struct stage_consent c = { .browser = "planted-by-somebody-who-waits" };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_string_not_equal(c.browser, "planted-by-somebody-who-waits");
	stage_end(&s);
}

static void unknown_links_and_states_are_unknown(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "consent.page", "{'link':'nonsense'}"), FAULT_LINK_UNKNOWN);
	assert_int_equal(stage_call(&s, "consent.page", "{}"), FAULT_LINK_UNKNOWN);
	assert_int_equal(stage_call(&s, "consent.press", "{'link':''}"), FAULT_LINK_UNKNOWN);
	assert_int_equal(stage_call(&s, "consent.finish", "{'state':'','code':'x','browser':'y'}"), FAULT_LINK_UNKNOWN);
	stage_end(&s);
}

static void a_declined_sign_in_may_be_tried_again(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_int_equal(stage_call(&s, "consent.finish", "{'state':'%s','error':'access_denied','error_description':'the user canceled the "
						       "authentication','browser':'%s'}", c.state, c.browser), FAULT_OAUTH_DECLINED);
	assert_string_equal(s.answer_why, "the user canceled the authentication");
	assert_true(json_is_true(json_object_get(s.result, "link_usable")));
	assert_int_equal(stage_finish(&s, &c), FAULT_OAUTH_CODE_SPENT);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	stage_end(&s);
}

static void what_the_provider_says_must_hold(void **state)
{
	static const struct {
		const char *nonce, *issuer, *audience;
		bool bad_signature, no_refresh, no_id_token;
		enum fault fault;
		const char *says;
	} cases[] = {
		{ "other", NULL, NULL, false, false, false, FAULT_ID_TOKEN_WRONG, "nonce" },
		{ NULL, "http://evil.example", NULL, false, false, false, FAULT_ID_TOKEN_WRONG, "iss" },
		{ NULL, NULL, "app-2", false, false, false, FAULT_ID_TOKEN_WRONG, "aud" },
		{ NULL, NULL, NULL, true, false, false, FAULT_ID_TOKEN_WRONG, "signature" },
		{ NULL, NULL, NULL, false, true, false, FAULT_REFRESH_TOKEN_MISSING, "" },
		{ NULL, NULL, NULL, false, false, true, FAULT_ID_TOKEN_WRONG, "openid" },
	};
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(stage_press(&s, &c), FAULT_OK);
		s.idp.nonce = cases[i].nonce;
		s.idp.wrong_issuer = cases[i].issuer;
		s.idp.audience = cases[i].audience;
		s.idp.bad_signature = cases[i].bad_signature;
		s.idp.no_refresh = cases[i].no_refresh;
		s.idp.no_id_token = cases[i].no_id_token;
		assert_int_equal(stage_finish(&s, &c), cases[i].fault);
		assert_non_null(strstr(s.answer_why, cases[i].says));
		assert_int_equal(stage_want_token(&s, 1, 0), FAULT_NOT_LINKED);
	}
	stage_end(&s);
}

/* Straight from the token endpoint over verified TLS: good without the keys, should they be out of reach. */
static void keys_that_are_out_of_reach_stop_nobody(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.keys_down = true;
	stage_linked(&s);
	stage_end(&s);
}

static void a_code_that_the_provider_refuses_says_why(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	s.idp.token_status = 401;
	s.idp.token_body = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000215: Invalid client secret provided.\"}";
	assert_int_equal(stage_finish(&s, &c), FAULT_OAUTH_SECRET_WRONG);
	assert_non_null(strstr(s.answer_why, "AADSTS7000215"));
	assert_int_equal(stage_finish(&s, &c), FAULT_OAUTH_CODE_SPENT);
	s.idp.token_body = NULL;
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	stage_end(&s);
}

/* The vault may die between the button and the way back: all that matters is stored. */
static void a_sign_in_survives_the_death_of_the_vault(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	stage_kill(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_finish(&s, &c), FAULT_OK);
	stage_kill(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-1");
	stage_end(&s);
}

/* Whatever the vault was doing when it died or was stopped is freed, and holds nothing up. */
static void an_exchange_under_way_ends_with_the_vault(void **state)
{
	struct stage_consent c = { 0 };
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_link(&s, &c);
	assert_int_equal(stage_press(&s, &c), FAULT_OK);
	s.idp.is_mute = true;
	stage_begin_call(&s, "consent.finish", "{'state':'%s','code':'code-1','browser':'%s'}", c.state, c.browser);
	stage_pass(&s, 5000);
	assert_false(s.is_answered);
	stage_end(&s);
}

/* --- device codes */

static void a_device_code_links_a_mailbox(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.pending = 3;
	s.idp.slow_down = true;
	s.idp.nonce = "";
	assert_int_equal(stage_call(&s, "mailbox.link", "{'address':'ann@example.com','device':'yes'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "user_code"), "FJAUPGYY2");
	assert_string_equal(stage_text(&s, "verification_uri"), "https://microsoft.com/devicelogin");
	assert_string_equal(stage_text(&s, "message"), "To sign in, use a web browser");
	stage_pass(&s, 14 * 1000);
	/* After 5 s "slow down", then every 10 s. */
	assert_int_equal(s.idp.polls, 1);
	stage_pass(&s, 60 * 1000);
	assert_int_equal(s.idp.polls, 5);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	stage_end(&s);
}

static void a_device_code_used_by_another_account_stores_nothing(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.account = "eve@example.com";
	assert_int_equal(stage_call(&s, "mailbox.link", "{'address':'ann@example.com','device':true}"), FAULT_OK);
	stage_pass(&s, 60 * 1000);
	assert_int_equal(s.idp.polls, 1);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_NOT_LINKED);
	stage_end(&s);
}

static void a_device_code_that_nobody_uses_ends(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.pending = 100000;
	assert_int_equal(stage_call(&s, "mailbox.link", "{'address':'ann@example.com','device':true}"), FAULT_OK);
	stage_pass(&s, 3600 * 1000);
	assert_in_range(s.idp.polls, 170, 180);
	stage_end(&s);
}

TESTS(a_mailbox_is_linked_by_the_account_meant, ten_gets_leave_a_link_usable, a_wrong_account_stores_nothing_and_is_named,
      a_link_that_succeeded_does_nothing_more, a_late_link_does_nothing, another_browser_does_nothing, a_planted_cookie_is_not_taken_up,
      unknown_links_and_states_are_unknown, a_declined_sign_in_may_be_tried_again, what_the_provider_says_must_hold,
      keys_that_are_out_of_reach_stop_nobody, a_code_that_the_provider_refuses_says_why, a_sign_in_survives_the_death_of_the_vault,
      an_exchange_under_way_ends_with_the_vault, a_device_code_links_a_mailbox, a_device_code_used_by_another_account_stores_nothing,
      a_device_code_that_nobody_uses_ends)
