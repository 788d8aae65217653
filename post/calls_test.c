/* What administrators ask of the queue, and do to it. */
#include "tests/post_rig.h"

static const struct rig_settled *told(struct rig *r, uint64_t session)
{
	RIG_WAIT(r, rig_told(r, session));
	return rig_told(r, session);
}

/* A message that waits for a long time; its id. */
static const char *waiting(struct rig *r, uint64_t session)
{
	char body[64];

	snprintf(body, sizeof body, "Subject: %d\r\n\r\n", (int)session);
	provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<x@example.net", .reply = "451 4.3.0 not today", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = session, .body = body, .recipients = "x@example.net" });
	assert_int_equal(told(r, session)->kind, 3);
	return rig_told(r, session)->id;
}

static void call_with_id(struct rig *r, const char *operation, const char *id)
{
	char arguments[64];

	snprintf(arguments, sizeof arguments, "{\"id\":\"%s\"}", id);
	rig_call(r, operation, arguments);
}

static void list_and_show(void **state)
{
	struct rig *r = rig_new("retry_first = 3600\nretry_longest = 3600\n");
	const char *id = waiting(r, 1);
	char wanted[64];

	rig_call(r, "queue.list", "{}");
	assert_int_equal(r->answer_fault, FAULT_OK);
	snprintf(wanted, sizeof wanted, "{\"items\":[{\"id\":\"%s\",\"state\":\"waiting\"", id);
	assert_true(span_starts(span_of(r->answer), span_of(wanted)));
	call_with_id(r, "queue.show", id);
	assert_non_null(strstr(r->answer, "\"mailbox\":\"box@example.org\""));
	assert_non_null(strstr(r->answer, "\"sender\":\"box@example.org\""));
	assert_non_null(strstr(r->answer, "\"recipients\":[{\"address\":\"x@example.net\",\"outcome\":\"open\"}]"));
	assert_non_null(strstr(r->answer, "\"attempts\":1"));
	assert_non_null(strstr(r->answer, "not today"));
	assert_non_null(strstr(r->answer, "\"client\":\"scanner\""));
	assert_non_null(strstr(r->answer, "\"next_try_at\":\"20"));
	/* small letters and the letters that look like digits will do */
	{
		char typed[16];

		for (size_t i = 0; i <= strlen(id); i++)
			typed[i] = id[i] == '1' ? 'l' : id[i] == '0' ? 'o' : (char)(id[i] >= 'A' && id[i] <= 'Z' ? id[i] + 32 : id[i]);
		call_with_id(r, "queue.show", typed);
		assert_int_equal(r->answer_fault, FAULT_OK);
	}
	rig_call(r, "queue.list", "{\"state\":\"held\"}");
	assert_string_equal(r->answer, "{\"items\":[]}");
	rig_call(r, "queue.list", "{\"mailbox\":\"other@example.org\"}");
	assert_string_equal(r->answer, "{\"items\":[]}");
	call_with_id(r, "queue.show", "0000000000000");
	assert_int_equal(r->answer_fault, FAULT_NOT_FOUND);
	rig_call(r, "queue.list", "[");
	assert_int_equal(r->answer_fault, FAULT_MALFORMED);
	rig_call(r, "queue.list", "{\"limit\":\"many\"}");
	assert_int_equal(r->answer_fault, FAULT_MALFORMED);
	rig_free(r);
}

static size_t count_of(const char *text, const char *piece)
{
	size_t count = 0;

	for (; (text = strstr(text, piece)); text++)
		count++;
	return count;
}

static void lists_come_in_pages(void **state)
{
	struct rig *r = rig_new("retry_first = 3600\nretry_longest = 3600\n");
	char arguments[96], third[16];

	for (uint64_t i = 1; i <= 5; i++) {
		const char *id = waiting(r, i);

		if (i == 3)
			snprintf(third, sizeof third, "%s", id);
	}
	rig_call(r, "queue.list", "{\"limit\":3}");
	assert_int_equal(count_of(r->answer, "\"id\":"), 3);
	snprintf(arguments, sizeof arguments, "{\"limit\":\"10\",\"after\":\"%s\"}", third);
	rig_call(r, "queue.list", arguments);
	assert_int_equal(count_of(r->answer, "\"id\":"), 2);
	rig_free(r);
}

/* A message has its id when it begins, and its place when it is whole: one that comes slowly stands behind younger ones. */
static void pages_leave_out_none_and_show_none_twice(void **state)
{
	struct rig *r = rig_new("retry_first = 3600\nretry_longest = 3600\n");
	char after[16] = "", arguments[96];
	unsigned pages = 0;

	for (unsigned i = 0; i < 2; i++)
		provider_rule(&r->provider, (struct provider_rule){ .verb = "RCPT TO:<slow@example.net", .reply = "451 4.3.0 not today", .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 21, .recipients = "slow@example.net", .stays_open = true });
	waiting(r, 1);
	rig_send(r, (struct rig_letter){ .session = 22, .recipients = "slow@example.net", .stays_open = true });
	waiting(r, 2);
	link_send(r->gate, &MESSAGE_OF(mail_end, .session = 22, .serial = 3, .message_id = SPAN("<22@x>"), .digest = SPAN("twenty-two")));
	assert_int_equal(told(r, 22)->kind, 3);
	link_send(r->gate, &MESSAGE_OF(mail_end, .session = 21, .serial = 1, .message_id = SPAN("<21@x>"), .digest = SPAN("twenty-one")));
	assert_int_equal(told(r, 21)->kind, 3);
	do {
		const char *id;

		snprintf(arguments, sizeof arguments, "{\"limit\":1,\"after\":\"%s\"}", after);
		rig_call(r, "queue.list", arguments);
		id = strstr(r->answer, "{\"id\":\"");
		if (!id)
			break;
		assert_int_equal(count_of(r->answer, "\"id\":"), 1);
		assert_true(strncmp(after, id + 7, 13) < 0);
		snprintf(after, sizeof after, "%.13s", id + 7);
	} while (++pages < 10);
	assert_int_equal(pages, 4);
	rig_free(r);
}

static void retried_now(void **state)
{
	struct rig *r = rig_new("retry_first = 3600\nretry_longest = 3600\n");

	call_with_id(r, "queue.retry", waiting(r, 1));
	assert_int_equal(r->answer_fault, FAULT_OK);
	RIG_WAIT(r, r->provider.mail_count == 1);
	rig_free(r);
}

static void held_by_a_person_until_released(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	char id[16];

	snprintf(id, sizeof id, "%s", waiting(r, 1));
	call_with_id(r, "queue.hold", id);
	assert_int_equal(r->answer_fault, FAULT_OK);
	rig_idle(r, 1500);
	assert_int_equal(r->provider.mail_count, 0);
	rig_restart(r);
	call_with_id(r, "queue.show", id);
	assert_non_null(strstr(r->answer, "\"state\":\"held\""));
	assert_non_null(strstr(r->answer, "\"held_by\":\"ann\""));
	/* other mail of the mailbox is not held with it */
	rig_send(r, (struct rig_letter){ .session = 9, .body = "Subject: 9\r\n\r\n" });
	assert_int_equal(told(r, 9)->kind, 1);
	call_with_id(r, "queue.release", id);
	RIG_WAIT(r, r->provider.mail_count == 2);
	rig_free(r);
}

static void deleted_by_a_person(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	char id[16];

	snprintf(id, sizeof id, "%s", waiting(r, 1));
	call_with_id(r, "queue.delete", id);
	assert_int_equal(r->answer_fault, FAULT_OK);
	rig_wait_empty(r);
	rig_restart(r);
	rig_idle(r, 1500);
	assert_int_equal(r->provider.mail_count, 0);
	assert_non_null(strstr(r->log, "by=ann"));
	call_with_id(r, "queue.delete", id);
	assert_int_equal(r->answer_fault, FAULT_NOT_FOUND);
	rig_free(r);
}

/* Deleted while it is being tried: what the provider says counts, and nothing follows. */
static void deleted_while_it_is_tried(void **state)
{
	struct rig *r = rig_new("retry_first = 1\nretry_longest = 1\n");
	char id[16];

	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .stall = true, .times = 1 });
	rig_send(r, (struct rig_letter){ .session = 1, .verdict_wait_ms = 20 });
	snprintf(id, sizeof id, "%s", told(r, 1)->id);
	RIG_WAIT(r, r->provider.connections == 1);
	call_with_id(r, "queue.hold", id);
	assert_int_equal(r->answer_fault, FAULT_IN_USE);
	call_with_id(r, "queue.delete", id);
	assert_int_equal(r->answer_fault, FAULT_OK);
	rig_idle(r, 50);
	stream_finish(&r->provider.open->stream);
	rig_wait_empty(r);
	rig_idle(r, 1500);
	assert_int_equal(r->provider.mail_count, 0);
	rig_free(r);
}

/* What is measured now and then is right before the first time. */
static void segments_are_counted_from_the_start(void **state)
{
	struct rig *r = rig_new("");
	const char *at;

	rig_call(r, "metrics", "{}");
	at = strstr(r->answer, "postern_post_segments{");
	assert_non_null(at);
	at = strstr(at, "state=\"all\"} ");
	assert_non_null(at);
	assert_true(atoi(at + strlen("state=\"all\"} ")) > 0);
	rig_free(r);
}

static void status_and_metrics(void **state)
{
	struct rig *r = rig_new("retry_first = 3600\nretry_longest = 3600\nprobe_first_ms = 60000\n");

	waiting(r, 1);
	r->token_fault = FAULT_OAUTH_CONSENT_MISSING;
	r->token_why = "AADSTS65001: consent";
	rig_send(r, (struct rig_letter){ .session = 2, .mailbox = 2 });
	told(r, 2);
	rig_call(r, "status", "{}");
	assert_non_null(strstr(r->answer, "\"messages\":2,\"waiting\":1,\"trying\":0,\"held\":1,\"undeliverable\":0,\"restored\":0,\"intake\":\"OK\""));
	assert_non_null(strstr(r->answer, "\"fault\":\"OAUTH_CONSENT_MISSING\""));
	assert_non_null(strstr(r->answer, "AADSTS65001"));
	rig_call(r, "metrics", "{}");
	assert_non_null(strstr(r->answer, "postern_post_settled_total{"));
	rig_call(r, "queue.dance", "{}");
	assert_int_equal(r->answer_fault, FAULT_NOT_FOUND);
	rig_free(r);
}

TESTS(list_and_show, lists_come_in_pages, pages_leave_out_none_and_show_none_twice, retried_now, held_by_a_person_until_released,
      deleted_by_a_person, deleted_while_it_is_tried, status_and_metrics, segments_are_counted_from_the_start)
