/* What is held and what lapses is told to owners and administrators: once, together, through a mailbox that works. */
#include "tests/vault_stage.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, TOLD_HOLDS = 1, TOLD_MENDED = 2, TOLD_ALL = 3, TOLD_FORGOTTEN = 4 };

static const struct span SAID = { "535 5.7.139 SmtpClientAuthentication is disabled", 48 };

static void tell(struct stage *s, unsigned state, uint64_t mailbox, const char *tenant, enum fault fault)
{
	link_send(s->post, &MESSAGE_OF(hold_cause, .state = (uint8_t)state, .mailbox = mailbox, .tenant = span_of(tenant), .fault = fault,
				       .says = SAID, .since_ms = clock_wall_ms()));
	stage_pass(s, 100);
}

/* ann@example.com and bob@example.com, both ready; ann's owner is olga. */
static void begin(struct stage *s)
{
	stage_begin(s);
	assert_int_equal(stage_call(s, "org.add", "{'name':'school','admin':['chief@example.org','deputy@example.org']}"), FAULT_OK);
	assert_int_equal(stage_call(s, "provider.add", "{'name':'relay','org':'school','kind':'smtp','smtp_host':'localhost'}"), FAULT_OK);
	assert_int_equal(stage_call(s, "mailbox.add", "{'address':'ann@example.com','org':'school','provider':'relay','owner':'olga@example.org',"
						      "'language':'fr'}"), FAULT_OK);
	assert_int_equal(stage_call(s, "mailbox.add", "{'address':'bob@example.com','org':'school','provider':'relay'}"), FAULT_OK);
}

static void a_cause_is_told_once_and_its_end_once(void **state)
{
	struct stage s;

	begin(&s);
	tell(&s, TOLD_HOLDS, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	assert_int_equal(s.notices, 0);
	stage_pass(&s, 2 * MINUTE_MS);
	assert_int_equal(s.notices, 2);
	assert_string_equal(s.notice_from, "bob@example.com");
	assert_string_equal(s.notice_to, "olga@example.org");
	assert_non_null(strstr(s.notice_text, "ann@example.com"));
	assert_non_null(strstr(s.notice_text, "535 5.7.139"));
	assert_non_null(strstr(s.notice_text, "Que faire"));
	/* Either role starts anew, and says again what it knows. */
	tell(&s, TOLD_HOLDS, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	tell(&s, TOLD_HOLDS, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	tell(&s, TOLD_ALL, 0, "", FAULT_OK);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 2);
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "troubles")), 1);
	tell(&s, TOLD_MENDED, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 4);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 4);
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "troubles")), 0);
	stage_end(&s);
}

static void many_causes_are_one_notice(void **state)
{
	struct stage s;

	begin(&s);
	for (int i = 0; i < 40; i++)
		assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'u%d@example.com','org':'school','provider':'relay','owner':'o%d@example.org'}", i, i),
				 FAULT_OK);
	for (uint64_t i = 3; i < 43; i++)
		tell(&s, TOLD_HOLDS, i, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 1); /* the administrators', since it is about more than a few owners */
	assert_string_equal(s.notice_to, "chief@example.org deputy@example.org");
	assert_non_null(strstr(s.notice_text, "and 20 more"));
	stage_end(&s);
}

static void what_is_held_carries_no_notice(void **state)
{
	struct stage s;

	begin(&s);
	tell(&s, TOLD_HOLDS, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	tell(&s, TOLD_HOLDS, 2, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 0);
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_integer_value(json_object_get(s.result, "notices_waiting")), 2);
	/* They wait through a restart, and go when one works. */
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	tell(&s, TOLD_HOLDS, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	tell(&s, TOLD_HOLDS, 2, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	tell(&s, TOLD_ALL, 0, "", FAULT_OK);
	stage_pass(&s, 5 * MINUTE_MS);
	assert_int_equal(s.notices, 0);
	tell(&s, TOLD_MENDED, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_pass(&s, 1000);
	assert_int_equal(s.notices, 2);
	assert_string_equal(s.notice_from, "ann@example.com");
	stage_end(&s);
}

static void a_mailbox_that_refuses_is_passed_over(void **state)
{
	struct stage s;

	begin(&s);
	s.notice_fault = FAULT_SMTP_AUTH_OFF_MAILBOX;
	tell(&s, TOLD_HOLDS, 1, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_pass(&s, 10 * MINUTE_MS);
	assert_int_equal(s.notices, 2); /* through bob, each once, and then there is none left for a while */
	s.notice_fault = FAULT_OK;
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 4);
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_integer_value(json_object_get(s.result, "notices_waiting")), 0);
	stage_end(&s);
}

static void what_was_done_on_purpose_is_not_told(void **state)
{
	struct stage s;

	begin(&s);
	tell(&s, TOLD_HOLDS, 1, "", FAULT_MAILBOX_DISABLED);
	tell(&s, TOLD_HOLDS, 2, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	tell(&s, TOLD_FORGOTTEN, 2, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	tell(&s, TOLD_MENDED, 7, "", FAULT_SMTP_AUTH_OFF_MAILBOX);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 0);
	stage_end(&s);
}

static void a_tenant_concerns_those_in_it(void **state)
{
	struct stage s;

	begin(&s);
	assert_int_equal(stage_call(&s, "org.add", "{'name':'other','admin':['someone@example.net']}"), FAULT_OK);
	tell(&s, TOLD_HOLDS, 0, "relay", FAULT_TENANT_RESTRICTED);
	stage_pass(&s, HOUR_MS);
	assert_int_equal(s.notices, 0); /* it has no mailbox outside that tenant */
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_integer_value(json_object_get(s.result, "notices_waiting")), 1);
	stage_end(&s);
}

static void what_lapses_is_told_with_its_warning(void **state)
{
	struct stage s;

	begin(&s);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'m365','org':'school','kind':'microsoft','client_id':'app','client_secret':'s3cret',"
							"'expires':'2025-07-01'}"), FAULT_OK);
	stage_pass(&s, 2 * HOUR_MS);
	assert_int_equal(s.notices, 1);
	assert_string_equal(s.notice_to, "chief@example.org deputy@example.org");
	assert_non_null(strstr(s.notice_text, "2025-07-01"));
	assert_non_null(strstr(s.notice_text, "provider set m365"));
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	stage_pass(&s, 2 * HOUR_MS);
	assert_int_equal(s.notices, 1);
	stage_end(&s);
}

TESTS(a_cause_is_told_once_and_its_end_once, many_causes_are_one_notice, what_is_held_carries_no_notice, a_mailbox_that_refuses_is_passed_over,
      what_was_done_on_purpose_is_not_told, a_tenant_concerns_those_in_it, what_lapses_is_told_with_its_warning)
