#include "queue/window.h"

#include "base/panic.h"

#include <stdlib.h>

enum { ROOM_FIRST = 4 };

void window_init(struct window *w, int64_t length_ms, int64_t grain_ms)
{
	*w = (struct window){ .length_ms = length_ms, .grain_ms = grain_ms };
}

void window_fini(struct window *w)
{
	free(w->parts);
	window_init(w, w->length_ms, w->grain_ms);
}

static struct window_part *part_at(const struct window *w, size_t i)
{
	return &w->parts[(w->first + i) % w->room];
}

static void grow(struct window *w)
{
	size_t room = w->room ? w->room * 2 : ROOM_FIRST;
	struct window_part *parts = calloc(room, sizeof *parts);

	if (!parts)
		panic("out of memory");
	for (size_t i = 0; i < w->count; i++)
		parts[i] = *part_at(w, i);
	free(w->parts);
	w->parts = parts;
	w->room = room;
	w->first = 0;
}

uint64_t window_used(struct window *w, int64_t now_ms)
{
	while (w->count && part_at(w, 0)->at_ms + w->length_ms <= now_ms) {
		w->used -= part_at(w, 0)->count;
		w->first = (w->first + 1) % w->room;
		w->count--;
	}
	if (!w->count && w->parts)
		window_fini(w);
	return w->used;
}

const struct window_part *window_add(struct window *w, int64_t at_ms, uint32_t count)
{
	struct window_part *last = w->count ? part_at(w, w->count - 1) : NULL;

	w->used += count;
	if (last && last->at_ms >= at_ms)
		at_ms = last->at_ms;
	if (last && last->at_ms / w->grain_ms == at_ms / w->grain_ms) {
		last->at_ms = at_ms;
		last->count += count;
		return last;
	}
	if (w->count == w->room)
		grow(w);
	last = part_at(w, w->count++);
	*last = (struct window_part){ at_ms, count };
	return last;
}

int64_t window_room_at_ms(struct window *w, int64_t now_ms, uint64_t wanted, uint64_t limit)
{
	uint64_t used = window_used(w, now_ms);
	int64_t at_ms = now_ms;

	for (size_t i = 0; i < w->count && used && used + wanted > limit; i++) {
		used -= part_at(w, i)->count;
		at_ms = part_at(w, i)->at_ms + w->length_ms;
	}
	return at_ms;
}
