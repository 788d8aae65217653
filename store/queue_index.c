#include "store/queue_index.h"

static const char *const migrations[] = {
#include "store/schema/queue_001.def"
};

enum { PUT_MAIL, REMOVE_MAIL, PUT_KEY, REMOVE_KEY, PUT_SEGMENT, REMOVE_SEGMENTS, PUT_WATERMARK, MAILS, KEYS, SEGMENTS, WATERMARK, STATEMENTS };

static const char *const statements[STATEMENTS] = {
	[PUT_MAIL] = "INSERT OR REPLACE INTO mail (id, segment, at, bytes, sequence, mailbox, client, notice_mailbox, report_of, rung, accepted_at,"
		     " size, has_file, recipients, key, key_until, progress) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[REMOVE_MAIL] = "DELETE FROM mail WHERE id = ?",
	[PUT_KEY] = "INSERT OR REPLACE INTO resubmission (key, id, until, says) VALUES (?, ?, ?, ?)",
	[REMOVE_KEY] = "DELETE FROM resubmission WHERE key = ?",
	[PUT_SEGMENT] = "INSERT INTO segment (number, last_sequence, at) VALUES (?, ?, ?)",
	[REMOVE_SEGMENTS] = "DELETE FROM segment",
	[PUT_WATERMARK] = "INSERT OR REPLACE INTO watermark (one, sequence) VALUES (1, ?)",
	[MAILS] = "SELECT id, segment, at, bytes, sequence, mailbox, client, notice_mailbox, report_of, rung, accepted_at, size, has_file, recipients,"
		  " key, key_until, progress FROM mail ORDER BY id",
	[KEYS] = "SELECT key, id, until, says FROM resubmission ORDER BY id",
	[SEGMENTS] = "SELECT number, last_sequence, at FROM segment ORDER BY number",
	[WATERMARK] = "SELECT sequence FROM watermark",
};

/* "Pstq" */
static const struct sqlite_schema schema = { 0x50737471, migrations, sizeof migrations / sizeof *migrations, statements, STATEMENTS };

enum fault queue_index_open(struct sqlite **out, const char *path, const char *vfs, char *why_out)
{
	return sqlite_open(out, path, vfs, &schema, why_out);
}

enum fault queue_index_put_mail(struct sqlite *db, const struct queue_index_mail *m)
{
	return SQLITE_RUN(db, PUT_MAIL, VALUE_NUMBER(m->id), VALUE_NUMBER(m->segment), VALUE_NUMBER(m->at), VALUE_NUMBER(m->bytes),
			  VALUE_NUMBER(m->sequence), VALUE_NUMBER(m->mailbox), VALUE_NUMBER(m->client), VALUE_NUMBER(m->notice_mailbox),
			  VALUE_NUMBER(m->report_of), VALUE_NUMBER(m->rung), VALUE_NUMBER(m->accepted_at_ms), VALUE_NUMBER(m->size_bytes),
			  VALUE_NUMBER(m->has_file), VALUE_NUMBER(m->recipients), VALUE_BYTES(m->key), VALUE_NUMBER(m->key_until_ms),
			  VALUE_BYTES(m->progress));
}

enum fault queue_index_remove_mail(struct sqlite *db, uint64_t id)
{
	return SQLITE_RUN(db, REMOVE_MAIL, VALUE_NUMBER(id));
}

enum fault queue_index_put_key(struct sqlite *db, const struct queue_index_key *k)
{
	return SQLITE_RUN(db, PUT_KEY, VALUE_BYTES(k->key), VALUE_NUMBER(k->id), VALUE_NUMBER(k->until_ms), VALUE_TEXT(k->says));
}

enum fault queue_index_remove_key(struct sqlite *db, struct span key)
{
	return SQLITE_RUN(db, REMOVE_KEY, VALUE_BYTES(key));
}

enum fault queue_index_put_segments(struct sqlite *db, const struct queue_index_segment *segments, size_t count)
{
	enum fault fault = SQLITE_RUN(db, REMOVE_SEGMENTS);

	for (size_t i = 0; i < count && !fault; i++)
		fault = SQLITE_RUN(db, PUT_SEGMENT, VALUE_NUMBER(segments[i].number), VALUE_NUMBER(segments[i].last_sequence),
				   VALUE_NUMBER(segments[i].at));
	return fault;
}

enum fault queue_index_put_watermark(struct sqlite *db, uint64_t sequence)
{
	return SQLITE_RUN(db, PUT_WATERMARK, VALUE_NUMBER(sequence));
}

struct reading {
	const struct queue_index_reader *reader;
	void *self;
	uint64_t watermark;
};

static uint64_t number_at(const struct sqlite_row *r, int column)
{
	return (uint64_t)sqlite_number(r, column);
}

static bool on_mail(void *self, const struct sqlite_row *r)
{
	const struct reading *g = self;

	g->reader->mail(g->self, &(struct queue_index_mail){
		.id = number_at(r, 0), .segment = number_at(r, 1), .at = number_at(r, 2), .bytes = number_at(r, 3), .sequence = number_at(r, 4),
		.mailbox = number_at(r, 5), .client = number_at(r, 6), .notice_mailbox = number_at(r, 7), .report_of = number_at(r, 8),
		.rung = number_at(r, 9), .accepted_at_ms = sqlite_number(r, 10), .size_bytes = number_at(r, 11), .has_file = sqlite_number(r, 12) != 0,
		.recipients = number_at(r, 13), .key = sqlite_text(r, 14), .key_until_ms = sqlite_number(r, 15), .progress = sqlite_text(r, 16),
	});
	return true;
}

static bool on_key(void *self, const struct sqlite_row *r)
{
	const struct reading *g = self;

	g->reader->key(g->self, &(struct queue_index_key){ .key = sqlite_text(r, 0), .id = number_at(r, 1), .until_ms = sqlite_number(r, 2),
							   .says = sqlite_text(r, 3) });
	return true;
}

static bool on_segment(void *self, const struct sqlite_row *r)
{
	const struct reading *g = self;

	g->reader->segment(g->self, &(struct queue_index_segment){ number_at(r, 0), number_at(r, 1), number_at(r, 2) });
	return true;
}

static bool on_watermark(void *self, const struct sqlite_row *r)
{
	struct reading *g = self;

	g->watermark = number_at(r, 0);
	return false;
}

enum fault queue_index_read(struct sqlite *db, const struct queue_index_reader *reader, void *self, uint64_t *watermark_out)
{
	struct reading g = { .reader = reader, .self = self };
	enum fault fault = SQLITE_EACH(db, WATERMARK, on_watermark, &g);

	if (!fault && g.watermark)
		fault = SQLITE_EACH(db, SEGMENTS, on_segment, &g);
	if (!fault && g.watermark)
		fault = SQLITE_EACH(db, KEYS, on_key, &g);
	if (!fault && g.watermark)
		fault = SQLITE_EACH(db, MAILS, on_mail, &g);
	*watermark_out = g.watermark;
	return fault;
}
