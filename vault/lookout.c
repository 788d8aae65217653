#include "vault/lapse.h"
#include "vault/notices.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"
#include "base/text.h"
#include "loop/tls.h"
#include "store/warnings.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOOK_MS = 60 * 60 * 1000, SOON_MS = 1000, KEY_BYTES = 1024, ROWS_MAX = 10000, DATE_BYTES = 10 };

/* Of what people were warned: the fewest days ahead, by what and of what. */
struct warned {
	int stage;
	bool is_near; /* as seen by the look under way */
	struct span what, object;
	char key[KEY_BYTES];
};

struct lookout {
	struct vault *vault;
	struct timer timer;
	struct map warned;
	bool is_busy; /* what the last look found is being stored */
};

/* --- what was warned of */

static struct span key_of(char out[KEY_BYTES], struct span what, struct span object)
{
	int size = snprintf(out, KEY_BYTES, "%.*s\n%.*s", SPAN_ARGS(what), SPAN_ARGS(object));

	ASSERT(size > 0 && size < KEY_BYTES);
	return (struct span){ out, (size_t)size };
}

static struct warned *find(const struct lookout *l, struct span what, struct span object)
{
	char key[KEY_BYTES];

	return map_get(&l->warned, key_of(key, what, object));
}

static void remember(struct lookout *l, const struct warning_row *row)
{
	struct warned *w = find(l, row->what, row->object);
	struct span key;

	if (!w) {
		w = calloc(1, sizeof *w);
		if (!w)
			panic("out of memory");
		key = key_of(w->key, row->what, row->object);
		w->what = span_slice(key, 0, row->what.size);
		w->object = span_slice(key, row->what.size + 1, key.size);
		map_put(&l->warned, key, w);
	}
	w->stage = (int)row->stage;
}

static void forget(struct lookout *l, const struct warning_row *row)
{
	char key[KEY_BYTES];

	free(map_remove(&l->warned, key_of(key, row->what, row->object)));
}

/* --- a look, and what is stored of it before it is said */

struct found {
	struct lapse *lapses; /* to warn of */
	size_t lapse_count;
	struct warning_row *rows; /* to put; without a stage, to remove */
	size_t row_count;
	int64_t now_ms;
	struct notices_draft draft;
};

static enum fault store(struct change *c, struct sqlite *db)
{
	struct found *f = c->data;
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < f->row_count && fault == FAULT_OK; i++)
		fault = f->rows[i].stage ? warnings_put(db, &f->rows[i]) : warnings_remove(db, &f->rows[i]);
	return fault == FAULT_OK ? notices_store(&f->draft, db) : fault;
}

static void say(struct vault *v, const struct lapse *l, int64_t now_ms)
{
	char what_memory[128], date_memory[64];
	struct buf what, date, says, remedy;

	buf_over(&what, what_memory, sizeof what_memory);
	buf_over(&date, date_memory, sizeof date_memory);
	buf_init(&says, REMEDY_BYTES_MAX);
	buf_init(&remedy, REMEDY_BYTES_MAX);
	lapse_put_key(l, &what);
	text_date(&date, l->ends_at_ms);
	lapse_put_says(l, LANGUAGE_EN, &says);
	lapse_put_remedy(l, LANGUAGE_EN, &remedy);
	TRAIL(&v->trail, EVENT_LAPSE_AHEAD, TRAIL_TEXT("what", buf_span(&what)), TRAIL_TEXT("object", l->object),
	      TRAIL_TEXT("organisation", operations_organisation(v, l->organisation)), TRAIL_TEXT("ends_at", buf_span(&date)),
	      TRAIL_NUMBER("stage", lapse_stage(l, now_ms)), TRAIL_TEXT("says", buf_span(&says)), TRAIL_TEXT("remedy", buf_span(&remedy)));
	buf_free(&says);
	buf_free(&remedy);
}

static void stored(struct change *c)
{
	const struct found *f = c->data;
	struct vault *v = c->vault;
	struct lookout *l = v->lookout;

	if (!l)
		return;
	l->is_busy = false;
	if (c->fault != FAULT_OK)
		return; /* the next look finds the same */
	for (size_t i = 0; i < f->row_count; i++)
		if (f->rows[i].stage)
			remember(l, &f->rows[i]);
		else
			forget(l, &f->rows[i]);
	for (size_t i = 0; i < f->lapse_count; i++)
		say(v, &f->lapses[i], f->now_ms);
	notices_stored(v, &f->draft);
	if (f->row_count == ROWS_MAX)
		lookout_soon(v);
}

/* Once for each number of days; where its end moved away, it is warned of anew when that comes near. */
static void compare(struct lookout *l, struct change *c, const struct lapse *near)
{
	struct found *f = c->data;
	int stage = lapse_stage(near, f->now_ms);
	char memory[128];
	struct warned *w;
	struct buf what;

	if (!stage)
		return;
	buf_over(&what, memory, sizeof memory);
	lapse_put_key(near, &what);
	w = find(l, buf_span(&what), near->object);
	if (w)
		w->is_near = true;
	if ((w && w->stage == stage) || f->row_count == ROWS_MAX)
		return; /* what does not fit waits for the next look */
	f->rows[f->row_count++] = (struct warning_row){ arena_copy(c->arena, buf_span(&what)), arena_copy(c->arena, near->object), stage };
	if (w && w->stage < stage)
		return;
	f->lapses[f->lapse_count] = *near;
	f->lapses[f->lapse_count++].object = f->rows[f->row_count - 1].object;
}

static void compare_all(struct lookout *l, struct change *c)
{
	struct found *f = c->data;
	struct arena *arena = arena_new(SIZE_MAX);
	const struct warned *w;
	struct lapse *near;
	size_t count, at = 0;

	for (struct warned *each; (each = map_next(&l->warned, &at));)
		each->is_near = false;
	near = lapse_near(l->vault, arena, f->now_ms, &count);
	f->lapses = arena_take(c->arena, ROWS_MAX * sizeof *f->lapses);
	f->rows = arena_take(c->arena, ROWS_MAX * sizeof *f->rows);
	for (size_t i = 0; i < count; i++)
		compare(l, c, &near[i]);
	for (at = 0; f->row_count < ROWS_MAX && (w = map_next(&l->warned, &at));)
		if (!w->is_near)
			f->rows[f->row_count++] = (struct warning_row){ arena_copy(c->arena, w->what), arena_copy(c->arena, w->object), 0 };
	arena_free(&arena);
}

static void put_piece(const struct vault *v, const void *self, enum language language, struct buf *out)
{
	const struct lapse *l = self;
	char memory[64];
	struct buf date, remedy;

	buf_over(&date, memory, sizeof memory);
	buf_init(&remedy, REMEDY_BYTES_MAX);
	text_date(&date, l->ends_at_ms);
	buf_put(out, span_slice(buf_span(&date), 0, DATE_BYTES));
	buf_put(out, language == LANGUAGE_FR ? SPAN(" : ") : SPAN(": "));
	lapse_put_says(l, language, out);
	lapse_put_remedy(l, language, &remedy);
	buf_put(out, SPAN("\n  "));
	notices_put_word(out, NOTICE_WORD_REMEDY, language, buf_span(&remedy));
	buf_put(out, SPAN("\n"));
	buf_free(&remedy);
}

static void word(struct vault *v, struct change *c)
{
	struct found *f = c->data;
	struct notice_piece *pieces = arena_take(c->arena, (f->lapse_count + 1) * sizeof *pieces);

	for (size_t i = 0; i < f->lapse_count; i++)
		pieces[i] = (struct notice_piece){ f->lapses[i].organisation, f->lapses[i].mailbox, &f->lapses[i], put_piece };
	notices_word(v, &f->draft, c->arena, NOTICE_LAPSE, pieces, f->lapse_count);
}

struct soonest {
	int64_t ends_at_ms[LAPSE_KIND_COUNT];
};

static void find_soonest(void *self, const struct lapse *l)
{
	int64_t *at = &((struct soonest *)self)->ends_at_ms[l->kind];

	if (l->ends_at_ms && (!*at || l->ends_at_ms < *at))
		*at = l->ends_at_ms;
}

static void measure(struct vault *v)
{
	struct soonest s = { 0 };

	lapse_each(v, find_soonest, &s);
	for (int kind = 0; kind < LAPSE_KIND_COUNT; kind++)
		if (s.ends_at_ms[kind])
			metric_set(METRIC_LAPSE_SECONDS, lapse_name((enum lapse_kind)kind), (s.ends_at_ms[kind] - clock_wall_ms()) / 1000);
		else
			metric_hide(METRIC_LAPSE_SECONDS, lapse_name((enum lapse_kind)kind));
}

static void look(void *self)
{
	struct lookout *l = self;
	struct change *c;
	struct found *f;

	timer_after(&l->timer, LOOK_MS);
	measure(l->vault);
	if (l->is_busy || l->vault->is_draining)
		return;
	c = change_new(l->vault, store, stored, sizeof *f);
	f = c->data;
	f->now_ms = clock_wall_ms();
	compare_all(l, c);
	if (!f->row_count) {
		change_drop(&c);
		return;
	}
	word(l->vault, c);
	l->is_busy = true;
	change_run_take(c);
}

void lookout_soon(struct vault *v)
{
	if (v->lookout)
		timer_after(&v->lookout->timer, SOON_MS);
}

/* --- its life */

static bool load(void *self, const struct warning_row *row)
{
	remember(self, row);
	return true;
}

enum fault lookout_start(struct vault *v)
{
	struct lookout *l = calloc(1, sizeof *l);

	if (!l)
		panic("out of memory");
	l->vault = v;
	map_init(&l->warned, false);
	timer_init(&l->timer, v->loop, look, l);
	v->lookout = l;
	timer_after(&l->timer, SOON_MS);
	return warnings_each(v->db, load, l);
}

void lookout_free(struct vault *v)
{
	struct lookout *l = v->lookout;
	struct warned *w;

	if (!l)
		return;
	timer_stop(&l->timer);
	for (size_t at = 0; (w = map_next(&l->warned, &at));)
		free(w);
	map_free(&l->warned);
	arena_free(&v->certificate_arena);
	v->certificate_count = 0;
	free(l);
	v->lookout = NULL;
}

/* Of two certificates of one listener, the one that ends first is the one to renew. */
static void add_certificate(struct vault *v, struct span listener, int64_t ends_at_ms)
{
	for (size_t i = 0; i < v->certificate_count; i++)
		if (span_equal(v->certificates[i].listener, listener)) {
			if (ends_at_ms < v->certificates[i].ends_at_ms)
				v->certificates[i].ends_at_ms = ends_at_ms;
			return;
		}
	v->certificates[v->certificate_count++] = (struct vault_certificate){ arena_copy(v->certificate_arena, listener), ends_at_ms };
}

void lookout_certificates(struct vault *v, const struct role_start *s)
{
	arena_free(&v->certificate_arena);
	v->certificate_arena = arena_new(SIZE_MAX);
	v->certificates = arena_take(v->certificate_arena, (s->file_count + 1) * sizeof *v->certificates);
	v->certificate_count = 0;
	for (size_t i = 0; i < s->file_count; i++) {
		const struct role_file *f = &s->files[i];
		bool shown = span_equal(f->purpose, SPAN("certificate")) || span_equal(f->purpose, SPAN("rsa_certificate"));
		int64_t ends_at_ms = shown ? tls_certificate_ends_at_ms(f->bytes) : 0;

		if (ends_at_ms && ends_at_ms < INT64_MAX)
			add_certificate(v, f->name, ends_at_ms);
	}
	lookout_soon(v);
}

json_t *lookout_describe(struct vault *v, enum language language, size_t most)
{
	struct arena *arena = arena_new(SIZE_MAX);
	int64_t now_ms = clock_wall_ms();
	json_t *list = json_array();
	size_t count;
	const struct lapse *near = lapse_near(v, arena, now_ms, &count);

	for (size_t i = 0; i < count && i < most; i++)
		json_array_append_new(list, lapse_describe(v, &near[i], now_ms, language));
	arena_free(&arena);
	return list;
}
