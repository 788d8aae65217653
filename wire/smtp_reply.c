#include "wire/smtp_reply.h"

#include <string.h>

void smtp_reply_init(struct smtp_reply *r)
{
	r->end = SMTP_REPLY_MORE;
	r->code = 0;
	r->enhanced[0] = 0;
	r->text_size = r->line_at = r->total_bytes = 0;
	r->column = 0;
	r->last_line = r->after_cr = false;
}

static void begin_line(struct smtp_reply *r)
{
	r->end = SMTP_REPLY_MORE;
	r->code = 0;
	r->column = 0;
	r->last_line = r->after_cr = false;
	if (r->text_size && r->text_size < sizeof r->text)
		r->text[r->text_size++] = ' ';
	r->line_at = r->text_size;
}

/* The code is the same on every line (RFC 5321 4.2.1). Where it is not, the last one decides: to take a
 * reply that comes after the final dot for nonsense would be to send the message twice. */
static bool take_code_byte(struct smtp_reply *r, char c)
{
	if (r->column == 3) {
		r->last_line = c != '-';
		return c == ' ' || c == '-' || c == '\t';
	}
	if (c < '0' || c > '9')
		return false;
	r->code = r->code * 10 + (c - '0');
	return r->column != 0 || (c >= '2' && c <= '5');
}

static void keep(struct smtp_reply *r, char c)
{
	if (r->text_size < sizeof r->text)
		r->text[r->text_size++] = c;
}

/* Takes the enhanced code off the head of the line when it is the one of this reply. */
static void strip_line(struct smtp_reply *r)
{
	struct span line = span_trim(smtp_reply_line(r));
	struct span word = span_slice(line, 0, span_find_byte(line, ' '));

	if (outcome_is_enhanced(word) && !r->enhanced[0]) {
		memcpy(r->enhanced, word.at, word.size);
		r->enhanced[word.size] = 0;
	}
	if (word.size && span_equal(word, smtp_reply_enhanced(r)))
		line = span_trim(span_slice(line, word.size, line.size));
	memmove(r->text + r->line_at, line.at, line.size);
	r->text_size = r->line_at + line.size;
	if (!line.size && r->line_at && r->text[r->line_at - 1] == ' ')
		r->text_size = --r->line_at; /* an empty line adds no blank */
}

static void end_line(struct smtp_reply *r)
{
	if (r->column < 3) {
		r->end = SMTP_REPLY_BROKEN;
		return;
	}
	if (r->column == 3)
		r->last_line = true; /* "334" and nothing behind it */
	strip_line(r);
	r->end = r->last_line ? SMTP_REPLY_WHOLE : SMTP_REPLY_LINE;
}

/* A CR before LF belongs to the line end; any other is text, and made harmless where the text is shown. */
static void take_byte(struct smtp_reply *r, char c)
{
	if (++r->total_bytes > SMTP_REPLY_TOTAL_BYTES) {
		r->end = SMTP_REPLY_BROKEN;
	} else if (c == '\n') {
		end_line(r);
	} else if (c == '\r' && !r->after_cr) {
		r->after_cr = true;
	} else if (r->column < 4) {
		if (r->after_cr || !take_code_byte(r, c))
			r->end = SMTP_REPLY_BROKEN;
		r->column++;
	} else {
		if (r->after_cr)
			keep(r, '\r');
		r->after_cr = c == '\r';
		if (!r->after_cr)
			keep(r, c);
	}
}

size_t smtp_reply_feed(struct smtp_reply *r, struct span bytes, enum smtp_reply_end *end_out)
{
	size_t taken = 0;

	*end_out = r->end == SMTP_REPLY_BROKEN ? SMTP_REPLY_BROKEN : SMTP_REPLY_MORE;
	if (!bytes.size)
		return 0;
	if (r->end == SMTP_REPLY_WHOLE)
		smtp_reply_init(r);
	if (r->end == SMTP_REPLY_LINE)
		begin_line(r);
	while (taken < bytes.size && r->end == SMTP_REPLY_MORE)
		take_byte(r, bytes.at[taken++]);
	*end_out = r->end;
	return taken;
}

struct span smtp_reply_line(const struct smtp_reply *r)
{
	return (struct span){ r->text + r->line_at, r->text_size - r->line_at };
}

void smtp_reply_drop_line(struct smtp_reply *r)
{
	r->text_size = r->line_at;
}

struct span smtp_reply_text(const struct smtp_reply *r)
{
	return span_trim((struct span){ r->text, r->text_size });
}

struct span smtp_reply_enhanced(const struct smtp_reply *r)
{
	return span_of(r->enhanced);
}
