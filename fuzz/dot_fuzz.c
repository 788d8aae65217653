/* Dot-stuffing: the first byte is how the room and the input are cut. However cut, the same comes out; a reader undoes it; only looking refuses the same. */
#include "wire/dot.h"

#include "base/buf.h"
#include "base/panic.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { MOST = 1 << 16 };

static enum fault stuff(struct buf *out, struct span rest, size_t piece, size_t room)
{
	static char to[MOST];
	struct dot d;
	size_t put;

	dot_init(&d);
	while (rest.size) {
		struct span here = span_slice(rest, 0, piece);

		rest = span_slice(rest, here.size, rest.size);
		while (here.size) {
			enum fault fault = dot_put(&d, &here, to, room, &put);

			ASSERT(put <= room);
			buf_put(out, (struct span){ to, put });
			if (fault != FAULT_OK)
				return fault;
		}
	}
	if (dot_end(&d, to, &put) != FAULT_OK)
		return FAULT_BARE_NEWLINE;
	ASSERT(put <= DOT_END_BYTES);
	buf_put(out, (struct span){ to, put });
	return FAULT_OK;
}

/* The lines up to the one dot, one dot less each. */
static void undo(struct span stuffed, struct span text)
{
	struct buf plain;
	struct span line;

	buf_init(&plain, MOST);
	while (span_cut(&stuffed, '\n', &line) && !span_equal(line, SPAN(".\r"))) {
		buf_put(&plain, span_slice(line, line.size && *line.at == '.' ? 1 : 0, line.size));
		buf_put_byte(&plain, '\n');
	}
	ASSERT(!stuffed.size && span_equal(span_slice(buf_span(&plain), 0, text.size), text) && plain.size <= text.size + 2);
	buf_free(&plain);
}

static enum fault look(struct span text, size_t piece)
{
	struct dot d;
	enum fault fault = FAULT_OK;

	dot_init(&d);
	for (; text.size && fault == FAULT_OK; text = span_slice(text, piece, text.size))
		fault = dot_check(&d, span_slice(text, 0, piece));
	return fault == FAULT_OK ? dot_check_end(&d) : fault;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes + 1, size - 1 };
	struct buf whole, cut;
	size_t piece = size ? 1 + bytes[0] % 13 : 0, room = size ? 2 + bytes[0] / 13 : 0;
	enum fault fault;

	if (!size || size > MOST / 4)
		return 0;
	buf_init(&whole, MOST);
	buf_init(&cut, MOST);
	fault = stuff(&whole, text, SIZE_MAX, MOST);
	ASSERT(stuff(&cut, text, piece, room) == fault);
	if (fault == FAULT_OK) {
		ASSERT(span_equal(buf_span(&whole), buf_span(&cut)));
		undo(buf_span(&whole), text);
	}
	ASSERT((look(text, SIZE_MAX) == FAULT_OK) == (fault == FAULT_OK) && (look(text, piece) == FAULT_OK) == (fault == FAULT_OK));
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
