/* wire/smtp_client.h - the client half of SMTP: one connection to a provider, many messages, without I/O.
 *
 * Why       What a provider says decides whether a message is tried again, held or returned; that reading is done by
 *           one machine that can be replayed, cut anywhere and fuzzed.
 * Promise   The transcript depends on the bytes alone, never on how they were cut. No sign-in before TLS unless the
 *           settings say CLEAR. What it writes holds no bare CR or LF (save a body declared BINARY, in its chunk).
 *           Every message that was begun gets exactly one OUTCOME. Every wait for the peer has a deadline. A success that
 *           was said before the message had ended is no verdict: the connection is given up.
 * Owns      A window of bytes to write, and the reply in hand. Nothing is allocated; secrets pass through the window
 *           and are wiped with the next call. Messages and bodies are borrowed.
 * Refuses   Reply bytes between the 220 of STARTTLS and TLS; addresses that could break a line; bodies that are not
 *           what was declared.
 * See       RFC 5321, 3207, 4954, 2920, 3030, 1870, 6152, 6531, 3461, 7628
 *
 * The driver's loop: tick(now); poll until false, doing each wish; feed what was read, from its front, as long as bytes
 * are taken, polling after each. What was not taken is fed again after the next answer. An answer that comes after the
 * connection was lost is ignored. */
#pragma once
#include "wire/dot.h"
#include "wire/dsn.h"
#include "wire/outcome.h"
#include "wire/sasl.h"
#include "wire/smtp_reply.h"

enum {
	SMTP_CLIENT_RECIPIENTS = 1000,
	SMTP_CLIENT_NAME_BYTES = 256,      /* host names */
	SMTP_CLIENT_ADDRESS_BYTES = 320,
	SMTP_CLIENT_WINDOW_BYTES = 16384,  /* one TLS record */
	SMTP_CLIENT_SEEN_BYTES = 64,
	SMTP_CLIENT_PIPELINE = 100,        /* commands on their way at once */
	/* RFC 5321 4.5.3.2 */
	SMTP_CLIENT_COMMAND_MS = 300000,
	SMTP_CLIENT_DATA_MS = 120000,
	SMTP_CLIENT_BLOCK_MS = 180000,
	SMTP_CLIENT_FINAL_MS = 600000,
	SMTP_CLIENT_QUIT_MS = 5000,
};

/* How the connection is kept from strangers. CLEAR is for loopback alone; the driver sees to that. */
enum smtp_client_tls { SMTP_CLIENT_STARTTLS, SMTP_CLIENT_IMPLICIT, SMTP_CLIENT_CLEAR };

/* Names are copied. */
struct smtp_client_settings {
	struct span own_name;           /* for EHLO */
	struct span peer_name;          /* of the host, as configured */
	unsigned port;                  /* for OAUTHBEARER */
	enum smtp_client_tls tls;
	enum sasl_mechanism mechanism;  /* SASL_MECHANISM_COUNT: no sign-in */
};

/* What the bytes of a body are (RFC 6152, RFC 3030). */
enum smtp_client_body { SMTP_CLIENT_7BIT, SMTP_CLIENT_8BIT, SMTP_CLIENT_BINARY };

/* One recipient, in an array that the caller lends from smtp_client_message() until the OUTCOME. */
struct smtp_client_recipient {
	struct span address;     /* without brackets */
	struct span original;    /* ORCPT as given; may be empty */
	unsigned notify;         /* DSN_* bits; 0: none given */
	struct outcome outcome;  /* filled in by the OUTCOME */
	enum { SMTP_CLIENT_OPEN, SMTP_CLIENT_TAKEN, SMTP_CLIENT_DECIDED } state; /* the core's own */
};

/* A message, borrowed until the OUTCOME. */
struct smtp_client_message {
	struct span sender;      /* without brackets; empty is <> */
	struct smtp_client_recipient *recipients;
	size_t recipient_count;  /* 1 to SMTP_CLIENT_RECIPIENTS */
	bool has_size;           /* size_bytes is exact: the body will have just so many bytes */
	uint64_t size_bytes;
	enum smtp_client_body body;
	bool utf8;               /* needs SMTPUTF8; an address that is not ASCII needs it too */
	enum dsn_return returns;
	struct span envelope_id; /* ENVID as given; may be empty */
};

enum smtp_client_wish_kind {
	SMTP_CLIENT_WRITE,      /* send `text` */
	SMTP_CLIENT_START_TLS,  /* shake hands, verify the certificate; answered by smtp_client_tls_started() */
	SMTP_CLIENT_CREDENTIAL, /* answered by smtp_client_credential() */
	SMTP_CLIENT_BODY,       /* the next piece of the message, as stored; answered by smtp_client_body() */
	SMTP_CLIENT_READY,      /* signed in and idle: smtp_client_message() or smtp_client_quit() when it pleases */
	SMTP_CLIENT_OUTCOME,    /* every recipient's outcome is filled in; the message is the caller's again */
	SMTP_CLIENT_FAILED,     /* it never got READY: `outcome` says why. No message was begun */
	SMTP_CLIENT_CLOSE,      /* close the connection once all was written; nothing follows */
};

struct smtp_client_wish {
	enum smtp_client_wish_kind kind;
	struct span text;              /* WRITE: borrowed until the next call */
	bool quiet;                    /* WRITE: holds a credential, keep it out of traces */
	const struct outcome *outcome; /* FAILED */
	/* OUTCOME: */
	bool reusable;                 /* a READY follows, or a CLOSE where the peer then refuses to go on */
	bool unknown;                  /* lost behind the final dot: those still open may have been accepted */
	bool untouched;                /* a kept connection was lost ahead of MAIL's reply: it had gone stale */
	bool dsn_passed;               /* the peer took over what NOTIFY asks; else we owe the reports */
};

/* Its fields are the core's own. */
struct smtp_client {
	struct smtp_client_settings settings;
	char own_name[SMTP_CLIENT_NAME_BYTES], peer_name[SMTP_CLIENT_NAME_BYTES];
	int64_t now_ms, deadline_ms;
	unsigned phase, question;
	bool encrypted, failed_due, outcome_due, ready_due, close_due;
	struct outcome failure;
	/* what the last EHLO said */
	unsigned offers, mechanisms, hello_lines;
	char seen_as[SMTP_CLIENT_SEEN_BYTES]; /* our address, where its first line names it in brackets; else empty. The peer's word: anything */
	uint64_t size_limit;
	/* the sign-in */
	unsigned sasl_step;
	bool sasl_ended;
	/* the message in hand: the sender's place and the receiver's, 0 being MAIL, then RCPT, then DATA */
	const struct smtp_client_message *message;
	size_t next_send, next_reply, waiting, taken;
	size_t messages_done;
	bool mail_refused, chunked, dsn_passed, unknown, untouched, spoke_early;
	/* its body */
	struct dot dot;
	struct span body;
	uint64_t body_left;
	bool body_begun, body_end, end_written;
	/* the reply in hand, and what is to be written */
	struct smtp_reply reply;
	char window[SMTP_CLIENT_WINDOW_BYTES];
	size_t window_size;
	bool window_spent, window_quiet;
};

/* Before the connection is used; with SMTP_CLIENT_IMPLICIT the first wish is START_TLS. `now_ms` is monotonic. */
void smtp_client_init(struct smtp_client *, const struct smtp_client_settings *, int64_t now_ms);

/* Wipes what it holds. */
void smtp_client_fini(struct smtp_client *);

/* Takes bytes up to the end of one reply; returns how many it took. 0 means: poll or answer first. */
size_t smtp_client_feed(struct smtp_client *, struct span bytes);

/* The next thing to do, or false when it waits for bytes, for an answer or for a message. A driver whose connection
 * takes no more may stop polling after a WRITE and go on later. */
bool smtp_client_poll(struct smtp_client *, struct smtp_client_wish *wish_out);

/* The time, before anything else in a round: a deadline that has passed ends the connection with FAULT_TIMEOUT. */
void smtp_client_tick(struct smtp_client *, int64_t now_ms);

/* When to tick at the latest; INT64_MAX while it waits for the driver and not for the peer. */
int64_t smtp_client_deadline(const struct smtp_client *);

/* Answers START_TLS: FAULT_OK once the certificate was verified, else why not (FAULT_TLS_FAILED, FAULT_TLS_UNTRUSTED)
 * and words for it, which may be empty. */
void smtp_client_tls_started(struct smtp_client *, enum fault, struct span why);

/* Answers CREDENTIAL; it may be asked twice in one sign-in. The secret is a token or a password, and stays the driver's
 * to wipe. Anything but FAULT_OK ends the session with that fault and those words. */
void smtp_client_credential(struct smtp_client *, enum fault, struct span user, struct span secret, struct span why);

/* After READY: begins a message. */
void smtp_client_message(struct smtp_client *, const struct smtp_client_message *);

/* Answers BODY. `bytes` stay the driver's, unchanged until the next BODY or the OUTCOME; `end` with the last of them or
 * after it. A body of known size may be asked for no more once all its bytes came. */
void smtp_client_body(struct smtp_client *, struct span bytes, bool end);

/* Answers BODY where it cannot be read: the connection is given up, the recipients get that fault. */
void smtp_client_no_body(struct smtp_client *, enum fault);

/* After READY: says goodbye; the CLOSE follows. */
void smtp_client_quit(struct smtp_client *);

/* The connection ended, for that reason; `unread` is what came and was not taken: the peer's last words may be in it. */
void smtp_client_closed(struct smtp_client *, enum fault, struct span why, struct span unread);
