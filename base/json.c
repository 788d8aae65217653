#include "base/json.h"

#include "base/panic.h"
#include "base/secret.h"
#include "base/text.h"

#include <malloc.h>
#include <stdlib.h>

enum { DEPTH_MAX = 64 };

static void wipe_and_free(void *at)
{
	if (at)
		secret_wipe(at, malloc_usable_size(at));
	free(at);
}

/* Without memory jansson leaves out what it cannot make and says nothing: half an answer would pass for a whole one. */
static void *take(size_t size)
{
	void *at = malloc(size);

	if (!at)
		panic("out of memory");
	return at;
}

void json_begin(void)
{
	json_set_alloc_funcs(take, wipe_and_free);
}

/* jansson follows two thousand levels by recursion; brackets are counted before it begins. */
static bool is_shallow(struct span text)
{
	size_t depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.size && depth <= DEPTH_MAX; i++) {
		char c = text.at[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '{' || c == '['))
			depth++;
		else if (!quoted && (c == '}' || c == ']') && depth)
			depth--;
	}
	return depth <= DEPTH_MAX;
}

json_t *json_read(struct span text, size_t ceiling_bytes)
{
	json_error_t error;

	/* jansson passes over a NUL that follows a number. */
	if (!text.at || text.size > ceiling_bytes || !is_shallow(text) || span_find_byte(text, 0) < text.size)
		return NULL;
	return json_loadb(text.at, text.size, JSON_REJECT_DUPLICATES, &error);
}

static struct span text_of(const json_t *value)
{
	if (!json_is_string(value))
		return (struct span){ "", 0 };
	return (struct span){ json_string_value(value), json_string_length(value) };
}

struct span json_text(const json_t *object, const char *name)
{
	return text_of(json_object_get(object, name));
}

bool json_has(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	return value && !json_is_null(value);
}

bool json_whole(const json_t *object, const char *name, int64_t *out)
{
	const json_t *value = json_object_get(object, name);
	struct span text = text_of(value);
	bool negative = text.size > 1 && *text.at == '-';
	uint64_t number;

	if (json_is_integer(value)) {
		*out = json_integer_value(value);
		return true;
	}
	if (!span_number(negative ? span_slice(text, 1, text.size) : text, &number) || number > INT64_MAX)
		return false;
	*out = negative ? -(int64_t)number : (int64_t)number;
	return true;
}

bool json_flag(const json_t *object, const char *name, bool preset)
{
	static const struct {
		struct span word;
		bool means;
	} words[] = {
		{ { "yes", 3 }, true }, { { "true", 4 }, true },   { { "on", 2 }, true },   { { "1", 1 }, true },
		{ { "no", 2 }, false }, { { "false", 5 }, false }, { { "off", 3 }, false }, { { "0", 1 }, false },
	};
	const json_t *value = json_object_get(object, name);

	if (json_is_boolean(value))
		return json_is_true(value);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (span_equal_fold(words[i].word, text_of(value)))
			return words[i].means;
	return preset;
}

bool json_item(const json_t *object, const char *name, size_t at, struct span *out)
{
	const json_t *value = json_object_get(object, name);

	*out = (struct span){ "", 0 };
	if (json_is_string(value) && at == 0)
		*out = text_of(value);
	else if (json_is_array(value) && at < json_array_size(value) && json_is_string(json_array_get(value, at)))
		*out = text_of(json_array_get(value, at));
	else
		return false;
	return true;
}

static void put(json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value))
		panic("out of memory");
}

void json_put_text(json_t *object, const char *name, struct span text)
{
	struct buf plain;

	/* A NUL would be written as \u0000, which no reader of ours takes. */
	if (text_is_utf8(text) && span_find_byte(text, 0) == text.size) {
		put(object, name, json_stringn_nocheck(text.size ? text.at : "", text.size));
		return;
	}
	buf_init(&plain, text.size * 4 + 16);
	text_plain(&plain, text);
	put(object, name, json_stringn(plain.size ? plain.at : "", plain.size));
	buf_free(&plain);
}

void json_put_whole(json_t *object, const char *name, int64_t number)
{
	put(object, name, json_integer(number));
}

void json_put_flag(json_t *object, const char *name, bool flag)
{
	put(object, name, json_boolean(flag));
}

static int write_piece(const char *at, size_t size, void *out)
{
	return buf_put(out, (struct span){ at, size }) ? 0 : -1;
}

bool json_write(struct buf *out, const json_t *document)
{
	return !json_dump_callback(document, write_piece, out, JSON_COMPACT);
}
