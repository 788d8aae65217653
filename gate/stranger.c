#include "gate/stranger.h"

#include "base/metric.h"
#include "gate/session.h"

enum {
	YOUNG_MS = 3000, /* what a slow client on a slow line needs to sign in */
	LOOKED_AT = 32,  /* of the oldest: those that wait for the vault are left alone */
};

void stranger_add(struct session *s)
{
	struct gate *g = s->gate;

	s->is_stranger = true;
	s->older = g->newest_stranger;
	s->newer = NULL;
	*(s->older ? &s->older->newer : &g->oldest_stranger) = s;
	g->newest_stranger = s;
	g->strangers++;
	metric_set(METRIC_GATE_STRANGERS, NULL, (int64_t)g->strangers);
}

void stranger_remove(struct session *s)
{
	struct gate *g = s->gate;

	if (!s->is_stranger)
		return;
	s->is_stranger = false;
	*(s->older ? &s->older->newer : &g->oldest_stranger) = s->newer;
	*(s->newer ? &s->newer->older : &g->newest_stranger) = s->older;
	s->older = s->newer = NULL;
	g->strangers--;
	metric_set(METRIC_GATE_STRANGERS, NULL, (int64_t)g->strangers);
}

static struct session *next_to_go(const struct gate *g)
{
	int64_t now_ms = loop_now_ms(g->loop);
	struct session *s = g->oldest_stranger;

	for (unsigned i = 0; s && i < LOOKED_AT; i++, s = s->newer) {
		if (now_ms - s->began_ms < YOUNG_MS)
			return NULL;
		if (!s->waits_vault)
			return s;
	}
	return NULL;
}

bool stranger_fits(struct gate *g)
{
	bool is_full = (int64_t)g->strangers >= g->config->max_strangers || (int64_t)g->open >= g->config->max_sessions;
	struct session *s = is_full ? next_to_go(g) : NULL;

	if (s)
		session_give_way(s);
	return s || !is_full;
}
