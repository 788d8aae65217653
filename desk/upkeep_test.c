/* Health, numbers and status; starting, reloading and ending. */
#include "desk/test_booth.h"

#include "base/trail.h"
#include "loop/real/test_pki.h"

static void quiet(void *self, struct span line)
{
}

static struct booth *booth(const char *boot)
{
	trail_redirect(quiet, NULL);
	return booth_with(boot);
}

/* --- health */

static void health_follows_vault_and_post(void **state)
{
	struct booth *s = booth("");
	struct span answer = booth_get(s, "/healthz");

	assert_int_equal(booth_status(answer), 200);
	assert_span(booth_body(answer), "{\"status\":\"up\",\"roles\":{\"vault\":\"up\",\"post\":\"up\"}}\n");
	link_close(&s->vault);
	answer = booth_get(s, "/healthz");
	assert_int_equal(booth_status(answer), 503);
	assert_has(answer, "{\"vault\":\"away\",\"post\":\"up\"}");
	booth_link(s, ROLE_VAULT);
	assert_int_equal(booth_status(booth_get(s, "/healthz")), 200);
	s->post_is_mute = true; /* it hangs */
	answer = booth_get(s, "/healthz");
	assert_int_equal(booth_status(answer), 503);
	assert_has(answer, "{\"vault\":\"up\",\"post\":\"away\"}");
	link_close(&s->gate); /* gates do not count */
	s->post_is_mute = false;
	assert_int_equal(booth_status(booth_ask(s, &s->control, "GET", "/healthz", "", "")), 200);
	booth_end(s);
}

static void a_role_that_is_not_well_is_not_healthy(void **state)
{
	static const struct booth_reply replies[] = { { "status", FAULT_DISK_FAILED, "", "" }, { NULL, 0, NULL, NULL } };
	static const struct booth_reply full[] = { { "status", FAULT_OK, "", "{\"messages\":3,\"intake\":\"DISK_FULL\"}" }, { NULL, 0, NULL, NULL } };
	static const struct booth_reply good[] = { { "status", FAULT_OK, "", "{\"messages\":3,\"intake\":\"OK\"}" }, { NULL, 0, NULL, NULL } };
	struct booth *s = booth("");

	s->replies = replies;
	assert_int_equal(booth_status(booth_get(s, "/healthz")), 503);
	s->replies = full;
	assert_int_equal(booth_status(booth_get(s, "/healthz")), 503);
	s->replies = good;
	assert_int_equal(booth_status(booth_get(s, "/healthz")), 200);
	booth_end(s);
}

/* --- numbers */

/* The grammar of the format, as far as we use it: HELP and TYPE once a name, its lines behind them and nowhere else. */
static void check_exposition(struct span text)
{
	struct span line, rest = text;
	char name[128] = "", seen[8192] = "";

	assert_true(text.size && text.at[text.size - 1] == '\n');
	while (span_cut(&rest, '\n', &line)) {
		size_t size;
		struct span value, word;
		uint64_t number;

		if (!line.size)
			continue;
		if (span_starts(line, SPAN("# HELP "))) {
			word = span_slice(line, 7, line.size);
			snprintf(name, sizeof name, " %.*s ", (int)span_find_byte(word, ' '), word.at);
			assert_null(strstr(seen, name));
			assert_true(strlen(seen) + strlen(name) < sizeof seen);
			strcat(seen, name);
			assert_true(span_cut(&rest, '\n', &line));
			assert_true(span_starts(line, SPAN("# TYPE ")));
			assert_true(span_starts(span_slice(line, 6, line.size), span_of(name)));
			assert_true(span_ends_fold(line, SPAN(" counter")) || span_ends_fold(line, SPAN(" gauge")));
			continue;
		}
		size = strlen(name) - 2;
		assert_true(span_starts(line, (struct span){ name + 1, size }) && line.at[size] == '{');
		value = span_slice(line, span_find(line, SPAN("} ")) + 2, line.size);
		assert_true(span_number(value, &number));
	}
}

static void numbers_of_all_roles_make_one_exposition(void **state)
{
	static const char gate[] = "postern_gate_sessions{role=\"gate\",index=\"0\"} 7\n"
				   "postern_gate_sessions{role=\"vault\",index=\"0\"} 9\n" /* not its own */
				   "postern_gate_sessions{role=\"gate\",index=\"1\"} 9\n"
				   "postern_desk_requests_total{role=\"gate\",index=\"0\",realm=\"public\"} 1\n" /* desk's */
				   "postern_made_up{role=\"gate\",index=\"0\"} 1\n"
				   "postern_gate_logins_total{role=\"gate\",index=\"0\",outcome=\"granted\"} 3\n"
				   "postern_gate_sessions_total{role=\"gate\",index=\"0\"} 1\rx 2\n"
				   "# HELP postern_gate_sessions again\n";
	static const struct booth_reply replies[] = { { "metrics", FAULT_OK, "", gate }, { NULL, 0, NULL, NULL } };
	struct booth *s = booth("");
	struct span answer;

	s->replies = replies;
	answer = booth_get(s, "/metrics");
	assert_int_equal(booth_status(answer), 200);
	assert_span(booth_header(answer, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
	check_exposition(booth_body(answer));
	assert_has(answer, "postern_gate_sessions{role=\"gate\",index=\"0\"} 7\n");
	assert_has(answer, "postern_gate_logins_total{role=\"gate\",index=\"0\",outcome=\"granted\"} 3\n");
	assert_has(answer, "postern_role_up{role=\"desk\",index=\"0\"} 1\n");
	assert_has(answer, "postern_role_up{role=\"vault\",index=\"0\"} 1\n");
	assert_has(answer, "postern_desk_requests_total{role=\"desk\",index=\"0\",realm=\"public\"} ");
	assert_lacks(answer, "role=\"vault\",index=\"0\"} 9");
	assert_lacks(answer, "index=\"1\"");
	assert_lacks(answer, "postern_made_up");
	assert_lacks(answer, "postern_desk_requests_total{role=\"gate\"");
	assert_lacks(answer, "\rx");
	link_close(&s->vault);
	answer = booth_get(s, "/metrics");
	check_exposition(booth_body(answer));
	assert_has(answer, "postern_role_up{role=\"vault\",index=\"0\"} 0\n");
	booth_end(s);
}

static void numbers_are_for_loopback_and_trusted_proxies(void **state)
{
	static const struct { const char *boot, *headers; int status; } cases[] = {
		{ "", "", 200 },
		{ "", "X-Forwarded-For: 203.0.113.9\r\n", 403 }, /* a proxy we were not told of */
		{ "", "X-Forwarded-For: 127.0.0.1\r\n", 403 },
		{ "", "Forwarded: for=127.0.0.1\r\n", 403 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "", 200 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: 203.0.113.9\r\n", 403 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: 198.51.100.3\r\n", 200 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: 127.0.0.1, 203.0.113.9\r\n", 403 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: 203.0.113.9, 198.51.100.3\r\n", 403 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n", 403 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: unknown\r\n", 403 },
		{ "trusted_proxies = {127.0.0.0/8, 198.51.100.0/24}", "X-Forwarded-For: /run/x.sock\r\n", 403 },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct booth *s = booth(cases[i].boot);
		int status = booth_status(booth_ask(s, &s->web, "GET", "/metrics", cases[i].headers, ""));

		if (status != cases[i].status)
			fail_msg("%s %s gives %d", cases[i].boot, cases[i].headers, status);
		assert_int_equal(booth_status(booth_ask(s, &s->control, "GET", "/metrics", cases[i].headers, "")), 200);
		booth_end(s);
	}
}

/* --- status */

static bool say_status(struct booth *s, const struct booth_call *call, struct booth_reply *reply)
{
	reply->result = call->role == ROLE_VAULT ? "{\"mailboxes\":{\"ready\":2}}"
			: call->role == ROLE_POST ? "{\"waiting\":3}"
						  : "{\"sessions\":4,\"listeners\":[{\"name\":\"mail\"}]}";
	return true;
}

static void status_puts_together_what_roles_say(void **state)
{
	struct booth *s = booth("");
	json_t *status;
	struct span answer;

	s->decide = say_status;
	answer = booth_ask(s, &s->control, "GET", "/api/v1/status", "", "");
	assert_int_equal(booth_status(answer), 200);
	status = json_read(booth_body(answer), 100000);
	assert_non_null(status);
	assert_span(json_text(status, "version"), POSTERN_VERSION);
	assert_span(json_text(status, "status"), "up");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json_object_get(status, "vault"), "mailboxes"), "ready")), 2);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(status, "post"), "waiting")), 3);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(status, "gates"), 0), "sessions")), 4);
	assert_int_equal(json_array_size(json_object_get(status, "roles")), 4);
	assert_int_equal(json_array_size(json_object_get(status, "listeners")), 3);
	json_decref(status);
	link_close(&s->post);
	answer = booth_ask(s, &s->control, "GET", "/api/v1/status", "", "");
	assert_int_equal(booth_status(answer), 200); /* the daemon still says how it is doing */
	assert_has(answer, "\"status\":\"away\"");
	assert_has(answer, "{\"role\":\"post\",\"index\":0,\"up\":false}");
	booth_end(s);
}

/* --- life */

static void listeners_must_be_safe(void **state)
{
	static const struct { const char *address, *listener; enum fault fault; const char *why; } cases[] = {
		{ "127.0.0.1", "tls = none", FAULT_OK, "" },
		{ "::1", "tls = none", FAULT_OK, "" },
		{ "0.0.0.0", "tls = none", FAULT_MALFORMED, "listener web: http without TLS is for loopback alone" },
		{ "127.0.0.1", "tls = implicit certificate = x key = y", FAULT_TLS_FAILED, "certificate of listener web" },
	};

	trail_redirect(quiet, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct booth s = { .loop = loop_new(), .control_path = "/tmp/postern-desk-test-life.sock" };
		char boot[300], why[256] = "";

		unlink(s.control_path);
		snprintf(boot, sizeof boot, "listener web { protocol = http %s }", cases[i].listener);
		assert_int_equal(booth_configure(&s, boot, booth_bind(cases[i].address), booth_bind(s.control_path), why), cases[i].fault);
		assert_true(span_starts(span_of(why), span_of(cases[i].why)));
		assert_true((s.desk != NULL) == (cases[i].fault == FAULT_OK));
		desk_role.free(&s.desk);
		config_free(&s.config);
		loop_free(&s.loop);
		unlink(s.control_path);
	}
}

static struct tls *client_tls;

static void start_tls(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_client(e->stream, client_tls, SPAN("localhost"));
	else
		stream_write(e->stream, SPAN("POST /link/T HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
}

static void https_gives_secure_cookies(void **state)
{
	static const struct booth_reply replies[] = {
		{ "consent.press", FAULT_OK, "", "{\"url\":\"https://login.example/a\",\"browser\":\"B\"}" }, { NULL, 0, NULL, NULL },
	};
	struct booth s = { .loop = loop_new(), .control_path = "/tmp/postern-desk-test-tls.sock", .replies = replies };
	int web = booth_bind("127.0.0.1");
	char why[256] = "", wanted[100];
	struct test_pki pki;
	struct test_leaf leaf;

	trail_redirect(quiet, NULL);
	test_pki_init(&pki);
	leaf = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	assert_int_equal(tls_client_new(&client_tls, pki.root_pem, NULL), FAULT_OK);
	s.files[s.file_count++] = (struct role_file){ SPAN("certificate"), SPAN("web"), leaf.certificate_pem };
	s.files[s.file_count++] = (struct role_file){ SPAN("key"), SPAN("web"), leaf.key_pem };
	s.web = listener_address(web);
	unlink(s.control_path);
	if (booth_configure(&s, "listener web { protocol = http tls = implicit certificate = x key = y }", web, booth_bind(s.control_path), why))
		fail_msg("%s", why);
	booth_link(&s, ROLE_VAULT);
	test_end_init(&s.client, s.loop);
	s.client.on_opened = start_tls;
	s.client.stream = stream_connect(s.loop, &s.web, NULL, 5000, &test_end_events, &s.client);
	for (int i = 0; i < 1000 && !strstr(s.client.log, "ended"); i++)
		test_run_for(s.loop, 5);
	if (!s.client.got.size)
		fail_msg("%s: %s", s.client.log, s.client.why);
	assert_int_equal(booth_status(buf_span(&s.client.got)), 303);
	assert_has(buf_span(&s.client.got), "Set-Cookie: __Host-postern-link=B.T; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure\r\n");
	snprintf(wanted, sizeof wanted, "\"public_url\":\"https://localhost:%u\"", s.web.port);
	assert_non_null(strstr(s.calls[0].arguments, wanted));
	test_end_close(&s.client);
	desk_role.free(&s.desk);
	link_close(&s.vault);
	config_free(&s.config);
	tls_drop(&client_tls);
	loop_free(&s.loop);
	unlink(s.control_path);
	test_pki_free(&pki);
}

static void a_reload_is_whole_or_nothing(void **state)
{
	struct booth *s = booth("");
	static char plain[] = "host_name = mail.contoso.example\npublic_url = https://new.example\nlistener web { protocol = http tls = none }";
	static char broken[] = "public_url = ftp://new.example\nlistener web { protocol = http tls = none }";
	struct test_end kept;
	int web, control;
	char why[256] = "";

	/* A connection that is open goes on across reloads. */
	test_end_init(&kept, s->loop);
	kept.stream = stream_connect(s->loop, &s->web, NULL, 5000, &test_end_events, &kept);
	stream_write(kept.stream, SPAN("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	while (!booth_has(buf_span(&kept.got), "</html>"))
		test_run_for(s->loop, 5);
	web = booth_bind("127.0.0.1");
	control = booth_bind("127.0.0.1");
	assert_int_equal(booth_configure(s, broken, web, control, why), FAULT_MALFORMED);
	assert_true(span_starts(span_of(why), SPAN("public_url")));
	assert_int_equal(booth_status(booth_ask(s, &s->web, "GET", "/", "Host: new.example\r\n", "")), 421);
	web = booth_bind("127.0.0.1");
	s->web = listener_address(web);
	assert_int_equal(booth_configure(s, plain, web, booth_bind("127.0.0.1"), why), FAULT_OK);
	assert_int_equal(booth_status(booth_ask(s, &s->web, "GET", "/", "Host: new.example\r\n", "")), 200);
	/* The listener that is gone closes what is idle on it. */
	while (!strstr(kept.log, "ended"))
		test_run_for(s->loop, 5);
	test_end_close(&kept);
	booth_end(s);
}

static void a_reload_with_the_same_sockets_keeps_connections(void **state)
{
	static char boot[] = "host_name = mail.contoso.example\npublic_url = https://new.example\nlistener web { protocol = http tls = none }";
	struct booth *s;
	struct test_end kept;
	char why[256] = "";
	int web = booth_bind("127.0.0.1"), control = booth_bind("127.0.0.1");

	s = booth("");
	assert_int_equal(booth_configure(s, boot, dup(web), dup(control), why), FAULT_OK);
	s->web = listener_address(web);
	test_end_init(&kept, s->loop);
	kept.stream = stream_connect(s->loop, &s->web, NULL, 5000, &test_end_events, &kept);
	stream_write(kept.stream, SPAN("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	while (!booth_has(buf_span(&kept.got), "</html>"))
		test_run_for(s->loop, 5);
	buf_clear(&kept.got);
	assert_int_equal(booth_configure(s, boot, web, control, why), FAULT_OK);
	stream_write(kept.stream, SPAN("GET / HTTP/1.1\r\nHost: new.example\r\n\r\n"));
	while (!booth_has(buf_span(&kept.got), "</html>"))
		test_run_for(s->loop, 5);
	assert_int_equal(booth_status(buf_span(&kept.got)), 200);
	test_end_close(&kept);
	booth_end(s);
}

static void draining_waits_for_what_is_open(void **state)
{
	struct booth *s = booth("");
	struct test_end slow;

	s->vault_is_mute = true;
	test_end_init(&slow, s->loop);
	slow.stream = stream_connect(s->loop, &s->control, NULL, 5000, &test_end_events, &slow);
	stream_write(slow.stream, SPAN("GET /api/v1/orgs HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	while (!s->call_count)
		test_run_for(s->loop, 5);
	desk_role.drain(s->desk);
	test_run_for(s->loop, 100);
	assert_false(s->is_drained);
	link_close(&s->vault);
	while (!s->is_drained)
		test_run(s->loop);
	while (!strstr(slow.log, "ended"))
		test_run_for(s->loop, 5);
	assert_has(buf_span(&slow.got), "VAULT_AWAY");
	test_end_close(&slow);
	booth_end(s);
}

static void ending_answers_what_is_open(void **state)
{
	struct booth *s = booth("");
	struct test_end slow;

	s->vault_is_mute = s->post_is_mute = true;
	test_end_init(&slow, s->loop);
	slow.stream = stream_connect(s->loop, &s->web, NULL, 5000, &test_end_events, &slow);
	stream_write(slow.stream, SPAN("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"));
	while (s->call_count < 2)
		test_run_for(s->loop, 5);
	desk_role.free(&s->desk);
	while (!strstr(slow.log, "ended"))
		test_run_for(s->loop, 5);
	assert_int_equal(booth_status(buf_span(&slow.got)), 503);
	test_end_close(&slow);
	booth_end(s);
}

TESTS(health_follows_vault_and_post, a_role_that_is_not_well_is_not_healthy, numbers_of_all_roles_make_one_exposition,
      numbers_are_for_loopback_and_trusted_proxies, status_puts_together_what_roles_say, listeners_must_be_safe, https_gives_secure_cookies, a_reload_is_whole_or_nothing,
      a_reload_with_the_same_sockets_keeps_connections, draining_waits_for_what_is_open, ending_answers_what_is_open)
