/* wire/recognise.h - what a provider means by what it said.
 *
 * Why       Providers put permanent troubles in transient codes, quotas in permanent ones, and the one fact that counts
 *           deep in a sentence. A failure that is recognised gets its class, a sentence and a remedy (base/fault.h).
 * Promise   Blanks, line ends, quotes, escapes (JSON, HTML, URL, quoted-printable), repeated codes of multi-line
 *           replies, and what stands before and behind make no difference. Time grows with the text and the table.
 * Owns      Nothing; no state, nothing kept.
 * Refuses   Text beyond RECOGNISE_BYTES: it is not looked at. FAULT_OK means not recognised, never success.
 * See       tables/replies.def; RFC 3463, RFC 6749 5.2, RFC 8628 3.5 */
#pragma once
#include "base/fault.h"
#include "base/span.h"

enum { RECOGNISE_BYTES = 65536 };

/* A reply of SMTP. `code` is its three digits; `enhanced` its RFC 3463 code ("5.7.139") or empty, when it is looked for
 * in the text; `text` is what follows, of a multi-line reply all lines. FAULT_OK when unknown: then the class follows
 * from the first digit. */
MUST_CHECK enum fault recognise_reply(int code, struct span enhanced, struct span text);

/* An error of a token or device-authorization endpoint, or one that came to the redirect address: its members `error`,
 * `suberror` and `error_description`, decoded, each possibly empty. The word decides whether to wait; the number in the
 * description may then name the cause more closely; else the word has a meaning of its own. FAULT_OK when all three are
 * unknown. */
MUST_CHECK enum fault recognise_token_error(struct span error, struct span suberror, struct span description);

/* Whatever a person pasted: a reply, a log line, a bounce, an error page, a number alone. Codes, numbers and words are
 * found in it. */
MUST_CHECK enum fault recognise_text(struct span pasted);
