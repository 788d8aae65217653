/* tests/replay/scenario.h - a scenario file, read into lines of words.
 *
 * Why       Scenarios are read and written by people who are not reading C.
 * Promise   Every line is one of: nothing or a comment; a preparation; WHEN and what is done; an expectation. Numbers may be a range, from which
 *           one is chosen for each seed: by the line's own text, so that taking away another line changes nothing in it.
 * Owns      Its words, until scenario_free().
 * Refuses   Lines it does not understand: a text with the line's number.
 * See       tests/replay/README.md for the language */
#pragma once
#include "base/arena.h"
#include "base/buf.h"

enum { SCENARIO_LINES_MAX = 200, SCENARIO_WORDS_MAX = 24, SCENARIO_BYTES = 64 * 1024 };

enum scenario_kind {
	SCENARIO_PREPARE, /* "boot ...", "client ...", "mailbox ...", "people ...", "until ..." */
	SCENARIO_AT,      /* "at MS [every MS times N] ..." */
	SCENARIO_STEP,    /* "step N ..." */
	SCENARIO_WHEN,    /* "when TEXT [times N] [after MS] ..." */
	SCENARIO_EXPECT,  /* "expect ..." */
};

struct scenario_line {
	unsigned number;
	struct span source; /* as it stands in the file, without what surrounds it */
	enum scenario_kind kind;
	int64_t at_ms;       /* AT: since the play began. WHEN: since the text was seen, or -1 for at once. STEP: after so many things happened */
	struct span text;    /* WHEN */
	unsigned times;      /* WHEN: at which sight of it. AT: how often */
	int64_t every_ms;    /* AT, when more than once */
	unsigned seen;       /* the player's: so often so far */
	int64_t bucket;      /* the player's, of "expect rate": which stretch of time is being counted, how often it was said in it, and in the fullest */
	uint64_t in_bucket, most;
	size_t count;
	struct span words[SCENARIO_WORDS_MAX]; /* what is to be done or expected */
};

struct scenario {
	struct arena *arena;
	size_t count;
	struct scenario_line lines[SCENARIO_LINES_MAX];
};

/* Appends the text of the scenario as this seed plays it: ranges are numbers (save in what is expected), comments are gone, lines keep their numbers. */
void scenario_roll(struct span text, uint64_t seed, struct buf *out);

/* Reads what was rolled; false and a text (256 bytes) when it is malformed. */
bool scenario_read(struct scenario *, struct span text, char *why_out);
void scenario_free(struct scenario *);

/* The next word of a line: what stands before a blank, or between two quotes of either kind, which `quoted_out` then tells. A # begins a comment. */
bool scenario_word(struct span *rest, struct span *word_out, bool *quoted_out);

/* A number. */
bool scenario_number(struct span, int64_t *out);

/* Whether a number is the one, or of the range, that the text says. */
bool scenario_within(struct span, int64_t number);

/* Whether `text` is like `pattern`, in which * is anything. */
bool scenario_like(struct span text, struct span pattern);

/* The value behind a word among `words`, or an empty span; whether the word stands there. */
struct span scenario_option(const struct scenario_line *, const char *word);
bool scenario_has(const struct scenario_line *, const char *word);
