/* The interface for programs and the pages, over a tenant without sockets; and the configuration. */
#include "twin/twin_control.h"

#include "base/json.h"
#include "tests/test.h"
#include "tests/twin_site.h"

static struct twin_keys *keys;
static struct test_tenant site;
static struct twin_tenant preset;
static struct entra entra;
static struct twin_control control;
static struct twin_response response;
static const char *origin = "";
static const int64_t wall = 1433160000000;

static void begin(void)
{
	if (!keys)
		assert_int_equal(twin_keys_make(&keys, wall), FAULT_OK);
	test_tenant_init(&site, keys);
	preset = site.tenant;
	entra_init(&entra, &site.tenant, keys, "http://localhost:3443");
	control = (struct twin_control){ &entra, NULL, &site.world, &preset, 3587, 3525 };
	twin_response_init(&response);
}

static void end(void)
{
	twin_response_fini(&response);
	test_tenant_fini(&site);
}

static json_t *ask(const char *method, const char *path, const char *query, const char *body, const char *type)
{
	struct twin_request q = { .method = span_of(method), .path = span_of(path), .query = span_of(query), .body = span_of(body), .content_type = span_of(type),
				  .origin = span_of(origin), .wall_ms = wall };

	twin_response_fini(&response);
	twin_response_init(&response);
	assert_true(twin_control_handle(&control, &q, &response));
	return strstr(response.content_type, "json") ? json_read(buf_span(&response.body), 1 << 20) : NULL;
}

static int post(const char *path, const char *body)
{
	json_decref(ask("POST", path, "", body, "application/json"));
	return response.status;
}

static bool shows(const char *text)
{
	return span_find(buf_span(&response.body), span_of(text)) < response.body.size;
}

static void put_mail(const char *bytes, int64_t arrives_at)
{
	twin_shelf_put(site.world.shelf, &(struct twin_mail){ .taken_at_ms = wall, .arrives_at_ms = arrives_at, .mailbox = SPAN("alex@contoso.example"),
							      .sender = SPAN("alex@contoso.example"), .recipients = SPAN("a@example.net b@example.net"),
							      .recipient_count = 2, .reply = SPAN("250 2.0.0 OK"), .bytes = span_of(bytes) });
}

static void switches(void **state)
{
	json_t *json;

	begin();
	assert_int_equal(post("/twin/switch", "{\"name\":\"smtp_auth\",\"value\":\"off\"}"), 200);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_smtp_auth], TWIN_OFF);
	assert_int_equal(post("/twin/switch", "{\"name\":\"smtp_auth\",\"value\":\"on\",\"mailbox\":\"ALEX@contoso.example\"}"), 200);
	assert_int_equal(site.tenant.users[0].values[TWIN_MAILBOX_smtp_auth], TWIN_MAILBOX_ON);
	assert_int_equal(post("/twin/switch", "{\"name\":\"sessions_max\",\"value\":7}"), 200);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_sessions_max], 7);
	assert_int_equal(post("/twin/switch", "{\"name\":\"sessions_max\",\"value\":\"1001\"}"), 400);
	assert_int_equal(post("/twin/switch", "{\"name\":\"smtp_auth\",\"value\":\"perhaps\"}"), 400);
	assert_int_equal(post("/twin/switch", "{\"name\":\"nonsense\",\"value\":\"on\"}"), 404);
	assert_int_equal(post("/twin/switch", "{\"name\":\"mfa\",\"value\":\"disabled\",\"mailbox\":\"nobody@contoso.example\"}"), 404);
	assert_int_equal(post("/twin/switch", "{\"name\""), 400);
	json = ask("GET", "/twin/state", "", "", "");
	assert_span(json_text(json_object_get(json, "switches"), "smtp_auth"), "off");
	assert_int_equal(json_array_size(json_object_get(json, "users")), 4);
	json_decref(json);
	assert_int_equal(post("/twin/reset", "{\"what\":\"switches\"}"), 200);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_smtp_auth], TWIN_ON);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_sessions_max], 3);
	assert_int_equal(post("/twin/reset", "{\"what\":\"nonsense\"}"), 404);
	end();
}

static void scripts(void **state)
{
	json_t *json;

	begin();
	assert_int_equal(post("/twin/fault", "{\"name\":\"temporary_prx4\",\"stage\":\"dot\",\"times\":2}"), 200);
	assert_int_equal(post("/twin/fault", "{\"name\":\"stall\",\"ms\":\"250\",\"times\":\"always\"}"), 200);
	assert_int_equal(post("/twin/fault", "{\"name\":\"reply\",\"text\":\"451 4.3.0 made up\"}"), 200);
	assert_int_equal(post("/twin/fault", "{\"name\":\"reply\"}"), 400);
	assert_int_equal(post("/twin/fault", "{\"name\":\"nonsense\"}"), 404);
	assert_int_equal(post("/twin/fault", "{\"name\":\"stall\",\"times\":\"many\"}"), 400);
	assert_int_equal(site.scripts.count, 3);
	assert_int_equal(site.scripts.list[0].stage, TWIN_STAGE_DOT);
	assert_int_equal(site.scripts.list[1].times, TWIN_ALWAYS);
	assert_int_equal(site.scripts.list[1].ms, 250);
	json = ask("GET", "/twin/faults", "", "", "");
	assert_true(json_array_size(json_object_get(json, "items")) > 150);
	json_decref(json);
	assert_int_equal(post("/twin/reset", "{\"what\":\"faults\"}"), 200);
	assert_int_equal(site.scripts.count, 0);
	end();
}

static void mail(void **state)
{
	json_t *json;

	begin();
	put_mail("From: Alex <alex@contoso.example>\r\nSubject: a\r\n <b>\r\n\r\nhello\r\n", wall);
	put_mail("Subject: \xff\r\n\r\n", wall);
	put_mail("Subject: later\r\n\r\n", wall + 1);
	json = ask("GET", "/twin/mail", "", "", "");
	assert_int_equal(json_array_size(json_object_get(json, "items")), 2);
	assert_int_equal(json_integer_value(json_object_get(json, "waiting")), 1);
	assert_span(json_text(json_array_get(json_object_get(json, "items"), 0), "subject"), "a <b>");
	json_decref(json);
	json = ask("GET", "/twin/mail", "after=1", "", "");
	assert_int_equal(json_array_size(json_object_get(json, "items")), 1);
	json_decref(json);
	json = ask("GET", "/twin/mail", "mailbox=billing%40contoso.example", "", "");
	assert_int_equal(json_array_size(json_object_get(json, "items")), 0);
	json_decref(json);
	json = ask("GET", "/twin/mail/1", "", "", "");
	assert_span(json_text(json, "raw"), "From: Alex <alex@contoso.example>\r\nSubject: a\r\n <b>\r\n\r\nhello\r\n");
	assert_span(json_text(json, "headers"), "From: Alex <alex@contoso.example>\r\nSubject: a\r\n <b>\r\n");
	json_decref(json);
	json = ask("GET", "/twin/mail/2", "", "", "");
	assert_span(json_text(json, "raw_base64"), "U3ViamVjdDog/w0KDQo=");
	json_decref(json);
	json_decref(ask("GET", "/twin/mail/1/raw", "", "", ""));
	assert_span(buf_span(&response.body), "From: Alex <alex@contoso.example>\r\nSubject: a\r\n <b>\r\n\r\nhello\r\n");
	json_decref(ask("GET", "/twin/mail/3", "", "", ""));
	assert_int_equal(response.status, 404);
	json_decref(ask("GET", "/twin/mail/nonsense", "", "", ""));
	assert_int_equal(response.status, 404);
	json_decref(ask("GET", "/mail", "", "", ""));
	assert_true(shows("a &lt;b&gt;") && !shows("later"));
	json_decref(ask("GET", "/mail/1", "", "", ""));
	assert_true(shows("hello") && !shows("<b>\r\n"));
	assert_int_equal(post("/twin/reset", "{\"what\":\"mail\"}"), 200);
	assert_null(twin_shelf_mail(site.world.shelf, 1));
	end();
}

static void encoded_words_for_people(void **state)
{
	static const char *const rows[][2] = {
		{ "=?utf-8?q?Caf=C3=A9?= <b>", "Caf\u00e9 <b>" },
		{ "=?UTF-8?B?w6nDqQ==?= =?utf-8?Q?_a?=\r\n =?utf-8?q?b?= c", "\u00e9\u00e9 ab c" },
		{ "x =?iso-8859-1?q?=E9?= y", "x \u00e9 y" },
		{ "=?utf-8?q?=C?= =?koi8-r?q?a?= =?utf-8?x?a?=", "=?utf-8?q?=C?= =?koi8-r?q?a?= =?utf-8?x?a?=" },
		{ "plain  text", "plain  text" },
		{ "=?utf-8?b?!?=", "=?utf-8?b?!?=" },
	};
	char mail[256];
	struct buf out;

	buf_init(&out, 1024);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		buf_clear(&out);
		snprintf(mail, sizeof mail, "A: b\r\nSubject: %s\r\n\r\n", rows[i][0]);
		assert_true(twin_mail_shown(span_of(mail), SPAN("subject"), &out));
		assert_span(buf_span(&out), rows[i][1]);
	}
	buf_free(&out);
}

static void the_oldest_mail_goes_first(void **state)
{
	begin();
	for (size_t i = 0; i < TWIN_SHELF_MAILS + 5; i++)
		put_mail("Subject: x\r\n\r\n", wall);
	assert_int_equal(twin_shelf_last(site.world.shelf), TWIN_SHELF_MAILS + 5);
	assert_null(twin_shelf_mail(site.world.shelf, 5));
	assert_non_null(twin_shelf_mail(site.world.shelf, 6));
	end();
}

static void authenticator(void **state)
{
	json_t *json;

	begin();
	json = ask("GET", "/twin/code", "address=alex%40contoso.example", "", "");
	assert_int_equal(json_text(json, "code").size, 6);
	assert_int_equal(json_integer_value(json_object_get(json, "seconds_left")), 30);
	json_decref(json);
	json_decref(ask("GET", "/twin/code", "address=nobody", "", ""));
	assert_int_equal(response.status, 404);
	end();
}

static void people(void **state)
{
	struct twin_user *user;

	begin();
	assert_int_equal(post("/twin/user", "{\"address\":\"new@contoso.example\",\"password\":\"x y\",\"authenticator\":\"JBSWY3DPEHPK3PXP\"}"), 200);
	user = twin_tenant_user(&site.tenant, SPAN("new@contoso.example"));
	assert_non_null(user);
	assert_string_equal(user->password, "x y");
	assert_int_equal(post("/twin/user", "{\"address\":\"alex@contoso.example\",\"password\":\"New-Password-1\"}"), 200);
	assert_int_equal(site.tenant.users[0].values[TWIN_MAILBOX_grant], TWIN_GRANT_REVOKED);
	assert_int_equal(post("/twin/user", "{\"address\":\"not an address\"}"), 400);
	assert_int_equal(post("/twin/app", "{\"id\":\"5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01\",\"redirect\":\"https://mail.example/cb\"}"), 200);
	assert_true(entra_redirect_matches(&site.tenant.apps[0], SPAN("https://mail.example/cb")));
	end();
}

static void pages_of_others_change_nothing(void **state)
{
	begin();
	origin = "https://evil.example";
	json_decref(ask("POST", "/twin/switch", "", "name=smtp_auth&value=off", "application/x-www-form-urlencoded"));
	assert_int_equal(response.status, 403);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_smtp_auth], TWIN_ON);
	origin = "http://localhost:3443";
	json_decref(ask("POST", "/twin/switch", "", "name=smtp_auth&value=off", "application/x-www-form-urlencoded"));
	assert_int_equal(response.status, 303);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_smtp_auth], TWIN_OFF);
	origin = "";
	json_decref(ask("GET", "/", "", "", ""));
	assert_true(shows("alex@contoso.example") && shows("value=\"off\""));
	assert_false(shows("<script") || shows("style=\""));
	end();
}

static void connectors(void **state)
{
	json_t *json;

	begin();
	assert_int_equal(post("/twin/connector", "{\"name\":\"Office\",\"addresses\":\"192.0.2.1 10.0.0.0/8\",\"require_tls\":\"off\"}"), 200);
	assert_int_equal(post("/twin/connector", "{\"name\":\"office\",\"certificate\":\"gw.example\"}"), 200);
	assert_int_equal(post("/twin/connector", "{\"name\":\"office\",\"addresses\":\"nonsense\"}"), 400);
	assert_int_equal(post("/twin/connector", "{\"name\":\"office\",\"require_tls\":\"perhaps\"}"), 400);
	assert_int_equal(post("/twin/connector", "{\"addresses\":\"\"}"), 413);
	assert_int_equal(site.tenant.connector_count, 2);
	assert_string_equal(site.tenant.connectors[1].addresses, "192.0.2.1 10.0.0.0/8");
	assert_string_equal(site.tenant.connectors[1].certificate, "gw.example");
	json = ask("GET", "/twin/state", "", "", "");
	assert_int_equal(json_integer_value(json_object_get(json, "mx_port")), 3525);
	json_decref(json);
	assert_true(shows("gw.example"));
	json_decref(ask("GET", "/", "", "", ""));
	assert_true(shows("192.0.2.1 10.0.0.0/8"));
	end();
}

static void files_of_a_tenant(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "nonsense 1\n", "line 1: " },
		{ "tenant x.example\nid 1\napp a\nuser a@x.example\nmfa perhaps\n", "line 5: " },
		{ "tenant x.example\nid 1\nuser a@x.example\n", "a tenant needs" },
		{ "tenant x.example\nid 1\napp a\nuser nobody\n", "line 4: " },
		{ "tenant x.example\nid 1\napp a\nuser a@x.example\nuser a@x.example\n", "line 5: " },
		{ "smtp_port 70000\n", "line 1: " },
		{ "connector A\naddress 10.0.0.1/8\n", "line 2: " },
		{ "connector A\nrequire_tls perhaps\n", "line 2: " },
		{ "connector A\nconnector a\n", "line 2: " },
		{ "accepted_domain two words\n", "line 1: " },
		{ "", "a tenant needs" },
	};
	struct twin_config config = { .tenant = &site.tenant };
	char why[TWIN_WHY_BYTES];

	begin();
	assert_string_equal(site.tenant.domain, "contoso.example");
	assert_int_equal(site.tenant.user_count, 4);
	assert_string_equal(site.tenant.users[0].name, "Alex Martin");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		twin_tenant_init(&site.tenant);
		assert_int_equal(twin_config_read(&config, span_of(rows[i].text), why), FAULT_MALFORMED);
		assert_true(span_starts(span_of(why), span_of(rows[i].why)));
	}
	twin_tenant_init(&site.tenant);
	assert_int_equal(twin_config_read(&config, SPAN("# x\r\nsmtp_port 25\nmx_port 26\ntenant x.example\naccepted_domain y.example\nid 1\nsessions_max 9\n\napp a\n"
							"connector Office\naddress 192.0.2.0/24\naddress 2001:db8::1\ncertificate *.x.example\nrequire_tls off\n"
							"user a@x.example\nsmtp_auth off"), why), FAULT_OK);
	assert_int_equal(config.smtp_port, 25);
	assert_int_equal(config.mx_port, 26);
	assert_true(twin_tenant_accepts(&site.tenant, SPAN("a@Y.example")) && twin_tenant_accepts(&site.tenant, SPAN("a@x.example")));
	assert_false(twin_tenant_accepts(&site.tenant, SPAN("a@z.example")) || twin_tenant_accepts(&site.tenant, SPAN("")));
	assert_string_equal(site.tenant.connectors[0].addresses, "192.0.2.0/24 2001:db8::1");
	assert_string_equal(site.tenant.connectors[0].certificate, "*.x.example");
	assert_true(site.tenant.connectors[0].takes_clear);
	assert_int_equal(site.tenant.values[TWIN_SWITCH_sessions_max], 9);
	assert_int_equal(site.tenant.users[0].values[TWIN_MAILBOX_smtp_auth], TWIN_MAILBOX_OFF);
	end();
}

static void keys_outlive_a_restart(void **state)
{
	struct twin_keys *again = NULL;
	unsigned char signature[TWIN_SIGNATURE_BYTES];
	struct buf saved;

	begin();
	buf_init(&saved, TWIN_PEM_BYTES * 4);
	assert_int_equal(twin_keys_save(keys, &saved), FAULT_OK);
	assert_int_equal(twin_keys_load(&again, buf_span(&saved), wall), FAULT_OK);
	assert_true(span_equal(twin_keys_ca(keys), twin_keys_ca(again)));
	assert_true(span_equal(twin_keys_id(keys), twin_keys_id(again)));
	assert_true(span_equal(twin_keys_seal(keys), twin_keys_seal(again)));
	assert_int_equal(twin_keys_sign(keys, SPAN("text"), signature), FAULT_OK);
	assert_true(twin_keys_verify(again, SPAN("text"), (struct span){ (char *)signature, sizeof signature }));
	assert_false(twin_keys_verify(again, SPAN("test"), (struct span){ (char *)signature, sizeof signature }));
	twin_keys_free(&again);
	assert_int_equal(twin_keys_load(&again, buf_span(&saved), wall + (int64_t)397 * 86400000), FAULT_MALFORMED);
	assert_int_equal(twin_keys_load(&again, span_slice(buf_span(&saved), 0, saved.size / 2), wall), FAULT_MALFORMED);
	buf_free(&saved);
	end();
}

TESTS(switches, scripts, mail, encoded_words_for_people, the_oldest_mail_goes_first, authenticator, people, connectors, pages_of_others_change_nothing, files_of_a_tenant, keys_outlive_a_restart)
