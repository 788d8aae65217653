/* The control socket: every operation reaches its role, in the name of whoever asks, and nobody else's. */
#include "desk/route.h"
#include "desk/test_booth.h"

#include "base/trail.h"

#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void quiet(void *self, struct span line)
{
}

static struct booth *booth(void)
{
	trail_redirect(quiet, NULL);
	return booth_with("");
}

static struct span control(struct booth *s, const char *method, const char *target, const char *body)
{
	return booth_ask(s, &s->control, method, target, "Content-Type: application/json\r\n", body);
}

/* Every word of the row, filled with something of its kind. */
static void fill(const struct route_operation *o, struct buf *path, json_t *body, json_t *wanted)
{
	struct span parts = span_of(o->path), part, words[2] = { span_of(o->positional), span_of(o->options) }, word;

	while (span_cut(&parts, '/', &part))
		if (part.size)
			buf_print(path, "/%.*s", SPAN_ARGS(part.at[0] == '{' ? SPAN("v%40%20x") : part));
	for (int i = 0; i < 2; i++)
		while (span_cut(&words[i], ' ', &word)) {
			char name[64] = "", in_path[80];
			bool is_list = span_find_byte(word, '*') < word.size, is_switch = span_find_byte(word, '?') < word.size;
			json_t *value = is_list ? json_pack("[s,s]", "a", "b") : is_switch ? json_true() : json_string("v@ x");

			if (!word.size) {
				json_decref(value);
				continue;
			}
			for (size_t at = 0; at < word.size && !strchr("!*?=", word.at[at]); at++)
				name[at] = word.at[at] == '-' ? '_' : word.at[at];
			snprintf(in_path, sizeof in_path, "{%s}", name);
			json_object_set(wanted, name, value);
			if (strstr(o->path, in_path))
				json_decref(value);
			else
				json_object_set_new(body, name, value);
		}
	if (o->role == ROLE_VAULT)
		json_put_text(wanted, "public_url", SPAN(""));
}

static void every_operation_reaches_its_role_with_its_arguments(void **state)
{
	struct booth *s = booth();
	const struct route_operation *o;
	char url[100], name[40] = "root";

	if (geteuid())
		snprintf(name, sizeof name, "uid %u", geteuid());
	snprintf(url, sizeof url, "http://localhost:%u", s->web.port);
	for (size_t i = 0; (o = route_operation_row(i)); i++) {
		json_t *body = json_object(), *wanted = json_object(), *got;
		const struct booth_reply replies[] = { { o->name, FAULT_OK, "", "{\"done\":\"yes\"}" }, { NULL, 0, NULL, NULL } };
		struct buf path, text;
		struct span answer;

		buf_init(&path, 1000);
		buf_init(&text, 4000);
		fill(o, &path, body, wanted);
		buf_put_byte(&path, 0);
		json_write(&text, body);
		buf_put_byte(&text, 0);
		s->replies = replies;
		s->call_count = 0;
		answer = control(s, o->method, path.at, text.at);
		assert_int_equal(booth_status(answer), 200);
		assert_span(booth_body(answer), "{\"done\":\"yes\"}");
		assert_int_equal(s->call_count, 1);
		assert_int_equal(s->calls[0].role, o->role);
		assert_string_equal(s->calls[0].operation, o->name);
		assert_string_equal(s->calls[0].actor, name);
		if (o->role == ROLE_VAULT)
			json_put_text(wanted, "public_url", span_of(url));
		got = json_read(span_of(s->calls[0].arguments), 4096);
		if (!json_equal(got, wanted))
			fail_msg("%s got %s", o->name, s->calls[0].arguments);
		json_decref(body);
		json_decref(wanted);
		json_decref(got);
		buf_free(&path);
		buf_free(&text);
	}
	booth_end(s);
}

static void faults_become_their_status_in_the_language_asked_for(void **state)
{
	static const struct { enum fault fault; int status; } cases[] = {
		{ FAULT_NOT_FOUND, 404 }, { FAULT_EXISTS, 409 }, { FAULT_MALFORMED, 400 }, { FAULT_FORBIDDEN, 403 }, { FAULT_DATABASE_FAILED, 503 },
		{ FAULT_BUG, 500 }, { FAULT_IN_USE, 409 },
	};
	struct booth *s = booth();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (int l = 0; l < LANGUAGE_COUNT; l++) {
			const struct booth_reply replies[] = { { "org.show", cases[i].fault, "the \"why\"\r\n<b>", "" }, { NULL, 0, NULL, NULL } };
			struct span answer;
			json_t *body;

			s->replies = replies;
			answer = booth_ask(s, &s->control, "GET", "/api/v1/orgs/x", l ? "Accept-Language: fr\r\n" : "Accept-Language: en\r\n", "");
			assert_int_equal(booth_status(answer), cases[i].status);
			assert_span(booth_header(answer, "Content-Type"), "application/json");
			body = json_read(booth_body(answer), 4096);
			assert_non_null(body);
			assert_span(json_text(body, "fault"), fault_row(cases[i].fault)->name);
			assert_span(json_text(body, "says"), fault_row(cases[i].fault)->says[l]);
			assert_span(json_text(body, "remedy"), fault_row(cases[i].fault)->remedy_pattern[l]);
			assert_span(json_text(body, "why"), "the \"why\"\r\n<b>");
			assert_int_equal(booth_last(s)->language, l);
			json_decref(body);
		}
	booth_end(s);
}

static void wrong_requests_ask_nobody(void **state)
{
	static const struct { const char *method, *target, *body; int status; const char *says; } cases[] = {
		{ "GET", "/api/v1/nothing", "", 404, "NOT_FOUND" },
		{ "PUT", "/api/v1/orgs", "", 405, "METHOD_WRONG" },
		{ "GET", "/link/abc", "", 404, "NOT_FOUND" },
		{ "GET", "/", "", 404, "NOT_FOUND" },
		{ "POST", "/api/v1/orgs", "{\"name\":5.5}", 400, "name: a text is wanted" },
		{ "POST", "/api/v1/orgs", "{\"nom\":\"x\"}", 400, "nom: there is no such argument" },
		{ "POST", "/api/v1/orgs", "{\"name\":\"x\",\"public_url\":\"http://evil\"}", 400, "public_url: there is no such argument" },
		{ "POST", "/api/v1/orgs", "nonsense", 400, "body: a JSON object is wanted" },
		{ "GET", "/api/v1/orgs/%00", "", 400, "MALFORMED" },
	};
	struct booth *s = booth();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct span answer = control(s, cases[i].method, cases[i].target, cases[i].body);

		assert_int_equal(booth_status(answer), cases[i].status);
		assert_has(answer, cases[i].says);
		assert_int_equal(s->call_count, 0);
	}
	assert_span(booth_header(control(s, "PUT", "/api/v1/orgs", ""), "Allow"), "POST, GET, HEAD");
	booth_end(s);
}

static void roles_that_are_away_are_named(void **state)
{
	struct booth *s = booth();
	struct span answer;

	link_close(&s->vault);
	answer = control(s, "GET", "/api/v1/orgs", "");
	assert_int_equal(booth_status(answer), 503);
	assert_has(answer, "VAULT_AWAY");
	link_close(&s->post);
	answer = control(s, "GET", "/api/v1/queue", "");
	assert_int_equal(booth_status(answer), 503);
	assert_has(answer, "POST_AWAY");
	booth_link(s, ROLE_VAULT); /* the keeper brought it back */
	assert_int_equal(booth_status(control(s, "GET", "/api/v1/orgs", "")), 200);
	booth_end(s);
}

/* The vault dies with the question in its hands. */
static bool die(struct booth *s, const struct booth_call *call, struct booth_reply *reply)
{
	booth_link(s, ROLE_VAULT);
	s->vault_is_mute = true;
	return false;
}

static void a_role_that_dies_over_a_question_is_not_waited_for(void **state)
{
	struct booth *s = booth();
	struct link *old = s->vault;
	struct span answer;

	s->decide = die;
	answer = control(s, "GET", "/api/v1/orgs", "");
	assert_int_equal(booth_status(answer), 503);
	assert_has(answer, "VAULT_AWAY");
	assert_ptr_not_equal(s->vault, old);
	link_close(&old);
	booth_end(s);
}

/* Asks as another user, in a process of its own, since the kernel says who it is. */
static int status_as(struct booth *s, unsigned uid, unsigned gid)
{
	int ends[2], status = 0;
	char got[4];
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(chmod(s->control_path, 0666), 0);
	child = fork();
	if (!child) {
		struct booth other = { .loop = loop_new() };
		struct span answer;

		if (setgroups(0, NULL) || setgid(gid) || setuid(uid))
			_exit(9);
		test_end_init(&other.client, other.loop);
		answer = booth_ask(&other, &s->control, "GET", "/api/v1/orgs", "", "");
		(void)!write(ends[1], answer.at + 9, 3);
		_exit(0);
	}
	close(ends[1]);
	while (!waitpid(child, &status, WNOHANG))
		test_run_for(s->loop, 5);
	assert_int_equal(status, 0);
	assert_int_equal(read(ends[0], got, 4), 3);
	close(ends[0]);
	return atoi((char[]){ got[0], got[1], got[2], 0 });
}

static void only_root_ourselves_and_the_group_may_ask(void **state)
{
	struct booth *s = booth();

	if (geteuid()) { /* an ordinary user can be nobody else; roster_test has the other cases */
		assert_int_equal(booth_status(control(s, "GET", "/api/v1/orgs", "")), 200);
		booth_end(s);
		return;
	}
	assert_int_equal(status_as(s, 0, 0), 200);
	assert_string_equal(booth_last(s)->actor, "root");
	assert_int_equal(status_as(s, 1000, 1000), 200);
	assert_string_equal(booth_last(s)->actor, "ada");
	s->call_count = 0;
	assert_int_equal(status_as(s, 1001, 1001), 403);
	assert_int_equal(s->call_count, 0);
	assert_int_equal(status_as(s, 1001, 901), 200);
	assert_string_equal(booth_last(s)->actor, "uid 1001");
	booth_end(s);
}

TESTS(every_operation_reaches_its_role_with_its_arguments, faults_become_their_status_in_the_language_asked_for, wrong_requests_ask_nobody,
      roles_that_are_away_are_named, a_role_that_dies_over_a_question_is_not_waited_for, only_root_ourselves_and_the_group_may_ask)
