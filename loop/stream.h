/* loop/stream.h - a connection: bytes in, bytes out, TLS when asked for.
 *
 * Why       Sessions never see a descriptor, and never two kinds of connection.
 * Promise   Callbacks come in this order: opened, data*, ended; after `ended` none. None comes from inside a
 *           call of the owner's. What the owner did not take of the data is kept and offered again with
 *           more, or after stream_resume(). TCP_NODELAY is always set. Every callback may close the stream.
 * Owns      The descriptor, TLS state, unread and unsent bytes, until stream_close().
 * Refuses   More unsent bytes than the ceiling: the stream ends with FAULT_NO_MEMORY.
 * See       loop/real/stream.c, loop/fake/stream.c */
#pragma once
#include "base/fault.h"
#include "loop/address.h"
#include "loop/loop.h"
#include "loop/tls.h"

struct stream;

enum { STREAM_UNREAD_BYTES = 64 * 1024, STREAM_UNSENT_BYTES = 4 * 1024 * 1024, STREAM_DRAIN_BYTES = 64 * 1024 };

struct stream_events {
	/* Connected; called again when TLS is established. */
	void (*opened)(void *self);
	/* Bytes that came; returns how many were taken. */
	size_t (*data)(void *self, struct span bytes);
	/* The unsent bytes went below half of what they were when this was last asked for by stream_unsent() being
	 * over 64 KB; may be NULL. */
	void (*drained)(void *self);
	/* The other side closed (FAULT_CLOSED, `why` empty) or it failed: FAULT_UNREACHABLE, FAULT_TIMEOUT, FAULT_TLS_FAILED,
	 * FAULT_TLS_UNTRUSTED, FAULT_NO_MEMORY, with a text for the log. The owner still calls stream_close(). Data that
	 * came before is offered first; FAULT_CLOSED waits until all of it was taken, since the other side may have closed its
	 * half alone and still wait for replies: writing stays possible. */
	void (*ended)(void *self, enum fault fault, struct span why);
};

/* Connects; `source` (may be NULL) is the address to connect from. Never fails at once: see `ended`. */
struct stream *stream_connect(struct loop *, const struct address *, const struct address *source, int timeout_ms,
			      const struct stream_events *, void *self);

/* A connected socket of one's own (accepted, or one end of a pair); takes the descriptor. `opened` is called. */
struct stream *stream_adopt_take(struct loop *, int fd, const struct stream_events *, void *self);

/* Changes who hears of it; nothing that came is lost. */
void stream_set_events(struct stream *, const struct stream_events *, void *self);

/* Begins TLS on an open stream, after what is unsent. Bytes already read in the clear and not taken are read as the other side's
 * first TLS bytes (a PROXY header and a ClientHello may share a segment); whoever took a STARTTLS command checks first that
 * nothing stands behind it. `host_name`, or address, is verified and sent as SNI. Handshake deadline 30 s. */
void stream_start_tls_server(struct stream *, struct tls *);
void stream_start_tls_client(struct stream *, struct tls *, struct span host_name);

/* Queues bytes to send; they are copied. Sent at the end of the turn, together with what else was queued. */
void stream_write(struct stream *, struct span);

/* Over Unix sockets: sends a descriptor (which it takes) along with the bytes queued next; and takes the oldest that came, or -1.
 * Descriptors that came keep their order, and come no later than the bytes they were sent with. */
void stream_send_fd_take(struct stream *, int fd);
int stream_take_fd(struct stream *);

/* Bytes read and not taken (inside `data`, those of the call count until it returns); bytes queued and not yet given to the
 * kernel. */
size_t stream_unread(const struct stream *);
size_t stream_unsent(const struct stream *);

/* Another ceiling than STREAM_UNSENT_BYTES. */
void stream_set_unsent_max(struct stream *, size_t size_bytes);

/* Whether all that was written has been acknowledged by the other side's kernel (SIOCOUTQ is 0). */
bool stream_is_heard(const struct stream *);

/* Stops and restarts reading; resume also offers again what was not taken. */
void stream_pause(struct stream *);
void stream_resume(struct stream *);

/* Closes at once and frees; sets it to NULL. Unsent bytes are dropped. NULL inside is fine. */
void stream_close(struct stream **);

/* Sends what is queued, says goodbye (TLS close_notify, FIN), then closes, within 10 s, or once 16 MB came that nobody
 * reads any more; frees by itself. No callback comes any more. */
void stream_finish(struct stream **);

/* The other end; for PROXY protocol, stream_set_peer() replaces it with what the balancer said. */
struct address stream_peer(const struct stream *);
void stream_set_peer(struct stream *, const struct address *);

/* Who is at the other end of a Unix socket (SO_PEERCRED); false elsewhere. */
struct stream_credentials {
	uint32_t uid, gid;
	int32_t pid;
};
bool stream_credentials(const struct stream *, struct stream_credentials *out);

/* "TLSv1.3", "TLS_AES_256_GCM_SHA384", or empty without TLS. */
struct span stream_tls_version(const struct stream *);
struct span stream_tls_cipher(const struct stream *);

/* Appends the host names, parted by blanks, of the certificate that the client at the other end showed and that an authority of `client_ca_pem`
 * answers for; nothing where there is none such. */
void stream_tls_names(const struct stream *, struct buf *out);

/* A listening socket. */
struct listener;

/* Binds and listens; returns a descriptor (on the fake side a number with the same use), or -1 and errno. A path is made with mode 0660. */
int listener_bind(const struct address *, int backlog);

/* Accepts on a bound descriptor, which it takes. `accepted` gets a descriptor for stream_adopt_take(). When descriptors run out it waits 100 ms. */
struct listener *listener_new(struct loop *, int fd, void (*accepted)(void *self, int fd, const struct address *peer), void *self);
void listener_free(struct listener **);

/* The address it is bound to (with the port that the system chose). */
struct address listener_address(int fd);

/* Two connected descriptors on this machine, for links between roles; 0, or -1 and errno. */
int stream_pair(int fds_out[2]);
