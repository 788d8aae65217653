#include "twin/twin_shelf.h"

#include "base/panic.h"
#include "base/trail.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct twin_shelf {
	struct twin_mail *mails[TWIN_SHELF_MAILS]; /* by number modulo */
	uint64_t first, last;
	size_t bytes;
	struct disk *directory;
};

struct twin_shelf *twin_shelf_new(struct disk *directory)
{
	struct twin_shelf *s = calloc(1, sizeof *s);

	ASSERT(s);
	s->directory = directory;
	s->first = 1;
	return s;
}

static void drop_first(struct twin_shelf *s)
{
	struct twin_mail **place = &s->mails[s->first % TWIN_SHELF_MAILS];

	s->bytes -= (*place)->bytes.size;
	free(*place);
	*place = NULL;
	s->first++;
}

void twin_shelf_clear(struct twin_shelf *s)
{
	while (s->first <= s->last)
		drop_first(s);
}

void twin_shelf_free(struct twin_shelf **shelf)
{
	if (!*shelf)
		return;
	twin_shelf_clear(*shelf);
	free(*shelf);
	*shelf = NULL;
}

static void write_file(struct twin_shelf *s, const struct twin_mail *m)
{
	struct disk_file *file = NULL;
	struct trail trail;
	char name[32];
	enum fault f;

	snprintf(name, sizeof name, "%08llu.eml", (unsigned long long)m->number);
	f = disk_file_open(&file, s->directory, name, DISK_MAKE);
	if (f == FAULT_OK)
		f = disk_write(file, 0, m->bytes);
	trail_init(&trail, "twin", SPAN(""));
	if (f != FAULT_OK)
		TRAIL(&trail, EVENT_TWIN_MAIL_UNWRITTEN, TRAIL_TEXT("file", span_of(name)), TRAIL_TEXT("fault", span_of(fault_row(f)->name)));
	if (file)
		disk_file_close(&file);
}

static struct span put_text(char **at, struct span text)
{
	struct span copy = { *at, text.size };

	if (text.size)
		memcpy(*at, text.at, text.size);
	*at += text.size;
	return copy;
}

uint64_t twin_shelf_put(struct twin_shelf *s, const struct twin_mail *given)
{
	size_t size = given->mailbox.size + given->connector.size + given->sender.size + given->recipients.size + given->peer.size + given->reply.size + given->bytes.size;
	struct twin_mail *m = malloc(sizeof *m + size);
	char *at = (char *)(m + 1);

	ASSERT(m);
	*m = *given;
	m->number = s->last + 1;
	m->mailbox = put_text(&at, given->mailbox);
	m->connector = put_text(&at, given->connector);
	m->sender = put_text(&at, given->sender);
	m->recipients = put_text(&at, given->recipients);
	m->peer = put_text(&at, given->peer);
	m->reply = put_text(&at, given->reply);
	m->bytes = put_text(&at, given->bytes);
	while (s->first <= s->last && (s->last + 1 - s->first >= TWIN_SHELF_MAILS || s->bytes + m->bytes.size > TWIN_SHELF_BYTES))
		drop_first(s);
	s->last++;
	s->bytes += m->bytes.size;
	s->mails[m->number % TWIN_SHELF_MAILS] = m;
	if (s->directory)
		write_file(s, m);
	return m->number;
}

const struct twin_mail *twin_shelf_mail(const struct twin_shelf *s, uint64_t number)
{
	return number >= s->first && number <= s->last ? s->mails[number % TWIN_SHELF_MAILS] : NULL;
}

uint64_t twin_shelf_first(const struct twin_shelf *s)
{
	return s->first;
}

uint64_t twin_shelf_last(const struct twin_shelf *s)
{
	return s->last;
}

struct span twin_mail_head(struct span mail)
{
	size_t end;

	if (span_starts(mail, SPAN("\r\n")))
		return span_slice(mail, 0, 0);
	end = span_find(mail, SPAN("\r\n\r\n"));
	return span_slice(mail, 0, end == mail.size ? end : end + 2);
}

/* One line without its end; `rest` moves behind it. */
static bool cut_line(struct span *rest, struct span *line)
{
	if (!rest->size || !span_cut(rest, '\n', line))
		return false;
	if (line->size && line->at[line->size - 1] == '\r')
		line->size--;
	return true;
}

bool twin_mail_header(struct span mail, struct span name, struct buf *out)
{
	struct span rest = twin_mail_head(mail), line;
	bool found = false;

	while (cut_line(&rest, &line)) {
		bool goes_on = line.size && (line.at[0] == ' ' || line.at[0] == '\t');

		if (found && !goes_on)
			break;
		if (found) {
			buf_put_byte(out, ' ');
			buf_put(out, span_trim(line));
		} else if (!goes_on && span_starts_fold(line, name) && line.size > name.size &&
			   span_starts(span_trim(span_slice(line, name.size, line.size)), SPAN(":"))) {
			buf_put(out, span_trim(span_slice(line, span_find_byte(line, ':') + 1, line.size)));
			found = true;
		}
	}
	return found;
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The Q encoding (RFC 2047 4.2). */
static bool read_q(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		char c = text.at[i] == '_' ? ' ' : text.at[i];

		if (c == '=') {
			int high = i + 2 < text.size ? hex_value(text.at[i + 1]) : -1, low = high < 0 ? -1 : hex_value(text.at[i + 2]);

			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		buf_put_byte(out, c);
	}
	return true;
}

static void put_latin1(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c >= 0x80)
			buf_put_byte(out, (char)(0xc0 | c >> 6));
		buf_put_byte(out, (char)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
	}
}

/* "=?charset?encoding?text?=" at the beginning, decoded; how many bytes it has, or 0 when it is none that is understood. */
static size_t take_word(struct span text, struct buf *out)
{
	struct span rest = span_slice(text, 2, text.size), charset, encoding, body;
	size_t size;
	struct buf bytes;
	bool ok;

	if (!span_starts(text, SPAN("=?")) || !span_cut(&rest, '?', &charset) || !span_cut(&rest, '?', &encoding) || !span_cut(&rest, '?', &body) ||
	    !span_starts(rest, SPAN("=")))
		return 0;
	size = (size_t)(rest.at + 1 - text.at);
	buf_init(&bytes, text.size);
	ok = span_equal_fold(encoding, SPAN("B")) ? text_from_base64(&bytes, body) : span_equal_fold(encoding, SPAN("Q")) && read_q(&bytes, body);
	if (ok && span_equal_fold(charset, SPAN("iso-8859-1")))
		put_latin1(out, buf_span(&bytes));
	else if (ok && (span_equal_fold(charset, SPAN("utf-8")) || span_equal_fold(charset, SPAN("us-ascii"))))
		buf_put(out, buf_span(&bytes));
	else
		size = 0;
	buf_free(&bytes);
	return size;
}

bool twin_mail_shown(struct span mail, struct span name, struct buf *out)
{
	struct buf value;
	struct span rest;
	bool found, after_word = false;

	buf_init(&value, mail.size + 1);
	found = twin_mail_header(mail, name, &value);
	for (rest = buf_span(&value); rest.size;) {
		size_t before = out->size, blanks = 0, size;

		while (blanks < rest.size && rest.at[blanks] == ' ')
			blanks++;
		/* Blanks between two encoded words are not shown (6.2). */
		size = take_word(span_slice(rest, blanks, rest.size), out);
		if (size && blanks && !after_word) {
			out->size = before;
			buf_put(out, span_slice(rest, 0, blanks));
			take_word(span_slice(rest, blanks, rest.size), out);
		}
		after_word = size != 0;
		size = size ? blanks + size : blanks + (blanks < rest.size);
		if (!after_word)
			buf_put(out, span_slice(rest, 0, size));
		rest = span_slice(rest, size, rest.size);
	}
	buf_free(&value);
	return found;
}
