/* loop/fake/stream_inner.h - a fake stream, for the two files that make it.
 *
 * Why       Bytes and handshakes are two subjects of one struct.
 * Promise   The owner is called from the stream's own turn alone.
 * Owns      Its end of the connection and its buffers.
 * Refuses   Being included from outside loop/fake. */
#pragma once
#include "loop/fake/network.h"

enum tls_state { TLS_OFF, TLS_CLIENT_WAITS, TLS_SERVER_WAITS, TLS_SERVER_WELCOMED, TLS_ON };

struct stream {
	struct loop *loop;
	struct end *end;
	const struct stream_events *events;
	void *self;
	struct timer turn, deadline;
	bool connecting, tell_opened, is_over, finishing, paused, offer, other_over, is_half_closed;
	bool busy, gone; /* inside a callback; closed meanwhile */
	bool offering;   /* inside `data`: what is unread is being taken */
	enum tls_state tls_state;
	struct tls *tls;
	char host_name[256];
	struct buf unread, unsent;
	struct buf shown; /* a TLS client's certificate, at the server */
	size_t asked_unsent;
	int *fds;
	size_t fd_count;
	size_t *fd_places;
	enum fault fault;
	char why[160];
	struct address peer;
	struct stream *next;
};

/* Arranges the next turn. */
void stream_wake(struct stream *);

/* Says it is over at the next turn; what was read before is offered first. */
void stream_fail(struct stream *, enum fault, const char *why);

/* Hands what is queued to the network in pieces cut by the dice, as far as `room` goes. */
void stream_send_up_to(struct stream *, size_t room);

/* Text that nobody took where TLS begins is an error. */
void stream_check_clear(struct stream *);

/* Whether a handshake is under way, and its next step with the first arrived segment. */
bool stream_is_shaking(const struct stream *);
void stream_shake(struct stream *);
