#include "base/panic.h"
#include "vault/inner.h"

#include <stdlib.h>

/* --- one sign-in, tried by post */

struct probe {
	struct vault *vault;
	struct vault_pending pending;
	uint64_t request;
	struct probe *next;
	probe_done *done;
	void (*drop)(void *self);
	void *self;
};

static void probe_free(struct probe *p)
{
	struct probe **at = &p->vault->probes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	vault_pending_remove(&p->pending);
	free(p);
}

static void on_drop(void *self)
{
	struct probe *p = self;
	void (*drop)(void *) = p->drop;
	void *whose = p->self;

	probe_free(p);
	drop(whose);
}

static void finish(struct probe *p, enum fault fault, struct span host, struct span says)
{
	probe_done *done = p->done;
	void *self = p->self;

	probe_free(p);
	done(self, fault, host, says);
}

static bool has_post(const struct vault *v)
{
	for (size_t i = 0; i < v->peer_count; i++)
		if (v->peers[i]->role == ROLE_POST)
			return true;
	return false;
}

void probe_soon(void *self)
{
	struct vault *v = self;

	if (!has_post(v))
		probe_post_ended(v);
}

void probe_begin(struct vault *v, const struct registry_mailbox *m, enum way way, probe_done *done, void (*drop)(void *self), void *self)
{
	struct probe *p = calloc(1, sizeof *p);

	if (!p)
		panic("out of memory");
	*p = (struct probe){ .vault = v, .request = ++v->next_probe, .next = v->probes, .done = done, .drop = drop, .self = self };
	v->probes = p;
	vault_pending_add(v, &p->pending, on_drop, p);
	vault_tell_one(v, ROLE_POST, 0, &MESSAGE_OF(probe, .request = p->request, .mailbox = m->row.id, .way = (uint8_t)way));
	if (!has_post(v))
		timer_after(&v->probe_soon, 0);
}

void probe_answered(struct vault *v, const struct message_probed *m)
{
	struct probe *p = v->probes;

	while (p && p->request != m->request)
		p = p->next;
	if (p)
		finish(p, m->fault < FAULT_COUNT ? (enum fault)m->fault : FAULT_BUG, m->host, m->why);
}

void probe_post_ended(struct vault *v)
{
	while (v->probes)
		finish(v->probes, FAULT_POST_AWAY, (struct span){ "", 0 }, (struct span){ "", 0 });
}

/* --- every way of a mailbox, one after the other */

struct test {
	struct vault *vault;
	struct asker asker;
	uint64_t mailbox;
	enum way ways[WAY_END];
	size_t count, at;
	json_t *items;
	enum fault fault;  /* of the first that did not work */
	struct buf why;
};

static void test_free(void *self)
{
	struct test *t = self;

	json_decref(t->items);
	buf_free(&t->why);
	free(t);
}

static void next_way(struct test *);

static void end(struct test *t)
{
	json_t *result = json_object();

	json_object_set(result, "items", t->items);
	asker_answer(t->vault, &t->asker, t->fault, buf_span(&t->why), result);
	test_free(t);
}

static void note(struct test *t, enum fault fault, struct span host, struct span says)
{
	const struct registry_mailbox *m = registry_by_id(&t->vault->registry.mailboxes, t->mailbox);
	json_t *item = json_object();

	json_put_text(item, "way", way_name(t->ways[t->at]));
	json_put_flag(item, "works", !fault);
	json_put_text(item, "host", host);
	json_put_text(item, "provider_says", fault ? says : (struct span){ "", 0 });
	json_put_text(item, "explanation", span_of(fault ? fault_row(fault)->says[t->asker.language] : ""));
	remedy_put_json(item, fault, t->asker.language, &(struct remedy_names){ .mailbox = m ? m->row.address : (struct span){ "", 0 } });
	json_array_append_new(t->items, item);
	if (!fault || t->fault)
		return;
	t->fault = fault;
	buf_print(&t->why, "%.*s: %s", SPAN_ARGS(way_name(t->ways[t->at])), fault_row(fault)->says[t->asker.language]);
	if (says.size)
		buf_print(&t->why, " (%.*s)", SPAN_ARGS(says));
}

static void on_tried(void *self, enum fault fault, struct span host, struct span says)
{
	struct test *t = self;

	note(t, fault, host, says);
	t->at++;
	next_way(t);
}

static void next_way(struct test *t)
{
	const struct registry_mailbox *m = registry_by_id(&t->vault->registry.mailboxes, t->mailbox);

	if (m && t->at < t->count)
		probe_begin(t->vault, m, t->ways[t->at], on_tried, test_free, t);
	else
		end(t);
}

void mailbox_test(struct vault *v, const struct asker *asker, const struct registry_mailbox *m, enum way way)
{
	struct test *t = calloc(1, sizeof *t);
	enum way all[WAY_END];
	size_t all_count = mailbox_ways(v, m, all);

	if (!t)
		panic("out of memory");
	*t = (struct test){ .vault = v, .asker = *asker, .mailbox = m->row.id, .items = json_array() };
	buf_init(&t->why, VAULT_WHY_BYTES * 4);
	for (size_t i = 0; i < all_count; i++)
		if (way == WAY_NONE ? mailbox_has_way(v, m, all[i]) : all[i] == way)
			t->ways[t->count++] = all[i];
	if (way != WAY_NONE && !t->count)
		t->ways[t->count++] = way; /* before it is chosen */
	if (!t->count)
		t->fault = m->row.enabled ? FAULT_MAILBOX_NOT_READY : FAULT_MAILBOX_DISABLED;
	next_way(t);
}
