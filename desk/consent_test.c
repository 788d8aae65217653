/* The consent pages: the link, its button, and the way back, with a scripted vault. */
#include "desk/test_booth.h"

#include "base/trail.h"

#define PROVIDER "https://login.example/authorize?client_id=1&state=s"
#define KNOWN "\"address\":\"anne@contoso.example\",\"name\":\"Anne\",\"provider\":\"Microsoft 365\",\"language\":\"en\""

static void quiet(void *self, struct span line)
{
}

static struct booth *booth(const char *boot, const struct booth_reply *replies)
{
	struct booth *s;

	trail_redirect(quiet, NULL);
	s = booth_with(boot);
	s->replies = replies;
	return s;
}

static const struct booth_reply good[] = {
	{ "consent.page", FAULT_OK, "", "{" KNOWN "}" },
	{ "consent.press", FAULT_OK, "", "{" KNOWN ",\"url\":\"" PROVIDER "\",\"browser\":\"B1\"}" },
	{ "consent.finish", FAULT_OK, "", "{" KNOWN ",\"account\":\"anne@contoso.example\",\"link_usable\":false}" },
	{ NULL, 0, NULL, NULL },
};

static struct span argument(const struct booth_call *call, const char *name)
{
	static json_t *arguments;

	json_decref(arguments);
	arguments = json_read(span_of(call->arguments), 4096);
	return json_text(arguments, name);
}

/* --- the link */

static void opening_a_link_changes_nothing(void **state)
{
	struct booth *s = booth("", good);

	for (int i = 0; i < 10; i++) { /* a mail scanner */
		struct span page = booth_get(s, "/link/TOKEN");

		assert_int_equal(booth_status(page), 200);
		assert_string_equal(booth_last(s)->operation, "consent.page");
		assert_span(argument(booth_last(s), "link"), "TOKEN");
		assert_int_equal(booth_header(page, "Set-Cookie").size, 0);
		assert_has(page, "<form method=\"post\" action=\"/link/%54%4F%4B%45%4E\"><button type=\"submit\">Authenticate with MFA</button></form>");
		assert_has(page, "<bdi>anne@contoso.example</bdi>");
		assert_has(page, "sign-in page of Microsoft 365");
	}
	for (size_t i = 0; i < s->call_count; i++)
		assert_string_equal(s->calls[i].operation, "consent.page");
	booth_end(s);
}

static void head_is_answered_as_get_without_the_page(void **state)
{
	struct booth *s = booth("", good);
	struct span page = booth_ask(s, &s->web, "HEAD", "/link/TOKEN", "", "");

	assert_int_equal(booth_status(page), 200);
	assert_int_equal(booth_body(page).size, 0);
	assert_string_equal(booth_last(s)->operation, "consent.page");
	booth_end(s);
}

static void dead_links_say_so(void **state)
{
	static const struct { enum fault fault; int status; const char *title; } cases[] = {
		{ FAULT_LINK_UNKNOWN, 404, "<h1>This link cannot be used</h1>" },
		{ FAULT_LINK_LATE, 410, "<h1>This link cannot be used</h1>" },
		{ FAULT_LINK_SPENT, 410, "<h1>This link was used already</h1>" },
		{ FAULT_VAULT_AWAY, 503, "<h1>The sign-in did not succeed</h1>" },
	};
	struct booth *s = booth("", NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct booth_reply replies[] = { { "consent.page", cases[i].fault, "", "{" KNOWN "}" }, { NULL, 0, NULL, NULL } };
		struct span page;

		s->replies = replies;
		page = booth_get(s, "/link/TOKEN");
		assert_int_equal(booth_status(page), cases[i].status);
		assert_has(page, "<body class=\"red\">");
		assert_has(page, cases[i].title);
		if (cases[i].fault == FAULT_LINK_LATE)
			assert_has(page, "<code>postern mailbox link anne@contoso.example</code>");
		assert_lacks(page, "<form");
	}
	booth_end(s);
}

/* What stands in the address is the vault's, but people copy what the page says into a shell. */
static void a_remedy_quotes_the_address(void **state)
{
	static const struct { const char *result, *wanted; } cases[] = {
		{ "{\"address\":\"a;<b>id</b>@c.example\"}", "<code>postern mailbox link &#39;a;&lt;b&gt;id&lt;/b&gt;@c.example&#39;</code>" },
		{ "{\"address\":\"a`id`@c.example\"}", "<code>postern mailbox link &lt;address&gt;</code>" },
		{ "{}", "<code>postern mailbox link &lt;address&gt;</code>" },
	};
	struct booth *s = booth("", NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct booth_reply replies[] = { { "consent.page", FAULT_LINK_LATE, "", cases[i].result }, { NULL, 0, NULL, NULL } };

		s->replies = replies;
		assert_has(booth_get(s, "/link/TOKEN"), cases[i].wanted);
	}
	booth_end(s);
}

static void language_is_the_browsers_else_the_owners(void **state)
{
	static const struct { const char *accept, *owner, *wanted; } cases[] = {
		{ "", "fr", "<html lang=\"fr\">" },
		{ "", "en", "<html lang=\"en\">" },
		{ "Accept-Language: en-GB,en;q=0.9\r\n", "fr", "<html lang=\"en\">" },
		{ "Accept-Language: fr-CA\r\n", "en", "<html lang=\"fr\">" },
		{ "Accept-Language: de-DE,de\r\n", "fr", "<html lang=\"fr\">" },
	};
	struct booth *s = booth("", NULL);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char result[200];
		const struct booth_reply replies[] = { { "consent.page", FAULT_OK, "", result }, { NULL, 0, NULL, NULL } };

		snprintf(result, sizeof result, "{\"address\":\"a@b\",\"language\":\"%s\"}", cases[i].owner);
		s->replies = replies;
		assert_has(booth_ask(s, &s->web, "GET", "/link/T", cases[i].accept, ""), cases[i].wanted);
	}
	booth_end(s);
}

/* --- the button */

static void the_button_binds_the_browser_and_sends_it_on(void **state)
{
	static const struct { const char *boot, *headers, *name, *cookie; } cases[] = {
		{ "", "Sec-Fetch-Site: same-origin\r\n", "postern-link", "postern-link=B1.TOKEN; Path=/; Max-Age=900; HttpOnly; SameSite=Lax" },
		{ "public_url = https://mail.contoso.example", "Host: mail.contoso.example\r\nOrigin: https://mail.contoso.example\r\n",
		  "__Host-postern-link", "__Host-postern-link=B1.TOKEN; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct booth *s = booth(cases[i].boot, good);
		struct span answer = booth_ask(s, &s->web, "POST", "/link/TOKEN", cases[i].headers, "");

		assert_int_equal(booth_status(answer), 303);
		assert_span(booth_header(answer, "Location"), PROVIDER);
		assert_span(booth_header(answer, "Set-Cookie"), cases[i].cookie);
		assert_string_equal(booth_last(s)->operation, "consent.press");
		assert_span(argument(booth_last(s), "link"), "TOKEN");
		assert_span(argument(booth_last(s), "browser"), "");
		booth_end(s);
	}
}

static void the_vault_is_told_where_people_reach_us(void **state)
{
	struct booth *s = booth("", good);
	char wanted[60];

	snprintf(wanted, sizeof wanted, "http://localhost:%u", s->web.port);
	booth_get(s, "/link/TOKEN");
	assert_span(argument(booth_last(s), "public_url"), wanted);
	booth_ask(s, &s->web, "POST", "/link/TOKEN", "", "");
	assert_span(argument(booth_last(s), "public_url"), wanted);
	booth_get(s, "/oauth/callback?state=s&code=c");
	assert_span(argument(booth_last(s), "public_url"), wanted);
	booth_end(s);
	s = booth("public_url = https://mail.contoso.example/", good);
	booth_ask(s, &s->web, "POST", "/link/TOKEN", "", "");
	assert_span(argument(booth_last(s), "public_url"), "https://mail.contoso.example");
	booth_end(s);
}

static void pressing_again_brings_the_secret_of_that_link(void **state)
{
	struct booth *s = booth("", good);
	struct span answer;

	answer = booth_ask(s, &s->web, "POST", "/link/TOKEN", "Cookie: a=b; postern-link=B7.OTHER~B8.TOKEN\r\n", "");
	assert_span(argument(booth_last(s), "browser"), "B8");
	assert_has(answer, "postern-link=B1.TOKEN~B7.OTHER;");
	booth_end(s);
}

static void pages_of_other_sites_cannot_press(void **state)
{
	static const struct { const char *headers; bool allowed; } cases[] = {
		{ "Sec-Fetch-Site: same-origin\r\n", true },
		{ "Sec-Fetch-Site: none\r\n", true },
		{ "Sec-Fetch-Site: same-origin\r\nOrigin: null\r\n", true },
		{ "", true }, /* no browser */
		{ "Sec-Fetch-Site: cross-site\r\n", false },
		{ "Sec-Fetch-Site: same-site\r\n", false },
		{ "Sec-Fetch-Site: cross-site\r\nOrigin: http://localhost\r\n", false },
		{ "Origin: null\r\n", false },
		{ "Origin: https://evil.example\r\n", false },
		{ "Origin: http://localhost.evil.example\r\n", false },
		{ "Origin: https://localhost\r\n", false },
		{ "Origin: http://localhost\r\n", true },
		{ "Host: localhost:77\r\nOrigin: http://localhost:77\r\n", true },
		{ "Host: localhost:77\r\nOrigin: http://localhost:78\r\n", false },
	};
	struct booth *s = booth("", good);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct span answer;

		s->call_count = 0;
		answer = booth_ask(s, &s->web, "POST", "/link/TOKEN", cases[i].headers, "");
		if (booth_status(answer) != (cases[i].allowed ? 303 : 403))
			fail_msg("%s gives %d", cases[i].headers, booth_status(answer));
		assert_int_equal(s->call_count, cases[i].allowed);
	}
	booth_end(s);
}

static void what_the_vault_gives_cannot_break_the_answer(void **state)
{
	static const char *const results[] = {
		"{\"url\":\"https://x/\\r\\nSet-Cookie: a=b\",\"browser\":\"B1\"}",
		"{\"url\":\"javascript:alert(1)\",\"browser\":\"B1\"}",
		"{\"url\":\"" PROVIDER "\",\"browser\":\"B1; Domain=evil\"}",
		"{\"url\":\"" PROVIDER "\"}",
		"{}",
		"nonsense",
	};
	struct booth *s = booth("", NULL);

	for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
		const struct booth_reply replies[] = { { "consent.press", FAULT_OK, "", results[i] }, { NULL, 0, NULL, NULL } };
		struct span answer;

		s->replies = replies;
		answer = booth_ask(s, &s->web, "POST", "/link/TOKEN", "", "");
		assert_int_equal(booth_status(answer), 500);
		assert_int_equal(booth_header(answer, "Location").size + booth_header(answer, "Set-Cookie").size, 0);
	}
	booth_end(s);
}

/* --- back from the provider */

static void green_names_the_mailbox_and_forgets_the_link(void **state)
{
	struct booth *s = booth("", good);
	struct span page;

	page = booth_ask(s, &s->web, "GET", "/oauth/callback?code=a%2Bb&state=st%20ate&session_state=x", "Cookie: postern-link=B1.TOKEN~B2.OTHER\r\n", "");
	assert_int_equal(booth_status(page), 200);
	assert_has(page, "<body class=\"green\">");
	assert_has(page, "<dd><bdi>anne@contoso.example</bdi></dd>");
	assert_span(booth_header(page, "Set-Cookie"), "postern-link=B2.OTHER; Path=/; Max-Age=900; HttpOnly; SameSite=Lax");
	assert_string_equal(booth_last(s)->operation, "consent.finish");
	assert_span(argument(booth_last(s), "code"), "a+b");
	assert_span(argument(booth_last(s), "state"), "st ate");
	assert_span(argument(booth_last(s), "browser"), "B1");
	page = booth_ask(s, &s->web, "GET", "/oauth/callback?code=c&state=s", "Cookie: postern-link=B1.TOKEN\r\nAccept-Language: fr\r\n", "");
	assert_has(page, "<h1>Votre boîte est identifiée</h1>");
	assert_span(booth_header(page, "Set-Cookie"), "postern-link=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
	booth_end(s);
}

static void the_wrong_account_is_named_and_may_try_again(void **state)
{
	static const struct booth_reply replies[] = {
		{ "consent.finish", FAULT_WRONG_ACCOUNT, "eve@fabrikam.example is not anne@contoso.example",
		  "{" KNOWN ",\"account\":\"eve@fabrikam.example\",\"link_usable\":true}" },
		{ NULL, 0, NULL, NULL },
	};
	struct booth *s = booth("", replies);
	struct span page = booth_ask(s, &s->web, "GET", "/oauth/callback?code=c&state=s", "Cookie: postern-link=B1.TOKEN\r\n", "");

	assert_int_equal(booth_status(page), 403);
	assert_has(page, "<body class=\"red\">");
	assert_has(page, "<h1>Another account signed in</h1>");
	assert_has(page, "<bdi>anne@contoso.example</bdi>");
	assert_has(page, "<bdi>eve@fabrikam.example</bdi>");
	assert_has(page, "Nothing was stored.");
	assert_has(page, "Sign out at the provider");
	assert_has(page, "<button type=\"submit\">Try again</button>");
	assert_has(page, "action=\"/link/%54%4F%4B%45%4E\"");
	assert_int_equal(booth_header(page, "Set-Cookie").size, 0);
	booth_end(s);
}

static bool second_only(struct booth *s, const struct booth_call *call, struct booth_reply *reply)
{
	bool is_second = span_equal(argument(call, "browser"), SPAN("B2"));

	*reply = (struct booth_reply){ call->operation, is_second ? FAULT_OAUTH_DECLINED : FAULT_LINK_FOREIGN, is_second ? "access_denied" : "",
				       "{" KNOWN ",\"link_usable\":true}" };
	return true;
}

static void each_link_of_a_browser_finds_its_own_way_back(void **state)
{
	struct booth *s = booth("", NULL);
	struct span page;

	s->decide = second_only;
	page = booth_ask(s, &s->web, "GET", "/oauth/callback?error=access_denied&state=s", "Cookie: postern-link=B1.ONE~B2.TWO~B3.THREE\r\n", "");
	assert_int_equal(s->call_count, 2);
	assert_has(page, "The person who signed in said no.");
	assert_has(page, "<blockquote>access_denied</blockquote>");
	assert_has(page, "Begin again with the button below and press Accept");
	assert_has(page, "action=\"/link/%54%57%4F\"");
	s->call_count = 0;
	page = booth_ask(s, &s->web, "GET", "/oauth/callback?error=access_denied&state=s", "Cookie: postern-link=B1.ONE~B3.THREE\r\n", "");
	assert_int_equal(s->call_count, 2);
	assert_int_equal(booth_status(page), 403);
	assert_has(page, "belongs to another browser");
	s->call_count = 0;
	page = booth_get(s, "/oauth/callback?error=access_denied&state=s");
	assert_int_equal(s->call_count, 1);
	assert_span(argument(booth_last(s), "browser"), "");
	booth_end(s);
}

/* An attacker's link to our callback must not put the attacker's words on our page. */
static void words_in_the_address_are_not_shown_by_themselves(void **state)
{
	static const struct booth_reply replies[] = { { "consent.finish", FAULT_LINK_UNKNOWN, "", "{}" }, { NULL, 0, NULL, NULL } };
	struct booth *s = booth("", replies);
	struct span page = booth_get(s, "/oauth/callback?error=x&error_description=Call+0800+HOAX+now&state=s");

	assert_int_equal(booth_status(page), 404);
	assert_lacks(page, "HOAX");
	assert_span(argument(booth_last(s), "error_description"), "Call 0800 HOAX now");
	booth_end(s);
}

static void hostile_names_and_texts_are_shown_as_text(void **state)
{
	static const char *const corpus[] = {
		"<script>alert(1)</script>", "\\\"><img src=x onerror=alert(1)>", "' onfocus='alert(1)' autofocus='", "</title><svg onload=alert(1)>",
		"<iframe srcdoc='<script>alert(1)</script>'>", "javascript:alert(1)", "<a href=javascript:alert(1)>x</a>", "&#60;script&#62;",
		"`<b>`", "<style>*{display:none}</style>", "<!--", "<math><mi xlink:href=\\\"data:x,<script>\\\">", "</bdi></dd></dl><form action=//evil>",
	};
	static const struct { const char *method, *target, *operation; enum fault fault; } pages[] = {
		{ "GET", "/link/T", "consent.page", FAULT_OK },
		{ "GET", "/link/T", "consent.page", FAULT_LINK_LATE },
		{ "POST", "/link/T", "consent.press", FAULT_UNREACHABLE },
		{ "GET", "/oauth/callback?state=s&code=c", "consent.finish", FAULT_OK },
		{ "GET", "/oauth/callback?state=s&code=c", "consent.finish", FAULT_WRONG_ACCOUNT },
		{ "GET", "/oauth/callback?state=s&error=e", "consent.finish", FAULT_OAUTH_DECLINED },
	};
	struct booth *s = booth("", NULL);

	for (size_t i = 0; i < sizeof corpus / sizeof *corpus; i++)
		for (size_t k = 0; k < sizeof pages / sizeof *pages; k++) {
			char result[1000], why[200];
			const struct booth_reply replies[] = { { pages[k].operation, pages[k].fault, why, result }, { NULL, 0, NULL, NULL } };
			struct span page;

			snprintf(why, sizeof why, "%s", corpus[i]);
			snprintf(result, sizeof result, "{\"address\":\"%s\",\"name\":\"%s\",\"provider\":\"%s\",\"account\":\"%s\",\"link_usable\":true}",
				 corpus[i], corpus[i], corpus[i], corpus[i]);
			s->replies = replies;
			s->call_count = 0;
			page = booth_body(booth_ask(s, &s->web, pages[k].method, pages[k].target, "Cookie: postern-link=B.T\r\n", ""));
			assert_lacks(page, "<script");
			assert_lacks(page, "<img");
			assert_lacks(page, "<iframe");
			assert_lacks(page, "<svg onload");
			assert_lacks(page, "<style");
			assert_lacks(page, "<math");
			assert_lacks(page, "<!--");
			assert_lacks(page, "<a ");
			assert_lacks(page, "//evil>");
			assert_lacks(page, "<b>");
			assert_lacks(page, "onfocus='");
			assert_lacks(page, "&#60;script");
		}
	booth_end(s);
}

/* A browser that opened the link by another name of this machine would have its cookie under that name. */
static void loopback_has_one_name(void **state)
{
	struct booth *s = booth("", good);
	struct span answer = booth_ask(s, &s->web, "GET", "/link/TOKEN?x=y", "Host: 127.0.0.1:1\r\n", "");
	char wanted[80];

	snprintf(wanted, sizeof wanted, "http://localhost:%u/link/TOKEN?x=y", s->web.port);
	assert_int_equal(booth_status(answer), 307);
	assert_span(booth_header(answer, "Location"), wanted);
	assert_int_equal(s->call_count, 0);
	booth_end(s);
}

TESTS(opening_a_link_changes_nothing, head_is_answered_as_get_without_the_page, dead_links_say_so, a_remedy_quotes_the_address, language_is_the_browsers_else_the_owners,
      the_button_binds_the_browser_and_sends_it_on, the_vault_is_told_where_people_reach_us, pressing_again_brings_the_secret_of_that_link,
      pages_of_other_sites_cannot_press, what_the_vault_gives_cannot_break_the_answer, green_names_the_mailbox_and_forgets_the_link,
      the_wrong_account_is_named_and_may_try_again, each_link_of_a_browser_finds_its_own_way_back, words_in_the_address_are_not_shown_by_themselves,
      hostile_names_and_texts_are_shown_as_text, loopback_has_one_name)
