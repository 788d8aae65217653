#include "base/rand.h"

#include "base/panic.h"

#include <sys/random.h>

void rand_bytes(void *out, size_t size_bytes)
{
	char *at = out;

	while (size_bytes) {
		ssize_t got = getrandom(at, size_bytes < 256 ? size_bytes : 256, 0);

		if (got <= 0)
			panic("the kernel gives no random bytes");
		at += got;
		size_bytes -= (size_t)got;
	}
}

uint64_t rand_below(uint64_t limit)
{
	uint64_t number, top = UINT64_MAX - UINT64_MAX % limit;

	do
		rand_bytes(&number, sizeof number);
	while (number >= top);
	return number % limit;
}
