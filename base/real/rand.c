#include "base/rand.h"

#include "base/panic.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

/* Asked of the kernel in one go and handed out in small pieces, each once. A forked child starts with none. */
enum { POOL_BYTES = 256 };

static _Thread_local struct {
	char bytes[POOL_BYTES];
	size_t left;
} pool;
static pthread_once_t guarded = PTHREAD_ONCE_INIT;

static void ask_kernel(char *at, size_t size_bytes)
{
	while (size_bytes) {
		ssize_t got = getrandom(at, size_bytes < 256 ? size_bytes : 256, 0);

		if (got <= 0)
			panic("the kernel gives no random bytes");
		at += got;
		size_bytes -= (size_t)got;
	}
}

static void forget(void)
{
	explicit_bzero(&pool, sizeof pool);
}

static void guard(void)
{
	if (pthread_atfork(NULL, NULL, forget))
		panic("out of memory");
}

void rand_bytes(void *out, size_t size_bytes)
{
	char *from;

	if (size_bytes > POOL_BYTES / 4) {
		ask_kernel(out, size_bytes);
		return;
	}
	if (pool.left < size_bytes) {
		pthread_once(&guarded, guard);
		ask_kernel(pool.bytes, sizeof pool.bytes);
		pool.left = sizeof pool.bytes;
	}
	pool.left -= size_bytes;
	from = pool.bytes + pool.left;
	memcpy(out, from, size_bytes);
	explicit_bzero(from, size_bytes);
}

uint64_t rand_below(uint64_t limit)
{
	uint64_t number, top = UINT64_MAX - UINT64_MAX % limit;

	do
		rand_bytes(&number, sizeof number);
	while (number >= top);
	return number % limit;
}
