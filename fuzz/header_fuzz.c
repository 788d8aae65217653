/* Header blocks. The first byte is how they are cut and what is edited. However cut, the same is read; what is written
 * can be read again, and then has one sender's mailbox, a date and a message id. */
#include "base/panic.h"
#include "wire/header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { CEILING = 4096 };

static enum fault read_block(struct header *h, struct buf *block, struct span bytes, size_t step, size_t *taken_out)
{
	enum fault f = FAULT_OK;

	buf_init(block, CEILING);
	header_init(h, block);
	*taken_out = 0;
	while (f == FAULT_OK && !h->ended && *taken_out < bytes.size) {
		size_t taken;

		f = header_feed(h, span_slice(bytes, *taken_out, step), &taken);
		*taken_out += taken;
	}
	return f == FAULT_OK && !h->ended ? header_finish(h) : f;
}

static void check_written(const struct header *h, const struct header_edits *e)
{
	struct header_walk walk = { 0 };
	struct buf out, block;
	struct mailbox mailbox;
	struct header again;
	size_t taken;
	enum fault f;

	buf_init(&out, 4 * CEILING);
	f = header_write(h, e, &out);
	if (f != FAULT_OK) {
		ASSERT(f == FAULT_SIGNED_MAIL && h->is_signed && e->rewrite);
		buf_free(&out);
		return;
	}
	f = read_block(&again, &block, buf_span(&out), SIZE_MAX, &taken);
	ASSERT(f == FAULT_OK || (f == FAULT_HEADER_TOO_LONG && out.size > CEILING));
	if (f == FAULT_OK) {
		ASSERT(again.received == h->received + 1);
		ASSERT(h->is_signed || (again.has_date && again.has_message_id && again.has_from));
		ASSERT(h->is_signed == again.is_signed);
		if (e->rewrite) {
			ASSERT(header_next_sender(&again, &walk, &mailbox) == MAILBOX_FOUND);
			ASSERT(span_equal(mailbox.address, e->from));
			ASSERT(header_next_sender(&again, &walk, &mailbox) == MAILBOX_END && again.from_fields == 1);
		}
	}
	buf_free(&block);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes + 1, size - 1 };
	struct header_trace trace = { SPAN(""), SPAN("::1"), SPAN("mx.test"), SPAN("ESMTP"), SPAN("m1"), 0 };
	struct header_edits edits = { .trace = &trace, .message_id = SPAN("m1@mx.test"), .from = SPAN("box@x.test") };
	struct header whole, cut;
	struct buf one, other;
	size_t taken, again;
	enum fault f, g;

	if (!size)
		return 0;
	f = read_block(&whole, &one, text, SIZE_MAX, &taken);
	g = read_block(&cut, &other, text, 1 + *bytes % 16, &again);
	ASSERT((f == FAULT_OK) == (g == FAULT_OK));
	if (f == FAULT_OK) {
		ASSERT(taken == again && whole.size == cut.size && whole.body_at == cut.body_at);
		trace.helo = span_slice(text, 0, 40);
		edits.rewrite = *bytes & 16;
		check_written(&whole, &edits);
	}
	buf_free(&one);
	buf_free(&other);
	return 0;
}
