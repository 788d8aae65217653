#include "wire/mail_address.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <string.h>

enum { LABEL_BYTES = 63, LITERAL_BYTES = 48 };

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c > 127;
}

/* RFC 5322 3.2.3, with the bytes of RFC 6532 3.2 */
static bool is_atom(char c)
{
	return is_letter_or_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_dot_atom(struct span s)
{
	bool before = false;

	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] == '.' ? !before : !is_atom(s.at[i]))
			return false;
		before = s.at[i] != '.';
	}
	return before;
}

/* The size of the quoted string at the start, 0 when there is none: printable bytes only (RFC 5321 4.1.2). */
static size_t quoted_size(struct span s)
{
	if (!span_starts(s, SPAN("\"")))
		return 0;
	for (size_t i = 1; i < s.size; i++) {
		unsigned char c = (unsigned char)s.at[i];

		if (c == '"')
			return i + 1;
		if (c == '\\')
			c = ++i < s.size ? (unsigned char)s.at[i] : 0;
		if (c < 0x20 || c == 0x7f)
			return 0;
	}
	return 0;
}

static bool is_label(struct span s)
{
	if (!s.size || s.size > LABEL_BYTES || s.at[0] == '-' || s.at[s.size - 1] == '-')
		return false;
	for (size_t i = 0; i < s.size; i++)
		if (!is_letter_or_digit(s.at[i]) && s.at[i] != '-')
			return false;
	return true;
}

static bool is_host(struct span s)
{
	struct span label;

	if (!s.size || s.size > MAIL_ADDRESS_DOMAIN_BYTES || !text_is_utf8(s))
		return false;
	while (span_cut(&s, '.', &label))
		if (!is_label(label))
			return false;
	return true;
}

/* [192.0.2.1] or [IPv6:2001:db8::1] */
static bool is_literal(struct span s)
{
	char text[LITERAL_BYTES] = "", bytes[16];
	bool six;

	if (!span_starts(s, SPAN("[")) || !span_ends_fold(s, SPAN("]")))
		return false;
	s = span_slice(s, 1, s.size - 2);
	six = span_starts_fold(s, SPAN("IPv6:"));
	if (six)
		s = span_slice(s, 5, s.size);
	if (!s.size || s.size >= sizeof text || span_find_byte(s, '\0') != s.size)
		return false;
	memcpy(text, s.at, s.size);
	return inet_pton(six ? AF_INET6 : AF_INET, text, bytes) == 1;
}

bool mail_address_is_domain(struct span s)
{
	return is_host(s) || is_literal(s);
}

enum fault mail_address_parse(struct mail_address *address_out, struct span text)
{
	struct mail_address a = { .whole = text };
	size_t quoted = quoted_size(text);
	size_t at = quoted ? quoted : span_find_byte(text, '@');

	if (text.size > MAIL_ADDRESS_BYTES || !at || at > MAIL_ADDRESS_LOCAL_BYTES || at >= text.size ||
	    text.at[at] != '@')
		return FAULT_BAD_ADDRESS;
	a.local = span_slice(text, 0, at);
	a.domain = span_slice(text, at + 1, text.size);
	a.quoted = quoted != 0;
	a.literal = is_literal(a.domain);
	a.utf8 = !text_is_ascii(text);
	if ((!a.quoted && !is_dot_atom(a.local)) || !text_is_utf8(a.local) || (!a.literal && !is_host(a.domain)))
		return FAULT_BAD_ADDRESS;
	*address_out = a;
	return FAULT_OK;
}

/* Where the path ends that begins with `<`: the closing bracket outside of quotes, or the size. */
static size_t bracket_end(struct span s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.size; i++) {
		if (quoted && s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			quoted = !quoted;
		else if (s.at[i] == '>' && !quoted)
			return i;
	}
	return s.size;
}

/* A path without brackets ends at the first blank outside of quotes. */
static size_t bare_end(struct span s)
{
	size_t quoted = quoted_size(s);

	return quoted + span_find_byte(span_slice(s, quoted, s.size), ' ');
}

/* @one,@two: before the mailbox */
static bool drop_route(struct span *s)
{
	size_t colon = span_find_byte(*s, ':');
	struct span route = span_slice(*s, 0, colon), hop;

	if (!span_starts(*s, SPAN("@")))
		return true;
	if (colon == s->size)
		return false;
	while (span_cut(&route, ',', &hop))
		if (!span_starts(hop, SPAN("@")) || !is_host(span_slice(hop, 1, hop.size)))
			return false;
	*s = span_slice(*s, colon + 1, s->size);
	return true;
}

static enum fault path_inner(struct mail_address_path *path, struct span inner, enum mail_address_path_kind kind)
{
	if (!inner.size && kind == MAIL_ADDRESS_REVERSE) {
		path->null = true;
		return FAULT_OK;
	}
	if (span_equal_fold(inner, SPAN("postmaster")) && kind == MAIL_ADDRESS_FORWARD) {
		path->postmaster = true;
		path->address = (struct mail_address){ .whole = inner, .local = inner, .domain = SPAN("") };
		return FAULT_OK;
	}
	return drop_route(&inner) ? mail_address_parse(&path->address, inner) : FAULT_BAD_ADDRESS;
}

static struct span skip_blanks(struct span s)
{
	while (span_starts(s, SPAN(" ")))
		s = span_slice(s, 1, s.size);
	return s;
}

enum fault mail_address_path(struct mail_address_path *path_out, struct span *text, enum mail_address_path_kind kind)
{
	struct mail_address_path path = { 0 };
	struct span s = skip_blanks(*text), inner;
	bool brackets = span_starts(s, SPAN("<"));
	size_t end = brackets ? bracket_end(s) : bare_end(s);
	enum fault f;

	if (!s.size || (brackets && end == s.size))
		return FAULT_BAD_ADDRESS;
	inner = brackets ? span_slice(s, 1, end - 1) : span_slice(s, 0, end);
	s = span_slice(s, brackets ? end + 1 : end, s.size);
	if (s.size && s.at[0] != ' ')
		return FAULT_BAD_ADDRESS;
	f = path_inner(&path, inner, kind);
	if (f != FAULT_OK)
		return f;
	*path_out = path;
	*text = skip_blanks(s);
	return FAULT_OK;
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The local part without quotes and backslashes, in lower case; returns its size. */
static size_t plain_local(const struct mail_address *a, char plain_out[MAIL_ADDRESS_LOCAL_BYTES])
{
	size_t size = 0, last = a->local.size - (a->quoted ? 1 : 0);

	for (size_t i = a->quoted ? 1 : 0; i < last; i++) {
		if (a->quoted && a->local.at[i] == '\\')
			i++;
		plain_out[size++] = lower(a->local.at[i]);
	}
	return size;
}

bool mail_address_same(const struct mail_address *a, const struct mail_address *b)
{
	char one[MAIL_ADDRESS_LOCAL_BYTES], other[MAIL_ADDRESS_LOCAL_BYTES];
	struct span first, second;

	if (!span_equal_fold(a->domain, b->domain) || !a->local.size || !b->local.size)
		return false;
	first = (struct span){ one, plain_local(a, one) };
	second = (struct span){ other, plain_local(b, other) };
	return span_equal(first, second);
}

bool mail_address_same_text(struct span a, struct span b)
{
	struct mail_address one, other;

	return mail_address_parse(&one, a) == FAULT_OK && mail_address_parse(&other, b) == FAULT_OK &&
	       mail_address_same(&one, &other);
}

bool mail_address_canonical(struct buf *out, const struct mail_address *a)
{
	char plain[MAIL_ADDRESS_LOCAL_BYTES];
	struct span local = { plain, plain_local(a, plain) };
	bool quotes = !is_dot_atom(local);

	if (quotes)
		buf_put_byte(out, '"');
	for (size_t i = 0; i < local.size; i++) {
		if (local.at[i] == '"' || local.at[i] == '\\')
			buf_put_byte(out, '\\');
		buf_put_byte(out, local.at[i]);
	}
	if (quotes)
		buf_put_byte(out, '"');
	if (a->domain.size)
		buf_put_byte(out, '@');
	for (size_t i = 0; i < a->domain.size; i++)
		buf_put_byte(out, lower(a->domain.at[i]));
	return !out->overfull;
}
