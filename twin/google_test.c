/* Google's side without sockets: the sign-in with its refresh token, service accounts, and the Gmail API with its uploads, quotas and errors. */
#include "twin/google.h"

#include "tests/twin_browser.h"
#include "twin/google_service.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#define CLIENT "77-demo.apps.googleusercontent.com"
#define SECRET "GOCSPX-Contoso-demo-client-secret"
#define SCOPE "openid%20email%20https%3A%2F%2Fmail.google.com%2F"
#define AUTHORIZE                                                                                                                                    \
	"client_id=" CLIENT "&response_type=code&redirect_uri=" TEST_REDIRECT "&scope=" SCOPE "&state=st%26te&nonce=n1&access_type=offline"         \
	"&code_challenge=" TEST_CHALLENGE "&code_challenge_method=S256"
#define SEND "/gmail/v1/users/me/messages/send"
#define UPLOAD "/upload/gmail/v1/users/me/messages/send"
#define SERVICE "postern@contoso-77.iam.gserviceaccount.com"

static struct twin_keys *keys;
static struct test_entra site;
static struct google google;
static struct span content_range;

static void begin(void)
{
	if (!keys)
		assert_int_equal(twin_keys_make(&keys, 1433160000000), FAULT_OK);
	test_entra_init(&site, keys);
	google = (struct google){ .entra = &site.entra, .world = &site.tenant.world };
	content_range = SPAN("");
}

static void end(void)
{
	google_fini(&google);
	test_entra_fini(&site);
}

static void ask(const char *method, const char *path, const char *query, struct span body, const char *type)
{
	struct twin_request q = { .method = span_of(method), .path = span_of(path), .query = span_of(query), .body = body, .content_type = span_of(type),
				  .session = span_of(site.cookie), .authorization = span_of(site.authorization), .content_range = content_range,
				  .wall_ms = site.wall };

	twin_response_fini(&site.response);
	twin_response_init(&site.response);
	json_decref(site.json);
	assert_true(google_handle(&google, &q, &site.response));
	site.json = strstr(site.response.content_type, "json") ? json_read(buf_span(&site.response.body), 1 << 20) : NULL;
}

static void token(const char *form)
{
	ask("POST", "/token", "", span_of(form), "application/x-www-form-urlencoded");
}

static void refused(int status, const char *error, const char *description)
{
	assert_int_equal(site.response.status, status);
	assert_span(json_text(site.json, "error"), error);
	if (description)
		assert_span(json_text(site.json, "error_description"), description);
}

/* Alex signs in; with a consent, the page of it is passed. */
static void sign_in(const char *query, char code[ENTRA_CODE_BYTES])
{
	ask("GET", "/o/oauth2/v2/auth", query, SPAN(""), "");
	if (test_entra_shows(&site, "name=\"passwd\"")) {
		test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
		test_entra_otc(&site, "alex@contoso.example");
		site.wall += 30000;
	}
	if (test_entra_shows(&site, "name=\"account\""))
		test_entra_post(&site, "/reprocess", "account=alex%40contoso.example");
	if (site.response.status == 200 && test_entra_shows(&site, "ucaccept"))
		test_entra_post(&site, "/Consent/Set", "ucaccept=Yes");
	test_entra_field(&site, "code", code, ENTRA_CODE_BYTES);
}

static void redeem(const char *code, const char *verifier)
{
	char form[4096];

	snprintf(form, sizeof form, "%s&code=%s&code_verifier=%s",
		 "grant_type=authorization_code&client_id=" CLIENT "&client_secret=" SECRET "&redirect_uri=" TEST_REDIRECT, code, verifier);
	token(form);
}

static void refresh(const char *refresh_token)
{
	static char form[TWIN_FIELD_BYTES];

	snprintf(form, sizeof form, "grant_type=refresh_token&client_id=" CLIENT "&client_secret=" SECRET "&refresh_token=%s", refresh_token);
	token(form);
}

static void keep(const char *member, char *out, size_t room)
{
	assert_true(json_text(site.json, member).size > 0);
	snprintf(out, room, "%.*s", SPAN_ARGS(json_text(site.json, member)));
}

static void bear(const char *access)
{
	snprintf(site.authorization, sizeof site.authorization, "Bearer %s", access);
}

static void discovery_and_keys(void **state)
{
	begin();
	ask("GET", "/.well-known/openid-configuration", "", SPAN(""), "");
	assert_span(json_text(site.json, "issuer"), "http://localhost:3443");
	assert_span(json_text(site.json, "token_endpoint"), "http://localhost:3443/token");
	ask("GET", "/oauth2/v3/certs", "", SPAN(""), "");
	assert_int_equal(json_array_size(json_object_get(site.json, "keys")), 1);
	ask("POST", "/oauth2/v3/certs", "", SPAN(""), "");
	assert_int_equal(site.response.status, 405);
	assert_int_equal(google_stage(SPAN("POST"), SPAN("/token")), TWIN_STAGE_TOKEN);
	assert_int_equal(google_stage(SPAN("POST"), SPAN(SEND)), TWIN_STAGE_GMAIL_SEND);
	assert_int_equal(google_stage(SPAN("PUT"), SPAN(UPLOAD)), TWIN_STAGE_GMAIL_UPLOAD);
	assert_int_equal(google_stage(SPAN("GET"), SPAN("/gmail/v1/users/me/messages")), TWIN_STAGE_GMAIL_READ);
	assert_int_equal(google_stage(SPAN("GET"), SPAN("/")), TWIN_STAGE_NONE);
	end();
}

static void a_refresh_token_comes_with_a_consent_alone(void **state)
{
	char code[ENTRA_CODE_BYTES], first[TWIN_FIELD_BYTES];

	begin();
	sign_in(AUTHORIZE, code);
	test_entra_field(&site, "state", first, sizeof first);
	assert_string_equal(first, "st&te");
	redeem(code, TEST_VERIFIER);
	assert_int_equal(site.response.status, 200);
	assert_true(span_starts(json_text(site.json, "access_token"), SPAN("ya29.")));
	assert_true(json_has(site.json, "id_token"));
	keep("refresh_token", first, sizeof first);
	sign_in(AUTHORIZE, code);
	redeem(code, TEST_VERIFIER);
	assert_int_equal(site.response.status, 200);
	assert_false(json_has(site.json, "refresh_token"));
	sign_in(AUTHORIZE "&prompt=consent%20select_account", code);
	redeem(code, TEST_VERIFIER);
	assert_true(json_has(site.json, "refresh_token"));
	/* It is not rotated, and both go on to hold. */
	for (size_t i = 0; i < 2; i++) {
		refresh(first);
		assert_int_equal(site.response.status, 200);
		assert_false(json_has(site.json, "refresh_token"));
	}
	bear(json_string_value(json_object_get(site.json, "access_token")));
	ask("GET", "/v1/userinfo", "", SPAN(""), "");
	assert_span(json_text(site.json, "email"), "alex@contoso.example");
	assert_true(json_flag(site.json, "email_verified", false));
	end();
}

static void what_the_token_endpoint_refuses(void **state)
{
	char code[ENTRA_CODE_BYTES], kept[TWIN_FIELD_BYTES], form[TWIN_FIELD_BYTES + 64];

	begin();
	token("");
	refused(400, "invalid_request", "Missing required parameter: grant_type");
	token("grant_type=refresh_token&client_id=other&refresh_token=x");
	refused(401, "invalid_client", "The OAuth client was not found.");
	token("grant_type=refresh_token&client_id=" CLIENT "&client_secret=wrong&refresh_token=x");
	refused(401, "invalid_client", "The provided client secret is invalid.");
	token("grant_type=password&client_id=" CLIENT "&client_secret=" SECRET);
	refused(400, "unsupported_grant_type", "Invalid grant_type: password");
	redeem("4/0Anone", TEST_VERIFIER);
	refused(400, "invalid_grant", "Malformed auth code.");
	sign_in(AUTHORIZE, code);
	redeem(code, "");
	refused(400, "invalid_grant", "Missing code verifier.");
	redeem(code, "wrongwrongwrongwrongwrongwrongwrongwrongwrongwrong");
	refused(400, "invalid_grant", "Invalid code verifier.");
	redeem(code, TEST_VERIFIER);
	keep("refresh_token", kept, sizeof kept);
	redeem(code, TEST_VERIFIER);
	refused(400, "invalid_grant", "Bad Request");
	refresh("1//0none");
	refused(400, "invalid_grant", "Bad Request");
	snprintf(form, sizeof form, "token=%s", kept);
	ask("POST", "/revoke", "", span_of(form), "application/x-www-form-urlencoded");
	assert_int_equal(site.response.status, 200);
	refresh(kept);
	refused(400, "invalid_grant", "Token has been expired or revoked.");
	ask("POST", "/revoke", "", SPAN("token=none"), "application/x-www-form-urlencoded");
	refused(400, "invalid_token", "Token expired or revoked");
	end();
}

static void refresh_tokens_end(void **state)
{
	static const int64_t day = 86400000;
	char code[ENTRA_CODE_BYTES], kept[TWIN_FIELD_BYTES];

	begin();
	sign_in(AUTHORIZE, code);
	redeem(code, TEST_VERIFIER);
	keep("refresh_token", kept, sizeof kept);
	site.wall += 179 * day;
	refresh(kept);
	assert_int_equal(site.response.status, 200);
	site.wall += 179 * day; /* used meanwhile */
	refresh(kept);
	assert_int_equal(site.response.status, 200);
	test_tenant_set(&site.tenant, "google_publishing", "testing", "");
	refresh(kept);
	refused(400, "invalid_grant", "Token has been expired or revoked.");
	test_tenant_set(&site.tenant, "google_publishing", "production", "");
	test_tenant_set(&site.tenant, "conditional_access", "block", "alex@contoso.example");
	refresh(kept);
	refused(400, "admin_policy_enforced", NULL);
	test_tenant_set(&site.tenant, "conditional_access", "off", "alex@contoso.example");
	site.wall += 181 * day;
	refresh(kept);
	refused(400, "invalid_grant", "Token has been expired or revoked.");
	end();
}

static void what_is_shown_and_not_sent_back(void **state)
{
	static const char *const wrong[][2] = {
		{ "response_type=code", "invalid_request" },
		{ "client_id=none", "invalid_client" },
		{ "client_id=" CLIENT "&redirect_uri=http%3A%2F%2Fevil.example%2F", "redirect_uri_mismatch" },
		{ "client_id=" CLIENT "&redirect_uri=" TEST_REDIRECT "&response_type=token", "unsupported_response_type" },
		{ "client_id=" CLIENT "&redirect_uri=" TEST_REDIRECT "&response_type=code&scope=all", "invalid_scope" },
	};
	char error[64];

	begin();
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		ask("GET", "/o/oauth2/v2/auth", wrong[i][0], SPAN(""), "");
		assert_int_equal(site.response.status, i == 1 ? 401 : 400);
		assert_true(test_entra_shows(&site, wrong[i][1]));
		assert_int_equal(site.response.location.size, 0);
	}
	ask("GET", "/o/oauth2/v2/auth", AUTHORIZE, SPAN(""), "");
	test_entra_post(&site, "/login", "cancel=1");
	test_entra_field(&site, "error", error, sizeof error);
	assert_string_equal(error, "access_denied");
	ask("GET", "/o/oauth2/v2/auth", AUTHORIZE "&prompt=none", SPAN(""), "");
	test_entra_field(&site, "error", error, sizeof error);
	assert_string_equal(error, "login_required");
	test_tenant_set(&site.tenant, "consent", "admin", "");
	ask("GET", "/o/oauth2/v2/auth", AUTHORIZE, SPAN(""), "");
	test_entra_post(&site, "/login", "login=alex%40contoso.example&passwd=Correct-Horse-7");
	test_entra_otc(&site, "alex@contoso.example");
	assert_int_equal(site.response.status, 400);
	assert_true(test_entra_shows(&site, "admin_policy_enforced"));
	end();
}

/* --- service accounts */

static void put_part(struct buf *out, json_t *json)
{
	struct buf text;

	buf_init(&text, 1 << 16);
	json_write(&text, json);
	text_base64_url(out, buf_span(&text));
	buf_free(&text);
	json_decref(json);
}

struct claim {
	const char *issuer, *subject, *audience, *scope;
	int64_t issued_s, life_s;
};

/* Asks with an assertion signed by the key of the file. */
static void assert_with(const json_t *file, const struct claim *c)
{
	json_t *claims = json_pack("{s:s,s:s,s:s,s:I,s:I}", "iss", c->issuer, "aud", c->audience, "scope", c->scope, "iat", (json_int_t)c->issued_s, "exp",
				   (json_int_t)(c->issued_s + c->life_s));
	BIO *bio = BIO_new_mem_buf(json_string_value(json_object_get(file, "private_key")), -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned char signature[512];
	size_t size = sizeof signature;
	struct buf form;
	size_t head;

	if (*c->subject)
		json_put_text(claims, "sub", span_of(c->subject));
	buf_init(&form, 1 << 16);
	buf_print(&form, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=");
	head = form.size;
	put_part(&form, json_pack("{s:s,s:s,s:s}", "alg", "RS256", "typ", "JWT", "kid", json_string_value(json_object_get(file, "private_key_id"))));
	buf_put_byte(&form, '.');
	put_part(&form, claims);
	assert_int_equal(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, signature, &size, (unsigned char *)form.at + head, form.size - head), 1);
	buf_put_byte(&form, '.');
	text_base64_url(&form, (struct span){ (char *)signature, size });
	buf_put_byte(&form, 0);
	token(form.at);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	BIO_free(bio);
	buf_free(&form);
}

static void service_accounts(void **state)
{
	static const struct claim good = { SERVICE, "alex@contoso.example", "http://localhost:3443/token", "https://mail.google.com/", 1433160000, 3600 };
	static const struct {
		struct claim claim;
		int status;
		const char *error, *description;
	} wrong[] = {
		{ { "other@contoso-77.iam.gserviceaccount.com", "", "http://localhost:3443/token", "https://mail.google.com/", 1433160000, 3600 }, 400, "invalid_grant",
		  "Invalid grant: account not found" },
		{ { SERVICE, "", "http://localhost:3443/", "https://mail.google.com/", 1433160000, 3600 }, 400, "invalid_grant",
		  "Invalid JWT: Failed audience check. The right audience is http://localhost:3443/token" },
		{ { SERVICE, "", "http://localhost:3443/token", "https://mail.google.com/", 1433160000, 7200 }, 400, "invalid_grant", NULL },
		{ { SERVICE, "", "http://localhost:3443/token", "https://mail.google.com/", 1433160600, 60 }, 400, "invalid_grant", NULL },
		{ { SERVICE, "nobody@contoso.example", "http://localhost:3443/token", "https://mail.google.com/", 1433160000, 3600 }, 400, "invalid_grant",
		  "Invalid email or User ID" },
		{ { SERVICE, "alex@contoso.example", "http://localhost:3443/token", "https://www.googleapis.com/auth/gmail.send", 1433160000, 3600 }, 401,
		  "unauthorized_client", NULL },
	};
	json_t *file, *other;
	size_t at;

	begin();
	file = google_service_key(keys, twin_tenant_service(&site.tenant.tenant, SPAN(SERVICE)), "http://localhost:3443");
	other = google_service_key(keys, twin_tenant_service(&site.tenant.tenant, SPAN(SERVICE)), "http://localhost:3443");
	assert_non_null(file);
	assert_span(json_text(file, "type"), "service_account");
	assert_with(file, &good);
	assert_int_equal(site.response.status, 200);
	assert_false(json_has(site.json, "refresh_token"));
	bear(json_string_value(json_object_get(site.json, "access_token")));
	ask("GET", "/gmail/v1/users/me/profile", "", SPAN(""), "");
	assert_span(json_text(site.json, "emailAddress"), "alex@contoso.example");
	for (at = 0; at < sizeof wrong / sizeof *wrong; at++) {
		assert_with(file, &wrong[at].claim);
		refused(wrong[at].status, wrong[at].error, wrong[at].description);
	}
	/* A key of another file under this one's name. */
	json_object_set(other, "private_key_id", json_object_get(file, "private_key_id"));
	assert_with(other, &good);
	refused(400, "invalid_grant", "Invalid JWT Signature.");
	/* For itself it gets a token, and has no mailbox. */
	assert_with(file, &(struct claim){ SERVICE, "", "https://oauth2.googleapis.com/token", "https://mail.google.com/", 1433160000, 3600 });
	assert_int_equal(site.response.status, 200);
	bear(json_string_value(json_object_get(site.json, "access_token")));
	ask("GET", "/gmail/v1/users/me/profile", "", SPAN(""), "");
	assert_int_equal(site.response.status, 400);
	json_decref(file);
	json_decref(other);
	end();
}

/* --- the API */

static void bear_scope(const char *scope)
{
	struct google_access access = { .until_ms = site.wall + 3600000 };
	struct buf text;

	buf_init(&text, TWIN_TOKEN_BYTES);
	snprintf(access.oid, sizeof access.oid, "%s", twin_tenant_user(&site.tenant.tenant, SPAN("alex@contoso.example"))->oid);
	snprintf(access.scope, sizeof access.scope, "%s", scope);
	assert_int_equal(google_access_put(&text, keys, &access), FAULT_OK);
	buf_put_byte(&text, 0);
	bear(text.at);
	buf_free(&text);
}

static void api_refused(int status, const char *reason)
{
	json_t *error = json_object_get(site.json, "error");

	assert_int_equal(site.response.status, status);
	assert_span(json_text(json_array_get(json_object_get(error, "errors"), 0), "reason"), reason);
}

static void send_raw(const char *mail)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	buf_put(&text, SPAN("{\"raw\":\""));
	text_base64_url(&text, span_of(mail));
	buf_put(&text, SPAN("\"}"));
	ask("POST", SEND, "", buf_span(&text), "application/json");
	buf_free(&text);
}

static void mail_by_the_api(void **state)
{
	static const char mail[] = "From: alex@contoso.example\r\nTo: A <a@example.net>, b@example.net\r\nBcc: c@example.net,\r\n d@example.net\r\n"
				   "Message-ID: <one@client.example>\r\nSubject: x\r\n\r\nhello\r\n";
	const struct twin_mail *m;

	begin();
	bear_scope("https://www.googleapis.com/auth/gmail.send");
	send_raw(mail);
	assert_int_equal(site.response.status, 200);
	assert_span(json_text(site.json, "id"), "18c0000000000001");
	m = twin_shelf_mail(site.tenant.world.shelf, 1);
	assert_non_null(m);
	assert_true(span_equal(m->recipients, SPAN("a@example.net b@example.net c@example.net d@example.net")));
	assert_true(span_equal(m->bytes, SPAN("From: alex@contoso.example\r\nTo: A <a@example.net>, b@example.net\r\nMessage-ID: <one@client.example>\r\n"
					      "Subject: x\r\n\r\nhello\r\n")));
	ask("GET", "/gmail/v1/users/me/messages", "q=rfc822msgid%3Aone%40client.example", SPAN(""), "");
	api_refused(403, "insufficientPermissions");
	bear_scope(GOOGLE_SCOPE_MAIL);
	ask("GET", "/gmail/v1/users/alex%40contoso.example/messages", "q=rfc822msgid%3A%3Cone%40client.example%3E", SPAN(""), "");
	assert_int_equal(json_array_size(json_object_get(site.json, "messages")), 1);
	ask("GET", "/gmail/v1/users/me/messages", "q=rfc822msgid%3Atwo%40client.example", SPAN(""), "");
	assert_int_equal(json_array_size(json_object_get(site.json, "messages")), 0);
	ask("GET", "/gmail/v1/users/billing%40contoso.example/profile", "", SPAN(""), "");
	api_refused(403, "forbidden");
	ask("GET", "/gmail/v1/users/me/labels", "", SPAN(""), "");
	api_refused(404, "notFound");
	send_raw("From: alex@contoso.example\r\n\r\nto nobody\r\n");
	api_refused(400, "invalidArgument");
	ask("POST", SEND, "", SPAN("{}"), "application/json");
	api_refused(400, "invalidArgument");
	ask("POST", SEND, "", SPAN("{\"raw\":\"***\"}"), "application/json");
	api_refused(400, "invalidArgument");
	bear("none");
	send_raw(mail);
	api_refused(401, "authError");
	end();
}

static void quotas(void **state)
{
	static const char mail[] = "From: alex@contoso.example\r\nTo: a@example.net\r\n\r\nhello\r\n";

	begin();
	bear_scope(GOOGLE_SCOPE_MAIL);
	test_tenant_set(&site.tenant, "gmail_units_per_minute", "200", "");
	send_raw(mail);
	send_raw(mail);
	assert_int_equal(site.response.status, 200);
	send_raw(mail);
	api_refused(429, "rateLimitExceeded");
	site.wall += 60000;
	test_tenant_set(&site.tenant, "google_messages_per_day", "3", "");
	send_raw(mail);
	assert_int_equal(site.response.status, 200);
	send_raw(mail);
	api_refused(429, "rateLimitExceeded");
	assert_int_equal(twin_shelf_last(site.tenant.world.shelf), 3);
	site.wall += 24 * 3600000;
	bear_scope(GOOGLE_SCOPE_MAIL);
	send_raw(mail);
	assert_int_equal(site.response.status, 200);
	end();
}

static void put(const char *upload, const char *range, struct span body)
{
	char query[256];

	snprintf(query, sizeof query, "uploadType=resumable&upload_id=%s", upload);
	content_range = span_of(range);
	ask("PUT", UPLOAD, query, body, "message/rfc822");
	content_range = SPAN("");
}

static void ranged(const char *range)
{
	assert_int_equal(site.response.status, 308);
	assert_span(buf_span(&site.response.range), range);
}

static void uploads(void **state)
{
	enum { SIZE = 600000, UNIT = 262144 };
	static char mail[SIZE], query[ENTRA_URL_BYTES];
	char upload[ENTRA_CODE_BYTES];
	struct span whole = { mail, SIZE }, url;

	begin();
	memset(mail, 'x', SIZE);
	memcpy(mail, "From: alex@contoso.example\r\nTo: a@example.net\r\n\r\n", 49);
	bear_scope(GOOGLE_SCOPE_MAIL);
	ask("POST", UPLOAD, "uploadType=resumable", SPAN(""), "application/json");
	assert_int_equal(site.response.status, 200);
	url = buf_span(&site.response.location);
	snprintf(query, sizeof query, "%.*s", (int)(url.size - span_find(url, SPAN("upload_id="))), url.at + span_find(url, SPAN("upload_id=")));
	snprintf(upload, sizeof upload, "%s", query + 10);
	site.authorization[0] = 0; /* the address is right enough */
	put(upload, "bytes */600000", SPAN(""));
	ranged("");
	put(upload, "bytes 0-99/600000", span_slice(whole, 0, 100));
	api_refused(400, "badRequest");
	put(upload, "bytes 0-262143/600000", span_slice(whole, 0, UNIT));
	ranged("bytes=0-262143");
	put(upload, "bytes 524288-599999/600000", span_slice(whole, 2 * UNIT, SIZE)); /* with a gap */
	ranged("bytes=0-262143");
	put(upload, "bytes */600000", SPAN(""));
	ranged("bytes=0-262143");
	put(upload, "bytes 0-524287/600000", span_slice(whole, 0, 2 * UNIT)); /* some of it once more */
	ranged("bytes=0-524287");
	put(upload, "bytes 524288-599999/600000", span_slice(whole, 2 * UNIT, SIZE));
	assert_int_equal(site.response.status, 200);
	assert_span(json_text(site.json, "id"), "18c0000000000001");
	assert_true(span_equal(twin_shelf_mail(site.tenant.world.shelf, 1)->bytes, whole));
	put(upload, "bytes */600000", SPAN(""));
	assert_int_equal(site.response.status, 200);
	assert_int_equal(twin_shelf_last(site.tenant.world.shelf), 1);
	put("none", "bytes */600000", SPAN(""));
	api_refused(404, "notFound");
	bear_scope(GOOGLE_SCOPE_MAIL);
	ask("POST", UPLOAD, "uploadType=media", span_slice(whole, 0, 1000), "message/rfc822");
	assert_int_equal(site.response.status, 200);
	ask("POST", UPLOAD, "uploadType=multipart",
	    SPAN("--=b\r\nContent-Type: application/json\r\n\r\n{}\r\n--=b\r\nContent-Type: message/rfc822\r\n\r\nTo: a@example.net\r\n\r\nhi\r\n--=b--\r\n"),
	    "multipart/related; boundary=\"=b\"");
	assert_int_equal(site.response.status, 200);
	assert_true(span_equal(twin_shelf_mail(site.tenant.world.shelf, 3)->bytes, SPAN("To: a@example.net\r\n\r\nhi")));
	ask("POST", UPLOAD, "uploadType=media", SPAN("{}"), "application/json");
	api_refused(400, "invalidArgument");
	end();
}

static void what_can_be_scripted(void **state)
{
	begin();
	assert_int_equal(twin_fault_named(SPAN("google_revoked"))->stage, TWIN_STAGE_TOKEN);
	assert_int_equal(twin_fault_named(SPAN("gmail_backend"))->stage, TWIN_STAGE_GMAIL_SEND);
	google_error_answer(&site.response, GOOGLE_ERROR_gmail_backend, SPAN(""));
	assert_int_equal(site.response.status, 500);
	end();
}

TESTS(discovery_and_keys, a_refresh_token_comes_with_a_consent_alone, what_the_token_endpoint_refuses, refresh_tokens_end, what_is_shown_and_not_sent_back,
      service_accounts, mail_by_the_api, quotas, uploads, what_can_be_scripted)
