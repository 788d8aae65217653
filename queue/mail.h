/* queue/mail.h - a message in the queue: what is known of it without reading it again, and the table of them.
 *
 * Why       What became of a message is one story, told by records; living it and reading it back must come to the same.
 * Promise   mail_apply_*() is all that changes what stands here, in the daemon and at recovery alike. Ids grow, and are never used twice.
 * Owns      Its texts and statuses; its payload, while it is at hand.
 * Refuses   Records that speak of recipients it does not have: ignored.
 * See       docs/queue.md: the states of a message */
#pragma once
#include "queue/spool.h"
#include "wire/outcome.h"

enum { MAIL_ID_TEXT_BYTES = 13, MAIL_KEY_BYTES = 32, MAIL_STATUSES_INLINE = 8 };

struct lane;

/* By which a message that comes again is known. */
struct mail_key {
	unsigned char bytes[MAIL_KEY_BYTES];
	int64_t until_ms; /* wall clock */
};

/* A million of them may wait, so what few have stands apart, and small numbers stand together. */
struct mail {
	uint64_t id, mailbox, client, notice_mailbox, report_of;
	int64_t accepted_at_ms, next_try_at_ms, held_since_ms, held_ms; /* wall clock */
	uint64_t size_bytes;
	struct mail_key *key;     /* NULL: it has none, or its reply was heard */
	uint32_t attempts, recipient_count, open_count;
	enum fault fault;         /* of the last try; FAULT_OK before it */
	enum fault hold;          /* why it is held, or FAULT_OK */
	uint32_t pending;         /* records about it on their way to the disk */
	unsigned char few[MAIL_STATUSES_INLINE], *statuses; /* enum record_status each; points to `few` or to more */
	char *reason, *held_by;   /* the last words about it; who holds it, when that was a person */
	uint8_t rung;             /* of a report: where it goes out */
	bool unknown;             /* a connection was lost behind the final dot: another copy may be there */
	bool delay_told;          /* its sender was sent a report of its delay */
	bool has_file;            /* its body is in a file of its own */
	/* of the modules that hold it */
	bool accepted, indexed, stale, dirty, trying, ended, payload_counted;
	uint32_t lane_place;
	struct spool_place place;
	struct buf *payload;      /* the record's, while it is at hand; else NULL */
	struct lane *lane;
	uint64_t lane_order;
	struct mail *before, *behind; /* all, oldest first */
	void *waiter;             /* whoever waits for its outcome: post's */
};

struct mails {
	struct mail **slots;      /* by id */
	size_t room, count;
	struct mail *oldest, *newest;
	uint64_t last_id;
};

/* An empty table; freed with all that is in it. */
void mails_init(struct mails *);
void mails_free(struct mails *);

/* The message of that id, or NULL; how many there are. */
struct mail *mails_find(const struct mails *, uint64_t id);
size_t mails_count(const struct mails *);

/* A new id: later than any before, and near the wall clock. */
uint64_t mails_new_id(struct mails *, int64_t wall_ms);

/* Makes one from what its record says; it is not in the table yet. NULL when the record makes no sense. */
struct mail *mail_new(const struct record_envelope *, const struct record_closing *);
/* One of which only this is known. */
struct mail *mail_empty(uint64_t id, uint32_t recipient_count);
void mails_add(struct mails *, struct mail *);

/* Takes it out and frees it. Its place, lane and records are its holders' to give up first. */
void mails_remove(struct mails *, struct mail **);
void mail_free(struct mail **);

/* How many recipients were accepted; and the words for a message that was over with others: "accepted for 2 of 3, report follows". */
uint32_t mail_accepted_count(const struct mail *);
enum { MAIL_PARTLY_BYTES = 64 };
struct span mail_partly_words(const struct mail *, char words_out[MAIL_PARTLY_BYTES]);

/* The record's payload, while it is at hand, else an empty span; gives it one, which is moved out of `payload`; drops it. */
struct span mail_payload(const struct mail *);
void mail_set_payload(struct mail *, struct buf *payload);
void mail_drop_payload(struct mail *);

/* Gives it a key; its reply was heard, and it needs none any more. */
void mail_set_key(struct mail *, const unsigned char bytes[MAIL_KEY_BYTES], int64_t until_ms);
void mail_heard(struct mail *);

/* Nothing but its record says anything of it. */
bool mail_is_untouched(const struct mail *);

/* What records say of it: it is `stale` then, for whoever wrote it down before. */
void mail_apply_outcome(struct mail *, const struct record_outcome *);
void mail_apply_hold(struct mail *, const struct record_hold *);
void mail_apply_release(struct mail *, const struct record_release *);
void mail_apply_reported(struct mail *, struct span indexes); /* of recipients, u32 each: a report of them is in the spool */

/* All of the above as one part, for copies and for the index. */
bool mail_put_progress(struct buf *out, const struct mail *);
MUST_CHECK enum fault mail_apply_progress(struct mail *, struct span progress);

/* Whether it is held for itself alone, and not with others of its mailbox: by a person, unconfirmed, restored, or undeliverable. */
bool mail_is_kept(const struct mail *);

/* Ids for people: 13 characters of Crockford's base32, either case, I and L for 1, O for 0. */
void mail_id_text(char text_out[MAIL_ID_TEXT_BYTES + 1], uint64_t id);
bool mail_id_read(uint64_t *id_out, struct span text);

/* Sets a text of its own. */
void mail_say(char **text, struct span to);
