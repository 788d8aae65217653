/* base/buf.h - bytes that grow up to a ceiling.
 *
 * Why       Everything a stranger can size needs a maximum, stated where the buffer is made.
 * Promise   Never holds more than `max`. A put that does not fit changes nothing and says so; the
 *           buffer then stays `overfull` until buf_clear(), so that one check at the end is enough.
 * Owns      Its memory, until buf_free().
 * Refuses   Growth past `max`. */
#pragma once
#include "base/span.h"

struct buf {
	char *at;
	size_t size, room, max;
	bool overfull;
};

/* An empty buffer; allocates nothing yet. */
void buf_init(struct buf *, size_t max_bytes);

/* An empty buffer over memory of the caller's, for what must not allocate: never freed, never larger. */
void buf_over(struct buf *, char *memory, size_t size_bytes);

/* Releases the memory; buf_wipe() clears it first. The buffer may be used again. */
void buf_free(struct buf *);
void buf_wipe(struct buf *);

/* Empties it and keeps the memory. */
void buf_clear(struct buf *);

/* Makes room for `size` more bytes and returns where they go, or NULL; buf_grew() then counts
 * those that were filled in. */
char *buf_make_room(struct buf *, size_t size);
static inline char *buf_room(struct buf *b, size_t size)
{
	return b->at && size <= b->room - b->size && size <= b->max - b->size ? b->at + b->size : buf_make_room(b, size);
}
void buf_grew(struct buf *, size_t size);

/* Appends. False, and `overfull`, when it would pass the ceiling. */
static inline bool buf_put(struct buf *b, struct span s)
{
	char *at = buf_room(b, s.size);

	if (!at)
		return false;
	if (s.size)
		memcpy(at, s.at, s.size);
	b->size += s.size;
	return true;
}
static inline bool buf_put_byte(struct buf *b, char c)
{
	return buf_put(b, (struct span){ &c, 1 });
}

/* As printf; false when it would not fit, and then nothing was put. */
bool buf_print(struct buf *, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Removes the first `size` bytes. */
void buf_drop(struct buf *, size_t size);

/* What it holds; valid until the next change. */
struct span buf_span(const struct buf *);
