#include "base/whole_file.h"
#include "tests/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static int make_file(void **state)
{
	FILE *file;
	int fd;

	strcpy(path, "/tmp/whole_file_test.XXXXXX");
	fd = mkstemp(path);
	file = fdopen(fd, "we");
	for (int i = 0; i < 1000; i++)
		fputs("0123456789", file);
	return fclose(file);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static void all_of_it(void **state)
{
	struct buf out;

	buf_init(&out, 10000);
	buf_put(&out, SPAN(""));
	assert_true(whole_file_read(path, &out));
	assert_int_equal(out.size, 10000);
	assert_memory_equal(out.at + 9990, "0123456789", 10);
	buf_free(&out);
}

/* A part passed for the whole would be a boot file without its end. */
static void too_long(void **state)
{
	struct buf out;

	buf_init(&out, 9999);
	assert_false(whole_file_read(path, &out));
	assert_int_equal(errno, EFBIG);
	buf_free(&out);
}

static void not_to_be_read(void **state)
{
	struct buf out;

	buf_init(&out, 100);
	assert_false(whole_file_read("/tmp/whole_file_test.there-is-none", &out));
	assert_int_equal(errno, ENOENT);
	assert_false(whole_file_read("/tmp", &out)); /* opens, and cannot be read */
	assert_int_equal(errno, EISDIR);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_of_it, make_file, remove_file),
		cmocka_unit_test_setup_teardown(too_long, make_file, remove_file),
		cmocka_unit_test(not_to_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
