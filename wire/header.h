/* wire/header.h - the header block of a message: collected as it streams by, read, and written anew with our additions.
 *
 * Why       Whom a message is from, what it lacks and whether it is signed must be known before its body is passed on.
 * Promise   Fields that are not added or replaced leave byte for byte as they came. What is added stays one logical
 *           header each, whatever its parts hold. Signed mail gets a Received line and nothing else.
 * Owns      Nothing: the block lies in the caller's buffer, whose ceiling is the limit for headers.
 * Refuses   Bare CR, LF and NUL (FAULT_BARE_NEWLINE, FAULT_NUL_BYTE), blocks past the ceiling (FAULT_HEADER_TOO_LONG),
 *           rewriting signed mail (FAULT_SIGNED_MAIL).
 * See       RFC 5322 2.2, 3.4, 3.6, 4; RFC 6409 8; RFC 5321 4.4; RFC 6854; RFC 6376; RFC 8551; RFC 3156 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "wire/mailbox_list.h"

struct header {
	struct buf *block; /* the bytes so far; behind its end perhaps the first line of a body */
	size_t line_at;    /* where the line in hand begins */
	size_t size;       /* of the fields, when ended */
	size_t body_at;    /* where the body begins in the block, when ended */
	bool ended;

	/* When ended: what the fields say. Fields that are there but empty count as missing,
	 * and so does a From without any mailbox. */
	bool has_date, has_message_id, has_from, has_reply_to;
	bool is_signed;         /* DKIM, S/MIME or PGP/MIME; encrypted mail counts too: it may be signed inside */
	unsigned from_fields;   /* RFC 5322 wants exactly one */
	unsigned received;      /* how many Received fields: the hops so far */
	struct span message_id; /* "<...>" as it stands, or empty */
};

/* Starts; `block` is empty, and its ceiling bounds the header block. */
void header_init(struct header *, struct buf *block);

/* Takes bytes until the block has ended; the rest is body. */
enum fault header_feed(struct header *, struct span bytes, size_t *taken_out) MUST_CHECK;

/* The message is over: ends a block that no blank line or body did. */
enum fault header_finish(struct header *) MUST_CHECK;

/* --- reading; only when ended */

struct header_field {
	struct span whole, name, value; /* `whole` with its CR LF; `value` trimmed, its folds left in */
};

/* The next field at `at`, which starts as 0 and moves on. False behind the last. */
bool header_next_field(const struct header *, size_t *at, struct header_field *field_out);

/* The trimmed value of the first field of that name, or empty. */
struct span header_value(const struct header *, struct span name);

struct header_walk {
	struct mailbox_list list;
	size_t at;
};

/* Each mailbox that the message claims to be from: all of From, Sender, Resent-From and Resent-Sender. Starts with a
 * walk of zeros. MAILBOX_BROKEN: one of them cannot be read, so nobody can say whose it is; the walk may go on. */
enum mailbox_found header_next_sender(const struct header *, struct header_walk *, struct mailbox *mailbox_out);

/* --- writing */

/* What a Received line says (RFC 5321 4.4). Parts are cleaned; `address` may be empty to keep it from recipients. */
struct header_trace {
	struct span helo, address; /* what the client called itself; its IP address without brackets */
	struct span host;          /* our name */
	struct span protocol, id;  /* "ESMTPSA"; the id that the client is told */
	int64_t wall_ms;
};

/* Appends one Received field. False when `out` is full. */
bool header_put_received(struct buf *out, const struct header_trace *);

struct header_edits {
	const struct header_trace *trace; /* NULL: no Received line */
	int64_t date_ms;                  /* becomes Date where it is missing */
	struct span message_id;           /* "id@host", becomes Message-ID where it is missing */
	struct span from;                 /* the mailbox's address; becomes From where it is missing, or in any case: */
	bool rewrite;                     /* replaces From, keeping the display name. The original becomes Reply-To
					   * unless there is one; Sender and Resent-* go */
};

/* Whether these edits would do more than add the trace. */
bool header_changes(const struct header *, const struct header_edits *);

/* Appends the whole block anew: trace, additions, fields, blank line, and what of the body is in the block already.
 * FAULT_SIGNED_MAIL, FAULT_HEADER_TOO_LONG when `out` is full. */
enum fault header_write(const struct header *, const struct header_edits *, struct buf *out) MUST_CHECK;
