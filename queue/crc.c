#include "queue/crc.h"

#include <pthread.h>
#include <string.h>

/* Eight tables, so that eight bytes are taken in a step. */
static uint32_t tables[8][256];
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
}

static uint32_t eight(uint32_t c, const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof word);
	word ^= c;
	return tables[7][word & 255] ^ tables[6][word >> 8 & 255] ^ tables[5][word >> 16 & 255] ^
	       tables[4][word >> 24 & 255] ^ tables[3][word >> 32 & 255] ^ tables[2][word >> 40 & 255] ^
	       tables[1][word >> 48 & 255] ^ tables[0][word >> 56];
}

uint32_t crc_of(uint32_t before, struct span s)
{
	uint32_t c = ~before;

	pthread_once(&made, make_tables);
	for (; s.size >= 8; s.at += 8, s.size -= 8)
		c = eight(c, s.at);
	for (size_t i = 0; i < s.size; i++)
		c = c >> 8 ^ tables[0][(c ^ (unsigned char)s.at[i]) & 255];
	return ~c;
}
