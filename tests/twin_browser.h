/* tests/twin_browser.h - a browser and a client for the simulated Entra ID, without sockets.
 *
 * Why       Several tests sign in and ask for tokens.
 * Promise   The time is the caller's.
 * Owns      The last response, until test_entra_fini().
 * Refuses   Nothing: what fails fails the test. */
#pragma once
#include "base/json.h"
#include "base/text.h"
#include "twin/authenticator.h"
#include "twin/entra.h"
#include "tests/twin_site.h"

#define TEST_CLIENT "5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01"
#define TEST_SECRET "twn8Q~Contoso.demo.client.secret"
#define TEST_SCOPE "openid%20profile%20offline_access%20https%3A%2F%2Foutlook.office.com%2FSMTP.Send"
#define TEST_REDIRECT "http%3A%2F%2Flocalhost%3A8443%2Foauth%2Fcallback"
/* RFC 7636 appendix B */
#define TEST_VERIFIER "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define TEST_CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
#define TEST_AUTHORIZE                                                                                                                               \
	"client_id=" TEST_CLIENT "&response_type=code&redirect_uri=" TEST_REDIRECT "&scope=" TEST_SCOPE                                              \
	"&state=st%26te&nonce=n1&code_challenge=" TEST_CHALLENGE "&code_challenge_method=S256"

struct test_entra {
	struct test_tenant tenant;
	struct entra entra;
	struct twin_response response;
	char cookie[TWIN_FIELD_BYTES], authorization[TWIN_TOKEN_BYTES];
	enum language language;
	int64_t wall;
	json_t *json;
};

static inline void test_entra_init(struct test_entra *t, struct twin_keys *keys)
{
	memset(t, 0, sizeof *t);
	test_tenant_init(&t->tenant, keys);
	entra_init(&t->entra, &t->tenant.tenant, keys, "http://localhost:3443");
	t->wall = 1433160000000;
	twin_response_init(&t->response);
}

static inline void test_entra_fini(struct test_entra *t)
{
	twin_response_fini(&t->response);
	json_decref(t->json);
	test_tenant_fini(&t->tenant);
}

static inline void test_entra_ask(struct test_entra *t, const char *method, const char *path, const char *text)
{
	bool post = !strcmp(method, "POST");
	struct twin_request q = { .method = span_of(method), .path = span_of(path), .query = post ? SPAN("") : span_of(text),
				  .body = post ? span_of(text) : SPAN(""), .content_type = SPAN("application/x-www-form-urlencoded"),
				  .session = span_of(t->cookie), .authorization = span_of(t->authorization), .language = t->language, .wall_ms = t->wall };

	twin_response_fini(&t->response);
	twin_response_init(&t->response);
	json_decref(t->json);
	assert_true(entra_handle(&t->entra, &q, &t->response));
	t->json = strstr(t->response.content_type, "json") ? json_read(buf_span(&t->response.body), 1 << 20) : NULL;
	if (t->response.cookie.size) {
		struct span value = buf_span(&t->response.cookie);

		value = span_slice(value, 9, span_find_byte(value, ';') - 9);
		snprintf(t->cookie, sizeof t->cookie, "%.*s", SPAN_ARGS(value));
	}
}

static inline bool test_entra_shows(struct test_entra *t, const char *text)
{
	struct span body = buf_span(&t->response.body);

	return span_find(body, span_of(text)) < body.size;
}

/* Posts the page's form with these fields behind its flow. */
static inline void test_entra_post(struct test_entra *t, const char *path, const char *fields)
{
	static char body[TWIN_FIELD_BYTES * 2], whole[128];
	struct span page = buf_span(&t->response.body), flow;
	size_t at = span_find(page, SPAN("name=\"flow\" value=\""));

	assert_true(at < page.size);
	flow = span_slice(page, at + 19, page.size);
	flow = span_slice(flow, 0, span_find_byte(flow, '"'));
	snprintf(body, sizeof body, "flow=%.*s&%s", SPAN_ARGS(flow), fields);
	snprintf(whole, sizeof whole, "/%s%s", t->tenant.tenant.id, path);
	test_entra_ask(t, "POST", whole, body);
}

static inline void test_entra_authorize(struct test_entra *t, const char *query)
{
	test_entra_ask(t, "GET", "/contoso.example/oauth2/v2.0/authorize", query);
}

static inline void test_entra_token(struct test_entra *t, const char *form)
{
	test_entra_ask(t, "POST", "/contoso.example/oauth2/v2.0/token", form);
}

static inline void test_entra_otc(struct test_entra *t, const char *address)
{
	char digits[7], field[16];

	assert_true(authenticator_show(span_of(twin_tenant_user(&t->tenant.tenant, span_of(address))->authenticator), t->wall, digits));
	snprintf(field, sizeof field, "otc=%s", digits);
	test_entra_post(t, "/SAS/ProcessAuth", field);
}

/* The value of a field in the redirect that was answered. */
static inline void test_entra_field(struct test_entra *t, const char *name, char *out, size_t room)
{
	struct span url = buf_span(&t->response.location);
	struct buf value;

	buf_over(&value, out, room - 1);
	assert_int_equal(t->response.status, 302);
	if (!twin_field_in(span_slice(url, span_find_byte(url, '?') + 1, url.size), span_of(name), &value))
		value.size = 0;
	out[value.size] = 0;
}

/* All the way: alex signs in with password and code, consents; the code is in `code_out`. */
static inline void test_entra_sign_in(struct test_entra *t, char code_out[ENTRA_CODE_BYTES])
{
	test_entra_authorize(t, TEST_AUTHORIZE "&prompt=login");
	test_entra_post(t, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(t, "alex@contoso.example");
	if (t->response.status == 200)
		test_entra_post(t, "/Consent/Set", "ucaccept=Yes");
	test_entra_field(t, "code", code_out, ENTRA_CODE_BYTES);
	t->wall += 30000;
}

static inline void test_entra_redeem(struct test_entra *t, const char *code, const char *verifier)
{
	char form[2048];

	snprintf(form, sizeof form,
		 "grant_type=authorization_code&client_id=" TEST_CLIENT "&client_secret=" TEST_SECRET "&redirect_uri=%s"
		 "&code=%s&code_verifier=%s",
		 TEST_REDIRECT, code, verifier);
	test_entra_token(t, form);
}

static inline void test_entra_refresh(struct test_entra *t, const char *token)
{
	static char form[TWIN_FIELD_BYTES * 2];

	snprintf(form, sizeof form, "grant_type=refresh_token&client_id=" TEST_CLIENT "&client_secret=" TEST_SECRET "&refresh_token=%s", token);
	test_entra_token(t, form);
}

/* The answer is this AADSTS error. */
#define assert_aadsts(t, status_due, code, error_due)                                                                                                \
	do {                                                                                                                                         \
		assert_int_equal((t)->response.status, status_due);                                                                                  \
		assert_int_equal(json_integer_value(json_array_get(json_object_get((t)->json, "error_codes"), 0)), code);                            \
		assert_span(json_text((t)->json, "error"), error_due);                                                                               \
	} while (0)
