/* Objects that come and go. */
#include "base/slab.h"
#include "tests/test.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 5000, ROUNDS = 20000 };

struct object {
	uint64_t number;
	char text[33];
};

/* No two are one, and each keeps what was written into it. */
static void chance(void **state)
{
	static struct object *out[OBJECTS];
	struct slab s = { .size_bytes = sizeof(struct object) };

	srand(7);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		size_t i = (size_t)rand() % OBJECTS;

		if (out[i]) {
			assert_int_equal(out[i]->number, out[i]->text[32] ? 0 : (uint64_t)strtoull(out[i]->text, NULL, 10));
			slab_give(&s, out[i]);
			out[i] = NULL;
			continue;
		}
		out[i] = slab_take(&s);
		assert_int_equal(out[i]->number, 0);
		assert_int_equal(out[i]->text[0], 0);
		out[i]->number = round;
		snprintf(out[i]->text, sizeof out[i]->text, "%llu", (unsigned long long)round);
	}
	for (size_t i = 0; i < OBJECTS; i++)
		if (out[i])
			slab_give(&s, out[i]);
	memset(out, 0, sizeof out);
	assert_int_equal(s.count, 0);
	free(s.blocks);
}

/* What was given back is taken again before there is more. */
static void memory_is_used_again(void **state)
{
	struct slab s = { .size_bytes = sizeof(struct object) };
	struct object *kept = slab_take(&s), *first = slab_take(&s);
	struct slab_block *blocks = s.blocks;

	for (int i = 0; i < ROUNDS; i++) {
		slab_give(&s, first);
		first = slab_take(&s);
	}
	assert_ptr_equal(s.blocks, blocks);
	slab_give(&s, first);
	slab_give(&s, kept);
	assert_ptr_equal(s.blocks, blocks);
	free(blocks);
}

TESTS(chance, memory_is_used_again)
