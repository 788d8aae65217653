/* JSON that others wrote: every way of reading a member ends, and what is written reads back as the same. */
#include "base/json.h"

#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* A number, written again, is the text without its sign and the zeros before it. */
static bool is_written(struct span text, int64_t number)
{
	char again[24];

	snprintf(again, sizeof again, "%lld", number < 0 ? -(long long)number : (long long)number);
	if (text.size > 1 && *text.at == '-')
		text = span_slice(text, 1, text.size);
	while (text.size > 1 && *text.at == '0')
		text = span_slice(text, 1, text.size);
	return span_equal(text, span_of(again));
}

static void read_member(const json_t *document, const char *name)
{
	struct span item, text = json_text(document, name);
	int64_t number;

	ASSERT(text_is_utf8(text));
	if (json_whole(document, name, &number) && text.size)
		ASSERT(is_written(text, number));
	(void)json_flag(document, name, false);
	(void)json_has(document, name);
	for (size_t at = 0; json_item(document, name, at, &item); at++)
		ASSERT(text_is_utf8(item));
}

static void round_trip(json_t *document, size_t ceiling)
{
	struct buf out;
	json_t *again;

	buf_init(&out, 8 * ceiling);
	if (json_write(&out, document)) {
		again = json_read(buf_span(&out), out.size);
		ASSERT(again && json_equal(again, document));
		json_decref(again);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes, size };
	json_t *document = json_read(text, 4096);
	const char *name;
	json_t *value;

	json_begin();
	ASSERT(!document || (size <= 4096 && (json_is_object(document) || json_is_array(document))));
	json_object_foreach(document, name, value)
		read_member(document, name);
	read_member(document, "a");
	if (document)
		round_trip(document, 4096);
	if (json_is_object(document)) {
		json_put_text(document, "text", text);
		json_put_whole(document, "whole", (int64_t)size);
		json_put_flag(document, "flag", size % 2);
		ASSERT(text_is_utf8(json_text(document, "text")));
		round_trip(document, 65536);
	}
	json_decref(document);
	return 0;
}
