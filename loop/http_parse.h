/* loop/http_parse.h - HTTP/1.1 requests out of bytes, without I/O.
 *
 * Why       Where two readers of one request disagree on its end, the second request is the attacker's. llhttp reads the grammar of a head
 *           strictly; what it lets pass is refused here, and bodies, which it reads laxly, are read here.
 * Promise   What is said depends on the bytes alone, never on how they were cut. No byte behind a request is taken before
 *           http_parse_next().
 * Owns      The head and the body of the request in hand, up to their ceilings.
 * Refuses   See http_parse_feed(). Everything in one head is refused, not mended: there is no lenient form.
 * See       RFC 9112, RFC 9110; docs/decisions/0030-http-strictness.md */
#pragma once
#include "base/buf.h"

enum { HTTP_HEAD_BYTES = 16 * 1024, HTTP_PARSE_HEADERS_MAX = 100 };

enum http_parse_state {
	HTTP_PARSE_HEAD,      /* in the head, or before it: more bytes are needed */
	HTTP_PARSE_BODY,      /* in the body: more bytes are needed */
	HTTP_PARSE_WHOLE,     /* a request is there */
	HTTP_PARSE_REFUSED,   /* `status` says why; nothing more can be read from this connection */
};

struct http_parse_header {
	struct span name, value;
};

struct http_parse {
	enum http_parse_state state;
	size_t body_max;

	/* Valid in WHOLE, until http_parse_next(). */
	struct span method, target, body_bytes;
	struct http_parse_header headers[HTTP_PARSE_HEADERS_MAX];
	size_t header_count;
	bool keeps_alive; /* the client may send another request */

	int status;       /* in REFUSED: 400, 405, 413, 417, 431, 505 */
	bool wants_continue; /* "100 Continue" is due before the body comes; the caller clears it */

	/* Inside. */
	struct buf head, body;
	size_t line_at; /* where the current line of the head begins */
	bool is_chunked, has_host, has_length, head_is_read;
	unsigned chunk, chunk_digits; /* where in the framing of chunks */
	uint64_t left;                /* of the body, or of the chunk */
	void *grammar;  /* llhttp's state */
};

/* Waits for the first request; `body_bytes_max` is the ceiling of bodies. http_parse_fini() wipes and frees what was read. */
void http_parse_init(struct http_parse *, size_t body_bytes_max);
void http_parse_fini(struct http_parse *);

/* Takes bytes up to the end of one request; returns how many. 0 means: look at `state` first.
 * 400  the grammar; a bare CR or LF; a control character; a header line that begins with a blank; no Host or two in HTTP/1.1;
 *      two lengths, or a length and a transfer coding; a coding other than "chunked"; chunk extensions and trailers, which
 *      nobody sends but smugglers; a target that is not an absolute path; anything that is not HTTP, HTTP/0.9 included
 * 405  a method other than GET, HEAD, POST, PUT, PATCH, DELETE
 * 413  a body over the ceiling         417  an expectation other than 100-continue
 * 431  a head over HTTP_HEAD_BYTES, or more than HTTP_PARSE_HEADERS_MAX headers         505  another version */
size_t http_parse_feed(struct http_parse *, struct span bytes);

/* Forgets the request and waits for the next; its bytes are wiped, since they may hold passwords and cookies. */
void http_parse_next(struct http_parse *);

/* Whether a byte of a request has come that is not whole yet. */
bool http_parse_has_begun(const struct http_parse *);

/* The first header of that name, or an empty span. */
struct span http_parse_header(const struct http_parse *, struct span name);
