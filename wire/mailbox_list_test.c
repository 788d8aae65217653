/* Address lists: RFC 5322's own examples, and the lists on which readers differ. */
#include "wire/mailbox_list.h"

#include "tests/test.h"

/* Reads a whole list into "display|address;..."; a broken one ends in "!". */
static void expect(const char *list_text, const char *wanted)
{
	struct mailbox_list list = { .rest = span_of(list_text) };
	enum mailbox_found found;
	char text[2000];
	struct buf out;
	struct mailbox m;

	buf_over(&out, text, sizeof text);
	while ((found = mailbox_list_next(&list, &m)) == MAILBOX_FOUND)
		buf_print(&out, "%.*s|%.*s;", SPAN_ARGS(m.display), SPAN_ARGS(m.address));
	if (found == MAILBOX_BROKEN)
		buf_put_byte(&out, '!');
	assert_span(buf_span(&out), wanted);
	assert_int_equal(mailbox_list_next(&list, &m), MAILBOX_END);
}

/* RFC 5322 appendix A.1 and A.5 */
static void rfc5322_examples(void **state)
{
	expect("John Doe <jdoe@machine.example>", "John Doe|jdoe@machine.example;");
	expect("\"Joe Q. Public\" <john.q.public@example.com>", "\"Joe Q. Public\"|john.q.public@example.com;");
	expect("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
	       "Mary Smith|mary@x.test;|jdoe@example.org;Who?|one@y.test;");
	expect("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
	       "|boss@nil.test;\"Giant; \\\"Big\\\" Box\"|sysservices@example.net;");
	expect("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
	       "Ed Jones|c@a.test;|joe@where.test;John|jdoe@one.test;");
	expect("Undisclosed recipients:;", "");
	expect("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>",
	       "Pete(A nice \\) chap)|pete@silly.test;");
	expect("A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n"
	       "  John <jdoe@one.test> (my dear friend); (the end of the group)",
	       "Chris Jones|c@public.example;|joe@example.org;John|jdoe@one.test;");
	expect("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "");
	expect("Joe Q. Public <john.q.public@example.com>", "Joe Q. Public|john.q.public@example.com;");
	expect("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
	       "Mary Smith|mary@example.net;|jdoe@test.example;");
}

static void everyday(void **state)
{
	expect("", "");
	expect(" ", "");
	expect("a@b", "|a@b;");
	expect("=?utf-8?q?J=C3=BCrgen?= <j@x>", "=?utf-8?q?J=C3=BCrgen?=|j@x;");
	expect("J\xc3\xbcrgen <j\xc3\xbcrgen@x>", "J\xc3\xbcrgen|j\xc3\xbcrgen@x;");
	expect("a@b (Scanner)", "|a@b;");
	expect("\"a b\"@c", "|\"a b\"@c;");
	expect("x@[192.0.2.1], <y@[IPv6:::1]>", "|x@[192.0.2.1];|y@[IPv6:::1];");
	expect("One: a@b;, Two: c@d;", "|a@b;|c@d;");
}

/* T-RELAY 17: each of these has been read as two different senders by two programs somewhere. */
static void t_relay_17_ambiguous_lists(void **state)
{
	expect("a", "!");
	expect("a@b c@d", "!");
	expect("a@b <c@d>", "!");
	expect("<a@b> <c@d>", "!");
	expect("<a@b>, x", "|a@b;!");
	expect("a@b>", "!");
	expect("<a@b", "!");
	expect("<>", "!");
	expect("\"a@b", "!");
	expect("(a@b", "!");
	expect("a@b, (c", "|a@b;!");
	expect("a b@c", "!");
	expect("a@b@c", "!");
	expect("a@b;", "!");
	expect("G:a@b", "|a@b;!");
	expect("G:H:a@b;;", "!");
	expect("G:a@b; c@d", "|a@b;!");
	expect("<a@b>x", "!");
	expect("<@a:b", "!");
	expect("<@a b@c>", "!");
	expect("a@", "!");
	expect("@b", "!");
	expect("a..b@c", "!");
	expect("\"x\r\n y\"@b", "!");
	expect("a@[192.0.2.1", "!");
	expect("a@b\x01", "!");
}

static void long_and_deep(void **state)
{
	struct buf b;
	struct mailbox m;

	buf_init(&b, 300000);
	for (size_t i = 0; i < 100000; i++)
		buf_put_byte(&b, '(');
	for (size_t i = 0; i < 100000; i++)
		buf_put_byte(&b, ')');
	buf_put(&b, SPAN("a@b"));
	struct mailbox_list list = { .rest = buf_span(&b) };
	assert_int_equal(mailbox_list_next(&list, &m), MAILBOX_FOUND);
	assert_span(m.address, "a@b");
	buf_clear(&b);
	for (size_t i = 0; i < 1000; i++)
		buf_put(&b, SPAN("a."));
	buf_put(&b, SPAN("a@b"));
	list = (struct mailbox_list){ .rest = buf_span(&b) };
	assert_int_equal(mailbox_list_next(&list, &m), MAILBOX_BROKEN);
	buf_free(&b);
}

TESTS(rfc5322_examples, everyday, t_relay_17_ambiguous_lists, long_and_deep)
