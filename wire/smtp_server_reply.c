#include "wire/smtp_server_inner.h"

#include "base/panic.h"

#include <stdio.h>
#include <string.h>

enum { REPLY_LINE_BYTES = 512, FAULT_TEXT_BYTES = 512 + REMEDY_BYTES_MAX, ERRORS_DEFAULT = 20 };

static bool is_shown(char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* How much of `text` goes in a line of `room` bytes: up to a LF, else up to the last blank that fits. */
static size_t line_end(struct span text, size_t room)
{
	size_t end = span_find_byte(text, '\n');

	if (end <= room)
		return end;
	for (size_t at = room; at > room / 2; at--)
		if (text.at[at] == ' ')
			return at;
	return room;
}

static struct span skip_to_text(struct span text)
{
	while (text.size && (text.at[0] == '\n' || text.at[0] == '\r' || text.at[0] == ' '))
		text = span_slice(text, 1, text.size);
	return text;
}

/* Replies are ASCII: a client need not know UTF-8 to read why it was refused (RFC 6531 3.7.4.2). */
static void put_text(struct smtp_server *s, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '\r' || (c & 0xc0) == 0x80) /* the rest of a UTF-8 character */
			continue;
		s->room->out[s->out_size++] = is_shown((char)c) ? (char)c : '?';
	}
}

void smtp_server_reply(struct smtp_server *s, int code, struct span enhanced, struct span text)
{
	size_t head = 4 + (enhanced.size ? enhanced.size + 1 : 0), room = REPLY_LINE_BYTES - 2 - head;
	size_t end;
	bool more;

	ASSERT(s->out_size + REPLY_LINE_BYTES <= sizeof s->room->out);
	text = skip_to_text(text);
	do {
		end = line_end(text, room);
		struct span line = span_slice(text, 0, end);

		text = skip_to_text(span_slice(text, end, text.size));
		more = text.size && s->out_size + 2 * REPLY_LINE_BYTES <= sizeof s->room->out;
		s->out_size += (size_t)sprintf(s->room->out + s->out_size, "%d%c", code, more ? '-' : ' ');
		if (enhanced.size)
			s->out_size += (size_t)sprintf(s->room->out + s->out_size, "%.*s ", SPAN_ARGS(enhanced));
		put_text(s, line);
		memcpy(s->room->out + s->out_size, "\r\n", 2);
		s->out_size += 2;
	} while (more);
	if (code == 421)
		s->closing = true;
}

static void reply_row(struct smtp_server *s, enum fault f, const struct remedy_names *names)
{
	const struct fault_row *row = fault_row(f);
	char memory[FAULT_TEXT_BYTES];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	buf_put(&text, span_of(row->says[LANGUAGE_EN]));
	if (*row->remedy_pattern[LANGUAGE_EN]) {
		buf_put(&text, SPAN("; "));
		remedy_put(&text, f, LANGUAGE_EN, names ? names : &s->names);
	}
	smtp_server_reply(s, row->smtp, span_of(row->enhanced), buf_span(&text));
}

static bool is_counted(enum fault f)
{
	enum fault_class class = fault_row(f)->class;

	return (class == FAULT_CLASS_CLIENT || class == FAULT_CLASS_POLICY) && f != FAULT_TOO_MANY_RECIPIENTS;
}

bool smtp_server_reply_is_last_error(struct smtp_server *s, enum fault f)
{
	unsigned most = s->limits.errors ? s->limits.errors : ERRORS_DEFAULT;

	if (!is_counted(f) || ++s->errors < most)
		return false;
	reply_row(s, FAULT_TOO_MANY_ERRORS, NULL);
	return true;
}

void smtp_server_reply_fault(struct smtp_server *s, enum fault f)
{
	if (s->offence == FAULT_OK && fault_row(f)->class == FAULT_CLASS_CLIENT && fault_row(f)->smtp >= 500)
		s->offence = f;
	if (!smtp_server_reply_is_last_error(s, f))
		reply_row(s, f, NULL);
}

/* class "." subject "." detail, its class that of the code (RFC 2034 4) */
static bool is_enhanced(struct span s, int code)
{
	size_t dots = 0;

	if (s.size < 5 || s.size > 9 || s.at[0] - '0' != code / 100 || s.at[1] != '.' || s.at[s.size - 1] == '.')
		return false;
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] == '.')
			dots++;
		else if (s.at[i] < '0' || s.at[i] > '9')
			return false;
	return dots == 2;
}

static int answer_code(const struct smtp_server_answer *a)
{
	int code = a->code ? a->code : fault_row(a->fault)->smtp;

	if (code < 200 || code > 599 || (code >= 300 && code < 400))
		return 451; /* an upstream that talks nonsense has accepted nothing */
	return code;
}

void smtp_server_reply_answer(struct smtp_server *s, const struct smtp_server_answer *a, struct span enhanced,
			      struct span text)
{
	char general[] = "0.0.0";
	int code = answer_code(a);

	if (a->fault != FAULT_OK && !a->code && !a->text.size) {
		reply_row(s, a->fault, a->names);
		return;
	}
	if (a->fault != FAULT_OK)
		enhanced = span_of(fault_row(a->fault)->enhanced);
	if (a->enhanced.size)
		enhanced = a->enhanced;
	if (!is_enhanced(enhanced, code)) {
		general[0] = (char)('0' + code / 100);
		enhanced = SPAN("0.0.0");
		enhanced.at = general;
	}
	if (a->text.size)
		text = a->text;
	else if (a->fault != FAULT_OK)
		text = span_of(fault_row(a->fault)->says[LANGUAGE_EN]);
	smtp_server_reply(s, code, enhanced, text);
}
