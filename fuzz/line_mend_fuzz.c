/* Line ends mended: the first byte is how the input is cut. However cut, the same comes out, in pairs; what is mended once is mended for good. */
#include "wire/line_mend.h"

#include "base/panic.h"
#include "wire/line_ends.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { MOST = 1 << 20 };

static void mend(struct buf *out, struct span bytes, size_t piece, bool ends_at_dot)
{
	struct line_mend m;

	buf_init(out, MOST);
	line_mend_init(&m, ends_at_dot);
	for (size_t at = 0; at < bytes.size; at += piece)
		ASSERT(line_mend_put(&m, span_slice(bytes, at, piece), out));
	ASSERT(line_mend_end(&m, out));
	ASSERT(m.returns <= LINE_MEND_HELD_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span all = { (const char *)bytes + 1, size - 1 };
	struct buf whole, cut, again;

	if (!size || size > MOST / 4)
		return 0;
	for (int ends_at_dot = 0; ends_at_dot < 2; ends_at_dot++) {
		mend(&whole, all, all.size + 1, ends_at_dot);
		mend(&cut, all, 1u + bytes[0] % 32u, ends_at_dot);
		mend(&again, buf_span(&whole), 7, false);
		ASSERT(span_equal(buf_span(&whole), buf_span(&cut)) && span_equal(buf_span(&whole), buf_span(&again)));
		ASSERT(line_ends_pair(buf_span(&whole), 0) && (!whole.size || whole.at[whole.size - 1] == '\n'));
		buf_free(&whole);
		buf_free(&cut);
		buf_free(&again);
	}
	return 0;
}
