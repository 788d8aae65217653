#include "desk/roster.h"

#include "tests/test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
			     "postern:x:901:901::/var/lib/postern:/usr/sbin/nologin\n"
			     "ada:x:1000:1000:Ada,,,:/home/ada:/bin/bash\n"
			     "bob:x:1001:1001::/home/bob:/bin/sh\n"
			     "carl:x:1002:901::/home/carl:/bin/sh\n"
			     "\n"
			     "broken\n"
			     "huge:x:4294967296:0::/:/bin/sh\n"
			     "neg:x:-1:0::/:/bin/sh\n"
			     "empty:x::901::/:/bin/sh\n"
			     "alias:x:1003:1003::/:/bin/sh\n"
			     "zed:x:1003:1003::/:/bin/sh";
static const char group[] = "root:x:0:\n"
			    "posternity:x:55:bob\n"
			    "postern:x:901:ada,zed,\n"
			    "daemon:x:1:bob\n";

static struct roster *made(const char *group_name)
{
	return roster_new(&(struct roster_settings){ .passwd = span_of(passwd), .group = span_of(group), .group_name = span_of(group_name),
						     .user_name = SPAN("postern"), .own_uid = 5555 });
}

static void roster_admits_whom_it_should(void **state)
{
	static const struct {
		const char *group;
		uint32_t uid, gid;
		bool admitted;
	} cases[] = {
		{ "postern", 0, 0, true },       /* root */
		{ "postern", 5555, 9, true },    /* ourselves */
		{ "postern", 901, 7, true },     /* the daemon's user */
		{ "postern", 1000, 1000, true }, /* in the list of the group */
		{ "postern", 1001, 1001, false },
		{ "postern", 1001, 901, true }, /* the process took the group, as with sg(1) */
		{ "postern", 1002, 77, true },  /* first group in passwd */
		{ "postern", 1003, 1003, true }, /* the second name of that uid is a member */
		{ "postern", 4242, 4242, false },
		{ "postern", UINT32_MAX, UINT32_MAX, false },
		{ "", 1000, 1000, false }, /* no group: nobody besides root and ourselves */
		{ "", 901, 901, true },
		{ "missing", 1000, 0, false },
		{ "missing", 1001, 0, false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct roster *r = made(cases[i].group);

		if (roster_admits(r, cases[i].uid, cases[i].gid) != cases[i].admitted)
			fail_msg("case %zu", i);
		roster_free(&r);
		assert_null(r);
	}
}

static void roster_without_files_admits_root_and_itself(void **state)
{
	struct roster *r = roster_new(&(struct roster_settings){ .passwd = SPAN(""), .group = SPAN(""), .group_name = SPAN("postern"),
								 .user_name = SPAN(""), .own_uid = 7 });

	assert_true(roster_admits(r, 0, 0));
	assert_true(roster_admits(r, 7, 3));
	assert_false(roster_admits(r, 8, 0));
	roster_free(&r);
}

static void roster_names_people(void **state)
{
	struct roster *r = made("postern");
	struct buf out;

	buf_init(&out, 100);
	assert_true(roster_name(r, 1000, &out));
	assert_span(buf_span(&out), "ada");
	buf_clear(&out);
	assert_true(roster_name(r, 4242, &out));
	assert_span(buf_span(&out), "uid 4242");
	buf_free(&out);
	roster_free(&r);
}

TESTS(roster_admits_whom_it_should, roster_without_files_admits_root_and_itself, roster_names_people)
