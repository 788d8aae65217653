#include "queue/limits.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/trail.h"
#include "queue/window.h"

#include <stdlib.h>

enum {
	SPARE_MS = 250, /* our clock is read once a turn, and no two clocks run alike */
	MINUTE_MS = 60 * 1000,
	MINUTE_GRAIN_MS = 500,
	DAY_MS = 24 * 3600 * 1000,
	DAY_GRAIN_MS = 4 * 60 * 1000,
};

_Static_assert(MINUTE_MS / MINUTE_GRAIN_MS + 2 <= LIMITS_FILE_MINUTE_PLACES && DAY_MS / DAY_GRAIN_MS + 2 <= LIMITS_FILE_DAY_PLACES,
	       "each part of a window has a place of its own in the file");

struct try {
	uint64_t id;
	uint32_t recipients;
	bool has_begun;
};

struct limit {
	struct limits *limits;
	struct limit *before, *behind, **owner;
	uint64_t mailbox;
	struct window minute, day;
	struct try *tries; /* under way */
	size_t count, room;
	uint32_t region;
};

struct limits {
	struct loop *loop;
	struct trail trail;
	struct limits_file *file;
	struct limit *first;
	int64_t dark_until_ms; /* before then, what the minute holds is not known */
	bool is_failing;
	limits_kept *kept; /* while opening */
	void *self;
};

/* --- one mailbox */

struct limit *limit_new(struct limits *limits, uint64_t mailbox, struct limit **owner)
{
	struct limit *l = calloc(1, sizeof *l);

	if (!l)
		panic("out of memory");
	*l = (struct limit){ .limits = limits, .mailbox = mailbox, .behind = limits->first, .region = LIMITS_FILE_NONE };
	window_init(&l->minute, MINUTE_MS + SPARE_MS, MINUTE_GRAIN_MS);
	window_init(&l->day, DAY_MS + SPARE_MS, DAY_GRAIN_MS);
	if (l->behind)
		l->behind->before = l;
	limits->first = l;
	limit_own(l, owner);
	return l;
}

void limit_own(struct limit *l, struct limit **owner)
{
	l->owner = owner;
	if (owner)
		*owner = l;
}

static void forget(struct limit *l)
{
	*(l->before ? &l->before->behind : &l->limits->first) = l->behind;
	if (l->behind)
		l->behind->before = l->before;
	if (l->owner)
		*l->owner = NULL;
	window_fini(&l->minute);
	window_fini(&l->day);
	free(l->tries);
	free(l);
}

void limit_free(struct limit **out)
{
	struct limit *l = *out;

	if (!l)
		return;
	limits_file_give(l->limits->file, l->region);
	forget(l);
	*out = NULL;
}

/* --- the file */

/* A disk that takes nothing does not stop the mail: what was sent is then known until the next start. */
static void note(struct limits *l, enum fault fault)
{
	if (fault && !l->is_failing)
		TRAIL(&l->trail, EVENT_LIMITS_NOT_KEPT, TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
	l->is_failing = fault != FAULT_OK;
}

/* Which place of the file is that of a time; times before the machine's start are those of an earlier one. */
static size_t place_of(int64_t at_ms, int64_t grain_ms, int64_t places)
{
	return (size_t)((at_ms / grain_ms % places + places) % places);
}

static void keep_part(struct limit *l, bool of_day, const struct window_part *part)
{
	struct limits *limits = l->limits;
	struct limits_file_part p = {
		part->at_ms, part->at_ms - loop_now_ms(limits->loop) + clock_wall_ms(), part->count, clock_boot(),
	};

	note(limits, of_day ? limits_file_day(limits->file, l->region, l->mailbox, place_of(part->at_ms, DAY_GRAIN_MS, LIMITS_FILE_DAY_PLACES), &p)
			    : limits_file_minute(limits->file, l->region, l->mailbox,
						 place_of(part->at_ms, MINUTE_GRAIN_MS, LIMITS_FILE_MINUTE_PLACES), &p));
}

static void need_region(struct limit *l)
{
	if (l->region == LIMITS_FILE_NONE)
		l->region = limits_file_take(l->limits->file);
}

static void keep_head(struct limit *l, const struct limit_rates *rates)
{
	struct limits_file_head h = { .mailbox = l->mailbox, .rates = *rates };

	for (size_t i = 0; i < l->count; i++)
		if (l->tries[i].has_begun) {
			h.messages++;
			h.recipients += l->tries[i].recipients;
		}
	note(l->limits, limits_file_head(l->limits->file, l->region, &h));
}

/* --- tries */

static struct try *find(struct limit *l, uint64_t id)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->tries[i].id == id)
			return &l->tries[i];
	return NULL;
}

static uint64_t recipients_under_way(const struct limit *l)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < l->count; i++)
		sum += l->tries[i].recipients;
	return sum;
}

static int64_t room_in(struct window *w, int64_t now_ms, uint64_t under_way, uint64_t more, uint64_t limit)
{
	if (!limit)
		return now_ms;
	if (under_way && under_way + more > limit)
		return INT64_MAX;
	return window_room_at_ms(w, now_ms, under_way + more, limit);
}

int64_t limit_room_at_ms(struct limit *l, const struct limit_rates *rates, uint32_t recipients, enum limit_kind *which_out)
{
	int64_t now_ms = loop_now_ms(l->limits->loop);
	int64_t minute_ms = room_in(&l->minute, now_ms, l->count, 1, rates->messages_per_minute);
	int64_t day_ms = room_in(&l->day, now_ms, recipients_under_way(l), recipients, rates->recipients_per_day);

	if (rates->messages_per_minute && minute_ms < l->limits->dark_until_ms)
		minute_ms = l->limits->dark_until_ms;
	*which_out = minute_ms <= now_ms && day_ms <= now_ms ? LIMIT_NONE : day_ms > minute_ms ? LIMIT_DAY : LIMIT_MINUTE;
	return day_ms > minute_ms ? day_ms : minute_ms;
}

void limit_take(struct limit *l, uint64_t id, uint32_t recipients)
{
	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 4;
		l->tries = realloc(l->tries, l->room * sizeof *l->tries);
		if (!l->tries)
			panic("out of memory");
	}
	l->tries[l->count++] = (struct try){ id, recipients, false };
}

void limit_begin(struct limit *l, const struct limit_rates *rates, uint64_t id)
{
	struct try *try = find(l, id);

	if (!try || try->has_begun)
		return;
	try->has_begun = true;
	need_region(l);
	keep_head(l, rates);
}

/* The parts stand before the head says that nothing is under way: whoever dies between the two has counted it twice. */
static void count(struct limit *l, uint32_t messages, uint32_t recipients)
{
	int64_t now_ms = loop_now_ms(l->limits->loop);

	if (messages)
		keep_part(l, false, window_add(&l->minute, now_ms, messages));
	if (recipients)
		keep_part(l, true, window_add(&l->day, now_ms, recipients));
}

void limit_end(struct limit *l, const struct limit_rates *rates, uint64_t id, uint32_t recipients)
{
	struct try *try = find(l, id);
	bool counts = recipients || (try && try->has_begun);

	if (counts)
		need_region(l);
	if (counts)
		count(l, 1, recipients);
	if (try)
		*try = l->tries[--l->count];
	if (counts)
		keep_head(l, rates);
}

int64_t limit_day_moves_at_ms(struct limit *l)
{
	if (!window_used(&l->day, loop_now_ms(l->limits->loop)))
		return 0;
	return l->day.parts[l->day.first].at_ms + l->day.length_ms;
}

/* --- what was kept */

struct aged {
	int64_t at_ms;
	uint32_t count;
};

static int by_time(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;

	return x->at_ms < y->at_ms ? -1 : x->at_ms > y->at_ms;
}

/* The steady clock goes on from one process to the next, and begins anew with the machine. Then the time of day has to do, for the day; of the
 * minute nothing is left once the machine has been up for one, and nothing is known before. */
static void recall(struct limit *l, bool of_day, const struct limits_file_part *parts, size_t count)
{
	int64_t now_ms = loop_now_ms(l->limits->loop), wall_ms = clock_wall_ms();
	struct aged aged[LIMITS_FILE_DAY_PLACES];
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		bool same = parts[i].boot == clock_boot() && parts[i].steady_ms <= now_ms;
		int64_t age_ms = same ? now_ms - parts[i].steady_ms : wall_ms > parts[i].wall_ms ? wall_ms - parts[i].wall_ms : 0;

		if (parts[i].count && (same || of_day) && age_ms < DAY_MS + SPARE_MS)
			aged[found++] = (struct aged){ now_ms - age_ms, parts[i].count };
	}
	qsort(aged, found, sizeof *aged, by_time);
	for (size_t i = 0; i < found; i++)
		window_add(of_day ? &l->day : &l->minute, aged[i].at_ms, aged[i].count);
	window_used(of_day ? &l->day : &l->minute, now_ms);
}

/* Places follow the steady clock: after a start of the machine all is written where it now belongs. */
static void write_anew(struct limit *l)
{
	note(l->limits, limits_file_clear(l->limits->file, l->region));
	for (size_t i = 0; i < l->day.count; i++)
		keep_part(l, true, &l->day.parts[(l->day.first + i) % l->day.room]);
}

/* What was under way when the process died may have been counted until now. */
static bool on_found(void *self, const struct limits_file_found *found)
{
	struct limits *limits = self;
	struct limit *l = limit_new(limits, found->head.mailbox, NULL);
	bool same = found->boot == clock_boot();

	l->region = found->region;
	recall(l, false, found->minute, LIMITS_FILE_MINUTE_PLACES);
	recall(l, true, found->day, LIMITS_FILE_DAY_PLACES);
	if (!same && loop_now_ms(limits->loop) < MINUTE_MS + SPARE_MS)
		limits->dark_until_ms = MINUTE_MS + SPARE_MS;
	if (!same)
		write_anew(l);
	count(l, found->head.messages, found->head.recipients);
	if (!l->minute.used && !l->day.used) {
		forget(l);
		return false;
	}
	keep_head(l, &found->head.rates);
	limits->kept(limits->self, l, l->mailbox, &found->head.rates);
	return true;
}

enum fault limits_open(struct limits *limits, struct disk *disk, limits_kept *kept, void *self)
{
	limits->kept = kept;
	limits->self = self;
	return limits_file_open(&limits->file, disk, on_found, limits);
}

/* --- all of them */

struct limits *limits_new(struct loop *loop)
{
	struct limits *limits = calloc(1, sizeof *limits);

	if (!limits)
		panic("out of memory");
	limits->loop = loop;
	trail_init(&limits->trail, "post", SPAN("limits"));
	return limits;
}

void limits_free(struct limits **out)
{
	struct limits *limits = *out;

	if (!limits)
		return;
	while (limits->first)
		forget(limits->first);
	limits_file_close(&limits->file);
	free(limits);
	*out = NULL;
}

void limits_sweep(struct limits *limits)
{
	int64_t now_ms = loop_now_ms(limits->loop);

	for (struct limit *l = limits->first, *behind; l; l = behind) {
		behind = l->behind;
		if (l->count || window_used(&l->minute, now_ms) || window_used(&l->day, now_ms))
			continue;
		limits_file_give(limits->file, l->region);
		forget(l);
	}
}
