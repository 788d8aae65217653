/* wire/smtp_server.h - the receiving half of SMTP submission, without I/O.
 *
 * Why       Hostile bytes meet one machine that can be replayed, cut anywhere and fuzzed; the driver only carries out.
 * Promise   The transcript depends on the bytes and ticks alone, never on how the bytes were cut. A message ends in
 *           one of SMTP_SERVER_MESSAGE_END and SMTP_SERVER_MESSAGE_DROP, or was given up by smtp_server_spoil().
 *           What is passed on as a body has only CR LF line ends, unless its sender said BINARYMIME.
 * Owns      The line in hand, credentials in it until their answer; then they are wiped.
 * Refuses   Bare CR or LF and NUL, verbs out of their state, lines over SMTP_SERVER_COMMAND_BYTES (SASL_LINE_BYTES for
 *           SASL responses), anything sent behind STARTTLS before the handshake, passwords in the clear unless allowed.
 * See       RFC 5321, 6409, 8314, 3207, 4954, 2920, 1870, 6152, 3030, 6531, 2034, 3461; tables/smtp_verbs.def */
#pragma once
#include "base/remedy.h"
#include "wire/mail_address.h"
#include "wire/parameters.h"
#include "wire/sasl.h"

enum {
	SMTP_SERVER_COMMAND_BYTES = 2048, /* 512 (RFC 5321 4.5.3.1.4), and what SIZE, DSN, AUTH= and long paths add */
	SMTP_SERVER_REPLY_BYTES = 4096,   /* all lines of one reply; longer text is cut */
	SMTP_SERVER_NAME_BYTES = 255,
};

enum smtp_server_tls {
	SMTP_SERVER_TLS_NONE,      /* not offered */
	SMTP_SERVER_TLS_AVAILABLE, /* STARTTLS is offered */
	SMTP_SERVER_TLS_REQUIRED,  /* nothing but EHLO, NOOP, RSET, HELP, QUIT before it */
	SMTP_SERVER_TLS_IMPLICIT,  /* the driver made the handshake before smtp_server_init() */
};

/* What a listener and the peer's address decide. Copied; `host` must outlive the session. */
struct smtp_server_limits {
	struct span host;    /* how we name ourselves */
	uint64_t size_bytes; /* largest message, 0 for none */
	unsigned recipients; /* most per message; 0 means 1000 */
	unsigned errors;     /* most errors until the session is closed; 0 means 20. A message taken resets them */
	unsigned mechanisms; /* set of 1u << enum sasl_mechanism; 0 offers no AUTH */
	enum smtp_server_tls tls;
	bool auth_in_clear;  /* AUTH is offered without TLS too */
	bool trusted;        /* the peer's address needs no AUTH */
	enum fault deny;     /* not FAULT_OK: said instead of a greeting, then closed */
	int64_t greeting_ms; /* until the first sender is named, whatever is said before; 0 means 120 s */
	int64_t command_ms;  /* for one command line; 0 means 300 s (RFC 5321 4.5.3.2.7) */
	int64_t data_ms;     /* for the next bytes of a message; 0 means 180 s */
	int64_t message_ms;  /* for a whole message; 0 means 3600 s */
};

enum smtp_server_wish_kind {
	SMTP_SERVER_WRITE,     /* send `text`; may be gathered with what follows until poll says false or asks */
	SMTP_SERVER_START_TLS, /* question: feed what has been read beyond, which ends the session; else send all text,
				* make the handshake, then smtp_server_tls_started(); drop the session when it fails */
	SMTP_SERVER_AUTHORIZE, /* question: `mechanism`, `user`, `secret` */
	SMTP_SERVER_SENDER,    /* question: `path`, `mail` */
	SMTP_SERVER_RECIPIENT, /* question: `path`, `recipient` */
	SMTP_SERVER_BODY,      /* take `text`, part of the message; lies in the bytes last fed */
	SMTP_SERVER_MESSAGE_END,  /* question: the message is whole; answer with its verdict */
	SMTP_SERVER_MESSAGE_DROP, /* forget the message that was begun: its sender, recipients and body */
	SMTP_SERVER_CLOSE,        /* end the session when all is sent; nothing follows */
};

/* What the driver is asked to do. Spans are borrowed: those of questions until the answer, `text` for one call. */
struct smtp_server_wish {
	enum smtp_server_wish_kind kind;
	struct span text;
	enum sasl_mechanism mechanism;
	struct span user, secret;
	const struct mail_address_path *path;
	const struct parameters_mail *mail;
	const struct parameters_recipient *recipient;
};

/* The answer to a question. Where `code` is 0 and `text` empty, the reply is the fault's row (its sentence and remedy).
 * `text` may be long and have lines, parted by LF; it is cleaned and folded here. A 421 closes the session. */
struct smtp_server_answer {
	enum fault fault;     /* FAULT_OK: granted, or accepted */
	int code;             /* 200 to 599 as from an upstream, or 0 for the row's */
	struct span enhanced; /* "5.7.1", or empty for the row's */
	struct span text;     /* or empty for the row's */
	const struct remedy_names *names; /* for the remedy of the row, or NULL */
};

/* How the session speaks, for a Received line: "SMTP", "ESMTPS", "ESMTPSA", "UTF8SMTPSA"... (RFC 3848, RFC 6531). */
struct smtp_server;
struct span smtp_server_protocol(const struct smtp_server *);

/* How the client first broke the protocol (a fault whose reply is 5xx and that is the client's own doing), or FAULT_OK. */
enum fault smtp_server_offence(const struct smtp_server *);

/* The name that the client gave with HELO or EHLO: printable, or empty. */
struct span smtp_server_helo(const struct smtp_server *);

/* What a session needs while something goes on: a line that comes, a reply that is polled. */
struct smtp_server_room {
	char line[SASL_LINE_BYTES + 1];
	char out[SMTP_SERVER_REPLY_BYTES];
};

/* Starts a session in that room; the first wish is the greeting. `now_ms` is any monotonic clock's. */
void smtp_server_init(struct smtp_server *, struct smtp_server_room *, const struct smtp_server_limits *, int64_t now_ms);

/* Gives the room back where nothing stands in it that counts; else NULL. Nothing may be told to a session without one, nor polled, until it is lent
 * one again. */
struct smtp_server_room *smtp_server_return(struct smtp_server *);

/* Lends it one; what stood in that does not matter. */
void smtp_server_lend(struct smtp_server *, struct smtp_server_room *);

/* Takes bytes up to the end of one command, or one run of a message; returns how many it took. 0 means: poll first. The
 * bytes must stay where they are until poll says false. */
size_t smtp_server_feed(struct smtp_server *, struct span bytes);

/* The next thing to do, or false when it waits for bytes, for an answer or for time. */
bool smtp_server_poll(struct smtp_server *, struct smtp_server_wish *wish_out);

/* Answers the outstanding question other than START_TLS. */
void smtp_server_answer(struct smtp_server *, const struct smtp_server_answer *);

/* Answers START_TLS: the handshake is done. All that was said before is forgotten (RFC 3207 4.2). */
void smtp_server_tls_started(struct smtp_server *);

/* Gives up the message that is coming in, for a reason of the driver's: the rest is read and thrown away, then the
 * fault is replied. No SMTP_SERVER_MESSAGE_END or _DROP follows for it. Between its sender's answer and its end only;
 * nothing happens where the message was dropped already. */
void smtp_server_spoil(struct smtp_server *, enum fault);

/* The names for the remedy that smtp_server_spoil() leads to; to be set before it, and borrowed until the message has its reply. */
void smtp_server_spoil_names(struct smtp_server *, const struct remedy_names *);

/* The peer sends no more. All bytes must have been taken before. */
void smtp_server_ended(struct smtp_server *);

/* Asks the peer to leave: at the next moment between two messages the fault (SHUTTING_DOWN) is said, then all ends. */
void smtp_server_stop(struct smtp_server *, enum fault);

/* The place is needed: the fault is said now, even in the middle of a line or a message, and all ends. Not while a question is out. */
void smtp_server_leave(struct smtp_server *, enum fault);

/* Tells the time. Past smtp_server_deadline() the session is closed with FAULT_IDLE_TIMEOUT. */
void smtp_server_tick(struct smtp_server *, int64_t now_ms);

/* When tick must be called at the latest; INT64_MAX for never. */
int64_t smtp_server_deadline(const struct smtp_server *);

/* The last line that was taken, once: for a transcript. Credentials are replaced: the verb table's quiet rows, SASL
 * responses and whatever was not understood. Borrowed until the next call. */
bool smtp_server_heard(struct smtp_server *, struct span *line_out);

/* Wipes what it holds. */
void smtp_server_fini(struct smtp_server *);

/* --- inside; public only so that a session can be embedded */

struct smtp_server {
	struct smtp_server_limits limits;
	unsigned state, ask; /* enum smtp_server_state, enum smtp_server_ask */
	bool asked;          /* the question has been polled */
	bool secure, extended, authorized, named_sender;
	bool drop, ended, late, closing, closed;
	enum fault stop, leave, offence;

	struct smtp_server_room *room; /* NULL: lent to another meanwhile */
	size_t line_size, line_skipped;
	bool line_bare, line_nul, line_whole;
	struct span heard;

	char helo[SMTP_SERVER_NAME_BYTES];
	size_t helo_size;

	bool in_sasl, sasl_refused;
	struct sasl_server sasl;
	struct sasl_login login;
	enum fault login_fault;

	struct mail_address_path path;
	struct parameters_mail mail;
	struct parameters_recipient recipient;
	unsigned recipients, errors;

	unsigned body_state; /* enum smtp_server_body */
	char body_last;
	uint64_t body_size;
	struct span body;
	enum fault spoiled;
	struct remedy_names names; /* of the message under way */
	uint64_t chunk_left;
	bool chunk_is_last;
	unsigned chunk_back; /* the state to return to behind a chunk that was not allowed */
	enum fault chunk_fault;

	size_t out_size;
	int64_t now_ms, started_ms, heard_ms, message_ms;
};
