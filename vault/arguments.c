#include "vault/arguments.h"

#include "base/text.h"
#include "upstream/way.h"
#include "wire/mail_address.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 64, LINE_BYTES = 200, WORD_BYTES = 2000, LIST_MAX = 10000, LIST_BYTES = 1024 * 1024 };

void arguments_wrong(struct arguments *a, enum fault fault, const char *format, ...)
{
	va_list list;

	if (a->fault != FAULT_OK)
		return;
	a->fault = fault;
	va_start(list, format);
	vsnprintf(a->why, sizeof a->why, format, list);
	va_end(list);
}

bool arguments_has(const struct arguments *a, const char *name)
{
	return json_has(a->json, name);
}

static bool is_clean(struct span text, const char *without)
{
	for (size_t i = 0; i < text.size; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == 127 || strchr(without, text.at[i]))
			return false;
	return text_is_utf8(text);
}

static bool is_name(struct span text)
{
	return text.size && text.size <= NAME_BYTES && is_clean(text, " @/\\\"") && text_hides_nothing(text);
}

/* The text of a member that is one; what is there but no text is wrong. */
static bool text_of(struct arguments *a, const char *name, struct span *out)
{
	if (a->fault != FAULT_OK || !json_has(a->json, name))
		return false;
	if (!json_is_string(json_object_get(a->json, name))) {
		arguments_wrong(a, FAULT_MALFORMED, "%s: not a text", name);
		return false;
	}
	*out = span_trim(json_text(a->json, name));
	return true;
}

static void take(struct arguments *a, const char *name, struct span text, bool good, const char *what, struct span *out)
{
	if (good)
		*out = arena_copy(a->arena, text);
	else
		arguments_wrong(a, FAULT_MALFORMED, "%s: %s", name, what);
}

void arguments_name(struct arguments *a, const char *name, struct span *out)
{
	struct span text;

	if (text_of(a, name, &text))
		take(a, name, text, is_name(text), "1 to 64 characters without blanks, @ or /", out);
}

void arguments_line(struct arguments *a, const char *name, struct span *out)
{
	struct span text;

	if (text_of(a, name, &text))
		take(a, name, text, text.size <= LINE_BYTES && is_clean(text, ""), "one line of at most 200 bytes", out);
}

void arguments_word(struct arguments *a, const char *name, struct span *out)
{
	struct span text;

	if (text_of(a, name, &text))
		take(a, name, text, text.size <= WORD_BYTES && is_clean(text, ""), "one line of at most 2000 bytes", out);
}

/* In the one spelling that equal addresses share, but for capitals, so that none is there twice. */
static bool is_address(struct span text)
{
	char memory[2 * MAIL_ADDRESS_BYTES];
	struct mail_address address;
	struct buf canonical;

	buf_over(&canonical, memory, sizeof memory);
	return mail_address_parse(&address, text) == FAULT_OK && text_hides_nothing(text) && mail_address_canonical(&canonical, &address) &&
	       span_equal_fold(text, buf_span(&canonical));
}

void arguments_address(struct arguments *a, const char *name, bool may_be_empty, struct span *out)
{
	struct span text;

	if (text_of(a, name, &text))
		take(a, name, text, (may_be_empty && !text.size) || is_address(text), "a mail address such as user@example.com", out);
}

void arguments_language(struct arguments *a, const char *name, enum language *out)
{
	struct span text;

	if (!text_of(a, name, &text))
		return;
	if (!span_equal_fold(text, SPAN("en")) && !span_equal_fold(text, SPAN("fr")))
		arguments_wrong(a, FAULT_MALFORMED, "%s: en or fr", name);
	else
		*out = language_named(text);
}

void arguments_flag(struct arguments *a, const char *name, bool *out)
{
	if (a->fault != FAULT_OK || !json_has(a->json, name))
		return;
	if (json_flag(a->json, name, false) != json_flag(a->json, name, true))
		arguments_wrong(a, FAULT_MALFORMED, "%s: yes or no", name);
	else
		*out = json_flag(a->json, name, false);
}

void arguments_number(struct arguments *a, const char *name, int64_t least, int64_t most, int64_t *out)
{
	int64_t number;

	if (a->fault != FAULT_OK || !json_has(a->json, name))
		return;
	if (!json_whole(a->json, name, &number) || number < least || number > most)
		arguments_wrong(a, FAULT_MALFORMED, "%s: a number from %lld to %lld", name, (long long)least, (long long)most);
	else
		*out = number;
}

void arguments_wait(struct arguments *a, const char *name, int64_t *ms_out)
{
	struct span text = json_text(a->json, name);
	int64_t scale = 1000, whole;
	uint64_t number;

	if (a->fault != FAULT_OK || !json_has(a->json, name))
		return;
	if (json_is_integer(json_object_get(a->json, name)) && json_whole(a->json, name, &whole) && whole >= 0 && whole <= 600) {
		*ms_out = whole * 1000;
		return;
	}
	if (span_ends_fold(text, SPAN("ms")))
		scale = 1;
	if (span_ends_fold(text, SPAN("s")))
		text = span_slice(text, 0, text.size - (scale == 1 ? 2 : 1));
	if (!span_number(text, &number) || (int64_t)number > 600000 / scale)
		arguments_wrong(a, FAULT_MALFORMED, "%s: seconds from 0 to 600, such as 5 or 250ms", name);
	else
		*ms_out = (int64_t)number * scale;
}

void arguments_choice(struct arguments *a, const char *name, const char *words, int64_t first, int64_t *out)
{
	struct span text, rest = span_of(words), word;

	if (!text_of(a, name, &text))
		return;
	for (; span_cut(&rest, ' ', &word); first++)
		if (span_equal_fold(word, text)) {
			*out = first;
			return;
		}
	arguments_wrong(a, FAULT_MALFORMED, "%s: one of %s", name, words);
}

static bool is_sender(struct span text)
{
	if (text.size > 1 && *text.at == '@')
		return mail_address_is_domain(span_slice(text, 1, text.size));
	return is_address(text);
}

static bool put_map(struct buf *out, struct span text)
{
	size_t at = span_find_byte(text, '=');
	struct span from, to;

	if (at == text.size)
		at = span_find_byte(text, ' ');
	from = span_trim(span_slice(text, 0, at));
	to = span_trim(span_slice(text, at + 1, text.size));
	return is_sender(from) && is_address(to) && buf_put(out, from) && buf_put_byte(out, ' ') && buf_put(out, to);
}

/* `out` holds the ways before it, one a line. */
static bool put_way(struct buf *out, struct span text)
{
	struct span rest = buf_span(out), before, name = way_name(way_named(text));

	while (rest.size && span_cut(&rest, '\n', &before))
		if (span_equal(before, name))
			return false;
	return name.size && buf_put(out, name);
}

static bool put_item(struct buf *out, struct span text, enum arguments_kind kind)
{
	struct network network;

	switch (kind) {
	case ARGUMENTS_ADDRESS: return is_address(text) && buf_put(out, text);
	case ARGUMENTS_SENDER: return is_sender(text) && buf_put(out, text);
	case ARGUMENTS_NETWORK: return network_parse(&network, text) && buf_put(out, text);
	case ARGUMENTS_NAME: return is_name(text) && buf_put(out, text);
	case ARGUMENTS_WAY: return put_way(out, text);
	case ARGUMENTS_MAP: return put_map(out, text);
	}
	return false;
}

void arguments_list(struct arguments *a, const char *name, enum arguments_kind kind, struct span *out)
{
	static const char *const what[] = {
		[ARGUMENTS_ADDRESS] = "no mail address",
		[ARGUMENTS_SENDER] = "no mail address or @domain",
		[ARGUMENTS_NETWORK] = "no network such as 192.0.2.0/24",
		[ARGUMENTS_NAME] = "no name",
		[ARGUMENTS_WAY] = "no way out, or named twice",
		[ARGUMENTS_MAP] = "not two addresses such as old@example.com=new@example.com",
	};
	struct span item;
	struct buf lines;

	if (a->fault != FAULT_OK || !json_has(a->json, name))
		return;
	buf_init(&lines, LIST_BYTES);
	for (size_t i = 0; json_item(a->json, name, i, &item); i++) {
		item = span_trim(item);
		if (!item.size)
			continue;
		if (lines.size)
			buf_put_byte(&lines, '\n');
		if (i >= LIST_MAX || !put_item(&lines, item, kind))
			arguments_wrong(a, FAULT_MALFORMED, "%s: %.*s: %s", name, (int)(item.size < 200 ? item.size : 200), item.at, what[kind]);
	}
	if (a->fault == FAULT_OK)
		*out = arena_copy(a->arena, buf_span(&lines));
	buf_free(&lines);
}
