#include "wire/line_ends.h"

#include <string.h>

/* A vector of the compiler's: it becomes what the processor has. */
typedef unsigned char block __attribute__((vector_size(16)));

static block load(const char *at)
{
	block b;

	memcpy(&b, at, sizeof b);
	return b;
}

static bool is_zero(block b)
{
	uint64_t words[sizeof b / sizeof(uint64_t)], all = 0;

	memcpy(words, &b, sizeof b);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		all |= words[i];
	return !all;
}

/* Compares each byte with the one before it; from the second byte of the run on. */
static bool blocks_pair(struct span run, size_t *at, bool refuse_nul)
{
	const block cr = (block){ 0 } + '\r', lf = (block){ 0 } + '\n', always = (block){ 0 } + (unsigned char)(refuse_nul ? 0xff : 0);
	block bad = { 0 };

	for (; *at + sizeof(block) <= run.size; *at += sizeof(block)) {
		block here = load(run.at + *at), before = load(run.at + *at - 1);

		bad |= (block)(here == lf) ^ (block)(before == cr);
		bad |= (block)(here == 0) & always;
	}
	return is_zero(bad);
}

static bool holds(struct span run, char last, bool refuse_nul)
{
	size_t at = 1;

	if (!run.size)
		return true;
	if ((run.at[0] == '\n') != (last == '\r') || (refuse_nul && !run.at[0]) || !blocks_pair(run, &at, refuse_nul))
		return false;
	for (; at < run.size; at++)
		if ((run.at[at] == '\n') != (run.at[at - 1] == '\r') || (refuse_nul && !run.at[at]))
			return false;
	return true;
}

bool line_ends_pair(struct span run, char last)
{
	return holds(run, last, false);
}

bool line_ends_clean(struct span run, char last)
{
	return holds(run, last, true);
}
