/* What lapses is listed, measured and warned of, each once. */
#include "tests/vault_stage.h"

#include "base/fake/fake.h"
#include "base/metric.h"
#include "base/text.h"

enum { DAY_S = 86400, HOUR_MS = 3600 * 1000 };

static unsigned warnings;
static char last[2000];

static void hear(void *self, struct span line)
{
	if (span_find(line, SPAN("event=vault.lapse")) == line.size)
		return;
	warnings++;
	snprintf(last, sizeof last, "%.*s", SPAN_ARGS(line));
}

static void listen(void)
{
	warnings = 0;
	*last = 0;
	trail_configure(TRAIL_LOGFMT, LEVEL_WARNING);
	trail_redirect(hear, NULL);
}

static void unlisten(void)
{
	trail_redirect(NULL, NULL);
}

static void in_days(int64_t days, char out[32])
{
	struct buf b;

	buf_over(&b, out, 31);
	assert_true(text_date(&b, clock_wall_ms() + days * DAY_S * 1000));
	out[b.size] = 0;
}

static const json_t *lapse_of(struct stage *s, const char *what)
{
	const json_t *item;
	size_t at;

	assert_int_equal(stage_call(s, "status", "{}"), FAULT_OK);
	json_array_foreach(json_object_get(s->result, "lapses"), at, item)
		if (!strcmp(json_string_value(json_object_get(item, "what")), what))
			return item;
	return NULL;
}

static const char *member(const json_t *lapse, const char *name)
{
	const char *text = json_string_value(json_object_get(lapse, name));

	return text ? text : "";
}

static void an_end_is_asked_for_and_read(void **state)
{
	static const char *const bad[] = { "soon", "2027-02-30", "31.01.2027", "1970-01-01" };
	struct stage s;
	char date[32];

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','client_secret':'another'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "client_secret_ends_at"), "unknown");
	assert_non_null(strstr(stage_text(&s, "warning"), "postern provider set m365 --expires"));
	assert_string_equal(member(lapse_of(&s, "client_secret"), "ends_at"), "");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','expires':'%s'}", bad[i]), FAULT_MALFORMED);
	in_days(40, date);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','expires':'%s'}", date), FAULT_OK);
	assert_string_equal(stage_text(&s, "client_secret_ends_at"), date);
	assert_string_equal(stage_text(&s, "warning"), "");
	assert_string_equal(member(lapse_of(&s, "client_secret"), "ends_at"), date);
	assert_non_null(strstr(member(lapse_of(&s, "client_secret"), "remedy"), "postern provider set m365"));
	/* It outlives a restart; a setting beside it changes nothing; of another secret it says nothing. */
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','smtp_port':'2588'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "client_secret_ends_at"), date);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','client_secret':'third'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "client_secret_ends_at"), "unknown");
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','expires':'never'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "client_secret_ends_at"), "never");
	assert_null(lapse_of(&s, "client_secret"));
	stage_end(&s);
}

static void each_warning_comes_once(void **state)
{
	struct stage s;
	char date[32];

	stage_begin(&s);
	stage_people(&s);
	listen();
	in_days(20, date);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','expires':'%s'}", date), FAULT_OK);
	stage_pass(&s, 3 * HOUR_MS);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(last, "what=client_secret object=m365 organisation=school"));
	assert_non_null(strstr(last, "stage=30"));
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	stage_pass(&s, 3 * HOUR_MS);
	assert_int_equal(warnings, 1);
	/* Far away again, and near again: that is another end, and another warning. */
	in_days(400, date);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','expires':'%s'}", date), FAULT_OK);
	stage_pass(&s, HOUR_MS);
	in_days(6, date);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','expires':'%s'}", date), FAULT_OK);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(warnings, 2);
	assert_non_null(strstr(last, "stage=7"));
	stage_pass(&s, (int64_t)8 * 24 * HOUR_MS);
	assert_int_equal(warnings, 3);
	assert_non_null(strstr(last, "stage=1 "));
	unlisten();
	assert_int_equal(json_integer_value(json_object_get(lapse_of(&s, "client_secret"), "days")), -3);
	stage_end(&s);
}

static void passwords_at_microsoft_are_retired(void **state)
{
	const json_t *lapse;
	struct stage s;
	struct buf metrics;

	stage_begin(&s);
	stage_people(&s);
	assert_null(lapse_of(&s, "retirement/microsoft_basic_off"));
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','mechanism':'plain','expires':'2030-01-01'}"), FAULT_OK);
	assert_null(lapse_of(&s, "retirement/microsoft_basic_off"));
	/* From June 2025 to November 2026. */
	stage_pass(&s, HOUR_MS);
	fake_clock_skew((int64_t)530 * DAY_S * 1000);
	stage_pass(&s, 2 * HOUR_MS);
	lapse = lapse_of(&s, "retirement/microsoft_basic_off");
	assert_non_null(lapse);
	assert_string_equal(member(lapse, "ends_at"), "2026-12-31T00:00:00.000Z");
	assert_non_null(strstr(member(lapse, "says"), "m365"));
	assert_null(lapse_of(&s, "retirement/outlook_basic"));
	buf_init(&metrics, 1024 * 1024);
	metric_expose(&metrics, "vault", 0, false);
	assert_true(span_find(buf_span(&metrics), SPAN("postern_lapse_seconds{role=\"vault\",index=\"0\",what=\"retirement\"} ")) < metrics.size);
	assert_true(span_find(buf_span(&metrics), SPAN("what=\"certificate\"")) == metrics.size);
	buf_free(&metrics);
	stage_end(&s);
}

/* A token that the provider gave an end, as a consent screen in testing does; one whose end moves with each refresh has none. */
static void only_an_end_that_stays_is_one(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	s.idp.refresh_ends_s = clock_wall_ms() / 1000 + 7 * DAY_S;
	stage_linked(&s);
	assert_null(lapse_of(&s, "sign_in"));
	stage_pass(&s, HOUR_MS);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_non_null(lapse_of(&s, "sign_in"));
	assert_string_equal(member(lapse_of(&s, "sign_in"), "object"), "ann@example.com");
	s.idp.refresh_ends_s = 0;
	s.idp.refresh_life_s = 7 * DAY_S;
	for (int hour = 0; hour < 4; hour++) {
		stage_pass(&s, HOUR_MS);
		assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	}
	assert_null(lapse_of(&s, "sign_in"));
	stage_end(&s);
}

static void a_sign_in_frequency_is_learnt_from_its_refusal(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	stage_pass(&s, 2 * HOUR_MS);
	s.idp.token_status = 400;
	s.idp.token_body = "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70043: The refresh token has expired or is invalid due to sign-in "
			   "frequency checks by conditional access. The token was issued on 2025-06-15T00:00:00Z and the maximum allowed lifetime for this "
			   "request is 604800.\"}";
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OAUTH_SIGN_IN_FREQUENCY);
	assert_null(lapse_of(&s, "sign_in_frequency"));
	s.idp.token_body = NULL;
	stage_linked(&s);
	assert_int_equal(json_integer_value(json_object_get(lapse_of(&s, "sign_in_frequency"), "days")), 6);
	/* It outlives what it was given: the policy is gone. */
	for (int day = 0; day < 9; day++) {
		stage_pass(&s, 24 * HOUR_MS);
		assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	}
	assert_null(lapse_of(&s, "sign_in_frequency"));
	stage_end(&s);
}

static void a_sign_in_that_nobody_renews_goes_idle(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	assert_null(lapse_of(&s, "sign_in_idle"));
	s.idp.token_status = 503;
	s.idp.token_body = "{}";
	stage_pass(&s, (int64_t)35 * 24 * HOUR_MS);
	assert_int_equal(json_integer_value(json_object_get(lapse_of(&s, "sign_in_idle"), "days")), 54);
	stage_end(&s);
}

TESTS(an_end_is_asked_for_and_read, each_warning_comes_once, passwords_at_microsoft_are_retired, only_an_end_that_stays_is_one,
      a_sign_in_frequency_is_learnt_from_its_refusal, a_sign_in_that_nobody_renews_goes_idle)
