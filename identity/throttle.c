#include "identity/throttle.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = 16, SCALE = 1024 };

/* Places stand in a ring in the order of their last failure: the oldest is the next to be forgotten. */
struct place {
	char key[KEY_BYTES];
	size_t key_size;
	int64_t level; /* failures, times SCALE, that have not leaked away yet */
	int64_t at_ms;
	struct place *older, *newer;
};

struct throttle {
	struct map places;
	struct place ring; /* its `newer` is the oldest */
	unsigned failures_max;
	size_t used;
	struct place memory[THROTTLE_PLACES];
};

struct throttle *throttle_new(unsigned failures_max)
{
	struct throttle *t = calloc(1, sizeof *t);

	if (!t)
		panic("out of memory");
	map_init(&t->places, false);
	t->ring.older = t->ring.newer = &t->ring;
	t->failures_max = failures_max;
	return t;
}

void throttle_free(struct throttle **throttle)
{
	if (*throttle)
		map_free(&(*throttle)->places);
	free(*throttle);
	*throttle = NULL;
}

void throttle_limit(struct throttle *t, unsigned failures_max)
{
	t->failures_max = failures_max;
}

/* A /64 belongs to one customer, who may use any address of it. */
static struct span key_of(struct span address)
{
	return span_slice(address, 0, address.size == 16 ? 8 : KEY_BYTES);
}

static void leak(const struct throttle *t, struct place *p, int64_t now_ms)
{
	int64_t passed_ms = now_ms - p->at_ms, gone;

	if (passed_ms <= 0)
		return;
	gone = passed_ms >= THROTTLE_WINDOW_MS ? p->level : passed_ms * t->failures_max * SCALE / THROTTLE_WINDOW_MS;
	/* Steps too small to leak anything must not be lost. */
	if (!gone && p->level)
		return;
	p->level = p->level > gone ? p->level - gone : 0;
	p->at_ms = now_ms;
}

static void unlink_place(struct place *p)
{
	p->older->newer = p->newer;
	p->newer->older = p->older;
}

static void link_newest(struct throttle *t, struct place *p)
{
	p->older = t->ring.older;
	p->newer = &t->ring;
	p->older->newer = p;
	t->ring.older = p;
}

static struct place *place_for(struct throttle *t, struct span key, int64_t now_ms)
{
	struct place *p = map_get(&t->places, key);

	if (p) {
		unlink_place(p);
		return p;
	}
	if (t->used < THROTTLE_PLACES) {
		p = &t->memory[t->used++];
	} else {
		p = t->ring.newer;
		unlink_place(p);
		map_remove(&t->places, (struct span){ p->key, p->key_size });
	}
	*p = (struct place){ .key_size = key.size, .at_ms = now_ms };
	memcpy(p->key, key.at, key.size);
	map_put(&t->places, (struct span){ p->key, p->key_size }, p);
	return p;
}

void throttle_fail(struct throttle *t, struct span address, int64_t now_ms)
{
	struct place *p = place_for(t, key_of(address), now_ms);

	leak(t, p, now_ms);
	/* What lies above twice the limit is not counted, so that waiting always helps. */
	if (p->level < (int64_t)t->failures_max * SCALE * 2)
		p->level += SCALE;
	link_newest(t, p);
}

bool throttle_is_over(struct throttle *t, struct span address, int64_t now_ms)
{
	struct place *p = map_get(&t->places, key_of(address));

	if (!p)
		return false;
	leak(t, p, now_ms);
	return p->level > (int64_t)t->failures_max * SCALE;
}
