/* twin/twin_http.h - a request and a response as the pages and endpoints see them.
 *
 * Why       Everything behind HTTP is a function from one to the other, which a test calls without a socket.
 * Promise   A response is filled by exactly one handler; empty members are left out of the answer.
 * Owns      The response its buffers, until twin_response_fini(). A request borrows.
 * Refuses   Fields over TWIN_FIELD_BYTES, malformed percent-encoding: as if the field were missing.
 * See       twin/twin.h joins this with loop/http_server.h */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum { TWIN_FIELD_BYTES = 16 * 1024, TWIN_PAGE_BYTES = 512 * 1024, TWIN_ANSWER_BYTES = 768 * 1024 * 1024 };

struct twin_request {
	struct span method, path, query, body, content_type;
	struct span authorization, accept_language, origin;
	struct span content_range, prefer, upload_length; /* the last: X-Upload-Content-Length */
	struct span session; /* the sign-in cookie */
	enum language language;
	int64_t wall_ms;
};

struct twin_response {
	int status;
	const char *content_type;
	struct buf body;
	struct buf location, cookie;
	struct buf range;       /* what has come of an upload: "bytes=0-N" */
	struct buf form_action; /* the origin that a form may lead to besides this one */
	int64_t retry_after_s;  /* -1 for none */
	struct span retry_after; /* a text instead, or empty */
	bool cut;               /* end the connection without an answer */
};

/* A response that says 200 and nothing. */
void twin_response_init(struct twin_response *);
void twin_response_fini(struct twin_response *);

/* A field of the form in the body (POST) or of the query (GET), appended; false when it is missing. */
bool twin_field(const struct twin_request *, struct span name, struct buf *out);

/* The same in a text of one's own. */
bool twin_field_in(struct span encoded, struct span name, struct buf *out);

/* The same as a text of at most `room` - 1 bytes without NUL bytes; empty when missing or longer. */
void twin_field_text(const struct twin_request *, struct span name, char *out, size_t room);

/* Whether it is a GET (or HEAD); a POST. */
bool twin_is_get(const struct twin_request *);
bool twin_is_post(const struct twin_request *);

/* Sends the browser on. */
void twin_redirect(struct twin_response *, struct span location);

/* The language that the browser asks for first, of those there are. */
enum language twin_language(struct span accept_language);
