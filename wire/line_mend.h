/* wire/line_mend.h - a message as programs write it, with the line ends that mail wants.
 *
 * Why       Programs end lines with LF, CR LF or CR as their system or library does; SMTP knows CR LF alone, and gate refuses the rest.
 * Promise   What comes out holds CR and LF in pairs only, and ends in a pair unless it is empty. The same, however the bytes were cut. CRs right before an LF are
 *           one line end with it; any other CR is one of its own.
 * Owns      Its state.
 * Refuses   Nothing. What stands behind a line with a lone dot is not taken, where that ends the message.
 * See       RFC 5321 2.3.8; the flag -i of sendmail */
#pragma once
#include "base/buf.h"

/* The most that one byte may become: CRs are held until it is known what follows. */
enum { LINE_MEND_HELD_BYTES = 1024 };

struct line_mend {
	bool ends_at_dot;
	bool ended;       /* the lone dot came */
	bool in_line;     /* a line has begun */
	bool holds_dot;   /* it is a dot so far, which was not put yet */
	size_t returns;   /* CRs held */
};

/* With `ends_at_dot` a line that is a lone dot ends the message. */
void line_mend_init(struct line_mend *, bool ends_at_dot);

/* Appends what the bytes become. False when `out` is full: leave room for twice the bytes and twice what is held. */
bool line_mend_put(struct line_mend *, struct span bytes, struct buf *out);

/* Ends the last line. */
bool line_mend_end(struct line_mend *, struct buf *out);
