/* queue/resubmit.h - which messages may come a second time, since nobody knows whether their sender heard the reply.
 *
 * Why       A client that timed out sends again what we already have; the second must join the first, or people get two.
 * Promise   A message is found by credential, envelope, Message-ID and the digest of its bytes, until `until_ms` or until its reply was heard.
 * Owns      Its entries.
 * Refuses   More than RESUBMIT_MAX: the oldest goes.
 * See       architecture section 4, journey one, point 4 */
#pragma once
#include "base/map.h"
#include "queue/mail.h"

enum { RESUBMIT_MAX = 200000, RESUBMIT_LONG_MS = 24 * 3600 * 1000, RESUBMIT_SHORT_MS = 600 * 1000 };

struct resubmit_entry {
	unsigned char key[MAIL_KEY_BYTES];
	uint64_t id;
	int64_t until_ms;  /* wall clock */
	char *says;        /* once accepted: what is told to those who come again; NULL while the message is open */
	bool indexed, dirty;
	struct resubmit_entry *older, *newer, *next_dirty;
};

struct resubmit {
	struct map by_key, by_id;
	struct resubmit_entry *oldest, *newest;
	/* Told of entries that change or go, before they do; may be NULL. */
	void (*changed)(void *self, struct resubmit_entry *, bool goes);
	void *self;
};

/* An empty table; freed with its entries. */
void resubmit_init(struct resubmit *);
void resubmit_free(struct resubmit *);

/* The key of a message. `recipients` is the list as it came. */
struct resubmit_source {
	uint64_t client, mailbox;
	struct span sender, recipients, message_id, digest;
};
void resubmit_key(unsigned char key_out[MAIL_KEY_BYTES], const struct resubmit_source *);

/* Until when such a message joins the first: longer where its Message-ID says that it is the same. */
int64_t resubmit_until_ms(int64_t wall_ms, struct span message_id);

/* Notes a message under its key; one that stood there before gives way. */
struct resubmit_entry *resubmit_add(struct resubmit *, const unsigned char key[MAIL_KEY_BYTES], uint64_t id, int64_t until_ms);

/* The entry of that key, unless it is over. */
struct resubmit_entry *resubmit_find(struct resubmit *, const unsigned char key[MAIL_KEY_BYTES], int64_t wall_ms);

/* The message was accepted upstream: those words are kept for whoever comes again. */
void resubmit_accepted(struct resubmit *, uint64_t id, struct span says);

/* The reply was heard, or the message was refused or reported: the next one is a new message. False: there was none. */
bool resubmit_forget(struct resubmit *, uint64_t id);

/* Whether one of that id is there. */
bool resubmit_has(const struct resubmit *, uint64_t id);

/* Drops what is over, a few at a time. */
void resubmit_sweep(struct resubmit *, int64_t wall_ms);
