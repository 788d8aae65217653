/* wire/line_ends.h - looks at the line ends of a long run, many bytes at a time.
 *
 * Why       Every byte of every message passes here twice, on its way in and out: byte by byte it would cost more than all else we do with it.
 * Promise   Says the same whatever the size of the run and wherever it was cut.
 * Owns      Nothing.
 * Refuses   Nothing.
 * See       RFC 5321 2.3.8 */
#pragma once
#include "base/span.h"

/* Whether each CR but one at the very end is followed by LF and each LF preceded by CR; `last` is the byte before the run. */
bool line_ends_pair(struct span run, char last);

/* The same, and no byte is NUL. */
bool line_ends_clean(struct span run, char last);
