/* vault/lapse.h - what lapses, when, what that is for people, and what to do about it.
 *
 * Why       Nothing that needs a person may be a surprise; so there is one list of all that ends by a date.
 * Promise   Everything in it is known here and now: nothing is asked of anybody.
 * Owns      Nothing: a lapse is borrowed from the vault's rows.
 * Refuses   Nothing.
 * See       tables/lapses.def, tables/retirements.def; vault/lookout.c warns */
#pragma once
#include "vault/inner.h"

enum lapse_kind {
#define LAPSE(symbol, ...) LAPSE_##symbol,
#include "tables/lapses.def"
	LAPSE_KIND_COUNT
};

struct lapse_retirement {
	const char *name, *kind, *date;
	const char *says[LANGUAGE_COUNT], *remedy[LANGUAGE_COUNT];
};

struct lapse {
	enum lapse_kind kind;
	const struct lapse_retirement *retirement; /* of a LAPSE_RETIREMENT */
	struct span object;                        /* name of the provider or listener, address of the mailbox */
	uint64_t organisation;                     /* 0: it is everybody's */
	uint64_t mailbox;                          /* whose owner it concerns; 0: nobody's in particular */
	int64_t ends_at_ms;                        /* wall clock; 0: nobody knows, and somebody should */
};

/* Everything that has an end, however far away, in no order. */
void lapse_each(struct vault *, void (*each)(void *self, const struct lapse *), void *self);

/* Those that end within the first warning's days, or whose end nobody knows, the soonest first, in the arena. */
struct lapse *lapse_near(struct vault *, struct arena *, int64_t now_ms, size_t *count_out);

/* The fewest days of tables/lapses.def that it still ends within; 0: in longer than all of them, or unknown. */
int lapse_stage(const struct lapse *, int64_t now_ms);

/* Whole days until its end, negative behind it. */
int64_t lapse_days(const struct lapse *, int64_t now_ms);

/* The label of its metric; and the name it is remembered by, which a retirement has of its own. */
const char *lapse_name(enum lapse_kind);
void lapse_put_key(const struct lapse *, struct buf *out);

/* The sentence and the remedy, with its name in them. */
void lapse_put_says(const struct lapse *, enum language, struct buf *out);
void lapse_put_remedy(const struct lapse *, enum language, struct buf *out);

/* All of it as JSON. */
json_t *lapse_describe(const struct vault *, const struct lapse *, int64_t now_ms, enum language);
