#include "desk/gather.h"

#include "base/arena.h"
#include "base/panic.h"

#include <stdlib.h>

enum { ARENA_BYTES = 2 * ERRAND_PEERS_MAX * MESSAGE_BYTES_MAX };

struct gather;

struct asked {
	struct gather *gather;
	struct gather_part *part;
};

struct gather {
	struct arena *arena;
	size_t open, count;
	struct gather_part parts[ERRAND_PEERS_MAX + 2];
	struct asked asked[ERRAND_PEERS_MAX + 2];
	gather_done *done;
	void *self;
};

static void on_answer(void *self, const struct errand_answer *a)
{
	struct asked *asked = self;
	struct gather *g = asked->gather;

	asked->part->came = a->came;
	asked->part->fault = a->fault;
	asked->part->result = arena_copy(g->arena, a->result);
	if (--g->open)
		return;
	g->done(g->self, g->parts, g->count);
	arena_wipe(&g->arena);
	free(g);
}

static bool has(const struct gather *g, enum role role)
{
	for (size_t i = 0; i < g->count; i++)
		if (g->parts[i].role == role)
			return true;
	return false;
}

static void add(struct gather *g, enum role role, unsigned index)
{
	g->parts[g->count] = (struct gather_part){ .role = role, .index = index };
	g->asked[g->count] = (struct asked){ g, &g->parts[g->count] };
	g->count++;
}

static void list_parts(struct gather *g, const struct errands *errands, unsigned roles)
{
	enum role role;
	unsigned index;
	bool up;

	for (size_t i = 0; errands_role(errands, i, &role, &index, &up); i++)
		if (role & roles)
			add(g, role, index);
	if ((roles & ROLE_VAULT) && !has(g, ROLE_VAULT))
		add(g, ROLE_VAULT, 0);
	if ((roles & ROLE_POST) && !has(g, ROLE_POST))
		add(g, ROLE_POST, 0);
}

void gather_start(struct errands *errands, unsigned roles, struct span operation, enum language language, int wait_ms, gather_done *done,
		  void *self)
{
	struct gather *g = calloc(1, sizeof *g);

	if (!g)
		panic("out of memory");
	g->arena = arena_new(ARENA_BYTES);
	g->done = done;
	g->self = self;
	list_parts(g, errands, roles);
	ASSERT(g->count);
	g->open = g->count;
	for (size_t i = 0; i < g->count; i++)
		errands_ask(errands, &(struct errand_wish){ .role = g->parts[i].role, .index = g->parts[i].index, .operation = operation,
							    .actor = SPAN("postern"), .language = language, .arguments = SPAN("{}"), .wait_ms = wait_ms,
							    .done = on_answer, .self = &g->asked[i] });
}
