#include "queue/indexing.h"

#include "base/panic.h"
#include "base/trail.h"
#include "loop/pool.h"
#include "store/queue_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char file_name[] = "index.db";

/* Texts that grow; freed with the batch. */
struct batch {
	struct indexing *indexing;
	struct queue_index_mail *mails;
	struct queue_index_key *keys;
	struct queue_index_segment *segments;
	uint64_t *gone;
	size_t mail_count, key_count, segment_count, gone_count, gone_key_count;
	char (*gone_keys)[MAIL_KEY_BYTES];
	uint64_t watermark;
	enum fault fault;
};

/* A list of numbers or keys, without ceiling: it holds what the queue holds. */
struct list {
	char *at;
	size_t count, room;
};

struct indexing {
	struct loop *loop;
	struct spool *spool;
	struct mails *mails;
	struct resubmit *resubmit;
	struct sqlite *db;
	struct pool *pool;
	struct trail trail;
	struct timer timer;
	struct list changed, gone, changed_keys, gone_keys; /* ids, ids, keys, keys */
	struct batch batch;
	bool started, busy, closing;
	uint64_t watermark;
	void (*passed)(void *self, uint64_t sequence);
	void *self;
};

static void *grow(void *at, size_t bytes)
{
	at = realloc(at, bytes ? bytes : 1);
	if (!at)
		panic("out of memory");
	return at;
}

static void list_add(struct list *l, const void *item, size_t size)
{
	if (l->count == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->at = grow(l->at, l->room * size);
	}
	memcpy(l->at + l->count++ * size, item, size);
}

static void list_clear(struct list *l)
{
	free(l->at);
	*l = (struct list){ 0 };
}

/* --- opening */

static enum fault open_database(struct indexing *x, char *why)
{
	char path[512];

	disk_sqlite_path(spool_disk(x->spool), file_name, path);
	return queue_index_open(&x->db, path, disk_sqlite_vfs(spool_disk(x->spool)), why);
}

/* The index is derived: a damaged one is kept for people, under another name, and the segments are read. */
static enum fault begin_anew(struct indexing *x, char *why)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct disk *disk = spool_disk(x->spool);
	char from[64], to[64];

	TRAIL(&x->trail, EVENT_INDEX_LOST, TRAIL_TEXT("why", span_of(why)));
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		snprintf(from, sizeof from, "%s%s", file_name, ends[i]);
		snprintf(to, sizeof to, "damaged-%s%s", file_name, ends[i]);
		if (disk_rename(disk, from, to))
			continue; /* it was not there */
	}
	return open_database(x, why);
}

static void on_key_changed(void *self, struct resubmit_entry *e, bool goes);
static void write_batch(void *self);

enum fault indexing_open(struct indexing **out, struct loop *loop, struct spool *spool, struct mails *mails, struct resubmit *resubmit)
{
	struct indexing *x = grow(NULL, sizeof *x);
	char why[256] = "";
	enum fault fault;

	*x = (struct indexing){ .loop = loop, .spool = spool, .mails = mails, .resubmit = resubmit };
	x->batch.indexing = x;
	trail_init(&x->trail, "post", SPAN("index"));
	timer_init(&x->timer, loop, write_batch, x);
	fault = open_database(x, why);
	if (fault && fault != FAULT_DATABASE_NEWER)
		fault = begin_anew(x, why);
	if (fault) {
		free(x);
		return fault;
	}
	x->pool = pool_new(loop, &(struct pool_settings){ .name = "index", .threads = 1, .waiting_max = 1 });
	resubmit->changed = on_key_changed;
	resubmit->self = x;
	*out = x;
	return FAULT_OK;
}

static void batch_free(struct batch *b);

void indexing_close(struct indexing **out)
{
	struct indexing *x = *out;

	if (!x)
		return;
	x->closing = true;
	x->resubmit->changed = NULL;
	timer_stop(&x->timer);
	pool_free(&x->pool);
	sqlite_close(&x->db);
	batch_free(&x->batch);
	list_clear(&x->changed);
	list_clear(&x->gone);
	list_clear(&x->changed_keys);
	list_clear(&x->gone_keys);
	free(x);
	*out = NULL;
}

/* --- reading back */

struct reading {
	struct indexing *x;
	struct spool_segment *segments;
	size_t missing;
};

static struct spool_segment *find_segment(struct spool_segment *g, uint64_t number)
{
	while (g && g->file.number != number)
		g = g->next;
	return g;
}

/* What a progress is bound to. */
static struct span bound_to(const uint64_t *id)
{
	return (struct span){ (const char *)id, sizeof *id };
}

static bool open_progress(struct mail *m, struct span sealed)
{
	struct buf text;
	bool good;

	buf_init(&text, RECORD_BYTES_MAX);
	good = seal_open(&text, secret_borrow(m->place.segment->file.key), bound_to(&m->id), sealed) && !mail_apply_progress(m, buf_span(&text));
	buf_free(&text);
	return good;
}

static struct mail *mail_from(const struct queue_index_mail *row, const struct resubmit *resubmit)
{
	struct mail *m = mail_empty(row->id, (uint32_t)row->recipients);

	m->mailbox = row->mailbox;
	m->client = row->client;
	m->notice_mailbox = row->notice_mailbox;
	m->report_of = row->report_of;
	m->rung = (uint8_t)row->rung;
	m->accepted_at_ms = row->accepted_at_ms;
	m->size_bytes = row->size_bytes;
	m->has_file = row->has_file;
	m->indexed = true;
	m->next_try_at_ms = row->accepted_at_ms;
	if (row->key.size == MAIL_KEY_BYTES && row->key_until_ms && resubmit_has(resubmit, row->id)) /* else its reply was heard since */
		mail_set_key(m, (const unsigned char *)row->key.at, row->key_until_ms);
	return m;
}

static void on_mail(void *self, const struct queue_index_mail *row)
{
	struct reading *g = self;
	struct spool_segment *segment = find_segment(g->segments, row->segment);
	struct mail *m;

	if (!segment || !row->recipients || row->recipients > UINT16_MAX || mails_find(g->x->mails, row->id)) {
		g->missing++; /* its segment is gone, and it with it */
		return;
	}
	m = mail_from(row, g->x->resubmit);
	m->place = (struct spool_place){ segment, row->sequence, (uint32_t)row->at, (uint32_t)row->bytes };
	if (row->progress.size && !open_progress(m, row->progress)) {
		m->hold = FAULT_UNCONFIRMED;
		m->stale = true;
		g->missing++;
	}
	mails_add(g->x->mails, m);
}

static void on_key(void *self, const struct queue_index_key *row)
{
	struct reading *g = self;
	struct resubmit_entry *e;

	if (row->key.size != MAIL_KEY_BYTES)
		return;
	e = resubmit_add(g->x->resubmit, (const unsigned char *)row->key.at, row->id, row->until_ms);
	e->indexed = true;
	mail_say(&e->says, row->says);
}

static void on_segment(void *self, const struct queue_index_segment *row)
{
	struct reading *g = self;
	struct spool_segment *segment = find_segment(g->segments, row->number);

	if (!segment || row->at > segment->file.size)
		return;
	segment->last_sequence = row->last_sequence;
	segment->at = row->at;
}

uint64_t indexing_read(struct indexing *x, struct spool_segment *segments, size_t *missing_out)
{
	static const struct queue_index_reader reader = { .mail = on_mail, .key = on_key, .segment = on_segment };
	struct reading g = { .x = x, .segments = segments };
	enum fault fault;

	x->resubmit->changed = NULL; /* what comes from there is known there */
	fault = queue_index_read(x->db, &reader, &g, &x->watermark);
	x->resubmit->changed = on_key_changed;
	if (fault) { /* half of it is worse than nothing */
		for (struct spool_segment *s = segments; s; s = s->next) {
			s->last_sequence = 0;
			s->at = SEGMENT_DATA_AT;
		}
		while (x->mails->oldest) {
			struct mail *m = x->mails->oldest;

			mails_remove(x->mails, &m);
		}
		x->watermark = 0;
	}
	*missing_out = g.missing;
	return x->watermark;
}

/* --- what changed */

static void soon(struct indexing *x)
{
	size_t rows = x->changed.count + x->gone.count + x->changed_keys.count + x->gone_keys.count;

	if (!x->started || x->busy || x->closing)
		return;
	if (rows >= INDEXING_ROWS)
		timer_after(&x->timer, 0);
	else if (!timer_is_set(&x->timer))
		timer_after(&x->timer, INDEXING_MS);
}

void indexing_changed(struct indexing *x, struct mail *m)
{
	if (!m->dirty)
		list_add(&x->changed, &m->id, sizeof m->id);
	m->dirty = true;
	soon(x);
}

void indexing_gone(struct indexing *x, const struct mail *m)
{
	if (m->indexed)
		list_add(&x->gone, &m->id, sizeof m->id);
	soon(x);
}

static void on_key_changed(void *self, struct resubmit_entry *e, bool goes)
{
	struct indexing *x = self;

	if (goes && e->indexed)
		list_add(&x->gone_keys, e->key, MAIL_KEY_BYTES);
	if (!goes && !e->dirty)
		list_add(&x->changed_keys, e->key, MAIL_KEY_BYTES);
	e->dirty = true;
	soon(x);
}

/* --- a batch */

static void batch_free(struct batch *b)
{
	for (size_t i = 0; i < b->mail_count; i++)
		free((char *)b->mails[i].progress.at);
	for (size_t i = 0; i < b->key_count; i++)
		free((char *)b->keys[i].key.at);
	free(b->mails);
	free(b->keys);
	free(b->segments);
	free(b->gone);
	free(b->gone_keys);
	*b = (struct batch){ .indexing = b->indexing };
}

/* Text and key of a row go with it, behind one another in one block. */
static struct span copy(const void *key, struct span rest)
{
	char *at = grow(NULL, MAIL_KEY_BYTES + rest.size);

	memcpy(at, key, MAIL_KEY_BYTES);
	if (rest.size)
		memcpy(at + MAIL_KEY_BYTES, rest.at, rest.size);
	return (struct span){ at, MAIL_KEY_BYTES + rest.size };
}

static void take_mail(struct batch *b, struct mail *m)
{
	static const struct mail_key none;
	const struct mail_key *key = m->key ? m->key : &none;
	struct queue_index_mail *row = &b->mails[b->mail_count++];
	struct buf progress, sealed;

	buf_init(&progress, RECORD_BYTES_MAX);
	buf_init(&sealed, RECORD_BYTES_MAX);
	ASSERT(mail_is_untouched(m) ||
	       (mail_put_progress(&progress, m) &&
		seal_put(&sealed, secret_borrow(m->place.segment->file.key), bound_to(&m->id), buf_span(&progress))));
	*row = (struct queue_index_mail){
		.id = m->id, .segment = m->place.segment->file.number, .at = m->place.at, .bytes = m->place.size, .sequence = m->place.sequence,
		.mailbox = m->mailbox, .client = m->client, .notice_mailbox = m->notice_mailbox, .report_of = m->report_of, .rung = m->rung,
		.accepted_at_ms = m->accepted_at_ms, .key_until_ms = key->until_ms, .size_bytes = m->size_bytes, .recipients = m->recipient_count,
		.has_file = m->has_file,
	};
	row->progress = copy(key->bytes, buf_span(&sealed));
	row->key = (struct span){ row->progress.at, m->key ? MAIL_KEY_BYTES : 0 };
	m->indexed = true;
	m->stale = false;
	m->dirty = false;
	buf_free(&progress);
	buf_free(&sealed);
}

static void take_mails(struct indexing *x, struct batch *b)
{
	b->mails = grow(NULL, x->changed.count * sizeof *b->mails);
	for (size_t i = 0; i < x->changed.count; i++) {
		uint64_t id;
		struct mail *m;

		memcpy(&id, x->changed.at + i * sizeof id, sizeof id);
		m = mails_find(x->mails, id);
		if (m && m->accepted && m->open_count)
			take_mail(b, m);
		else if (m)
			m->dirty = false;
	}
	list_clear(&x->changed);
	b->gone = (uint64_t *)(void *)x->gone.at;
	b->gone_count = x->gone.count;
	x->gone = (struct list){ 0 };
}

static void take_keys(struct indexing *x, struct batch *b)
{
	b->keys = grow(NULL, x->changed_keys.count * sizeof *b->keys);
	for (size_t i = 0; i < x->changed_keys.count; i++) {
		struct resubmit_entry *e = resubmit_find(x->resubmit, (unsigned char *)x->changed_keys.at + i * MAIL_KEY_BYTES, INT64_MIN);
		struct queue_index_key *row = &b->keys[b->key_count];
		struct span bytes;

		if (!e || !e->dirty)
			continue;
		bytes = copy(e->key, span_of(e->says));
		*row = (struct queue_index_key){ .key = { bytes.at, MAIL_KEY_BYTES }, .says = span_slice(bytes, MAIL_KEY_BYTES, bytes.size),
						 .id = e->id, .until_ms = e->until_ms };
		e->dirty = false;
		e->indexed = true;
		b->key_count++;
	}
	list_clear(&x->changed_keys);
	b->gone_keys = (void *)x->gone_keys.at;
	b->gone_key_count = x->gone_keys.count;
	x->gone_keys = (struct list){ 0 };
}

static void take_segments(struct indexing *x, struct batch *b)
{
	for (struct spool_segment *g = spool_segments(x->spool); g; g = g->next)
		b->segment_count += g->file.number && g->last_sequence;
	b->segments = grow(NULL, b->segment_count * sizeof *b->segments);
	b->segment_count = 0;
	for (struct spool_segment *g = spool_segments(x->spool); g; g = g->next)
		if (g->file.number && g->last_sequence)
			b->segments[b->segment_count++] = (struct queue_index_segment){ g->file.number, g->last_sequence, g->at };
}

/* Removals first: a key that went may have come again. */
static enum fault put_all(struct sqlite *db, const struct batch *b)
{
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < b->gone_count && !fault; i++)
		fault = queue_index_remove_mail(db, b->gone[i]);
	for (size_t i = 0; i < b->gone_key_count && !fault; i++)
		fault = queue_index_remove_key(db, (struct span){ b->gone_keys[i], MAIL_KEY_BYTES });
	for (size_t i = 0; i < b->mail_count && !fault; i++) {
		struct queue_index_mail row = b->mails[i];

		row.progress = span_slice(row.progress, MAIL_KEY_BYTES, row.progress.size);
		fault = queue_index_put_mail(db, &row);
	}
	for (size_t i = 0; i < b->key_count && !fault; i++)
		fault = queue_index_put_key(db, &b->keys[i]);
	if (!fault)
		fault = queue_index_put_segments(db, b->segments, b->segment_count);
	return fault ? fault : queue_index_put_watermark(db, b->watermark);
}

static void batch_work(void *job)
{
	struct batch *b = job;
	struct sqlite *db = b->indexing->db;

	b->fault = sqlite_begin(db);
	if (!b->fault)
		b->fault = sqlite_end(db, put_all(db, b));
}

static void batch_done(void *job)
{
	struct batch *b = job;
	struct indexing *x = b->indexing;

	x->busy = false;
	if (x->closing)
		return;
	if (b->fault) {
		TRAIL(&x->trail, EVENT_INDEX_FAILED, TRAIL_TEXT("fault", span_of(fault_row(b->fault)->name)));
		x->busy = true; /* the same batch again, before any other */
		timer_after(&x->timer, INDEXING_RETRY_MS);
		return;
	}
	x->watermark = b->watermark;
	batch_free(b);
	x->passed(x->self, x->watermark);
	if (indexing_is_behind(x))
		soon(x);
}

static void write_batch(void *self)
{
	struct indexing *x = self;
	struct batch *b = &x->batch;

	if (!x->busy) { /* else a batch that failed is tried again */
		take_mails(x, b);
		take_keys(x, b);
		take_segments(x, b);
		b->watermark = spool_committed(x->spool);
	}
	x->busy = pool_run(x->pool, batch_work, batch_done, b);
}

void indexing_start(struct indexing *x, void (*passed)(void *self, uint64_t sequence), void *self)
{
	x->passed = passed;
	x->self = self;
	x->started = true;
	timer_after(&x->timer, 0); /* what recovery read need not be read again */
}

void indexing_hurry(struct indexing *x)
{
	if (x->started && !x->busy)
		timer_after(&x->timer, 0);
}

bool indexing_is_behind(const struct indexing *x)
{
	return x->busy || x->changed.count || x->gone.count || x->changed_keys.count || x->gone_keys.count ||
	       x->watermark < spool_committed(x->spool);
}
