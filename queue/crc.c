#include "queue/crc.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* Eight tables, so that eight bytes are taken in a step, where the processor has no instruction for it. */
static uint32_t tables[8][256];
static bool has_instruction;
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (unsigned bit = 0; bit < 8; bit++)
			c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
		tables[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (unsigned t = 1; t < 8; t++)
			tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 255];
#if defined(__x86_64__)
	has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t before, struct span s)
{
	uint64_t c = before, word;

	for (; s.size >= sizeof word; s.at += sizeof word, s.size -= sizeof word) {
		memcpy(&word, s.at, sizeof word);
		c = _mm_crc32_u64(c, word);
	}
	for (size_t i = 0; i < s.size; i++)
		c = _mm_crc32_u8((uint32_t)c, (unsigned char)s.at[i]);
	return (uint32_t)c;
}
#else
static uint32_t by_instruction(uint32_t before, struct span s)
{
	return before;
}
#endif

static uint32_t eight(uint32_t c, const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof word);
	word ^= c;
	return tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^ tables[5][word >> 16 & 255] ^
	       tables[4][word >> 24 & 255] ^ tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255] ^
	       tables[1][word >> 48 & 255] ^ tables[0][word >> 56];
}

static uint32_t by_tables(uint32_t before, struct span s)
{
	uint32_t c = before;

	for (; s.size >= 8; s.at += 8, s.size -= 8)
		c = eight(c, s.at);
	for (size_t i = 0; i < s.size; i++)
		c = c >> 8 ^ tables[0][(c ^ (unsigned char)s.at[i]) & 255];
	return c;
}

uint32_t crc_of(uint32_t before, struct span s)
{
	pthread_once(&made, make_tables);
	return ~(has_instruction ? by_instruction(~before, s) : by_tables(~before, s));
}

uint32_t crc_by_tables(uint32_t before, struct span s)
{
	pthread_once(&made, make_tables);
	return ~by_tables(~before, s);
}
