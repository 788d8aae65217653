#include "base/slab.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

enum { BLOCK_BYTES = 256 * 1024 - 64, ALIGN_BYTES = 8 };

struct slab_block {
	struct slab_block *next;
	_Alignas(ALIGN_BYTES) char bytes[];
};

struct slab_free {
	struct slab_free *next;
};

static size_t step(const struct slab *s)
{
	return (s->size_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static size_t block_holds(const struct slab *s)
{
	return (BLOCK_BYTES - sizeof(struct slab_block)) / step(s);
}

static void grow(struct slab *s)
{
	struct slab_block *b = malloc(BLOCK_BYTES);

	if (!b)
		panic("out of memory");
	ASSERT(s->size_bytes >= sizeof(struct slab_free) && block_holds(s));
	b->next = s->blocks;
	s->blocks = b;
	s->begun = 0;
	ASAN_POISON_MEMORY_REGION(b->bytes, BLOCK_BYTES - sizeof *b);
}

void *slab_take(struct slab *s)
{
	struct slab_free *f = s->free;

	if (!f && (!s->blocks || s->begun == block_holds(s)))
		grow(s);
	if (!f)
		f = (void *)(s->blocks->bytes + s->begun++ * step(s));
	ASAN_UNPOISON_MEMORY_REGION(f, s->size_bytes);
	if (s->free)
		s->free = f->next;
	s->count++;
	return memset(f, 0, s->size_bytes);
}

/* The newest block stays, as new: an almost empty queue takes and gives all the time. */
static void drop_blocks(struct slab *s)
{
	while (s->blocks->next) {
		struct slab_block *b = s->blocks->next;

		s->blocks->next = b->next;
		ASAN_UNPOISON_MEMORY_REGION(b, BLOCK_BYTES);
		free(b);
	}
	s->free = NULL;
	s->begun = 0;
}

void slab_give(struct slab *s, void *object)
{
	struct slab_free *f = object;

	ASSERT(s->count);
	f->next = s->free;
	s->free = f;
	ASAN_POISON_MEMORY_REGION(f, s->size_bytes);
	if (!--s->count)
		drop_blocks(s);
}
