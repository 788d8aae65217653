#include "cli/cli.h"

#include "base/secret.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { SECRET_BYTES_MAX = 16 * 1024, ARENA_BYTES = 16 * 1024 * 1024 };

/* The marks behind a word of a table: `!` required, `?` switch, `*` repeated, `=` secret. */
static struct span bare(struct span word)
{
	while (word.size && strchr("!?*=", word.at[word.size - 1]))
		word.size--;
	return word;
}

static bool has_mark(struct span word, char mark)
{
	return memchr(word.at + bare(word).size, mark, word.size - bare(word).size) != NULL;
}

static int complain(enum cli_word what, struct span about)
{
	char text[300];

	snprintf(text, sizeof text, "%.*s", SPAN_ARGS(about));
	fprintf(stderr, "postern: ");
	fprintf(stderr, cli_word(what), text);
	fputc('\n', stderr);
	return CLI_USAGE;
}

static bool find_word(const char *words, struct span name, struct span *word_out)
{
	struct span rest = span_of(words);

	while (span_cut(&rest, ' ', word_out))
		if (word_out->size && span_equal(bare(*word_out), name))
			return true;
	return false;
}

static int add(struct cli *c, struct span name, struct span value)
{
	if (c->count == CLI_VALUES_MAX)
		return complain(CLI_WORD_TOO_MANY, value);
	c->values[c->count++] = (struct cli_value){ arena_copy(c->arena, name), arena_copy(c->arena, value) };
	return CLI_DONE;
}

/* A person types one line, which nobody beside them reads. */
static size_t type_secret(struct span name, char *bytes, size_t size)
{
	struct termios before, quiet;
	bool is_quiet = tcgetattr(STDIN_FILENO, &before) == 0;

	fprintf(stderr, "%.*s: ", SPAN_ARGS(name));
	if (is_quiet) {
		quiet = before;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	size = fgets(bytes, (int)size, stdin) ? strlen(bytes) : 0;
	if (is_quiet) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	return size;
}

/* One line of a secret: its end of line does not belong to it. */
static int add_secret(struct cli *c, struct span name, const char *path)
{
	char bytes[SECRET_BYTES_MAX];
	FILE *file = path ? fopen(path, "re") : stdin;
	size_t size;
	int result;

	if (!file) {
		fprintf(stderr, "postern: ");
		fprintf(stderr, cli_word(CLI_WORD_CANNOT_READ), path, strerror(errno));
		fputc('\n', stderr);
		return CLI_USAGE;
	}
	size = !path && isatty(STDIN_FILENO) ? type_secret(name, bytes, sizeof bytes) : fread(bytes, 1, sizeof bytes, file);
	if (path)
		fclose(file);
	result = add(c, name, span_trim((struct span){ bytes, size }));
	secret_wipe(bytes, sizeof bytes);
	return result;
}

static int take_global(struct cli *c, struct span name, const char *value, int *used)
{
	*used = 1;
	if (span_equal(name, SPAN("json")))
		c->json = true;
	else if (span_equal(name, SPAN("help")))
		c->help = true;
	else if (span_equal(name, SPAN("data"))) {
		if (!value)
			return complain(CLI_WORD_NEEDS_VALUE, SPAN("--data"));
		c->data = value;
		*used = 2;
	} else {
		*used = 0;
	}
	return CLI_DONE;
}

static int take_option(struct cli *c, const char *options, struct span text, const char *next, int *used)
{
	size_t equals = span_find_byte(text, '=');
	struct span name = span_slice(text, 0, equals), word, plain;
	const char *value = equals < text.size ? text.at + equals + 1 : next;
	int result = take_global(c, name, value, used);

	if (result || *used) {
		*used -= *used == 2 && equals < text.size;
		return result;
	}
	*used = 2 - (equals < text.size);
	if (span_ends_fold(name, SPAN("-file")) && find_word(options, plain = span_slice(name, 0, name.size - 5), &word) && has_mark(word, '='))
		return value ? add_secret(c, plain, value) : complain(CLI_WORD_NEEDS_VALUE, text);
	if (!find_word(options, name, &word))
		return complain(CLI_WORD_UNKNOWN_OPTION, (struct span){ text.at - 2, name.size + 2 });
	if (has_mark(word, '?') || (has_mark(word, '=') && equals == text.size)) {
		*used = 1;
		return has_mark(word, '?') ? add(c, name, SPAN("yes")) : add_secret(c, name, NULL);
	}
	if (has_mark(word, '=')) /* its value stands on the command line, where others can read it */
		return complain(CLI_WORD_UNKNOWN_OPTION, text);
	if (!has_mark(word, '*') && cli_value(c, arena_text(c->arena, name)).at)
		return complain(CLI_WORD_TWICE, (struct span){ text.at - 2, name.size + 2 });
	return value ? add(c, name, span_of(value)) : complain(CLI_WORD_NEEDS_VALUE, (struct span){ text.at - 2, name.size + 2 });
}

static int take_positional(struct cli *c, struct span *rest, struct span text)
{
	struct span word, after = *rest;

	if (!span_cut(&after, ' ', &word) || !word.size)
		return complain(CLI_WORD_TOO_MANY, text);
	if (!has_mark(word, '*'))
		*rest = after.at ? after : (struct span){ "", 0 };
	return add(c, bare(word), text);
}

/* A secret that is needed and was not named comes from standard input. */
static int check_required(struct cli *c, struct span words, bool is_option)
{
	struct span word;

	while (span_cut(&words, ' ', &word)) {
		char name[80];

		if (!word.size || (is_option && !has_mark(word, '!')) || (!is_option && has_mark(word, '*')))
			continue;
		snprintf(name, sizeof name, "%.*s", SPAN_ARGS(bare(word)));
		if (!cli_value(c, name).at && has_mark(word, '=')) {
			if (add_secret(c, bare(word), NULL))
				return CLI_USAGE;
		} else if (!cli_value(c, name).at) {
			char shown[84];

			snprintf(shown, sizeof shown, "%s%s", is_option ? "--" : "", name);
			return complain(CLI_WORD_MISSING, span_of(shown));
		}
	}
	return CLI_DONE;
}

int cli_parse(struct cli *c, const char *positional, const char *options, int count, char **words)
{
	struct span rest = span_of(positional);
	bool only_words = false;
	int result = CLI_DONE, used;

	for (int i = 0; i < count && !result; i += used) {
		struct span text = span_of(words[i]);

		used = 1;
		if (!only_words && span_equal(text, SPAN("--")))
			only_words = true;
		else if (!only_words && span_equal(text, SPAN("-h")))
			c->help = true;
		else if (!only_words && span_starts(text, SPAN("--")))
			result = take_option(c, options, span_slice(text, 2, text.size), i + 1 < count ? words[i + 1] : NULL, &used);
		else
			result = take_positional(c, &rest, text);
	}
	if (result || c->help)
		return result;
	result = check_required(c, rest, false);
	return result ? result : check_required(c, span_of(options), true);
}

struct span cli_value(const struct cli *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (span_equal(c->values[i].name, span_of(name)))
			return c->values[i].value;
	return (struct span){ NULL, 0 };
}

const char *cli_data(struct arena *arena, const char *given)
{
	const char *home = getenv("HOME");

	if (!given)
		given = getenv("POSTERN_DATA");
	if (given && *given)
		return given;
	if (!geteuid() || !home)
		return "/var/lib/postern";
	return arena_print(arena, "%s/.local/share/postern", home).at;
}

const char *cli_boot_file(struct arena *arena, const char *data, struct span given)
{
	static const char system_wide[] = "/etc/postern/postern.conf";
	const char *own = given.size ? arena_text(arena, given) : arena_print(arena, "%s/postern.conf", data).at;

	return !given.size && access(own, F_OK) && !access(system_wide, F_OK) ? system_wide : own;
}
