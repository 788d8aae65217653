#include "base/buf.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max_bytes)
{
	*b = (struct buf){ .max = max_bytes };
}

void buf_over(struct buf *b, char *memory, size_t size_bytes)
{
	*b = (struct buf){ .at = memory, .room = size_bytes, .max = size_bytes };
}

void buf_free(struct buf *b)
{
	free(b->at);
	buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
	if (b->at)
		explicit_bzero(b->at, b->room);
	buf_free(b);
}

void buf_clear(struct buf *b)
{
	b->size = 0;
	b->overfull = false;
}

/* Not realloc(): the old block may hold a secret, and is wiped. */
static void move_to(struct buf *b, size_t room)
{
	char *moved = malloc(room);

	if (!moved)
		panic("out of memory");
	if (b->at) {
		memcpy(moved, b->at, b->size);
		explicit_bzero(b->at, b->size);
		free(b->at);
	}
	b->at = moved;
	b->room = room;
}

char *buf_make_room(struct buf *b, size_t size)
{
	size_t wanted, room = b->room ? b->room : 64;

	if (__builtin_add_overflow(b->size, size, &wanted) || wanted > b->max) {
		b->overfull = true;
		return NULL;
	}
	while (room < wanted)
		room = room > b->max / 2 ? b->max : room * 2;
	if (room != b->room)
		move_to(b, room);
	return b->at + b->size;
}

void buf_grew(struct buf *b, size_t size)
{
	ASSERT(size <= b->room - b->size);
	b->size += size;
}

bool buf_print(struct buf *b, const char *format, ...)
{
	size_t left = b->at ? b->room - b->size : 0;
	va_list list, again;
	int size;
	char *at;

	va_start(list, format);
	va_copy(again, list);
	size = vsnprintf(left ? b->at + b->size : NULL, left, format, list);
	va_end(list);
	at = size < 0 ? NULL : buf_room(b, (size_t)size + 1);
	if (at && (size_t)size >= left)
		vsnprintf(at, (size_t)size + 1, format, again);
	if (at)
		b->size += (size_t)size;
	va_end(again);
	return at != NULL;
}

void buf_drop(struct buf *b, size_t size)
{
	ASSERT(size <= b->size);
	if (size)
		memmove(b->at, b->at + size, b->size - size);
	b->size -= size;
}

struct span buf_span(const struct buf *b)
{
	return (struct span){ b->at ? b->at : "", b->size };
}
