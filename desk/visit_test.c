/* What every answer has in common: headers, hosts, methods; and the pages that need no other role. */
#include "desk/route.h"
#include "desk/test_booth.h"

#include "base/trail.h"

static void quiet(void *self, struct span line)
{
}

static struct booth *booth(const char *boot)
{
	trail_redirect(quiet, NULL);
	return booth_with(boot);
}

static void check_headers(struct span answer, const char *method, const char *path)
{
	struct span kind = booth_header(answer, "Content-Type"), policy = booth_header(answer, "Content-Security-Policy");

	assert_span(booth_header(answer, "X-Content-Type-Options"), "nosniff");
	assert_span(booth_header(answer, "Cache-Control"), "no-store");
	assert_span(booth_header(answer, "Referrer-Policy"), "no-referrer");
	assert_span(booth_header(answer, "X-Frame-Options"), "DENY");
	if (!booth_has(policy, "default-src 'none'") || !booth_has(policy, "frame-ancestors 'none'") || booth_has(policy, "unsafe") ||
	    booth_has(policy, " *"))
		fail_msg("%s %s: policy |%.*s|", method, path, SPAN_ARGS(policy));
	assert_true(kind.size > 0);
	if (span_starts(kind, SPAN("text/html")) && strcmp(method, "HEAD")) {
		assert_lacks(answer, "<script");
		assert_lacks(answer, " style=");
		assert_lacks(booth_body(answer), "//"); /* nothing comes from elsewhere */
		assert_has(answer, "<html lang=\"");
		assert_has(answer, "<main>");
		assert_has(answer, "<h1>");
		assert_has(answer, "name=\"viewport\"");
	}
	assert_int_equal(booth_header(answer, "Server").size, 0);
}

/* Every row of the table, by every method. A row added without an answer here fails. */
static void every_route_answers_with_the_headers_of_all(void **state)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };
	static const struct booth_reply replies[] = {
		{ "consent.press", FAULT_OK, "", "{\"url\":\"https://login.example/a\",\"browser\":\"B\"}" },
		{ "metrics", FAULT_OK, "", "" },
		{ NULL, 0, NULL, NULL },
	};
	struct booth *s = booth("");
	const struct route_row *row;

	s->replies = replies;
	for (size_t i = 0; (row = route_row(i)); i++)
		for (size_t m = 0; m < sizeof methods / sizeof *methods; m++)
			for (int control = 0; control < 2; control++) {
				char path[100];
				const char *part = strchr(row->path, '{'), *rest = part ? strchr(part, '}') + 1 : "";
				struct span answer;
				int status;

				snprintf(path, sizeof path, "%.*s%s%s", part ? (int)(part - row->path) : 100, row->path, part ? "T" : "", rest);
				s->call_count = 0;
				answer = booth_ask(s, control ? &s->control : &s->web, methods[m], path, "", "");
				status = booth_status(answer);
				check_headers(answer, methods[m], path);
				if (!(row->realms & (control ? ROUTE_CONTROL : ROUTE_PUBLIC)))
					assert_int_equal(status, 404);
				else if (!strcmp(row->method, methods[m]) || (!strcmp(row->method, "GET") && m == 1))
					assert_true(status == 200 || status == 303);
				if (m == 1)
					assert_int_equal(booth_body(answer).size, 0);
				if (status == 405)
					assert_true(booth_header(answer, "Allow").size > 0);
			}
	booth_end(s);
}

static void operations_are_not_public(void **state)
{
	struct booth *s = booth("");
	const struct route_operation *o;

	for (size_t i = 0; (o = route_operation_row(i)); i++)
		assert_int_equal(booth_status(booth_ask(s, &s->web, o->method, o->path, "Origin: http://localhost\r\n", "")), 404);
	assert_int_equal(booth_status(booth_get(s, "/api/v1/status")), 404);
	assert_int_equal(s->call_count, 0);
	booth_end(s);
}

static void foreign_hosts_are_refused(void **state)
{
	static const struct { const char *host; int status; } cases[] = {
		{ "Host: localhost\r\n", 200 },
		{ "Host: LOCALHOST:8443\r\n", 200 },
		{ "Host: mail.contoso.example\r\n", 200 }, /* host_name */
		{ "Host: post.contoso.example:444\r\n", 200 }, /* public_url */
		{ "Host: 127.0.0.1:99\r\n", 200 },
		{ "Host: [::1]:99\r\n", 200 },
		{ "Host: 192.0.2.7\r\n", 200 },
		{ "Host: evil.example\r\n", 421 },
		{ "Host: localhost.evil.example\r\n", 421 },
		{ "Host: mail.contoso.example.evil.example\r\n", 421 },
		{ "Host: evil.example\r\nX-Forwarded-Host: localhost\r\n", 421 }, /* nobody is trusted */
	};
	struct booth *s = booth("public_url = https://post.contoso.example");

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct span answer = booth_ask(s, &s->web, "GET", "/", cases[i].host, "");

		if (booth_status(answer) != cases[i].status)
			fail_msg("%s gives %d", cases[i].host, booth_status(answer));
	}
	booth_end(s);
}

static void trusted_proxies_say_which_host_and_scheme(void **state)
{
	struct booth *s = booth("public_url = https://post.contoso.example\ntrusted_proxies = {127.0.0.0/8}");
	const char *headers = "Host: 10.1.1.1\r\nX-Forwarded-Host: post.contoso.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.9\r\n";
	char text[400];

	assert_int_equal(booth_status(booth_ask(s, &s->web, "GET", "/", headers, "")), 200);
	assert_int_equal(booth_status(booth_ask(s, &s->web, "GET", "/", "X-Forwarded-Host: evil.example\r\n", "")), 421);
	/* The last one is the proxy's. */
	assert_int_equal(booth_status(booth_ask(s, &s->web, "GET", "/", "X-Forwarded-Host: localhost\r\nX-Forwarded-Host: evil.example\r\n", "")), 421);
	assert_int_equal(booth_status(booth_ask(s, &s->web, "GET", "/", "X-Forwarded-Host: localhost, evil.example\r\n", "")), 421);
	snprintf(text, sizeof text, "%sOrigin: https://post.contoso.example\r\n", headers);
	assert_int_equal(booth_status(booth_ask(s, &s->web, "POST", "/link/T", text, "")), 500); /* pressed; the vault's {} has no address */
	snprintf(text, sizeof text, "%sOrigin: http://post.contoso.example\r\n", headers);
	assert_int_equal(booth_status(booth_ask(s, &s->web, "POST", "/link/T", text, "")), 403);
	booth_end(s);
}

static void the_front_page_speaks_both_languages(void **state)
{
	struct booth *s = booth("");

	assert_has(booth_get(s, "/"), "<h1>Postern mail gateway</h1>");
	assert_has(booth_ask(s, &s->web, "GET", "/", "Accept-Language: fr\r\n", ""), "<h1>Passerelle de courrier Postern</h1>");
	assert_has(booth_ask(s, &s->web, "GET", "/nothing", "Accept-Language: fr\r\n", ""), "<h1>Il n&#39;y a pas de page ici</h1>");
	assert_int_equal(s->call_count, 0);
	booth_end(s);
}

static void what_a_page_needs_is_there(void **state)
{
	struct booth *s = booth("");
	struct span style = booth_get(s, "/style.css");

	assert_span(booth_header(style, "Content-Type"), "text/css; charset=utf-8");
	assert_has(style, "prefers-color-scheme:dark");
	assert_has(style, ":focus-visible");
	assert_lacks(style, "url(");
	assert_span(booth_header(booth_get(s, "/icon.svg"), "Content-Type"), "image/svg+xml");
	booth_end(s);
}

TESTS(every_route_answers_with_the_headers_of_all, operations_are_not_public, foreign_hosts_are_refused, trusted_proxies_say_which_host_and_scheme,
      the_front_page_speaks_both_languages, what_a_page_needs_is_there)
