#include "desk/route.h"

#include "base/text.h"
#include "tests/test.h"

/* --- paths */

static void route_finds_by_method_path_and_realm(void **state)
{
	static const struct {
		enum route_realm realm;
		const char *method, *path;
		enum fault fault;
		enum route_handler handler;
		const char *operation, *allow;
	} cases[] = {
		{ ROUTE_PUBLIC, "GET", "/", FAULT_OK, ROUTE_front, NULL, "GET, HEAD" },
		{ ROUTE_PUBLIC, "HEAD", "/", FAULT_OK, ROUTE_front, NULL, "GET, HEAD" },
		{ ROUTE_PUBLIC, "POST", "/", FAULT_METHOD_WRONG, 0, NULL, "GET, HEAD" },
		{ ROUTE_PUBLIC, "GET", "/link/abc", FAULT_OK, ROUTE_link_page, NULL, NULL },
		{ ROUTE_PUBLIC, "HEAD", "/link/abc", FAULT_OK, ROUTE_link_page, NULL, NULL },
		{ ROUTE_PUBLIC, "POST", "/link/abc", FAULT_OK, ROUTE_link_press, NULL, NULL },
		{ ROUTE_PUBLIC, "DELETE", "/link/abc", FAULT_METHOD_WRONG, 0, NULL, "GET, HEAD, POST" },
		{ ROUTE_PUBLIC, "GET", "/link/", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link/a/b", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link/a/", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "//link/a", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "link/a", FAULT_MALFORMED, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "", FAULT_MALFORMED, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/LINK/a", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "get", "/", FAULT_METHOD_WRONG, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/api/v1/mailboxes", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/api/v1/status", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link/a%00b", FAULT_MALFORMED, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link/a%0", FAULT_MALFORMED, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link/a%zz", FAULT_MALFORMED, 0, NULL, NULL },
		{ ROUTE_PUBLIC, "GET", "/link/a%ff", FAULT_MALFORMED, 0, NULL, NULL },
		{ ROUTE_CONTROL, "GET", "/", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_CONTROL, "GET", "/link/abc", FAULT_NOT_FOUND, 0, NULL, NULL },
		{ ROUTE_CONTROL, "GET", "/healthz", FAULT_OK, ROUTE_health, NULL, NULL },
		{ ROUTE_CONTROL, "GET", "/api/v1/status", FAULT_OK, ROUTE_status, NULL, NULL },
		{ ROUTE_CONTROL, "GET", "/api/v1/mailboxes", FAULT_OK, ROUTE_operation, "mailbox.list", "POST, GET, HEAD" },
		{ ROUTE_CONTROL, "PUT", "/api/v1/mailboxes", FAULT_METHOD_WRONG, 0, NULL, "POST, GET, HEAD" },
		{ ROUTE_CONTROL, "DELETE", "/api/v1/queue/0ABC", FAULT_OK, ROUTE_operation, "queue.delete", NULL },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct route r;
		enum fault f = route_find(&r, cases[i].realm, span_of(cases[i].method), span_of(cases[i].path));

		if (f != cases[i].fault || (f == FAULT_OK && r.handler != cases[i].handler))
			fail_msg("%s %s gives %s", cases[i].method, cases[i].path, fault_row(f)->name);
		if (cases[i].operation)
			assert_string_equal(r.operation->name, cases[i].operation);
		if (cases[i].allow)
			assert_string_equal(r.allow, cases[i].allow);
	}
}

static void route_decodes_parts_of_a_path(void **state)
{
	static const char *const cases[][2] = {
		{ "/api/v1/mailboxes/ada%40example.com", "ada@example.com" },
		{ "/api/v1/mailboxes/ada+tag@example.com", "ada+tag@example.com" },
		{ "/api/v1/mailboxes/%61%2Fb", "a/b" },
		{ "/api/v1/mailboxes/..", ".." },
		{ "/api/v1/mailboxes/%C3%A9", "\xc3\xa9" },
		{ "/api/v1/mailboxes/%2541", "%41" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct route r;

		assert_int_equal(route_find(&r, ROUTE_CONTROL, SPAN("GET"), span_of(cases[i][0])), FAULT_OK);
		assert_span(route_value(&r, SPAN("address")), cases[i][1]);
		assert_span(route_value(&r, SPAN("other")), "");
	}
}

static void route_refuses_what_is_too_long(void **state)
{
	char path[ROUTE_PATH_BYTES_MAX + 100];
	struct route r;

	memset(path, 'a', sizeof path);
	memcpy(path, "/link/", 6);
	assert_int_equal(route_find(&r, ROUTE_PUBLIC, SPAN("GET"), (struct span){ path, ROUTE_STORE_BYTES }), FAULT_OK);
	assert_int_equal(route_find(&r, ROUTE_PUBLIC, SPAN("GET"), (struct span){ path, ROUTE_STORE_BYTES + 7 }), FAULT_MALFORMED);
	assert_int_equal(route_find(&r, ROUTE_PUBLIC, SPAN("GET"), (struct span){ path, sizeof path }), FAULT_NOT_FOUND);
}

/* --- arguments */

struct asked {
	const char *method, *path, *query, *body;
	const char *wanted; /* JSON, or the beginning of why it is refused after a '!' */
};

static void check(const struct asked *a)
{
	struct route r;
	json_t *got = NULL;
	struct buf why, text;
	enum fault f;

	buf_init(&why, 300);
	buf_init(&text, 4096);
	assert_int_equal(route_find(&r, ROUTE_CONTROL, span_of(a->method), span_of(a->path)), FAULT_OK);
	f = route_arguments(&r, SPAN("application/json; charset=utf-8"), span_of(a->query), span_of(a->body), &got, &why);
	if (a->wanted[0] == '!') {
		assert_int_equal(f, FAULT_MALFORMED);
		assert_null(got);
		assert_span(buf_span(&why), a->wanted + 1);
	} else {
		if (f != FAULT_OK)
			fail_msg("%s: %.*s", a->path, SPAN_ARGS(buf_span(&why)));
		assert_true(json_write(&text, got));
		assert_span(buf_span(&text), a->wanted);
		json_decref(got);
	}
	buf_free(&why);
	buf_free(&text);
}

static void route_builds_arguments(void **state)
{
	static const struct asked cases[] = {
		{ "GET", "/api/v1/mailboxes", "", "", "{}" },
		{ "GET", "/api/v1/mailboxes", "org=a+b%2Bc", "", "{\"org\":\"a b+c\"}" },
		{ "GET", "/api/v1/mailboxes", "&&org=x&", "", "{\"org\":\"x\"}" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":\"x\"}", "{\"org\":\"x\"}" },
		{ "GET", "/api/v1/mailboxes/a%40b", "", "", "{\"address\":\"a@b\"}" },
		{ "POST", "/api/v1/orgs", "", "{\"name\":\"n\",\"notice_mailbox\":\"x@y\"}", "{\"name\":\"n\",\"notice_mailbox\":\"x@y\"}" },
		{ "POST", "/api/v1/clients", "", "{\"name\":\"n\",\"org\":\"o\",\"mailbox\":\"m\",\"no_password\":true,\"verdict_wait\":7}",
		  "{\"name\":\"n\",\"org\":\"o\",\"mailbox\":[\"m\"],\"no_password\":true,\"verdict_wait\":\"7\"}" },
		{ "POST", "/api/v1/clients", "", "{\"name\":\"n\",\"org\":\"o\",\"mailbox\":[\"m\",\"k\"],\"no_password\":\"off\"}",
		  "{\"name\":\"n\",\"org\":\"o\",\"mailbox\":[\"m\",\"k\"],\"no_password\":false}" },
		{ "PATCH", "/api/v1/clients/c", "", "{\"network\":[],\"enabled\":false}", "{\"name\":\"c\",\"network\":[],\"enabled\":\"no\"}" },
		{ "PATCH", "/api/v1/clients/c", "network=a&network=b", "", "{\"name\":\"c\",\"network\":[\"a\",\"b\"]}" },
		{ "POST", "/api/v1/mailboxes/a/link", "device", "", "{\"address\":\"a\",\"device\":true}" },
		{ "POST", "/api/v1/mailboxes/a/link", "", "  ", "{\"address\":\"a\"}" },
		{ "POST", "/api/v1/providers", "", "{\"name\":\"p\",\"org\":\"o\",\"kind\":\"k\",\"client_id\":\"i\",\"client_secret\":\"s\"}",
		  "{\"name\":\"p\",\"org\":\"o\",\"kind\":\"k\",\"client_id\":\"i\",\"client_secret\":\"s\"}" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&cases[i]);
}

static void route_refuses_wrong_arguments(void **state)
{
	static const struct asked cases[] = {
		{ "GET", "/api/v1/mailboxes", "colour=red", "", "!colour: there is no such argument" },
		{ "GET", "/api/v1/mailboxes", "org=a&org=b", "", "!org: given twice" },
		{ "GET", "/api/v1/mailboxes", "org=%zz", "", "!org: broken percent encoding" },
		{ "GET", "/api/v1/mailboxes", "org=%ff", "", "!org: not UTF-8 text" },
		{ "GET", "/api/v1/mailboxes", "org=a%00", "", "!org: not UTF-8 text" },
		{ "GET", "/api/v1/mailboxes", "org=a", "{\"org\":\"a\"}", "!org: given twice" },
		{ "GET", "/api/v1/mailboxes", "", "[]", "!body: a JSON object is wanted" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":\"a\"", "!body: a JSON object is wanted" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":\"a\",\"org\":\"b\"}", "!body: a JSON object is wanted" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":null}", "!org: a text is wanted" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":{}}", "!org: a text is wanted" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":[\"a\"]}", "!org: a text is wanted" },
		{ "GET", "/api/v1/mailboxes", "", "{\"org\":1.5}", "!org: a text is wanted" },
		{ "POST", "/api/v1/orgs", "", "{}", "!name: is missing" },
		{ "POST", "/api/v1/orgs", "", "", "!name: is missing" },
		{ "POST", "/api/v1/clients", "", "{\"name\":\"n\",\"org\":\"o\"}", "!mailbox: is missing" },
		{ "PATCH", "/api/v1/clients/c", "", "{\"name\":\"d\"}", "!name: given twice" },
		{ "PATCH", "/api/v1/clients/c", "", "{\"network\":5}", "!network: a list of texts is wanted" },
		{ "PATCH", "/api/v1/clients/c", "", "{\"network\":[\"a\",5]}", "!network: a list of texts is wanted" },
		{ "POST", "/api/v1/mailboxes/a/link", "device=maybe", "", "!device: yes or no is wanted" },
		{ "POST", "/api/v1/mailboxes/a/link", "", "{\"device\":1}", "!device: yes or no is wanted" },
		{ "POST", "/api/v1/mailboxes/a/link", "", "{\"\\u001b[31m\":1}", "!?[31m: there is no such argument" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check(&cases[i]);
}

static void route_wants_json_in_bodies(void **state)
{
	static const char *const kinds[] = { "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp" };

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		struct route r;
		json_t *got;
		struct buf why;

		buf_init(&why, 300);
		assert_int_equal(route_find(&r, ROUTE_CONTROL, SPAN("POST"), SPAN("/api/v1/orgs")), FAULT_OK);
		assert_int_equal(route_arguments(&r, span_of(kinds[i]), SPAN(""), SPAN("{\"name\":\"n\"}"), &got, &why), FAULT_MALFORMED);
		assert_span(buf_span(&why), "Content-Type: application/json is wanted");
		buf_free(&why);
	}
}

/* Fills the parts of a row's path with something and finds the same row again. */
static void route_reaches_every_operation(void **state)
{
	const struct route_operation *o;
	size_t count = 0;

	for (; (o = route_operation_row(count)); count++) {
		struct buf path;
		struct span rest = span_of(o->path), part;
		struct route r;

		buf_init(&path, 500);
		while (span_cut(&rest, '/', &part))
			if (part.size)
				buf_print(&path, "/%.*s", SPAN_ARGS(part.at[0] == '{' ? SPAN("x%20y") : part));
		assert_int_equal(route_find(&r, ROUTE_CONTROL, span_of(o->method), buf_span(&path)), FAULT_OK);
		assert_ptr_equal(r.operation, o);
		buf_free(&path);
	}
	assert_true(count > 20);
}

TESTS(route_finds_by_method_path_and_realm, route_decodes_parts_of_a_path, route_refuses_what_is_too_long, route_builds_arguments,
      route_refuses_wrong_arguments, route_wants_json_in_bodies, route_reaches_every_operation)
