#include "base/message.h"

#include "base/panic.h"

#include <string.h>

enum { NO_FD, FD };
#define KEEPER ROLE_KEEPER
#define GATE ROLE_GATE
#define VAULT ROLE_VAULT
#define POST ROLE_POST
#define DESK ROLE_DESK
#define ANY ROLE_ANY

static const struct message_row rows[] = {
	{ "none", "", 0, 0, false },
#define FIELD(type, name) #type " " #name ";"
#define MESSAGE(name, from, to, fd, fields) { #name, fields "", from, to, fd == FD },
#include "tables/messages.def"
#undef MESSAGE
#undef FIELD
};

const char *role_name(enum role r)
{
	switch (r) {
	case ROLE_KEEPER: return "keeper";
	case ROLE_GATE: return "gate";
	case ROLE_VAULT: return "vault";
	case ROLE_POST: return "post";
	case ROLE_DESK: return "desk";
	case ROLE_ANY: break;
	}
	return "any";
}

const struct message_row *message_row(enum message_type type)
{
	ASSERT((unsigned)type < MESSAGE_TYPE_COUNT);
	return &rows[type];
}

static bool put_number(struct buf *b, uint64_t number, size_t size)
{
	char bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(number >> (8 * i) & 255);
	return buf_put(b, (struct span){ bytes, size });
}

static bool put_u8(struct buf *b, const uint8_t *v)
{
	return put_number(b, *v, 1);
}

static bool put_u32(struct buf *b, const uint32_t *v)
{
	return put_number(b, *v, 4);
}

static bool put_u64(struct buf *b, const uint64_t *v)
{
	return put_number(b, *v, 8);
}

static bool put_i64(struct buf *b, const int64_t *v)
{
	return put_number(b, (uint64_t)*v, 8);
}

static bool put_text(struct buf *b, const struct span *v)
{
	return v->size <= MESSAGE_BYTES_MAX && put_number(b, v->size, 4) && buf_put(b, *v);
}

#define put_secret put_text
#define put_list put_text

static bool get_number(struct span *rest, uint64_t *number, size_t size)
{
	if (rest->size < size)
		return false;
	*number = 0;
	for (size_t i = 0; i < size; i++)
		*number |= (uint64_t)(unsigned char)rest->at[i] << (8 * i);
	*rest = span_slice(*rest, size, rest->size);
	return true;
}

static bool get_u8(struct span *rest, uint8_t *v)
{
	uint64_t n;

	if (!get_number(rest, &n, 1))
		return false;
	*v = (uint8_t)n;
	return true;
}

static bool get_u32(struct span *rest, uint32_t *v)
{
	uint64_t n;

	if (!get_number(rest, &n, 4))
		return false;
	*v = (uint32_t)n;
	return true;
}

static bool get_u64(struct span *rest, uint64_t *v)
{
	return get_number(rest, v, 8);
}

static bool get_i64(struct span *rest, int64_t *v)
{
	uint64_t n;

	if (!get_number(rest, &n, 8))
		return false;
	*v = (int64_t)n;
	return true;
}

static bool get_text(struct span *rest, struct span *v)
{
	uint64_t size;

	if (!get_number(rest, &size, 4) || size > rest->size)
		return false;
	*v = span_slice(*rest, 0, (size_t)size);
	*rest = span_slice(*rest, (size_t)size, rest->size);
	return true;
}

#define get_secret get_text
#define get_list get_text

/* One encoder and one decoder for each row. */
#define FIELD(type, name) if (!put_##type(b, &m->name)) return false;
#define MESSAGE(name, from, to, fd, fields)                                        \
	static bool encode_##name(struct buf *b, const struct message_##name *m) \
	{                                                                        \
		fields return true;                                              \
	}
#include "tables/messages.def"
#undef MESSAGE
#undef FIELD

#define FIELD(type, name) if (!get_##type(rest, &m->name)) return false;
#define MESSAGE(name, from, to, fd, fields)                                           \
	static bool decode_##name(struct span *rest, struct message_##name *m)      \
	{                                                                           \
		fields return true;                                                 \
	}
#include "tables/messages.def"
#undef MESSAGE
#undef FIELD

static bool encode_fields(struct buf *b, const struct message *m)
{
	switch (m->type) {
#define MESSAGE(name, from, to, fd, fields) case MESSAGE_##name: return encode_##name(b, &m->name);
#include "tables/messages.def"
#undef MESSAGE
	default: return false;
	}
}

static bool decode_fields(struct span *rest, struct message *m)
{
	switch (m->type) {
#define MESSAGE(name, from, to, fd, fields) case MESSAGE_##name: return decode_##name(rest, &m->name);
#include "tables/messages.def"
#undef MESSAGE
	default: return false;
	}
}

bool message_encode(struct buf *out, const struct message *m)
{
	size_t start = out->size, size;

	if (!put_number(out, 0, 4) || !put_number(out, m->type, 4) || !encode_fields(out, m))
		return false;
	size = out->size - start;
	if (size > MESSAGE_BYTES_MAX)
		return false;
	for (size_t i = 0; i < 4; i++)
		out->at[start + i] = (char)(size >> (8 * i) & 255);
	return true;
}

enum fault message_frame_size(struct span bytes, size_t *size_out)
{
	uint64_t size;

	*size_out = 0;
	if (!get_number(&bytes, &size, 4))
		return FAULT_OK;
	if (size < MESSAGE_HEAD_BYTES || size > MESSAGE_BYTES_MAX)
		return FAULT_MALFORMED;
	*size_out = (size_t)size;
	return FAULT_OK;
}

enum fault message_decode(struct message *out, struct span frame)
{
	uint64_t size, type;

	*out = (struct message){ .fd = -1 };
	if (!get_number(&frame, &size, 4) || !get_number(&frame, &type, 4) || size != frame.size + MESSAGE_HEAD_BYTES)
		return FAULT_MALFORMED;
	if (type == MESSAGE_none || type >= MESSAGE_TYPE_COUNT)
		return FAULT_MALFORMED;
	out->type = (enum message_type)type;
	return decode_fields(&frame, out) && !frame.size ? FAULT_OK : FAULT_MALFORMED;
}

bool message_list_put(struct buf *list, struct span item)
{
	return put_text(list, &item);
}

bool message_list_next(struct span *rest, struct span *item_out)
{
	return rest->size && get_text(rest, item_out);
}
