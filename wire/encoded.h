/* wire/encoded.h - text of any language inside header fields.
 *
 * Why       Subjects, names of people and names of files hold letters that header fields may not, and each place has a spelling of its own for them.
 * Promise   What is put is ASCII and stays one field, whatever the text holds: line ends and other controls become blanks. Lines are folded at 76 columns where
 *           there is a place to. No character is cut in two.
 * Owns      Nothing.
 * Refuses   Text that is not UTF-8, or growth past the ceiling of `out`: false.
 * See       RFC 5322 2.2.3, 3.2.4; RFC 2047; RFC 2231; RFC 2183 */
#pragma once
#include "base/buf.h"

enum { ENCODED_LINE_BYTES = 76 };

/* The value of an unstructured field; `column` is how long its line is already. */
bool encoded_text(struct buf *out, struct span text, size_t column);

/* A display name: as it is, quoted, or encoded. */
bool encoded_phrase(struct buf *out, struct span text, size_t column);

/* "; name=value" on a line of its own, quoted or as RFC 2231 has it. `name` is a token. */
bool encoded_parameter(struct buf *out, const char *name, struct span value);
