#include "queue/body.h"

#include "base/panic.h"
#include "loop/pool.h"
#include "queue/mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEALED_BYTES = BODY_CHUNK_BYTES + SEAL_OVER_BYTES, NAME_BYTES = MAIL_ID_TEXT_BYTES + 1 };

struct bodies {
	struct loop *loop;
	struct disk *disk;
	struct pool *pool;
};

/* What a chunk is bound to: its message, its place, whether it is the last. */
struct bound {
	uint64_t id, number, last;
};

static void *take(size_t size)
{
	void *at = calloc(1, size);

	if (!at)
		panic("out of memory");
	return at;
}

enum fault bodies_open(struct bodies **out, struct loop *loop, struct disk *disk)
{
	struct bodies *b = take(sizeof *b);
	enum fault fault = disk_sub(&b->disk, disk, "bodies", true);

	if (fault) {
		free(b);
		return fault;
	}
	b->loop = loop;
	b->pool = pool_new(loop, &(struct pool_settings){ .name = "bodies", .threads = 2, .waiting_max = SIZE_MAX });
	*out = b;
	return FAULT_OK;
}

void bodies_close(struct bodies **out)
{
	struct bodies *b = *out;

	if (!b)
		return;
	pool_free(&b->pool);
	disk_close(&b->disk);
	free(b);
	*out = NULL;
}

/* --- writing: one job at a time takes all chunks that wait */

struct body_writing {
	struct bodies *bodies;
	const struct body_events *events;
	void *self;
	uint64_t id, number, size_bytes;
	struct secret *key;
	struct disk_file *file;
	struct buf waiting, taken; /* taken: by the job under way */
	bool busy, ending, job_ends, dropped;
	enum fault fault;
};

static enum fault write_chunk(struct body_writing *w, struct span text, bool last)
{
	struct bound bound = { w->id, w->number, last };
	struct buf sealed;
	enum fault fault;

	buf_init(&sealed, SEALED_BYTES);
	ASSERT(seal_put(&sealed, secret_borrow(w->key), (struct span){ (const char *)&bound, sizeof bound }, text));
	fault = disk_write(w->file, w->number * SEALED_BYTES, buf_span(&sealed));
	w->number++;
	buf_free(&sealed);
	return fault;
}

static void write_work(void *job)
{
	struct body_writing *w = job;
	struct span rest = buf_span(&w->taken);
	char name[NAME_BYTES];

	mail_id_text(name, w->id);
	if (!w->file && !w->fault)
		w->fault = disk_file_open(&w->file, w->bodies->disk, name, DISK_MAKE);
	while (!w->fault && (rest.size || w->job_ends)) {
		bool last = w->job_ends && rest.size <= BODY_CHUNK_BYTES;

		w->fault = write_chunk(w, span_slice(rest, 0, BODY_CHUNK_BYTES), last);
		rest = span_slice(rest, BODY_CHUNK_BYTES, rest.size);
		if (last)
			break;
	}
	if (!w->fault && w->job_ends)
		w->fault = disk_sync(w->file);
	if (!w->fault && w->job_ends)
		w->fault = disk_sync_names(w->bodies->disk);
}

static void writing_free(struct body_writing *w, bool remove)
{
	if (w->file)
		disk_file_close(&w->file);
	if (remove)
		bodies_remove(w->bodies, w->id);
	secret_free(&w->key);
	buf_free(&w->waiting);
	buf_free(&w->taken);
	free(w);
}

static void run_writing(struct body_writing *w);

static void write_done(void *job)
{
	struct body_writing *w = job;
	size_t bytes = w->taken.size;

	w->busy = false;
	if (w->dropped) {
		writing_free(w, true);
		return;
	}
	if (w->fault || w->job_ends) {
		w->events->ended(w->self, w->fault, w->size_bytes);
		writing_free(w, w->fault != FAULT_OK);
		return;
	}
	buf_clear(&w->taken);
	w->busy = true; /* the owner may put more from inside */
	w->events->written(w->self, bytes);
	w->busy = false;
	if (w->dropped)
		writing_free(w, true);
	else
		run_writing(w);
}

/* All but the last chunk are full: until the end comes, a part of a chunk waits. */
static void run_writing(struct body_writing *w)
{
	size_t whole = w->ending ? w->waiting.size : w->waiting.size / BODY_CHUNK_BYTES * BODY_CHUNK_BYTES;

	if (w->busy || (!whole && !w->ending))
		return;
	buf_clear(&w->taken);
	ASSERT(buf_put(&w->taken, span_slice(buf_span(&w->waiting), 0, whole)));
	buf_drop(&w->waiting, whole);
	w->job_ends = w->ending;
	w->busy = pool_run(w->bodies->pool, write_work, write_done, w); /* false only when it closes */
}

struct body_writing *bodies_write(struct bodies *b, uint64_t id, struct span key, const struct body_events *events, void *self)
{
	struct body_writing *w = take(sizeof *w);

	*w = (struct body_writing){ .bodies = b, .events = events, .self = self, .id = id, .key = secret_new(key) };
	buf_init(&w->waiting, SIZE_MAX);
	buf_init(&w->taken, SIZE_MAX);
	return w;
}

void body_put(struct body_writing *w, struct span bytes)
{
	w->size_bytes += bytes.size;
	ASSERT(buf_put(&w->waiting, bytes));
	run_writing(w);
}

void body_end(struct body_writing *w)
{
	w->ending = true;
	run_writing(w);
}

void body_drop(struct body_writing **out)
{
	struct body_writing *w = *out;

	*out = NULL;
	if (!w)
		return;
	w->dropped = true;
	if (!w->busy)
		writing_free(w, true);
}

/* --- reading */

struct body_reading {
	struct bodies *bodies;
	void (*got)(void *self, enum fault, struct span bytes, bool end);
	void *self;
	uint64_t id, number;
	struct secret *key;
	struct disk_file *file;
	struct buf sealed, text;
	bool busy, closed, end, as_it_stands;
	enum fault fault;
};

static bool open_chunk(struct body_reading *r, bool last)
{
	struct bound bound = { r->id, r->number, last };

	buf_clear(&r->text);
	return seal_open(&r->text, secret_borrow(r->key), (struct span){ (const char *)&bound, sizeof bound }, buf_span(&r->sealed));
}

static void read_work(void *job)
{
	struct body_reading *r = job;
	char name[NAME_BYTES];
	size_t size = 0;

	mail_id_text(name, r->id);
	if (!r->file)
		r->fault = disk_file_open(&r->file, r->bodies->disk, name, DISK_READ);
	buf_clear(&r->sealed);
	if (!r->fault)
		r->fault = disk_read(r->file, r->number * SEALED_BYTES, buf_room(&r->sealed, SEALED_BYTES), SEALED_BYTES, &size);
	if (r->fault)
		return;
	buf_grew(&r->sealed, size);
	r->end = !open_chunk(r, false);
	if (r->end && !open_chunk(r, true))
		r->fault = FAULT_SPOOL_DAMAGED;
	r->number++;
}

static void reading_free(struct body_reading *r)
{
	if (r->file)
		disk_file_close(&r->file);
	secret_free(&r->key);
	buf_free(&r->sealed);
	buf_free(&r->text);
	free(r);
}

static void read_done(void *job)
{
	struct body_reading *r = job;

	r->busy = false;
	if (r->closed)
		reading_free(r);
	else
		r->got(r->self, r->fault, buf_span(r->as_it_stands ? &r->sealed : &r->text), r->end);
}

struct body_reading *bodies_read(struct bodies *b, uint64_t id, struct span key,
				 void (*got)(void *self, enum fault, struct span bytes, bool end), void *self)
{
	struct body_reading *r = take(sizeof *r);

	*r = (struct body_reading){ .bodies = b, .id = id, .key = secret_new(key), .got = got, .self = self };
	buf_init(&r->sealed, SEALED_BYTES);
	buf_init(&r->text, BODY_CHUNK_BYTES);
	return r;
}

struct body_reading *bodies_copy(struct bodies *b, uint64_t id, struct span key,
				 void (*got)(void *self, enum fault, struct span bytes, bool end), void *self)
{
	struct body_reading *r = bodies_read(b, id, key, got, self);

	r->as_it_stands = true;
	return r;
}

void body_next(struct body_reading *r)
{
	ASSERT(!r->busy);
	r->busy = pool_run(r->bodies->pool, read_work, read_done, r);
}

void body_close(struct body_reading **out)
{
	struct body_reading *r = *out;

	*out = NULL;
	if (!r)
		return;
	r->closed = true;
	if (!r->busy)
		reading_free(r);
}

/* --- removing */

struct removal {
	struct bodies *bodies;
	uint64_t id;
};

static void remove_work(void *job)
{
	struct removal *r = job;
	char name[NAME_BYTES];

	mail_id_text(name, r->id);
	if (disk_remove(r->bodies->disk, name))
		return; /* it goes at the next start: nobody knows it */
}

static void remove_done(void *job)
{
	free(job);
}

void bodies_remove(struct bodies *b, uint64_t id)
{
	struct removal *r = take(sizeof *r);

	*r = (struct removal){ b, id };
	if (!pool_run(b->pool, remove_work, remove_done, r))
		free(r); /* it closes; the file goes at the next start */
}

struct sweep {
	struct bodies *bodies;
	bool (*is_known)(void *self, uint64_t id);
	void *self;
	uint64_t *ids;
	size_t count, room;
};

static bool note_name(void *self, const char *name)
{
	struct sweep *s = self;
	uint64_t id;

	if (!mail_id_read(&id, span_of(name)))
		return true;
	if (s->count == s->room) {
		s->room = s->room ? s->room * 2 : 64;
		s->ids = realloc(s->ids, s->room * sizeof *s->ids);
		if (!s->ids)
			panic("out of memory");
	}
	s->ids[s->count++] = id;
	return true;
}

static void sweep_work(void *job)
{
	struct sweep *s = job;

	if (disk_list(s->bodies->disk, note_name, s))
		s->count = 0;
}

static void sweep_done(void *job)
{
	struct sweep *s = job;

	for (size_t i = 0; i < s->count; i++)
		if (!s->is_known(s->self, s->ids[i]))
			bodies_remove(s->bodies, s->ids[i]);
	free(s->ids);
	free(s);
}

void bodies_sweep(struct bodies *b, bool (*is_known)(void *self, uint64_t id), void *self)
{
	struct sweep *s = take(sizeof *s);

	*s = (struct sweep){ .bodies = b, .is_known = is_known, .self = self };
	ASSERT(pool_run(b->pool, sweep_work, sweep_done, s));
}
