/* Frames from a captured role: what is decoded is what would have been encoded, or nothing. */
#include "base/message.h"
#include "base/panic.h"

#include <stdint.h>

static void walk_list(struct span list)
{
	struct span item;
	size_t total = 0;

	while (message_list_next(&list, &item))
		total += item.size;
	ASSERT(total <= MESSAGE_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span frame = { (const char *)bytes, size };
	struct message m;
	struct buf again;
	size_t frame_size;

	if (message_frame_size(frame, &frame_size) == FAULT_OK && frame_size)
		frame = span_slice(frame, 0, frame_size);
	walk_list(frame);
	if (message_decode(&m, frame) != FAULT_OK)
		return 0;
	ASSERT(message_row(m.type)->name && role_name((enum role)(1u << m.type % 6)));
	ASSERT(m.fd == -1 && m.type > MESSAGE_none && m.type < MESSAGE_TYPE_COUNT);
	if (m.type == MESSAGE_mail_begin)
		walk_list(m.mail_begin.recipients);
	buf_init(&again, MESSAGE_BYTES_MAX + MESSAGE_HEAD_BYTES);
	ASSERT(message_encode(&again, &m) && span_equal(buf_span(&again), frame));
	buf_free(&again);
	return 0;
}
