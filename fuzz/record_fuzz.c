/* Any bytes as a frame of the spool, as the payload of each kind of record, and as a message that recovery would take in: what is read is
 * written back the same, and nothing is read behind the end. The first byte chooses. */
#include "base/message.h"
#include "base/panic.h"
#include "queue/mail.h"
#include "queue/record.h"

#include <string.h>

static const char key[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all";

/* A frame around any payload is whole, and gives it back. */
static void as_payload(struct span bytes)
{
	const struct record_frame frame = { .type = RECORD_MESSAGE, .segment = bytes.size, .sequence = 7, .group = 7 };
	struct record_frame found;
	struct buf out, payload;

	if (bytes.size > RECORD_BYTES_MAX)
		return;
	buf_init(&out, 2 * RECORD_BYTES_MAX);
	buf_init(&payload, RECORD_BYTES_MAX);
	ASSERT(record_frame_put(&out, (struct span){ key, sizeof key }, &frame, bytes) && out.size == record_frame_size(bytes.size));
	ASSERT(record_frame_read(&found, buf_span(&out)) == RECORD_WHOLE && found.sequence == 7 && found.segment == bytes.size);
	ASSERT(record_frame_open(&payload, (struct span){ key, sizeof key }, &found) && span_equal(buf_span(&payload), bytes));
	buf_free(&out);
	buf_free(&payload);
}

static void as_frame(struct span bytes)
{
	struct record_frame frame;
	struct buf payload;

	as_payload(bytes);
	buf_init(&payload, RECORD_BYTES_MAX);
	if (record_frame_read(&frame, bytes) == RECORD_WHOLE) {
		ASSERT(frame.size <= bytes.size + RECORD_ALIGN_BYTES && frame.sealed.at >= bytes.at &&
		       frame.sealed.at + frame.sealed.size <= bytes.at + bytes.size);
		(void)record_frame_open(&payload, (struct span){ key, sizeof key }, &frame);
	}
	buf_free(&payload);
}

/* A whole row comes back byte for byte; one that an older release wrote may be shorter. */
#define RECORD(name, number, fields)                                                               \
	static void as_##name(struct span bytes)                                                   \
	{                                                                                          \
		struct record_##name r, again;                                                     \
		struct buf out;                                                                    \
                                                                                                   \
		if (record_get_##name(&r, bytes))                                                  \
			return;                                                                    \
		buf_init(&out, SIZE_MAX);                                                          \
		ASSERT(record_put_##name(&out, &r) && out.size >= bytes.size);                     \
		ASSERT(!memcmp(out.at, bytes.at, bytes.size));                                     \
		ASSERT(!record_get_##name(&again, buf_span(&out)));                                \
		buf_free(&out);                                                                    \
	}
#include "tables/records.def"
#undef RECORD

static void apply(struct mail *m, struct span bytes)
{
	struct record_outcome o;
	struct record_hold h;
	struct buf progress;

	if (!record_get_outcome(&o, bytes))
		mail_apply_outcome(m, &o);
	if (!record_get_hold(&h, bytes))
		mail_apply_hold(m, &h);
	mail_apply_reported(m, bytes);
	ASSERT(m->open_count <= m->recipient_count);
	buf_init(&progress, SIZE_MAX);
	ASSERT(mail_put_progress(&progress, m) && !mail_apply_progress(m, buf_span(&progress)));
	buf_free(&progress);
}

/* As post writes it: the envelope, then the body behind it, then the closing. */
static void written_again(const struct record_envelope *e, struct span body, const struct record_closing *c, struct span bytes)
{
	struct buf out;
	size_t begun;

	buf_init(&out, SIZE_MAX);
	ASSERT(record_message_begin(&out, e));
	begun = out.size;
	ASSERT((!body.size || buf_put(&out, body)) && record_message_end(&out, begun, c) && out.size >= bytes.size);
	buf_free(&out);
}

static void as_message(struct span bytes)
{
	struct record_envelope e;
	struct record_closing c;
	struct span body;
	struct mail *m;

	if (record_get_message(&e, &body, &c, bytes))
		return;
	written_again(&e, body, &c, bytes);
	m = mail_new(&e, &c);
	if (!m)
		return;
	apply(m, body);
	mail_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t size)
{
	static void (*const readers[])(struct span) = { as_frame, as_message, as_envelope, as_closing, as_progress, as_run, as_outcome,
							as_hold,  as_release, as_nothing,  as_heard,   as_removed };
	struct span bytes = { (const char *)at, size };

	if (size)
		readers[at[0] % (sizeof readers / sizeof *readers)](span_slice(bytes, 1, size));
	return 0;
}
