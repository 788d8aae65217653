#include "twin/graph_mime.h"

#include "base/text.h"
#include "twin/twin_shelf.h"

#include <string.h>

enum { LINE_BYTES = 57, HEADER_BYTES = 1024 * 1024, BOUNDARY_BYTES = 256 };

/* The header block cut into fields, each with its folded lines and line ends; false at the end. */
static bool next_field(struct span *rest, struct span *field)
{
	size_t end = 0;

	if (!rest->size)
		return false;
	do
		end += span_find_byte(span_slice(*rest, end, rest->size), '\n') + 1;
	while (end < rest->size && (rest->at[end] == ' ' || rest->at[end] == '\t'));
	if (end > rest->size)
		end = rest->size;
	*field = span_slice(*rest, 0, end);
	*rest = span_slice(*rest, end, rest->size);
	return true;
}

/* Whether the field has that name; `value` is what stands behind the colon, folds and all. */
static bool is_named(struct span field, struct span name, struct span *value)
{
	size_t colon = span_find_byte(field, ':');

	if (colon == field.size || !span_equal_fold(span_trim(span_slice(field, 0, colon)), name))
		return false;
	*value = span_trim(span_slice(field, colon + 1, field.size));
	return true;
}

/* One entry of an address list: what stands in angle brackets, or the whole. */
static size_t put_entry(struct span entry, struct buf *out)
{
	size_t open = span_find_byte(entry, '<');
	struct span address = span_trim(entry);

	if (open < entry.size) {
		address = span_slice(entry, open + 1, entry.size);
		address = span_trim(span_slice(address, 0, span_find_byte(address, '>')));
	}
	if (span_find_byte(address, '@') == address.size || span_find_byte(address, ' ') < address.size)
		return 0;
	if (out->size)
		buf_put_byte(out, ' ');
	buf_put(out, address);
	return 1;
}

/* Entries are parted by commas outside quotes; comments are left out, the name of a group ends with a colon, the group with a semicolon. */
static size_t put_list(struct span list, struct buf *out)
{
	struct buf entry;
	size_t count = 0, comments = 0;
	bool quoted = false, angle = false;

	buf_init(&entry, list.size + 1);
	for (size_t i = 0; i <= list.size; i++) {
		char c = i < list.size ? list.at[i] : ',';
		bool ends = (c == ',' || c == ';') && (i == list.size || (!quoted && !angle && !comments));

		if (ends) {
			count += put_entry(buf_span(&entry), out);
			buf_clear(&entry);
			continue;
		}
		if (c == '\\' && i + 1 < list.size && (quoted || comments)) {
			i++;
			continue;
		}
		if (c == '"' && !comments)
			quoted = !quoted;
		else if (c == '(' && !quoted)
			comments++;
		else if (c == ')' && comments)
			comments--;
		else if (c == ':' && !quoted && !angle && !comments)
			buf_clear(&entry);
		else if (!quoted && !comments) {
			angle = c == '<' || (angle && c != '>');
			buf_put_byte(&entry, c == '\t' || c == '\r' || c == '\n' ? ' ' : c);
		}
	}
	buf_free(&entry);
	return count;
}

size_t graph_mime_addresses(struct span mail, struct span name, struct buf *out)
{
	struct span rest = twin_mail_head(mail), field, value;
	size_t count = 0;

	while (next_field(&rest, &field))
		if (is_named(field, name, &value))
			count += put_list(value, out);
	return count;
}

void graph_mime_without(struct span mail, struct span name, struct buf *out)
{
	struct span head = twin_mail_head(mail), rest = head, field, value;

	while (next_field(&rest, &field))
		if (!is_named(field, name, &value))
			buf_put(out, field);
	buf_put(out, span_slice(mail, head.size, mail.size));
}

void graph_mime_base64(struct buf *out, struct span bytes)
{
	for (size_t at = 0; at < bytes.size; at += LINE_BYTES) {
		text_base64(out, span_slice(bytes, at, LINE_BYTES));
		buf_put(out, SPAN("\r\n"));
	}
}

/* A parameter of a part; what is not ASCII as RFC 2231 has it. */
static void put_parameter(struct buf *out, const char *name, struct span value)
{
	if (!text_is_ascii(value)) {
		buf_print(out, "; %s*=utf-8''", name);
		text_percent(out, value);
		return;
	}
	buf_print(out, "; %s=\"", name);
	for (size_t i = 0; i < value.size; i++)
		buf_put_byte(out, value.at[i] == '"' || value.at[i] == '\\' || (unsigned char)value.at[i] < ' ' ? '_' : value.at[i]);
	buf_put_byte(out, '"');
}

static void put_attachment(struct buf *out, const struct graph_attachment *a)
{
	buf_print(out, "Content-Type: %s", a->type[0] ? a->type : "application/octet-stream");
	put_parameter(out, "name", span_of(a->name));
	buf_print(out, "\r\nContent-Disposition: %s", a->is_inline ? "inline" : "attachment");
	put_parameter(out, "filename", span_of(a->name));
	buf_put(out, SPAN("\r\n"));
	if (a->content_id[0])
		buf_print(out, "Content-ID: <%s>\r\n", a->content_id);
	buf_put(out, SPAN("Content-Transfer-Encoding: base64\r\n\r\n"));
	graph_mime_base64(out, buf_span(&a->bytes));
}

/* The boundary of a multipart/mixed, or the empty span. */
static struct span mixed_boundary(struct span mail, struct buf *memory)
{
	struct span value, boundary;
	size_t at;

	if (!twin_mail_header(mail, SPAN("Content-Type"), memory))
		return SPAN("");
	value = buf_span(memory);
	at = span_find_fold(value, SPAN("boundary="));
	if (!span_starts_fold(value, SPAN("multipart/mixed")) || at == value.size)
		return SPAN("");
	boundary = span_slice(value, at + 9, value.size);
	if (span_starts(boundary, SPAN("\""))) {
		boundary = span_slice(boundary, 1, boundary.size);
		return span_slice(boundary, 0, span_find_byte(boundary, '"'));
	}
	return span_trim(span_slice(boundary, 0, span_find_byte(boundary, ';')));
}

/* Where the line that ends the multipart begins, or the size. */
static size_t end_line(struct span mail, struct span boundary)
{
	char text[BOUNDARY_BYTES];
	struct buf line;
	size_t at = mail.size;

	buf_over(&line, text, sizeof text);
	buf_print(&line, "\r\n--%.*s--", SPAN_ARGS(boundary));
	for (size_t from = 0, found; (found = span_find(span_slice(mail, from, mail.size), buf_span(&line))) < mail.size - from; from += found + 1)
		at = from + found + 2;
	return at;
}

static void put_parts(struct buf *out, struct span boundary, const struct graph_attachment *first)
{
	for (const struct graph_attachment *a = first; a; a = a->next) {
		buf_print(out, "--%.*s\r\n", SPAN_ARGS(boundary));
		put_attachment(out, a);
	}
}

/* The fields about content, or the others. */
static void put_fields(struct buf *out, struct span head, bool of_content)
{
	struct span field;

	while (next_field(&head, &field))
		if (span_starts_fold(field, SPAN("Content-")) == of_content)
			buf_put(out, field);
}

static void wrap(struct span mail, const struct graph_attachment *first, struct buf *out)
{
	struct span boundary = SPAN("_000_twin_mixed_"), head = twin_mail_head(mail);

	put_fields(out, head, false);
	buf_print(out, "Content-Type: multipart/mixed; boundary=\"%.*s\"\r\n\r\n--%.*s\r\n", SPAN_ARGS(boundary), SPAN_ARGS(boundary));
	put_fields(out, head, true);
	buf_put(out, span_slice(mail, head.size, mail.size));
	buf_put(out, SPAN("\r\n"));
	put_parts(out, boundary, first);
	buf_print(out, "--%.*s--\r\n", SPAN_ARGS(boundary));
}

void graph_mime_attach(struct span mail, const struct graph_attachment *first, struct buf *out)
{
	struct span boundary;
	struct buf memory;
	size_t end;

	buf_init(&memory, HEADER_BYTES);
	boundary = mixed_boundary(mail, &memory);
	end = boundary.size && boundary.size < BOUNDARY_BYTES - 8 ? end_line(mail, boundary) : mail.size;
	if (!first) {
		buf_put(out, mail);
	} else if (end == mail.size) {
		wrap(mail, first, out);
	} else {
		buf_put(out, span_slice(mail, 0, end));
		put_parts(out, boundary, first);
		buf_put(out, span_slice(mail, end, mail.size));
	}
	buf_free(&memory);
}
