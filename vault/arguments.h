/* vault/arguments.h - what people give to operations, checked.
 *
 * Why       Every setting is refused at the door, with a sentence that names it, or is good.
 * Promise   A reader changes its target only when the argument is there and good. The first thing wrong is what `why` says.
 * Owns      Nothing; what is read is copied into the arena.
 * Refuses   FAULT_MALFORMED, with a text. */
#pragma once
#include "base/arena.h"
#include "base/json.h"
#include "vault/registry.h"

struct arguments {
	const json_t *json;
	struct arena *arena;
	enum fault fault;
	char why[512];
};

/* Notes what is wrong, unless something was already. */
void arguments_wrong(struct arguments *, enum fault, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether the argument was given. */
bool arguments_has(const struct arguments *, const char *name);

/* A name: 1 to 64 bytes of text without blanks, `@`, `/` or controls. */
void arguments_name(struct arguments *, const char *name, struct span *out);

/* A line of text for people, at most 200 bytes, perhaps empty. */
void arguments_line(struct arguments *, const char *name, struct span *out);

/* A word without blanks, at most 2,000 bytes, perhaps empty: addresses on the web, numbers of tenants. */
void arguments_word(struct arguments *, const char *name, struct span *out);

/* A mail address, or empty where `may_be_empty`. */
void arguments_address(struct arguments *, const char *name, bool may_be_empty, struct span *out);

/* en or fr; yes or no; a number, as JSON or as text. */
void arguments_language(struct arguments *, const char *name, enum language *out);
void arguments_flag(struct arguments *, const char *name, bool *out);
void arguments_number(struct arguments *, const char *name, int64_t least, int64_t most, int64_t *out);

/* Seconds ("5", "5s", "0") or "250ms", as milliseconds. */
void arguments_wait(struct arguments *, const char *name, int64_t *ms_out);

/* One of the words of `words` (parted by blanks), as its place among them, plus `first`. */
void arguments_choice(struct arguments *, const char *name, const char *words, int64_t first, int64_t *out);

/* A list, one a line, none twice where they are ways. Each is checked; empty ones are left out, so that one empty text empties the list. */
enum arguments_kind {
	ARGUMENTS_ADDRESS,   /* user@host */
	ARGUMENTS_SENDER,    /* user@host or @host */
	ARGUMENTS_NETWORK,   /* 192.0.2.0/24 */
	ARGUMENTS_NAME,
	ARGUMENTS_WAY,       /* a name of tables/ways.def */
	ARGUMENTS_MAP,       /* "from to" or "from=to", senders both, the second an address */
};
void arguments_list(struct arguments *, const char *name, enum arguments_kind, struct span *out);
