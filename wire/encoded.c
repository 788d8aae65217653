#include "wire/encoded.h"

#include "base/text.h"

#include <string.h>

enum {
	WORD_BYTES = 75,     /* RFC 2047 2: the longest encoded word */
	WORD_FRAME = 12,     /* =?UTF-8?B?...?= without what it holds */
	PIECE_BYTES = 45,    /* of text in an encoded word: 60 of base64 */
	SECTION_BYTES = 54,  /* of a parameter's value, encoded, in one section */
	HARD_LINE_BYTES = 900 /* RFC 5322 2.1.1 has 998 */
};

static char cleaned(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
}

static bool is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* At most `most` bytes from the front, no character cut. */
static struct span take_characters(struct span *text, size_t most)
{
	size_t size = text->size < most ? text->size : most;
	struct span piece;

	while (size && size < text->size && is_continuation(text->at[size]))
		size--;
	piece = span_slice(*text, 0, size);
	*text = span_slice(*text, size, text->size);
	return piece;
}

static bool put_clean(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		buf_put_byte(out, cleaned(s.at[i]));
	return !out->overfull;
}

static void put_word(struct buf *out, struct span piece)
{
	char memory[PIECE_BYTES];
	struct buf clean;

	buf_over(&clean, memory, sizeof memory);
	put_clean(&clean, piece);
	buf_put(out, SPAN("=?UTF-8?B?"));
	text_base64(out, buf_span(&clean));
	buf_put(out, SPAN("?="));
}

/* The blanks between encoded words are not text (RFC 2047 6.2). */
static bool put_words(struct buf *out, struct span text, size_t column)
{
	size_t room = column + WORD_FRAME + 8 < ENCODED_LINE_BYTES ? (ENCODED_LINE_BYTES - column - WORD_FRAME) / 4 * 3 : 0;

	if (room > PIECE_BYTES)
		room = PIECE_BYTES;
	if (room < 8)
		buf_put(out, SPAN("\r\n "));
	put_word(out, take_characters(&text, room < 8 ? PIECE_BYTES : room));
	while (text.size) {
		buf_put(out, SPAN("\r\n "));
		put_word(out, take_characters(&text, PIECE_BYTES));
	}
	return !out->overfull;
}

static bool has_longer_word(struct span text)
{
	struct span word;

	while (span_cut(&text, ' ', &word))
		if (word.size > HARD_LINE_BYTES)
			return true;
	return false;
}

/* What would be read as an encoded word has to be one. A blank at the beginning or the end would be lost, and a line of blanks alone is no fold. */
static bool may_stand(struct span text)
{
	return text_is_ascii(text) && span_find(text, SPAN("=?")) == text.size && span_find(text, SPAN("  ")) == text.size &&
	       span_equal(span_trim(text), text) && !has_longer_word(text);
}

static bool put_folded(struct buf *out, struct span text, size_t column)
{
	struct span word;
	bool is_first = true;

	while (span_cut(&text, ' ', &word)) {
		bool is_over = !is_first && column + 1 + word.size > ENCODED_LINE_BYTES;

		if (!is_first)
			buf_put(out, is_over ? SPAN("\r\n ") : SPAN(" "));
		buf_put(out, word);
		column = (is_over ? 0 : column) + (is_first ? 0 : 1) + word.size;
		is_first = false;
	}
	return !out->overfull;
}

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.size; i++)
		if (cleaned(text.at[i]) != text.at[i])
			return true;
	return false;
}

bool encoded_text(struct buf *out, struct span text, size_t column)
{
	if (!text.size)
		return true;
	if (!text_is_utf8(text))
		return false;
	return may_stand(text) && !has_control(text) ? put_folded(out, text, column) : put_words(out, text, column);
}

static bool is_made_of(struct span text, const char *more)
{
	for (size_t i = 0; i < text.size; i++) {
		char c = text.at[i];
		bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		if (!is_plain && (!c || !strchr(more, c)))
			return false;
	}
	return text.size != 0;
}

static bool put_quoted(struct buf *out, struct span text)
{
	buf_put_byte(out, '"');
	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\')
			buf_put_byte(out, '\\');
		buf_put_byte(out, cleaned(text.at[i]));
	}
	return buf_put_byte(out, '"');
}

bool encoded_phrase(struct buf *out, struct span text, size_t column)
{
	if (!text.size)
		return true;
	if (!text_is_utf8(text))
		return false;
	if (!may_stand(text) || text.size > ENCODED_LINE_BYTES)
		return put_words(out, text, column);
	return is_made_of(text, "!#$%&'*+-/=?^_`{|}~ ") ? buf_put(out, text) : put_quoted(out, text);
}

/* --- parameters */

/* attribute-char of RFC 2231 7. */
static bool put_attribute(struct buf *out, char c)
{
	struct span one = { &c, 1 };

	return is_made_of(one, "!#$&+-.^_`{|}~") ? buf_put_byte(out, c) : buf_print(out, "%%%02X", (unsigned)(unsigned char)c);
}

static size_t attribute_size(char c)
{
	struct span one = { &c, 1 };

	return is_made_of(one, "!#$&+-.^_`{|}~") ? 1 : 3;
}

/* As many whole characters as fit a section; always one. */
static struct span take_section(struct span *value)
{
	size_t size = 0, encoded = 0;
	struct span piece;

	while (size < value->size) {
		size_t next = size + 1, more = attribute_size(cleaned(value->at[size]));

		for (; next < value->size && is_continuation(value->at[next]); next++)
			more += 3;
		if (size && encoded + more > SECTION_BYTES)
			break;
		encoded += more;
		size = next;
	}
	piece = span_slice(*value, 0, size);
	*value = span_slice(*value, size, value->size);
	return piece;
}

static bool put_sections(struct buf *out, const char *name, struct span value)
{
	struct span piece = take_section(&value);
	bool is_one = !value.size;

	for (unsigned i = 0; piece.size; i++) {
		buf_put(out, SPAN(";\r\n "));
		if (is_one)
			buf_print(out, "%s*=", name);
		else
			buf_print(out, "%s*%u*=", name, i);
		if (!i)
			buf_put(out, SPAN("UTF-8''"));
		for (size_t at = 0; at < piece.size; at++)
			put_attribute(out, cleaned(piece.at[at]));
		piece = take_section(&value);
	}
	return !out->overfull;
}

bool encoded_parameter(struct buf *out, const char *name, struct span value)
{
	if (!text_is_utf8(value))
		return false;
	if (!text_is_ascii(value) || has_control(value) || value.size > SECTION_BYTES)
		return put_sections(out, name, value);
	buf_print(out, ";\r\n %s=", name);
	return put_quoted(out, value);
}
