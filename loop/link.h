/* loop/link.h - typed messages between two roles.
 *
 * Why       Roles share nothing; all they know of each other passes here, and is checked against the table.
 * Promise   Messages arrive whole, in order, once, while both roles live. `received` never runs inside link_send().
 * Owns      Its stream. A descriptor sent is the receiver's.
 * Refuses   A message that the table does not allow from that role to this one: the link ends. More than LINK_UNSENT_BYTES waiting: the link ends,
 *           since the other side is stuck, and the keeper restarts it; senders of bulk look at link_is_full() first.
 * See       tables/messages.def, base/message.h; over a socket pair on the real side, over virtual time in replay */
#pragma once
#include "base/message.h"
#include "loop/loop.h"

struct link;

enum { LINK_UNSENT_BYTES = 64 * 1024 * 1024, LINK_FULL_BYTES = 4 * 1024 * 1024 };

struct link_events {
	/* A message; what it points to is valid during the call. */
	void (*received)(void *self, struct link *, const struct message *);
	/* The other side is gone; the owner calls link_close(). */
	void (*ended)(void *self, struct link *);
	/* It was full and is not any more; may be NULL. */
	void (*drained)(void *self, struct link *);
};

/* One end: `me` speaks to `peer` (number `index` of its kind) over a descriptor from stream_pair(), which it takes. */
struct link *link_new_take(struct loop *, int fd, enum role me, enum role peer, unsigned index, const struct link_events *, void *self);
void link_close(struct link **);

/* Sends; `message->fd` goes along where the row says so, and is closed here afterwards. */
void link_send(struct link *, const struct message *);

/* More than LINK_FULL_BYTES wait to be sent. */
bool link_is_full(const struct link *);

/* Stops and restarts reading. */
void link_pause(struct link *);
void link_resume(struct link *);

/* Who is on the other side: which role, and which number of its kind. */
enum role link_peer(const struct link *);
unsigned link_index(const struct link *);

/* link_send(l, &MESSAGE_OF(settled, .session = 7, ...)) */
#define MESSAGE_OF(kind, ...) ((struct message){ .type = MESSAGE_##kind, .fd = -1, .kind = { __VA_ARGS__ } })
#define MESSAGE_WITH(kind, descriptor, ...) ((struct message){ .type = MESSAGE_##kind, .fd = (descriptor), .kind = { __VA_ARGS__ } })
