/* upstream/way.h - what is common to all ways out: the letter, how far it has come, and how it ended.
 *
 * Why       Post tries a message; whether that is said in SMTP or asked of an API is the way's own affair.
 * Promise   A letter given to a way gets exactly one `done`, save when the way is freed. `unknown` is said whenever a copy may have arrived
 *           although nobody heard so.
 * Owns      Nothing: letters are borrowed until `done`.
 * Refuses   Nothing.
 * See       tables/ways.def; architecture section 4.5 (when another way may be tried) */
#pragma once
#include "wire/smtp_client.h"

/* Numbers as in tables/ways.def; 0 is none. */
enum way {
	WAY_NONE,
#define WAY(symbol, name, number, sign_in, en, fr) WAY_##symbol = (number),
#include "tables/ways.def"
#undef WAY
	WAY_END /* one more than the highest number */
};

enum way_sign_in { WAY_BY_TOKEN, WAY_BY_PASSWORD, WAY_BY_ADDRESS };

/* The way of that name, or WAY_NONE; its name; how it signs in. */
enum way way_named(struct span name);
struct span way_name(enum way);
enum way_sign_in way_sign_in(enum way);

/* What a failure is about. */
enum way_blame { WAY_BLAMES_MESSAGE, WAY_BLAMES_MAILBOX, WAY_BLAMES_TENANT, WAY_BLAMES_HOST };

struct way_end {
	bool begun;                   /* the outcomes stand with the recipients; else `outcome` speaks for all */
	const struct outcome *outcome;
	enum way_blame blame;         /* where something failed */
	bool unknown, dsn_passed;     /* as struct smtp_client_wish has them */
	bool is_password;             /* it signs in by a stored password */
	struct span host;
};

/* How far a letter has come. SENDS: its body is asked for; AWAITS: its end was written. */
enum way_step { WAY_ASKS, WAY_DIALS, WAY_SIGNS_IN, WAY_BEGINS, WAY_SENDS, WAY_AWAITS };

struct way_letter;

/* How whoever carries a letter is answered. */
struct way_carrier {
	/* Answers `more`: bytes that stay as they are until the next `more` or `done`, `end` with the last of them. */
	void (*body)(struct way_letter *, struct span bytes, bool end);
	/* Or why there are none. */
	void (*no_body)(struct way_letter *, enum fault);
};

/* A message on its way, or, without recipients, a sign-in alone. The caller fills in the first part. */
struct way_letter {
	uint64_t mailbox;
	enum way way;
	struct smtp_client_message message;
	unsigned connections; /* that the mailbox may have at once; 0: as many as the settings say */
	/* Bytes are wanted: answer by way_body() or way_no_body(), at once or later. */
	void (*more)(void *self);
	void (*done)(void *self, const struct way_end *);
	/* It has come so far; for the log. May be NULL. */
	void (*step)(void *self, enum way_step);
	void *self;
	/* the way's own */
	const struct way_carrier *carrier;
	enum way_step at;
	void *connection;
	struct way_letter *next;
};

/* Answers `more`, as the carrier wants it. */
void way_body(struct way_letter *, struct span bytes, bool end);
void way_no_body(struct way_letter *, enum fault);

struct way_events {
	/* What a way signs in with is wanted: ask the vault, answer by ways_token(). Never answered from inside. */
	void (*token_wanted)(void *self, uint64_t request, uint64_t mailbox, enum way, bool force, uint64_t generation);
	/* Who answers for a mailbox. */
	void (*named)(void *self, uint64_t mailbox, struct span tenant, struct span host);
	/* The address that a connector's provider says mail comes from, with which the mailbox's mail went. May be NULL. */
	void (*seen)(void *self, uint64_t mailbox, struct span address);
};
