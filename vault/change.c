#include "vault/inner.h"

#include "base/metric.h"
#include "base/panic.h"

#include <stdlib.h>

struct change *change_new(struct vault *v, enum fault (*work)(struct change *, struct sqlite *), void (*done)(struct change *), size_t data_size)
{
	struct change *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	*c = (struct change){ .vault = v, .arena = arena_new(VAULT_CHANGE_BYTES_MAX), .work = work, .done = done };
	c->data = arena_take(c->arena, data_size ? data_size : 1);
	return c;
}

void change_drop(struct change **c)
{
	arena_wipe(&(*c)->arena);
	free(*c);
	*c = NULL;
}

static void run(void *job)
{
	struct change *c = job;

	c->fault = sqlite_begin(c->vault->db);
	if (c->fault == FAULT_OK)
		c->fault = sqlite_end(c->vault->db, c->work(c, c->vault->db));
}

static void ended(void *job)
{
	struct change *c = job;
	struct vault *v = c->vault;

	v->changes--;
	metric_add(METRIC_COMMITS, NULL, 1);
	if (c->fault != FAULT_OK && fault_row(c->fault)->class == FAULT_CLASS_INTERNAL)
		TRAIL(&v->trail, EVENT_COMMIT_FAILED, TRAIL_TEXT("fault", span_of(fault_row(c->fault)->name)));
	c->done(c);
	change_drop(&c);
	if (v->is_draining && !v->changes)
		timer_after(&v->soon, 0);
}

void change_run_take(struct change *c)
{
	c->vault->changes++;
	/* Whoever frees the vault hears the last results; what follows from them finds no store any more. */
	if (c->vault->is_closing) {
		c->fault = FAULT_SHUTTING_DOWN;
		ended(c);
		return;
	}
	if (pool_run(c->vault->pool, run, ended, c))
		return;
	c->fault = FAULT_TOO_BUSY;
	loop_post(c->vault->loop, ended, c);
}

struct secret_row change_seal(struct change *c, struct span subject, uint64_t row, struct span name, struct span text)
{
	struct secret_row place = { .subject = arena_copy(c->arena, subject), .row = row, .name = arena_copy(c->arena, name) };
	struct buf sealed;

	buf_init(&sealed, KEYRING_SEALED_BYTES_MAX);
	if (!keyring_seal(c->vault->keys, &sealed, &place, text))
		panic("a secret is larger than its ceiling");
	place.sealed = arena_copy(c->arena, buf_span(&sealed));
	buf_free(&sealed);
	return place;
}
