/* twin/exchange.h - the simulated Exchange Online, and Gmail, as a listener: many SMTP sessions over streams.
 *
 * Why       Joins twin/exchange_session.h with sockets and TLS, and knows which sessions a switch ends.
 * Promise   Sessions are answered in the order of their bytes; a held reply holds that session alone.
 * Owns      Its listeners and sessions.
 * Refuses   More than EXCHANGE_SESSIONS_MAX sessions: closed at once. Silence for ten minutes: 451 and the end.
 * See       tables/twin_switches.def */
#pragma once
#include "loop/stream.h"
#include "twin/exchange_session.h"

enum { EXCHANGE_SESSIONS_MAX = 1000, EXCHANGE_IDLE_MS = 600000 };

struct exchange;

/* `tls` is shared; `mx_tls`, which may be the same, is for the MX host. `world` stays the caller's; its `sessions` are kept here. */
struct exchange *exchange_new(struct loop *, struct tls *tls, struct tls *mx_tls, struct exchange_world *world);
void exchange_free(struct exchange **);

/* Accepts on a bound descriptor, which it takes; up to 8 of them. `secure`: TLS comes first (port 465 of the real one). */
void exchange_listen(struct exchange *, enum exchange_door, bool secure, int fd);

/* Ends the sessions that a change concerns. */
void exchange_end_sessions(struct exchange *, const struct twin_change *);

/* Sessions open now; of one user, where it is given. */
size_t exchange_sessions(const struct exchange *, const struct twin_user *);
