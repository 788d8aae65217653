/* queue/record.h - one thing the spool says: how it is written, sealed, found again and judged.
 *
 * Why       The record is the truth about a message, and its sync is the commit; all else is derived from it.
 * Promise   What record_frame_open() gives is what was sealed, for this segment and place in the log, or nothing. Reading goes by lengths
 *           that were checked, and points into the bytes given.
 * Owns      Nothing.
 * Refuses   Payloads over RECORD_BYTES_MAX; unknown types; bytes behind the last field: FAULT_MALFORMED.
 * See       tables/records.def, docs/decisions/0010-segments.md
 *
 * A frame is little-endian and begins on eight bytes:
 *    0  magic "PRec"    4  size of the frame without padding    8  CRC-32C of all that follows    12  type
 *   16  number of its segment      24  its own number in the log      32  number of the first frame of its commit group
 *   40  nonce, ciphertext and tag of the payload; bytes 12 to 40 are bound to it. */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "base/secret.h"
#include "base/seal.h"

enum {
	RECORD_HEAD_BYTES = 40,
	RECORD_OVER_BYTES = RECORD_HEAD_BYTES + SEAL_OVER_BYTES,
	RECORD_ALIGN_BYTES = 8,
	RECORD_BYTES_MAX = 960 * 1024, /* of a payload: 256 KB of message, 1000 recipients with all they may carry */
};

typedef uint8_t record_u8;
typedef uint32_t record_u32;
typedef uint64_t record_u64;
typedef int64_t record_i64;
typedef struct span record_text;
typedef struct span record_list; /* see message_list_next() */

/* A struct for each row. */
#define FIELD(type, name) record_##type name;
#define RECORD(name, number, fields) struct record_##name { fields };
#include "tables/records.def"
#undef RECORD
#undef FIELD

/* The types on disk. MESSAGE and REPORT (a message of ours about another) carry an envelope, the body and a closing. */
enum record_type { RECORD_MESSAGE = 1, RECORD_REPORT = 2, RECORD_TYPE_COUNT = 9 };
enum record_number {
#define RECORD(name, number, fields) RECORD_NUMBER_##name = number,
#include "tables/records.def"
#undef RECORD
};

/* What became of a recipient: one byte each in a `statuses` text. */
enum record_status {
	RECORD_OPEN = 0,
	RECORD_ACCEPTED = 1,
	RECORD_REFUSED = 2,  /* and the application was told, or nobody wants to know */
	RECORD_REPORTED = 3, /* refused or expired, and a report about it is in the spool */
};

/* record_put_NAME() appends a row's fields; false when they do not fit. record_get_NAME() reads them back from all of `bytes`. */
#define RECORD(name, number, fields)                                                 \
	bool record_put_##name(struct buf *out, const struct record_##name *); \
	MUST_CHECK enum fault record_get_##name(struct record_##name *out, struct span bytes);
#include "tables/records.def"
#undef RECORD

/* A number as the segments have it: `size` bytes (up to 8), the lowest first. */
void record_number_write(char *at, uint64_t number, size_t size);
uint64_t record_number_read(const char *at, size_t size);

/* The payload of a MESSAGE or REPORT: u32 size of the envelope, envelope, u32 size of the body, body, closing. The body is gathered in place:
 * begin, then any number of buf_put(), then end, given the sizes that `out` had after begin. An inline body is empty where a file holds it. */
bool record_message_begin(struct buf *out, const struct record_envelope *);
bool record_message_end(struct buf *out, size_t size_after_begin, const struct record_closing *);
MUST_CHECK enum fault record_get_message(struct record_envelope *, struct span *body_out, struct record_closing *, struct span payload);

/* A list of recipients: address, NOTIFY bits, ORCPT. False at the end and when malformed. */
struct record_recipient {
	struct span address, original;
	unsigned notify;
};
bool record_recipient_put(struct buf *list, const struct record_recipient *);
bool record_recipient_next(struct span *rest, struct record_recipient *out);
size_t record_recipient_count(struct span list); /* 0 when malformed */

/* Where a frame stands in the log. */
struct record_frame {
	unsigned type;
	uint64_t segment, sequence, group;
	struct span sealed, bound; /* the sealed payload, and the bytes bound to it */
	size_t size;               /* of the frame with its padding */
};

enum record_found {
	RECORD_NOTHING, /* no frame begins here */
	RECORD_CUT,     /* one begins, and goes on behind the bytes given: `size` says how far */
	RECORD_DAMAGED, /* one began here, and does not hold */
	RECORD_WHOLE,
};

/* The room that a payload of that size takes. */
size_t record_frame_size(size_t payload_bytes);

/* Appends a frame; `frame` gives type and numbers. False when `out` is full. */
bool record_frame_put(struct buf *out, struct span key, const struct record_frame *, struct span payload);

/* Reads the frame at the start of `bytes`. */
enum record_found record_frame_read(struct record_frame *out, struct span bytes);

/* Appends the payload. False when it does not open with that key. */
bool record_frame_open(struct buf *out, struct span key, const struct record_frame *);
