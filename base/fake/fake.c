#include "base/fake/fake.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/rand.h"

#include <string.h>

static int64_t now, wall_ahead;
static uint64_t state;

void fake_begin(uint64_t seed, int64_t wall_ms)
{
	now = 0;
	wall_ahead = wall_ms;
	state = seed;
}

void fake_clock_set(int64_t now_ms)
{
	ASSERT(now_ms >= now);
	now = now_ms;
}

void fake_clock_skew(int64_t by_ms)
{
	wall_ahead += by_ms;
}

int64_t clock_monotonic_ms(void)
{
	return now;
}

int64_t clock_wall_ms(void)
{
	return now + wall_ahead;
}

uint32_t clock_boot(void)
{
	return 1; /* a virtual machine whose power is cut comes back within the same virtual time */
}

/* splitmix64: short, and every seed is a good one. */
static uint64_t next(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void rand_bytes(void *out, size_t size_bytes)
{
	char *at = out;

	while (size_bytes) {
		uint64_t bits = next();
		size_t size = size_bytes < sizeof bits ? size_bytes : sizeof bits;

		memcpy(at, &bits, size);
		at += size;
		size_bytes -= size;
	}
}

uint64_t rand_below(uint64_t limit)
{
	return next() % limit;
}
