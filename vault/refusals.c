#include "vault/inner.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"
#include "store/refused.h"

#include <stdlib.h>

/* Notes wait a second and are written together; what repeats the last one is counted, not written again. */
enum { WAITING_MAX = 500, FLUSH_MS = 1000, TEXT_BYTES_MAX = 320, TIDY_EVERY = 1000 };

struct refusals {
	struct vault *vault;
	struct timer timer;
	struct arena *arena;
	size_t count;
	struct refused_row rows[WAITING_MAX];
	uint64_t written;
};

struct batch {
	size_t count;
	struct refused_row *rows;
	bool tidy;
};

static void fire(void *self)
{
	struct refusals *r = self;

	refusals_flush(r->vault);
}

void refusals_start(struct vault *v)
{
	struct refusals *r = calloc(1, sizeof *r);

	if (!r)
		panic("out of memory");
	r->vault = v;
	r->arena = arena_new(VAULT_CHANGE_BYTES_MAX);
	timer_init(&r->timer, v->loop, fire, r);
	v->refusals = r;
}

void refusals_free(struct vault *v)
{
	if (!v->refusals)
		return;
	timer_stop(&v->refusals->timer);
	arena_free(&v->refusals->arena);
	free(v->refusals);
	v->refusals = NULL;
}

static bool is_same(const struct refused_row *row, const struct refusal *n)
{
	return span_equal(row->fault, span_of(fault_row(n->fault)->name)) && row->client == n->client && span_equal(row->name, n->name) &&
	       span_equal(row->remote, n->remote) && span_equal(row->listener, n->listener) && span_equal(row->user, n->user) &&
	       span_equal(row->sender, n->sender) && span_equal(row->recipient, n->recipient);
}

static struct span kept(struct refusals *r, struct span text)
{
	return arena_copy(r->arena, span_slice(text, 0, TEXT_BYTES_MAX));
}

void refusals_note(struct vault *v, const struct refusal *n)
{
	struct refusals *r = v->refusals;

	for (size_t i = r->count; i-- > 0 && i + 8 > r->count;)
		if (is_same(&r->rows[i], n)) {
			r->rows[i].times++;
			return;
		}
	if (r->count == WAITING_MAX) {
		metric_add(METRIC_REFUSED_LOST, NULL, 1);
		return;
	}
	r->rows[r->count++] = (struct refused_row){
		.at_ms = clock_wall_ms(), .fault = span_of(fault_row(n->fault)->name), .client = n->client, .organisation = n->organisation,
		.name = kept(r, n->name), .listener = kept(r, n->listener), .remote = kept(r, n->remote), .user = kept(r, n->user),
		.sender = kept(r, n->sender), .recipient = kept(r, n->recipient), .times = 1,
	};
	if (!timer_is_set(&r->timer))
		timer_after(&r->timer, FLUSH_MS);
}

static enum fault write_batch(struct change *c, struct sqlite *db)
{
	struct batch *b = c->data;
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < b->count && fault == FAULT_OK; i++)
		fault = refused_add(db, &b->rows[i]);
	return fault == FAULT_OK && b->tidy ? refused_forget(db) : fault;
}

static void written(struct change *c)
{
	const struct batch *b = c->data;

	if (c->fault != FAULT_OK)
		metric_add(METRIC_REFUSED_LOST, NULL, (int64_t)b->count);
}

static void say(struct vault *v, const struct refused_row *row)
{
	TRAIL(&v->trail, EVENT_VAULT_REFUSED, TRAIL_TEXT("fault", row->fault), TRAIL_TEXT("client", row->name), TRAIL_TEXT("user", row->user),
	      TRAIL_TEXT("remote", row->remote), TRAIL_TEXT("listener", row->listener), TRAIL_TEXT("sender", row->sender),
	      TRAIL_NUMBER("times", row->times));
}

void refusals_flush(struct vault *v)
{
	struct refusals *r = v->refusals;
	struct change *c;
	struct batch *b;

	timer_stop(&r->timer);
	if (!r->count)
		return;
	c = change_new(v, write_batch, written, 0);
	/* The texts go along with the rows: the change takes our arena. */
	arena_free(&c->arena);
	c->arena = r->arena;
	c->data = b = arena_take(c->arena, sizeof *b);
	b->count = r->count;
	b->rows = arena_take(c->arena, sizeof *b->rows * r->count);
	b->tidy = r->written / TIDY_EVERY != (r->written + r->count) / TIDY_EVERY;
	r->written += r->count;
	for (size_t i = 0; i < r->count; i++) {
		say(v, &r->rows[i]);
		b->rows[i] = r->rows[i];
	}
	r->arena = arena_new(VAULT_CHANGE_BYTES_MAX);
	r->count = 0;
	change_run_take(c);
}
