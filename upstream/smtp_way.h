/* upstream/smtp_way.h - the way out by SMTP: connections to providers, kept and shared by the letters of a mailbox.
 *
 * Why       A sign-in costs a second and providers count sessions: a connection is opened when a letter needs one, and used again.
 * Promise   At most `connections_per_mailbox` connections for a mailbox and a way (each signs in differently), one letter on each. Certificates are verified; without TLS it speaks to loopback only. A letter on a kept connection that had gone
 *           stale is sent again on another before anybody hears of it. A sign-in refused with an unexpired bearer token is tried once more with
 *           a token made anew.
 * Owns      Connections. A password or token is held only until the sign-in ended. Letters are borrowed.
 * Refuses   TLS none to anywhere but loopback: FAULT_TLS_MISSING.
 * See       wire/smtp_client.h, RFC 8314, architecture section 2 (P3) */
#pragma once
#include "base/message.h"
#include "loop/dial.h"
#include "upstream/way.h"

struct smtp_way;
struct smtp_way_connection;

struct smtp_way_settings {
	struct span own_name; /* for EHLO; copied */
	unsigned connections_per_mailbox;
	int64_t idle_ms;      /* how long a connection is kept for the next letter */
	int connect_ms;
};

/* `dns` and the loop outlive it; `tls` is held. Freed with its connections, closed at once. */
struct smtp_way *smtp_way_new(struct loop *, struct dns *, struct tls *, const struct smtp_way_settings *, const struct way_events *, void *self);
void smtp_way_free(struct smtp_way **);

/* For connections to come. */
void smtp_way_set(struct smtp_way *, struct tls *, const struct smtp_way_settings *);

/* Gives a letter to the way, which keeps it until `done`; that may come from inside, where nothing needs to be asked. */
void smtp_way_send(struct smtp_way *, struct way_letter *);

/* The vault's answer; or its link ended: all that wait for it get FAULT_VAULT_AWAY. */
void smtp_way_token(struct smtp_way *, const struct message_token *);
void smtp_way_vault_ended(struct smtp_way *);

/* Signs in anew for what comes: idle connections of the mailbox (0: of all) say goodbye, the others after their letter. */
void smtp_way_renew(struct smtp_way *, uint64_t mailbox);

/* How many are open. */
unsigned smtp_way_connections(const struct smtp_way *);
