/* bench/connection.h - a blocking connection that reads lines, in the clear or in TLS.
 *
 * Why       Load tool, sink and ceiling speak SMTP alike, a thread for each connection: simple, and fast enough not to be what is measured.
 * Promise   No delay of Nagle's; a reader waits for at most CONNECTION_WAIT_S.
 * Owns      Its descriptor, its buffer, its TLS state.
 * Refuses   Lines longer than the buffer: the connection counts as lost.
 * See       docs/bench.md */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

enum { CONNECTION_WAIT_S = 60 };

struct connection {
	int fd;
	SSL *tls;
	char *bytes; /* read, and not yet taken: from `start` to `end` */
	size_t start, end, capacity;
};

/* Takes the descriptor. */
void connection_init_take(struct connection *, int fd, size_t capacity);
/* To 127.0.0.1; false when nobody listens. */
bool connection_dial(struct connection *, int port, size_t capacity);
void connection_fini(struct connection *);

/* Each of these is false, or NULL, once the connection is lost. */
bool connection_write(struct connection *, const char *bytes, size_t size);
bool connection_say(struct connection *, const char *text);
bool connection_start_tls(struct connection *, SSL_CTX *, bool is_server);
bool connection_fill(struct connection *);
/* Without its end; valid until the next read. */
char *connection_line(struct connection *);
/* The code of a reply, all its lines read; -1 when lost. */
int connection_reply(struct connection *);

/* Listens on 127.0.0.1, prints `ready PORT`, and starts `serve` in a thread for each connection; its argument is the
 * descriptor. Never returns. */
_Noreturn void connection_serve(int port, void *(*serve)(void *fd));

/* NULL without files: a client that trusts anybody. */
SSL_CTX *connection_tls(const char *certificate, const char *key);

/* Seconds that only grow. */
double connection_now(void);
