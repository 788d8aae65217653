/* twin/graph_mime.h - messages as bytes, as far as the simulated Graph must understand them.
 *
 * Why       Graph takes recipients from the header, hides Bcc, and puts messages together from JSON and attachments.
 * Promise   Header lines that are not asked about stay byte for byte.
 * Owns      Nothing.
 * Refuses   Nothing: what has no header block is judged by the caller.
 * See       RFC 5322, RFC 2045, RFC 2046, RFC 2047 */
#pragma once
#include "base/buf.h"

struct json_t;

/* A file that is put to a message. */
struct graph_attachment {
	struct graph_attachment *next;
	char name[256], type[128], content_id[128];
	bool is_inline;
	struct buf bytes;
};

/* The addresses of every header of that name, appended, parted by blanks; how many. Display names, comments and groups are passed over. */
size_t graph_mime_addresses(struct span mail, struct span name, struct buf *out);

/* The message without the headers of that name, appended. */
void graph_mime_without(struct span mail, struct span name, struct buf *out);

/* The message with its attachments: in its own multipart/mixed where it is one, else in a new one around it. */
void graph_mime_attach(struct span mail, const struct graph_attachment *first, struct buf *out);

/* base64 in lines of 76, appended. */
void graph_mime_base64(struct buf *out, struct span bytes);
