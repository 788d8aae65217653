/* Addresses and networks as people write them. */
#include "loop/address.h"
#include "loop/local_user.h"
#include "tests/test.h"

static void parsed(const char *text, uint16_t port, const char *wanted)
{
	char memory[160];
	struct address a;
	struct buf b;

	buf_over(&b, memory, sizeof memory);
	if (!wanted) {
		assert_false(address_parse(&a, span_of(text), port));
		assert_int_equal(a.family, ADDRESS_NONE);
		return;
	}
	assert_true(address_parse(&a, span_of(text), port));
	assert_true(address_print(&b, &a, port != 0));
	assert_span(buf_span(&b), wanted);
}

static void addresses(void **state)
{
	parsed("192.0.2.1", 25, "192.0.2.1:25");
	parsed("192.0.2.1", 0, "192.0.2.1");
	parsed("2001:DB8::1", 25, "[2001:db8::1]:25");
	parsed("[2001:db8::1]", 0, "2001:db8::1");
	parsed("::ffff:192.0.2.1", 25, "192.0.2.1:25");
	parsed("[::ffff:192.0.2.1]", 0, "192.0.2.1");
	parsed("fe80::1%7", 25, "[fe80::1%7]:25");
	parsed("fe80::1%lo", 25, "[fe80::1%1]:25");
	parsed("/run/postern/control.sock", 1, "/run/postern/control.sock");
}

static void what_is_no_address(void **state)
{
	static const char *const texts[] = {
		"",           "localhost",  "192.0.2",     "192.0.2.256",  "192.0.2.1:25",        "0300.0.2.1",
		" 192.0.2.1", "192.0.2.1 ", "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]",        "2001:db8:::1",
		"[]",         "%1",         "192.0.2.1%1", "fe80::1%",     "fe80::1%no-such-link"
	};
	struct address a;
	char path[200];

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		parsed(texts[i], 25, NULL);
	memset(path, '/', sizeof path);
	assert_false(address_parse(&a, (struct span){ path, sizeof a.path }, 0));
	assert_true(address_parse(&a, (struct span){ path, sizeof a.path - 1 }, 0));
	assert_false(address_parse(&a, (struct span){ "/a\0b", 4 }, 0));
	assert_false(address_parse(&a, (struct span){ "192.0.2.1\0x", 11 }, 0));
}

static void nobody_else(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} rows[] = { { "127.0.0.1", true },	    { "127.9.9.9", true },   { "0.0.0.0", true },	  { "0.1.2.3", true },
		     { "169.254.169.254", true },   { "224.0.0.1", true },   { "255.255.255.255", true }, { "240.0.0.1", true },
		     { "::", true },		    { "::1", true },	     { "::7f00:1", true },	  { "::ffff:127.0.0.1", true },
		     { "fe80::1", true },	    { "febf::1", true },     { "ff02::1", true },	  { "64:ff9b::127.0.0.1", true },
		     { "64:ff9b::169.254.0.1", true }, { "/run/x", true },   { "192.0.2.1", false },	  { "10.0.0.1", false },
		     { "169.253.0.1", false },	    { "223.255.0.1", false }, { "2001:db8::1", false },	  { "fd00::1", false },
		     { "fec0::1", false },	    { "64:ff9b::192.0.2.1", false }, { "::ffff:192.0.2.1", false } };
	struct address a;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_true(address_parse(&a, span_of(rows[i].text), 25));
		assert_int_equal(address_is_nobody_else(&a), rows[i].is);
	}
}

static void loopback(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} rows[] = { { "127.0.0.1", true }, { "127.255.0.1", true }, { "128.0.0.1", false },
		     { "::1", true },       { "::2", false },        { "::ffff:127.0.0.1", true },
		     { "/x", true },        { "0.0.0.0", false },    { "::", false } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct address a;

		assert_true(address_parse(&a, span_of(rows[i].text), 0));
		assert_int_equal(address_is_loopback(&a), rows[i].is);
	}
}

static void equality(void **state)
{
	struct address a, b;

	assert_true(address_parse(&a, SPAN("::ffff:10.0.0.1"), 25) && address_parse(&b, SPAN("10.0.0.1"), 25));
	assert_true(address_equal(&a, &b));
	b.port = 26;
	assert_false(address_equal(&a, &b));
	assert_true(address_parse(&a, SPAN("fe80::1%1"), 25) && address_parse(&b, SPAN("fe80::1%2"), 25));
	assert_false(address_equal(&a, &b));
	assert_true(address_parse(&a, SPAN("/a"), 25) && address_parse(&b, SPAN("/a"), 0));
	assert_true(address_equal(&a, &b));
}

static void networks(void **state)
{
	static const struct {
		const char *network, *address;
		int holds; /* -1: the network is malformed */
	} rows[] = {
		{ "10.0.0.0/8", "10.255.1.2", 1 },
		{ "10.0.0.0/8", "11.0.0.1", 0 },
		{ "10.128.0.0/9", "10.200.0.1", 1 },
		{ "10.128.0.0/9", "10.127.255.255", 0 },
		{ "0.0.0.0/0", "203.0.113.7", 1 },
		{ "0.0.0.0/0", "2001:db8::1", 0 },
		{ "192.0.2.7", "192.0.2.7", 1 },
		{ "192.0.2.7", "192.0.2.8", 0 },
		{ "192.0.2.7/32", "::ffff:192.0.2.7", 1 },
		{ "::ffff:10.0.0.0/104", "10.9.8.7", 1 },
		{ "2001:db8::/32", "2001:db8:ffff::1", 1 },
		{ "2001:db8::/32", "2001:db9::1", 0 },
		{ "::1", "::1", 1 },
		{ "::/0", "10.0.0.1", 0 },
		{ "10.0.0.1/8", "10.0.0.1", -1 },
		{ "10.0.0.0/33", "10.0.0.1", -1 },
		{ "10.0.0.0/", "10.0.0.1", -1 },
		{ "10.0.0.0/-1", "10.0.0.1", -1 },
		{ "10.0.0.0/8/8", "10.0.0.1", -1 },
		{ "::/129", "::1", -1 },
		{ "::ffff:10.0.0.0/95", "10.0.0.1", -1 },
		{ "/8", "10.0.0.1", -1 },
		{ "example.org/8", "10.0.0.1", -1 },
		{ "uid:33", "uid:33", 1 },
		{ "uid:33", "uid:34", 0 },
		{ "uid:0/0", "uid:4294967295", 1 },
		{ "uid:0/0", "10.0.0.1", 0 },
		{ "uid:0/0", "/run/x", 0 },
		{ "0.0.0.0/0", "uid:33", 0 },
		{ "uid:33/16", "uid:33", -1 },
		{ "uid:4294967296", "uid:0", -1 },
		{ "uid:www-data", "uid:33", -1 },
		{ "uid:", "uid:33", -1 },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct network n;
		struct address a;

		assert_true(address_parse(&a, span_of(rows[i].address), 0) || local_user_parse(&a, span_of(rows[i].address)));
		if (network_parse(&n, span_of(rows[i].network)) != (rows[i].holds >= 0))
			fail_msg("%s", rows[i].network);
		if (rows[i].holds >= 0 && network_holds(&n, &a) != (rows[i].holds == 1))
			fail_msg("%s %s", rows[i].network, rows[i].address);
	}
}

/* A user is at no place where one could listen or connect. */
static void users(void **state)
{
	struct address a = local_user(4294967295), b;
	char memory[32];
	struct buf text;
	uint32_t uid;

	buf_over(&text, memory, sizeof memory);
	assert_true(address_print(&text, &a, true));
	assert_span(buf_span(&text), "uid:4294967295");
	assert_true(local_user_parse(&b, buf_span(&text)) && address_equal(&a, &b));
	assert_true(local_user_is(&a, &uid) && uid == 4294967295);
	b = local_user(0);
	assert_false(address_equal(&a, &b));
	assert_true(address_is_loopback(&a) && address_is_nobody_else(&a));
	assert_false(address_parse(&b, SPAN("uid:33"), 25));
	assert_true(address_parse(&b, SPAN("/uid:33"), 25));
	assert_false(local_user_is(&b, &uid));
}

TESTS(addresses, what_is_no_address, loopback, nobody_else, equality, networks, users)
