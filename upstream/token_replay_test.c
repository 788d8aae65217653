/* The life of tokens on virtual time, against a token endpoint that does what it is told. */
#include "upstream/token.h"

#include "base/clock.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/http_server.h"
#include "tests/test.h"

#include <stdlib.h>

enum { WALL_S = 1750000000, STEPS_MAX = 64, MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS, MAILBOX = 7 };

/* One thing that the endpoint does to one request; the last is repeated. */
struct step {
	int status;          /* 0: never answers; -1: cuts the connection after it has rotated the token */
	const char *body;    /* NULL: a token */
	const char *retry_after;
	bool keeps;          /* gives no new refresh token */
};

struct bench {
	struct loop *loop;
	struct dns *dns;
	struct http_client *http;
	struct http_server *server;
	struct provider *provider;
	struct tokens *tokens;
	const struct step *steps;
	size_t step_count, asked, rotation;
	char refresh_seen[STEPS_MAX][64];
	int64_t asked_at_ms[STEPS_MAX];
	bool is_strict; /* a refresh token is good once */
	char valid[64];
	struct http_exchange *unanswered[STEPS_MAX];
	size_t unanswered_count;

	/* what the vault keeps */
	char refresh[64], before[64], access[64];
	int64_t expires_at_ms;
	uint64_t generation;
	unsigned saves, saves_to_fail;
	bool is_loading, is_saving;
	enum fault changed;
	unsigned changes;
	struct timer later;

	/* what was answered */
	unsigned answers;
	struct token_answer last;
	char last_token[64], last_why[600];
};

static void copy(char *to, size_t size, struct span from)
{
	snprintf(to, size, "%.*s", SPAN_ARGS(from));
}

/* --- the endpoint */

static void answer_token(struct bench *b, struct http_exchange *x, const struct step *s)
{
	char body[512];

	b->rotation++;
	if (s->keeps)
		snprintf(body, sizeof body, "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"access-%zu\"}", b->rotation);
	else
		snprintf(body, sizeof body, "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"access-%zu\",\"refresh_token\":\"refresh-%zu\"}",
			 b->rotation, b->rotation);
	if (!s->keeps)
		snprintf(b->valid, sizeof b->valid, "refresh-%zu", b->rotation);
	http_answer(x, 200, SPAN("application/json"), NULL, 0, span_of(body));
}

static void serve(void *self, struct http_exchange *x)
{
	struct bench *b = self;
	const struct step *s = &b->steps[b->asked < b->step_count ? b->asked : b->step_count - 1];
	const struct span retry[1][2] = { { { "Retry-After", 11 }, span_of(s->retry_after) } };
	struct buf refresh;

	if (span_equal(http_seen(x)->method, SPAN("GET"))) {
		http_answer(x, 200, SPAN("application/json"), NULL, 0,
			    SPAN("{\"issuer\":\"http://127.0.0.1:8080\",\"authorization_endpoint\":\"http://127.0.0.1:8080/authorize\","
				 "\"token_endpoint\":\"http://127.0.0.1:8080/token\"}"));
		return;
	}
	assert_in_range(b->asked, 0, STEPS_MAX - 1);
	buf_init(&refresh, 64);
	assert_true(http_field(http_seen(x)->body, SPAN("refresh_token"), &refresh));
	copy(b->refresh_seen[b->asked], sizeof b->refresh_seen[0], buf_span(&refresh));
	buf_free(&refresh);
	b->asked_at_ms[b->asked++] = world_ms();
	if (b->is_strict && s->status == 200 && strcmp(b->refresh_seen[b->asked - 1], b->valid))
		http_answer(x, 400, SPAN("application/json"), NULL, 0, SPAN("{\"error\":\"invalid_grant\",\"error_description\":\"reused\"}"));
	else if (s->status == -1) {
		b->rotation++;
		snprintf(b->valid, sizeof b->valid, "refresh-%zu", b->rotation);
		http_cut(x);
	} else if (s->status && s->body)
		http_answer(x, s->status, SPAN("application/json"), retry, s->retry_after ? 1 : 0, span_of(s->body));
	else if (s->status)
		answer_token(b, x, s);
	else
		b->unanswered[b->unanswered_count++] = x;
}

/* --- the vault's side */

static void do_later(void *self)
{
	struct bench *b = self;
	struct token_kept kept = { span_of(b->refresh), span_of(b->before), span_of(b->access), b->expires_at_ms, b->generation,
				   SPAN("http://127.0.0.1:8080"), SPAN("subject-1") };

	if (b->is_loading) {
		b->is_loading = false;
		tokens_loaded(b->tokens, MAILBOX, FAULT_OK, &kept);
	} else if (b->is_saving) {
		b->is_saving = false;
		if (b->saves_to_fail) {
			b->saves_to_fail--;
			tokens_stored(b->tokens, MAILBOX, FAULT_DISK_FULL);
		} else {
			b->saves++;
			tokens_stored(b->tokens, MAILBOX, FAULT_OK);
		}
	}
}

static void load(void *host, uint64_t mailbox)
{
	struct bench *b = host;

	b->is_loading = true;
	timer_after(&b->later, 1);
}

static void save(void *host, uint64_t mailbox, const struct token_kept *kept)
{
	struct bench *b = host;

	copy(b->refresh, sizeof b->refresh, kept->refresh_token);
	copy(b->before, sizeof b->before, kept->refresh_token_before);
	copy(b->access, sizeof b->access, kept->access_token);
	b->expires_at_ms = kept->expires_at_ms;
	b->generation = kept->generation;
	b->is_saving = true;
	timer_after(&b->later, 5);
}

static struct provider *provider_of(void *host, uint64_t mailbox)
{
	return ((struct bench *)host)->provider;
}

static void changed(void *host, uint64_t mailbox, enum fault fault, struct span why)
{
	struct bench *b = host;

	b->changed = fault;
	b->changes++;
}

static const struct token_host host = { load, save, provider_of, changed };

static void got(void *self, uint64_t request, const struct token_answer *a)
{
	struct bench *b = self;

	b->answers++;
	b->last = *a;
	copy(b->last_token, sizeof b->last_token, a->access_token);
	copy(b->last_why, sizeof b->last_why, a->why);
}

static void set_up(struct bench *b, const struct step *steps, size_t step_count)
{
	struct address any;
	struct provider_row row = { .id = 1, .name = SPAN("p"), .kind = SPAN("oidc"), .client_id = SPAN("app"), .smtp_host = SPAN("localhost"),
				    .smtp_tls = -1, .mechanism = -1 };
	const struct http_server_settings settings = { 0 };

	*b = (struct bench){ .steps = steps, .step_count = step_count, .refresh = "first", .valid = "first", .generation = 1 };
	world_begin(11, WALL_S * 1000LL);
	b->loop = loop_new();
	b->dns = dns_new(b->loop, SPAN(""), SPAN(""));
	b->http = http_client_new(b->loop, b->dns, SPAN(""));
	assert_true(address_parse(&any, SPAN("127.0.0.1"), 8080));
	b->server = http_server_new(b->loop, listener_bind(&any, 16), NULL, &settings, serve, b);
	row.issuer = SPAN("http://127.0.0.1:8080");
	b->provider = provider_new_take(b->loop, b->http, &row, NULL, NULL);
	timer_init(&b->later, b->loop, do_later, b);
	b->tokens = tokens_new(b->loop, b->http, &host, b);
	tokens_add(b->tokens, MAILBOX, clock_wall_ms(), FAULT_OK, SPAN(""));
}

static void tear_down(struct bench *b)
{
	tokens_free(&b->tokens);
	provider_free(&b->provider);
	timer_stop(&b->later);
	for (size_t i = 0; i < b->unanswered_count; i++)
		http_cut(b->unanswered[i]);
	http_server_finish(&b->server);
	world_run_until(world_ms() + MINUTE_MS, NULL, NULL);
	http_client_free(&b->http);
	dns_free(&b->dns);
	loop_free(&b->loop);
	world_end();
}

static void pass(int64_t ms)
{
	world_run_until(world_ms() + ms, NULL, NULL);
}

/* Asks and waits; the fault that came. */
static enum fault want(struct bench *b, uint64_t refused_generation)
{
	unsigned before = b->answers;

	tokens_want(b->tokens, MAILBOX, refused_generation, got, b, 1);
	pass(25 * 1000);
	assert_int_equal(b->answers, before + 1);
	return b->last.fault;
}

static const struct step good[] = { { 200, NULL, NULL, false } };
#define SET_UP(b, ...)                                                \
	static const struct step steps[] = { __VA_ARGS__ };           \
	set_up(b, steps, sizeof steps / sizeof *steps)

static void fifty_waiters_share_one_refresh(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	for (uint64_t i = 0; i < 50; i++)
		tokens_want(b.tokens, MAILBOX, 0, got, &b, i);
	assert_int_equal(b.answers, 0);
	pass(5000);
	assert_int_equal(b.answers, 50);
	assert_int_equal(b.last.fault, FAULT_OK);
	assert_string_equal(b.last_token, "access-1");
	assert_int_equal(b.asked, 1);
	assert_int_equal(b.saves, 1);
	assert_string_equal(b.refresh, "refresh-1");
	assert_string_equal(b.before, "first");
	assert_int_equal(b.generation, 2);
	tear_down(&b);
}

static void a_token_serves_from_memory_and_is_renewed_ahead_of_its_end(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	want(&b, 0);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_int_equal(b.asked, 1);
	pass(40 * MINUTE_MS);
	assert_int_equal(b.asked, 1);
	pass(18 * MINUTE_MS);
	assert_int_equal(b.asked, 2);
	assert_in_range(b.asked_at_ms[1] - b.asked_at_ms[0], 42 * MINUTE_MS, 54 * MINUTE_MS);
	want(&b, 0);
	assert_string_equal(b.last_token, "access-2");
	assert_int_equal(b.asked, 2);
	tear_down(&b);
}

static void an_unused_token_is_left_to_end(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	want(&b, 0);
	pass(10 * HOUR_MS);
	/* Once ahead of its end, since it was used; nobody used the second. */
	assert_int_equal(b.asked, 2);
	assert_false(tokens_state(b.tokens, MAILBOX).has_token);
	tear_down(&b);
}

static void a_provider_that_asks_for_patience_gets_it(void **state)
{
	struct bench b;

	SET_UP(&b, { 429, "{\"error\":\"too_many\"}", "120", false }, { 200, NULL, NULL, false });
	assert_int_equal(want(&b, 0), FAULT_OAUTH_THROTTLED);
	for (int i = 0; i < 3; i++)
		assert_int_equal(want(&b, 0), FAULT_OAUTH_THROTTLED);
	assert_int_equal(b.asked, 1);
	pass(40 * 1000);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_in_range(b.asked_at_ms[1] - b.asked_at_ms[0], 120 * 1000, 200 * 1000);
	assert_int_equal(b.changed, FAULT_OK);
	assert_int_equal(b.changes, 2);
	tear_down(&b);
}

static void failures_are_tried_ever_more_slowly(void **state)
{
	struct bench b;

	SET_UP(&b, { 500, "", NULL, false }, { 503, "<html>busy</html>", NULL, false }, { 200, "<html>hotel</html>", NULL, false },
	       { 400, "{\"error\":\"temporarily_unavailable\"}", NULL, false }, { 200, "{}", NULL, false }, { 502, "", NULL, false });
	for (int i = 0; i < 3600; i++) {
		tokens_want(b.tokens, MAILBOX, 0, got, &b, 1);
		pass(1000);
		assert_int_not_equal(b.last.fault, FAULT_OK);
		assert_int_equal(fault_row(b.last.fault)->class, FAULT_CLASS_RETRY);
	}
	assert_in_range(b.asked, 9, 13);
	for (size_t i = 1; i < b.asked; i++)
		assert_true(b.asked_at_ms[i] - b.asked_at_ms[i - 1] >= (i < 8 ? (5000 << (i - 1)) * 8 / 10 : 10 * MINUTE_MS));
	assert_int_equal(b.saves, 0);
	tear_down(&b);
}

/* Whatever the transport says of it: the mail that waits is not at fault. */
static void an_answer_that_is_too_large_is_tried_again(void **state)
{
	static char huge[1024 * 1024];
	struct bench b;

	memset(huge, 'x', sizeof huge - 1);
	SET_UP(&b, { 200, huge, NULL, false }, { 200, NULL, NULL, false });
	assert_int_equal(want(&b, 0), FAULT_UPSTREAM_BROKEN);
	pass(10 * 1000);
	assert_int_equal(want(&b, 0), FAULT_OK);
	tear_down(&b);
}

static void a_slow_endpoint_is_given_up_and_not_asked_twice(void **state)
{
	struct bench b;

	SET_UP(&b, { 0, NULL, NULL, false }, { 200, NULL, NULL, false });
	assert_int_equal(want(&b, 0), FAULT_TIMEOUT);
	assert_int_equal(b.asked, 1);
	pass(10 * 1000);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_int_equal(b.asked, 2);
	assert_string_equal(b.refresh_seen[1], "first");
	tear_down(&b);
}

/* The provider has rotated, its answer was lost: where the old token still counts (Entra), nothing is lost. */
static void an_answer_that_was_cut_is_asked_for_again_where_the_old_token_counts(void **state)
{
	struct bench b;

	SET_UP(&b, { -1, NULL, NULL, false }, { 200, NULL, NULL, false });
	assert_int_equal(fault_row(want(&b, 0))->class, FAULT_CLASS_RETRY);
	assert_int_equal(b.asked, 1);
	pass(10 * 1000);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_string_equal(b.refresh_seen[1], "first");
	tear_down(&b);
}

/* Where it does not count, a person has to sign in: the token before is tried once, and the mail is held. */
static void an_answer_that_was_cut_needs_a_person_where_tokens_are_good_once(void **state)
{
	struct bench b;

	SET_UP(&b, { -1, NULL, NULL, false }, { 200, NULL, NULL, false });
	b.is_strict = true;
	snprintf(b.before, sizeof b.before, "older");
	want(&b, 0);
	pass(10 * 1000);
	assert_int_equal(want(&b, 0), FAULT_OAUTH_GRANT_ENDED);
	assert_int_equal(fault_row(b.last.fault)->class, FAULT_CLASS_HOLD);
	assert_string_equal(b.last_why, "reused");
	assert_int_equal(b.asked, 3);
	assert_string_equal(b.refresh_seen[1], "first");
	assert_string_equal(b.refresh_seen[2], "older");
	assert_int_equal(b.changed, FAULT_OAUTH_GRANT_ENDED);
	tear_down(&b);
}

static void the_token_before_is_tried_when_the_newest_is_refused(void **state)
{
	struct bench b;

	SET_UP(&b, { 400, "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70000\"}", NULL, false }, { 200, NULL, NULL, false });
	snprintf(b.before, sizeof b.before, "older");
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_int_equal(b.asked, 2);
	assert_string_equal(b.refresh_seen[1], "older");
	assert_string_equal(b.refresh, "refresh-1");
	tear_down(&b);
}

/* A sign-in that a policy blocked works again by itself when the policy is changed. */
static void what_a_person_mended_is_noticed(void **state)
{
	struct bench b;

	SET_UP(&b, { 400, "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS50057: The user account is disabled.\"}", NULL, false },
	       { 200, NULL, NULL, false });
	assert_int_equal(want(&b, 0), FAULT_ACCOUNT_DISABLED);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_int_equal(b.changed, FAULT_OK);
	tear_down(&b);
}

static void a_token_is_given_to_nobody_before_it_is_stored(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	b.saves_to_fail = 2;
	tokens_want(b.tokens, MAILBOX, 0, got, &b, 1);
	pass(3000);
	assert_int_equal(b.answers, 1);
	assert_int_equal(b.last.fault, FAULT_DISK_FULL);
	assert_int_equal(b.last_token[0], 0);
	tokens_want(b.tokens, MAILBOX, 0, got, &b, 2);
	pass(1000);
	assert_int_equal(b.answers, 1);
	pass(60 * 1000);
	assert_int_equal(b.answers, 2);
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_string_equal(b.last_token, "access-1");
	assert_int_equal(b.asked, 1);
	assert_int_equal(b.saves, 1);
	tear_down(&b);
}

static void a_refused_token_is_renewed_once(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	want(&b, 0);
	assert_int_equal(want(&b, 2), FAULT_OK);
	assert_int_equal(b.asked, 2);
	assert_string_equal(b.last_token, "access-2");
	assert_int_equal(want(&b, b.last.generation), FAULT_OK);
	assert_int_equal(b.asked, 2);
	/* An older number means that somebody else renewed it meanwhile. */
	assert_int_equal(want(&b, 2), FAULT_OK);
	assert_int_equal(b.asked, 2);
	pass(MINUTE_MS);
	assert_int_equal(want(&b, b.last.generation), FAULT_OK);
	assert_int_equal(b.asked, 3);
	tear_down(&b);
}

static void tokens_of_another_account_are_not_stored(void **state)
{
	/* {"iss":"http://127.0.0.1:8080","sub":"subject-2","email":"eve@example.com","email_verified":true} */
	struct bench b;

	SET_UP(&b, { 200, "{\"access_token\":\"a\",\"refresh_token\":\"r\",\"id_token\":\"e30.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjgwODAiLCJzdWIi"
			  "OiJzdWJqZWN0LTIiLCJlbWFpbCI6ImV2ZUBleGFtcGxlLmNvbSIsImVtYWlsX3ZlcmlmaWVkIjp0cnVlfQ.\"}", NULL, false });
	assert_int_equal(want(&b, 0), FAULT_WRONG_ACCOUNT);
	assert_non_null(strstr(b.last_why, "eve@example.com"));
	assert_int_equal(b.saves, 0);
	assert_string_equal(b.refresh, "first");
	tear_down(&b);
}

static void idle_tokens_are_kept_alive(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	for (int minute = 0; minute < 29 * 24 * 60; minute++) {
		tokens_keep_alive(b.tokens, 10);
		pass(MINUTE_MS);
	}
	assert_int_equal(b.asked, 2);
	assert_in_range(b.asked_at_ms[0], 12 * (int64_t)DAY_MS, 14 * (int64_t)DAY_MS + HOUR_MS);
	tear_down(&b);
}

static void a_token_survives_a_restart(void **state)
{
	struct bench b;

	set_up(&b, good, 1);
	snprintf(b.access, sizeof b.access, "kept");
	b.expires_at_ms = clock_wall_ms() + 20 * MINUTE_MS;
	assert_int_equal(want(&b, 0), FAULT_OK);
	assert_string_equal(b.last_token, "kept");
	assert_int_equal(b.asked, 0);
	tear_down(&b);
}

static void a_new_sign_in_replaces_a_refresh_under_way(void **state)
{
	const struct token_kept kept = { .access_token = SPAN("fresh"), .generation = 9, .expires_at_ms = (WALL_S + 7200) * 1000LL };
	struct bench b;

	SET_UP(&b, { 0, NULL, NULL, false });
	tokens_want(b.tokens, MAILBOX, 0, got, &b, 1);
	pass(3000);
	assert_int_equal(tokens_in_flight(b.tokens), 1);
	tokens_linked(b.tokens, MAILBOX, &kept);
	assert_int_equal(b.answers, 1);
	assert_string_equal(b.last_token, "fresh");
	assert_int_equal(tokens_in_flight(b.tokens), 0);
	pass(60 * 1000);
	assert_int_equal(b.saves, 0);
	assert_int_equal(b.answers, 1);
	tear_down(&b);
}

static void what_is_removed_is_not_linked(void **state)
{
	struct bench b;

	SET_UP(&b, { 0, NULL, NULL, false });
	tokens_want(b.tokens, MAILBOX, 0, got, &b, 1);
	pass(3000);
	tokens_remove(b.tokens, MAILBOX);
	assert_int_equal(b.answers, 1);
	assert_int_equal(b.last.fault, FAULT_NOT_LINKED);
	assert_int_equal(want(&b, 0), FAULT_NOT_LINKED);
	tear_down(&b);
}

/* --- many mailboxes at once */

static void load_at_once(void *self, uint64_t mailbox)
{
	/* Not from inside: the test gives it. */
}

static void save_never(void *self, uint64_t mailbox, const struct token_kept *kept)
{
}

static void requests_in_flight_have_a_ceiling(void **state)
{
	static const struct token_host many = { load_at_once, save_never, provider_of, changed };
	const struct token_kept kept = { .refresh_token = SPAN("r"), .generation = 1 };
	struct tokens *tokens;
	struct bench b;

	SET_UP(&b, { 0, NULL, NULL, false });
	b.asked = 0;
	tokens = tokens_new(b.loop, b.http, &many, &b);
	for (uint64_t i = 100; i < 400; i++) {
		tokens_add(tokens, i, clock_wall_ms(), FAULT_OK, SPAN(""));
		tokens_want(tokens, i, 0, got, &b, i);
		tokens_loaded(tokens, i, FAULT_OK, &kept);
	}
	assert_int_equal(tokens_in_flight(tokens), 64);
	for (uint64_t i = 100; i < 400; i++)
		tokens_remove(tokens, i);
	assert_int_equal(tokens_in_flight(tokens), 0);
	assert_int_equal(b.answers, 300);
	tokens_free(&tokens);
	tear_down(&b);
}

TESTS(fifty_waiters_share_one_refresh, a_token_serves_from_memory_and_is_renewed_ahead_of_its_end, an_unused_token_is_left_to_end,
      a_provider_that_asks_for_patience_gets_it, failures_are_tried_ever_more_slowly, an_answer_that_is_too_large_is_tried_again, a_slow_endpoint_is_given_up_and_not_asked_twice,
      an_answer_that_was_cut_is_asked_for_again_where_the_old_token_counts,
      an_answer_that_was_cut_needs_a_person_where_tokens_are_good_once, the_token_before_is_tried_when_the_newest_is_refused,
      what_a_person_mended_is_noticed, a_token_is_given_to_nobody_before_it_is_stored, a_refused_token_is_renewed_once,
      tokens_of_another_account_are_not_stored, idle_tokens_are_kept_alive, a_token_survives_a_restart,
      a_new_sign_in_replaces_a_refresh_under_way, what_is_removed_is_not_linked, requests_in_flight_have_a_ceiling)
