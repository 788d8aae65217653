#include "desk/errand.h"

#include "base/map.h"
#include "base/panic.h"
#include "loop/link.h"

#include <stdlib.h>

struct peer {
	enum role role;
	unsigned index;
	struct link *link; /* NULL while it is away */
};

struct errand {
	struct errands *errands;
	uint64_t number;
	struct peer *peer; /* NULL when that role was never introduced */
	enum fault fault;  /* what the deadline means */
	struct timer deadline;
	errand_done *done;
	void *self;
};

struct errands {
	struct loop *loop;
	struct trail trail;
	struct map open; /* by number */
	uint64_t last_number;
	size_t peer_count;
	struct peer peers[ERRAND_PEERS_MAX];
};

static void on_received(void *self, struct link *, const struct message *);
static void on_ended(void *self, struct link *);

static const struct link_events peer_events = { .received = on_received, .ended = on_ended };

static struct span key_of(const uint64_t *number)
{
	return (struct span){ (const char *)number, sizeof *number };
}

static struct peer *peer_named(struct errands *all, enum role role, unsigned index)
{
	for (size_t i = 0; i < all->peer_count; i++)
		if (all->peers[i].role == role && all->peers[i].index == index)
			return &all->peers[i];
	return NULL;
}

static enum fault away(enum role role)
{
	return role == ROLE_VAULT ? FAULT_VAULT_AWAY : role == ROLE_POST ? FAULT_POST_AWAY : FAULT_CLOSED;
}

static void settle(struct errand *e, const struct errand_answer *answer)
{
	timer_stop(&e->deadline);
	map_remove(&e->errands->open, key_of(&e->number));
	e->done(e->self, answer);
	free(e);
}

static void settle_without(struct errand *e, enum fault fault)
{
	settle(e, &(struct errand_answer){ .fault = fault, .why = SPAN(""), .result = SPAN("") });
}

static void on_deadline(void *self)
{
	struct errand *e = self;

	settle_without(e, e->fault);
}

static void on_received(void *self, struct link *link, const struct message *m)
{
	struct errands *all = self;
	struct errand *e;

	if (m->type != MESSAGE_answer)
		return;
	e = map_get(&all->open, key_of(&m->answer.request));
	if (e && e->peer && e->peer->link == link)
		settle(e, &(struct errand_answer){ .came = true,
						   .fault = m->answer.fault < FAULT_COUNT ? (enum fault)m->answer.fault : FAULT_BUG,
						   .why = m->answer.why,
						   .result = m->answer.result });
}

/* What was asked over this link gets no answer any more; `done` runs from the timer, since more may be asked from inside it. */
static void peer_gone(struct errands *all, struct peer *peer)
{
	struct errand *e;
	size_t at = 0;

	link_close(&peer->link);
	while ((e = map_next(&all->open, &at)))
		if (e->peer == peer)
			timer_after(&e->deadline, 0);
}

static void on_ended(void *self, struct link *link)
{
	struct errands *all = self;
	struct peer *peer = peer_named(all, link_peer(link), link_index(link));

	TRAIL(&all->trail, EVENT_LINK_ENDED, TRAIL_TEXT("peer", span_of(role_name(link_peer(link)))));
	ASSERT(peer && peer->link == link);
	peer_gone(all, peer);
}

struct errands *errands_new(struct loop *loop, const struct trail *trail)
{
	struct errands *all = calloc(1, sizeof *all);

	if (!all)
		panic("out of memory");
	all->loop = loop;
	all->trail = *trail;
	map_init(&all->open, false);
	return all;
}

void errands_free(struct errands **errands)
{
	struct errands *all = *errands;
	struct errand *e;
	size_t at = 0;

	if (!all)
		return;
	while ((e = map_next(&all->open, &at)))
		settle_without(e, FAULT_SHUTTING_DOWN);
	for (size_t i = 0; i < all->peer_count; i++)
		link_close(&all->peers[i].link);
	map_free(&all->open);
	free(all);
	*errands = NULL;
}

void errands_peer(struct errands *all, enum role role, unsigned index, int fd)
{
	struct peer *peer = peer_named(all, role, index);

	if (!peer) {
		ASSERT(all->peer_count < ERRAND_PEERS_MAX);
		peer = &all->peers[all->peer_count++];
		*peer = (struct peer){ .role = role, .index = index };
	}
	if (peer->link) /* its end has not been noticed yet */
		peer_gone(all, peer);
	peer->link = link_new_take(all->loop, fd, ROLE_DESK, role, index, &peer_events, all);
}

static void send(const struct errand *e, const struct errand_wish *wish)
{
	link_send(e->peer->link, &MESSAGE_OF(call, .request = e->number, .operation = wish->operation, .actor = wish->actor,
					     .language = (uint8_t)wish->language, .arguments = wish->arguments));
}

void errands_ask(struct errands *all, const struct errand_wish *wish)
{
	struct errand *e = calloc(1, sizeof *e);
	bool is_crowded = map_count(&all->open) >= ERRANDS_MAX;

	if (!e)
		panic("out of memory");
	*e = (struct errand){ .errands = all, .number = ++all->last_number, .peer = peer_named(all, wish->role, wish->index),
			      .fault = is_crowded ? FAULT_TOO_BUSY : away(wish->role), .done = wish->done, .self = wish->self };
	timer_init(&e->deadline, all->loop, on_deadline, e);
	map_put(&all->open, key_of(&e->number), e);
	if (is_crowded || !e->peer || !e->peer->link) {
		timer_after(&e->deadline, 0);
		return;
	}
	timer_after(&e->deadline, wish->wait_ms ? wish->wait_ms : ERRAND_WAIT_MS);
	send(e, wish);
}

bool errands_role(const struct errands *all, size_t at, enum role *role_out, unsigned *index_out, bool *up_out)
{
	if (at >= all->peer_count)
		return false;
	*role_out = all->peers[at].role;
	*index_out = all->peers[at].index;
	*up_out = all->peers[at].link != NULL;
	return true;
}

size_t errands_open(const struct errands *all)
{
	return map_count(&all->open);
}
