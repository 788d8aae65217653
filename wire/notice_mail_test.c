#include "wire/notice_mail.h"

#include "base/text.h"
#include "tests/test.h"
#include "wire/dsn.h"

static const struct notice_mail plain = {
	.from = SPAN("office@contoso.example"), .to = SPAN("ann@contoso.example\nbob@contoso.example"), .subject = SPAN("Mail is held"),
	.message_id = SPAN("<notice.1@contoso.example>"), .language = SPAN("en"), .date_ms = 1433160000000, .text = SPAN("One line.\nAnother.\n"),
};

static void the_whole_of_it(void **state)
{
	struct buf b;

	buf_init(&b, 4096);
	assert_true(notice_mail_put(&b, &plain));
	assert_span(buf_span(&b),
		    "From: Postern <office@contoso.example>\r\n"
		    "To: <ann@contoso.example>,\r\n <bob@contoso.example>\r\n"
		    "Subject: =?utf-8?B?TWFpbCBpcyBoZWxk?=\r\n"
		    "Date: Mon, 01 Jun 2015 12:00:00 +0000\r\n"
		    "Message-ID: <notice.1@contoso.example>\r\n"
		    "Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nX-Postern-Report: notice\r\n"
		    "Content-Language: en\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
		    "T25lIGxpbmUuDQpBbm90aGVyLg0K\r\n");
	assert_true(dsn_is_report(buf_span(&b)));
	buf_free(&b);
}

/* Whatever is said, no line is long, none is bare, nothing is eight bits wide; and each encoded word decodes alone. */
static void nothing_breaks_its_form(void **state)
{
	char long_text[20000];
	struct notice_mail n = plain;
	struct span rest, line;
	struct buf b;

	for (size_t i = 0; i < sizeof long_text; i++)
		long_text[i] = "\xc3\xa9 \xe2\x82\xac\r"[i % 7];
	n.text = (struct span){ long_text, sizeof long_text };
	n.subject = SPAN("Une \xc3\xa9" "ch\xc3\xa9" "ance approche \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\r\nBcc: x");
	buf_init(&b, 256 * 1024);
	assert_true(notice_mail_put(&b, &n));
	assert_true(text_is_ascii(buf_span(&b)));
	for (rest = buf_span(&b); span_cut(&rest, '\n', &line) && line.size;) {
		assert_true(line.size <= 79);
		assert_int_equal(line.at[line.size - 1], '\r');
		assert_false(span_starts(line, SPAN("Bcc")));
		if (span_find(line, SPAN("=?utf-8?B?")) < line.size) {
			size_t at = span_find(line, SPAN("=?utf-8?B?")) + 10;
			struct buf word;

			buf_init(&word, 100);
			assert_true(text_from_base64(&word, span_slice(line, at, line.size - 3 - at)));
			assert_true(text_is_utf8(buf_span(&word)));
			buf_free(&word);
		}
	}
	buf_free(&b);
}

static void too_little_room_is_told(void **state)
{
	struct buf b;
	size_t size;

	buf_init(&b, 4096);
	assert_true(notice_mail_put(&b, &plain));
	size = b.size;
	buf_free(&b);
	for (size_t room = 1; room < size; room += 7) {
		buf_init(&b, room);
		assert_false(notice_mail_put(&b, &plain));
		buf_free(&b);
	}
}

TESTS(the_whole_of_it, nothing_breaks_its_form, too_little_room_is_told)
