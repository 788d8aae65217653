/* The whole twin on virtual time: its endpoints by HTTP, and each way in which they can be told to fail. */
#include "twin/twin.h"

#include "base/json.h"
#include "loop/fake/world.h"
#include "loop/http_client.h"
#include "tests/test.h"

static struct loop *loop;
static struct dns *dns;
static struct http_client *client;
static struct twin *twin;
static struct twin_keys *keys;
static struct buf saved_keys;

static struct {
	bool done;
	enum fault fault;
	int status;
	int64_t retry_after_ms, at_ms;
	struct buf body;
	char content_type[128];
} answer;

static void begin(void)
{
	char certificate[512], why[TWIN_WHY_BYTES] = "";
	struct world_network quick = { 1, 1, 0, 0, 256 * 1024, 1500 };
	struct twin_settings settings = { .smtp_port = 0, .http_port = 0 };

	world_begin(7, 1433160000000);
	world_network(&quick);
	if (!saved_keys.size) {
		buf_init(&saved_keys, TWIN_PEM_BYTES * 4);
		assert_int_equal(twin_keys_make(&keys, 1433160000000), FAULT_OK);
		assert_int_equal(twin_keys_save(keys, &saved_keys), FAULT_OK);
		twin_keys_free(&keys);
	}
	assert_int_equal(twin_keys_load(&settings.keys, buf_span(&saved_keys), 1433160000000), FAULT_OK);
	settings.certificate_pem = settings.key_pem = world_certificate(certificate, "localhost", "ca", (int64_t)4102444800000);
	loop = world_loop("twin");
	assert_int_equal(twin_new(&twin, loop, &settings, why), FAULT_OK);
	world_name("localhost", "127.0.0.1");
	dns = dns_new(loop, SPAN(""), SPAN(""));
	client = http_client_new(loop, dns, SPAN(""));
	buf_init(&answer.body, 1 << 20);
}

static void end(void)
{
	twin_free(&twin);
	http_client_free(&client);
	dns_free(&dns);
	world_run_until(loop_now_ms(loop) + 30000, NULL, NULL);
	loop_free(&loop);
	world_end();
	buf_free(&answer.body);
}

static void on_done(void *self, const struct http_answer *a)
{
	answer.done = true;
	answer.fault = a->fault;
	answer.status = a->status;
	answer.retry_after_ms = a->retry_after_ms;
	answer.at_ms = loop_now_ms(loop);
	buf_put(&answer.body, a->body);
	snprintf(answer.content_type, sizeof answer.content_type, "%.*s", SPAN_ARGS(a->content_type));
}

/* Posts a form (or gets, without one); how many virtual ms it took. */
static int64_t ask(const char *path, const char *form, int timeout_ms)
{
	static const struct http_header type[] = { { { "Content-Type", 12 }, { "application/x-www-form-urlencoded", 33 } } };
	int64_t from = loop_now_ms(loop);
	char url[512];

	snprintf(url, sizeof url, "%s%s", twin_url(twin), path);
	answer.done = false;
	buf_clear(&answer.body);
	http_fetch(client,
		   &(struct http_request){ .method = form ? SPAN("POST") : SPAN("GET"), .url = span_of(url), .headers = type, .header_count = form ? 1 : 0,
					   .body = span_of(form ? form : ""), .timeout_ms = timeout_ms },
		   on_done, NULL);
	world_run_until(from + timeout_ms + 5000, NULL, NULL);
	assert_true(answer.done);
	return answer.at_ms - from;
}

static void script(const char *name, const char *stage, int64_t ms)
{
	assert_int_equal(twin_fault(twin, &(struct twin_script_wish){ .name = span_of(name), .stage = span_of(stage), .ms = ms }), FAULT_OK);
}

static void endpoints_over_http(void **state)
{
	json_t *json;

	begin();
	ask("/contoso.example/v2.0/.well-known/openid-configuration", NULL, 5000);
	assert_int_equal(answer.status, 200);
	json = json_read(buf_span(&answer.body), 1 << 20);
	assert_true(span_starts(json_text(json, "issuer"), span_of(twin_url(twin))));
	json_decref(json);
	ask("/contoso.example/oauth2/v2.0/token", "grant_type=refresh_token&refresh_token=x&client_id=5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01", 5000);
	assert_int_equal(answer.status, 400);
	ask("/nowhere", NULL, 5000);
	assert_int_equal(answer.status, 404);
	ask("/", NULL, 5000);
	assert_int_equal(answer.status, 200);
	ask("/twin/style.css", NULL, 5000);
	assert_string_equal(answer.content_type, "text/css; charset=utf-8");
	assert_int_equal(twin_set(twin, SPAN("smtp_auth"), SPAN("off"), SPAN("")), FAULT_OK);
	assert_int_equal(twin_set(twin, SPAN("nonsense"), SPAN("off"), SPAN("")), FAULT_NOT_FOUND);
	twin_reset(twin);
	assert_int_equal(twin_tenant(twin)->values[TWIN_SWITCH_smtp_auth], TWIN_ON);
	end();
}

static void script_text(const char *name, const char *text)
{
	assert_int_equal(twin_fault(twin, &(struct twin_script_wish){ .name = span_of(name), .text = span_of(text) }), FAULT_OK);
}

static void a_token_endpoint_that_talks_nonsense(void **state)
{
	static const char path[] = "/contoso.example/oauth2/v2.0/token",
			  form[] = "grant_type=refresh_token&refresh_token=x&client_id=5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01";
	unsigned by_chance = 0;

	begin();
	script_text("too_many", "Wed, 15 Nov 2034 00:00:00 GMT");
	ask(path, form, 3000);
	assert_int_equal(answer.status, 429);
	assert_true(answer.retry_after_ms > 0);
	script_text("too_many", "soon");
	ask(path, form, 3000);
	assert_int_equal(answer.status, 429);
	assert_int_equal(answer.retry_after_ms, -1);
	script_text("garbage", "{\"access_token\": \"half");
	ask(path, form, 3000);
	assert_int_equal(answer.status, 200);
	assert_span(buf_span(&answer.body), "{\"access_token\": \"half");
	script_text("amend", "{\"error\":7,\"error_description\":null}");
	ask(path, form, 3000);
	assert_int_equal(answer.status, 400);
	assert_true(span_find(buf_span(&answer.body), SPAN("\"error\":7")) < answer.body.size);
	assert_true(span_find(buf_span(&answer.body), SPAN("error_description")) == answer.body.size);
	script("huge", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.fault, FAULT_TOO_LARGE);
	assert_int_equal(twin_fault(twin, &(struct twin_script_wish){ .name = SPAN("unavailable"), .times = TWIN_ALWAYS, .percent = 30 }), FAULT_OK);
	for (int i = 0; i < 100; i++) {
		ask(path, form, 3000);
		by_chance += answer.status == 503;
	}
	assert_in_range(by_chance, 10, 60);
	script("unavailable", "", 0);
	twin_unscript(twin);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 400);
	end();
}

static void a_token_endpoint_that_fails(void **state)
{
	static const char path[] = "/contoso.example/oauth2/v2.0/token",
			  form[] = "grant_type=refresh_token&refresh_token=x&client_id=5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01";

	begin();
	script("slow", "", 4000);
	assert_true(ask(path, form, 10000) >= 4000);
	assert_int_equal(answer.status, 400);
	script("hang", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 0);
	assert_int_equal(answer.fault, FAULT_TIMEOUT);
	script("down", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 0);
	assert_int_not_equal(answer.fault, FAULT_OK);
	script("cut_after_rotating", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 0);
	script("too_many", "", 7000);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 429);
	assert_int_equal(answer.retry_after_ms, 7000);
	script("unavailable", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 503);
	script("html", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 200);
	assert_true(span_starts(buf_span(&answer.body), SPAN("<!doctype html>")));
	script("aadsts53003", "", 0);
	ask(path, form, 3000);
	assert_int_equal(answer.status, 400);
	assert_true(span_find(buf_span(&answer.body), SPAN("AADSTS53003: Access has been blocked by Conditional Access policies.")) < answer.body.size);
	script("server_error", "keys", 0);
	ask("/common/discovery/v2.0/keys", NULL, 3000);
	assert_int_equal(answer.status, 500);
	ask("/common/discovery/v2.0/keys", NULL, 3000);
	assert_int_equal(answer.status, 200);
	end();
}

/* Ended while an answer waits: nothing is left behind. */
static void an_end_in_the_middle(void **state)
{
	static const char path[] = "/common/discovery/v2.0/keys";
	char url[512];

	begin();
	script("slow", "keys", 100000);
	snprintf(url, sizeof url, "%s%s", twin_url(twin), path);
	answer.done = false;
	http_fetch(client, &(struct http_request){ .method = SPAN("GET"), .url = span_of(url), .timeout_ms = 1000000 }, on_done, NULL);
	world_run_until(loop_now_ms(loop) + 1000, NULL, NULL);
	assert_false(answer.done);
	end();
}

TESTS(endpoints_over_http, a_token_endpoint_that_fails, a_token_endpoint_that_talks_nonsense, an_end_in_the_middle)
