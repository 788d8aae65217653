/* Records: what is put comes back; what was cut, damaged, moved or grew since is seen. */
#include "queue/record.h"

#include "base/message.h"
#include "queue/crc.h"
#include "tests/test.h"


static const char key_bytes[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all";
#define KEY ((struct span){ key_bytes, sizeof key_bytes })

/* RFC 3720 B.4, and the check value of CRC-32C */
static void check_sums(void **state)
{
	char bytes[48] = { 0 };
	uint32_t whole;

	assert_int_equal(crc_of(0, SPAN("123456789")), 0xe3069283);
	assert_int_equal(crc_of(0, (struct span){ bytes, 32 }), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc_of(0, (struct span){ bytes, 32 }), 0x62a8ab43);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(i * 7);
	whole = crc_of(0, (struct span){ bytes, sizeof bytes });
	for (size_t cut = 0; cut <= sizeof bytes; cut++)
		assert_int_equal(crc_of(crc_of(0, (struct span){ bytes, cut }), (struct span){ bytes + cut, sizeof bytes - cut }), whole);
}

static void put_message(struct buf *out, struct span body)
{
	struct buf list;
	struct record_envelope e = { .id = 0x0123456789abcdef, .mailbox = 7, .client = 9, .client_name = SPAN("scanner"), .sender = SPAN("a@example.org"),
				     .body = 1, .utf8 = 1, .returns = 2, .envelope_id = SPAN("QQ314"), .language = 1, .notice_mailbox = 8 };
	struct record_closing c = { .accepted_at = 1433160000007, .size = body.size, .message_id = SPAN("<1@x>"),
				    .key = { key_bytes, sizeof key_bytes }, .key_until = -5 };
	size_t begun;

	buf_init(&list, 4096);
	assert_true(record_recipient_put(&list, &(struct record_recipient){ SPAN("b@example.org"), SPAN("rfc822;b"), 4 }));
	assert_true(record_recipient_put(&list, &(struct record_recipient){ SPAN("c@example.org"), SPAN(""), 0 }));
	e.recipients = buf_span(&list);
	assert_true(record_message_begin(out, &e));
	begun = out->size;
	assert_true(buf_put(out, body) && record_message_end(out, begun, &c));
	buf_free(&list);
}

static void messages_come_back(void **state)
{
	struct record_envelope e;
	struct record_closing c;
	struct record_recipient r;
	struct span body, rest;
	struct buf out;

	buf_init(&out, 65536);
	put_message(&out, SPAN("Subject: x\r\n\r\nbody\r\n"));
	assert_int_equal(record_get_message(&e, &body, &c, buf_span(&out)), FAULT_OK);
	assert_true(e.id == 0x0123456789abcdef && e.mailbox == 7 && e.client == 9 && e.utf8 == 1 && e.returns == 2 && e.notice_mailbox == 8);
	assert_span(e.client_name, "scanner");
	assert_span(e.sender, "a@example.org");
	assert_span(e.envelope_id, "QQ314");
	assert_span(body, "Subject: x\r\n\r\nbody\r\n");
	assert_span(c.message_id, "<1@x>");
	assert_true(c.accepted_at == 1433160000007 && c.key_until == -5 && c.key.size == sizeof key_bytes);
	assert_int_equal(record_recipient_count(e.recipients), 2);
	rest = e.recipients;
	assert_true(record_recipient_next(&rest, &r));
	assert_span(r.address, "b@example.org");
	assert_span(r.original, "rfc822;b");
	assert_int_equal(r.notify, 4);
	assert_true(record_recipient_next(&rest, &r));
	assert_false(record_recipient_next(&rest, &r));
	buf_free(&out);
}

/* What an older release wrote had fewer fields; they read as 0. Anything left over is of nobody we know. */
static void rows_grow_at_their_end(void **state)
{
	struct record_outcome o = { .id = 3, .at = 4, .attempts = 5, .next_try_at = 6, .unknown = 1, .host = SPAN("h"), .runs = SPAN("") }, back;
	struct buf out;

	buf_init(&out, 4096);
	assert_true(record_put_outcome(&out, &o));
	assert_int_equal(record_get_outcome(&back, span_slice(buf_span(&out), 0, 20)), FAULT_OK);
	assert_true(back.id == 3 && back.at == 4 && back.attempts == 5 && back.next_try_at == 0 && !back.host.size);
	assert_int_equal(record_get_outcome(&back, span_slice(buf_span(&out), 0, 21)), FAULT_MALFORMED);
	buf_put_byte(&out, 0);
	assert_int_equal(record_get_outcome(&back, buf_span(&out)), FAULT_MALFORMED);
	buf_free(&out);
}

static void frames_come_back_and_are_bound_to_their_place(void **state)
{
	const struct record_frame frame = { .type = RECORD_MESSAGE, .segment = 12, .sequence = 345, .group = 344 };
	struct record_frame found;
	struct buf out, payload;

	buf_init(&out, 65536);
	buf_init(&payload, 65536);
	for (size_t size = 0; size < 40; size++) {
		char text[40] = "0123456789012345678901234567890123456789";

		buf_clear(&out);
		buf_clear(&payload);
		assert_true(record_frame_put(&out, KEY, &frame, (struct span){ text, size }));
		assert_int_equal(out.size, record_frame_size(size));
		assert_int_equal(out.size % RECORD_ALIGN_BYTES, 0);
		assert_int_equal(record_frame_read(&found, buf_span(&out)), RECORD_WHOLE);
		assert_true(found.type == RECORD_MESSAGE && found.segment == 12 && found.sequence == 345 && found.group == 344);
		assert_true(record_frame_open(&payload, KEY, &found));
		assert_int_equal(payload.size, size);
		assert_memory_equal(payload.at, text, size);
	}
	buf_free(&out);
	buf_free(&payload);
}

/* A frame cut at any byte is never whole; one with any bit turned never opens. */
static void cut_and_damaged_frames(void **state)
{
	const struct record_frame frame = { .type = RECORD_NUMBER_hold, .segment = 1, .sequence = 1, .group = 1 };
	struct record_frame found;
	struct buf out, payload;

	buf_init(&out, 65536);
	buf_init(&payload, 65536);
	put_message(&payload, SPAN("hello"));
	assert_true(record_frame_put(&out, KEY, &frame, buf_span(&payload)));
	for (size_t cut = 0; cut < payload.size + RECORD_OVER_BYTES; cut++)
		assert_int_equal(record_frame_read(&found, span_slice(buf_span(&out), 0, cut)), RECORD_CUT);
	for (size_t at = 0; at < payload.size + RECORD_OVER_BYTES; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			out.at[at] = (char)(out.at[at] ^ 1 << bit);
			assert_int_not_equal(record_frame_read(&found, buf_span(&out)), RECORD_WHOLE);
			out.at[at] = (char)(out.at[at] ^ 1 << bit);
		}
	/* a check sum made anew does not help: the seal binds place and type */
	out.at[24] ^= 1;
	{
		uint32_t sum = crc_of(0, span_slice(buf_span(&out), 12, payload.size + RECORD_OVER_BYTES - 12));

		memcpy(out.at + 8, &sum, sizeof sum);
	}
	assert_int_equal(record_frame_read(&found, buf_span(&out)), RECORD_WHOLE);
	assert_false(record_frame_open(&payload, KEY, &found));
	buf_free(&out);
	buf_free(&payload);
}

static void malformed_lists(void **state)
{
	struct buf list;
	struct record_recipient r;
	struct span rest;

	buf_init(&list, 4096);
	assert_true(record_recipient_put(&list, &(struct record_recipient){ SPAN("b@example.org"), SPAN(""), 0 }));
	for (size_t cut = 1; cut < list.size; cut++)
		assert_int_equal(record_recipient_count(span_slice(buf_span(&list), 0, cut)), 0);
	buf_clear(&list);
	message_list_put(&list, SPAN("a@b"));
	message_list_put(&list, SPAN("12")); /* NOTIFY is one byte */
	message_list_put(&list, SPAN(""));
	rest = buf_span(&list);
	assert_false(record_recipient_next(&rest, &r));
	buf_free(&list);
}

TESTS(check_sums, messages_come_back, rows_grow_at_their_end, frames_come_back_and_are_bound_to_their_place, cut_and_damaged_frames,
      malformed_lists)
