#include "wire/mailbox_list.h"

#include <string.h>

/* The size of the comment at the start, 0 when it is none or has no end. */
static size_t comment_size(struct span s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.size; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '(')
			depth++;
		else if (s.at[i] == ')' && !--depth)
			return i + 1;
	}
	return 0;
}

struct span mailbox_list_skip(struct span s)
{
	while (s.size) {
		size_t size = s.at[0] == '(' ? comment_size(s) : strchr(" \t\r\n", s.at[0]) != NULL && s.at[0];

		if (!size)
			break;
		s = span_slice(s, size, s.size);
	}
	return s;
}

/* A word: an atom (any byte that is not special, blank or control), or a quoted string. */
static size_t atom_size(struct span s)
{
	size_t size = 0;

	while (size < s.size && (unsigned char)s.at[size] > 0x20 && s.at[size] != 0x7f &&
	       !strchr("()<>[]:;@\\,.\"", s.at[size]))
		size++;
	return size;
}

static size_t quoted_size(struct span s)
{
	for (size_t i = 1; i < s.size; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			return i + 1;
	}
	return 0;
}

static size_t word_size(struct span s)
{
	return s.size && s.at[0] == '"' ? quoted_size(s) : atom_size(s);
}

static bool begins(struct span s, char c)
{
	return s.size && s.at[0] == c;
}

static void take(struct span *s, size_t size)
{
	*s = mailbox_list_skip(span_slice(*s, size, s->size));
}

/* Words parted by dots, copied without what stands between them. Two words side by side are none. */
static bool read_dotted(struct span *s, struct buf *out)
{
	for (;;) {
		size_t size = word_size(*s);

		if (!size || !buf_put(out, span_slice(*s, 0, size)))
			return false;
		take(s, size);
		if (!begins(*s, '.'))
			return true;
		take(s, 1);
		if (!buf_put_byte(out, '.'))
			return false;
	}
}

static bool read_domain(struct span *s, struct buf *out)
{
	size_t end = span_find_byte(*s, ']');

	if (!begins(*s, '['))
		return read_dotted(s, out);
	if (end == s->size || !buf_put(out, span_slice(*s, 0, end + 1)))
		return false;
	take(s, end + 1);
	return true;
}

/* local "@" domain; the address is copied into the mailbox. */
static bool read_address(struct span *s, struct mailbox *m)
{
	struct mail_address address;
	struct buf text;

	buf_over(&text, m->text, sizeof m->text);
	if (!read_dotted(s, &text) || !begins(*s, '@'))
		return false;
	take(s, 1);
	if (!buf_put_byte(&text, '@') || !read_domain(s, &text))
		return false;
	m->address = buf_span(&text);
	return mail_address_parse(&address, m->address) == FAULT_OK;
}

/* [@one,@two:] before an address in angle brackets (RFC 5322 4.4) */
static bool skip_route(struct span *s)
{
	char memory[MAIL_ADDRESS_DOMAIN_BYTES];
	struct buf hop;

	if (!begins(*s, '@'))
		return true;
	while (begins(*s, '@') || begins(*s, ',')) {
		bool is_hop = begins(*s, '@');

		take(s, 1);
		buf_over(&hop, memory, sizeof memory);
		if (is_hop && !read_domain(s, &hop))
			return false;
	}
	if (!begins(*s, ':'))
		return false;
	take(s, 1);
	return true;
}

static bool read_angle(struct span *s, struct mailbox *m)
{
	take(s, 1);
	if (!skip_route(s) || !read_address(s, m) || !begins(*s, '>'))
		return false;
	take(s, 1);
	return true;
}

/* Words and dots up to something else: a display name, a group's name, or a local part. */
static struct span phrase_end(struct span s)
{
	for (;;) {
		size_t size = begins(s, '.') ? 1 : word_size(s);

		if (!size)
			return s;
		take(&s, size);
	}
}

static bool at_end(const struct mailbox_list *l, struct span s)
{
	return !s.size || begins(s, ',') || (l->in_group && begins(s, ';'));
}

static enum mailbox_found read_mailbox(struct mailbox_list *l, struct mailbox *m)
{
	struct span start = l->rest, s = phrase_end(start);

	m->display = SPAN("");
	if (begins(s, '<')) {
		m->display = span_trim(span_slice(start, 0, (size_t)(s.at - start.at)));
		if (!read_angle(&s, m))
			return MAILBOX_BROKEN;
	} else if (!read_address(&start, m)) {
		return MAILBOX_BROKEN;
	} else {
		s = start;
	}
	l->rest = s;
	return at_end(l, s) ? MAILBOX_FOUND : MAILBOX_BROKEN;
}

/* Passes commas, the beginning of a group and its end. False when the list is broken there. */
static bool skip_between(struct mailbox_list *l)
{
	for (;;) {
		struct span after = phrase_end(l->rest = mailbox_list_skip(l->rest));
		bool named = after.size != l->rest.size;

		if (!named && begins(l->rest, ',')) {
			take(&l->rest, 1);
		} else if (!named && begins(l->rest, ';')) {
			if (!l->in_group)
				return false;
			l->in_group = false;
			take(&l->rest, 1);
			if (!at_end(l, l->rest))
				return false;
		} else if (named && begins(after, ':')) {
			if (l->in_group)
				return false;
			l->in_group = true;
			take(&after, 1);
			l->rest = after;
		} else {
			return true;
		}
	}
}

enum mailbox_found mailbox_list_next(struct mailbox_list *l, struct mailbox *mailbox_out)
{
	enum mailbox_found found = MAILBOX_BROKEN;

	if (skip_between(l)) {
		if (!l->rest.size)
			found = l->in_group ? MAILBOX_BROKEN : MAILBOX_END;
		else
			found = read_mailbox(l, mailbox_out);
	}
	if (found != MAILBOX_FOUND)
		*l = (struct mailbox_list){ .rest = SPAN("") };
	return found;
}
