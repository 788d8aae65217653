/* Mailboxes, paths, and what must not pass for one. */
#include "wire/mail_address.h"

#include "tests/test.h"

static bool is_mailbox(struct span s)
{
	struct mail_address a;

	return mail_address_parse(&a, s) == FAULT_OK;
}

static void mailboxes(void **state)
{
	static const char *const good[] = {
		"a@b",
		"john.smith@example.com",
		"user+tag@sub.example.com",
		"!#$%&'*+-/=?^_`{|}~@x.org",
		"a@1.2.3.4x",
		"\"john smith\"@example.com",
		"\"a\\\"b\"@x",
		"\"a@b\"@c",
		"\"\"@x",
		"x@[192.0.2.1]",
		"x@[IPv6:2001:db8::1]",
		"x@[ipv6:::1]",
		"\xc3\xa9t\xc3\xa9@ex\xc3\xa4mple.com",
		"user%other.example@relay.example",
		"a@xn--bcher-kva.example",
	};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		if (!is_mailbox(span_of(good[i])))
			fail_msg("%s was refused", good[i]);
}

/* T-RELAY 16's spellings are among them: what is no address can reach no relay. */
static void t_relay_16_not_mailboxes(void **state)
{
	static const struct span bad[] = {
		SPAN(""),
		SPAN("a"),
		SPAN("a@"),
		SPAN("@b"),
		SPAN("@"),
		SPAN("a@b."),
		SPAN("a@.b"),
		SPAN("a@b..c"),
		SPAN(".a@b"),
		SPAN("a.@b"),
		SPAN("a..c@b"),
		SPAN("a b@c"),
		SPAN("a@b c"),
		SPAN("a@b@c"),
		SPAN("<a@b>"),
		SPAN("a@-b"),
		SPAN("a@b-"),
		SPAN("a@b_c"),
		SPAN("\"a@b"),
		SPAN("\"a\"b@c"),
		SPAN("\"a\\\"@c"),
		SPAN("a(b)@c"),
		SPAN("a@[192.0.2]"),
		SPAN("a@[192.0.2.256]"),
		SPAN("a@[2001:db8::1]"),
		SPAN("a@[IPv6:192.0.2.1]"),
		SPAN("a@[tag:x]"),
		SPAN("a@[]"),
		SPAN("a@["),
		SPAN("a@192.0.2.1]"),
		SPAN("a,b@c"),
		SPAN("host!user"),
		SPAN("a@b\r"),
		SPAN("a\n@b"),
		SPAN("a\0b@c"),
		SPAN("a@b\0"),
		SPAN("\"a\rb\"@c"),
		SPAN("\"a\\\nb\"@c"),
		SPAN("\"a\0\"@c"),
		SPAN("a@[192.0.2.1\0]"),
		SPAN("a\xff@b"),
		SPAN("a@\xc0\x80"),
		SPAN("a\t@b"),
		SPAN("a\x7f@b"),
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (is_mailbox(bad[i]))
			fail_msg("case %zu was read: %.*s", i, SPAN_ARGS(bad[i]));
}

static void lengths(void **state)
{
	struct buf b;

	buf_init(&b, 1000);
	for (size_t size = 1; size < 400; size++) {
		buf_clear(&b);
		for (size_t i = 0; i < size; i++)
			buf_put_byte(&b, 'a');
		buf_put(&b, SPAN("@b"));
		assert_int_equal(is_mailbox(buf_span(&b)), size <= MAIL_ADDRESS_LOCAL_BYTES);
		buf_clear(&b);
		buf_put(&b, SPAN("a@"));
		for (size_t i = 0; i < size; i++)
			buf_put_byte(&b, i % 64 == 63 ? '.' : 'a');
		assert_int_equal(is_mailbox(buf_span(&b)), size <= MAIL_ADDRESS_DOMAIN_BYTES && size % 64);
	}
	assert_false(is_mailbox(SPAN("a@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")));
	buf_free(&b);
}

struct path_case {
	const char *text;
	enum mail_address_path_kind kind;
	const char *whole, *rest;
};

static void paths(void **state)
{
	static const struct path_case cases[] = {
		{ "<a@b>", MAIL_ADDRESS_REVERSE, "a@b", "" },
		{ "<a@b> SIZE=1  BODY=7BIT", MAIL_ADDRESS_REVERSE, "a@b", "SIZE=1  BODY=7BIT" },
		{ "  <a@b>  X=1", MAIL_ADDRESS_FORWARD, "a@b", "X=1" },
		{ "a@b SIZE=1", MAIL_ADDRESS_REVERSE, "a@b", "SIZE=1" },
		{ "\"a b\"@c X", MAIL_ADDRESS_FORWARD, "\"a b\"@c", "X" },
		{ "<\"a>b\"@c>", MAIL_ADDRESS_FORWARD, "\"a>b\"@c", "" },
		{ "<\"a\\\">b\"@c> X", MAIL_ADDRESS_FORWARD, "\"a\\\">b\"@c", "X" },
		{ "<@a,@b.c:u@d>", MAIL_ADDRESS_FORWARD, "u@d", "" },
		{ "<Postmaster>", MAIL_ADDRESS_FORWARD, "Postmaster", "" },
	};
	struct mail_address_path path;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct span text = span_of(cases[i].text);

		assert_int_equal(mail_address_path(&path, &text, cases[i].kind), FAULT_OK);
		assert_span(path.address.whole, cases[i].whole);
		assert_span(text, cases[i].rest);
		assert_false(path.null);
		assert_int_equal(path.postmaster, i == 8);
	}
}

static void null_path(void **state)
{
	struct mail_address_path path;
	struct span text = SPAN("<> RET=HDRS");

	assert_int_equal(mail_address_path(&path, &text, MAIL_ADDRESS_FORWARD), FAULT_BAD_ADDRESS);
	assert_int_equal(mail_address_path(&path, &text, MAIL_ADDRESS_REVERSE), FAULT_OK);
	assert_true(path.null);
	assert_span(text, "RET=HDRS");
}

static void not_paths(void **state)
{
	static const struct span bad[] = {
		SPAN(""),        SPAN(" "),           SPAN("<a@b"),
		SPAN("a@b>"),    SPAN("<a@b>SIZE=1"), SPAN("<<a@b>>"),
		SPAN("<a@b>>"),  SPAN("Name <a@b>"),  SPAN("<@a:>"),
		SPAN("<@a>"),    SPAN("<@a,b:u@c>"),  SPAN("<@a,:u@c>"),
		SPAN("<@:u@c>"), SPAN("< a@b>"),      SPAN("<a@b >"),
		SPAN("<a>"),     SPAN("<\"a@b>"),     SPAN("<a@b\r\nRCPT TO:<c@d>>"),
		SPAN("<a@b\0>"), SPAN("<a@b>\tX"),    SPAN("<@a:@b:u@c>"),
	};
	struct mail_address_path path;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct span text = bad[i];

		if (mail_address_path(&path, &text, MAIL_ADDRESS_REVERSE) != FAULT_BAD_ADDRESS)
			fail_msg("case %zu was read: %.*s", i, SPAN_ARGS(bad[i]));
	}
}

static void same(void **state)
{
	assert_true(mail_address_same_text(SPAN("John@Example.COM"), SPAN("john@example.com")));
	assert_true(mail_address_same_text(SPAN("\"john\"@x"), SPAN("JOHN@x")));
	assert_true(mail_address_same_text(SPAN("\"jo\\hn\"@x"), SPAN("john@x")));
	assert_true(mail_address_same_text(SPAN("a@[IPv6:::1]"), SPAN("a@[ipv6:::1]")));
	assert_false(mail_address_same_text(SPAN("a@b"), SPAN("a@c")));
	assert_false(mail_address_same_text(SPAN("a.b@x"), SPAN("ab@x")));
	assert_false(mail_address_same_text(SPAN("a@b"), SPAN("")));
	assert_false(mail_address_same_text(SPAN("\"a b\"@x"), SPAN("\"a  b\"@x")));
	assert_false(
		mail_address_same_text(SPAN("\xd0\xb0@x"), SPAN("a@x"))); /* a Cyrillic letter is another mailbox */
	assert_false(mail_address_same_text(SPAN("a@b"), SPAN("\"a@b\"@b")));
}

static void canonical(void **state)
{
	static const char *const pairs[][2] = {
		{ "John@Example.COM", "john@example.com" },
		{ "\"john\"@x", "john@x" },
		{ "\"John Smith\"@x", "\"john smith\"@x" },
		{ "\"a\\\"\\b\"@x", "\"a\\\"b\"@x" },
		{ "\"\"@x", "\"\"@x" },
		{ "\"a..b\"@x", "\"a..b\"@x" },
	};
	struct mail_address a;
	struct buf b;

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		buf_init(&b, MAIL_ADDRESS_BYTES);
		assert_int_equal(mail_address_parse(&a, span_of(pairs[i][0])), FAULT_OK);
		assert_true(mail_address_canonical(&b, &a));
		assert_span(buf_span(&b), pairs[i][1]);
		assert_true(mail_address_same_text(buf_span(&b), span_of(pairs[i][0])));
		buf_free(&b);
	}
}

static void domains(void **state)
{
	assert_true(mail_address_is_domain(SPAN("mail.example.com")));
	assert_true(mail_address_is_domain(SPAN("[192.0.2.1]")));
	assert_false(mail_address_is_domain(SPAN("mail example")));
	assert_false(mail_address_is_domain(SPAN("192.0.2.1]")));
	assert_false(mail_address_is_domain(SPAN("")));
}

TESTS(mailboxes, t_relay_16_not_mailboxes, lengths, paths, null_path, not_paths, same, canonical, domains)
