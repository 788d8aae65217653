/* Header blocks: where they end, what they say, and what they look like with our additions. */
#include "wire/header.h"

#include "tests/test.h"

struct reading {
	struct header header;
	struct buf block, out;
};

static void start(struct reading *r, size_t ceiling)
{
	buf_init(&r->block, ceiling);
	buf_init(&r->out, 100000);
	header_init(&r->header, &r->block);
}

static void stop(struct reading *r)
{
	buf_free(&r->block);
	buf_free(&r->out);
}

/* Feeds in cuts of `step` bytes; returns how many bytes were taken. */
static size_t feed(struct reading *r, struct span text, size_t step, enum fault *fault_out)
{
	size_t taken = 0, more;

	*fault_out = FAULT_OK;
	while (taken < text.size && !r->header.ended && *fault_out == FAULT_OK) {
		*fault_out = header_feed(&r->header, span_slice(text, taken, step), &more);
		taken += more;
	}
	if (*fault_out == FAULT_OK && taken == text.size)
		*fault_out = header_finish(&r->header);
	return taken;
}

static void read_block(struct reading *r, const char *text)
{
	enum fault f;

	start(r, 10000);
	feed(r, span_of(text), 10000, &f);
	assert_int_equal(f, FAULT_OK);
	assert_true(r->header.ended);
}

/* The block written with the edits, and the body behind it as the gate would pass it on. */
static void expect_written(const char *text, struct header_edits edits, const char *wanted)
{
	for (size_t step = 1; step < 200; step += 7) {
		struct reading r;
		enum fault f;
		size_t taken;

		start(&r, 10000);
		taken = feed(&r, span_of(text), step, &f);
		assert_int_equal(f, FAULT_OK);
		assert_int_equal(header_write(&r.header, &edits, &r.out), FAULT_OK);
		buf_put(&r.out, span_slice(span_of(text), taken, 100000));
		assert_span(buf_span(&r.out), wanted);
		stop(&r);
	}
}

static const struct header_edits edits = { .date_ms = 1433160000000,
					   .message_id = { "m1@mx.test", 10 },
					   .from = { "box@x.test", 10 } };
static const struct header_edits rewriting = {
	.date_ms = 1433160000000, .message_id = { "m1@mx.test", 10 }, .from = { "box@x.test", 10 }, .rewrite = true
};

#define WHOLE "Date: Mon, 01 Jun 2015 12:00:00 +0000\r\nMessage-ID: <1@c>\r\n"

static void complete_header_stays(void **state)
{
	expect_written("From: a@b\r\n" WHOLE "\r\nbody\r\n", edits, "From: a@b\r\n" WHOLE "\r\nbody\r\n");
}

/* RFC 6409 8 */
static void missing_fields_are_added(void **state)
{
	expect_written("Subject: x\r\n folded\r\n\r\nbody", edits,
		       "From: <box@x.test>\r\nDate: Mon, 01 Jun 2015 12:00:00 +0000\r\nMessage-ID: <m1@mx.test>\r\n"
		       "Subject: x\r\n folded\r\n\r\nbody");
	expect_written("date:\r\nMESSAGE-ID: \r\nfrom: \r\nTo:b@c\r\n\r\n", edits,
		       "From: <box@x.test>\r\nDate: Mon, 01 Jun 2015 12:00:00 +0000\r\nMessage-ID: "
		       "<m1@mx.test>\r\nTo:b@c\r\n\r\n");
	expect_written("From: undisclosed:;\r\n" WHOLE "\r\n", edits, "From: <box@x.test>\r\n" WHOLE "\r\n");
}

/* Messages that do not begin with a header, or never leave it. */
static void no_header_at_all(void **state)
{
	static const char added[] =
		"From: <box@x.test>\r\nDate: Mon, 01 Jun 2015 12:00:00 +0000\r\nMessage-ID: <m1@mx.test>\r\n";
	static const char *const bodies[] = {
		"", "plain text\r\nmore: text\r\n", " indented\r\n", ": x\r\n", "a b: c\r\n", "no line end"
	};
	char wanted[400];

	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		snprintf(wanted, sizeof wanted, "%s\r\n%s", added, bodies[i]);
		expect_written(bodies[i], edits, wanted);
	}
	snprintf(wanted, sizeof wanted, "%sSubject: x\r\n\r\nhello you\r\n", added);
	expect_written("Subject: x\r\nhello you\r\n", edits, wanted);
	snprintf(wanted, sizeof wanted, "%sSubject: x\r\n\r\n", added);
	expect_written("Subject: x\r\n", edits, wanted);
}

static void from_is_rewritten(void **state)
{
	expect_written("From: \"Scanner, 2nd floor\" <scan@lan.local>\r\nSender: x@y\r\nResent-From: z@y\r\n" WHOLE
		       "Subject: s\r\n\r\n",
		       rewriting,
		       "From: \"Scanner, 2nd floor\" <box@x.test>\r\nReply-To: \"Scanner, 2nd floor\" "
		       "<scan@lan.local>\r\n" WHOLE "Subject: s\r\n\r\n");
	expect_written("From: scan@lan.local (hi)\r\nReply-To:\r\n" WHOLE "\r\n", rewriting,
		       "From: <box@x.test>\r\nReply-To: scan@lan.local (hi)\r\n" WHOLE "\r\n");
	expect_written("From: a@b\r\nReply-To: c@d\r\n" WHOLE "\r\n", rewriting,
		       "From: <box@x.test>\r\nReply-To: c@d\r\n" WHOLE "\r\n");
	expect_written("From: =?utf-8?q?x?=\r\n =?utf-8?q?y?= <a@b>\r\n" WHOLE "\r\n", rewriting,
		       "From: =?utf-8?q?x?=\r\n =?utf-8?q?y?= <box@x.test>\r\nReply-To: =?utf-8?q?x?=\r\n "
		       "=?utf-8?q?y?= <a@b>\r\n" WHOLE "\r\n");
}

/* T-RELAY 17: two From fields, or one that readers differ on, leave nothing of themselves behind. */
static void t_relay_17_from_ambiguous(void **state)
{
	expect_written("From: a@b\r\nFROM : c@d\r\n" WHOLE "\r\n", rewriting, "From: <box@x.test>\r\n" WHOLE "\r\n");
	expect_written("From: a@b <c@d>\r\n" WHOLE "\r\n", rewriting, "From: <box@x.test>\r\n" WHOLE "\r\n");
	expect_written("From: Boss <a@b>, x\r\n" WHOLE "\r\n", rewriting, "From: <box@x.test>\r\n" WHOLE "\r\n");
}

static void t_relay_17_senders(void **state)
{
	static const char *const wanted[] = { "a@b", "c@d", "!", "e@f", "g@h", "i@j" };
	struct header_walk walk = { 0 };
	enum mailbox_found found;
	struct reading r;
	struct mailbox m;
	size_t count = 0;

	read_block(&r, "From: a@b, C <c@d>\r\nfrom: broken\r\nSender: e@f\r\nReply-To: no@no\r\nResent-From: g@h\r\n"
		       "To: no@no\r\nresent-sender: i@j\r\nX-From: no@no\r\n\r\nFrom: no@no\r\n");
	while ((found = header_next_sender(&r.header, &walk, &m)) != MAILBOX_END) {
		assert_true(count < 6);
		assert_span(found == MAILBOX_BROKEN ? SPAN("!") : m.address, wanted[count]);
		count++;
	}
	assert_int_equal(count, 6);
	assert_int_equal(r.header.from_fields, 2);
	stop(&r);
}

static void what_it_says(void **state)
{
	struct reading r;

	read_block(&r, "Received: x\r\nReceived: y\r\n\tz\r\nMessage-Id:  <i@d> \r\nReply-To: q@r\r\nDate: "
		       "now\r\nSubject: a\r\n b\r\n\r\n");
	assert_int_equal(r.header.received, 2);
	assert_span(r.header.message_id, "<i@d>");
	assert_true(r.header.has_reply_to && r.header.has_date && r.header.has_message_id && !r.header.has_from);
	assert_span(header_value(&r.header, SPAN("subject")), "a\r\n b");
	assert_span(header_value(&r.header, SPAN("Cc")), "");
	stop(&r);
}

static void signed_mail_is_known(void **state)
{
	static const struct {
		const char *field;
		bool is_signed;
	} cases[] = {
		{ "DKIM-Signature: v=1", true },
		{ "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"", true },
		{ "content-type:MULTIPART/Signed", true },
		{ "Content-Type: (c) multipart (x) / (y)\r\n signed ; b=c", true },
		{ "Content-Type: multipart/encrypted; protocol=x", true },
		{ "Content-Type: application/pkcs7-mime; smime-type=signed-data", true },
		{ "Content-Type: application/x-pkcs7-mime", true },
		{ "Content-Type: multipart/mixed; x=multipart/signed", false },
		{ "Content-Type: multipart", false },
		{ "Content-Type: multipart/signedx", false },
		{ "X-DKIM-Signature: v=1", false },
		{ "Subject: multipart/signed", false },
	};
	char text[200];
	struct reading r;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		snprintf(text, sizeof text, "%s\r\n\r\n", cases[i].field);
		read_block(&r, text);
		assert_int_equal(r.header.is_signed, cases[i].is_signed);
		stop(&r);
	}
}

static void signed_mail_is_never_altered(void **state)
{
	struct header_trace trace = {
		SPAN("c"), SPAN(""), SPAN("mx.test"), SPAN("ESMTPSA"), SPAN("m1"), 1433160000000
	};
	struct header_edits traced = edits;
	struct reading r;

	read_block(&r, "DKIM-Signature: v=1\r\nFrom: a@b\r\n\r\n");
	assert_int_equal(header_write(&r.header, &rewriting, &r.out), FAULT_SIGNED_MAIL);
	assert_int_equal(r.out.size, 0);
	assert_false(header_changes(&r.header, &edits));
	traced.trace = &trace;
	assert_int_equal(header_write(&r.header, &traced, &r.out), FAULT_OK);
	assert_span(buf_span(&r.out),
		    "Received: from c\r\n\tby mx.test with ESMTPSA id m1;\r\n\tMon, 01 Jun 2015 12:00:00 +0000\r\n"
		    "DKIM-Signature: v=1\r\nFrom: a@b\r\n\r\n");
	stop(&r);
}

static void t_smuggle_15_header_injection(void **state)
{
	struct header_trace trace = { .helo = SPAN("x\r\nBcc: a@b\r\n\r\n) by (y\0\x1b\xc3\xa9"),
				      .address = SPAN("2001:db8::1\r\n"),
				      .host = SPAN("mx.test"),
				      .protocol = SPAN("ESMTP"),
				      .id = SPAN("m1; x") };
	struct header_field field;
	struct reading r;
	struct buf b;
	size_t at = 0;

	buf_init(&b, 2000);
	assert_true(header_put_received(&b, &trace));
	buf_put(&b, SPAN("\r\n"));
	buf_put_byte(&b, '\0');
	read_block(&r, b.at);
	assert_true(header_next_field(&r.header, &at, &field));
	assert_span(field.value,
		    "from x??Bcc:?a?b??????by??y???? ([IPv6:2001:db8::1??])\r\n\tby mx.test with ESMTP id m1??x;\r\n\t"
		    "Thu, 01 Jan 1970 00:00:00 +0000");
	assert_false(header_next_field(&r.header, &at, &field));
	stop(&r);
	buf_free(&b);
}

static void received_for_ipv4(void **state)
{
	struct header_trace trace = { SPAN("[192.0.2.1]"), SPAN("192.0.2.1"), SPAN("mx.test"),
				      SPAN("ESMTPSA"),     SPAN("m1"),        0 };
	struct buf b;

	buf_init(&b, 2000);
	assert_true(header_put_received(&b, &trace));
	assert_span(buf_span(&b), "Received: from [192.0.2.1] ([192.0.2.1])\r\n\tby mx.test with ESMTPSA id m1;\r\n\t"
				  "Thu, 01 Jan 1970 00:00:00 +0000\r\n");
	buf_free(&b);
}

static void received_from_a_user(void **state)
{
	struct header_trace trace = { SPAN("web1"), SPAN("uid:33"), SPAN("mx.test"), SPAN("ESMTP"), SPAN("m1"), 0 };
	struct buf b;

	buf_init(&b, 2000);
	assert_true(header_put_received(&b, &trace));
	assert_true(span_starts(buf_span(&b), SPAN("Received: from web1 (uid:33)\r\n\tby mx.test with ESMTP id m1;\r\n")));
	buf_free(&b);
}

static void refused_blocks(void **state)
{
	static const struct {
		struct span text;
		enum fault fault;
	} cases[] = {
		{ SPAN("A: b\nFrom: c@d\r\n\r\n"), FAULT_BARE_NEWLINE },
		{ SPAN("A: b\rFrom: c@d\r\n\r\n"), FAULT_BARE_NEWLINE },
		{ SPAN("A: b\r\r\n\r\n"), FAULT_BARE_NEWLINE },
		{ SPAN("A: b\0\r\n\r\n"), FAULT_NUL_BYTE },
		{ SPAN("A: b\r\n \0\r\n\r\n"), FAULT_NUL_BYTE },
		{ SPAN("A: b"), FAULT_BARE_NEWLINE },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		for (size_t step = 1; step < 20; step++) {
			struct reading r;
			enum fault f;

			start(&r, 10000);
			feed(&r, cases[i].text, step, &f);
			assert_int_equal(f, cases[i].fault);
			stop(&r);
		}
}

static void ceiling(void **state)
{
	struct reading r;
	enum fault f;

	start(&r, 20);
	feed(&r, SPAN("Subject: much too long\r\n\r\n"), 5, &f);
	assert_int_equal(f, FAULT_HEADER_TOO_LONG);
	stop(&r);
	start(&r, 20);
	feed(&r, SPAN("Subject: fits....\r\n\r\n"), 5, &f);
	assert_int_equal(f, FAULT_HEADER_TOO_LONG);
	stop(&r);
	start(&r, 20);
	feed(&r, SPAN("Subject: fits..\r\n\r\nand a body beyond"), 5, &f);
	assert_int_equal(f, FAULT_OK);
	r.out.max = 20;
	assert_int_equal(header_write(&r.header, &edits, &r.out), FAULT_HEADER_TOO_LONG);
	stop(&r);
}

TESTS(complete_header_stays, missing_fields_are_added, no_header_at_all, from_is_rewritten, t_relay_17_from_ambiguous,
      t_relay_17_senders, what_it_says, signed_mail_is_known, signed_mail_is_never_altered,
      t_smuggle_15_header_injection, received_for_ipv4, received_from_a_user, refused_blocks, ceiling)
