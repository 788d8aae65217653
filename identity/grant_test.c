#include "identity/grant.h"

#include "base/message.h"
#include "base/rand.h"
#include "tests/test.h"

static const struct span key = SPAN("0123456789abcdef0123456789abcdef");
enum { NOW_MS = 1700000000000 & 0x7fffffff, GATE = 3, SESSION = 77 };

struct bench {
	struct arena *arena;
	struct buf first, second, maps, sealed;
	struct grant_mailbox mailboxes[2];
	struct grant grant;
};

static void set_up(struct bench *b)
{
	*b = (struct bench){ .arena = arena_new(1024 * 1024) };
	buf_init(&b->first, 1024);
	buf_init(&b->second, 1024);
	buf_init(&b->maps, 1024);
	buf_init(&b->sealed, 65536);
	message_list_put(&b->first, SPAN("ann@example.com"));
	message_list_put(&b->first, SPAN("@example.com"));
	message_list_put(&b->second, SPAN("bob@example.com"));
	message_list_put(&b->maps, SPAN("printer@old.example"));
	message_list_put(&b->maps, SPAN("bob@example.com"));
	b->mailboxes[0] = (struct grant_mailbox){ 5, SPAN("ann@example.com"), SPAN("Ann"), buf_span(&b->first), FAULT_OK,
						  LANGUAGE_FR, 9, SPAN("school") };
	b->mailboxes[1] = (struct grant_mailbox){ 6, SPAN("bob@example.com"), SPAN(""), buf_span(&b->second),
						  FAULT_MAILBOX_NOT_READY, LANGUAGE_EN, 0, SPAN("school") };
	b->grant = (struct grant){ .gate = GATE, .session = SESSION, .client = 12, .client_name = SPAN("copier"),
				   .organisation = SPAN("school"), .protocol = GRANT_SMTP, .issued_at_ms = NOW_MS,
				   .expires_at_ms = NOW_MS + 1000, .sender_rule = GRANT_SENDER_MAP, .maps = buf_span(&b->maps),
				   .verdict_wait_ms = 5000, .default_mailbox = 6, .mailbox_count = 2,
				   .mailboxes = b->mailboxes };
	assert_true(grant_seal(&b->sealed, &b->grant, key));
}

static void tear_down(struct bench *b)
{
	buf_free(&b->first);
	buf_free(&b->second);
	buf_free(&b->maps);
	buf_free(&b->sealed);
	arena_free(&b->arena);
}

static void what_was_sealed_is_read(void **state)
{
	struct bench b;
	struct grant g;

	set_up(&b);
	assert_int_equal(grant_check(&g, b.arena, buf_span(&b.sealed), key, GATE, SESSION, NOW_MS + 999), FAULT_OK);
	assert_int_equal(g.client, 12);
	assert_span(g.client_name, "copier");
	assert_int_equal(g.mailbox_count, 2);
	assert_span(g.mailboxes[0].name, "Ann");
	assert_int_equal(g.mailboxes[0].language, LANGUAGE_FR);
	assert_int_equal(g.mailboxes[0].notice_mailbox, 9);
	assert_int_equal(grant_mailbox(&g, 6)->ready, FAULT_MAILBOX_NOT_READY);
	assert_null(grant_mailbox(&g, 7));
	assert_int_equal(g.default_mailbox, 6);
	assert_int_equal(g.verdict_wait_ms, 5000);
	tear_down(&b);
}

static void a_sender_leads_to_one_mailbox(void **state)
{
	struct bench b;

	set_up(&b);
	assert_int_equal(grant_mailbox_for(&b.grant, SPAN("ANN@Example.com"))->id, 5);
	assert_int_equal(grant_mailbox_for(&b.grant, SPAN("bob@example.com"))->id, 6);
	assert_int_equal(grant_mailbox_for(&b.grant, SPAN("scanner@example.com"))->id, 5);
	assert_null(grant_mailbox_for(&b.grant, SPAN("ann@example.com.evil.example")));
	assert_null(grant_mailbox_for(&b.grant, SPAN("\"x@example.com\"@evil.example")));
	assert_null(grant_mailbox_for(&b.grant, SPAN("@example.com")));
	assert_null(grant_mailbox_for(&b.grant, SPAN("ann")));
	assert_null(grant_mailbox_for(&b.grant, SPAN("")));
	assert_span(grant_mapped(&b.grant, SPAN("Printer@OLD.example")), "bob@example.com");
	assert_int_equal(grant_mapped(&b.grant, SPAN("x@old.example")).size, 0);
	tear_down(&b);
}

static void foreign_and_late_grants_are_refused(void **state)
{
	struct bench b;
	struct grant g;
	struct span sealed;

	set_up(&b);
	sealed = buf_span(&b.sealed);
	assert_int_equal(grant_check(&g, b.arena, sealed, key, GATE + 1, SESSION, NOW_MS), FAULT_GRANT_INVALID);
	assert_int_equal(grant_check(&g, b.arena, sealed, key, GATE, SESSION + 1, NOW_MS), FAULT_GRANT_INVALID);
	assert_int_equal(grant_check(&g, b.arena, sealed, key, GATE, SESSION, NOW_MS + 1000), FAULT_GRANT_INVALID);
	assert_int_equal(grant_check(&g, b.arena, sealed, SPAN("1123456789abcdef0123456789abcdef"), GATE, SESSION, NOW_MS),
			 FAULT_GRANT_INVALID);
	assert_int_equal(grant_check(&g, b.arena, SPAN(""), key, GATE, SESSION, NOW_MS), FAULT_GRANT_INVALID);
	tear_down(&b);
}

/* Each single bit, and each length, matters. */
static void altered_grants_are_refused(void **state)
{
	struct bench b;
	struct grant g;

	set_up(&b);
	for (size_t i = 0; i < b.sealed.size * 8; i++) {
		b.sealed.at[i / 8] = (char)(b.sealed.at[i / 8] ^ 1 << i % 8);
		assert_int_equal(grant_check(&g, b.arena, buf_span(&b.sealed), key, GATE, SESSION, NOW_MS), FAULT_GRANT_INVALID);
		b.sealed.at[i / 8] = (char)(b.sealed.at[i / 8] ^ 1 << i % 8);
	}
	for (size_t size = 0; size < b.sealed.size; size++) {
		assert_int_equal(grant_check(&g, b.arena, span_slice(buf_span(&b.sealed), 0, size), key, GATE, SESSION, NOW_MS),
				 FAULT_GRANT_INVALID);
		assert_int_equal(grant_read(&g, b.arena, span_slice(buf_span(&b.sealed), 0, size)), FAULT_GRANT_INVALID);
	}
	tear_down(&b);
}

static void too_many_mailboxes_are_not_sealed(void **state)
{
	struct bench b;

	set_up(&b);
	b.grant.mailbox_count = GRANT_MAILBOXES_MAX + 1;
	assert_false(grant_seal(&b.sealed, &b.grant, key));
	tear_down(&b);
}

TESTS(what_was_sealed_is_read, a_sender_leads_to_one_mailbox, foreign_and_late_grants_are_refused, altered_grants_are_refused,
      too_many_mailboxes_are_not_sealed)
