/* Text in header fields: the first byte is the column where it begins. Whatever the text, the field stays one, is ASCII, and what is not text is refused. */
#include "wire/encoded.h"

#include "base/panic.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { MOST = 1 << 18 };

static void check(const struct buf *out, bool good, struct span text)
{
	struct span s = buf_span(out);

	ASSERT(good == text_is_utf8(text));
	if (!good)
		return;
	ASSERT(text_is_ascii(s));
	for (size_t i = 0; i < s.size; i++) {
		ASSERT(s.at[i] == '\r' || s.at[i] == '\n' || (s.at[i] >= ' ' && s.at[i] < 0x7f));
		ASSERT(s.at[i] != '\r' || (i + 2 < s.size && s.at[i + 1] == '\n' && s.at[i + 2] == ' '));
		ASSERT(s.at[i] != '\n' || (i && s.at[i - 1] == '\r'));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes + 1, size - 1 };
	struct buf out;
	bool good;

	if (!size || size > MOST / 16)
		return 0;
	buf_init(&out, MOST);
	good = encoded_text(&out, text, bytes[0]);
	check(&out, good, text);
	buf_clear(&out);
	good = encoded_phrase(&out, text, bytes[0]);
	check(&out, good, text);
	buf_clear(&out);
	good = encoded_parameter(&out, "filename", text);
	check(&out, good, text);
	buf_free(&out);
	return 0;
}
