#include "queue/segment.h"

#include "base/panic.h"
#include "queue/crc.h"

#include <stdio.h>
#include <string.h>

enum { WINDOW_BYTES = 4 * 1024 * 1024, HEAD_CRC_AT = 8, HEAD_KEY_AT = 40 };

static const char magic[8] = { 'P', 'S', 'T', 'N', 'S', 'E', 'G', '1' };

uint64_t segment_block_up(uint64_t at)
{
	return (at + SEGMENT_BLOCK_BYTES - 1) / SEGMENT_BLOCK_BYTES * SEGMENT_BLOCK_BYTES;
}

enum fault segment_make(struct segment *s, struct disk *disk, const char *name, uint64_t size)
{
	enum fault fault;

	*s = (struct segment){ .size = segment_block_up(size) };
	snprintf(s->name, sizeof s->name, "%s", name);
	fault = disk_file_open(&s->file, disk, name, DISK_MAKE);
	if (fault)
		return fault;
	disk_file_bypass(disk, s->file, name);
	fault = disk_zero(s->file, s->size);
	disk_file_end_bypass(s->file);
	if (!fault)
		fault = disk_sync_names(disk);
	if (fault) {
		segment_close(s);
		if (disk_remove(disk, name))
			return fault; /* it is in nobody's way: its head is zero */
	}
	return fault;
}

/* A whole head, of whatever format: the letters of the magic, its digit left out, and the checksum stay where they are. */
static bool head_is_whole(const char *block)
{
	struct span summed = { block + HEAD_CRC_AT + 4, SEGMENT_BLOCK_BYTES - HEAD_CRC_AT - 4 };

	return !memcmp(block, magic, sizeof magic - 1) && record_number_read(block + HEAD_CRC_AT, 4) == crc_of(0, summed);
}

static bool head_is_newer(const char *block)
{
	return head_is_whole(block) && (block[sizeof magic - 1] > magic[sizeof magic - 1] || record_number_read(block + 12, 4) > SEGMENT_FORMAT);
}

/* False when this is no head of ours. */
static bool head_read(struct segment *s, const char *block)
{
	size_t wrapped_size = (size_t)record_number_read(block + 36, 4);
	uint32_t turn = (uint32_t)record_number_read(block + 32, 4);

	if (!head_is_whole(block) || head_is_newer(block) || wrapped_size > SEGMENT_WRAPPED_BYTES ||
	    record_number_read(block + 12, 4) != SEGMENT_FORMAT)
		return false;
	if (s->number && turn <= s->turn)
		return true;
	s->number = record_number_read(block + 16, 8);
	s->first_sequence = record_number_read(block + 24, 8);
	s->turn = turn;
	s->wrapped_size = wrapped_size;
	memcpy(s->wrapped, block + HEAD_KEY_AT, wrapped_size);
	return true;
}

static bool is_zero(const char *block)
{
	return !block[0] && !memcmp(block, block + 1, SEGMENT_BLOCK_BYTES - 1);
}

enum fault segment_open(struct segment *s, struct disk *disk, const char *name)
{
	char heads[SEGMENT_DATA_AT];
	bool good = false, zero = true, newer = false;
	enum fault fault;
	size_t size;

	*s = (struct segment){ 0 };
	snprintf(s->name, sizeof s->name, "%s", name);
	fault = disk_file_open(&s->file, disk, name, DISK_WRITE);
	if (fault)
		return fault;
	fault = disk_size(s->file, &s->size);
	if (!fault)
		fault = disk_read(s->file, 0, heads, sizeof heads, &size);
	if (fault)
		return fault;
	if (size < sizeof heads)
		return FAULT_SPOOL_DAMAGED;
	for (size_t at = 0; at < sizeof heads; at += SEGMENT_BLOCK_BYTES) {
		good |= head_read(s, heads + at);
		zero &= is_zero(heads + at);
		newer |= head_is_newer(heads + at);
	}
	if (newer)
		return FAULT_SPOOL_NEWER;
	return good || zero ? FAULT_OK : FAULT_SPOOL_DAMAGED;
}

void segment_close(struct segment *s)
{
	if (s->file)
		disk_file_close(&s->file);
	secret_free(&s->key);
}

/* Heads go to their two places in turn. */
static enum fault head_write(struct segment *s, uint32_t turn, struct span wrapped)
{
	char block[SEGMENT_BLOCK_BYTES] = { 0 };
	enum fault fault;

	ASSERT(wrapped.size <= SEGMENT_WRAPPED_BYTES);
	memcpy(block, magic, sizeof magic);
	record_number_write(block + 12, SEGMENT_FORMAT, 4);
	record_number_write(block + 16, s->number, 8);
	record_number_write(block + 24, s->first_sequence, 8);
	record_number_write(block + 32, turn, 4);
	record_number_write(block + 36, wrapped.size, 4);
	memcpy(block + HEAD_KEY_AT, wrapped.at, wrapped.size);
	record_number_write(block + HEAD_CRC_AT,
		     crc_of(0, (struct span){ block + HEAD_CRC_AT + 4, sizeof block - HEAD_CRC_AT - 4 }), 4);
	fault = disk_write(s->file, turn % 2 ? 0 : SEGMENT_BLOCK_BYTES, (struct span){ block, sizeof block });
	if (!fault)
		fault = disk_sync(s->file);
	if (fault)
		return fault;
	s->turn = turn;
	s->wrapped_size = wrapped.size;
	memmove(s->wrapped, wrapped.at, wrapped.size);
	return FAULT_OK;
}

/* Both say the same in the end: each stands where the other rots. The second is touched only when the first is on the disk. */
static enum fault heads_write(struct segment *s, struct span wrapped)
{
	enum fault fault = head_write(s, s->turn + 1, wrapped);

	return fault ? fault : head_write(s, s->turn + 1, (struct span){ s->wrapped, s->wrapped_size });
}

enum fault segment_begin(struct segment *s, uint64_t number, uint64_t first_sequence, struct span key, struct span wrapped)
{
	s->number = number;
	s->first_sequence = first_sequence;
	secret_free(&s->key);
	s->key = secret_new(key);
	s->turn = 0;
	return heads_write(s, wrapped);
}

enum fault segment_rewrap(struct segment *s, struct span wrapped)
{
	return heads_write(s, wrapped);
}

enum fault segment_wipe(struct segment *s)
{
	static const char zeros[SEGMENT_DATA_AT];
	enum fault fault = disk_write(s->file, 0, (struct span){ zeros, sizeof zeros });

	if (!fault)
		fault = disk_sync(s->file);
	if (fault)
		return fault;
	s->number = s->first_sequence = 0;
	s->turn = 0;
	s->wrapped_size = 0;
	secret_free(&s->key);
	return FAULT_OK;
}

/* A view of the file that moves forward. */
struct window {
	struct segment *segment;
	struct buf bytes;
	uint64_t at;
};

/* Whether `size` bytes from `at` on are, or can be brought, in view. */
static enum fault window_show(struct window *w, uint64_t at, size_t size, struct span *out)
{
	size_t read;
	enum fault fault;

	if (at >= w->at && at + size <= w->at + w->bytes.size) {
		*out = span_slice(buf_span(&w->bytes), (size_t)(at - w->at), w->bytes.size);
		return FAULT_OK;
	}
	buf_clear(&w->bytes);
	w->at = at;
	fault = disk_read(w->segment->file, at, buf_room(&w->bytes, WINDOW_BYTES), WINDOW_BYTES, &read);
	if (fault)
		return fault;
	buf_grew(&w->bytes, read);
	*out = buf_span(&w->bytes);
	return FAULT_OK;
}

static void give(const struct segment *s, const struct record_frame *frame, uint64_t at,
		 void (*each)(void *self, const struct segment_found *), void *self)
{
	struct segment_found found = { .frame = frame, .at = at };
	struct buf payload;

	buf_init(&payload, RECORD_BYTES_MAX);
	found.opened = record_frame_open(&payload, secret_borrow(s->key), frame);
	found.payload = buf_span(&payload);
	each(self, &found);
	buf_wipe(&payload);
}

enum fault segment_scan(struct segment *s, uint64_t at, void (*each)(void *self, const struct segment_found *), void *self,
			uint64_t *end_out)
{
	struct window w = { .segment = s };
	enum fault fault = FAULT_OK;

	buf_init(&w.bytes, WINDOW_BYTES);
	*end_out = at = at < SEGMENT_DATA_AT ? SEGMENT_DATA_AT : at;
	while (!fault && at + RECORD_HEAD_BYTES <= s->size) {
		struct record_frame frame;
		enum record_found found;
		struct span view;

		fault = window_show(&w, at, RECORD_HEAD_BYTES, &view);
		if (fault || view.size < RECORD_HEAD_BYTES)
			break;
		found = record_frame_read(&frame, view);
		if (found == RECORD_CUT && frame.segment == s->number && at + frame.size <= s->size) {
			fault = window_show(&w, at, frame.size, &view);
			found = fault ? RECORD_NOTHING : record_frame_read(&frame, view);
		}
		if (found != RECORD_WHOLE || frame.segment != s->number) {
			at += RECORD_ALIGN_BYTES;
			continue;
		}
		give(s, &frame, at, each, self);
		at += frame.size;
		*end_out = segment_block_up(at);
	}
	buf_wipe(&w.bytes);
	return fault;
}

enum fault segment_read(const struct segment *s, uint64_t at, size_t size, unsigned *type_out, struct buf *payload_out)
{
	struct record_frame frame;
	struct buf bytes;
	enum fault fault;
	size_t read;

	buf_init(&bytes, size);
	fault = disk_read(s->file, at, buf_room(&bytes, size), size, &read);
	if (!fault) {
		buf_grew(&bytes, read);
		if (record_frame_read(&frame, buf_span(&bytes)) != RECORD_WHOLE || frame.segment != s->number ||
		    !record_frame_open(payload_out, secret_borrow(s->key), &frame))
			fault = FAULT_SPOOL_DAMAGED;
		*type_out = frame.type;
	}
	buf_wipe(&bytes);
	return fault;
}
