/* loop/fake/network.h - the network between fake processes: ends of connections, what is under way, handles for both.
 *
 * Why       A stream is what one process sees; what lies between two of them lives on when either dies.
 * Promise   Segments of one direction arrive in order. Bytes count against the window until network_take() or network_drop().
 * Owns      Ends, segments and handles. An end is held by a handle or a stream until network_close().
 * Refuses   Being included from outside loop/fake. */
#pragma once
#include "base/buf.h"
#include "loop/address.h"
#include "loop/fake/inside.h"
#include "loop/stream.h"

enum segment_kind {
	SEGMENT_BYTES,
	SEGMENT_END,    /* FIN */
	SEGMENT_RESET,
	SEGMENT_HEARD,  /* an acknowledgement of `size` bytes */
	SEGMENT_HELLO,  /* of a TLS client: `bytes` is the host name wanted */
	SEGMENT_WELCOME, /* of a TLS server: `bytes` is its certificate */
	SEGMENT_FINISHED, /* the client believes it: `bytes` is what it shows of itself, if anything */
	SEGMENT_ALERT,  /* it does not: `bytes` says why */
};

struct segment {
	struct timer arrival;
	struct end *to;
	enum segment_kind kind;
	size_t size, taken;
	char *bytes;
	size_t fd_count;
	int *fds;
	struct segment *next;
};

struct end {
	struct connection *connection;
	unsigned side;
	struct address local;
	bool closed, ended_sent;
	struct stream *stream;
	struct segment *arrived, **arrived_end;
	size_t unheard; /* bytes sent and not acknowledged */
	size_t window_used; /* bytes sent that the other side has not taken */
	int64_t last_arrival_ms;
	int *fds;
	size_t fd_count;
};

struct connection {
	uint64_t serial;
	bool local;
	bool made_to_known;
	struct address made_to;
	struct end ends[2];
	size_t under_way;
	struct connection *next;
};

struct listening;

/* What a fake descriptor is the number of. */
struct handle {
	struct end *end;
	struct listening *listening;
};

/* A new number for an end, or for one more reference to a listening socket; what it is of (NULL: none); the end taken away from it. */
int network_handle(struct end *, struct listening *);
struct handle *network_handle_at(int fd);
struct end *network_end_take(int fd);
void network_handle_close(int fd);

/* References to a listening socket. */
void listening_hold(struct listening *);
void listening_drop(struct listening *);

/* At the end of a world. */
void listening_end(void);

/* A new connection, of which nothing is known yet. */
struct connection *network_connection(bool local);

/* How it goes to an address. */
enum world_road network_road(const struct address *);

/* The other side. */
struct end *network_other(const struct end *);

/* Sends; takes `bytes` (malloc'd, may be NULL) and `fds`. */
void network_send_take(struct end *from, enum segment_kind, char *bytes, size_t size, int *fds, size_t fd_count);

/* Bytes that may still be sent from here. */
size_t network_room(const struct end *);

/* `size` bytes of arrived data were taken; removes the first arrived segment when it is used up. */
void network_take(struct end *, size_t size);
void network_drop_first(struct end *);

/* Closes as a kernel does: a reset when something that arrived was not taken, else the end of the stream. */
void network_close(struct end *);

/* Connects: false when nobody listens there (or the road is closed); `*silent_out` when nothing at all comes back. The end given is `from`'s. */
bool network_connect(const struct address *to, const struct address *source, struct end **from_out, bool *silent_out);

/* One way between two such addresses, by the dice. */
int network_delay_ms(const struct address *, bool local);

/* Pieces are no larger. */
size_t network_piece_max(void);

/* As world_peer_identity() said. */
struct stream_credentials network_peer_identity(void);

/* What a stream does when something arrived at its end, or room came. */
void stream_arrived(struct stream *);
