#include "base/arena.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 1024 - 64, BLOCK_BYTES = 4096 - 64, ALIGN_BYTES = 16 };

struct block {
	struct block *next;
	size_t used, size;
	_Alignas(ALIGN_BYTES) char bytes[];
};

struct arena {
	struct block *newest;
	size_t taken, ceiling;
};

struct arena *arena_new(size_t ceiling_bytes)
{
	struct arena *a = calloc(1, sizeof *a);

	if (!a)
		panic("out of memory");
	a->ceiling = ceiling_bytes;
	return a;
}

static void free_blocks(struct arena *a, bool wipe)
{
	struct block *next;

	for (struct block *b = a->newest; b; b = next) {
		next = b->next;
		if (wipe)
			explicit_bzero(b->bytes, b->used);
		free(b);
	}
}

void arena_free(struct arena **arena)
{
	if (*arena)
		free_blocks(*arena, false);
	free(*arena);
	*arena = NULL;
}

void arena_wipe(struct arena **arena)
{
	if (*arena)
		free_blocks(*arena, true);
	free(*arena);
	*arena = NULL;
}

static struct block *block_add(struct arena *a, size_t wanted)
{
	size_t usual = a->newest ? BLOCK_BYTES : FIRST_BYTES, size = wanted > usual ? wanted : usual;
	struct block *b = malloc(sizeof *b + size);

	if (!b)
		panic("out of memory");
	*b = (struct block){ .next = a->newest, .size = size };
	a->newest = b;
	return b;
}

void *arena_take(struct arena *a, size_t size_bytes)
{
	size_t wanted = (size_bytes + ALIGN_BYTES - 1) & ~(size_t)(ALIGN_BYTES - 1);
	struct block *b = a->newest;
	void *at;

	if (wanted < size_bytes || wanted > a->ceiling - a->taken)
		panic("arena over its ceiling of %zu bytes", a->ceiling);
	if (!b || b->size - b->used < wanted)
		b = block_add(a, wanted);
	at = b->bytes + b->used;
	b->used += wanted;
	a->taken += wanted;
	return memset(at, 0, wanted);
}

struct span arena_copy(struct arena *a, struct span s)
{
	return (struct span){ arena_text(a, s), s.size };
}

char *arena_text(struct arena *a, struct span s)
{
	char *copy = arena_take(a, s.size + 1);

	if (s.size)
		memcpy(copy, s.at, s.size);
	return copy;
}

struct span arena_print(struct arena *a, const char *format, ...)
{
	va_list list, again;
	int size;
	char *text;

	va_start(list, format);
	va_copy(again, list);
	size = vsnprintf(NULL, 0, format, list);
	va_end(list);
	if (size < 0)
		panic("bad format");
	text = arena_take(a, (size_t)size + 1);
	vsnprintf(text, (size_t)size + 1, format, again);
	va_end(again);
	return (struct span){ text, (size_t)size };
}
