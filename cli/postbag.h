/* cli/postbag.h - messages of `postern sendmail` that wait for a Postern that is away: files of their user, as in a maildir.
 *
 * Why       A program that was told that its message is taken will not say it again.
 * Promise   What was kept is on the disk, whole, before anybody is told so: written in `tmp`, synced, renamed into `new`, the directory synced. Its bytes do not change
 *           until it is handed over or given up, so that the other side knows it when it comes twice. Two never hand over the same one: whoever works at one
 *           holds its lock.
 * Owns      A directory for each user below OUTBOX, named by number, that nobody else may enter: tmp, new, failed.
 * Refuses   A directory of that name that is another's; more than POSTBAG_MESSAGES_MAX.
 * See       docs/decisions/0083-sendmail.md */
#pragma once
#include "base/buf.h"

#include <sys/types.h>

enum { POSTBAG_MESSAGES_MAX = 10000, POSTBAG_NAME_BYTES = 80, POSTBAG_PATH_BYTES = 600, POSTBAG_ENVELOPE_BYTES = 1 << 20 };

/* What goes before the message in its file. */
struct postbag_envelope {
	struct span sender;       /* empty: none */
	struct span recipients;   /* one a line */
	unsigned notify, returns; /* DSN_* bits, enum dsn_return */
	struct span envelope_id;  /* xtext; may be empty */
	bool is_eight_bit;
};

/* One message: in `tmp` while it is written, in `new` once it is kept; or, without an outbox, a file without a name. */
struct postbag_item {
	int fd, directory;              /* its file; the user's directory, or -1 */
	bool is_kept;
	char name[POSTBAG_NAME_BYTES];
	off_t body_at;                  /* where the message begins in it */
	uint64_t size_bytes;
	struct buf text;                /* of the envelope */
	struct postbag_envelope envelope;
};

/* The user's own directory, made where it is missing: a descriptor, or -1 and errno. */
int postbag_open(const char *outbox);

/* A file for a new message; where there is no outbox (`directory` -1) it has no name and cannot be kept. False and errno. */
bool postbag_item_new(struct postbag_item *, int directory);

/* Writes the envelope, then pieces of the message. False and errno. */
bool postbag_begin(struct postbag_item *, const struct postbag_envelope *);
bool postbag_put(struct postbag_item *, struct span);

/* Notes whether it holds bytes above 127, which is known only at its end. */
bool postbag_finish(struct postbag_item *, bool is_eight_bit);

/* Makes it last. False and errno: it does not. */
bool postbag_keep(struct postbag_item *);

/* The names of what waits (`failed`: of what was given up), oldest first, one a line. */
bool postbag_list(int directory, bool failed, struct buf *names_out);

/* Opens one that waits, and locks it. False and errno: it is gone, somebody else's work, or damaged (EBADMSG). */
bool postbag_take(struct postbag_item *, int directory, struct span name);

/* It was handed over: gone for good once this returns true. */
bool postbag_strike(struct postbag_item *);

/* It will never be taken as it is: it goes into `failed`, with the reason beside it. And all of those back into `new`. */
bool postbag_give_up(struct postbag_item *, struct span why);
bool postbag_retry_all(int directory);

/* The reason beside one that was given up; empty where there is none. */
void postbag_reason(int directory, struct span name, struct buf *out);

/* Reads the envelope of one without locking it; for showing. Closed as any other. */
bool postbag_look(struct postbag_item *, int directory, bool failed, struct span name);

/* Closes; one that was not kept is gone. */
void postbag_item_close(struct postbag_item *);

/* Removes what writers left that were killed. */
void postbag_sweep(int directory);
