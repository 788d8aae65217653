/* loop/http_client.h - one HTTP request, one answer.
 *
 * Why       Token endpoints, discovery, keys and, later, Graph are all a request and an answer of bounded size.
 * Promise   `done` is called exactly once unless cancelled, never from inside http_fetch(). Never follows a redirect, never repeats
 *           a request by itself, never sends a secret over plain http except to loopback. HTTPS is always verified.
 * Owns      Connections kept open to each host, for requests with a body; one without a body gets a connection of its own, so that no library
 *           beneath repeats it.
 * Refuses   Answers over `answer_bytes_max` (FAULT_TOO_LARGE), http:// to anywhere but loopback (FAULT_TLS_MISSING).
 * See       loop/real/http_client.c (libcurl, addresses from loop/dns.h), loop/fake/http_client.c */
#pragma once
#include "base/fault.h"
#include "loop/dns.h"

struct http_client;
struct http_fetch;

struct http_header {
	struct span name, value;
};

struct http_request {
	struct span method, url;          /* "POST", "https://host/path?query" */
	const struct http_header *headers;
	size_t header_count;
	struct span body;                 /* copied; wiped afterwards */
	int timeout_ms;                   /* for the whole of it; connecting gets at most 5 s of it */
	size_t answer_bytes_max;          /* 0 means 256 KB */
};

struct http_answer {
	enum fault fault;                 /* FAULT_OK whenever there is a status, else how it failed */
	struct span why;                  /* a text for the log when it failed; never holds a secret */
	int status;
	struct span content_type, location, date;
	int64_t retry_after_ms;           /* -1 when there is none; an HTTP date counts from now */
	struct span body;                 /* valid during the callback */
};

typedef void http_done(void *self, const struct http_answer *);

/* `ca_pem` is the CA bundle; replaced by http_client_trust() for connections to come. */
struct http_client *http_client_new(struct loop *, struct dns *, struct span ca_pem);
void http_client_trust(struct http_client *, struct span ca_pem);

/* Cancels what is under way. Not from inside a `done`. */
void http_client_free(struct http_client **);

/* Sends the request, which is copied. http_cancel() gives it up: `done` is not called any more. */
struct http_fetch *http_fetch(struct http_client *, const struct http_request *, http_done *done, void *self);
void http_cancel(struct http_fetch **);
