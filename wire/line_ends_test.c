/* Blocks and single bytes see the same. */
#include "tests/test.h"
#include "wire/line_ends.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 20000, BYTES_MAX = 150 };

static bool plainly(struct span run, char last, bool refuse_nul)
{
	for (size_t i = 0; i < run.size; last = run.at[i++])
		if ((run.at[i] == '\n') != (last == '\r') || (refuse_nul && !run.at[i]))
			return false;
	return true;
}

static void every_place(void **state)
{
	char run[BYTES_MAX];

	for (size_t size = 1; size < BYTES_MAX; size++)
		for (size_t i = 0; i < size; i++) {
			memset(run, 'x', sizeof run);
			assert_true(line_ends_clean((struct span){ run, size }, 'x'));
			run[i] = 0;
			assert_false(line_ends_clean((struct span){ run, size }, 'x'));
			assert_true(line_ends_pair((struct span){ run, size }, 'x'));
			run[i] = '\n';
			assert_int_equal(line_ends_pair((struct span){ run, size }, i ? 'x' : '\r'), !i);
			run[i] = '\r';
			assert_int_equal(line_ends_pair((struct span){ run, size }, 'x'), i + 1 == size);
			if (i + 1 < size)
				run[i + 1] = '\n';
			assert_true(line_ends_clean((struct span){ run, size }, 'x'));
		}
}

static void chance(void **state)
{
	static const char letters[] = { 'x', 'y', '\r', '\n', 0, 'z' };
	char run[BYTES_MAX];

	srand(7);
	for (int round = 0; round < ROUNDS; round++) {
		size_t size = (size_t)rand() % BYTES_MAX;
		char last = letters[rand() % 4];
		struct span all = { run, size };

		for (size_t i = 0; i < size; i++) {
			run[i] = letters[(size_t)rand() % sizeof letters];
			if (i && rand() % 8 && run[i - 1] == '\r')
				run[i] = '\n';
			else if (rand() % 4)
				run[i] = 'x';
		}
		assert_int_equal(line_ends_pair(all, last), plainly(all, last, false));
		assert_int_equal(line_ends_clean(all, last), plainly(all, last, true));
	}
}

TESTS(every_place, chance)
