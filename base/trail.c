#include "base/trail.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct event_row rows[] = {
#define EVENT(name, level, dotted, fields, says) { dotted, LEVEL_##level, fields, says },
#include "tables/events.def"
#undef EVENT
};

static const char *const level_names[] = { "debug", "info", "notice", "warning", "error" };
static const char level_priorities[] = { '7', '6', '5', '4', '3' };

static enum trail_form form = TRAIL_LOGFMT;
static enum level lowest_level = LEVEL_INFO;
static bool configured;
static void (*redirected)(void *self, struct span line);
static void *redirected_self;

const struct event_row *event_row(enum event e)
{
	ASSERT((unsigned)e < EVENT_COUNT);
	return &rows[e];
}

void trail_init(struct trail *t, const char *role, struct span about)
{
	*t = (struct trail){ .role = role };
	if (about.size >= sizeof t->about)
		about.size = sizeof t->about - 1;
	memcpy(t->about, about.at, about.size);
}

void trail_configure(enum trail_form chosen, enum level lowest)
{
	form = chosen;
	lowest_level = lowest;
	configured = true;
}

void trail_configure_named(struct span level_name)
{
	enum level lowest = LEVEL_INFO;

	for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
		if (span_equal(level_name, span_of(level_names[i])))
			lowest = (enum level)i;
	trail_configure(getenv("JOURNAL_STREAM") ? TRAIL_JOURNAL : isatty(STDERR_FILENO) ? TRAIL_LOGFMT : TRAIL_JSON, lowest);
}

void trail_redirect(void (*write)(void *self, struct span line), void *self)
{
	redirected = write;
	redirected_self = self;
}

/* Whether a field stands in the row's list of names. */
static bool is_listed(const char *fields, const char *name)
{
	struct span rest = span_of(fields), piece;

	while (span_cut(&rest, ' ', &piece))
		if (span_equal(piece, span_of(name)))
			return true;
	return false;
}

static void put_json_text(struct buf *b, struct span s)
{
	struct buf clean;

	buf_init(&clean, 16384);
	if (!text_plain(&clean, span_slice(s, 0, 4096)))
		buf_clear(&clean);
	buf_put_byte(b, '"');
	for (size_t i = 0; i < clean.size; i++) {
		if (clean.at[i] == '"' || clean.at[i] == '\\')
			buf_put_byte(b, '\\');
		buf_put_byte(b, clean.at[i]);
	}
	buf_put_byte(b, '"');
	buf_free(&clean);
}

static bool is_bare(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] <= ' ' || s.at[i] == '"' || s.at[i] == '=' || s.at[i] == '\\' || s.at[i] == 127)
			return false;
	return s.size != 0;
}

static void put_field(struct buf *b, const char *name, struct span text, bool quote)
{
	if (form == TRAIL_JSON) {
		buf_print(b, "%s\"%s\":", b->size > 1 ? "," : "", name);
		quote ? put_json_text(b, text) : (void)buf_put(b, text);
		return;
	}
	buf_print(b, "%s%s=", b->size > 3 ? " " : "", name);
	quote && !is_bare(text) ? put_json_text(b, text) : (void)buf_put(b, text);
}

static void put_fields(struct buf *b, const struct event_row *row, const struct trail_field *fields, size_t count)
{
	char number[24];

	for (size_t i = 0; i < count; i++) {
		ASSERT(is_listed(row->fields, fields[i].name));
		if (!fields[i].is_number) {
			put_field(b, fields[i].name, fields[i].text, true);
			continue;
		}
		snprintf(number, sizeof number, "%lld", (long long)fields[i].number);
		put_field(b, fields[i].name, span_of(number), false);
	}
}

static void choose_form(void)
{
	if (!configured)
		form = isatty(STDERR_FILENO) ? TRAIL_LOGFMT : TRAIL_JSON;
	configured = true;
}

static void write_line(struct span line)
{
	if (redirected) {
		redirected(redirected_self, line);
		return;
	}
	while (line.size) {
		ssize_t put = write(STDERR_FILENO, line.at, line.size);

		if (put <= 0)
			return;
		line = span_slice(line, (size_t)put, line.size);
	}
}

void trail_note(const struct trail *t, enum event e, const struct trail_field *fields, size_t count)
{
	const struct event_row *row = event_row(e);
	struct buf b, date;

	choose_form();
	if (row->level < lowest_level || form == TRAIL_SILENT)
		return;
	buf_init(&b, 64 * 1024);
	buf_init(&date, 64);
	text_date(&date, clock_wall_ms());
	if (form == TRAIL_JOURNAL)
		buf_print(&b, "<%c>", level_priorities[row->level]);
	if (form == TRAIL_JSON)
		buf_put_byte(&b, '{');
	put_field(&b, "time", buf_span(&date), true);
	put_field(&b, "level", span_of(level_names[row->level]), true);
	put_field(&b, "role", span_of(t->role), true);
	put_field(&b, "event", span_of(row->name), true);
	if (t->about[0])
		put_field(&b, "about", span_of(t->about), true);
	put_fields(&b, row, fields, count);
	put_field(&b, "says", span_of(row->says), true);
	buf_put(&b, form == TRAIL_JSON ? SPAN("}\n") : SPAN("\n"));
	write_line(buf_span(&b));
	buf_free(&b);
	buf_free(&date);
}
