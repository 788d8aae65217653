/* base/text.h - bytes as text and back.
 *
 * Why       base64, hexadecimal, percent and dates are needed everywhere and wrong in subtle ways.
 * Promise   Encoders put whole encodings or nothing (see buf_put). Decoders accept what they say, no more.
 * Owns      Nothing.
 * Refuses   Malformed input: false, and what stands in `out` is then of no use.
 * See       RFC 4648, RFC 3986, RFC 5322 3.3, RFC 3339 */
#pragma once
#include "base/buf.h"

/* base64 with padding; the `url` form uses - and _ and none. */
bool text_base64(struct buf *out, struct span bytes);
bool text_base64_url(struct buf *out, struct span bytes);

/* Either alphabet is not mixed: the plain decoder takes + and /, the url one - and _. Padding may be
 * missing but not wrong; blanks and line ends are refused. */
bool text_from_base64(struct buf *out, struct span text);
bool text_from_base64_url(struct buf *out, struct span text);

/* Lower-case hexadecimal. */
bool text_hex(struct buf *out, struct span bytes);
bool text_from_hex(struct buf *out, struct span text);

/* application/x-www-form-urlencoded; a blank becomes %20, `+` decodes to a blank. */
bool text_percent(struct buf *out, struct span bytes);
bool text_from_percent(struct buf *out, struct span text);

/* The five characters that HTML and attributes cannot hold become entities. */
bool text_html(struct buf *out, struct span bytes);

/* Bytes that could break a line or a terminal become `?`: for replies, logs, reports.
 * UTF-8 that is whole stays; U+2028, U+2029 and C1 controls do not. */
bool text_plain(struct buf *out, struct span bytes);

/* "Mon, 01 Jun 2015 12:00:00 +0000" (RFC 5322) and "2015-06-01T12:00:00.000Z" (RFC 3339). */
bool text_mail_date(struct buf *out, int64_t wall_ms);
bool text_date(struct buf *out, int64_t wall_ms);

/* "2027-01-31" (its first moment, UTC) or RFC 3339, from the year 1970 to 9999. */
bool text_from_date(struct span text, int64_t *wall_ms_out);

/* Whether every byte is ASCII; whether it is well-formed UTF-8. */
bool text_is_ascii(struct span);
bool text_is_utf8(struct span);

/* Whether nothing in well-formed UTF-8 hides from people, or is ASCII in another dress: no invisible or formatting character, no blank but the
 * space, no full-width form. Letters of other scripts that look alike are not told apart. */
bool text_hides_nothing(struct span);
