#include "base/remedy.h"

#include "base/text.h"

#include <stddef.h>
#include <string.h>

enum { NAME_BYTES_MAX = 320 };

static const struct {
	const char *hole;
	size_t at, or_at; /* in struct remedy_names: the name, and what stands for it where it is empty */
	const char *unknown[LANGUAGE_COUNT];
} holes[] = {
	{ "{mailbox}", offsetof(struct remedy_names, mailbox), offsetof(struct remedy_names, mailbox), { "<address>", "<adresse>" } },
	{ "{account}", offsetof(struct remedy_names, account), offsetof(struct remedy_names, mailbox), { "<address>", "<adresse>" } },
	{ "{client}", offsetof(struct remedy_names, client), offsetof(struct remedy_names, client), { "<client>", "<client>" } },
	{ "{sender}", offsetof(struct remedy_names, sender), offsetof(struct remedy_names, sender), { "<sender>", "<expéditeur>" } },
	{ "{message}", offsetof(struct remedy_names, message), offsetof(struct remedy_names, message), { "<id>", "<id>" } },
	{ "{provider}", offsetof(struct remedy_names, provider), offsetof(struct remedy_names, provider), { "<provider>", "<fournisseur>" } },
	{ "{listener}", offsetof(struct remedy_names, listener), offsetof(struct remedy_names, listener), { "<listener>", "<écouteur>" } },
};

static bool has_any(struct span s, const char *bytes)
{
	for (size_t i = 0; i < s.size; i++)
		if (strchr(bytes, s.at[i]))
			return true;
	return false;
}

/* Whether nothing in it breaks a line, turns the writing direction, hides, or reads as an option. U+2000 to U+203F hold the blanks without width
 * and the quotation marks that PowerShell takes for its own. */
static bool is_sayable(struct span name)
{
	char memory[NAME_BYTES_MAX];
	struct buf plain;

	if (!name.size || name.size > NAME_BYTES_MAX || name.at[0] == '-' || has_any(name, "`") || !text_is_utf8(name) ||
	    span_find(name, SPAN("\xe2\x80")) < name.size)
		return false;
	buf_over(&plain, memory, sizeof memory);
	return text_plain(&plain, name) && span_equal(buf_span(&plain), name);
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_bare(struct span name)
{
	for (size_t i = 0; i < name.size; i++)
		if (!is_letter(name.at[i]) && (!i || !strchr("@._+-", name.at[i])))
			return false;
	return true;
}

/* The mark that quotes it in either shell, 0 for none needed, or a backtick where there is none. */
static char quote_for(struct span name)
{
	if (!is_sayable(name))
		return '`';
	if (is_bare(name))
		return 0;
	if (!has_any(name, "'"))
		return '\'';
	return has_any(name, "\"$\\!") ? '`' : '"';
}

static void put_name(struct buf *out, struct span name, const char *unknown)
{
	char quote = quote_for(name);

	if (quote == '`')
		buf_put(out, span_of(unknown));
	else if (quote)
		buf_print(out, "%c%.*s%c", quote, SPAN_ARGS(name), quote);
	else
		buf_put(out, name);
}

static struct span name_at(const struct remedy_names *names, size_t at)
{
	return names ? *(const struct span *)((const char *)names + at) : (struct span){ "", 0 };
}

/* Fills the hole that `text` begins with; the size of the hole, or 0 where it is none. */
static size_t fill_hole(struct buf *out, struct span text, enum language language, const struct remedy_names *names)
{
	for (size_t i = 0; i < sizeof holes / sizeof *holes; i++)
		if (span_starts(text, span_of(holes[i].hole))) {
			struct span name = name_at(names, holes[i].at);

			put_name(out, name.size ? name : name_at(names, holes[i].or_at), holes[i].unknown[language]);
			return strlen(holes[i].hole);
		}
	return 0;
}

void remedy_fill(struct buf *out, struct span pattern, enum language language, const struct remedy_names *names)
{
	while (pattern.size) {
		size_t at = span_find_byte(pattern, '{'), size;

		buf_put(out, span_slice(pattern, 0, at));
		pattern = span_slice(pattern, at, pattern.size);
		size = fill_hole(out, pattern, language, names);
		if (!size && pattern.size)
			buf_put_byte(out, pattern.at[size++]);
		pattern = span_slice(pattern, size, pattern.size);
	}
}

void remedy_put(struct buf *out, enum fault f, enum language language, const struct remedy_names *names)
{
	remedy_fill(out, span_of(fault_row(f)->remedy_pattern[language]), language, names);
}

void remedy_put_json(json_t *object, enum fault f, enum language language, const struct remedy_names *names)
{
	struct buf text;

	buf_init(&text, REMEDY_BYTES_MAX);
	remedy_put(&text, f, language, names);
	json_put_text(object, "remedy", buf_span(&text));
	buf_free(&text);
}
