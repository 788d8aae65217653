/* loop/real/pump.h - the inside of a stream: what moves bytes between the socket, TLS and the owner.
 *
 * Why       stream.c is what owners call; pump.c is what the loop calls. Both see this struct, nobody else does.
 * Promise   Owners are called from pump.c alone, and never from inside a function of stream.h.
 * Owns      See loop/stream.h.
 * Refuses   Nothing. */
#pragma once
#include "loop/real/inner.h"

enum { PUMP_SHAKE_MS = 30 * 1000, PUMP_SEALED_BYTES = 128 * 1024 };

enum phase { CONNECTING, OPEN, SHAKING, ENCRYPTED };

struct stream {
	struct loop *loop;
	const struct stream_events *events;
	void *self;
	int fd;
	enum phase phase;
	struct watch watch;
	struct timer deadline;
	struct errand tell, flush, grave;
	struct buf unread;
	struct outbox plain, out; /* `plain` waits to be encrypted, `out` to be sent */
	struct cipher *cipher;
	struct descriptors descriptors;
	size_t offered, unsent_max, drain_mark, ignored; /* ignored: what came while finishing */
	bool owes_opened, owes_offer, owes_shake, owes_drained; /* to be done by `tell` */
	bool paused, deaf;                                      /* deaf: paused, and bytes came that wake us in vain */
	bool blocked;                                           /* the kernel takes no more */
	bool hung;    /* the connection is dead, what it holds can still be read */
	bool dropped; /* something written was never sent */
	bool at_end, ended, finishing, said_goodbye, closed, is_unix, has_peer;
	enum fault fault;
	int timeout_ms;
	char why[224];
	struct address peer;
};

/* What the loop calls. */
void pump_tell(void *stream);
void pump_flush(void *stream);
void pump_ready(void *stream, unsigned events);
void pump_deadline(void *stream);

/* The stream has failed: the owner hears of it soon. The first failure counts. */
void pump_fail(struct stream *, enum fault, const char *format, ...) __attribute__((format(printf, 3, 4)));
void pump_fail_errno(struct stream *, int number);

/* Waits for what the stream now has use for. */
void pump_rewatch(struct stream *);

/* Makes `bytes` the kept ones. */
void pump_keep(struct stream *, struct span bytes);
size_t pump_unsent(const struct stream *);

/* Closes everything; the memory goes at the end of the turn. */
void stream_destroy(struct stream *);
