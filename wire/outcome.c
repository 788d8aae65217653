#include "wire/outcome.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One to three digits. */
static bool is_part(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] < '0' || s.at[i] > '9')
			return false;
	return s.size >= 1 && s.size <= 3;
}

bool outcome_is_enhanced(struct span s)
{
	struct span class, subject, detail;

	if (!span_cut(&s, '.', &class) || !span_cut(&s, '.', &subject) || !span_cut(&s, '.', &detail) || s.at)
		return false;
	return class.size == 1 && strchr("245", class.at[0]) && is_part(subject) && is_part(detail);
}

static void put_text(struct outcome *o, struct span text)
{
	static const char cut_mark[] = "...";
	struct buf b;

	buf_over(&b, o->text, sizeof o->text - sizeof cut_mark);
	text_plain(&b, span_trim(text));
	memcpy(o->text + b.size, b.overfull ? cut_mark : "", b.overfull ? sizeof cut_mark : 1);
}

void outcome_set(struct outcome *o, enum fault f, int code, struct span enhanced, struct span text)
{
	*o = (struct outcome){ .fault = f, .code = code };
	if (outcome_is_enhanced(enhanced))
		memcpy(o->enhanced, enhanced.at, enhanced.size);
	put_text(o, text);
}

void outcome_own(struct outcome *o, enum fault f)
{
	const struct fault_row *row = fault_row(f);

	outcome_set(o, f, 0, span_of(row->enhanced), span_of(row->says[LANGUAGE_EN]));
}

void outcome_say(struct outcome *o, enum fault f, const char *format, ...)
{
	char text[OUTCOME_TEXT_BYTES];
	va_list list;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	outcome_set(o, f, 0, span_of(fault_row(f)->enhanced), span_of(text));
}

enum outcome_next outcome_next(const struct outcome *o)
{
	static const enum outcome_next follows[] = {
		[FAULT_CLASS_NONE] = OUTCOME_DONE,     [FAULT_CLASS_CLIENT] = OUTCOME_REFUSE,
		[FAULT_CLASS_POLICY] = OUTCOME_REFUSE, [FAULT_CLASS_RETRY] = OUTCOME_RETRY,
		[FAULT_CLASS_HOLD] = OUTCOME_HOLD,     [FAULT_CLASS_REFUSE] = OUTCOME_REFUSE,
		[FAULT_CLASS_INTERNAL] = OUTCOME_RETRY,
	};

	return follows[fault_row(o->fault)->class];
}

struct span outcome_words(const struct outcome *o, char words_out[OUTCOME_WORDS_BYTES])
{
	int size;

	if (!o->code)
		size = snprintf(words_out, OUTCOME_WORDS_BYTES, "%s", o->text);
	else
		size = snprintf(words_out, OUTCOME_WORDS_BYTES, "%d %s%s%s", o->code, o->enhanced, *o->enhanced ? " " : "", o->text);
	return (struct span){ words_out, (size_t)size };
}
