#include "desk/jar.h"

#include "tests/test.h"

static void write(const struct jar *jar, const char *wanted)
{
	struct buf out;

	buf_init(&out, 2000);
	assert_true(jar_write(jar, &out));
	assert_span(buf_span(&out), wanted);
	buf_free(&out);
}

static void jar_reads_what_it_wrote(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "b.l", "b.l" },
		{ "b1.l1~b2.l2", "b1.l1~b2.l2" },
		{ "b1.l1~b2.l2~b3.l3~b4.l4~b5.l5", "b1.l1~b2.l2~b3.l3~b4.l4" },
		{ "~~b.l~", "b.l" },
		{ "b", "" },
		{ "b.", "" },
		{ ".l", "" },
		{ "b.l.m", "" },
		{ "b\r\n.l~c.m", "c.m" },
		{ "b;x.l", "" },
		{ "\xc3\xa9.l", "" },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.l~c.m", "c.m" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct jar jar;

		jar_read(&jar, span_of(cases[i][0]));
		write(&jar, cases[i][1]);
	}
}

static void jar_keeps_the_newest(void **state)
{
	struct jar jar = { 0 };

	assert_true(jar_put(&jar, SPAN("b1"), SPAN("l1")));
	assert_true(jar_put(&jar, SPAN("b2"), SPAN("l2")));
	write(&jar, "b2.l2~b1.l1");
	assert_true(jar_put(&jar, SPAN("b3"), SPAN("l1")));
	write(&jar, "b3.l1~b2.l2");
	assert_true(jar_put(&jar, SPAN("b4"), SPAN("l4")));
	assert_true(jar_put(&jar, SPAN("b5"), SPAN("l5")));
	assert_true(jar_put(&jar, SPAN("b6"), SPAN("l6")));
	write(&jar, "b6.l6~b5.l5~b4.l4~b3.l1");
	assert_span(jar_browser(&jar, SPAN("l5")), "b5");
	assert_span(jar_browser(&jar, SPAN("l2")), "");
	jar_drop(&jar, 1);
	write(&jar, "b6.l6~b4.l4~b3.l1");
	jar_drop(&jar, 2);
	jar_drop(&jar, 7);
	write(&jar, "b6.l6~b4.l4");
}

static void jar_refuses_what_a_cookie_cannot_hold(void **state)
{
	static const char *const hostile[] = { "", "a;b", "a\r\nSet-Cookie: x=y", "a b", "a~b", "a.b", "\"a\"" };
	struct jar jar = { 0 };

	for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
		assert_false(jar_put(&jar, span_of(hostile[i]), SPAN("l")));
		assert_false(jar_put(&jar, SPAN("b"), span_of(hostile[i])));
	}
	write(&jar, "");
}

TESTS(jar_reads_what_it_wrote, jar_keeps_the_newest, jar_refuses_what_a_cookie_cannot_hold)
