/* upstream/smtp_way_inner.h - what the two files of the way out by SMTP share.
 *
 * Why       Who gets which connection (smtp_way.c) and what is said on one (smtp_way_talk.c) are two stories about the same objects.
 * Promise   Nothing outside upstream/smtp_way*.c includes it.
 * Owns      See each struct.
 * Refuses   Nothing. */
#pragma once
#include "base/map.h"
#include "base/secret.h"
#include "loop/dns.h"
#include "upstream/smtp_way.h"

enum { SMTP_WAY_CERTIFICATE_BYTES = 64 * 1024, SMTP_WAY_UNREAD_BYTES = 4096, SMTP_WAY_NAME_BYTES = 256, SMTP_WAY_UNSENT_BYTES = 256 * 1024 };

/* Whose connections they are: two ways of one mailbox sign in differently. */
struct smtp_way_whose {
	uint64_t mailbox, way;
};

struct smtp_way_box {
	struct smtp_way_whose whose;
	unsigned count;
	struct smtp_way_connection *connections;
	struct way_letter *waiting, **waiting_last;
};

enum smtp_way_state {
	ASKING,  /* the vault, for a token */
	DIALING,
	TALKING,
	RESTING, /* signed in, without a letter */
	DONE,    /* to be freed when nobody stands in it */
};

struct smtp_way_connection {
	struct smtp_way *way;
	struct smtp_way_box *box;
	struct smtp_way_connection *next;
	uint64_t number;
	enum smtp_way_state state;
	struct way_letter *letter;
	struct dial *dial;
	struct stream *stream;
	struct smtp_client client;
	struct timer timer;
	unsigned inside;          /* calls of ours on the stack: it is freed by the outermost */
	bool pumping, in_handshake, leaving, coming; /* coming: READY follows the letter that just ended */
	bool was_used, is_forced, has_signed;
	/* what the vault said */
	char host[SMTP_WAY_NAME_BYTES], user[SMTP_CLIENT_ADDRESS_BYTES];
	uint16_t port;
	enum smtp_client_tls tls;
	enum sasl_mechanism mechanism;
	struct secret *secret;
	uint64_t generation;
	int64_t expires_at_ms;
	/* of a connector */
	struct address source;              /* of no family: whichever the system takes */
	struct buf certificate;             /* PEM; `secret` is its key then */
	bool by_mx;                         /* `host` is a domain, until its exchangers are known */
	struct dns_question *question;
	struct dns_exchangers exchangers;
	size_t exchanger;                   /* the next one to dial */
	struct smtp_client_recipient nobody; /* asked for, and never written to */
	struct smtp_client_message envelope; /* without a letter; has a recipient while it is tried */
	/* the peer's last words, when they came while nobody read */
	char unread[SMTP_WAY_UNREAD_BYTES];
	size_t unread_size;
};

struct smtp_way {
	struct loop *loop;
	struct dns *dns;
	struct tls *tls;
	struct smtp_way_settings settings;
	char own_name[SMTP_WAY_NAME_BYTES];
	const struct way_events *events;
	void *self;
	struct map boxes;
	uint64_t next_number;
	unsigned count;
};

/* --- smtp_way.c */

/* Asks for what a connection signs in with. */
void smtp_way_ask_token(struct smtp_way_connection *);

/* Closes what is open, and wipes the secret; the connection may be dialled anew. */
void smtp_way_hang_up(struct smtp_way_connection *);

/* Every callback enters and leaves, so that nobody frees what somebody below still stands in. */
void smtp_way_enter(struct smtp_way_connection *);
void smtp_way_leave(struct smtp_way_connection *);

/* Tells the letter's owner how far it has come, once a step. */
void smtp_way_step(struct smtp_way_connection *, enum way_step);

/* Tells the letter's owner, and lets it go. */
void smtp_way_finish_letter(struct smtp_way_connection *, const struct way_end *);

/* An end with what is known of the connection. */
struct way_end smtp_way_end_of(const struct smtp_way_connection *);

/* It never got so far as to begin a message: by a reply, or by a failure of ours with words for it. */
void smtp_way_fail(struct smtp_way_connection *, const struct outcome *, enum way_blame);
void smtp_way_fail_with(struct smtp_way_connection *, enum fault, struct span why, enum way_blame);

/* The letter that waits longest for a mailbox's connection, or NULL; gives one to a connection. */
struct way_letter *smtp_way_next_waiting(struct smtp_way_box *);
void smtp_way_assign(struct smtp_way_connection *, struct way_letter *);

/* --- smtp_way_road.c */

/* Takes what a connector needs besides; false for what it cannot use. Then finds the way to the host, and dials. */
bool smtp_way_read_road(struct smtp_way_connection *, const struct message_token *);
void smtp_way_take_road(struct smtp_way_connection *);

/* Nobody answered there: another exchanger is dialled, or it is false. */
bool smtp_way_next_road(struct smtp_way_connection *);

/* Begins TLS, with the certificate if there is one; its key is held no longer. */
void smtp_way_start_tls(struct smtp_way_connection *);

/* In place of a sign-in, which proves nothing where nobody signs in: an envelope that stops short of a message. */
void smtp_way_try_envelope(struct smtp_way_connection *);

/* Tells under which address the peer sees us. */
void smtp_way_tell_seen(struct smtp_way_connection *);

/* --- smtp_way_talk.c */

/* As way_body() and way_no_body() call them. */
extern const struct way_carrier smtp_way_carrier;

/* Does what the core wishes, until it waits or the connection takes no more. */
void smtp_way_pump(struct smtp_way_connection *);

/* As timer and dial call them. */
void smtp_way_on_timer(void *connection);
void smtp_way_on_dialed(void *connection, struct stream *, enum fault, struct span why);
