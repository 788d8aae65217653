/* base/message.h - what roles say to one another, encoded and decoded from tables/messages.def.
 *
 * Why       One table gives structs, encoder, decoder, process diagram and fuzz target.
 * Promise   Decoding checks every length; what it gives points into the frame. A frame decodes to what was encoded, or not at all.
 * Owns      Nothing.
 * Refuses   Frames over MESSAGE_BYTES_MAX, unknown types, missing or left-over bytes: FAULT_MALFORMED.
 * See       loop/link.h carries frames */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum { MESSAGE_BYTES_MAX = 2 * 1024 * 1024, MESSAGE_HEAD_BYTES = 8 };

enum role { ROLE_KEEPER = 1, ROLE_GATE = 2, ROLE_VAULT = 4, ROLE_POST = 8, ROLE_DESK = 16, ROLE_ANY = 31 };

/* The name of one role ("gate"), as logs and the command line have it. */
const char *role_name(enum role);

/* Field types. `secret` is a span as `text` is, but never shown by a trace; `list` is a run of spans, see message_list_*. */
typedef uint8_t message_u8;
typedef uint32_t message_u32;
typedef uint64_t message_u64;
typedef int64_t message_i64;
typedef struct span message_text;
typedef struct span message_secret;
typedef struct span message_list;

#define FIELD(type, name) message_##type name;
#define MESSAGE(name, from, to, fd, fields) struct message_##name { fields };
#include "tables/messages.def"
#undef MESSAGE
#undef FIELD

enum message_type {
	MESSAGE_none,
#define MESSAGE(name, from, to, fd, fields) MESSAGE_##name,
#include "tables/messages.def"
#undef MESSAGE
	MESSAGE_TYPE_COUNT
};

struct message_row {
	const char *name, *fields;
	unsigned from, to; /* sets of enum role */
	bool has_fd;
};
const struct message_row *message_row(enum message_type);

/* A decoded frame. */
struct message {
	enum message_type type;
	int fd; /* -1 when there is none; whoever gets the message owns it */
	union {
#define MESSAGE(name, from, to, fd, fields) struct message_##name name;
#include "tables/messages.def"
#undef MESSAGE
	};
};

/* Appends one frame: size and type (4 bytes each, little-endian), then the fields. False when it would be too large. */
bool message_encode(struct buf *out, const struct message *);

/* The size of the frame that begins `bytes`, 0 while its head is not whole; MALFORMED when it is too large. */
MUST_CHECK enum fault message_frame_size(struct span bytes, size_t *size_out);

/* Decodes one whole frame. `fd` is left at -1. */
MUST_CHECK enum fault message_decode(struct message *out, struct span frame);

/* A list is built in a buffer and read back item by item. message_list_next() is false at the end and when malformed. */
bool message_list_put(struct buf *list, struct span item);
bool message_list_next(struct span *rest, struct span *item_out);
