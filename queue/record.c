#include "queue/record.h"

#include "base/message.h"
#include "base/panic.h"
#include "queue/crc.h"

#include <string.h>

static const char magic[4] = { 'P', 'R', 'e', 'c' };

void record_number_write(char *at, uint64_t number, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (char)(number >> (8 * i) & 255);
}

uint64_t record_number_read(const char *at, size_t size)
{
	uint64_t number = 0;

	for (size_t i = 0; i < size; i++)
		number |= (uint64_t)(unsigned char)at[i] << (8 * i);
	return number;
}

static bool put_number(struct buf *b, uint64_t number, size_t size)
{
	char *at = buf_room(b, size);

	if (!at)
		return false;
	record_number_write(at, number, size);
	buf_grew(b, size);
	return true;
}

/* A row that ended early was written by an older release: what is missing reads as 0. */
static bool get_number(struct span *rest, uint64_t *number, size_t size)
{
	*number = 0;
	if (!rest->size)
		return true;
	if (rest->size < size)
		return false;
	*number = record_number_read(rest->at, size);
	*rest = span_slice(*rest, size, rest->size);
	return true;
}

#define put_u8(b, v) put_number(b, v, 1)
#define put_u32(b, v) put_number(b, v, 4)
#define put_u64(b, v) put_number(b, v, 8)
#define put_i64(b, v) put_number(b, (uint64_t)(v), 8)

static bool put_text(struct buf *b, struct span s)
{
	return put_number(b, s.size, 4) && buf_put(b, s);
}
#define put_list put_text

#define GET(type, size)                                                \
	static bool get_##type(struct span *rest, record_##type *v)  \
	{                                                            \
		uint64_t n;                                          \
                                                                     \
		if (!get_number(rest, &n, size))                     \
			return false;                                \
		*v = (record_##type)n;                               \
		return true;                                         \
	}
GET(u8, 1)
GET(u32, 4)
GET(u64, 8)
GET(i64, 8)

static bool get_text(struct span *rest, struct span *v)
{
	uint64_t size;

	if (!get_number(rest, &size, 4) || size > rest->size)
		return false;
	*v = span_slice(*rest, 0, (size_t)size);
	*rest = span_slice(*rest, (size_t)size, rest->size);
	return true;
}
#define get_list get_text

#define FIELD(type, name) if (!put_##type(out, r->name)) return false;
#define RECORD(name, number, fields)                                         \
	bool record_put_##name(struct buf *out, const struct record_##name *r) \
	{                                                                    \
		fields return true;                                          \
	}
#include "tables/records.def"
#undef RECORD
#undef FIELD

#define FIELD(type, name) if (!get_##type(&rest, &out->name)) return FAULT_MALFORMED;
#define RECORD(name, number, fields)                                                 \
	enum fault record_get_##name(struct record_##name *out, struct span rest)    \
	{                                                                            \
		fields return rest.size ? FAULT_MALFORMED : FAULT_OK;                \
	}
#include "tables/records.def"
#undef RECORD
#undef FIELD

bool record_message_begin(struct buf *out, const struct record_envelope *envelope)
{
	size_t at = out->size;

	if (!put_number(out, 0, 4) || !record_put_envelope(out, envelope))
		return false;
	record_number_write(out->at + at, out->size - at - 4, 4);
	return put_number(out, 0, 4);
}

bool record_message_end(struct buf *out, size_t size_after_begin, const struct record_closing *closing)
{
	record_number_write(out->at + size_after_begin - 4, out->size - size_after_begin, 4);
	return record_put_closing(out, closing);
}

enum fault record_get_message(struct record_envelope *envelope, struct span *body_out, struct record_closing *closing, struct span payload)
{
	struct span bytes;

	if (!get_text(&payload, &bytes) || record_get_envelope(envelope, bytes) || !get_text(&payload, body_out))
		return FAULT_MALFORMED;
	return record_get_closing(closing, payload);
}

bool record_recipient_put(struct buf *list, const struct record_recipient *r)
{
	char notify = (char)r->notify;

	return message_list_put(list, r->address) && message_list_put(list, (struct span){ &notify, 1 }) &&
	       message_list_put(list, r->original);
}

bool record_recipient_next(struct span *rest, struct record_recipient *out)
{
	struct span notify;

	if (!message_list_next(rest, &out->address) || !message_list_next(rest, &notify) || notify.size != 1 ||
	    !message_list_next(rest, &out->original))
		return false;
	out->notify = (unsigned char)notify.at[0];
	return true;
}

size_t record_recipient_count(struct span list)
{
	struct record_recipient r;
	size_t count = 0;

	while (list.size) {
		if (!record_recipient_next(&list, &r))
			return 0;
		count++;
	}
	return count;
}

static size_t padded(size_t size)
{
	return (size + RECORD_ALIGN_BYTES - 1) / RECORD_ALIGN_BYTES * RECORD_ALIGN_BYTES;
}

size_t record_frame_size(size_t payload_bytes)
{
	return padded(payload_bytes + RECORD_OVER_BYTES);
}

bool record_frame_put(struct buf *out, struct span key, const struct record_frame *frame, struct span payload)
{
	size_t size = payload.size + RECORD_OVER_BYTES, at = out->size;
	char *head = buf_room(out, padded(size));

	ASSERT(payload.size <= RECORD_BYTES_MAX);
	if (!head)
		return false;
	memcpy(head, magic, sizeof magic);
	record_number_write(head + 4, size, 4);
	record_number_write(head + 12, frame->type, 4);
	record_number_write(head + 16, frame->segment, 8);
	record_number_write(head + 24, frame->sequence, 8);
	record_number_write(head + 32, frame->group, 8);
	buf_grew(out, RECORD_HEAD_BYTES);
	if (!seal_put(out, key, (struct span){ head + 12, RECORD_HEAD_BYTES - 12 }, payload))
		return false;
	head = out->at + at;
	record_number_write(head + 8, crc_of(0, (struct span){ head + 12, size - 12 }), 4);
	memset(head + size, 0, padded(size) - size);
	buf_grew(out, padded(size) - size);
	return true;
}

enum record_found record_frame_read(struct record_frame *out, struct span bytes)
{
	uint64_t size;

	*out = (struct record_frame){ .size = RECORD_HEAD_BYTES };
	/* Most of what is looked at is nothing: the whole magic first, which the compiler makes one comparison. */
	if (bytes.size >= sizeof magic ? memcmp(bytes.at, magic, sizeof magic) != 0 : memcmp(bytes.at, magic, bytes.size) != 0)
		return RECORD_NOTHING;
	if (bytes.size < RECORD_HEAD_BYTES)
		return RECORD_CUT;
	size = record_number_read(bytes.at + 4, 4);
	if (size < RECORD_OVER_BYTES || size > RECORD_BYTES_MAX + RECORD_OVER_BYTES)
		return RECORD_DAMAGED;
	*out = (struct record_frame){
		.type = (unsigned)record_number_read(bytes.at + 12, 4),
		.segment = record_number_read(bytes.at + 16, 8),
		.sequence = record_number_read(bytes.at + 24, 8),
		.group = record_number_read(bytes.at + 32, 8),
		.size = padded((size_t)size),
	};
	if (bytes.size < size)
		return RECORD_CUT;
	if (crc_of(0, span_slice(bytes, 12, (size_t)size - 12)) != record_number_read(bytes.at + 8, 4))
		return RECORD_DAMAGED;
	out->bound = span_slice(bytes, 12, RECORD_HEAD_BYTES - 12);
	out->sealed = span_slice(bytes, RECORD_HEAD_BYTES, (size_t)size - RECORD_HEAD_BYTES);
	return RECORD_WHOLE;
}

bool record_frame_open(struct buf *out, struct span key, const struct record_frame *frame)
{
	return seal_open(out, key, frame->bound, frame->sealed);
}
