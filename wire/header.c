#include "wire/header.h"

#include "base/text.h"

#include <string.h>

void header_init(struct header *h, struct buf *block)
{
	*h = (struct header){ .block = block, .message_id = SPAN("") };
}

/* --- collecting */

/* ftext, then the blanks that RFC 5322 4.5 allowed, then a colon: the size of the name, or 0. */
static size_t name_size(struct span line)
{
	size_t size = 0;

	while (size < line.size && line.at[size] > 0x20 && line.at[size] < 0x7f && line.at[size] != ':')
		size++;
	for (size_t at = size; at < line.size; at++) {
		if (line.at[at] == ':')
			return size;
		if (line.at[at] != ' ' && line.at[at] != '\t')
			break;
	}
	return 0;
}

static enum fault check_line(struct span line)
{
	if (span_find_byte(line, '\0') != line.size)
		return FAULT_NUL_BYTE;
	if (line.size < 2 || span_find_byte(line, '\r') != line.size - 2)
		return FAULT_BARE_NEWLINE;
	return FAULT_OK;
}

static bool continues(const struct header *h, struct span line)
{
	return h->line_at && (line.at[0] == ' ' || line.at[0] == '\t');
}

static void read_fields(struct header *h);

static void end_at(struct header *h, size_t size, size_t body_at)
{
	h->size = size;
	h->body_at = body_at;
	h->ended = true;
	read_fields(h);
}

/* Judges the line in hand, which has come to its LF. */
static enum fault end_line(struct header *h)
{
	struct span line = span_slice(buf_span(h->block), h->line_at, h->block->size);
	enum fault f = check_line(line);

	if (line.size == 2 && f == FAULT_OK)
		end_at(h, h->line_at, h->block->size);
	else if (!continues(h, line) && !name_size(line))
		end_at(h, h->line_at, h->line_at);
	else if (f != FAULT_OK)
		return f;
	else
		h->line_at = h->block->size;
	return FAULT_OK;
}

enum fault header_feed(struct header *h, struct span bytes, size_t *taken_out)
{
	enum fault f = FAULT_OK;

	*taken_out = 0;
	while (f == FAULT_OK && !h->ended && *taken_out < bytes.size) {
		struct span rest = span_slice(bytes, *taken_out, bytes.size);
		size_t end = span_find_byte(rest, '\n');
		struct span piece = span_slice(rest, 0, end + 1);

		if (!buf_put(h->block, piece))
			return FAULT_HEADER_TOO_LONG;
		*taken_out += piece.size;
		if (end < rest.size)
			f = end_line(h);
	}
	return f;
}

enum fault header_finish(struct header *h)
{
	struct span line = span_slice(buf_span(h->block), h->line_at, h->block->size);

	if (h->ended)
		return FAULT_OK;
	if (line.size && (continues(h, line) || name_size(line)))
		return FAULT_BARE_NEWLINE; /* a field that stops without its line end */
	end_at(h, h->line_at, h->line_at);
	return FAULT_OK;
}

/* --- reading */

bool header_next_field(const struct header *h, size_t *at, struct header_field *field_out)
{
	struct span rest = span_slice(buf_span(h->block), *at, h->size - *at), whole;
	size_t end = 0;

	if (!rest.size)
		return false;
	do
		end += span_find_byte(span_slice(rest, end, rest.size), '\n') + 1;
	while (end < rest.size && (rest.at[end] == ' ' || rest.at[end] == '\t'));
	whole = span_slice(rest, 0, end);
	*field_out = (struct header_field){ whole, span_slice(whole, 0, name_size(whole)), { 0 } };
	field_out->value = span_trim(span_slice(whole, span_find_byte(whole, ':') + 1, whole.size));
	*at += end;
	return true;
}

struct span header_value(const struct header *h, struct span name)
{
	struct header_field field;

	for (size_t at = 0; header_next_field(h, &at, &field);)
		if (span_equal_fold(field.name, name))
			return field.value;
	return SPAN("");
}

/* A token of RFC 2045 5.1; comments and folds may stand around it. */
static struct span take_token(struct span *s)
{
	size_t size = 0;

	*s = mailbox_list_skip(*s);
	while (size < s->size && s->at[size] > 0x20 && !strchr("()<>@,;:\\\"/[]?=", s->at[size]))
		size++;
	struct span token = span_slice(*s, 0, size);

	*s = mailbox_list_skip(span_slice(*s, size, s->size));
	return token;
}

/* Content types under which the bytes that follow are vouched for, and the address with them. */
static bool is_signed_type(struct span value)
{
	static const struct {
		const char *type, *subtype;
	} types[] = {
		{ "multipart", "signed" },
		{ "multipart", "encrypted" },
		{ "application", "pkcs7-mime" },
		{ "application", "x-pkcs7-mime" },
	};
	struct span type = take_token(&value), subtype;

	if (!span_starts(value, SPAN("/")))
		return false;
	value = mailbox_list_skip(span_slice(value, 1, value.size));
	subtype = take_token(&value);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (span_equal_fold(type, span_of(types[i].type)) &&
		    span_equal_fold(subtype, span_of(types[i].subtype)))
			return true;
	return false;
}

/* Or something that cannot be read, and so must not be taken for nothing. */
static bool has_mailbox(struct span value)
{
	struct mailbox_list list = { .rest = value };
	struct mailbox first;

	return mailbox_list_next(&list, &first) != MAILBOX_END;
}

static void read_fields(struct header *h)
{
	struct header_field field;

	for (size_t at = 0; header_next_field(h, &at, &field);) {
		bool filled = field.value.size != 0;

		h->has_date |= filled && span_equal_fold(field.name, SPAN("Date"));
		h->has_reply_to |= filled && span_equal_fold(field.name, SPAN("Reply-To"));
		h->received += span_equal_fold(field.name, SPAN("Received"));
		h->is_signed |= span_equal_fold(field.name, SPAN("DKIM-Signature"));
		if (span_equal_fold(field.name, SPAN("Content-Type")))
			h->is_signed |= is_signed_type(field.value);
		if (span_equal_fold(field.name, SPAN("From"))) {
			h->from_fields++;
			h->has_from |= has_mailbox(field.value);
		}
		if (filled && !h->has_message_id && span_equal_fold(field.name, SPAN("Message-ID"))) {
			h->has_message_id = true;
			h->message_id = field.value;
		}
	}
}

enum mailbox_found header_next_sender(const struct header *h, struct header_walk *walk, struct mailbox *mailbox_out)
{
	static const char *const names[] = { "From", "Sender", "Resent-From", "Resent-Sender" };
	struct header_field field;

	for (;;) {
		if (walk->list.rest.at) {
			enum mailbox_found found = mailbox_list_next(&walk->list, mailbox_out);

			if (found != MAILBOX_END)
				return found;
			walk->list = (struct mailbox_list){ 0 };
		}
		if (!header_next_field(h, &walk->at, &field))
			return MAILBOX_END;
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			if (span_equal_fold(field.name, span_of(names[i])))
				walk->list.rest = field.value;
	}
}

/* --- writing */

/* What may stand in a word of a Received line: anything else could end the word, the comment or the field. */
static void put_word(struct buf *out, struct span s)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]+=";

	for (size_t i = 0; i < s.size && i < MAIL_ADDRESS_DOMAIN_BYTES; i++)
		buf_put_byte(out, s.at[i] && strchr(allowed, s.at[i]) ? s.at[i] : '?');
	if (!s.size)
		buf_put(out, SPAN("unknown"));
}

bool header_put_received(struct buf *out, const struct header_trace *t)
{
	buf_put(out, SPAN("Received: from "));
	put_word(out, t->helo);
	if (t->address.size) {
		bool is_user = span_starts(t->address, SPAN("uid:"));

		buf_put(out, is_user ? SPAN(" (") : span_find_byte(t->address, ':') < t->address.size ? SPAN(" ([IPv6:") : SPAN(" (["));
		put_word(out, t->address);
		buf_put(out, is_user ? SPAN(")") : SPAN("])"));
	}
	buf_put(out, SPAN("\r\n\tby "));
	put_word(out, t->host);
	buf_put(out, SPAN(" with "));
	put_word(out, t->protocol);
	buf_put(out, SPAN(" id "));
	put_word(out, t->id);
	buf_put(out, SPAN(";\r\n\t"));
	text_mail_date(out, t->wall_ms);
	buf_put(out, SPAN("\r\n"));
	return !out->overfull;
}

/* Which fields the edits add, and so which of the same name go. */
struct plan {
	bool date, message_id, from, reply_to, rewrite;
};

static struct plan plan_of(const struct header *h, const struct header_edits *e)
{
	if (h->is_signed)
		return (struct plan){ .rewrite = e->rewrite };
	return (struct plan){ .date = !h->has_date,
			      .message_id = !h->has_message_id,
			      .from = !h->has_from || e->rewrite,
			      .reply_to = e->rewrite && h->has_from && !h->has_reply_to,
			      .rewrite = e->rewrite };
}

bool header_changes(const struct header *h, const struct header_edits *e)
{
	struct plan p = plan_of(h, e);

	return p.date || p.message_id || p.from || p.rewrite;
}

static bool is_replaced(struct plan p, struct span name)
{
	return (p.date && span_equal_fold(name, SPAN("Date"))) ||
	       (p.message_id && span_equal_fold(name, SPAN("Message-ID"))) ||
	       (p.from && span_equal_fold(name, SPAN("From"))) ||
	       (p.reply_to && span_equal_fold(name, SPAN("Reply-To"))) ||
	       (p.rewrite && (span_equal_fold(name, SPAN("Sender")) || span_starts_fold(name, SPAN("Resent-"))));
}

/* The From that was there, if it is one field that holds mailboxes and nothing broken; with its first mailbox. */
static bool original_from(const struct header *h, struct span *value_out, struct mailbox *first_out)
{
	struct mailbox more;
	enum mailbox_found found;

	*value_out = header_value(h, SPAN("From"));
	struct mailbox_list list = { .rest = *value_out };

	if (h->from_fields != 1 || mailbox_list_next(&list, first_out) != MAILBOX_FOUND)
		return false;
	while ((found = mailbox_list_next(&list, &more)) == MAILBOX_FOUND)
		;
	return found == MAILBOX_END;
}

static void put_from(struct buf *out, const struct header *h, const struct header_edits *e, struct plan p)
{
	struct mailbox first;
	struct span value;
	bool known = original_from(h, &value, &first);

	buf_put(out, SPAN("From: "));
	if (known && first.display.size) {
		buf_put(out, first.display);
		buf_put_byte(out, ' ');
	}
	buf_print(out, "<%.*s>\r\n", SPAN_ARGS(e->from));
	if (p.reply_to && known) {
		buf_put(out, SPAN("Reply-To: "));
		buf_put(out, value);
		buf_put(out, SPAN("\r\n"));
	}
}

static void put_additions(struct buf *out, const struct header *h, const struct header_edits *e, struct plan p)
{
	if (p.from)
		put_from(out, h, e, p);
	if (p.date) {
		buf_put(out, SPAN("Date: "));
		text_mail_date(out, e->date_ms);
		buf_put(out, SPAN("\r\n"));
	}
	if (p.message_id) {
		buf_put(out, SPAN("Message-ID: <"));
		buf_put(out, e->message_id);
		buf_put(out, SPAN(">\r\n"));
	}
}

enum fault header_write(const struct header *h, const struct header_edits *e, struct buf *out)
{
	struct plan p = plan_of(h, e);
	struct header_field field;

	if (h->is_signed && e->rewrite)
		return FAULT_SIGNED_MAIL;
	if (e->trace)
		header_put_received(out, e->trace);
	put_additions(out, h, e, p);
	for (size_t at = 0; header_next_field(h, &at, &field);)
		if (!is_replaced(p, field.name))
			buf_put(out, field.whole);
	buf_put(out, SPAN("\r\n"));
	buf_put(out, span_slice(buf_span(h->block), h->body_at, h->block->size));
	return out->overfull ? FAULT_HEADER_TOO_LONG : FAULT_OK;
}
