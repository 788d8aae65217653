#include "cli/show.h"

#include "base/buf.h"
#include "base/text.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 16, CELL_BYTES = 4096, GAP = 2, NARROWEST = 6 };

struct column {
	char name[40];
	size_t width; /* in characters */
};

/* How many characters (not bytes) of UTF-8. */
static size_t width_of(struct span s)
{
	size_t width = 0;

	for (size_t i = 0; i < s.size; i++)
		width += ((unsigned char)s.at[i] & 0xc0) != 0x80;
	return width;
}

/* The bytes of the first `width` characters. */
static size_t bytes_of(struct span s, size_t width)
{
	size_t at = 0;

	while (at < s.size && (width || ((unsigned char)s.at[at] & 0xc0) == 0x80)) {
		if (((unsigned char)s.at[at] & 0xc0) != 0x80)
			width--;
		at++;
		while (at < s.size && ((unsigned char)s.at[at] & 0xc0) == 0x80)
			at++;
	}
	return at;
}

static void put_value(struct buf *out, const json_t *value)
{
	size_t index;
	json_t *item;

	switch (json_typeof(value)) {
	case JSON_STRING: text_plain(out, (struct span){ json_string_value(value), json_string_length(value) }); break;
	case JSON_INTEGER: buf_print(out, "%lld", (long long)json_integer_value(value)); break;
	case JSON_REAL: buf_print(out, "%g", json_real_value(value)); break;
	case JSON_TRUE: buf_put(out, cli_language() == LANGUAGE_FR ? SPAN("oui") : SPAN("yes")); break;
	case JSON_FALSE: buf_put(out, cli_language() == LANGUAGE_FR ? SPAN("non") : SPAN("no")); break;
	case JSON_NULL: buf_put(out, SPAN("-")); break;
	case JSON_ARRAY:
		json_array_foreach(value, index, item) {
			if (index)
				buf_put(out, SPAN(", "));
			put_value(out, item);
		}
		break;
	case JSON_OBJECT: {
		const char *name;
		json_t *member;

		json_object_foreach((json_t *)value, name, member) {
			buf_print(out, "%s%s ", out->size ? " " : "", name);
			put_value(out, member);
		}
		break;
	}
	}
}

static struct span cell(struct buf *b, const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	buf_clear(b);
	if (value)
		put_value(b, value);
	if (!b->size)
		buf_put(b, SPAN("-"));
	return buf_span(b);
}

static size_t read_columns(struct column columns[COLUMNS_MAX], const json_t *items, const char *wanted)
{
	struct span rest = span_of(wanted), piece;
	const char *name;
	json_t *value;
	size_t count = 0;

	while (*wanted && count < COLUMNS_MAX && span_cut(&rest, ' ', &piece))
		snprintf(columns[count++].name, sizeof columns[0].name, "%.*s", SPAN_ARGS(piece));
	if (!*wanted)
		json_object_foreach(json_array_get(items, 0), name, value)
			if (count < COLUMNS_MAX)
				snprintf(columns[count++].name, sizeof columns[0].name, "%s", name);
	return count;
}

/* The widest columns give way until the line fits. */
static void fit(struct column *columns, size_t count)
{
	for (;;) {
		size_t total = count ? (count - 1) * GAP : 0, widest = 0;

		for (size_t i = 0; i < count; i++) {
			total += columns[i].width;
			if (columns[i].width > columns[widest].width)
				widest = i;
		}
		if (total <= SHOW_COLUMNS || columns[widest].width <= NARROWEST)
			return;
		columns[widest].width--;
	}
}

static void put_cell(struct span text, size_t width, bool is_last)
{
	size_t wide = width_of(text);

	if (wide > width) {
		printf("%.*s…", (int)bytes_of(text, width - 1), text.at);
		wide = width;
	} else {
		printf("%.*s", SPAN_ARGS(text));
	}
	if (!is_last)
		printf("%*s", (int)(width - wide + GAP), "");
}

static void put_upper(const struct column *c, bool is_last)
{
	char name[40];
	size_t size = strlen(c->name);

	for (size_t i = 0; i <= size; i++)
		name[i] = c->name[i] == '_' ? ' ' : (char)(c->name[i] >= 'a' && c->name[i] <= 'z' ? c->name[i] - 32 : c->name[i]);
	put_cell(span_of(name), c->width, is_last);
}

void show_table(const json_t *items, const char *wanted)
{
	struct column columns[COLUMNS_MAX] = { 0 };
	size_t count = read_columns(columns, items, wanted), index;
	json_t *item;
	struct buf b;

	if (!json_array_size(items)) {
		printf("%s\n", cli_word(CLI_WORD_NOTHING));
		return;
	}
	buf_init(&b, CELL_BYTES);
	for (size_t i = 0; i < count; i++) {
		columns[i].width = strlen(columns[i].name);
		json_array_foreach(items, index, item) {
			size_t width = width_of(cell(&b, item, columns[i].name));

			columns[i].width = width > columns[i].width ? width : columns[i].width;
		}
	}
	fit(columns, count);
	for (size_t i = 0; i < count; i++)
		put_upper(&columns[i], i + 1 == count);
	putchar('\n');
	json_array_foreach(items, index, item) {
		for (size_t i = 0; i < count; i++)
			put_cell(cell(&b, item, columns[i].name), columns[i].width, i + 1 == count);
		putchar('\n');
	}
	buf_free(&b);
}

/* A link or a path is copied as a whole. */
static bool is_one_word(struct span word)
{
	return span_find(word, SPAN("://")) < word.size || span_starts(word, SPAN("/"));
}

void show_wrapped(struct span text, size_t indent)
{
	size_t at = indent;
	struct span word;

	while (span_cut(&text, ' ', &word)) {
		size_t wide = width_of(word);

		if (at > indent && at + 1 + wide > SHOW_COLUMNS) {
			printf("\n%*s", (int)indent, "");
			at = indent;
		} else if (at > indent) {
			putchar(' ');
			at++;
		}
		while (wide > SHOW_COLUMNS - indent && !is_one_word(word)) { /* longer than a line, such as a row of digits */
			size_t bytes = bytes_of(word, SHOW_COLUMNS - indent);

			printf("%.*s\n%*s", (int)bytes, word.at, (int)indent, "");
			word = span_slice(word, bytes, word.size);
			wide = width_of(word);
		}
		printf("%.*s", SPAN_ARGS(word));
		at += wide;
	}
	putchar('\n');
}

static bool is_list_of_objects(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

/* And a command for another shell. */
static bool is_link(const char *name, const json_t *value)
{
	if (!strcmp(name, "command"))
		return json_is_string(value);
	return json_is_string(value) && strstr(json_string_value(value), "://") && !strchr(json_string_value(value), ' ');
}

/* What says what to do would be of no use in a narrow column: each is a record of its own. */
static void show_each(const json_t *items)
{
	size_t index;
	json_t *item;

	json_array_foreach(items, index, item) {
		if (index)
			putchar('\n');
		show_record(item);
	}
}

void show_record(const json_t *object)
{
	size_t widest = 0;
	const char *name;
	json_t *value;
	struct buf b;

	buf_init(&b, 64 * CELL_BYTES);
	json_object_foreach((json_t *)object, name, value)
		if (!is_list_of_objects(value))
			widest = strlen(name) > widest ? strlen(name) : widest;
	json_object_foreach((json_t *)object, name, value) {
		if (is_list_of_objects(value)) {
			printf("%s:\n", name);
			json_object_get(json_array_get(value, 0), "remedy") ? show_each(value) : show_table(value, "");
			continue;
		}
		printf("%s:%*s", name, (int)(widest - strlen(name) + 1), "");
		/* A link must stay one word that can be copied: it is printed whole, on a line of its own where it is long. */
		if (is_link(name, value)) {
			printf("%s%s\n", json_string_length(value) + widest + 2 > SHOW_COLUMNS ? "\n" : "", json_string_value(value));
			continue;
		}
		show_wrapped(cell(&b, object, name), widest + 2);
	}
	buf_free(&b);
}
