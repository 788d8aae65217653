#include "vault/troubles.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"
#include "vault/notices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_MS = 60 * 1000, CALM_MS = 10 * 60 * 1000, KEY_BYTES = 320, SAYS_BYTES = 512, NAME_BYTES = 512 };

/* What a post says of a cause; see tables/messages.def. */
enum told { TOLD_HOLDS = 1, TOLD_MENDED = 2, TOLD_ALL = 3, TOLD_FORGOTTEN = 4 };

/* A cause as it is known here. */
struct trouble {
	uint64_t mailbox; /* 0: of a tenant */
	char tenant[256], says[SAYS_BYTES], key[KEY_BYTES];
	enum fault fault;
	int64_t since_ms;
	bool is_told, is_storing; /* people were told of it, or are about to be */
	bool is_mended, is_over;  /* its end is to be told; it is to be forgotten */
	bool is_seen;             /* since its post came */
};

struct troubles {
	struct vault *vault;
	struct map all;
	struct timer gather;
	int64_t calm_at_ms; /* loop time: what comes before it is told of then, all together */
	bool is_busy;
};

static struct span key_of(char out[KEY_BYTES], uint64_t mailbox, struct span tenant)
{
	int size = snprintf(out, KEY_BYTES, "%llu %.*s", (unsigned long long)mailbox, (int)(tenant.size < 255 ? tenant.size : 255), tenant.at);

	return (struct span){ out, (size_t)size };
}

static struct trouble *find(const struct troubles *t, uint64_t mailbox, struct span tenant)
{
	char key[KEY_BYTES];

	return map_get(&t->all, key_of(key, mailbox, tenant));
}

static struct trouble *find_or_make(struct troubles *t, uint64_t mailbox, struct span tenant)
{
	struct trouble *one = find(t, mailbox, tenant);

	if (one)
		return one;
	one = calloc(1, sizeof *one);
	if (!one)
		panic("out of memory");
	one->mailbox = mailbox;
	snprintf(one->tenant, sizeof one->tenant, "%.*s", SPAN_ARGS(tenant));
	map_put(&t->all, key_of(one->key, mailbox, tenant), one);
	return one;
}

static void drop(struct troubles *t, struct trouble *one)
{
	map_remove(&t->all, span_of(one->key));
	free(one);
}

/* --- what people read of one */

struct about {
	uint64_t mailbox;
	struct span tenant, says;
	enum fault fault;
	int64_t since_ms;
};

static void put_name(const struct vault *v, const struct about *a, enum language language, struct buf *out)
{
	const struct registry_mailbox *m = a->mailbox ? registry_by_id(&v->registry.mailboxes, a->mailbox) : NULL;

	if (m)
		buf_put(out, m->row.address);
	else
		notices_put_word(out, NOTICE_WORD_TENANT, language, a->tenant);
}

static void put_remedy(const struct vault *v, const struct about *a, enum language language, struct buf *out)
{
	const struct registry_mailbox *m = a->mailbox ? registry_by_id(&v->registry.mailboxes, a->mailbox) : NULL;

	remedy_put(out, a->fault, language, &(struct remedy_names){ .mailbox = m ? m->row.address : (struct span){ "", 0 },
								      .account = m ? mailbox_account(v, m)->row.address : (struct span){ "", 0 } });
}

static void put_line(struct buf *out, enum notice_word word, enum language language, const struct buf *value)
{
	if (!value->size)
		return;
	buf_put(out, SPAN("  "));
	notices_put_word(out, word, language, buf_span(value));
	buf_put(out, SPAN("\n"));
}

static void put_since(const struct vault *v, const struct about *a, enum language language, struct buf *out)
{
	char memory[64];
	struct buf date;

	buf_over(&date, memory, sizeof memory);
	text_mail_date(&date, a->since_ms);
	put_name(v, a, language, out);
	notices_put_word(out, NOTICE_WORD_SINCE, language, buf_span(&date));
	buf_put(out, SPAN("\n"));
}

static void put_held(const struct vault *v, const void *self, enum language language, struct buf *out)
{
	const struct about *a = self;
	struct buf text;

	buf_init(&text, REMEDY_BYTES_MAX);
	put_since(v, a, language, out);
	buf_print(out, "  %s\n", fault_row(a->fault)->says[language]);
	buf_put(&text, a->says);
	put_line(out, NOTICE_WORD_SAID, language, &text);
	buf_clear(&text);
	put_remedy(v, a, language, &text);
	put_line(out, NOTICE_WORD_REMEDY, language, &text);
	buf_free(&text);
}

static void put_mended(const struct vault *v, const void *self, enum language language, struct buf *out)
{
	const struct about *a = self;

	put_name(v, a, language, out);
	buf_print(out, "\n  %s\n", fault_row(a->fault)->says[language]);
}

/* --- telling: stored first, then said */

struct telling {
	struct about *about; /* all that change */
	bool *is_end;        /* told of its end, or forgotten */
	size_t count;
	struct notices_draft draft;
};

static enum fault store(struct change *c, struct sqlite *db)
{
	struct telling *t = c->data;
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < t->count && fault == FAULT_OK; i++) {
		const struct about *a = &t->about[i];

		fault = t->is_end[i] ? troubles_remove(db, a->mailbox, a->tenant)
				     : troubles_put(db, &(struct trouble_row){ a->mailbox, a->tenant, span_of(fault_row(a->fault)->name), a->since_ms });
	}
	return fault == FAULT_OK ? notices_store(&t->draft, db) : fault;
}

static void gather_again(struct troubles *t)
{
	if (!timer_is_set(&t->gather))
		timer_after(&t->gather, GATHER_MS);
}

static void settle(struct troubles *t, const struct about *a, bool is_end, bool stands)
{
	struct trouble *one = find(t, a->mailbox, a->tenant);

	if (!one)
		return;
	one->is_storing = false;
	if (!stands)
		return;
	one->is_told = !is_end;
	if (is_end && (one->is_mended || one->is_over))
		drop(t, one);
}

static void stored(struct change *c)
{
	struct telling *told = c->data;
	struct troubles *t = c->vault->troubles;
	const struct trouble *one;
	bool more = c->fault != FAULT_OK;

	if (!t)
		return;
	t->is_busy = false;
	for (size_t i = 0; i < told->count; i++)
		settle(t, &told->about[i], told->is_end[i], c->fault == FAULT_OK);
	for (size_t at = 0; !more && (one = map_next(&t->all, &at));)
		more = one->is_mended || one->is_over || !one->is_told;
	if (more)
		gather_again(t);
	if (c->fault == FAULT_OK)
		notices_stored(c->vault, &told->draft);
}

/* A tenant's trouble is one of each organisation that has a mailbox there. */
static size_t put_pieces(struct vault *v, struct notice_piece *pieces, size_t count, size_t room, const struct about *a,
			 void (*put)(const struct vault *, const void *, enum language, struct buf *))
{
	const struct registry_mailbox *m = a->mailbox ? registry_by_id(&v->registry.mailboxes, a->mailbox) : NULL;
	const struct registry_organisation *o;

	if (m) {
		pieces[count++] = (struct notice_piece){ m->row.organisation, m->row.id, a, put };
		return count;
	}
	for (size_t at = 0; !a->mailbox && count < room && (o = map_next(&v->registry.organisations, &at));) {
		bool has = false;

		for (size_t i = 0; !has && (m = map_next(&v->registry.mailboxes, &i));)
			has = m->row.organisation == o->row.id && span_equal_fold(mailbox_tenant(v, m), a->tenant);
		if (has)
			pieces[count++] = (struct notice_piece){ o->row.id, 0, a, put };
	}
	return count;
}

static bool is_to_tell(const struct trouble *one)
{
	return one->is_mended || one->is_over || !one->is_told;
}

static void gather(void *self)
{
	struct troubles *t = self;
	struct vault *v = t->vault;
	size_t room = map_count(&t->all), held_count = 0, mended_count = 0, tenants = map_count(&v->registry.organisations);
	struct notice_piece *held, *mended;
	struct trouble *one;
	struct telling *told;
	struct change *c;

	if (t->is_busy || v->is_draining)
		return;
	c = change_new(v, store, stored, sizeof *told);
	told = c->data;
	told->about = arena_take(c->arena, (room + 1) * sizeof *told->about);
	told->is_end = arena_take(c->arena, room + 1);
	held = arena_take(c->arena, (room + tenants + 1) * sizeof *held);
	mended = arena_take(c->arena, (room + tenants + 1) * sizeof *mended);
	for (size_t at = 0; (one = map_next(&t->all, &at));) {
		struct about *a = &told->about[told->count];

		if (!is_to_tell(one))
			continue;
		*a = (struct about){ one->mailbox, arena_copy(c->arena, span_of(one->tenant)), arena_copy(c->arena, span_of(one->says)), one->fault,
				     one->since_ms };
		told->is_end[told->count++] = one->is_mended || one->is_over;
		one->is_storing = true;
		if (one->is_mended)
			mended_count = put_pieces(v, mended, mended_count, room + tenants, a, put_mended);
		else if (!one->is_over)
			held_count = put_pieces(v, held, held_count, room + tenants, a, put_held);
	}
	if (!told->count) {
		change_drop(&c);
		return;
	}
	notices_word(v, &told->draft, c->arena, NOTICE_HELD, held, held_count);
	notices_word(v, &told->draft, c->arena, NOTICE_MENDED, mended, mended_count);
	t->is_busy = true;
	t->calm_at_ms = loop_now_ms(v->loop) + CALM_MS;
	change_run_take(c);
}

/* --- what posts say */

static void gather_soon(struct troubles *t)
{
	int64_t wait_ms = t->calm_at_ms - loop_now_ms(t->vault->loop);

	if (!timer_is_set(&t->gather))
		timer_after(&t->gather, wait_ms > GATHER_MS ? wait_ms : GATHER_MS);
}

static bool is_of_purpose(enum fault fault)
{
	return fault == FAULT_MAILBOX_DISABLED;
}

static void begins(struct troubles *t, const struct message_hold_cause *m)
{
	enum fault fault = (enum fault)(m->fault % FAULT_COUNT);
	struct trouble *one;

	if (is_of_purpose(fault))
		return;
	one = find_or_make(t, m->mailbox, m->tenant);
	one->fault = fault;
	one->since_ms = m->since_ms;
	one->is_mended = one->is_over = false;
	one->is_seen = true;
	snprintf(one->says, sizeof one->says, "%.*s", SPAN_ARGS(m->says));
	if (!one->is_told)
		gather_soon(t);
}

static void ends(struct troubles *t, struct trouble *one, bool mended)
{
	if (!one->is_told && !one->is_storing) {
		drop(t, one); /* nobody knew */
		return;
	}
	one->is_mended = mended;
	one->is_over = !mended;
	gather_soon(t);
}

static void those_are_all(struct troubles *t)
{
	struct trouble *one;

	for (size_t at = 0; (one = map_next(&t->all, &at));)
		if (!one->is_seen && !one->is_mended)
			ends(t, one, false);
}

void troubles_told(struct vault *v, const struct message_hold_cause *m)
{
	struct troubles *t = v->troubles;
	struct trouble *one = find(t, m->mailbox, m->tenant);

	switch (m->state) {
	case TOLD_HOLDS: begins(t, m); break;
	case TOLD_MENDED:
	case TOLD_FORGOTTEN:
		if (one)
			ends(t, one, m->state == TOLD_MENDED);
		notices_mended(v);
		break;
	case TOLD_ALL: those_are_all(t); break;
	default: break;
	}
}

void troubles_post_came(struct vault *v)
{
	struct trouble *one;

	for (size_t at = 0; (one = map_next(&v->troubles->all, &at));)
		one->is_seen = false;
}

/* --- who asks */

static bool holds(const struct trouble *one)
{
	return one && !one->is_mended && !one->is_over;
}

bool troubles_hold(const struct vault *v, const struct registry_mailbox *m)
{
	struct span tenant = mailbox_tenant(v, m);

	return holds(find(v->troubles, m->row.id, SPAN(""))) || (tenant.size && holds(find(v->troubles, 0, tenant)));
}

json_t *troubles_describe(const struct vault *v, enum language language, size_t most)
{
	const struct trouble *one;
	json_t *list = json_array();
	struct buf text;

	buf_init(&text, REMEDY_BYTES_MAX);
	for (size_t at = 0; json_array_size(list) < most && (one = map_next(&v->troubles->all, &at));) {
		const struct about a = { one->mailbox, span_of(one->tenant), span_of(one->says), one->fault, one->since_ms };
		json_t *item = json_object();

		if (!holds(one)) {
			json_decref(item);
			continue;
		}
		buf_clear(&text);
		put_name(v, &a, language, &text);
		json_put_text(item, "what", buf_span(&text));
		operations_put_date(item, "since", one->since_ms);
		json_put_text(item, "fault", span_of(fault_row(one->fault)->name));
		json_put_text(item, "says", span_of(fault_row(one->fault)->says[language]));
		json_put_text(item, "provider_says", a.says);
		buf_clear(&text);
		put_remedy(v, &a, language, &text);
		json_put_text(item, "remedy", buf_span(&text));
		json_array_append_new(list, item);
	}
	buf_free(&text);
	return list;
}

/* --- its life */

static bool load(void *self, const struct trouble_row *row)
{
	struct trouble *one = find_or_make(self, row->mailbox, row->tenant);
	enum fault fault = fault_named(row->fault);

	one->fault = fault == FAULT_COUNT ? FAULT_OK : fault;
	one->since_ms = row->since_ms;
	one->is_told = true;
	return true;
}

enum fault troubles_start(struct vault *v)
{
	struct troubles *t = calloc(1, sizeof *t);

	if (!t)
		panic("out of memory");
	t->vault = v;
	map_init(&t->all, true);
	timer_init(&t->gather, v->loop, gather, t);
	v->troubles = t;
	return troubles_each(v->db, load, t);
}

void troubles_free(struct vault *v)
{
	struct troubles *t = v->troubles;
	struct trouble *one;

	if (!t)
		return;
	timer_stop(&t->gather);
	for (size_t at = 0; (one = map_next(&t->all, &at));)
		free(one);
	map_free(&t->all);
	free(t);
	v->troubles = NULL;
}
