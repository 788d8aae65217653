/* base/trail.h - the only way to the log.
 *
 * Why       Every event is a row of tables/events.def with its level, its fields and a sentence, so that the log can be documented,
 *           searched and translated, and a secret has no way in.
 * Promise   One record a call, in RFC 3339 UTC: logfmt on a terminal, JSON lines otherwise, with a `<N>` priority before the line under
 *           systemd. Field values are cleaned: no record can be split or faked by input.
 * Owns      The lines that are being written, and those a loop's thread gathers until its turn ends or the process panics.
 * Refuses   Fields that are not in the row: panics in test builds, marks them in others.
 * See       tables/events.def */
#pragma once
#include "base/fault.h"

enum event {
#define EVENT(name, ...) EVENT_##name,
#include "tables/events.def"
#undef EVENT
	EVENT_COUNT
};

struct trail_field {
	const char *name;
	struct span text;
	int64_t number;
	bool is_number;
};

#define TRAIL_TEXT(name, span) ((struct trail_field){ name, span, 0, false })
#define TRAIL_NUMBER(name, number) ((struct trail_field){ name, { 0, 0 }, (int64_t)(number), true })

/* Who speaks: the role's name, and what it is about (a session, a message, a mailbox), which may be empty. */
struct trail {
	const char *role;
	char about[48];
};

/* Prepares a trail; `about` is cut to fit. */
void trail_init(struct trail *, const char *role, struct span about);

/* Says it: TRAIL(&t, EVENT_X, TRAIL_TEXT("client", s), TRAIL_NUMBER("count", 3)). */
#define TRAIL(trail, event, ...)                                                                                  \
	trail_note(trail, event, (const struct trail_field[]){ { 0 }, ##__VA_ARGS__ } + 1,                         \
		   sizeof((const struct trail_field[]){ { 0 }, ##__VA_ARGS__ }) / sizeof(struct trail_field) - 1)

/* Whether an event of that level is written at all: for callers with work to do before they can say it. */
bool trail_says(enum event);

/* What TRAIL() calls: writes one record with `count` fields, unless the event's level is below the one configured. */
void trail_note(const struct trail *, enum event, const struct trail_field *, size_t count);

enum trail_form { TRAIL_LOGFMT, TRAIL_JSON, TRAIL_JOURNAL, TRAIL_SILENT };

/* What is written, and from which level on. Without a call: logfmt or JSON by isatty(2), level info. */
void trail_configure(enum trail_form, enum level lowest);

/* As a daemon speaks: for the journal under systemd, logfmt on a terminal, JSON lines otherwise; from the level of that name on, info where it is none. */
void trail_configure_named(struct span level_name);

/* While a thread gathers, its lines below `warning` wait for trail_flush(), which a loop calls once a turn: one write for many lines.
 * Not where `debug` is written: who looks so closely wants to know what was last, also of a process that is killed. */
void trail_gather(bool);
void trail_flush(void);

/* Where lines go instead of standard error; for replay and tests. NULL restores. */
void trail_redirect(void (*write)(void *self, struct span line), void *self);

struct event_row {
	const char *name;
	enum level level;
	const char *fields, *says;
};

/* The row of an event in tables/events.def. */
const struct event_row *event_row(enum event);
