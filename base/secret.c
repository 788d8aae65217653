#include "base/secret.h"

#include "base/panic.h"
#include "base/rand.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

struct secret {
	size_t size;
	unsigned char *bytes;
};

static struct secret *secret_room(size_t size)
{
	struct secret *s = calloc(1, sizeof *s);

	if (!s || sodium_init() < 0)
		panic("out of memory");
	s->bytes = sodium_malloc(size ? size : 1);
	s->size = size;
	if (!s->bytes)
		panic("no locked memory for a secret");
	return s;
}

struct secret *secret_new(struct span bytes)
{
	struct secret *s = secret_room(bytes.size);

	if (bytes.size)
		memcpy(s->bytes, bytes.at, bytes.size);
	return s;
}

struct secret *secret_random(size_t size_bytes)
{
	struct secret *s = secret_room(size_bytes);

	rand_bytes(s->bytes, size_bytes);
	return s;
}

void secret_free(struct secret **secret)
{
	if (*secret)
		sodium_free((*secret)->bytes);
	free(*secret);
	*secret = NULL;
}

struct span secret_borrow(const struct secret *s)
{
	return s ? (struct span){ (const char *)s->bytes, s->size } : (struct span){ "", 0 };
}

bool secret_equal(struct span a, struct span b)
{
	return a.size == b.size && !sodium_memcmp(a.at, b.at, a.size);
}

void secret_wipe(void *at, size_t size_bytes)
{
	sodium_memzero(at, size_bytes);
}
