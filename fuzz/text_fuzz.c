/* Spellings of bytes: what is written is read back, what is read is written as it was or in one better way, and what a page or a log shows is harmless. */
#include "base/text.h"

#include "base/panic.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { ROOM = 1 << 20 };

static void there_and_back(bool (*write)(struct buf *, struct span), bool (*read)(struct buf *, struct span), struct span bytes)
{
	struct buf text, again;

	buf_init(&text, ROOM);
	buf_init(&again, ROOM);
	if (write(&text, bytes)) {
		ASSERT(text_is_ascii(buf_span(&text)) && read(&again, buf_span(&text)) && span_equal(buf_span(&again), bytes));
		buf_clear(&again);
	}
	buf_clear(&text);
	if (read(&text, bytes)) {
		struct buf third;

		ASSERT(write(&again, buf_span(&text)));
		buf_init(&third, ROOM);
		ASSERT(read(&third, buf_span(&again)) && span_equal(buf_span(&third), buf_span(&text)));
		buf_free(&third);
	}
	buf_free(&text);
	buf_free(&again);
}

static void shown(struct span bytes)
{
	struct buf out;

	buf_init(&out, ROOM);
	ASSERT(text_html(&out, bytes) && span_find_byte(buf_span(&out), '<') == out.size && span_find_byte(buf_span(&out), '"') == out.size);
	buf_clear(&out);
	ASSERT(text_plain(&out, bytes) && text_is_utf8(buf_span(&out)));
	for (size_t i = 0; i < out.size; i++)
		ASSERT((unsigned char)out.at[i] >= ' ' && out.at[i] != 127);
	buf_free(&out);
	(void)text_hides_nothing(bytes);
}

/* A number, written again, is the text without the zeros before it. */
static void is_written(struct span text, uint64_t number)
{
	char again[24];

	snprintf(again, sizeof again, "%llu", (unsigned long long)number);
	while (text.size > 1 && *text.at == '0')
		text = span_slice(text, 1, text.size);
	ASSERT(span_equal(text, span_of(again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
	struct span bytes = { (const char *)at, size };
	uint64_t number;

	there_and_back(text_base64, text_from_base64, bytes);
	there_and_back(text_base64_url, text_from_base64_url, bytes);
	there_and_back(text_hex, text_from_hex, bytes);
	there_and_back(text_percent, text_from_percent, bytes);
	shown(bytes);
	if (span_number(bytes, &number))
		is_written(bytes, number);
	return 0;
}
