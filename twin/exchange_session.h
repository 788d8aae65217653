/* twin/exchange_session.h - one SMTP session at the simulated Exchange Online, or at the simulated Gmail.
 *
 * Why       The twin is the oracle of the product's SMTP: it is written by itself, from the facts, and shares no code with wire/.
 * Promise   The same input cut anywhere gives the same output. Nothing is read while a reply is held back.
 * Owns      Its buffers, until exchange_session_fini().
 * Refuses   By the replies of tables/twin_replies.def.
 * See       RFC 5321, 3207, 4954, 3030, 1870; twin/exchange.h drives it over a stream, twin/gmail_smtp.h has what Gmail does otherwise */
#pragma once
#include "twin/exchange_policy.h"
#include "twin/twin_shelf.h"

enum { EXCHANGE_LINE_BYTES = 32768, EXCHANGE_OUT_BYTES = 256 * 1024, EXCHANGE_ENVELOPE_BYTES = 512 * 1024 };

/* What all sessions share. */
struct exchange_world {
	struct twin_tenant *tenant;
	struct twin_scripts *scripts;
	struct twin_shelf *shelf;
	const struct twin_keys *keys;
	struct exchange_counter *counters; /* one per user of the tenant */
	struct exchange_session *sessions; /* those that are open, the oldest first */
	uint64_t session_count;            /* ever */
	struct exchange_counter *gmail_counters; /* what the same people sent at Gmail */
};

/* Which host is played: Exchange Online's for people who sign in; its MX host, for whoever has mail; or Gmail's for people who sign in. */
enum exchange_door { EXCHANGE_SUBMISSION, EXCHANGE_MX, EXCHANGE_GMAIL, EXCHANGE_DOORS };

enum exchange_next { EXCHANGE_GO_ON, EXCHANGE_START_TLS, EXCHANGE_CLOSE };

enum exchange_mode {
	EXCHANGE_COMMANDS,
	EXCHANGE_AUTH_USER,
	EXCHANGE_AUTH_PASSWORD,
	EXCHANGE_AUTH_TOKEN,
	EXCHANGE_AUTH_BEARER,
	EXCHANGE_AUTH_PLAIN,
	EXCHANGE_AUTH_END,
	EXCHANGE_BODY,
	EXCHANGE_CHUNK
};

struct exchange_session {
	struct exchange_world *world;
	struct exchange_session *next_open;
	uint64_t id;
	enum exchange_door door;
	char peer[64];
	char shown[TWIN_LIST_BYTES]; /* the names of the client's certificate, parted by blanks */
	enum exchange_mode mode;
	enum exchange_next next;
	bool tls, hello;

	struct twin_user *user; /* who signed in, or NULL */
	bool by_password, by_application, by_bearer;
	char login[TWIN_ADDRESS_BYTES];            /* AUTH LOGIN between its lines */
	char reason[TWIN_SCRIPT_TEXT_BYTES];       /* why AUTH was refused last */
	unsigned errors;

	bool has_sender, binary, dsn_asked;
	struct buf sender, recipients; /* recipients parted by blanks */
	size_t recipient_count;
	struct buf message;
	enum { BODY_LINE_START, BODY_DOT, BODY_DOT_CR, BODY_TEXT, BODY_CR } body;
	bool bare_newline, too_large, chunking;
	uint64_t chunk_left;
	bool chunk_last;

	struct buf out;     /* to be sent now */
	struct buf held;    /* to be sent at `held_until_ms` (monotonic), with what follows then */
	bool is_held;
	int64_t held_until_ms;
	enum exchange_next held_next;
	int64_t now_ms, wall_ms; /* as of the call under way */
};

/* Opens a session and queues its greeting. `peer` is the client's address, printed. */
void exchange_session_init(struct exchange_session *, struct exchange_world *, enum exchange_door, struct span peer, int64_t now_ms, int64_t wall_ms);
void exchange_session_fini(struct exchange_session *);

/* Takes bytes and returns how many; less than all while a line is incomplete, a reply is held, TLS is due or the end has come. */
size_t exchange_session_feed(struct exchange_session *, struct span bytes, int64_t now_ms, int64_t wall_ms);

/* Lets a held reply out when its time has come. */
void exchange_session_tick(struct exchange_session *, int64_t now_ms);

/* TLS is established; `names` are those of the client's certificate, parted by blanks, or empty. */
void exchange_session_secured(struct exchange_session *, struct span names);

/* Says the reply and ends: for switches and time limits. */
void exchange_session_end(struct exchange_session *, enum twin_reply, int64_t wall_ms);
