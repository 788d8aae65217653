/* base/fault.h - every way to fail, as one enumeration made from tables/faults.def.
 *
 * Why       One row per failure gives the SMTP reply, the HTTP status, the log level, the sentence and
 *           the remedy in both languages; no face of the product invents a text of its own.
 * Promise   FAULT_OK is 0. fault_row() never returns NULL.
 * Owns      Nothing.
 * Refuses   Being ignored: functions that return one are marked MUST_CHECK. */
#pragma once
#include "base/span.h"

#define MUST_CHECK __attribute__((warn_unused_result))

enum fault {
#define FAULT(name, ...) FAULT_##name,
#include "tables/faults.def"
#undef FAULT
	FAULT_COUNT
};

/* What follows from a failure.
 * CLIENT    the peer broke the protocol: a 5xx for it, nothing else changes
 * POLICY    not allowed, or not believed: a 5xx and a line an administrator sees
 * RETRY     passes by itself: tried again, with growing waits
 * HOLD      a person can mend it: kept, announced once, released by itself when mended
 * REFUSE    final: refused, or reported to the sender
 * INTERNAL  ours, or the machine's: 4xx before the commit */
enum fault_class {
	FAULT_CLASS_NONE,
	FAULT_CLASS_CLIENT,
	FAULT_CLASS_POLICY,
	FAULT_CLASS_RETRY,
	FAULT_CLASS_HOLD,
	FAULT_CLASS_REFUSE,
	FAULT_CLASS_INTERNAL,
};

enum level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_NOTICE, LEVEL_WARNING, LEVEL_ERROR };

enum language { LANGUAGE_EN, LANGUAGE_FR, LANGUAGE_COUNT };

struct fault_row {
	const char *name;
	enum fault_class class;
	int smtp;
	const char *enhanced, *imap, *pop;
	int http;
	enum level level;
	const char *says[LANGUAGE_COUNT];
	const char *remedy_pattern[LANGUAGE_COUNT]; /* shown by base/remedy.h, which puts the names of the case into it */
};

/* The row of a failure. */
const struct fault_row *fault_row(enum fault);

/* The failure of that name, or FAULT_COUNT. */
enum fault fault_named(struct span name);

/* "en" or "fr", in any case and with any country behind it; anything else is English. */
enum language language_named(struct span);
const char *language_name(enum language);
