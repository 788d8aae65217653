#include "cli/sendmail_inner.h"

#include "cli/cli.h"
#include "wire/dsn.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

enum { XTEXT_BYTES = 100 };

typedef int flag_handler(struct sendmail *, char letter, struct span value);

static int wrong_word(char letter, struct span value)
{
	char text[100];

	snprintf(text, sizeof text, "%.*s", (int)(value.size < 80 ? value.size : 80), value.at);
	sendmail_say(cli_word(CLI_WORD_SENDMAIL_WORD), letter, text);
	return EX_USAGE;
}

static int on_ignored(struct sendmail *s, char letter, struct span value)
{
	(void)s, (void)letter, (void)value;
	return 0;
}

static int on_header_recipients(struct sendmail *s, char letter, struct span value)
{
	(void)letter, (void)value;
	s->reads_recipients = true;
	return 0;
}

static int on_ignore_dots(struct sendmail *s, char letter, struct span value)
{
	(void)letter, (void)value;
	s->ignores_dots = true;
	return 0;
}

static int on_verbose(struct sendmail *s, char letter, struct span value)
{
	(void)letter, (void)value;
	s->is_verbose = true;
	return 0;
}

static int on_option(struct sendmail *s, char letter, struct span value)
{
	(void)letter;
	s->ignores_dots = s->ignores_dots || span_equal(value, SPAN("i")) || span_equal(value, SPAN("iTrue"));
	return 0;
}

static int on_sender(struct sendmail *s, char letter, struct span value)
{
	(void)letter;
	s->has_sender = true;
	s->sender = span_equal(value, SPAN("<>")) ? SPAN("") : value;
	return 0;
}

static int on_full_name(struct sendmail *s, char letter, struct span value)
{
	(void)letter;
	s->full_name = value;
	return 0;
}

static int on_body(struct sendmail *s, char letter, struct span value)
{
	(void)s;
	return span_equal_fold(value, SPAN("7BIT")) || span_equal_fold(value, SPAN("8BITMIME")) ? 0 : wrong_word(letter, value);
}

static int on_notify(struct sendmail *s, char letter, struct span value)
{
	static const struct { const char *word; unsigned bit; } words[] = {
		{ "never", DSN_NEVER }, { "success", DSN_SUCCESS }, { "failure", DSN_FAILURE }, { "delay", DSN_DELAY },
	};
	struct span rest = value, word;

	while (rest.size && span_cut(&rest, ',', &word)) {
		unsigned bit = 0;

		for (size_t i = 0; i < sizeof words / sizeof *words; i++)
			if (span_equal_fold(word, span_of(words[i].word)))
				bit = words[i].bit;
		if (!bit)
			return wrong_word(letter, value);
		s->notify |= bit;
	}
	return s->notify & DSN_NEVER && s->notify != DSN_NEVER ? wrong_word(letter, value) : 0;
}

static int on_returns(struct sendmail *s, char letter, struct span value)
{
	bool is_full = span_equal_fold(value, SPAN("full"));

	if (!is_full && !span_equal_fold(value, SPAN("hdrs")))
		return wrong_word(letter, value);
	s->returns = is_full ? DSN_RETURN_FULL : DSN_RETURN_HEADERS;
	return 0;
}

/* As xtext (RFC 3461 4), which is printable. */
static int on_envelope_id(struct sendmail *s, char letter, struct span value)
{
	struct buf text;

	buf_init(&text, XTEXT_BYTES);
	for (size_t i = 0; i < value.size; i++) {
		unsigned char c = (unsigned char)value.at[i];

		if (c > ' ' && c < 0x7f && c != '+' && c != '=')
			buf_put_byte(&text, (char)c);
		else
			buf_print(&text, "+%02X", c);
	}
	s->envelope_id = arena_copy(s->arena, buf_span(&text));
	if (!text.overfull) {
		buf_free(&text);
		return 0;
	}
	buf_free(&text);
	return wrong_word(letter, value);
}

static int on_mode(struct sendmail *s, char letter, struct span value)
{
	if (value.size != 1 || !strchr("msip", *value.at))
		return wrong_word(letter, value);
	s->mode = *value.at;
	return 0;
}

static int on_queue(struct sendmail *s, char letter, struct span value)
{
	(void)letter;
	s->mode = 'q';
	s->retries_failed = span_equal(value, SPAN("Q"));
	return 0;
}

enum flag_kind { SWITCH, VALUE, REST };

static const struct flag {
	char letter;
	enum flag_kind kind;
	flag_handler *handler;
} flags[] = {
#define FLAG(letter, kind, handler, sentence) { letter, kind, on_##handler },
#include "tables/sendmail_flags.def"
#undef FLAG
};

static const struct flag *flag_of(char letter)
{
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (flags[i].letter == letter)
			return &flags[i];
	return NULL;
}

/* A word of flags; `next` is the word behind it, or NULL. */
static int take_flags(struct sendmail *s, struct span word, char *next, bool *took_next)
{
	int code = 0;

	*took_next = false;
	for (size_t at = 1; at < word.size && !code; at++) {
		const struct flag *f = flag_of(word.at[at]);
		struct span value = span_slice(word, at + 1, word.size);

		if (!f) {
			sendmail_say(cli_word(CLI_WORD_SENDMAIL_FLAG), word.at[at]);
			return EX_USAGE;
		}
		if (f->kind == VALUE && !value.size) {
			if (!next) {
				sendmail_say(cli_word(CLI_WORD_SENDMAIL_FLAG_VALUE), f->letter);
				return EX_USAGE;
			}
			value = span_of(next);
			*took_next = true;
		}
		if (f->kind != SWITCH)
			at = word.size;
		code = f->handler(s, f->letter, f->kind == SWITCH ? SPAN("") : value);
	}
	return code;
}

/* msmtp's long spellings, since programs are set up for it too. */
static int take_long(struct sendmail *s, struct span word, char *next, bool *took_next)
{
	*took_next = false;
	if (span_equal(word, SPAN("--read-recipients"))) {
		s->reads_recipients = true;
	} else if (span_equal(word, SPAN("--data")) && next) {
		s->data = next;
		*took_next = true;
	} else if (!span_equal(word, SPAN("--read-envelope-from"))) {
		sendmail_say(cli_word(CLI_WORD_SENDMAIL_FLAG), '-');
		return EX_USAGE;
	}
	return 0;
}

int sendmail_take_words(struct sendmail *s, int count, char **words)
{
	bool only_words = false, took_next = false;
	int code = 0;

	s->words = arena_take(s->arena, sizeof *s->words * (size_t)(count + 1));
	for (int i = 1; i < count && !code; i++) {
		struct span word = span_of(words[i]);
		char *next = i + 1 < count ? words[i + 1] : NULL;

		took_next = false;
		if (!only_words && span_equal(word, SPAN("--")))
			only_words = true;
		else if (!only_words && span_starts(word, SPAN("--")))
			code = take_long(s, word, next, &took_next);
		else if (!only_words && word.size > 1 && *word.at == '-')
			code = take_flags(s, word, next, &took_next);
		else
			s->words[s->word_count++] = words[i];
		i += took_next;
	}
	return code;
}
