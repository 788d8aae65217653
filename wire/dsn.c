#include "wire/dsn.h"

#include "base/text.h"
#include "wire/dot.h"
#include "wire/dsn_inner.h"

#include <inttypes.h>
#include <string.h>

enum {
	FOLD_COLUMN = 76,
	PART_BYTES = 512,           /* the head of a part, and the end of the report */
	BOUNDARY_BYTES = 40,
};

bool dsn_wants(unsigned notify, enum dsn_action action)
{
	static const unsigned asks[] = {
		[DSN_FAILED] = DSN_FAILURE,    [DSN_DELAYED] = DSN_DELAY,     [DSN_DELIVERED] = DSN_SUCCESS,
		[DSN_RELAYED] = DSN_SUCCESS,   [DSN_EXPANDED] = DSN_SUCCESS,
	};

	if (!notify)
		notify = DSN_FAILURE;
	return !(notify & DSN_NEVER) && notify & asks[action];
}

size_t dsn_wanted(const struct dsn_report *d)
{
	size_t count = 0;

	for (size_t i = 0; i < d->recipient_count; i++)
		count += dsn_wants(d->recipients[i].notify, d->recipients[i].action);
	return count;
}

bool dsn_is_report(struct span header)
{
	struct span line;

	while (span_cut(&header, '\n', &line)) {
		if (!span_trim(line).size)
			return false;
		if (span_starts_fold(line, SPAN("X-Postern-Report:")))
			return true;
	}
	return false;
}

/* --- pieces of a header */

static size_t column_of(const struct buf *out)
{
	size_t column = 0;

	while (column < out->size && out->at[out->size - 1 - column] != '\n')
		column++;
	return column;
}

/* Text in a field, folded at blanks; in ASCII only, unless `utf8`. Nothing in it can end the field. */
static void put_field_text(struct buf *out, struct span text, bool utf8)
{
	char memory[OUTCOME_TEXT_BYTES + DSN_ORIGINAL_BYTES];
	struct span rest, word;
	struct buf clean;

	buf_over(&clean, memory, sizeof memory);
	text_plain(&clean, text);
	for (size_t i = 0; i < clean.size; i++)
		if (!utf8 && (unsigned char)clean.at[i] > 126)
			clean.at[i] = '?';
	rest = buf_span(&clean);
	while (span_cut(&rest, ' ', &word)) {
		if (!word.size)
			continue;
		buf_put(out, column_of(out) + word.size >= FOLD_COLUMN && column_of(out) > 1 ? SPAN("\r\n ") : SPAN(" "));
		buf_put(out, word);
	}
}

static void put_field(struct buf *out, const char *name, struct span text, bool utf8)
{
	buf_print(out, "%s:", name);
	put_field_text(out, text, utf8);
	buf_put(out, SPAN("\r\n"));
}

static void put_date(struct buf *out, const char *name, int64_t wall_ms)
{
	if (!wall_ms)
		return;
	buf_print(out, "%s: ", name);
	text_mail_date(out, wall_ms);
	buf_put(out, SPAN("\r\n"));
}

/* <address> in a header of the report itself. */
static void put_address_field(struct buf *out, const char *name, const char *who, struct span address)
{
	buf_print(out, "%s: %s<", name, who);
	text_plain(out, address);
	buf_put(out, SPAN(">\r\n"));
}

/* An encoded word where ASCII does not do (RFC 2047 4.2); ours are shorter than 75 bytes. */
static void put_subject(struct buf *out, struct span text)
{
	if (text_is_ascii(text)) {
		put_field(out, "Subject", text, false);
		return;
	}
	buf_put(out, SPAN("Subject: =?utf-8?Q?"));
	for (size_t i = 0; i < text.size; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == ' ')
			buf_put_byte(out, '_');
		else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
			buf_put_byte(out, (char)c);
		else
			buf_print(out, "=%02X", c);
	}
	buf_put(out, SPAN("?=\r\n"));
}

/* --- RFC 3461 and 6533: addresses */

/* Decodes xtext into `out`; false when it is none, or holds what cannot be shown (RFC 3461 4). */
static bool put_from_xtext(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.size; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (c == '+') {
			struct buf one;
			char memory[2];

			buf_over(&one, memory, sizeof memory);
			if (i + 2 >= text.size || !text_from_hex(&one, span_slice(text, i + 1, 2)))
				return false;
			c = (unsigned char)memory[0];
			i += 2;
		}
		if (c < ' ' || c > '~')
			return false;
		buf_put_byte(out, (char)c);
	}
	return !out->overfull;
}

/* The characters of UTF-8 that is well-formed, as \x{...} (RFC 6533 3). */
static void put_escaped(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.size; i++) {
		unsigned char c = (unsigned char)s.at[i];
		unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
		uint32_t code = c & (more ? 0x3fu >> more : 0x7fu);

		for (; more; more--)
			code = code << 6 | ((unsigned char)s.at[++i] & 0x3f);
		if (code > '~' || code == '\\' || code == '+' || code == '=')
			buf_print(out, "\\x{%" PRIX32 "}", code);
		else
			buf_put_byte(out, (char)code);
	}
}

static void put_final_recipient(struct buf *out, struct span address, bool global)
{
	char memory[4096];
	struct buf b;

	buf_over(&b, memory, sizeof memory);
	if (text_is_ascii(address) || !text_is_utf8(address)) {
		buf_put(&b, SPAN("rfc822; "));
		buf_put(&b, address);
	} else {
		buf_put(&b, SPAN("utf-8; "));
		if (global)
			buf_put(&b, address);
		else
			put_escaped(&b, address);
	}
	put_field(out, "Final-Recipient", buf_span(&b), global);
}

/* ORCPT is "type;xtext"; what cannot be decoded is given back as it came. */
static void put_original_recipient(struct buf *out, struct span original)
{
	size_t type_size = span_find_byte(original, ';');
	struct span value = span_slice(original, type_size + 1, DSN_ORIGINAL_BYTES);
	char memory[DSN_ORIGINAL_BYTES + 64];
	struct buf b;

	if (!type_size || type_size >= 32 || !value.size)
		return;
	buf_over(&b, memory, sizeof memory);
	buf_print(&b, "%.*s; ", (int)type_size, original.at);
	if (!span_equal_fold(span_slice(original, 0, type_size), SPAN("rfc822")) || !put_from_xtext(&b, value)) {
		buf_clear(&b);
		buf_print(&b, "%.*s; %.*s", (int)type_size, original.at, SPAN_ARGS(value));
	}
	put_field(out, "Original-Recipient", buf_span(&b), false);
}

/* --- the second part (RFC 3464 2) */

static void put_status(struct buf *out, const struct dsn_recipient *r)
{
	static const char classes[] = { [DSN_FAILED] = '5',  [DSN_DELAYED] = '4',  [DSN_DELIVERED] = '2',
					[DSN_RELAYED] = '2', [DSN_EXPANDED] = '2' };
	static const char *const names[] = { [DSN_FAILED] = "failed",       [DSN_DELAYED] = "delayed",
					     [DSN_DELIVERED] = "delivered", [DSN_RELAYED] = "relayed",
					     [DSN_EXPANDED] = "expanded" };
	const char *enhanced = r->outcome->enhanced;
	char class = classes[r->action];

	if (!*enhanced)
		enhanced = fault_row(r->outcome->fault)->enhanced;
	if (!outcome_is_enhanced(span_of(enhanced)) || (*enhanced == '2') != (class == '2'))
		enhanced = "0.0.0";
	buf_print(out, "Action: %s\r\nStatus: %c%s\r\n", names[r->action], class, enhanced + 1);
}

static void put_diagnostic(struct buf *out, const struct outcome *o)
{
	buf_put(out, SPAN("Diagnostic-Code:"));
	if (o->code)
		buf_print(out, " smtp; %d%s%s", o->code, *o->enhanced ? " " : "", o->enhanced);
	else
		buf_put(out, SPAN(" x-postern;"));
	put_field_text(out, span_of(o->text), false);
	buf_put(out, SPAN("\r\n"));
}

static void put_recipient(struct buf *out, const struct dsn_recipient *r, bool global)
{
	buf_put(out, SPAN("\r\n"));
	put_original_recipient(out, r->original);
	put_final_recipient(out, r->address, global);
	put_status(out, r);
	if (r->remote.size)
		buf_put(out, SPAN("Remote-MTA: dns;"));
	put_field_text(out, r->remote, false);
	if (r->remote.size)
		buf_put(out, SPAN("\r\n"));
	if (*r->outcome->text || r->outcome->code)
		put_diagnostic(out, r->outcome);
	put_date(out, "Last-Attempt-Date", r->tried_ms);
	if (r->action == DSN_DELAYED)
		put_date(out, "Will-Retry-Until", r->until_ms);
}

static void put_status_part(struct buf *out, const struct dsn_report *d, bool global)
{
	char memory[DSN_ENVELOPE_ID_BYTES];
	struct buf b;

	buf_put(out, SPAN("Reporting-MTA: dns;"));
	put_field_text(out, d->host, false);
	buf_put(out, SPAN("\r\n"));
	buf_over(&b, memory, sizeof memory);
	if (d->envelope_id.size)
		put_field(out, "Original-Envelope-Id", put_from_xtext(&b, d->envelope_id) ? buf_span(&b) : d->envelope_id,
			  false);
	put_date(out, "Arrival-Date", d->arrival_ms);
	for (size_t i = 0; i < d->recipient_count; i++)
		if (dsn_wants(d->recipients[i].notify, d->recipients[i].action))
			put_recipient(out, &d->recipients[i], global);
}

/* --- the third part */

/* Line by line, each ended as it must be. */
static void put_lines(struct buf *out, struct span text)
{
	while (text.size) {
		size_t size = span_find_byte(text, '\n'), skip = size + 1;
		size_t before_cr = span_find_byte(span_slice(text, 0, size), '\r');

		if (before_cr < size) {
			skip = before_cr + 1 == size ? size + 1 : before_cr + 1;
			size = before_cr;
		}
		buf_put(out, span_slice(text, 0, size));
		buf_put(out, SPAN("\r\n"));
		text = span_slice(text, skip, text.size);
	}
}

static struct span header_of(const struct dsn_report *d)
{
	struct span header = d->header.size ? d->header : d->content;

	if (!d->header.size)
		header.size = span_find(header, SPAN("\r\n\r\n"));
	while (header.size && strchr("\r\n", header.at[header.size - 1]))
		header.size--;
	return span_find_byte(header, 0) < header.size ? (struct span){ 0 } : header;
}

/* Whether all of it may come back: asked for, at hand, small enough, and made of lines. */
static bool returns_content(const struct buf *out, const struct dsn_report *d)
{
	struct dot dot;

	dot_init(&dot);
	return d->returns == DSN_RETURN_FULL && dsn_gravest(d) == DSN_FAILED && d->content.size &&
	       d->content.size <= DSN_CONTENT_BYTES && d->content.size + 2 * PART_BYTES <= out->max - out->size &&
	       span_find_byte(d->content, 0) == d->content.size && dot_check(&dot, d->content) == FAULT_OK &&
	       dot_check_end(&dot) == FAULT_OK;
}

static void put_message_part(struct buf *out, const struct dsn_report *d, const char *boundary, bool global)
{
	bool full = returns_content(out, d);
	struct span text = full ? d->content : header_of(d);
	const char *type = full ? (global ? "message/global" : "message/rfc822")
				: (global ? "message/global-headers" : "text/rfc822-headers");

	/* a header with bare line ends grows */
	if (!text.size || (full ? 1 : 2) * text.size + 2 * PART_BYTES > out->max - out->size)
		return;
	buf_print(out, "\r\n--%s\r\nContent-Type: %s\r\n", boundary, type);
	if (!text_is_ascii(text))
		buf_put(out, SPAN("Content-Transfer-Encoding: 8bit\r\n"));
	buf_put(out, SPAN("\r\n"));
	put_lines(out, text);
}

/* --- the whole */

/* Made from the Message-ID, and changed until the message returned does not hold it. */
static void make_boundary(char boundary[BOUNDARY_BYTES], const struct dsn_report *d)
{
	uint64_t hash = 14695981039346656037u;
	struct buf b;

	for (size_t i = 0; i < d->message_id.size; i++)
		hash = (hash ^ (unsigned char)d->message_id.at[i]) * 1099511628211u;
	do {
		buf_over(&b, boundary, BOUNDARY_BYTES);
		buf_print(&b, "=_postern_%016" PRIx64, hash++);
	} while (span_find(d->content, buf_span(&b)) < d->content.size ||
		 span_find(d->header, buf_span(&b)) < d->header.size);
}

/* Whether it takes RFC 6533: bytes over 127 in addresses or in a header given back, and a reader for them. */
static bool is_global(const struct dsn_report *d)
{
	bool global = d->utf8 && !text_is_ascii(header_of(d));

	for (size_t i = 0; i < d->recipient_count; i++)
		global = global || (d->utf8 && !text_is_ascii(d->recipients[i].address));
	return global || !text_is_ascii(d->from) || !text_is_ascii(d->to);
}

static void put_head(struct buf *out, const struct dsn_report *d, const char *boundary)
{
	put_address_field(out, "From", "Postern ", d->from);
	put_address_field(out, "To", "", d->to);
	put_subject(out, dsn_subject(dsn_gravest(d), d->language));
	put_date(out, "Date", d->date_ms);
	put_field(out, "Message-ID", d->message_id, false);
	if (d->about.size) {
		put_field(out, "In-Reply-To", d->about, false);
		put_field(out, "References", d->about, false);
	}
	buf_put(out, SPAN("Auto-Submitted: auto-replied\r\nX-Postern-Report: 1\r\nMIME-Version: 1.0\r\n"));
	buf_print(out, "Content-Language: %s\r\n", language_name(d->language));
	buf_print(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%s\"\r\n\r\n", boundary);
}

enum fault dsn_compose(struct buf *out, const struct dsn_report *d, struct dsn_needs *needs_out)
{
	char boundary[BOUNDARY_BYTES];
	bool global = is_global(d);
	size_t from = out->size;

	if (!dsn_wanted(d))
		return FAULT_NOT_FOUND;
	make_boundary(boundary, d);
	put_head(out, d, boundary);
	buf_print(out, "--%s\r\nContent-Type: text/plain; charset=utf-8\r\n", boundary);
	buf_put(out, SPAN("Content-Transfer-Encoding: quoted-printable\r\n\r\n"));
	dsn_put_words(out, d);
	buf_print(out, "\r\n--%s\r\nContent-Type: message/%s\r\n", boundary,
		  global ? "global-delivery-status\r\nContent-Transfer-Encoding: 8bit" : "delivery-status");
	buf_put(out, SPAN("\r\n"));
	put_status_part(out, d, global);
	put_message_part(out, d, boundary, global);
	buf_print(out, "\r\n--%s--\r\n", boundary);
	if (out->overfull)
		return FAULT_TOO_LARGE;
	*needs_out = (struct dsn_needs){ !text_is_ascii(span_slice(buf_span(out), from, out->size)), global };
	return FAULT_OK;
}
