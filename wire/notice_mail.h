/* wire/notice_mail.h - a mail of Postern's own: a text for a few people.
 *
 * Why       What needs a person is told to the person, and nothing may answer it, or be answered by it, without end.
 * Promise   Seven bits, lines of at most 78 characters, CR LF, whatever the text. Auto-Submitted and the mark by which Postern knows its own.
 * Owns      Nothing.
 * Refuses   Growing past the ceiling of the buffer: false.
 * See       RFC 5322, RFC 2047, RFC 3834; wire/dsn.h, dsn_is_report() */
#pragma once
#include "base/buf.h"

struct notice_mail {
	struct span from;         /* address; the name beside it is Postern's */
	struct span to;           /* addresses, one a line */
	struct span subject;      /* UTF-8 */
	struct span message_id;   /* with brackets */
	struct span language;     /* "en" or "fr" */
	int64_t date_ms;
	struct span text;         /* UTF-8, lines end in LF */
};

/* Puts it, header and body. */
bool notice_mail_put(struct buf *out, const struct notice_mail *);
