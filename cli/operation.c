#include "cli/operation.h"

#include "base/text.h"
#include "cli/call.h"
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 8192 };

static const struct operation_row rows[] = {
#define OPERATION(noun, verb, role, method, path, positional, options, en, fr) \
	{ #noun, #verb, method, path, positional, options, { en, fr } },
#include "tables/operations.def"
#undef OPERATION
};

/* Which members a list shows, in this order; --json has them all. */
static const struct { const char *noun, *verb, *columns; } columns[] = {
	{ "org", "list", "name title language mailboxes clients" },
	{ "provider", "list", "name org kind tenant smtp_host" },
	{ "mailbox", "list", "address org provider state" },
	{ "client", "list", "name org mailboxes networks last_used_at" },
	{ "client", "refused", "at client remote sender why" },
	{ "queue", "list", "id state mailbox recipients next_try_at reason" },
	{ "key", "list", "id state created_at sealed" },
};

const struct operation_row *operation_row(size_t at)
{
	return at < sizeof rows / sizeof *rows ? &rows[at] : NULL;
}

const struct operation_row *operation_find(struct span noun, struct span verb)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(span_of(rows[i].noun), noun) && span_equal(span_of(rows[i].verb), verb))
			return &rows[i];
	return NULL;
}

bool operation_has_noun(struct span noun)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(span_of(rows[i].noun), noun))
			return true;
	return false;
}

static bool is_repeated(const struct operation_row *row, struct span name)
{
	struct span rest = span_of(row->options), word;

	while (span_cut(&rest, ' ', &word))
		if (span_starts(word, name) && word.size > name.size && word.at[name.size] == '*')
			return true;
	return false;
}

static bool is_in_path(const struct operation_row *row, struct span name)
{
	char part[80];

	snprintf(part, sizeof part, "{%.*s}", SPAN_ARGS(name));
	return strstr(row->path, part) != NULL;
}

/* Puts the path's {parts} in, percent-encoded. */
static void build_path(struct buf *out, const struct operation_row *row, const struct cli *c)
{
	struct span rest = span_of(row->path);

	while (rest.size) {
		size_t open = span_find_byte(rest, '{'), close = span_find_byte(rest, '}');
		char name[80];

		buf_put(out, span_slice(rest, 0, open));
		if (open == rest.size)
			return;
		snprintf(name, sizeof name, "%.*s", (int)(close - open - 1), rest.at + open + 1);
		text_percent(out, cli_value(c, name));
		rest = span_slice(rest, close + 1, rest.size);
	}
}

static void add_query(struct buf *out, struct span name, struct span value)
{
	buf_put_byte(out, span_find_byte(buf_span(out), '?') == out->size ? '?' : '&');
	text_percent(out, name);
	buf_put_byte(out, '=');
	text_percent(out, value);
}

/* Options become members: dashes are underscores there. */
static json_t *build_body(const struct operation_row *row, const struct cli *c)
{
	json_t *body = json_object();

	for (size_t i = 0; i < c->count; i++) {
		struct span name = c->values[i].name;
		char member[80];
		json_t *value = json_stringn(c->values[i].value.at, c->values[i].value.size), *list;

		if (is_in_path(row, name)) {
			json_decref(value);
			continue;
		}
		snprintf(member, sizeof member, "%.*s", SPAN_ARGS(name));
		for (char *at = member; *at; at++)
			*at = *at == '-' ? '_' : *at;
		if (!is_repeated(row, name)) {
			json_object_set_new(body, member, value);
			continue;
		}
		list = json_object_get(body, member);
		if (!list)
			json_object_set_new(body, member, list = json_array());
		json_array_append_new(list, value);
	}
	return body;
}

static void show(const struct operation_row *row, const struct cli *c, const json_t *answer)
{
	const json_t *items = json_object_get(answer, "items");
	const char *wanted = "";

	if (c->json) {
		char *text = json_dumps(answer, JSON_INDENT(2));

		printf("%s\n", text);
		free(text);
		return;
	}
	for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
		if (!strcmp(columns[i].noun, row->noun) && !strcmp(columns[i].verb, row->verb))
			wanted = columns[i].columns;
	if (json_is_array(items))
		show_table(items, wanted);
	else if (json_object_size(answer))
		show_record(answer);
	else
		printf("%s\n", cli_word(CLI_WORD_DONE));
}

int operation_run(const struct operation_row *row, const struct cli *c)
{
	bool is_get = !strcmp(row->method, "GET");
	json_t *answer, *body = build_body(row, c);
	long status = 0;
	struct buf path;
	int result;

	buf_init(&path, PATH_BYTES);
	build_path(&path, row, c);
	for (size_t i = 0; is_get && i < c->count; i++)
		if (!is_in_path(row, c->values[i].name))
			add_query(&path, c->values[i].name, c->values[i].value);
	result = call_daemon(c->data, row->method, buf_span(&path), is_get ? NULL : body, &status, &answer);
	if (!result && status >= 400)
		result = call_failed(answer);
	else if (!result)
		show(row, c, answer);
	json_decref(body);
	json_decref(answer);
	buf_free(&path);
	return result;
}
