#include "queue/mail_heap.h"

#include "base/panic.h"

#include <stdlib.h>

static bool is_before(const struct mail *a, const struct mail *b)
{
	return a->lane_order != b->lane_order ? a->lane_order < b->lane_order : a->id < b->id;
}

static void place(struct mail_heap *h, size_t at, struct mail *m)
{
	h->at[at] = m;
	m->lane_place = (uint32_t)at + 1;
}

static void sift_up(struct mail_heap *h, size_t at)
{
	struct mail *m = h->at[at];

	for (; at && is_before(m, h->at[(at - 1) / 2]); at = (at - 1) / 2)
		place(h, at, h->at[(at - 1) / 2]);
	place(h, at, m);
}

static void sift_down(struct mail_heap *h, size_t at)
{
	struct mail *m = h->at[at];

	for (size_t child; (child = at * 2 + 1) < h->count; at = child) {
		if (child + 1 < h->count && is_before(h->at[child + 1], h->at[child]))
			child++;
		if (!is_before(h->at[child], m))
			break;
		place(h, at, h->at[child]);
	}
	place(h, at, m);
}

void mail_heap_add(struct mail_heap *h, struct mail *m)
{
	if (h->count == h->room) {
		h->room = h->room ? h->room * 2 : 8;
		h->at = realloc(h->at, h->room * sizeof *h->at);
		if (!h->at)
			panic("out of memory");
	}
	place(h, h->count++, m);
	sift_up(h, h->count - 1);
}

void mail_heap_remove(struct mail_heap *h, struct mail *m)
{
	size_t at = m->lane_place - 1;
	struct mail *last = h->at[--h->count];

	m->lane_place = 0;
	if (last == m)
		return;
	place(h, at, last);
	sift_up(h, at);
	sift_down(h, last->lane_place - 1);
}

void mail_heap_free(struct mail_heap *h)
{
	free(h->at);
	*h = (struct mail_heap){ 0 };
}
