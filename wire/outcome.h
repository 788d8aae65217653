/* wire/outcome.h - what became of one recipient, or of one session: a value that travels unbroken.
 *
 * Why       The provider's own words decide what happens next, and stand in the reply, in the report and in the
 *           console; copied from hand to hand as loose strings they would be cut and guessed at.
 * Promise   Its text is clean for a terminal, a reply line and a report, and ends in NUL. It holds no pointer, so it
 *           may be stored and sent as it is.
 * Owns      Its bytes.
 * Refuses   Control bytes and broken UTF-8 (they become `?`), and text past its size (cut, marked by "...").
 * See       RFC 3463 */
#pragma once
#include "base/fault.h"

/* So that code, enhanced code, text and line end fit one reply line of 512 bytes (RFC 5321 4.5.3.1.5). */
enum { OUTCOME_ENHANCED_BYTES = 12, OUTCOME_TEXT_BYTES = 480 };

struct outcome {
	enum fault fault;                      /* FAULT_OK, or the row that says what it means */
	int code;                              /* the remote's reply code; 0 when no remote spoke */
	char enhanced[OUTCOME_ENHANCED_BYTES]; /* "5.7.139", or empty */
	char text[OUTCOME_TEXT_BYTES];         /* the remote's words, lines joined by blanks; ours when code is 0 */
};

/* What follows from it. */
enum outcome_next {
	OUTCOME_DONE,   /* accepted */
	OUTCOME_RETRY,  /* passes by itself */
	OUTCOME_HOLD,   /* a person can mend it */
	OUTCOME_REFUSE, /* final */
};

/* From a remote's reply. An enhanced code that is not of the form of RFC 3463 is left out. */
void outcome_set(struct outcome *, enum fault, int code, struct span enhanced, struct span text);

/* From a row of ours: code 0, its enhanced code, its English sentence. */
void outcome_own(struct outcome *, enum fault);

/* As outcome_own(), with a sentence that says more than the row can. */
void outcome_say(struct outcome *, enum fault, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* By the class of its fault: CLIENT, POLICY and REFUSE are final, RETRY and INTERNAL pass. */
enum outcome_next outcome_next(const struct outcome *);

/* Room for outcome_words(): code, enhanced code and text with a NUL. */
enum { OUTCOME_WORDS_BYTES = OUTCOME_TEXT_BYTES + OUTCOME_ENHANCED_BYTES + 8 };

/* The whole reply as people know it, "535 5.7.139 Authentication unsuccessful ...", in `words_out`; our own text where no remote spoke. Returns it. */
struct span outcome_words(const struct outcome *, char words_out[OUTCOME_WORDS_BYTES]);

/* Whether this is an enhanced status code: "5.7.139" (RFC 3463 2). */
bool outcome_is_enhanced(struct span);
