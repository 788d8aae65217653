#include "wire/oauth.h"

#include "tests/test.h"

static const struct oauth_client public_client = { SPAN("app-1"), { "", 0 }, SPAN("openid offline_access https://outlook.office.com/SMTP.Send"), { "", 0 } };
static const struct oauth_client by_certificate = { SPAN("app-1"), SPAN("not sent"), SPAN("s"), SPAN("a.b.c") };
static const struct oauth_client confidential = { SPAN("app-1"), SPAN("s&=+%"), SPAN("openid"), { "", 0 } };

#define assert_put(call, text)                        \
	do {                                          \
		struct buf out;                       \
		buf_init(&out, 4096);                 \
		assert_true(call);                    \
		assert_span(buf_span(&out), text);    \
		buf_free(&out);                       \
	} while (0)

static void addresses_and_forms_are_written(void **state)
{
	const struct oauth_authorize ask = { .endpoint = SPAN("https://login.example/a"), .redirect_uri = SPAN("https://m.example/oauth/callback"),
					     .state = SPAN("S"), .nonce = SPAN("N"), .challenge = SPAN("C"),
					     .prompt = SPAN("select_account") };
	struct oauth_authorize google = ask;

	assert_put(oauth_authorize_url(&out, &public_client, &ask),
		   "https://login.example/a?client_id=app-1&response_type=code&redirect_uri=https%3A%2F%2Fm.example%2Foauth%2Fcallback"
		   "&response_mode=query&scope=openid%20offline_access%20https%3A%2F%2Foutlook.office.com%2FSMTP.Send&state=S&nonce=N"
		   "&code_challenge=C&code_challenge_method=S256&prompt=select_account");
	google.endpoint = SPAN("https://g.example/a?hl=fr");
	google.login_hint = SPAN("ann@example.com");
	google.extra = SPAN("access_type=offline");
	assert_put(oauth_authorize_url(&out, &confidential, &google),
		   "https://g.example/a?hl=fr&client_id=app-1&response_type=code&redirect_uri=https%3A%2F%2Fm.example%2Foauth%2Fcallback"
		   "&response_mode=query&scope=openid&state=S&nonce=N&code_challenge=C&code_challenge_method=S256&prompt=select_account"
		   "&login_hint=ann%40example.com&access_type=offline");
	assert_put(oauth_code_form(&out, &confidential, SPAN("c/d"), SPAN("http://l/"), SPAN("V")),
		   "client_id=app-1&grant_type=authorization_code&code=c%2Fd&redirect_uri=http%3A%2F%2Fl%2F&code_verifier=V&scope=openid"
		   "&client_secret=s%26%3D%2B%25");
	assert_put(oauth_application_form(&out, &confidential), "client_id=app-1&grant_type=client_credentials&scope=openid&client_secret=s%26%3D%2B%25");
	assert_put(oauth_application_form(&out, &by_certificate),
		   "client_id=app-1&grant_type=client_credentials&scope=s&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
		   "&client_assertion=a.b.c");
	assert_put(oauth_assertion_form(&out, SPAN("a.b.c")), "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b.c");
	assert_put(oauth_refresh_form(&out, &by_certificate, SPAN("R")),
		   "client_id=app-1&grant_type=refresh_token&refresh_token=R&scope=s"
		   "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=a.b.c");
	assert_put(oauth_refresh_form(&out, &public_client, SPAN("0.AX")),
		   "client_id=app-1&grant_type=refresh_token&refresh_token=0.AX&scope=openid%20offline_access%20https%3A%2F%2F"
		   "outlook.office.com%2FSMTP.Send");
	assert_put(oauth_device_form(&out, &confidential), "client_id=app-1&scope=openid&client_secret=s%26%3D%2B%25");
	assert_put(oauth_device_poll_form(&out, &public_client, SPAN("D")),
		   "client_id=app-1&grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=D");
}

/* RFC 7636 appendix B */
static void the_standards_challenge_is_made(void **state)
{
	assert_put(oauth_challenge(&out, SPAN("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

static void what_does_not_fit_is_no_form(void **state)
{
	char memory[20];
	struct buf out;

	buf_over(&out, memory, sizeof memory);
	assert_false(oauth_refresh_form(&out, &public_client, SPAN("0.AX")));
}

static void a_token_is_read(void **state)
{
	struct oauth_answer a;

	assert_int_equal(oauth_read_token(&a, 200, SPAN("{\"token_type\":\"Bearer\",\"scope\":\"x y\",\"expires_in\":3599,\"ext_expires_in\":3599,"
							"\"access_token\":\"eyJ0\",\"refresh_token\":\"0.AX\",\"id_token\":\"a.b.c\"}")), FAULT_OK);
	assert_span(a.access_token, "eyJ0");
	assert_span(a.refresh_token, "0.AX");
	assert_span(a.id_token, "a.b.c");
	assert_int_equal(a.expires_in_s, 3599);
	oauth_answer_free(&a);
}

/* T-R14: lifetimes as providers really send them. */
static void odd_lifetimes_are_bounded(void **state)
{
	static const struct {
		const char *member;
		int64_t seconds;
	} cases[] = { { "", 3600 },	{ ",\"expires_in\":0", 60 },	{ ",\"expires_in\":-1", 60 },
		      { ",\"expires_in\":1000000000000", OAUTH_LIFETIME_MAX_S }, { ",\"expires_in\":\"3600\"", 3600 },
		      { ",\"expires_in\":1e12", 3600 }, { ",\"expires_in\":null", 3600 }, { ",\"expires_in\":[]", 3600 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[128];
		struct oauth_answer a;

		snprintf(text, sizeof text, "{\"access_token\":\"t\"%s}", cases[i].member);
		assert_int_equal(oauth_read_token(&a, 200, span_of(text)), FAULT_OK);
		assert_int_equal(a.expires_in_s, cases[i].seconds);
		assert_int_equal(a.refresh_token.size, 0);
		oauth_answer_free(&a);
	}
}

static void failures_get_their_fault(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum fault fault;
	} cases[] = {
		{ 429, "", FAULT_OAUTH_THROTTLED },
		{ 429, "{\"error\":\"invalid_grant\"}", FAULT_OAUTH_THROTTLED },
		{ 500, "<html>", FAULT_OAUTH_SERVER_AWAY },
		{ 503, "{}", FAULT_OAUTH_SERVER_AWAY },
		{ 503, "{\"error\":\"made_up\"}", FAULT_OAUTH_SERVER_AWAY },
		{ 200, "<html><body>Sign in to the hotel network</body></html>", FAULT_UPSTREAM_BROKEN },
		{ 200, "", FAULT_UPSTREAM_BROKEN },
		{ 200, "{}", FAULT_UPSTREAM_BROKEN },
		{ 200, "[]", FAULT_UPSTREAM_BROKEN },
		{ 200, "{\"access_token\":5}", FAULT_UPSTREAM_BROKEN },
		{ 200, "{\"access_token\":\"\"}", FAULT_UPSTREAM_BROKEN },
		{ 200, "{\"access_token\":\"a b\"}", FAULT_UPSTREAM_BROKEN },
		{ 200, "{\"access_token\":\"a\\u0001\"}", FAULT_UPSTREAM_BROKEN },
		{ 200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}", FAULT_UPSTREAM_BROKEN },
		{ 302, "{\"access_token\":\"a\"}", FAULT_UPSTREAM_BROKEN },
		{ 400, "{\"error\":\"made_up\"}", FAULT_OAUTH_REQUEST_WRONG },
		{ 400, "{\"error\":\"invalid_grant\"}", FAULT_OAUTH_GRANT_ENDED },
		{ 400, "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS700082: The refresh token has expired due to inactivity.\"}",
		  FAULT_OAUTH_GRANT_IDLE },
		{ 400, "{\"error\":\"authorization_pending\"}", FAULT_OAUTH_PENDING },
		{ 400, "{\"error\":\"slow_down\"}", FAULT_OAUTH_SLOW_DOWN },
		{ 401, "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000222: The provided client secret keys for app are expired.\"}",
		  FAULT_OAUTH_SECRET_EXPIRED },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct oauth_answer a;
		enum fault fault = oauth_read_token(&a, cases[i].status, span_of(cases[i].body));

		if (fault != cases[i].fault)
			print_error("%d %s: %s\n", cases[i].status, cases[i].body, fault_row(fault)->name);
		assert_int_equal(fault, cases[i].fault);
		oauth_answer_free(&a);
	}
}

static void a_device_code_is_read(void **state)
{
	struct oauth_answer a;

	assert_int_equal(oauth_read_device(&a, 200, SPAN("{\"user_code\":\"FJAUPGYY2\",\"device_code\":\"DAQ\",\"verification_uri\":"
							 "\"https://microsoft.com/devicelogin\",\"expires_in\":900,\"interval\":5,\"message\":\"m\"}")), FAULT_OK);
	assert_span(a.user_code, "FJAUPGYY2");
	assert_int_equal(a.interval_s, 5);
	assert_int_equal(a.expires_in_s, 900);
	oauth_answer_free(&a);
	assert_int_equal(oauth_read_device(&a, 200, SPAN("{\"user_code\":\"F\",\"device_code\":\"D\",\"verification_url\":\"https://g\",\"interval\":0}")),
			 FAULT_OK);
	assert_span(a.verification_uri, "https://g");
	assert_int_equal(a.interval_s, 1);
	oauth_answer_free(&a);
	assert_int_equal(oauth_read_device(&a, 200, SPAN("{\"user_code\":\"F\"}")), FAULT_UPSTREAM_BROKEN);
	oauth_answer_free(&a);
}

static void a_discovery_document_is_read(void **state)
{
	struct oauth_answer a;

	assert_int_equal(oauth_read_discovery(&a, 200, SPAN("{\"issuer\":\"https://i\",\"authorization_endpoint\":\"https://i/a\",\"token_endpoint\":"
							    "\"https://i/t\",\"jwks_uri\":\"https://i/k\"}")), FAULT_OK);
	assert_span(a.token_url, "https://i/t");
	assert_span(a.jwks_url, "https://i/k");
	assert_int_equal(a.device_url.size, 0);
	oauth_answer_free(&a);
	assert_int_equal(oauth_read_discovery(&a, 200, SPAN("{\"issuer\":\"https://i\"}")), FAULT_UPSTREAM_BROKEN);
	oauth_answer_free(&a);
	assert_int_equal(oauth_read_discovery(&a, 404, SPAN("not here")), FAULT_UPSTREAM_BROKEN);
	oauth_answer_free(&a);
}

TESTS(addresses_and_forms_are_written, the_standards_challenge_is_made, what_does_not_fit_is_no_form, a_token_is_read, odd_lifetimes_are_bounded,
      failures_get_their_fault, a_device_code_is_read, a_discovery_document_is_read)
