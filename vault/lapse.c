#include "vault/lapse.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 86400000 };

static const struct lapse_row {
	const char *name;
	const char *says[LANGUAGE_COUNT], *remedy[LANGUAGE_COUNT];
} rows[] = {
#define LAPSE(symbol, name, en, fr, remedy_en, remedy_fr) { name, { en, fr }, { remedy_en, remedy_fr } },
#include "tables/lapses.def"
};

static const struct lapse_retirement retirements[] = {
#define RETIREMENT(symbol, name, kind, date, en, fr, remedy_en, remedy_fr) { name, kind, date, { en, fr }, { remedy_en, remedy_fr } },
#include "tables/retirements.def"
#undef RETIREMENT
};

static const struct {
	const char *kind;
	int days;
} idle_lives[] = {
#define IDLE_LIFE(kind, days) { kind, days },
#include "tables/lapses.def"
};

static const int stages[] = {
#define AHEAD(days) days,
#include "tables/lapses.def"
};

struct walk {
	struct vault *vault;
	void (*each)(void *self, const struct lapse *);
	void *self;
};

static void give(const struct walk *w, const struct lapse *l)
{
	w->each(w->self, l);
}

/* --- providers */

static bool signs_in_by_password(const struct registry_provider *p)
{
	enum provider_mechanism m = provider_mechanism(p->provider);

	return p->has_passwords || m == PROVIDER_PLAIN || m == PROVIDER_LOGIN;
}

static void mark_passwords(struct vault *v)
{
	const struct registry_mailbox *m;
	struct registry_provider *p;
	size_t at = 0;

	while ((p = map_next(&v->registry.providers, &at)))
		p->has_passwords = false;
	for (at = 0; (m = map_next(&v->registry.mailboxes, &at));)
		if (m->app_password.mailbox && (p = registry_by_id(&v->registry.providers, m->row.provider)))
			p->has_passwords = true;
}

static void walk_retirements(const struct walk *w, const struct registry_provider *p)
{
	struct lapse l = { .kind = LAPSE_RETIREMENT, .object = p->row.name, .organisation = p->row.organisation };

	for (size_t i = 0; signs_in_by_password(p) && i < sizeof retirements / sizeof *retirements; i++) {
		l.retirement = &retirements[i];
		if (span_starts_fold(p->row.kind, span_of(l.retirement->kind)) && text_from_date(span_of(l.retirement->date), &l.ends_at_ms))
			give(w, &l);
	}
}

/* Secrets of Microsoft's always end; of others we know only what was said. */
static void walk_providers(const struct walk *w)
{
	const struct registry_provider *p;
	size_t at = 0;

	while ((p = map_next(&w->vault->registry.providers, &at))) {
		bool known = p->row.secret_ends_at_ms != 0, always = provider_kind(p->provider)->account == PROVIDER_ACCOUNT_TENANT;

		if (provider_has_secret(p->provider) && p->row.secret_ends_at_ms >= 0 && (known || always))
			give(w, &(struct lapse){ .kind = LAPSE_CLIENT_SECRET, .object = p->row.name, .organisation = p->row.organisation,
						 .ends_at_ms = p->row.secret_ends_at_ms });
		if (provider_key(p->provider))
			give(w, &(struct lapse){ .kind = LAPSE_CLIENT_CERTIFICATE, .object = p->row.name, .organisation = p->row.organisation,
						 .ends_at_ms = signing_key_ends_ms(provider_key(p->provider)) });
		walk_retirements(w, p);
	}
}

/* --- listeners */

static void walk_certificates(const struct walk *w)
{
	const struct vault *v = w->vault;

	for (size_t i = 0; i < v->certificate_count; i++)
		give(w, &(struct lapse){ .kind = LAPSE_CERTIFICATE, .object = v->certificates[i].listener, .ends_at_ms = v->certificates[i].ends_at_ms });
}

/* --- sign-ins */

static int64_t idle_end_ms(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_provider *p = registry_by_id(&v->registry.providers, m->row.provider);

	for (size_t i = 0; p && i < sizeof idle_lives / sizeof *idle_lives; i++)
		if (span_starts_fold(p->row.kind, span_of(idle_lives[i].kind)))
			return m->sign_in.refreshed_at_ms + (int64_t)idle_lives[i].days * DAY_MS;
	return 0;
}

static void give_sign_in(const struct walk *w, const struct registry_mailbox *m, enum lapse_kind kind, int64_t ends_at_ms)
{
	if (ends_at_ms > 0)
		give(w, &(struct lapse){ .kind = kind, .object = m->row.address, .organisation = m->row.organisation, .mailbox = m->row.id,
					 .ends_at_ms = ends_at_ms });
}

/* One that has lapsed is held, and shown as such: it needs no warning any more. */
static void walk_sign_ins(const struct walk *w)
{
	const struct registry_mailbox *m;
	size_t at = 0;

	while ((m = map_next(&w->vault->registry.mailboxes, &at))) {
		if (!m->sign_in.mailbox || mailbox_state(w->vault, m) != MAILBOX_READY)
			continue;
		give_sign_in(w, m, LAPSE_SIGN_IN_IDLE, idle_end_ms(w->vault, m));
		give_sign_in(w, m, LAPSE_SIGN_IN_END, m->sign_in.ends_at_ms);
		if (m->sign_in.lasts_ms > 0)
			give_sign_in(w, m, LAPSE_SIGN_IN_FREQUENCY, m->sign_in.linked_at_ms + m->sign_in.lasts_ms);
	}
}

void lapse_each(struct vault *v, void (*each)(void *self, const struct lapse *), void *self)
{
	const struct walk w = { v, each, self };

	mark_passwords(v);
	walk_certificates(&w);
	walk_providers(&w);
	walk_sign_ins(&w);
}

/* --- those that are near */

int64_t lapse_days(const struct lapse *l, int64_t now_ms)
{
	int64_t left_ms = l->ends_at_ms - now_ms;

	return left_ms >= 0 ? left_ms / DAY_MS : -((DAY_MS - 1 - left_ms) / DAY_MS);
}

int lapse_stage(const struct lapse *l, int64_t now_ms)
{
	int stage = 0;

	for (size_t i = 0; l->ends_at_ms && i < sizeof stages / sizeof *stages; i++)
		if (l->ends_at_ms - now_ms <= (int64_t)stages[i] * DAY_MS)
			stage = stages[i];
	return stage;
}

struct gathering {
	struct arena *arena;
	int64_t now_ms;
	struct lapse *all;
	size_t count, room;
};

static void gather(void *self, const struct lapse *l)
{
	struct gathering *g = self;
	struct lapse *more;

	if (l->ends_at_ms && !lapse_stage(l, g->now_ms))
		return;
	if (g->count == g->room) {
		g->room = g->room ? 2 * g->room : 16;
		more = arena_take(g->arena, g->room * sizeof *more);
		if (g->count)
			memcpy(more, g->all, g->count * sizeof *more);
		g->all = more;
	}
	g->all[g->count++] = *l;
}

/* What nobody knows the end of stands last. */
static int by_end(const void *one, const void *other)
{
	const struct lapse *a = one, *b = other;
	int names;

	if (a->ends_at_ms != b->ends_at_ms)
		return !a->ends_at_ms ? 1 : !b->ends_at_ms ? -1 : a->ends_at_ms < b->ends_at_ms ? -1 : 1;
	names = memcmp(a->object.at, b->object.at, a->object.size < b->object.size ? a->object.size : b->object.size);
	return names ? names : a->object.size != b->object.size ? (a->object.size < b->object.size ? -1 : 1) : (int)a->kind - (int)b->kind;
}

struct lapse *lapse_near(struct vault *v, struct arena *arena, int64_t now_ms, size_t *count_out)
{
	struct gathering g = { .arena = arena, .now_ms = now_ms };

	lapse_each(v, gather, &g);
	if (g.count)
		qsort(g.all, g.count, sizeof *g.all, by_end);
	*count_out = g.count;
	return g.all;
}

/* --- what people read */

const char *lapse_name(enum lapse_kind kind)
{
	return rows[kind].name;
}

void lapse_put_key(const struct lapse *l, struct buf *out)
{
	buf_print(out, "%s%s%s", rows[l->kind].name, l->retirement ? "/" : "", l->retirement ? l->retirement->name : "");
}

static void fill(const struct lapse *l, const char *pattern, enum language language, struct buf *out)
{
	remedy_fill(out, span_of(pattern), language, &(struct remedy_names){ .mailbox = l->object, .provider = l->object, .listener = l->object });
}

void lapse_put_says(const struct lapse *l, enum language language, struct buf *out)
{
	fill(l, l->retirement ? l->retirement->says[language] : rows[l->kind].says[language], language, out);
}

void lapse_put_remedy(const struct lapse *l, enum language language, struct buf *out)
{
	fill(l, l->retirement ? l->retirement->remedy[language] : rows[l->kind].remedy[language], language, out);
}

json_t *lapse_describe(const struct vault *v, const struct lapse *l, int64_t now_ms, enum language language)
{
	json_t *j = json_object();
	struct buf text;

	buf_init(&text, REMEDY_BYTES_MAX);
	lapse_put_key(l, &text);
	json_put_text(j, "what", buf_span(&text));
	json_put_text(j, "object", l->object);
	json_put_text(j, "org", operations_organisation(v, l->organisation));
	if (l->ends_at_ms) {
		operations_put_date(j, "ends_at", l->ends_at_ms);
		json_put_whole(j, "days", lapse_days(l, now_ms));
	}
	buf_clear(&text);
	lapse_put_says(l, language, &text);
	json_put_text(j, "says", buf_span(&text));
	buf_clear(&text);
	lapse_put_remedy(l, language, &text);
	json_put_text(j, "remedy", buf_span(&text));
	buf_free(&text);
	return j;
}
