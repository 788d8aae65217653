/* tests/replay/ledger.h - the ledger: what applications sent, what they were told, what arrived.
 *
 * Why       P1 is a promise about all three together, so they are written down by name in one place.
 * Promise   ledger_check() names each message for which the three do not agree.
 * Owns      The letters.
 * Refuses   Two letters of one name. */
#pragma once
#include "base/buf.h"

enum { LETTERS_MAX = 64, LETTER_RECIPIENTS_MAX = 32, LETTER_TRIES_MAX = 16, LETTER_TEXT_BYTES = 512 };

/* One SMTP session in which a letter was given to gate. */
struct letter_try {
	int64_t begun_ms, ended_ms;             /* virtual; ended is 0 while it runs */
	char reply[LETTER_TEXT_BYTES];          /* to the final dot, or the reply that ended the attempt; "lost" or "gave up" */
	bool was_sent;                          /* the final dot went out */
	bool refused_recipient[LETTER_RECIPIENTS_MAX];
};

struct letter {
	char name[64], sender[128], message_id[100];
	char recipients[LETTER_RECIPIENTS_MAX][128];
	size_t recipient_count, size_bytes;
	int64_t patience_ms;                    /* after which the application hangs up */
	bool no_message_id;
	char notify[32];                        /* as in RCPT, or empty */
	size_t copies_allowed;
	struct letter_try tries[LETTER_TRIES_MAX];
	size_t try_count;
	/* what the sink saw */
	size_t arrived[LETTER_RECIPIENTS_MAX], reported[LETTER_RECIPIENTS_MAX]; /* reported: as failed */
	size_t reports, delays;
	char report_ids[LETTER_TRIES_MAX][100]; /* of different reports of failure */
	size_t report_id_count, report_copies;  /* copies: further ones of the same, which a death may cost as it may one of the letter */
	/* what post still has of it */
	bool is_queued, is_held, is_kept; /* kept: a report about it that could go nowhere is shown */
};

struct ledger {
	struct letter letters[LETTERS_MAX];
	size_t count;
};

/* By name; NULL: there is none. */
struct letter *ledger_letter(struct ledger *, struct span name);
struct letter *ledger_add(struct ledger *, struct span name);

/* The value of a header field of a mail, or an empty span; `name` with its colon. */
struct span ledger_field(struct span mail, struct span name);

/* Mail at the sink: `recipients` parted by blanks. False when it is no letter's. */
bool ledger_arrived(struct ledger *, struct span recipients, struct span bytes);

/* The last reply of the last try, or an empty span. */
struct span ledger_reply(const struct letter *);

/* The queue id that a reply of 250 named, or an empty span; and the value of its Message-ID field. */
struct span ledger_id(const struct letter *);
struct span ledger_message_id(const struct letter *);

/* Appends a line for each promise that was broken. */
void ledger_check(const struct ledger *, struct buf *complaints);

/* Appends the ledger for people to read. */
void ledger_print(const struct ledger *, struct buf *out);
