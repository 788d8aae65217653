/* gate/inner.h - what the files of gate/ share: the role, its listeners, its sessions.
 *
 * Why       Sessions need the links and limits of their gate; nobody else does.
 * Promise   A listener's settings stay as they were for the sessions that began with them.
 * Owns      See each struct.
 * Refuses   Nothing. */
#pragma once
#include "base/config.h"
#include "base/trail.h"
#include "loop/link.h"
#include "loop/role.h"
#include "loop/stream.h"

struct session;
struct smtp_server_room;

enum { GATE_NETWORKS_MAX = CONFIG_LIST_MAX, GATE_ADDRESSES = 1024, GATE_SPARE = 64, GATE_SESSIONS_MAX = 100000, GATE_ROOMS_SPARE = 64 };

/* One listener's settings, counted by the sessions that use it. */
struct door {
	unsigned references;
	char name[64], host_name[256];
	struct tls *tls;
	bool implicit, starttls, starttls_required, clear_login, networks_only;
	unsigned mechanisms;
	uint64_t size_bytes;
	unsigned recipients;
	size_t header_bytes_max;
	size_t balancer_count;
	struct network balancers[GATE_NETWORKS_MAX];
};

/* One socket accepted on. */
struct entrance {
	struct gate *gate;
	struct door *door;
	struct address address;
	struct listener *listener;
	struct entrance *next;
};

struct gate {
	struct loop *loop;
	struct trail trail;
	unsigned index;
	const struct config *config;
	struct link *vault, *post, *desk;
	enum fault intake;          /* why post takes nothing now, or FAULT_OK */
	struct entrance *entrances;
	struct session **sessions;  /* by slot; room for `max_sessions` at the start or the last reload */
	uint32_t *generations;
	size_t room, open;
	size_t next_slot;
	struct session *oldest_stranger, *newest_stranger; /* see gate/stranger.h */
	size_t strangers;
	bool is_draining, said_drained;
	struct { struct address address; unsigned open; } addresses[GATE_ADDRESSES]; /* who has sessions open; full: not counted */
	struct smtp_server_room *rooms[GATE_ROOMS_SPARE]; /* for sessions in which something goes on */
	size_t room_count;
	void (*ready)(void *host, enum fault, struct span why);
	void (*drained)(void *host);
	void *host;
	struct timer begun;
};

/* Takes in a connection: counts it, refuses it where it is too many. */
void session_new(struct gate *, struct door *, int fd, const struct address *peer);

/* Says goodbye at the next moment between two messages. */
void session_stop(struct session *, enum fault);

/* Ends at once, with a word where one can be said: its place is needed. */
void session_give_way(struct session *);

/* What the vault and post answer; the session is found by its id, or is gone and nothing happens. */
void session_authorized(struct session *, const struct message_authorized *);
void session_settled(struct session *, const struct message_settled *);
void session_taken(struct session *, const struct message_mail_taken *);

/* A role went away, or can take bytes again. */
void session_vault_ended(struct session *);
void session_post_ended(struct session *);
void session_post_drained(struct session *);

/* The client whose grant it holds, 0 for none. */
uint64_t session_client(const struct session *);

/* Frees at once, without a word; for the end of the process. */
void session_free(struct session *);

/* --- gate.c */
struct session *gate_session(struct gate *, uint64_t id);
uint64_t gate_session_add(struct gate *, struct session *, const struct address *peer, enum fault *refused_out);
void gate_session_remove(struct gate *, uint64_t id, const struct address *peer);
struct door *door_hold(struct door *);
void door_drop(struct door **);

/* Appends what `postern status` shows of this gate, as JSON: index, sessions, why nothing is taken in (OK: it is), listeners. */
void gate_status_put(const struct gate *, struct buf *out);
