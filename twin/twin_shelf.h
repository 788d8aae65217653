/* twin/twin_shelf.h - the mail that arrived at the simulated tenant.
 *
 * Why       A demo and a test want to see what came out at the other end, byte for byte.
 * Promise   Mail is numbered from 1 in the order it was taken, and kept as it came. The oldest goes when the ceilings are reached.
 * Owns      The mail; and a copy of each in a directory, where one was given.
 * Refuses   Nothing: a file that cannot be written is counted, and the mail is kept in memory. */
#pragma once
#include "base/buf.h"
#include "loop/disk.h"

enum { TWIN_SHELF_MAILS = 2000, TWIN_SHELF_BYTES = 512 * 1024 * 1024 };

struct twin_mail {
	uint64_t number;
	int64_t taken_at_ms, arrives_at_ms; /* wall; the later one differs where the rate was exceeded */
	struct span mailbox, sender, recipients; /* who signed in, envelope sender, envelope recipients parted by blanks */
	struct span connector;                   /* at the MX host, where nobody signs in: what it came through, or empty */
	struct span peer, reply;                 /* what was answered; empty where the connection was cut before */
	struct span bytes;
	size_t recipient_count;
	bool unsaved;      /* it was asked not to be put into Sent Items */
	bool bare_newline; /* a CR or LF that stands alone came through */
};

struct twin_shelf;

/* `directory` may be NULL; it stays the caller's and open. */
struct twin_shelf *twin_shelf_new(struct disk *directory);
void twin_shelf_free(struct twin_shelf **);

/* Keeps a copy and gives its number. */
uint64_t twin_shelf_put(struct twin_shelf *, const struct twin_mail *);

/* Mail by number, or NULL. */
const struct twin_mail *twin_shelf_mail(const struct twin_shelf *, uint64_t number);

/* The first kept and the last taken; the last is 0 when there was none. */
uint64_t twin_shelf_first(const struct twin_shelf *);
uint64_t twin_shelf_last(const struct twin_shelf *);

/* Forgets everything; numbers go on. */
void twin_shelf_clear(struct twin_shelf *);

/* The value of the first header of that name, unfolded, appended; false when there is none. */
bool twin_mail_header(struct span mail, struct span name, struct buf *out);

/* The same for people: encoded words (RFC 2047) of UTF-8, ASCII and Latin-1 are decoded. */
bool twin_mail_shown(struct span mail, struct span name, struct buf *out);

/* The header block, with its last line end. */
struct span twin_mail_head(struct span mail);
