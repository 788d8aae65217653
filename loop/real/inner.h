/* loop/real/inner.h - what the real sides of loop/ know of one another.
 *
 * Why       libuv and OpenSSL are named here and in the .c files beside it, nowhere else.
 * Promise   A turn of the loop is: what happened on descriptors, then due timers, then what was put off by loop_soon(),
 *           then one write for each stream that has something to send, then what died is freed.
 * Owns      See each struct.
 * Refuses   Nothing.
 * See       loop/loop.h, loop/stream.h, loop/tls.h */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "loop/address.h"
#include "loop/loop.h"
#include "loop/stream.h"
#include "loop/tls.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

/* --- loop.c */

/* A thing to do later in this turn, or in the next; lives inside its owner. Zeroed means idle. */
struct errand {
	struct errand *next, *previous;
	void (*run)(void *self);
	void *self;
};

/* Puts it on a list, unless it is on one: to be run before the loop sleeps; at the end of the turn, for writing; after
 * that, for freeing. */
void loop_soon(struct loop *, struct errand *);
void loop_at_end(struct loop *, struct errand *);
void loop_bury(struct loop *, struct errand *);
void loop_cancel(struct errand *);

/* Counts what the owner must close before loop_free(). */
void loop_opened(struct loop *, int by);

/* What must be closed by loop_free() itself: `run` is called then. */
void loop_at_exit(struct loop *, struct errand *);

/* Space that every stream reads into, valid until its callbacks return. */
enum { LOOP_RAW_BYTES = STREAM_UNREAD_BYTES, LOOP_PLAIN_BYTES = 2 * STREAM_UNREAD_BYTES + 20 * 1024 };
char *loop_raw(struct loop *);
char *loop_plain(struct loop *);

/* Memory for the bytes of one buffer that is empty now, from a small store of the loop's; and back again. */
void loop_lend(struct loop *, struct buf *);
void loop_return(struct loop *, struct buf *);

/* --- watch.c */

enum { WATCH_READ = 1, WATCH_WRITE = 2, WATCH_FAILED = 4 };

/* Waits for a descriptor. Zeroed means none. */
struct watch {
	struct loop *loop;
	struct watch_handle *handle;
	void (*ready)(void *self, unsigned events);
	void *self;
	unsigned wanted;
};

/* Begins with nothing wanted. The descriptor becomes non-blocking and stays the caller's. False: it can't be watched.
 */
bool watch_open(struct watch *, struct loop *, int fd, void (*ready)(void *self, unsigned events), void *self);
bool watch_is_open(const struct watch *);

/* `events` is of WATCH_READ and WATCH_WRITE; WATCH_FAILED comes also when none is wanted. */
void watch_want(struct watch *, unsigned events);

/* Before the descriptor is closed. No `ready` comes any more. */
void watch_close(struct watch *);

/* Frees the handles kept for reuse. */
void watch_forget(struct watch_handle *);
struct watch_handle **loop_watches(struct loop *);
struct uv_loop_s *loop_uv(struct loop *);

/* --- socket.c */

/* Between our addresses and the kernel's, paths of Unix sockets included; socket_name() gives the size of what it filled in. */
socklen_t socket_name(struct sockaddr_storage *out, const struct address *);
struct address socket_address(const struct sockaddr_storage *, socklen_t size);

/* A new socket on its way to `to`, or -1 and errno; `source` may be NULL. */
int socket_connect(const struct address *to, const struct address *source);

/* The error that waits on a socket; 0 for none. */
int socket_error(int fd);

/* Descriptors that came and were not taken yet, oldest first. */
enum { DESCRIPTORS_MAX = 32 };
struct descriptors {
	int at[DESCRIPTORS_MAX];
	size_t count;
};

/* One read; with `descriptors` also of what was passed along. -1 and errno, as recv(); ENOBUFS: too many descriptors
 * wait. */
ssize_t socket_receive(int fd, char *bytes_out, size_t size, struct descriptors *descriptors);
int socket_take_descriptor(struct descriptors *);
void socket_close_descriptors(struct descriptors *);

/* --- outbox.c: bytes on their way out, and descriptors at their places among them */

struct outbox {
	struct buf bytes;
	size_t gone;          /* of `bytes`, already sent */
	uint64_t gone_before; /* sent and dropped from `bytes` */
	struct outbox_fd *fds;
	size_t fd_count, fd_room;
};

/* Empty, with a ceiling for the bytes that wait. outbox_free() closes the descriptors that did not go; outbox_put() is false when the ceiling is
 * reached. */
void outbox_init(struct outbox *, size_t max_bytes);
void outbox_free(struct outbox *, struct loop *);
bool outbox_put(struct outbox *, struct loop *, struct span);

/* The descriptor goes along with the byte put next; it is taken. */
void outbox_put_fd_take(struct outbox *, int fd);
size_t outbox_size(const struct outbox *);

/* What is next to go; what went. The memory goes back to the loop when all went. */
struct span outbox_next(const struct outbox *, size_t size_max);
void outbox_went(struct outbox *, struct loop *, size_t size);

/* Sends until all went (1) or the kernel takes no more (0); -1 and errno. */
int outbox_send(struct outbox *, struct loop *, int fd);

/* --- cipher.c: TLS between two runs of bytes, without a descriptor */

struct cipher;

/* What TLS has to send is put into `out`. `host_name` of the client form is copied. */
struct cipher *cipher_server_new(struct tls *, struct buf *out);
struct cipher *cipher_client_new(struct tls *, struct span host_name, struct buf *out);
void cipher_free(struct cipher **);

/* Bytes that came; borrowed until they are used up by cipher_read() and cipher_shake(). */
void cipher_feed(struct cipher *, struct span);

/* Goes on with the handshake. FAULT_OK also when more bytes are needed: see cipher_is_open(). */
MUST_CHECK enum fault cipher_shake(struct cipher *);
bool cipher_is_open(const struct cipher *);

/* Reads what can be read of the bytes fed. FAULT_CLOSED: the other side said goodbye. */
MUST_CHECK enum fault cipher_read(struct cipher *, char *bytes_out, size_t size, size_t *size_out);
MUST_CHECK enum fault cipher_write(struct cipher *, struct span);
void cipher_goodbye(struct cipher *);

/* A text for the log about the last failure. */
const char *cipher_why(const struct cipher *);
struct span cipher_version(const struct cipher *);
struct span cipher_name(const struct cipher *);

/* As stream_tls_names() has it. */
void cipher_names(const struct cipher *, struct buf *out);

/* --- tls.c */

/* The context that connections of this identity are made from; borrowed. */
SSL_CTX *tls_context(const struct tls *);

/* What a client shows where it is asked, and the key that proves it; NULL for nothing. Borrowed. */
struct tls_identity {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) * chain;
};
const struct tls_identity *tls_identity(const struct tls *);
