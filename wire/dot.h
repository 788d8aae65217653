/* wire/dot.h - the body of a message on its way out: dots doubled, bare line ends refused.
 *
 * Why       A server that takes a lone CR or LF for a line end can be made to see a second message in ours (SMTP
 *           smuggling); what never leaves cannot be misread.
 * Promise   What comes out holds CR and LF in pairs only and no line that is a lone dot before dot_end(), however
 *           the bytes were cut.
 * Owns      Two flags.
 * Refuses   FAULT_BARE_NEWLINE at the first CR without LF, or LF without CR.
 * See       RFC 5321 2.3.8, 4.5.2 */
#pragma once
#include "base/fault.h"

/* The most that dot_end() puts. */
enum { DOT_END_BYTES = 5 };

struct dot {
	bool inside_line; /* a line has begun and not ended */
	bool after_cr;    /* the last byte was CR */
};

/* At the beginning of a message. */
void dot_init(struct dot *);

/* Copies from the front of `rest`, which moves on, to `to`, doubling dots; at most `room` bytes, of which one
 * may stay free. `put_out` is how many came out, also when it refuses. */
enum fault dot_put(struct dot *, struct span *rest, char *to, size_t room, size_t *put_out) MUST_CHECK;

/* Ends the last line if need be, and the message; `to` has DOT_END_BYTES. */
enum fault dot_end(struct dot *, char *to, size_t *put_out) MUST_CHECK;

/* Only looks, for bytes that go as they are, in chunks: at some of them, and at the end. */
enum fault dot_check(struct dot *, struct span bytes) MUST_CHECK;
enum fault dot_check_end(const struct dot *) MUST_CHECK;
