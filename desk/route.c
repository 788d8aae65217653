#include "desk/route.h"

#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { PUBLIC = ROUTE_PUBLIC, CONTROL = ROUTE_CONTROL };

static const struct route_row rows[] = {
#define ROUTE(handler, realms, method, path, summary) { ROUTE_##handler, realms, method, path, summary },
#include "tables/routes.def"
#undef ROUTE
};

static const struct route_operation operations[] = {
#define OPERATION(noun, verb, role, method, path, positional, options, summary_en, summary_fr) \
	{ ROLE_##role, #noun "." #verb, method, path, positional, options },
#include "tables/operations.def"
#undef OPERATION
};

enum { ROWS = sizeof rows / sizeof *rows, OPERATIONS = sizeof operations / sizeof *operations };

const struct route_row *route_row(size_t at)
{
	return at < ROWS ? &rows[at] : NULL;
}

const struct route_operation *route_operation_row(size_t at)
{
	return at < OPERATIONS ? &operations[at] : NULL;
}

/* --- paths */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In a path `+` is itself, unlike in a form. */
static bool decode_part(struct buf *out, struct span part)
{
	for (size_t i = 0; i < part.size; i++) {
		int high, low;

		if (part.at[i] != '%') {
			buf_put_byte(out, part.at[i]);
			continue;
		}
		high = i + 2 < part.size ? digit_of(part.at[i + 1]) : -1;
		low = high >= 0 ? digit_of(part.at[i + 2]) : -1;
		if (low < 0 || (high == 0 && low == 0))
			return false;
		buf_put_byte(out, (char)(high << 4 | low));
		i += 2;
	}
	return !out->overfull && span_find_byte(buf_span(out), 0) == out->size && text_is_utf8(buf_span(out));
}

static bool keep_value(struct route *r, struct span name, struct span part)
{
	struct buf value;

	ASSERT(r->value_count < ROUTE_VALUES_MAX);
	buf_over(&value, r->store + r->stored, sizeof r->store - r->stored);
	if (!decode_part(&value, part))
		return false;
	r->stored += value.size;
	r->names[r->value_count] = name;
	r->values[r->value_count++] = buf_span(&value);
	return true;
}

static bool is_name(struct span pattern)
{
	return pattern.size > 2 && pattern.at[0] == '{';
}

static bool matches(struct span pattern, struct span path)
{
	struct span wanted, part;
	bool more;

	while ((more = span_cut(&pattern, '/', &wanted)) && span_cut(&path, '/', &part))
		if (is_name(wanted) ? !part.size : !span_equal(wanted, part))
			return false;
	return !more && !path.at;
}

static bool keep_values(struct route *r, struct span pattern, struct span path)
{
	struct span wanted, part;

	r->value_count = r->stored = 0;
	while (span_cut(&pattern, '/', &wanted) && span_cut(&path, '/', &part))
		if (is_name(wanted) && !keep_value(r, span_slice(wanted, 1, wanted.size - 2), part))
			return false;
	return true;
}

static void add_allowed(struct route *r, const char *method)
{
	size_t size = strlen(r->allow_text);

	snprintf(r->allow_text + size, sizeof r->allow_text - size, "%s%s", size ? ", " : "", method);
	if (!strcmp(method, "GET"))
		add_allowed(r, "HEAD");
}

/* True once method and path fit; what fits by its path alone is noted. */
static bool fits(struct route *r, const char *method, const char *pattern, struct span asked, struct span path)
{
	if (!matches(span_of(pattern), path))
		return false;
	add_allowed(r, method);
	return span_equal(asked, span_of(method)) || (span_equal(asked, SPAN("HEAD")) && !strcmp(method, "GET"));
}

static const char *find_row(struct route *r, enum route_realm realm, struct span method, struct span path)
{
	for (size_t i = 0; i < ROWS; i++)
		if ((rows[i].realms & realm) && fits(r, rows[i].method, rows[i].path, method, path)) {
			r->handler = rows[i].handler;
			return rows[i].path;
		}
	for (size_t i = 0; realm == ROUTE_CONTROL && i < OPERATIONS; i++)
		if (fits(r, operations[i].method, operations[i].path, method, path)) {
			r->handler = ROUTE_operation;
			r->operation = &operations[i];
			return operations[i].path;
		}
	return NULL;
}

enum fault route_find(struct route *out, enum route_realm realm, struct span method, struct span path)
{
	const char *pattern;

	memset(out, 0, sizeof *out);
	out->allow = out->allow_text;
	if (!path.size || path.at[0] != '/')
		return FAULT_MALFORMED;
	if (path.size > ROUTE_PATH_BYTES_MAX)
		return FAULT_NOT_FOUND;
	pattern = find_row(out, realm, method, path);
	if (!pattern)
		return out->allow_text[0] ? FAULT_METHOD_WRONG : FAULT_NOT_FOUND;
	return keep_values(out, span_of(pattern), path) ? FAULT_OK : FAULT_MALFORMED;
}

struct span route_value(const struct route *r, struct span name)
{
	for (size_t i = 0; i < r->value_count; i++)
		if (span_equal(r->names[i], name))
			return r->values[i];
	return SPAN("");
}

/* --- arguments */

enum shape { SHAPE_NONE, SHAPE_TEXT, SHAPE_LIST, SHAPE_SWITCH };

struct argument {
	char name[64]; /* as a JSON member: dashes are underscores */
	enum shape shape;
	bool is_required;
};

/* One word of the table, such as `mailbox*!`. */
static struct argument argument_of(struct span word, bool is_required)
{
	struct argument a = { .shape = SHAPE_TEXT, .is_required = is_required };
	size_t size = 0;

	for (size_t i = 0; i < word.size; i++) {
		char c = word.at[i];

		if (c == '!')
			a.is_required = true;
		else if (c == '*')
			a.shape = SHAPE_LIST;
		else if (c == '?')
			a.shape = SHAPE_SWITCH;
		else if (c != '=' && size + 1 < sizeof a.name)
			a.name[size++] = c == '-' ? '_' : c;
	}
	return a;
}

/* The words of a row, the positionals first. */
struct walk {
	const struct route_operation *operation;
	struct span rest;
	bool in_options;
};

static struct walk walk_over(const struct route_operation *o)
{
	return (struct walk){ o, span_of(o->positional), false };
}

static bool next_argument(struct walk *w, struct argument *out)
{
	struct span word;

	for (;;) {
		while (span_cut(&w->rest, ' ', &word))
			if (word.size) {
				*out = argument_of(word, !w->in_options);
				return true;
			}
		if (w->in_options)
			return false;
		w->in_options = true;
		w->rest = span_of(w->operation->options);
	}
}

static struct argument argument_named(const struct route_operation *o, struct span name)
{
	struct walk w = walk_over(o);
	struct argument a;

	while (next_argument(&w, &a))
		if (span_equal(span_of(a.name), name))
			return a;
	return (struct argument){ .shape = SHAPE_NONE };
}

static enum fault wrong(struct buf *why, struct span name, const char *what)
{
	text_plain(why, span_slice(name, 0, 100));
	buf_print(why, ": %s", what);
	return FAULT_MALFORMED;
}

static enum fault add_text(json_t *out, const struct argument *a, struct span value, struct buf *why)
{
	json_t *before = json_object_get(out, a->name);

	if (!text_is_utf8(value) || span_find_byte(value, 0) != value.size)
		return wrong(why, span_of(a->name), "not UTF-8 text");
	if (a->shape == SHAPE_LIST) {
		if (!before) {
			before = json_array();
			json_object_set_new(out, a->name, before);
		}
		if (json_array_size(before) >= ROUTE_LIST_MAX)
			return wrong(why, span_of(a->name), "too many values");
		json_array_append_new(before, json_stringn(value.at, value.size));
		return FAULT_OK;
	}
	if (before)
		return wrong(why, span_of(a->name), "given twice");
	json_put_text(out, a->name, value);
	return FAULT_OK;
}

/* A switch is asked for by its name alone, or by a word such as yes or no. */
static enum fault add_switch(json_t *out, const struct argument *a, struct span word, struct buf *why)
{
	if (json_object_get(out, a->name))
		return wrong(why, span_of(a->name), "given twice");
	json_put_text(out, a->name, word.size ? word : SPAN("yes"));
	if (json_flag(out, a->name, true) != json_flag(out, a->name, false))
		return wrong(why, span_of(a->name), "yes or no is wanted");
	json_put_flag(out, a->name, json_flag(out, a->name, true));
	return FAULT_OK;
}

static enum fault add_field(json_t *out, const struct route_operation *o, struct span name, struct span value, struct buf *why)
{
	struct argument a = argument_named(o, name);

	if (a.shape == SHAPE_NONE)
		return wrong(why, name, "there is no such argument");
	return a.shape == SHAPE_SWITCH ? add_switch(out, &a, value, why) : add_text(out, &a, value, why);
}

static enum fault add_array(json_t *out, const struct argument *a, const json_t *items, struct buf *why)
{
	enum fault f = FAULT_OK;

	if (json_object_get(out, a->name))
		return wrong(why, span_of(a->name), "given twice");
	/* An empty list is one: it takes away what was granted. */
	json_object_set_new(out, a->name, json_array());
	for (size_t i = 0; f == FAULT_OK && i < json_array_size(items); i++) {
		const json_t *item = json_array_get(items, i);

		f = json_is_string(item) ? add_text(out, a, (struct span){ json_string_value(item), json_string_length(item) }, why)
					 : wrong(why, span_of(a->name), "a list of texts is wanted");
	}
	return f;
}

/* Numbers and booleans go on as texts, so that roles read one kind; a switch stays a boolean. */
static enum fault add_scalar(json_t *out, const struct argument *a, const json_t *value, struct buf *why)
{
	char number[32];

	if (a->shape == SHAPE_SWITCH) {
		if (!json_is_boolean(value))
			return wrong(why, span_of(a->name), "yes or no is wanted");
		json_put_flag(out, a->name, json_is_true(value));
		return FAULT_OK;
	}
	if (json_is_boolean(value)) {
		json_put_text(out, a->name, json_is_true(value) ? SPAN("yes") : SPAN("no"));
		return FAULT_OK;
	}
	if (!json_is_integer(value))
		return wrong(why, span_of(a->name), "a text is wanted");
	snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
	json_put_text(out, a->name, span_of(number));
	return FAULT_OK;
}

static enum fault add_member(json_t *out, const struct route_operation *o, struct span name, const json_t *value, struct buf *why)
{
	struct argument a = argument_named(o, name);

	if (a.shape == SHAPE_NONE)
		return wrong(why, name, "there is no such argument");
	if (json_is_string(value))
		return add_field(out, o, name, (struct span){ json_string_value(value), json_string_length(value) }, why);
	if (a.shape == SHAPE_LIST)
		return json_is_array(value) ? add_array(out, &a, value, why) : wrong(why, name, "a list of texts is wanted");
	if (json_object_get(out, a.name))
		return wrong(why, name, "given twice");
	return add_scalar(out, &a, value, why);
}

static enum fault add_path(json_t *out, const struct route *r, struct buf *why)
{
	enum fault f = FAULT_OK;

	for (size_t i = 0; f == FAULT_OK && i < r->value_count; i++)
		f = add_field(out, r->operation, r->names[i], r->values[i], why);
	return f;
}

static enum fault add_query(json_t *out, const struct route_operation *o, struct span query, struct buf *why)
{
	enum fault f = FAULT_OK;
	struct span pair;

	while (query.size && f == FAULT_OK && span_cut(&query, '&', &pair)) {
		struct span name = { 0 }, rest = pair;
		struct buf name_text, value_text;

		if (!pair.size)
			continue;
		buf_init(&name_text, pair.size + 1);
		buf_init(&value_text, pair.size + 1);
		span_cut(&rest, '=', &name);
		f = text_from_percent(&name_text, name) && text_from_percent(&value_text, rest)
			    ? add_field(out, o, buf_span(&name_text), buf_span(&value_text), why)
			    : wrong(why, name, "broken percent encoding");
		buf_free(&name_text);
		buf_wipe(&value_text);
	}
	return f;
}

static bool is_json(struct span content_type)
{
	struct span kind;

	return span_cut(&content_type, ';', &kind) && span_equal_fold(span_trim(kind), SPAN("application/json"));
}

static enum fault add_body(json_t *out, const struct route_operation *o, struct span content_type, struct span body, struct buf *why)
{
	enum fault f = FAULT_OK;
	json_t *members, *value;
	const char *name;
	size_t size;

	if (!span_trim(body).size)
		return FAULT_OK;
	if (!is_json(content_type))
		return wrong(why, SPAN("Content-Type"), "application/json is wanted");
	members = json_read(body, body.size);
	if (!json_is_object(members)) {
		json_decref(members);
		return wrong(why, SPAN("body"), "a JSON object is wanted");
	}
	json_object_keylen_foreach(members, name, size, value)
		if (f == FAULT_OK)
			f = add_member(out, o, (struct span){ name, size }, value, why);
	json_decref(members);
	return f;
}

static enum fault check_required(const json_t *out, const struct route_operation *o, struct buf *why)
{
	struct walk w = walk_over(o);
	struct argument a;

	while (next_argument(&w, &a))
		if (a.is_required && !json_has(out, a.name))
			return wrong(why, span_of(a.name), "is missing");
	return FAULT_OK;
}

enum fault route_arguments(const struct route *r, struct span content_type, struct span query, struct span body, json_t **out,
			   struct buf *why)
{
	enum fault f;

	ASSERT(r->operation);
	*out = json_object();
	f = add_path(*out, r, why);
	if (f == FAULT_OK)
		f = add_query(*out, r->operation, query, why);
	if (f == FAULT_OK)
		f = add_body(*out, r->operation, content_type, body, why);
	if (f == FAULT_OK)
		f = check_required(*out, r->operation, why);
	if (f != FAULT_OK) {
		json_decref(*out);
		*out = NULL;
	}
	return f;
}
