#include "base/panic.h"
#include "queue/spool_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREPARE_AGAIN_MS = 5000, MARGIN_BYTES = 8 * 1024 * 1024, FLIGHT_BYTES = SPOOL_GROUP_BYTES + 2 * 1024 * 1024 };

static const char prefix[] = "segment-", aside[] = "damaged-";

/* --- opening and closing */

static void insert(struct spool *s, struct spool_segment *g)
{
	struct spool_segment **at = &s->segments;

	while (*at && (*at)->file.number <= g->file.number)
		at = &(*at)->next;
	g->next = *at;
	*at = g;
}

static void forget(struct spool *s, struct spool_segment *g)
{
	struct spool_segment **at = &s->segments;

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	segment_close(&g->file);
	free(g);
}

static struct spool_segment *segment_new(void)
{
	struct spool_segment *g = calloc(1, sizeof *g);

	if (!g)
		panic("out of memory");
	g->at = SEGMENT_DATA_AT;
	return g;
}

struct names {
	struct spool *spool;
	enum fault fault;
};

/* A file whose head is beyond reading keeps its bytes under another name, for people. */
static enum fault set_aside(struct spool *s, const char *name)
{
	char to[SEGMENT_NAME_BYTES];

	snprintf(to, sizeof to, "%s%s", aside, name + sizeof prefix - 1);
	TRAIL(&s->trail, EVENT_SEGMENT_SET_ASIDE, TRAIL_TEXT("segment", span_of(name)), TRAIL_TEXT("name", span_of(to)));
	return disk_rename(s->disk, name, to);
}

static bool take_name(void *self, const char *name)
{
	struct names *n = self;
	struct spool_segment *g;
	uint64_t file;

	if (strncmp(name, prefix, sizeof prefix - 1) != 0 || !span_number(span_of(name + sizeof prefix - 1), &file))
		return true;
	if (file >= n->spool->next_file)
		n->spool->next_file = (unsigned)file + 1;
	g = segment_new();
	n->fault = segment_open(&g->file, n->spool->disk, name);
	if (!n->fault) {
		if (g->file.number >= n->spool->next_number)
			n->spool->next_number = g->file.number + 1;
		insert(n->spool, g);
		return true;
	}
	segment_close(&g->file);
	free(g);
	if (n->fault == FAULT_SPOOL_DAMAGED)
		n->fault = set_aside(n->spool, name);
	return !n->fault;
}

/* Names are gathered first: what is listed is not renamed meanwhile. */
struct name_list {
	size_t count;
	char (*names)[SEGMENT_NAME_BYTES];
};

static bool note_name(void *self, const char *name)
{
	struct name_list *l = self;

	if (strncmp(name, prefix, sizeof prefix - 1) != 0 || strlen(name) >= SEGMENT_NAME_BYTES)
		return true;
	if (!(l->count & (l->count - 1))) {
		l->names = realloc(l->names, (l->count ? l->count * 2 : 1) * sizeof *l->names);
		if (!l->names)
			panic("out of memory");
	}
	snprintf(l->names[l->count++], SEGMENT_NAME_BYTES, "%s", name);
	return true;
}

static enum fault open_all(struct spool *s)
{
	struct name_list list = { 0 };
	struct names n = { .spool = s };

	n.fault = disk_list(s->disk, note_name, &list);
	for (size_t i = 0; i < list.count && !n.fault; i++)
		take_name(&n, list.names[i]);
	free(list.names);
	return n.fault;
}

static void on_key_late(void *self);

static void make_again(void *self)
{
	spool_upkeep(self);
}

static void make_pools(struct spool *s)
{
	s->commits = pool_new(s->loop, &(struct pool_settings){ .name = "commit", .threads = 1, .waiting_max = 4 });
	s->chores = pool_new(s->loop, &(struct pool_settings){ .name = "segments", .threads = 1, .waiting_max = SPOOL_UPKEEP_JOBS });
	s->readers = pool_new(s->loop, &(struct pool_settings){ .name = "reading", .threads = 2, .waiting_max = SIZE_MAX });
}

enum fault spool_open(struct spool **out, struct loop *loop, const char *path, const struct spool_settings *settings,
		      const struct spool_events *events, void *self)
{
	struct spool *s = calloc(1, sizeof *s);
	enum fault fault;

	if (!s)
		panic("out of memory");
	s->loop = loop;
	s->settings = *settings;
	s->events = events;
	s->self = self;
	s->next_number = s->next_file = 1;
	s->waiting_last = &s->waiting;
	s->flight.spool = s;
	s->intake = FAULT_POST_AWAY;
	s->flight.memory = aligned_alloc(DISK_BLOCK_BYTES, FLIGHT_BYTES);
	if (!s->flight.memory)
		panic("out of memory");
	buf_over(&s->flight.sealed, s->flight.memory, FLIGHT_BYTES);
	trail_init(&s->trail, "post", SPAN("spool"));
	timer_init(&s->prepare_again, loop, make_again, s);
	timer_init(&s->key_late, loop, on_key_late, s);
	make_pools(s);
	fault = disk_open(&s->disk, path, true);
	if (!fault)
		fault = disk_lock(s->disk);
	if (!fault)
		fault = open_all(s);
	*out = s;
	if (fault)
		spool_close(out);
	return fault;
}

void spool_close(struct spool **out)
{
	struct spool *s = *out;

	if (!s)
		return;
	s->closing = true;
	if (s->launch.loop)
		timer_stop(&s->launch);
	timer_stop(&s->prepare_again);
	timer_stop(&s->key_late);
	pool_free(&s->commits);
	pool_free(&s->chores);
	pool_free(&s->readers);
	if (s->launch.loop)
		timer_stop(&s->launch);
	timer_stop(&s->prepare_again);
	timer_stop(&s->key_late);
	spool_give_up(s);
	while (s->segments)
		forget(s, s->segments);
	secret_free(&s->spare);
	free(s->flight.memory);
	if (s->disk)
		disk_close(&s->disk);
	free(s);
	*out = NULL;
}

struct disk *spool_disk(struct spool *s)
{
	return s->disk;
}

struct spool_segment *spool_segments(struct spool *s)
{
	return s->segments;
}

void spool_unwrapped(struct spool_segment *g, struct span key)
{
	secret_free(&g->file.key);
	g->file.key = secret_new(key);
}

/* --- keys */

static void ask(struct spool *s)
{
	if (s->asked)
		return;
	s->asked = true;
	s->asked_at_ms = loop_now_ms(s->loop);
	timer_after(&s->key_late, SPOOL_KEY_MS);
	s->events->key_wanted(s->self);
}

static void on_key_late(void *self)
{
	spool_say_intake(self);
	spool_launch_soon(self);
}

void spool_key(struct spool *s, struct span key, struct span wrapped)
{
	s->asked = false;
	timer_stop(&s->key_late);
	if (wrapped.size > SEGMENT_WRAPPED_BYTES || key.size != SEAL_KEY_BYTES)
		return;
	secret_free(&s->spare);
	s->spare = secret_new(key);
	s->spare_wrapped_size = wrapped.size;
	memcpy(s->spare_wrapped, wrapped.at, wrapped.size);
	spool_upkeep(s);
}

bool spool_drop_key(struct spool *s)
{
	if (s->preparing)
		return false;
	secret_free(&s->spare);
	spool_upkeep(s);
	return true;
}

void spool_ask_again(struct spool *s)
{
	s->asked = false;
	if (!s->spare)
		ask(s);
	spool_upkeep(s);
}

/* --- making segments ready */

unsigned spool_ready_count(const struct spool *s)
{
	unsigned count = 0;

	for (const struct spool_segment *g = s->segments; g; g = g->next)
		count += g->state == SPOOL_IS_READY && !g->busy;
	return count;
}

unsigned spool_rewrapping_count(const struct spool *s)
{
	unsigned count = 0;

	for (const struct spool_segment *g = s->segments; g; g = g->next)
		count += g->state == SPOOL_IS_READY && g->busy;
	return count;
}

struct spool_segment *spool_take_ready(struct spool *s)
{
	struct spool_segment *best = NULL;

	for (struct spool_segment *g = s->segments; g; g = g->next)
		if (g->state == SPOOL_IS_READY && !g->busy && (!best || g->file.number < best->file.number))
			best = g;
	ASSERT(best);
	best->state = SPOOL_ACTIVE;
	return best;
}

static enum fault make_file(struct spool_chore *c)
{
	uint64_t room, size = c->spool->settings.segment_bytes;
	char name[SEGMENT_NAME_BYTES];
	enum fault fault = disk_free_bytes(c->spool->disk, &room);

	if (!fault && room < size + MARGIN_BYTES)
		return FAULT_DISK_FULL;
	snprintf(name, sizeof name, "%s%06u", prefix, c->spool->next_file);
	return fault ? fault : segment_make(&c->segment->file, c->spool->disk, name, size);
}

static void prepare_work(void *job)
{
	struct spool_chore *c = job;

	if (c->is_new)
		c->fault = make_file(c);
	if (!c->fault)
		c->fault = segment_begin(&c->segment->file, c->number, c->first_sequence, secret_borrow(c->key),
					 (struct span){ c->key_wrapped, c->key_wrapped_size });
}

static void prepare_failed(struct spool *s, struct spool_chore *c)
{
	if (s->prepare_fault != c->fault)
		TRAIL(&s->trail, EVENT_SEGMENT_NOT_MADE, TRAIL_TEXT("fault", span_of(fault_row(c->fault)->name)));
	s->prepare_fault = c->fault;
	if (c->segment->file.file && c->is_new)
		insert(s, c->segment);
	if (c->segment->file.file)
		c->segment->state = SPOOL_SEALED;
	else
		free(c->segment);
	timer_after(&s->prepare_again, PREPARE_AGAIN_MS);
}

static void prepare_done(void *job)
{
	struct spool_chore *c = job;
	struct spool *s = c->spool;

	s->preparing = false;
	c->segment->busy = false;
	s->next_file += c->is_new && c->segment->file.file;
	if (c->fault) {
		prepare_failed(s, c);
	} else {
		s->prepare_fault = FAULT_OK;
		c->segment->state = SPOOL_IS_READY;
		c->segment->at = SEGMENT_DATA_AT;
		c->segment->last_sequence = 0;
		if (c->is_new)
			insert(s, c->segment);
	}
	secret_free(&c->key);
	free(c);
	spool_upkeep(s);
	spool_say_intake(s);
	spool_launch_soon(s);
}

static struct spool_segment *find_free(struct spool *s)
{
	for (struct spool_segment *g = s->segments; g; g = g->next)
		if (g->state == SPOOL_FREE && !g->busy)
			return g;
	return NULL;
}

static struct spool_chore *chore_new(struct spool *s, struct spool_segment *g)
{
	struct spool_chore *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	c->spool = s;
	c->segment = g;
	g->busy = true;
	return c;
}

static void prepare(struct spool *s)
{
	struct spool_segment *g = find_free(s);
	struct spool_chore *c = chore_new(s, g ? g : segment_new());

	c->is_new = !g;
	c->number = s->next_number++;
	c->first_sequence = s->next_sequence;
	c->key = s->spare;
	s->spare = NULL;
	c->key_wrapped_size = s->spare_wrapped_size;
	memcpy(c->key_wrapped, s->spare_wrapped, s->spare_wrapped_size);
	ask(s); /* one key is kept ready ahead of need */
	s->preparing = true;
	ASSERT(pool_run(s->chores, prepare_work, prepare_done, c));
}

/* An active segment is needed too, so that the first start makes one more. */
void spool_upkeep(struct spool *s)
{
	if (!s->started || s->closing || s->preparing)
		return;
	if (!s->spare)
		ask(s);
	if (!s->spare || spool_ready_count(s) + spool_rewrapping_count(s) >= SPOOL_READY + !s->active || (timer_is_set(&s->prepare_again) && !find_free(s)))
		return;
	prepare(s);
}

/* --- recycling */

static void wipe_work(void *job)
{
	struct spool_chore *c = job;

	c->fault = segment_wipe(&c->segment->file);
}

static void remove_work(void *job)
{
	struct spool_chore *c = job;
	const char *name = c->segment->file.name;

	c->fault = c->segment->damaged ? set_aside(c->spool, name) : disk_remove(c->spool->disk, name);
}

static void removed(void *job)
{
	struct spool_chore *c = job;
	struct spool *s = c->spool;

	forget(s, c->segment);
	free(c);
	spool_upkeep(s);
}

static void wiped(void *job)
{
	struct spool_chore *c = job;
	struct spool *s = c->spool;
	struct spool_segment *g = c->segment;

	g->busy = false;
	g->state = c->fault ? SPOOL_SEALED : SPOOL_FREE;
	g->last_sequence = 0;
	free(c);
	spool_upkeep(s);
	spool_passed(s, s->passed);
}

static unsigned free_count(const struct spool *s)
{
	unsigned count = 0;

	for (const struct spool_segment *g = s->segments; g; g = g->next)
		count += g->state == SPOOL_FREE && !g->busy;
	return count;
}

static bool is_spent(const struct spool *s, const struct spool_segment *g)
{
	return (g->state == SPOOL_FULL || g->state == SPOOL_SEALED) && !g->busy && !g->open && !g->readers &&
	       g->last_sequence <= s->passed;
}

void spool_passed(struct spool *s, uint64_t sequence)
{
	s->passed = sequence;
	if (!s->started || s->closing)
		return;
	for (struct spool_segment *g = s->segments; g; g = g->next) {
		if (is_spent(s, g)) {
			bool wipe = g->state == SPOOL_FULL && !g->damaged;

			if (!pool_run(s->chores, wipe ? wipe_work : remove_work, wipe ? wiped : removed, chore_new(s, g)))
				panic("more chores than segments can give");
		} else if (g->state == SPOOL_FREE && !g->busy && free_count(s) > SPOOL_FILES_KEPT) {
			ASSERT(pool_run(s->chores, remove_work, removed, chore_new(s, g)));
		}
	}
}

struct spool_segment *spool_sparse(struct spool *s)
{
	for (struct spool_segment *g = s->segments; g; g = g->next)
		if ((g->state == SPOOL_FULL || g->state == SPOOL_SEALED) && !g->busy && g->open && g->last_sequence <= s->passed &&
		    (g->open_bytes < g->file.size / 8 || g->damaged))
			return g;
	return NULL;
}

/* --- another key-encryption key */

static void rewrap_work(void *job)
{
	struct spool_chore *c = job;

	c->fault = segment_rewrap(&c->segment->file, c->wrapped);
}

static void rewrapped(void *job)
{
	struct spool_chore *c = job;
	struct spool *s = c->spool;

	c->segment->busy = false;
	c->done(c->self, c->fault);
	free((char *)c->wrapped.at);
	free(c);
	spool_upkeep(s);
	spool_say_intake(s);
	spool_launch_soon(s);
}

void spool_rewrap(struct spool *s, struct spool_segment *g, struct span wrapped, void (*done)(void *self, enum fault), void *self)
{
	struct spool_chore *c = chore_new(s, g);
	char *copy = malloc(wrapped.size + 1);

	if (!copy)
		panic("out of memory");
	memcpy(copy, wrapped.at, wrapped.size);
	c->wrapped = (struct span){ copy, wrapped.size };
	c->done = done;
	c->self = self;
	ASSERT(pool_run(s->chores, rewrap_work, rewrapped, c));
}

struct spool_numbers spool_numbers(const struct spool *s)
{
	struct spool_numbers n = { .ready = spool_ready_count(s) };

	for (const struct spool_segment *g = s->segments; g; g = g->next) {
		n.segments++;
		n.sealed += g->state == SPOOL_SEALED;
		n.damaged += g->damaged;
		n.bytes += g->file.size;
	}
	return n;
}
