/* wire/dsn.h - reports about what became of a message.
 *
 * Why       Whoever handed us a message hears of it in plain words, with the remedy, in their language; their
 *           software hears the same in the form of RFC 3464.
 * Promise   Every line ends in CR LF and none holds a bare one, whatever the message and the remote said; the class
 *           of each Status matches its Action; nothing asked for by nobody is reported.
 * Owns      Nothing: what it is given is borrowed, what it makes is in the caller's buffer.
 * Refuses   Growing past the ceiling of that buffer: it then returns less of the message, and fails at last.
 * See       RFC 3461, RFC 3464, RFC 6522, RFC 6533, RFC 3834 */
#pragma once
#include "base/buf.h"
#include "wire/outcome.h"

/* NOTIFY (RFC 3461 4.1), as bits; 0 where the sender gave none. */
enum { DSN_NEVER = 1, DSN_SUCCESS = 2, DSN_FAILURE = 4, DSN_DELAY = 8 };

/* RET (RFC 3461 4.3). */
enum dsn_return { DSN_RETURN_UNSET, DSN_RETURN_HEADERS, DSN_RETURN_FULL };

/* What befell a recipient (RFC 3464 2.3.3). */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

enum {
	DSN_ENVELOPE_ID_BYTES = 100,  /* ENVID as given (RFC 3461 4.4) */
	DSN_ORIGINAL_BYTES = 500,     /* ORCPT as given (RFC 3461 4.2) */
	DSN_CONTENT_BYTES = 1 << 20,  /* a message larger than this comes back without its body */
	DSN_NAMED_RECIPIENTS = 50,    /* so many are told of in the text; all are in the second part */
};

/* One recipient of the message reported. */
struct dsn_recipient {
	struct span address;           /* where it went */
	struct span original;          /* ORCPT as given: "rfc822;" and xtext; may be empty */
	unsigned notify;               /* DSN_* bits */
	enum dsn_action action;
	const struct outcome *outcome; /* the last word on it */
	struct span remote;            /* the host that said it; may be empty */
	int64_t tried_ms, until_ms;    /* wall time of the last try, and until when it is tried again; 0: left out */
};

/* A report. Spans may be empty where it says so. */
struct dsn_report {
	struct span host;        /* our own name */
	struct span from, to;    /* addresses for its header, without brackets */
	struct span message_id;  /* its own, with brackets; unique, as the boundary is made from it */
	int64_t date_ms;         /* wall time */
	enum language language;
	bool utf8;               /* the message came by SMTPUTF8, so its sender can read a report that needs it */
	struct span envelope_id; /* ENVID as given, xtext; may be empty */
	int64_t arrival_ms;      /* wall time when the message came; 0: left out */
	struct span about;       /* Message-ID of the message, with brackets; may be empty */
	struct span queue_id;    /* what we called it; may be empty */
	struct span mailbox;     /* the address of the mailbox it went through, for remedies; may be empty */
	enum dsn_return returns;
	struct span header;      /* its header block, with or without the blank line */
	struct span content;     /* all of it, header included; empty where it is not at hand */
	const struct dsn_recipient *recipients;
	size_t recipient_count;
};

/* What the report needs of the way it takes. */
struct dsn_needs {
	bool eight_bit, utf8;
};

/* Whether that NOTIFY asks to hear of that (RFC 3461 4.1; none given: failures). */
bool dsn_wants(unsigned notify, enum dsn_action);

/* How many of its recipients are to be told of. With 0 there is nothing to send. */
size_t dsn_wanted(const struct dsn_report *);

/* Puts the whole report, header and body; names only recipients that dsn_wants(). FAULT_NOT_FOUND when there are
 * none, FAULT_TOO_LARGE when even without the returned message it passes the ceiling; `out` is then of no use. */
enum fault dsn_compose(struct buf *out, const struct dsn_report *, struct dsn_needs *needs_out) MUST_CHECK;

/* Whether a header block is that of a report of ours: such a message is never reported on. */
bool dsn_is_report(struct span header);
