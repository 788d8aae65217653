#include "base/trail.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 4096, LINE_BYTES = 1024, LINE_BYTES_MAX = 64 * 1024, GATHERED_BYTES = 16 * 1024, NUMBER_BYTES = 24, DATE_BYTES = 40 };

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

/* Printable ASCII without a quote or a backslash, as nearly all is. */
static bool is_plain(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] < ' ' || s.at[i] > '~' || s.at[i] == '"' || s.at[i] == '\\')
			return false;
	return s.size <= TEXT_BYTES_MAX;
}

static void put_json_text(struct buf *b, struct span s)
{
	struct buf clean;

	if (is_plain(s)) {
		buf_put_byte(b, '"');
		buf_put(b, s);
		buf_put_byte(b, '"');
		return;
	}
	buf_init(&clean, 16384);
	if (!text_plain(&clean, span_slice(s, 0, TEXT_BYTES_MAX)))
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
		buf_put(b, b->size > 1 ? SPAN(",\"") : SPAN("\""));
		buf_put(b, span_of(name));
		buf_put(b, SPAN("\":"));
		quote ? put_json_text(b, text) : (void)buf_put(b, text);
		return;
	}
	if (b->size > 3)
		buf_put_byte(b, ' ');
	buf_put(b, span_of(name));
	buf_put_byte(b, '=');
	quote && !is_bare(text) ? put_json_text(b, text) : (void)buf_put(b, text);
}

/* In decimal, at the end of `room`. */
static struct span number_text(char room[NUMBER_BYTES], int64_t number)
{
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
	char *at = room + NUMBER_BYTES;

	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (number < 0)
		*--at = '-';
	return (struct span){ at, (size_t)(room + NUMBER_BYTES - at) };
}

static void put_fields(struct buf *b, const struct event_row *row, const struct trail_field *fields, size_t count)
{
	char number[NUMBER_BYTES];

	for (size_t i = 0; i < count; i++) {
		ASSERT(is_listed(row->fields, fields[i].name));
		if (!fields[i].is_number) {
			put_field(b, fields[i].name, fields[i].text, true);
			continue;
		}
		put_field(b, fields[i].name, number_text(number, fields[i].number), false);
	}
}

static void choose_form(void)
{
	if (!configured)
		form = isatty(STDERR_FILENO) ? TRAIL_LOGFMT : TRAIL_JSON;
	configured = true;
}

/* Lines of one turn of a loop, to be written at once. */
static _Thread_local struct {
	struct buf lines;
	bool gathers;
} gathered;

static void write_out(struct span lines)
{
	while (lines.size) {
		ssize_t put = write(STDERR_FILENO, lines.at, lines.size);

		if (put <= 0)
			return;
		lines = span_slice(lines, (size_t)put, lines.size);
	}
}

void trail_flush(void)
{
	write_out(buf_span(&gathered.lines));
	buf_clear(&gathered.lines);
}

void trail_gather(bool gathers)
{
	trail_flush();
	buf_free(&gathered.lines);
	buf_init(&gathered.lines, GATHERED_BYTES + LINE_BYTES_MAX);
	gathered.gathers = gathers;
}

static void write_line(struct span line, enum level level)
{
	if (redirected) {
		redirected(redirected_self, line);
	} else if (gathered.gathers && lowest_level > LEVEL_DEBUG) {
		buf_put(&gathered.lines, line);
		if (level >= LEVEL_WARNING || gathered.lines.size >= GATHERED_BYTES)
			trail_flush();
	} else {
		write_out(line);
	}
}

/* The date is made once a second; within it only the thousandths change. */
static struct span date_text(int64_t wall_ms)
{
	static _Thread_local char text[DATE_BYTES];
	static _Thread_local size_t size;
	static _Thread_local int64_t second = INT64_MIN;
	struct buf date;

	if (wall_ms / 1000 != second || wall_ms < 0) {
		buf_over(&date, text, sizeof text);
		text_date(&date, wall_ms);
		size = date.size;
		second = wall_ms / 1000;
	} else {
		for (int i = 0, left = (int)(wall_ms % 1000); i < 3; i++, left /= 10)
			text[size - 2 - (size_t)i] = (char)('0' + left % 10);
	}
	return (struct span){ text, size };
}

bool trail_says(enum event e)
{
	choose_form();
	return event_row(e)->level >= lowest_level && form != TRAIL_SILENT;
}

void trail_note(const struct trail *t, enum event e, const struct trail_field *fields, size_t count)
{
	const struct event_row *row = event_row(e);
	struct buf b;

	if (!trail_says(e))
		return;
	buf_init(&b, LINE_BYTES_MAX);
	buf_room(&b, LINE_BYTES);
	if (form == TRAIL_JOURNAL)
		buf_print(&b, "<%c>", level_priorities[row->level]);
	if (form == TRAIL_JSON)
		buf_put_byte(&b, '{');
	put_field(&b, "time", date_text(clock_wall_ms()), true);
	put_field(&b, "level", span_of(level_names[row->level]), true);
	put_field(&b, "role", span_of(t->role), true);
	put_field(&b, "event", span_of(row->name), true);
	if (t->about[0])
		put_field(&b, "about", span_of(t->about), true);
	put_fields(&b, row, fields, count);
	put_field(&b, "says", span_of(row->says), true);
	buf_put(&b, form == TRAIL_JSON ? SPAN("}\n") : SPAN("\n"));
	write_line(buf_span(&b), row->level);
	buf_free(&b);
}
