/* loop/http_server.h - HTTP/1.1 requests from strangers.
 *
 * Why       llhttp reads the grammar; the guards it lacks, the limits and the deadlines stand here.
 * Promise   A handler sees only whole requests. Each is answered exactly once, in order, with no sniffing allowed by default.
 * Owns      Its connections.
 * Refuses   What loop/http_parse.h says: no Host or two, Content-Length with Transfer-Encoding, two lengths, bare CR, a header line that
 *           starts with a blank, NUL in a header (400); over 16 KB of headers (431) or 100 of them; a body over `body_bytes_max` (413); a request that takes over 20 s (408);
 *           methods other than GET, HEAD, POST, PUT, PATCH, DELETE (405); HTTP/0.9.
 * See       RFC 9110, RFC 9112; loop/http_parse.h, docs/decisions/0030-http-strictness.md */
#pragma once
#include "base/fault.h"
#include "loop/stream.h"

struct http_server;
struct http_exchange;

enum { HTTP_HEADERS_MAX = 100 };

struct http_server_settings {
	size_t body_bytes_max;   /* 0 means 64 KB */
	size_t connections_max;  /* 0 means 1000; beyond it the oldest idle one is closed */
	int idle_ms;             /* 0 means 60 s */
	bool local;              /* a control socket: peers are known by their credentials */
};

/* What came. All of it lives until http_answer(). */
struct http_seen {
	struct span method, target; /* the target as it came */
	struct span path, query;    /* split at '?', still percent-encoded */
	struct span host;
	struct span body, content_type;
	struct address peer;
	bool tls;
	uint32_t peer_uid, peer_gid; /* SO_PEERCRED, where `local` */
	int32_t peer_pid;
};

/* The first header of that name, or an empty span; the last one, which is what the proxy next to us added. */
struct span http_header(const struct http_exchange *, struct span name);
struct span http_header_last(const struct http_exchange *, struct span name);
const struct http_seen *http_seen(const struct http_exchange *);

/* The value of a form or query field, decoded into `out`; false when absent or malformed. */
bool http_field(struct span encoded, struct span name, struct buf *out);

/* The value of a cookie, or an empty span. */
struct span http_cookie(const struct http_exchange *, struct span name);

typedef void http_handler(void *self, struct http_exchange *);

/* `tls` may be NULL (loopback, a path); it may be replaced at any time. Takes the listening descriptor. */
struct http_server *http_server_new(struct loop *, int listener_fd, struct tls *tls, const struct http_server_settings *,
				    http_handler *, void *self);
void http_server_tls(struct http_server *, struct tls *);

/* Closes idle connections at once, the others after their answer, and frees by itself within 10 s. The handler is not called any more: a
 * request that was only half there gets 503. */
void http_server_finish(struct http_server **);

/* Answers; later or at once. `headers` are added to Content-Length, Date, Connection and the security headers every answer
 * gets (nosniff, no-store, frame-ancestors none, no-referrer). The exchange is gone afterwards. */
void http_answer(struct http_exchange *, int status, struct span content_type, const struct span (*headers)[2], size_t header_count,
		 struct span body);

/* Ends the connection without an answer, as a server that dies would; the exchange is gone afterwards. */
void http_cut(struct http_exchange *);

/* Set by whoever keeps the exchange: called when the connection fails before http_answer(); then http_answer() is still due and does nothing more. A client
 * that only closed its half is none: it may wait for the answer. */
void http_on_gone(struct http_exchange *, void (*gone)(void *self), void *self);
