#include "cli/cli.h"

#include "cli/commands.h"
#include "cli/operation.h"
#include "cli/show.h"

#include <stdio.h>
#include <string.h>

enum { NAME_COLUMN = 24 };

static void put_line(const char *name, const char *says)
{
	if (!*says) {
		printf("  %s\n", name);
		return;
	}
	printf("  %-*s ", NAME_COLUMN - 3, name);
	show_wrapped(span_of(says), NAME_COLUMN);
}

static struct span bare(struct span word, bool *required, bool *is_switch, bool *repeated, bool *secret)
{
	*required = *is_switch = *repeated = *secret = false;
	while (word.size && strchr("!?*=", word.at[word.size - 1])) {
		char mark = word.at[--word.size];

		*required = *required || mark == '!';
		*is_switch = *is_switch || mark == '?';
		*repeated = *repeated || mark == '*';
		*secret = *secret || mark == '=';
	}
	return word;
}

static void put_positional(const char *words)
{
	struct span rest = span_of(words), word;
	bool required, is_switch, repeated, secret;

	while (span_cut(&rest, ' ', &word))
		if (word.size) {
			word = bare(word, &required, &is_switch, &repeated, &secret);
			printf(" %.*s%s", SPAN_ARGS(word), repeated ? "..." : "");
		}
}

static void put_option(struct span word)
{
	char name[60], says[120] = "";
	bool required, is_switch, repeated, secret;
	struct span plain = bare(word, &required, &is_switch, &repeated, &secret);
	char text[60];

	snprintf(text, sizeof text, "%.*s", SPAN_ARGS(plain));
	snprintf(name, sizeof name, "--%s%s", text, is_switch || secret ? "" : " ...");
	if (secret)
		snprintf(says, sizeof says, cli_word(CLI_WORD_FROM_STDIN), text);
	else if (required || repeated)
		snprintf(says, sizeof says, "%s%s%s", required ? cli_word(CLI_WORD_REQUIRED) : "", required && repeated ? "; " : "",
			 repeated ? cli_word(CLI_WORD_REPEATED) : "");
	put_line(name, says);
}

static void put_options(const char *words)
{
	struct span rest = span_of(words), word;

	if (*words)
		printf("\n%s\n", cli_word(CLI_WORD_OPTIONS));
	while (span_cut(&rest, ' ', &word))
		if (word.size)
			put_option(word);
	printf("\n%s\n", cli_word(CLI_WORD_GLOBAL_OPTIONS));
	put_line("--data ...", cli_word(CLI_WORD_OPTION_DATA));
	put_line("--json", cli_word(CLI_WORD_OPTION_JSON));
	put_line("--help", cli_word(CLI_WORD_OPTION_HELP));
}

static void help_one(const char *name, const char *verb, const char *positional, const char *options, const char *summary)
{
	printf("%s %s%s%s", cli_word(CLI_WORD_USAGE), name, *verb ? " " : "", verb);
	put_positional(positional);
	printf(" [...]\n\n%s\n", summary);
	put_options(options);
}

static void help_noun(struct span noun)
{
	char name[60];

	for (size_t i = 0; operation_row(i); i++) {
		const struct operation_row *row = operation_row(i);

		if (noun.size && !span_equal(span_of(row->noun), noun))
			continue;
		snprintf(name, sizeof name, "%s %s", row->noun, row->verb);
		put_line(name, row->summary[cli_language()]);
	}
}

static void help_all(void)
{
	printf("%s ...\n\n%s\n", cli_word(CLI_WORD_USAGE), cli_word(CLI_WORD_COMMANDS));
	for (size_t i = 0; commands_row(i); i++)
		put_line(commands_row(i)->name, commands_row(i)->summary[cli_language()]);
	putchar('\n');
	help_noun(SPAN(""));
	put_options("");
}

int cli_help(const struct cli *c, int count, char **words)
{
	struct span first = count ? span_of(words[0]) : SPAN(""), second = count > 1 ? span_of(words[1]) : SPAN("");
	const struct command_row *command = commands_find(first);
	const struct operation_row *operation = operation_find(first, second);

	(void)c;
	if (operation)
		help_one(operation->noun, operation->verb, operation->positional, operation->options, operation->summary[cli_language()]);
	else if (command)
		help_one(command->name, "", command->positional, command->options, command->summary[cli_language()]);
	else if (operation_has_noun(first))
		help_noun(first);
	else
		help_all();
	return CLI_DONE;
}
