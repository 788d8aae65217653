/* The pages of a sign-in: what they show, what they refuse, and where they lead. */
#include "twin/entra_sign_in.h"

#include "tests/test.h"
#include "tests/twin_browser.h"

static struct twin_keys *keys;
static struct test_entra site;

static void begin(void)
{
	if (!keys)
		assert_int_equal(twin_keys_make(&keys, 1433160000000), FAULT_OK);
	test_entra_init(&site, keys);
}

static void redirects_that_are_registered(void **state)
{
	static const struct {
		const char *uri;
		bool matches;
	} rows[] = {
		{ "http://localhost:8443/oauth/callback", true }, { "http://localhost/oauth/callback", true },	{ "http://127.0.0.1:8443/oauth/callback", false },
		{ "http://localhost:12345", true },		  { "http://localhost", true },			{ "http://localhost:8443/elsewhere", false },
		{ "http://localhost:8443/oauth/callback/", false }, { "http://localhost.evil.example/oauth/callback", false },
		{ "http://localhost:8443@evil.example/oauth/callback", false }, { "https://localhost:8443/oauth/callback", false },
		{ "http://localhost:/oauth/callback", false },	  { "http://localhost:99999/oauth/callback", false }, { "", false },
	};

	begin();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		assert_int_equal(entra_redirect_matches(&site.tenant.tenant.apps[0], span_of(rows[i].uri)), rows[i].matches);
	test_entra_fini(&site);
}

/* What is wrong with application or redirect address is shown and never sent there. */
static void errors_that_stay_on_the_page(void **state)
{
	begin();
	test_entra_authorize(&site, "client_id=" TEST_CLIENT "&response_type=code&scope=openid&redirect_uri=https%3A%2F%2Fevil.example%2F");
	assert_int_equal(site.response.status, 400);
	assert_true(test_entra_shows(&site, "AADSTS50011: The redirect URI &#39;https://evil.example/&#39;") || test_entra_shows(&site, "AADSTS50011: "));
	assert_int_equal(site.response.location.size, 0);
	test_entra_authorize(&site, "client_id=nobody&response_type=code&redirect_uri=" TEST_REDIRECT);
	assert_true(test_entra_shows(&site, "AADSTS700016: Application with identifier "));
	test_entra_ask(&site, "GET", "/nowhere.example/oauth2/v2.0/authorize", TEST_AUTHORIZE);
	assert_true(test_entra_shows(&site, "AADSTS90002: "));
	assert_int_equal(site.response.location.size, 0);
	test_entra_fini(&site);
}

static void errors_that_go_back(void **state)
{
	static const struct {
		const char *query, *error, *starts;
	} rows[] = {
		{ "client_id=" TEST_CLIENT "&response_type=token&scope=openid&state=s&redirect_uri=" TEST_REDIRECT, "unsupported_response_type", "AADSTS70005: " },
		{ "client_id=" TEST_CLIENT "&response_type=code&state=s&redirect_uri=" TEST_REDIRECT, "invalid_request", "AADSTS900144: " },
		{ "client_id=" TEST_CLIENT "&response_type=code&state=s&scope=https%3A%2F%2Foutlook.office.com%2FNonsense&redirect_uri=" TEST_REDIRECT, "invalid_scope",
		  "AADSTS70011: " },
		{ "client_id=" TEST_CLIENT "&response_type=code&state=s&scope=openid&code_challenge=short&code_challenge_method=S256&redirect_uri=" TEST_REDIRECT,
		  "invalid_grant", "AADSTS501491: " },
		{ TEST_AUTHORIZE "&prompt=none", "login_required", "AADSTS50058: " },
	};
	char text[1024];

	begin();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		test_entra_authorize(&site, rows[i].query);
		test_entra_field(&site, "error", text, sizeof text);
		assert_string_equal(text, rows[i].error);
		test_entra_field(&site, "error_description", text, sizeof text);
		assert_true(span_starts(span_of(text), span_of(rows[i].starts)));
		test_entra_field(&site, "state", text, sizeof text);
		assert_true(text[0]);
	}
	test_entra_fini(&site);
}

static void wrong_passwords_and_codes(void **state)
{
	begin();
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "login=nobody%40contoso.example&passwd=x");
	assert_true(test_entra_shows(&site, "We couldn"));
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=wrong");
	assert_true(test_entra_shows(&site, "Your account or password is incorrect."));
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_post(&site, "/SAS/ProcessAuth", "otc=000000");
	assert_true(test_entra_shows(&site, "expected verification code"));
	/* the consent page cannot be reached around the code */
	test_entra_post(&site, "/Consent/Set", "ucaccept=Yes");
	assert_int_equal(site.response.location.size, 0);
	assert_true(test_entra_shows(&site, "name=\"passwd\""));
	/* a code is good once */
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	assert_true(test_entra_shows(&site, "ucaccept"));
	test_entra_authorize(&site, TEST_AUTHORIZE "&prompt=login");
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	assert_true(test_entra_shows(&site, "expected verification code"));
	for (size_t i = 0; i < 10; i++) {
		test_entra_authorize(&site, TEST_AUTHORIZE "&prompt=login");
		test_entra_post(&site, "/login", "login=billing%40contoso.example&passwd=wrong");
	}
	test_entra_post(&site, "/login", "login=billing%40contoso.example&passwd=Paid-In-Full-3");
	assert_true(test_entra_shows(&site, "temporarily locked"));
	test_entra_fini(&site);
}

static void accounts_that_may_not(void **state)
{
	begin();
	test_tenant_set(&site.tenant, "account", "disabled", "alex@contoso.example");
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	assert_true(test_entra_shows(&site, "has been disabled"));
	test_tenant_set(&site.tenant, "account", "enabled", "alex@contoso.example");
	test_tenant_set(&site.tenant, "conditional_access", "block", "alex@contoso.example");
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	assert_true(test_entra_shows(&site, "AADSTS53003: Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."));
	test_entra_fini(&site);
}

static void saying_no(void **state)
{
	char text[512];

	begin();
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "cancel=1");
	test_entra_field(&site, "error", text, sizeof text);
	assert_string_equal(text, "access_denied");
	test_entra_field(&site, "error_description", text, sizeof text);
	assert_string_equal(text, "the user canceled the authentication");
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	test_entra_post(&site, "/Consent/Set", "ucaccept=No");
	test_entra_field(&site, "error", text, sizeof text);
	assert_string_equal(text, "access_denied");
	test_entra_field(&site, "error_description", text, sizeof text);
	assert_string_equal(text, "AADSTS65004: User declined to consent to access the app.");
	test_entra_fini(&site);
}

static void only_an_administrator_may_consent(void **state)
{
	char text[512];

	begin();
	test_tenant_set(&site.tenant, "consent", "admin", "");
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	assert_true(test_entra_shows(&site, "AADSTS90094: Admin consent is required"));
	test_entra_post(&site, "/Consent/Set", "ucaccept=Yes");
	assert_true(test_entra_shows(&site, "AADSTS90094: Admin consent is required"));
	test_entra_post(&site, "/Consent/Set", "ucaccept=No");
	test_entra_field(&site, "error", text, sizeof text);
	assert_string_equal(text, "access_denied");
	test_entra_fini(&site);
}

/* The browser stays signed in: that is how a wrong account slips through. */
static void a_browser_that_is_signed_in(void **state)
{
	char code[ENTRA_CODE_BYTES];

	begin();
	test_entra_sign_in(&site, code);
	assert_true(site.cookie[0]);
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_field(&site, "code", code, sizeof code);
	assert_true(code[0]);
	test_entra_authorize(&site, TEST_AUTHORIZE "&prompt=none");
	test_entra_field(&site, "code", code, sizeof code);
	assert_true(code[0]);
	test_entra_authorize(&site, TEST_AUTHORIZE "&login_hint=billing%40contoso.example");
	assert_true(test_entra_shows(&site, "name=\"passwd\""));
	test_entra_authorize(&site, TEST_AUTHORIZE "&prompt=select_account");
	assert_true(test_entra_shows(&site, "alex@contoso.example"));
	assert_true(test_entra_shows(&site, "Use another account"));
	test_entra_post(&site, "/reprocess", "account=alex%40contoso.example");
	test_entra_field(&site, "code", code, sizeof code);
	assert_true(code[0]);
	test_entra_authorize(&site, TEST_AUTHORIZE "&prompt=select_account");
	test_entra_post(&site, "/reprocess", "account=");
	assert_true(test_entra_shows(&site, "name=\"passwd\""));
	test_entra_authorize(&site, TEST_AUTHORIZE "&prompt=consent");
	assert_true(test_entra_shows(&site, "ucaccept"));
	test_entra_ask(&site, "GET", "/contoso.example/oauth2/v2.0/logout", "");
	site.cookie[0] = 0;
	test_entra_authorize(&site, TEST_AUTHORIZE);
	assert_true(test_entra_shows(&site, "name=\"passwd\""));
	test_entra_fini(&site);
}

static void per_user_states(void **state)
{
	char code[ENTRA_CODE_BYTES];

	begin();
	/* disabled: no code; maria is "enabled": she registers and is "enforced" from then on */
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "login=billing%40contoso.example&passwd=Paid-In-Full-3");
	assert_true(test_entra_shows(&site, "ucaccept"));
	test_entra_authorize(&site, TEST_AUTHORIZE);
	test_entra_post(&site, "/login", "login=maria%40contoso.example&passwd=Pain-Au-Chocolat-9");
	assert_true(test_entra_shows(&site, "More information required"));
	assert_true(test_entra_shows(&site, "NBSWY3DPO5XXE3DENBSWY3DPO5XXE3DE"));
	test_entra_otc(&site, "maria@contoso.example");
	test_entra_post(&site, "/Consent/Set", "ucaccept=Yes");
	test_entra_field(&site, "code", code, sizeof code);
	assert_int_equal(twin_tenant_user(&site.tenant.tenant, SPAN("maria@contoso.example"))->values[TWIN_MAILBOX_mfa], TWIN_MFA_ENFORCED);
	test_entra_fini(&site);
}

static void response_modes(void **state)
{
	char code[ENTRA_CODE_BYTES];

	begin();
	test_entra_sign_in(&site, code);
	test_entra_authorize(&site, TEST_AUTHORIZE "&response_mode=fragment");
	assert_true(span_starts(buf_span(&site.response.location), SPAN("http://localhost:8443/oauth/callback#code=")));
	test_entra_authorize(&site, TEST_AUTHORIZE "&response_mode=form_post");
	assert_int_equal(site.response.status, 200);
	assert_true(test_entra_shows(&site, "action=\"http://localhost:8443/oauth/callback\""));
	assert_true(test_entra_shows(&site, "name=\"state\" value=\"st&amp;te\""));
	test_entra_fini(&site);
}

static void flows_are_ours_and_fresh(void **state)
{
	begin();
	test_entra_authorize(&site, TEST_AUTHORIZE);
	site.wall += ENTRA_FLOW_MS;
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	assert_int_equal(site.response.status, 400);
	assert_true(test_entra_shows(&site, "took too long"));
	test_entra_ask(&site, "POST", "/common/login", "flow=AAAA&login=alex%40contoso.example&passwd=Correct-Horse-7");
	assert_int_equal(site.response.status, 400);
	test_entra_ask(&site, "GET", "/common/login", "flow=AAAA");
	assert_int_equal(site.response.status, 405);
	test_entra_fini(&site);
}

static void nothing_gets_out_of_its_place(void **state)
{
	begin();
	test_entra_authorize(&site, TEST_AUTHORIZE "&login_hint=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E");
	assert_false(test_entra_shows(&site, "<script"));
	assert_true(test_entra_shows(&site, "&lt;script"));
	test_entra_ask(&site, "POST", "/devicelogin", "user_code=%22%3E%3Cscript%3E");
	assert_false(test_entra_shows(&site, "<script"));
	test_entra_authorize(&site, "client_id=%3Cscript%3E&redirect_uri=%3Cscript%3E");
	assert_false(test_entra_shows(&site, "<script"));
	test_entra_fini(&site);
}

static void in_french(void **state)
{
	begin();
	site.language = LANGUAGE_FR;
	test_entra_authorize(&site, TEST_AUTHORIZE);
	assert_true(test_entra_shows(&site, "<html lang=\"fr\">"));
	assert_true(test_entra_shows(&site, "Mot de passe"));
	assert_int_equal(twin_language(SPAN("de-CH, fr;q=0.8, en;q=0.5")), LANGUAGE_FR);
	assert_int_equal(twin_language(SPAN("en-GB,fr")), LANGUAGE_EN);
	assert_int_equal(twin_language(SPAN("")), LANGUAGE_EN);
	test_entra_fini(&site);
}

TESTS(redirects_that_are_registered, errors_that_stay_on_the_page, errors_that_go_back, wrong_passwords_and_codes, accounts_that_may_not, saying_no,
      only_an_administrator_may_consent, a_browser_that_is_signed_in, per_user_states, response_modes, flows_are_ours_and_fresh, nothing_gets_out_of_its_place,
      in_french)
