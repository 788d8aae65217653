#include "wire/notice_mail.h"

#include "base/text.h"

enum { WORD_BYTES = 42, LINE_BYTES = 57, TEXT_BYTES_MAX = 256 * 1024 };

/* The bytes of whole characters that fit into `most`. */
static size_t whole(struct span text, size_t most)
{
	if (text.size <= most)
		return text.size;
	while (most && ((unsigned char)text.at[most] & 0xc0) == 0x80)
		most--;
	return most;
}

/* Encoded words of at most 75 characters, none of which ends inside a character (RFC 2047 5). */
static void put_subject(struct buf *out, struct span text)
{
	char memory[512];
	struct buf clean;
	struct span rest;

	buf_over(&clean, memory, sizeof memory);
	text_plain(&clean, span_slice(text, 0, whole(text, sizeof memory / 2)));
	rest = buf_span(&clean);
	buf_put(out, SPAN("Subject:"));
	while (rest.size) {
		size_t size = whole(rest, WORD_BYTES);

		buf_put(out, SPAN(" =?utf-8?B?"));
		text_base64(out, span_slice(rest, 0, size));
		rest = span_slice(rest, size, rest.size);
		buf_put(out, rest.size ? SPAN("?=\r\n") : SPAN("?="));
	}
	buf_put(out, SPAN("\r\n"));
}

static void put_addresses(struct buf *out, struct span lines)
{
	struct span line;
	bool first = true;

	buf_put(out, SPAN("To:"));
	while (lines.size && span_cut(&lines, '\n', &line)) {
		buf_put(out, first ? SPAN(" <") : SPAN(",\r\n <"));
		text_plain(out, line);
		buf_put_byte(out, '>');
		first = false;
	}
	buf_put(out, SPAN("\r\n"));
}

static void put_text(struct buf *out, struct span text)
{
	struct span line, rest;
	struct buf crlf;

	buf_init(&crlf, 2 * TEXT_BYTES_MAX);
	while (text.size && span_cut(&text, '\n', &line)) {
		text_plain(&crlf, line);
		buf_put(&crlf, SPAN("\r\n"));
	}
	out->overfull |= crlf.overfull;
	for (rest = buf_span(&crlf); rest.size; rest = span_slice(rest, LINE_BYTES, rest.size)) {
		text_base64(out, span_slice(rest, 0, LINE_BYTES));
		buf_put(out, SPAN("\r\n"));
	}
	buf_free(&crlf);
}

bool notice_mail_put(struct buf *out, const struct notice_mail *n)
{
	buf_put(out, SPAN("From: Postern <"));
	text_plain(out, n->from);
	buf_put(out, SPAN(">\r\n"));
	put_addresses(out, n->to);
	put_subject(out, n->subject);
	buf_put(out, SPAN("Date: "));
	text_mail_date(out, n->date_ms);
	buf_print(out, "\r\nMessage-ID: %.*s\r\nAuto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nX-Postern-Report: notice\r\n"
		  "Content-Language: %.*s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		  SPAN_ARGS(n->message_id), SPAN_ARGS(n->language));
	put_text(out, n->text);
	return !out->overfull;
}
