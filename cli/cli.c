#include "cli/cli.h"

#include "cli/commands.h"
#include "cli/operation.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_BYTES = 64 * 1024 * 1024 };

static const struct { const char *name; int (*run)(const struct cli *); } locals[] = {
	{ "init", cli_init }, { "check", cli_check }, { "status", cli_status }, { "explain", cli_explain }, { "demo", cli_demo },
	{ "completion", cli_completion }, { "backup", cli_backup }, { "import", cli_import },
};

static int run_local(const struct command_row *row, struct cli *c)
{
	for (size_t i = 0; i < sizeof locals / sizeof *locals; i++)
		if (!strcmp(locals[i].name, row->name))
			return locals[i].run(c);
	printf("postern %s\n", POSTERN_VERSION);
	return CLI_DONE;
}

static int unknown(const char *word)
{
	fprintf(stderr, "postern: ");
	fprintf(stderr, cli_word(CLI_WORD_UNKNOWN_COMMAND), word);
	fputc('\n', stderr);
	return CLI_USAGE;
}

static int run(struct cli *c, int count, char **words)
{
	const struct command_row *command = count ? commands_find(span_of(words[0])) : NULL;
	const struct operation_row *operation = count > 1 ? operation_find(span_of(words[0]), span_of(words[1])) : NULL;
	int used = operation ? 2 : 1, result;

	if (!count || !strcmp(words[0], "--help") || !strcmp(words[0], "-h") || !strcmp(words[0], "help"))
		return cli_help(c, count > 1 ? count - 1 : 0, words + 1);
	if (!strcmp(words[0], "--version"))
		command = commands_find(SPAN("version"));
	if (!command && !operation && operation_has_noun(span_of(words[0])) && (count == 1 || !strncmp(words[1], "-", 1)))
		return cli_help(c, count, words);
	if (!command && !operation)
		return unknown(operation_has_noun(span_of(words[0])) ? words[1] : words[0]);
	result = operation ? cli_parse(c, operation->positional, operation->options, count - used, words + used)
			   : cli_parse(c, command->positional, command->options, count - used, words + used);
	if (result)
		return result;
	if (c->help)
		return cli_help(c, used, words);
	c->data = cli_data(c->arena, c->data);
	return operation ? operation_run(operation, c) : run_local(command, c);
}

int cli_main(int count, char **words)
{
	struct cli c = { .arena = arena_new(ARENA_BYTES), .language = cli_language() };
	int result = run(&c, count, words);

	fflush(stdout);
	arena_wipe(&c.arena);
	return result;
}
