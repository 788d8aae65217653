/* Sign-in from the authorize page to tokens, and each way it ends badly, on a clock that is given. */
#include "twin/entra.h"

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

static void discovery_and_keys(void **state)
{
	begin();
	test_entra_ask(&site, "GET", "/contoso.example/v2.0/.well-known/openid-configuration", "");
	assert_int_equal(site.response.status, 200);
	assert_span(json_text(site.json, "issuer"), "http://localhost:3443/8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00/v2.0");
	assert_span(json_text(site.json, "token_endpoint"), "http://localhost:3443/8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00/oauth2/v2.0/token");
	test_entra_ask(&site, "GET", "/common/discovery/v2.0/keys", "");
	assert_span(json_text(json_array_get(json_object_get(site.json, "keys"), 0), "kty"), "RSA");
	assert_int_equal(json_text(json_array_get(json_object_get(site.json, "keys"), 0), "n").size, 342);
	test_entra_ask(&site, "GET", "/nowhere.example/v2.0/.well-known/openid-configuration", "");
	assert_aadsts(&site, 400, 90002, "invalid_tenant");
	test_entra_fini(&site);
}

static void decode_claims(struct span token, json_t **out)
{
	struct span head, claims;
	struct buf text;

	buf_init(&text, 1 << 16);
	assert_true(span_cut(&token, '.', &head) && span_cut(&token, '.', &claims) && text_from_base64_url(&text, claims));
	*out = json_read(buf_span(&text), 1 << 16);
	assert_non_null(*out);
	buf_free(&text);
}

static void password_code_consent_and_tokens(void **state)
{
	struct twin_access access;
	char text[ENTRA_CODE_BYTES];
	json_t *claims;

	begin();
	test_entra_authorize(&site, TEST_AUTHORIZE "&login_hint=alex%40contoso.example");
	assert_int_equal(site.response.status, 200);
	assert_true(test_entra_shows(&site, "value=\"alex@contoso.example\""));
	assert_span(buf_span(&site.response.form_action), "http://localhost:8443");
	test_entra_post(&site, "/login", "login=Alex%40Contoso.Example&passwd=Correct-Horse-7");
	assert_true(test_entra_shows(&site, "name=\"otc\""));
	test_entra_otc(&site, "alex@contoso.example");
	assert_true(test_entra_shows(&site, "name=\"ucaccept\""));
	assert_true(test_entra_shows(&site, "Send e-mails as you, by SMTP"));
	test_entra_post(&site, "/Consent/Set", "ucaccept=Yes");
	test_entra_field(&site, "state", text, sizeof text);
	assert_string_equal(text, "st&te");
	test_entra_field(&site, "code", text, sizeof text);
	test_entra_redeem(&site, text, TEST_VERIFIER);
	assert_int_equal(site.response.status, 200);
	assert_span(json_text(site.json, "token_type"), "Bearer");
	assert_span(json_text(site.json, "scope"), "https://outlook.office.com/SMTP.Send");
	assert_true(json_integer_value(json_object_get(site.json, "expires_in")) >= 3599);
	assert_int_equal(twin_access_read(&access, keys, json_text(site.json, "access_token"), site.wall), FAULT_OK);
	assert_span(span_of(access.audience), "https://outlook.office.com");
	assert_span(span_of(access.scope), "SMTP.Send");
	assert_int_equal(twin_access_read(&access, keys, json_text(site.json, "access_token"), site.wall + 5400000), FAULT_EXPIRED);
	decode_claims(json_text(site.json, "id_token"), &claims);
	assert_span(json_text(claims, "aud"), TEST_CLIENT);
	assert_span(json_text(claims, "tid"), "8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00");
	assert_span(json_text(claims, "oid"), twin_tenant_user(&site.tenant.tenant, SPAN("alex@contoso.example"))->oid);
	assert_span(json_text(claims, "preferred_username"), "alex@contoso.example");
	assert_span(json_text(claims, "nonce"), "n1");
	assert_span(json_text(claims, "iss"), "http://localhost:3443/8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00/v2.0");
	json_decref(claims);
	test_entra_fini(&site);
}

static void codes_are_used_once_and_by_their_owner(void **state)
{
	char code[ENTRA_CODE_BYTES];

	begin();
	test_entra_sign_in(&site, code);
	test_entra_redeem(&site, code, "wrong-verifier-wrong-verifier-wrong-verifier-wrong");
	assert_aadsts(&site, 400, 501481, "invalid_grant");
	test_entra_redeem(&site, "1.Anonsense", TEST_VERIFIER);
	assert_aadsts(&site, 400, 70000, "invalid_grant");
	test_entra_token(&site, "grant_type=authorization_code&client_id=" TEST_CLIENT "&client_secret=" TEST_SECRET "&redirect_uri=http%3A%2F%2Flocalhost&code=x");
	assert_aadsts(&site, 400, 70000, "invalid_grant");
	test_entra_redeem(&site, code, TEST_VERIFIER);
	assert_int_equal(site.response.status, 200);
	test_entra_redeem(&site, code, TEST_VERIFIER);
	assert_aadsts(&site, 400, 54005, "invalid_grant");
	test_entra_sign_in(&site, code);
	site.wall += 600000;
	test_entra_redeem(&site, code, TEST_VERIFIER);
	assert_aadsts(&site, 400, 70008, "invalid_grant");
	test_entra_fini(&site);
}

/* The error has every member that the real one has. */
static void the_shape_of_an_error(void **state)
{
	struct span says;

	begin();
	test_entra_refresh(&site, "nonsense");
	assert_aadsts(&site, 400, 70000, "invalid_grant");
	says = json_text(site.json, "error_description");
	assert_true(span_starts(says, SPAN("AADSTS70000: ")));
	assert_true(span_find(says, SPAN(" Trace ID: ")) < says.size && span_find(says, SPAN(" Correlation ID: ")) < says.size);
	assert_true(span_ends_fold(says, SPAN(" Timestamp: 2015-06-01 12:00:00Z")));
	assert_span(json_text(site.json, "timestamp"), "2015-06-01 12:00:00Z");
	assert_int_equal(json_text(site.json, "trace_id").size, 36);
	assert_int_equal(json_text(site.json, "correlation_id").size, 36);
	assert_span(json_text(site.json, "error_uri"), "https://login.microsoftonline.com/error?code=70000");
	assert_span(json_text(site.json, "suberror"), "bad_token");
	test_entra_fini(&site);
}

static char *refresh_token(void)
{
	struct span token = json_text(site.json, "refresh_token");

	assert_true(token.size > 0);
	return strndup(token.at, token.size);
}

static void an_old_refresh_token_stays_valid(void **state)
{
	char code[ENTRA_CODE_BYTES], *first, *second;

	begin();
	test_entra_sign_in(&site, code);
	test_entra_redeem(&site, code, TEST_VERIFIER);
	first = refresh_token();
	test_entra_refresh(&site, first);
	assert_int_equal(site.response.status, 200);
	second = refresh_token();
	assert_string_not_equal(first, second);
	test_entra_refresh(&site, first);
	assert_int_equal(site.response.status, 200);
	test_entra_refresh(&site, second);
	assert_int_equal(site.response.status, 200);
	free(first);
	free(second);
	test_entra_fini(&site);
}

static void refresh_tokens_end(void **state)
{
	char code[ENTRA_CODE_BYTES], *token;

	begin();
	test_entra_sign_in(&site, code);
	test_entra_redeem(&site, code, TEST_VERIFIER);
	token = refresh_token();
	site.wall += (int64_t)90 * 86400000;
	test_entra_refresh(&site, token);
	assert_aadsts(&site, 400, 700082, "invalid_grant");
	assert_true(test_entra_shows(&site, "AADSTS700082: The refresh token has expired due to inactivity.\302\240The token was issued on 2015-06-01T12:00:30"));
	assert_true(test_entra_shows(&site, " and was inactive for 90.00:00:00."));
	site.wall -= (int64_t)90 * 86400000;
	test_entra_refresh(&site, token);
	assert_int_equal(site.response.status, 200);
	for (size_t i = 0; i < 2; i++) {
		struct twin_change change;

		assert_int_equal(twin_tenant_set(&site.tenant.tenant, SPAN("grant"), i ? SPAN("revoked") : SPAN("expired"), SPAN("alex@contoso.example"), site.wall,
						 &change),
				 FAULT_OK);
		test_entra_refresh(&site, token);
		assert_aadsts(&site, 400, i ? 50173 : 700082, "invalid_grant");
	}
	site.wall += 1000;
	site.cookie[0] = 0;
	test_entra_sign_in(&site, code);
	test_entra_redeem(&site, code, TEST_VERIFIER);
	free(token);
	token = refresh_token();
	test_entra_refresh(&site, token);
	assert_int_equal(site.response.status, 200);
	free(token);
	test_entra_fini(&site);
}

static void policies_stop_a_refresh(void **state)
{
	static const struct {
		const char *name, *value, *mailbox;
		int status, code;
		const char *error, *suberror;
	} rows[] = {
		{ "conditional_access", "block", "", 400, 53003, "invalid_grant", "message_only" },
		{ "conditional_access", "block", "alex@contoso.example", 400, 53003, "invalid_grant", "message_only" },
		{ "account", "disabled", "alex@contoso.example", 400, 50057, "invalid_grant", "" },
		{ "consent", "none", "alex@contoso.example", 400, 65001, "invalid_grant", "consent_required" },
		{ "secret", "expired", "", 401, 7000222, "invalid_client", "" },
	};
	char code[ENTRA_CODE_BYTES], *token;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin();
		test_entra_sign_in(&site, code);
		test_entra_redeem(&site, code, TEST_VERIFIER);
		token = refresh_token();
		test_tenant_set(&site.tenant, rows[i].name, rows[i].value, rows[i].mailbox);
		test_entra_refresh(&site, token);
		assert_aadsts(&site, rows[i].status, rows[i].code, rows[i].error);
		assert_span(json_text(site.json, "suberror"), rows[i].suberror);
		free(token);
		test_entra_fini(&site);
	}
}

static void clients_that_are_not_who_they_say(void **state)
{
	begin();
	test_entra_token(&site, "grant_type=refresh_token&refresh_token=x&client_id=" TEST_CLIENT "&client_secret=wrong");
	assert_aadsts(&site, 401, 7000215, "invalid_client");
	test_entra_token(&site, "grant_type=refresh_token&refresh_token=x&client_id=" TEST_CLIENT "&client_secret=7f3c9d52-41ab-4e0c-8d77-0a9b8c7d6e5f");
	assert_aadsts(&site, 401, 7000215, "invalid_client");
	assert_true(test_entra_shows(&site, "not the client secret ID"));
	test_entra_token(&site, "grant_type=authorization_code&code=x&client_id=" TEST_CLIENT);
	assert_aadsts(&site, 401, 7000218, "invalid_client");
	test_entra_token(&site, "grant_type=refresh_token&refresh_token=x&client_id=unknown");
	assert_aadsts(&site, 400, 700016, "unauthorized_client");
	test_entra_token(&site, "client_id=" TEST_CLIENT);
	assert_aadsts(&site, 400, 900144, "invalid_request");
	test_entra_token(&site, "grant_type=nonsense&client_id=" TEST_CLIENT);
	assert_aadsts(&site, 400, 70003, "unsupported_grant_type");
	test_entra_ask(&site, "POST", "/nowhere/oauth2/v2.0/token", "grant_type=x");
	assert_aadsts(&site, 400, 90002, "invalid_request");
	test_entra_fini(&site);
}

static void a_password_alone(void **state)
{
	static const char form[] = "grant_type=password&client_id=" TEST_CLIENT "&scope=" TEST_SCOPE "&password=Correct-Horse-7&username=alex%40contoso.example";

	begin();
	test_entra_token(&site, form);
	assert_aadsts(&site, 400, 50076, "invalid_grant");
	assert_span(json_text(site.json, "suberror"), "basic_action");
	assert_true(test_entra_shows(&site, "AADSTS50076: Due to a configuration change made by your administrator, or because you moved to a new location, you must use "
					    "multi-factor authentication to access '"));
	test_tenant_set(&site.tenant, "mfa", "enabled", "alex@contoso.example");
	test_entra_token(&site, form);
	assert_aadsts(&site, 400, 50079, "invalid_grant");
	test_tenant_set(&site.tenant, "mfa", "disabled", "alex@contoso.example");
	test_entra_token(&site, form);
	assert_aadsts(&site, 400, 65001, "invalid_grant");
	test_tenant_set(&site.tenant, "consent", "granted", "alex@contoso.example");
	test_entra_token(&site, form);
	assert_int_equal(site.response.status, 200);
	test_entra_token(&site, "grant_type=password&client_id=" TEST_CLIENT "&scope=" TEST_SCOPE "&password=wrong&username=alex%40contoso.example");
	assert_aadsts(&site, 400, 50126, "invalid_grant");
	test_entra_fini(&site);
}

static char *member(const char *name)
{
	struct span value = json_text(site.json, name);

	return strndup(value.at, value.size);
}

static void poll_device(const char *device_code)
{
	char form[512];

	snprintf(form, sizeof form, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Adevice_code&client_id=" TEST_CLIENT "&device_code=%s", device_code);
	test_entra_token(&site, form);
}

static void a_device(void **state)
{
	char *device, *user, form[64];

	begin();
	test_entra_ask(&site, "POST", "/common/oauth2/v2.0/devicecode", "client_id=" TEST_CLIENT "&scope=" TEST_SCOPE);
	assert_int_equal(site.response.status, 200);
	assert_int_equal(json_integer_value(json_object_get(site.json, "expires_in")), 900);
	assert_int_equal(json_integer_value(json_object_get(site.json, "interval")), 5);
	device = member("device_code");
	user = member("user_code");
	assert_int_equal(strlen(user), 9);
	poll_device(device);
	assert_aadsts(&site, 400, 70016, "authorization_pending");
	assert_true(test_entra_shows(&site, "AADSTS70016: OAuth 2.0 device flow error. Authorization is pending. Continue polling."));
	test_entra_ask(&site, "POST", "/devicelogin", "user_code=WRONG1234");
	assert_true(test_entra_shows(&site, "That code didn"));
	snprintf(form, sizeof form, "user_code=%s", user);
	test_entra_ask(&site, "POST", "/devicelogin", form);
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	poll_device(device);
	assert_aadsts(&site, 400, 70016, "authorization_pending");
	free(user);
	test_entra_ask(&site, "POST", "/devicelogin", form);
	site.wall += 30000;
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	test_entra_post(&site, "/Consent/Set", "ucaccept=Yes");
	assert_true(test_entra_shows(&site, "You have signed in on your device"));
	poll_device(device);
	assert_int_equal(site.response.status, 200);
	assert_true(json_has(site.json, "refresh_token"));
	poll_device(device);
	assert_aadsts(&site, 400, 70018, "bad_verification_code");
	free(device);
	test_entra_fini(&site);
}

static void a_device_that_ends_badly(void **state)
{
	char *device, *user, form[64];

	begin();
	for (size_t i = 0; i < 2; i++) {
		test_entra_ask(&site, "POST", "/common/oauth2/v2.0/devicecode", "client_id=" TEST_CLIENT "&scope=" TEST_SCOPE);
		device = member("device_code");
		user = member("user_code");
		snprintf(form, sizeof form, "user_code=%s", user);
		free(user);
		if (i) {
			site.wall += 900000;
			poll_device(device);
			assert_aadsts(&site, 400, 70020, "expired_token");
		} else {
			test_entra_ask(&site, "POST", "/devicelogin", form);
			test_entra_post(&site, "/login", "cancel=1");
			poll_device(device);
			assert_aadsts(&site, 400, 65004, "authorization_declined");
		}
		free(device);
	}
	test_tenant_set(&site.tenant, "public_client", "no", "");
	test_entra_ask(&site, "POST", "/common/oauth2/v2.0/devicecode", "client_id=" TEST_CLIENT "&scope=" TEST_SCOPE);
	device = member("device_code");
	poll_device(device);
	assert_aadsts(&site, 401, 7000218, "invalid_client");
	free(device);
	test_entra_fini(&site);
}

static void userinfo(void **state)
{
	char code[ENTRA_CODE_BYTES], *token;

	begin();
	test_entra_sign_in(&site, code);
	test_entra_redeem(&site, code, TEST_VERIFIER);
	token = refresh_token();
	snprintf(site.authorization, sizeof site.authorization, "Bearer %.*s", SPAN_ARGS(json_text(site.json, "access_token")));
	test_entra_ask(&site, "GET", "/oidc/userinfo", "");
	assert_int_equal(site.response.status, 401); /* a token for Exchange */
	site.authorization[0] = 0;
	{
		static char form[TWIN_FIELD_BYTES * 2];

		snprintf(form, sizeof form, "grant_type=refresh_token&client_id=" TEST_CLIENT "&client_secret=" TEST_SECRET "&scope=openid+User.Read&refresh_token=%s", token);
		test_entra_token(&site, form);
	}
	snprintf(site.authorization, sizeof site.authorization, "Bearer %.*s", SPAN_ARGS(json_text(site.json, "access_token")));
	test_entra_ask(&site, "GET", "/oidc/userinfo", "");
	assert_int_equal(site.response.status, 200);
	assert_span(json_text(site.json, "email"), "alex@contoso.example");
	free(token);
	test_entra_fini(&site);
}

TESTS(discovery_and_keys, password_code_consent_and_tokens, codes_are_used_once_and_by_their_owner, the_shape_of_an_error, an_old_refresh_token_stays_valid,
      refresh_tokens_end, policies_stop_a_refresh, clients_that_are_not_who_they_say, a_password_alone, a_device, a_device_that_ends_badly, userinfo)
