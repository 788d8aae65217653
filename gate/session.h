/* gate/session.h - one connection: a core, a stream, a grant and the message that comes in.
 *
 * Why       The dialogue (session.c) and the message (incoming.c) are two subjects over one state.
 * Promise   At most one question is outstanding, to the vault or to post; while it is, nothing of the client's is read.
 * Owns      The stream, the core, the grant's arena, the message's buffers.
 * Refuses   Nothing by itself: the core and the grant do.
 * See       wire/smtp_server.h, gate/letter.h */
#pragma once
#include "base/arena.h"
#include "gate/envelope.h"
#include "gate/inner.h"
#include "gate/letter.h"
#include "identity/grant.h"
#include "wire/proxy_line.h"
#include "wire/smtp_server.h"

enum {
	CREDIT_BYTES = 256 * 1024,       /* of a message, sent to post and not yet taken */
	PIECE_BYTES = 32 * 1024,         /* fed at once, so that credit and link are looked at often */
	RECIPIENTS_BYTES = 2 * 1024 * 1024,
	SENDERS_BYTES = 4096,
	GRANT_ARENA_BYTES = 8 * 1024 * 1024,
	PROXY_WAIT_MS = 5000,
	OPENING_MS = 30000,              /* for TLS that comes first, and the vault's word on the address: old devices and busy machines are slow */
	HEARD_FIRST_MS = 5,
	HEARD_LONGEST_MS = 500,
};

/* The message that comes in. */
struct incoming {
	uint64_t serial, bytes, unacknowledged;
	bool is_open, is_ended;          /* between MAIL and its end; mail_end was sent */
	bool is_begun;                   /* mail_begin was sent */
	struct envelope_route route;
	struct span sender_said;         /* it and the route's sender lie in `senders` */
	struct buf senders;
	struct parameters_mail mail;
	struct buf envelope_id;
	struct buf recipients;           /* a list of triples for mail_begin */
	size_t recipient_count;
	struct letter letter;
};

struct session {
	struct gate *gate;
	struct door *door;
	struct stream *stream;
	struct trail trail;
	uint64_t id;
	struct address peer, counted;
	struct timer deadline, heard, closing;
	int64_t began_ms;
	bool is_stranger, is_in_the_way; /* see gate/stranger.h */
	struct session *older, *newer;   /* among the strangers */
	int64_t heard_wait_ms;
	char heard_id[64];               /* the reply that is not known to be heard */
	bool has_gone_on;                /* something came behind that reply */
	enum fault deny;
	bool has_core;                   /* smtp_server_init() was called */
	bool waits_network;              /* the vault is asked whether the address is in a trusted network */
	bool waits_vault, waits_post;
	bool in_handshake;
	enum sasl_mechanism mechanism;
	struct arena *arena;             /* of the grant */
	struct buf sealed;
	struct grant grant;
	bool is_granted, is_by_network; /* by its address, not by AUTH */
	struct incoming in;
	char spoiled_from[MAIL_ADDRESS_BYTES]; /* the From address for which a message was refused, until that is said */
	struct proxy_line *proxy;        /* a PROXY header is due; else NULL */
	struct smtp_server core;
};

/* Says at debug level which step the session has come to. */
void session_step(const struct session *, const char *step);

/* Tells the core the time; before anything else is told to it. */
void session_tick(struct session *);

/* Does what the core wishes; called after anything was told to it. */
void session_pump(struct session *);

/* The peer's address as text, in `text`. */
struct span session_peer(const struct session *, struct buf *text);

/* Notes what was refused where an administrator will look: the log, and the vault for `postern client refused`. `why` is a label of GATE_REFUSED. */
void session_note_refused(struct session *, enum fault, struct span user, struct span sender, const char *why);

/* --- incoming.c: the message */

/* Answer the core's questions about a sender, a recipient, a piece of body, the end of a message. */
void incoming_sender(struct session *, const struct smtp_server_wish *);
void incoming_recipient(struct session *, const struct smtp_server_wish *);
void incoming_body(struct session *, struct span bytes);
void incoming_end(struct session *);

/* Forgets the message that was begun, and tells post. */
void incoming_drop(struct session *);

/* Forgets it without a word. */
void incoming_forget(struct session *);

/* Whether post has as much of it as it may hold before it stores some. */
bool incoming_is_full(const struct session *);

/* Tells post of a reply that the client's machine has acknowledged. */
void incoming_check_heard(struct session *);
void incoming_heard_timer(void *session);
