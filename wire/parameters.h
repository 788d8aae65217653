/* wire/parameters.h - what may follow the paths of MAIL and RCPT.
 *
 * Why       ESMTP parameters travel through the spool to the provider; they are judged once, where they come in.
 * Promise   ENVID and ORCPT are valid xtext whose text has no control byte, at the lengths of RFC 3461.
 * Owns      Nothing: spans are borrowed from the text.
 * Refuses   Unknown parameters (FAULT_BAD_PARAMETER); broken values and repetition (FAULT_BAD_ARGUMENT).
 * See       RFC 1870, RFC 3030, RFC 3461, RFC 4954 5, RFC 6152, RFC 6531 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum parameters_body { PARAMETERS_7BIT, PARAMETERS_8BITMIME, PARAMETERS_BINARYMIME };

/* RET: what of the message a report should give back. */
enum parameters_return { PARAMETERS_RETURN_UNSAID, PARAMETERS_RETURN_FULL, PARAMETERS_RETURN_HEADERS };

/* NOTIFY: a set; empty when it was not said. */
enum {
	PARAMETERS_NOTIFY_NEVER = 1,
	PARAMETERS_NOTIFY_SUCCESS = 2,
	PARAMETERS_NOTIFY_FAILURE = 4,
	PARAMETERS_NOTIFY_DELAY = 8,
};

struct parameters_mail {
	uint64_t size_bytes; /* SIZE as declared, 0 when not */
	enum parameters_body body;
	bool utf8; /* SMTPUTF8 */
	enum parameters_return returns;
	struct span envelope_id; /* ENVID, still xtext; empty when not given */
};

struct parameters_recipient {
	unsigned notify;
	struct span original; /* ORCPT, "type;xtext" as received; empty when not given */
};

/* Read what follows the path. An empty text gives the defaults. AUTH= is checked and dropped: nothing that a client
 * says of another's identity is believed (RFC 4954 5). */
enum fault parameters_mail(struct parameters_mail *out, struct span text) MUST_CHECK;
enum fault parameters_recipient(struct parameters_recipient *out, struct span text) MUST_CHECK;

/* xtext (RFC 3461 4) and back. False when `out` is full or the text is none. */
bool parameters_xtext(struct buf *out, struct span text);
bool parameters_from_xtext(struct buf *out, struct span xtext);
