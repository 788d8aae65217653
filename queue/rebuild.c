#include "queue/rebuild.h"

#include "base/json.h"
#include "base/panic.h"
#include "queue/mail.h"
#include "queue/segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_BYTES = 4 * 1024 * 1024 };

/* A segment keeps its key here until its head is written: the key that wraps it comes last. */
struct built {
	struct segment file;
	struct secret *key;
	uint64_t at;
};

struct rebuild {
	struct disk *disk, *bodies;
	struct rebuild_settings settings;
	char reason[256];
	struct built *segments;
	size_t count, room;
	uint64_t sequence, group_from;
	struct buf group, payload; /* payload: of the message under way */
	unsigned type;
	uint64_t id;
	bool has_message, wants_file, is_ended;
	struct disk_file *file;
	uint64_t file_at;
	struct rebuild_counts counts;
};

struct rebuild *rebuild_new(struct disk *disk, const struct rebuild_settings *settings)
{
	struct rebuild *r = calloc(1, sizeof *r);

	if (!r)
		panic("out of memory");
	r->disk = disk;
	r->settings = *settings;
	snprintf(r->reason, sizeof r->reason, "%.*s", SPAN_ARGS(settings->reason));
	r->settings.reason = span_of(r->reason);
	r->sequence = 1;
	buf_init(&r->group, GROUP_BYTES + 2 * RECORD_BYTES_MAX);
	buf_init(&r->payload, RECORD_BYTES_MAX);
	return r;
}

void rebuild_free(struct rebuild **out)
{
	struct rebuild *r = *out;

	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++) {
		segment_close(&r->segments[i].file);
		secret_free(&r->segments[i].key);
	}
	if (r->file)
		disk_file_close(&r->file);
	if (r->bodies)
		disk_close(&r->bodies);
	free(r->segments);
	buf_wipe(&r->group);
	buf_wipe(&r->payload);
	free(r);
	*out = NULL;
}

struct rebuild_counts rebuild_counts(const struct rebuild *r)
{
	return r->counts;
}

/* --- the log */

static enum fault add_segment(struct rebuild *r)
{
	char name[SEGMENT_NAME_BYTES];
	struct built *b;
	enum fault fault;

	if (r->count == r->room) {
		r->room = r->room ? r->room * 2 : 16;
		r->segments = realloc(r->segments, r->room * sizeof *r->segments);
		if (!r->segments)
			panic("out of memory");
	}
	b = &r->segments[r->count];
	*b = (struct built){ .at = SEGMENT_DATA_AT };
	snprintf(name, sizeof name, "segment-%06zu", r->count + 1);
	fault = segment_make(&b->file, r->disk, name, r->settings.segment_bytes);
	if (fault)
		return fault;
	b->file.number = ++r->count;
	b->file.first_sequence = r->sequence;
	b->key = secret_random(SEAL_KEY_BYTES);
	return FAULT_OK;
}

static enum fault write_group(struct rebuild *r)
{
	struct built *b = &r->segments[r->count - 1];
	size_t pad = (size_t)segment_block_up(r->group.size) - r->group.size;
	enum fault fault;

	memset(buf_room(&r->group, pad), 0, pad);
	buf_grew(&r->group, pad);
	fault = disk_write(b->file.file, b->at, buf_span(&r->group));
	b->at += r->group.size;
	buf_clear(&r->group);
	return fault ? fault : disk_sync(b->file.file);
}

static bool fits(const struct rebuild *r, size_t bytes)
{
	const struct built *b = &r->segments[r->count - 1];

	return b->at + segment_block_up(r->group.size + bytes) <= b->file.size;
}

static enum fault append(struct rebuild *r, unsigned type, struct span payload)
{
	size_t size = record_frame_size(payload.size);
	struct record_frame frame = { .type = type };
	enum fault fault = FAULT_OK;

	if (r->group.size && (r->group.size + size > GROUP_BYTES || !fits(r, size)))
		fault = write_group(r);
	if (!fault && (!r->count || !fits(r, size)))
		fault = add_segment(r);
	if (fault)
		return fault;
	if (!r->group.size)
		r->group_from = r->sequence;
	frame.segment = r->count;
	frame.sequence = r->sequence++;
	frame.group = r->group_from;
	return record_frame_put(&r->group, secret_borrow(r->segments[r->count - 1].key), &frame, payload) ? FAULT_OK : FAULT_BUG;
}

/* --- a message */

/* What only a person could have released stays as it was held. */
static void hold(const struct rebuild *r, struct mail *m)
{
	if (mail_is_kept(m) && m->hold != FAULT_RESTORED)
		return;
	mail_apply_hold(m, &(struct record_hold){ .id = m->id, .at = r->settings.at_ms, .fault = span_of(fault_row(FAULT_RESTORED)->name),
						  .reason = r->settings.reason });
	m->unknown = true; /* another copy may be there */
}

static enum fault begin_message(struct rebuild *r, unsigned type, struct span payload)
{
	struct record_envelope e;
	struct record_closing c;
	struct buf progress;
	struct span body;
	struct mail *m;
	size_t begun;
	bool good;

	if (record_get_message(&e, &body, &c, payload) || !(m = mail_new(&e, &c)))
		return FAULT_BACKUP_DAMAGED;
	hold(r, m);
	buf_init(&progress, RECORD_BYTES_MAX);
	buf_clear(&r->payload);
	good = mail_put_progress(&progress, m) && record_message_begin(&r->payload, &e);
	begun = r->payload.size;
	c.progress = buf_span(&progress);
	good = good && buf_put(&r->payload, body) && record_message_end(&r->payload, begun, &c);
	r->type = type;
	r->id = m->id;
	r->wants_file = m->has_file;
	r->has_message = true;
	buf_free(&progress);
	mail_free(&m);
	return good ? FAULT_OK : FAULT_BACKUP_DAMAGED;
}

static enum fault end_message(struct rebuild *r)
{
	enum fault fault = FAULT_OK;

	if (!r->has_message)
		return FAULT_OK;
	r->has_message = false;
	if (r->wants_file != (r->file != NULL))
		return FAULT_BACKUP_DAMAGED;
	if (r->file) {
		fault = disk_sync(r->file);
		disk_file_close(&r->file);
	}
	if (fault)
		return fault;
	r->counts.messages++;
	return append(r, r->type, buf_span(&r->payload));
}

static enum fault put_body(struct rebuild *r, struct span bytes)
{
	char name[MAIL_ID_TEXT_BYTES + 1];
	enum fault fault = FAULT_OK;

	if (!r->has_message || !r->wants_file)
		return FAULT_BACKUP_DAMAGED;
	mail_id_text(name, r->id);
	if (!r->bodies)
		fault = disk_sub(&r->bodies, r->disk, "bodies", true);
	if (!fault && !r->file) {
		r->file_at = 0;
		fault = disk_file_open(&r->file, r->bodies, name, DISK_MAKE);
	}
	if (!fault)
		fault = disk_write(r->file, r->file_at, bytes);
	r->file_at += bytes.size;
	return fault;
}

/* The message is not restored without its body; how many there are is told. */
static enum fault lose(struct rebuild *r)
{
	char name[MAIL_ID_TEXT_BYTES + 1];

	if (!r->has_message || !r->wants_file)
		return FAULT_BACKUP_DAMAGED;
	r->has_message = false;
	r->counts.lost++;
	if (!r->file)
		return FAULT_OK;
	disk_file_close(&r->file);
	mail_id_text(name, r->id);
	return disk_remove(r->bodies, name);
}

static enum fault end_all(struct rebuild *r, struct span text)
{
	json_t *about = json_read(text, 4096);
	int64_t messages = -1;
	enum fault fault = end_message(r);

	if (!fault && r->group.size)
		fault = write_group(r);
	if (!fault && (!json_is_object(about) || !json_whole(about, "messages", &messages) || (uint64_t)messages != r->counts.messages))
		fault = FAULT_BACKUP_DAMAGED;
	json_decref(about);
	r->is_ended = !fault;
	return fault;
}

enum fault rebuild_part(struct rebuild *r, enum archive_kind kind, struct span text)
{
	enum fault fault = FAULT_OK;

	if (r->is_ended)
		return FAULT_BACKUP_DAMAGED;
	if (kind == ARCHIVE_BODY)
		return put_body(r, text);
	if (kind == ARCHIVE_LOST)
		return lose(r);
	if (kind == ARCHIVE_SPOOL_END)
		return end_all(r, text);
	fault = end_message(r);
	return fault ? fault : begin_message(r, kind == ARCHIVE_REPORT ? RECORD_REPORT : RECORD_MESSAGE, text);
}

enum fault rebuild_finish(struct rebuild *r, bool (*wrap)(void *self, struct buf *out, struct span key), void *self)
{
	enum fault fault = r->is_ended ? FAULT_OK : FAULT_BACKUP_DAMAGED;

	for (size_t i = 0; i < r->count && !fault; i++) {
		struct built *b = &r->segments[i];
		char memory[SEGMENT_WRAPPED_BYTES];
		struct buf wrapped;

		buf_over(&wrapped, memory, sizeof memory);
		fault = wrap(self, &wrapped, secret_borrow(b->key))
				? segment_begin(&b->file, b->file.number, b->file.first_sequence, secret_borrow(b->key), buf_span(&wrapped))
				: FAULT_BUG;
	}
	if (!fault && r->bodies)
		fault = disk_sync_names(r->bodies);
	return fault ? fault : disk_sync_names(r->disk);
}
