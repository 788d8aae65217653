/* upstream/ways.h - every way out there is, behind one door.
 *
 * Why       Post gives a letter with the name of its way, and need not know who carries it.
 * Promise   As upstream/way.h. A token goes to whoever asked for it.
 * Owns      The carriers and their connections.
 * Refuses   A way that nobody carries: a bug.
 * See       upstream/smtp_way.h */
#pragma once
#include "upstream/smtp_way.h"

struct ways;

/* `dns` and the loop outlive it; `tls` is held. Freed with its connections, closed at once. */
struct ways *ways_new(struct loop *, struct dns *, struct tls *, const struct smtp_way_settings *, const struct way_events *, void *self);
void ways_free(struct ways **);

/* For connections to come. */
void ways_set(struct ways *, struct tls *, const struct smtp_way_settings *);

/* Gives a letter to its way, which keeps it until `done`; that may come from inside, where nothing needs to be asked. */
void ways_send(struct ways *, struct way_letter *);

/* The vault's answer; or its link ended: all that wait for it get FAULT_VAULT_AWAY. */
void ways_token(struct ways *, const struct message_token *);
void ways_vault_ended(struct ways *);

/* Signs in anew for what comes (mailbox 0: for all). */
void ways_renew(struct ways *, uint64_t mailbox);

/* How many connections are open. */
unsigned ways_connections(const struct ways *);
