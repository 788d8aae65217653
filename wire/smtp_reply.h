/* wire/smtp_reply.h - reads the replies of an SMTP server, one at a time, however they are cut.
 *
 * Why       Providers answer in many lines, with lines longer than the RFC allows, with and without the blank
 *           behind the code; one place knows all of that.
 * Promise   The same replies come out however the bytes were cut. Bytes behind the end of a line are not taken.
 * Owns      The text of the reply in hand, at most SMTP_REPLY_TEXT_BYTES; what is longer is read and dropped.
 * Refuses   Lines that begin with no code from 200 to 599, and replies over SMTP_REPLY_TOTAL_BYTES.
 * See       RFC 5321 4.2, RFC 2034 4 */
#pragma once
#include "wire/outcome.h"

enum { SMTP_REPLY_TEXT_BYTES = 4096, SMTP_REPLY_TOTAL_BYTES = 256 * 1024 };

enum smtp_reply_end {
	SMTP_REPLY_MORE,   /* the bytes ended inside a line */
	SMTP_REPLY_LINE,   /* one line of a longer reply ended: see smtp_reply_line() */
	SMTP_REPLY_WHOLE,  /* the reply is complete */
	SMTP_REPLY_BROKEN, /* this is no reply; it stays so until smtp_reply_init() */
};

struct smtp_reply {
	int code;                              /* of the last line read: it decides */
	char enhanced[OUTCOME_ENHANCED_BYTES]; /* the first one that stood at the head of a line, or empty */
	char text[SMTP_REPLY_TEXT_BYTES];      /* see smtp_reply_text() */
	size_t text_size;
	/* the parser's own: */
	enum smtp_reply_end end;
	size_t line_at, total_bytes;
	unsigned column;
	bool last_line, after_cr;
};

/* Ready for the first reply. */
void smtp_reply_init(struct smtp_reply *);

/* Takes bytes up to the end of one line and says what ended there; returns how many it took. The first byte
 * after SMTP_REPLY_WHOLE begins a new reply. */
size_t smtp_reply_feed(struct smtp_reply *, struct span bytes, enum smtp_reply_end *end_out);

/* The text of the line that just ended, without its code and enhanced code. */
struct span smtp_reply_line(const struct smtp_reply *);

/* Takes that line out of the text again: a list of capabilities is read line by line and may be longer. */
void smtp_reply_drop_line(struct smtp_reply *);

/* The text of the reply, lines joined by one blank, and its enhanced code. Both live until the next feed. */
struct span smtp_reply_text(const struct smtp_reply *);
struct span smtp_reply_enhanced(const struct smtp_reply *);
