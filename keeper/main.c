/* The one executable: `serve`, `role`, `twin` and `restore` run here, everything else is the command line's. By the name of sendmail it is that. */
#include "base/arena.h"
#include "base/panic.h"
#include "base/remedy.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/sendmail.h"
#include "keeper/keeper.h"
#include "keeper/restore.h"
#include "keeper/twin_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_BYTES = 1024 * 1024 };

static int run_role(int count, char **words)
{
	uint64_t index;

	if (count != 2 || !span_number(span_of(words[1]), &index) || index > 255)
		return CLI_USAGE;
	return role_main(span_of(words[0]), (unsigned)index);
}

static int run_serve(int count, char **words)
{
	struct cli c = { .arena = arena_new(ARENA_BYTES), .language = cli_language() };
	struct keeper_options options = { 0 };
	uint64_t port_base = 0;
	int result = cli_parse(&c, "", "config port-base", count, words);

	if (!result && c.help)
		result = cli_help(&c, 1, (char *[]){ (char *)"serve" });
	else if (!result) {
		struct span config = cli_value(&c, "config"), base = cli_value(&c, "port-base");

		if (base.size && (!span_number(base, &port_base) || port_base > 65000)) {
			fprintf(stderr, "postern: --port-base\n");
			arena_free(&c.arena);
			return CLI_USAGE;
		}
		options.port_base = (int64_t)port_base;
		options.config_path = cli_boot_file(c.arena, cli_data(c.arena, c.data), config);
		result = keeper_main(&options);
	}
	arena_free(&c.arena);
	return result;
}

static void say_restored(const struct cli *c, const struct restore_options *o, const struct restore_result *r)
{
	if (c->json) {
		printf("{\"at\": \"%s\", \"messages\": %llu, \"restored\": %s}\n", r->date, (unsigned long long)r->messages, o->is_check ? "false" : "true");
		return;
	}
	if (o->is_check)
		printf(cli_word(CLI_WORD_RESTORE_GOOD), r->date, (long long)r->messages);
	else
		printf(cli_word(CLI_WORD_RESTORE_DONE), r->date, r->data, (long long)r->messages);
	putchar('\n');
	if (o->is_check)
		return;
	if (o->key_path) {
		printf(cli_word(CLI_WORD_RESTORE_KEY), r->key_path);
		putchar('\n');
	}
	printf("%s\n", cli_word(CLI_WORD_RESTORE_NEXT));
}

static void say_refused(const struct cli *c, enum fault fault, const struct restore_result *r)
{
	char memory[REMEDY_BYTES_MAX];
	struct buf remedy;

	buf_over(&remedy, memory, sizeof memory);
	remedy_put(&remedy, fault, c->language, NULL);
	fprintf(stderr, "postern: %s: %s%s%s\n  %.*s\n", r->about, fault_row(fault)->says[c->language], *r->why ? ": " : "", r->why, SPAN_ARGS(buf_span(&remedy)));
}

static int do_restore(const struct cli *c)
{
	struct restore_options options = { .file = cli_value(c, "file").at, .key_path = cli_value(c, "key-file").at, .passphrase = cli_value(c, "passphrase"),
					   .is_check = cli_value(c, "check").size != 0,
					   .config_path = cli_boot_file(c->arena, cli_data(c->arena, c->data), cli_value(c, "config")) };
	struct restore_result *result = calloc(1, sizeof *result);
	enum fault fault;

	if (!result)
		panic("out of memory");
	fault = restore_backup(&options, result);
	if (fault == FAULT_OK)
		say_restored(c, &options, result);
	else
		say_refused(c, fault, result);
	free(result);
	return fault == FAULT_OK ? CLI_DONE : CLI_FAILED;
}

static int run_restore(int count, char **words)
{
	struct cli c = { .arena = arena_new(ARENA_BYTES), .language = cli_language() };
	const struct command_row *row = commands_find(SPAN("restore"));
	int result = cli_parse(&c, row->positional, row->options, count, words);

	if (!result)
		result = c.help ? cli_help(&c, 1, (char *[]){ (char *)"restore" }) : do_restore(&c);
	fflush(stdout);
	arena_wipe(&c.arena);
	return result;
}

int main(int count, char **words)
{
	if (count > 0 && sendmail_is_name(words[0]))
		return sendmail_main(count, words);
	if (count > 1 && !strcmp(words[1], "sendmail") && (count < 3 || strcmp(words[2], "--help")))
		return sendmail_main(count - 1, words + 1);
	if (count > 1 && !strcmp(words[1], "serve"))
		return run_serve(count - 2, words + 2);
	if (count > 1 && !strcmp(words[1], "role"))
		return run_role(count - 2, words + 2);
	if (count > 1 && !strcmp(words[1], "twin"))
		return twin_main(count - 1, words + 1);
	if (count > 1 && !strcmp(words[1], "restore"))
		return run_restore(count - 2, words + 2);
	return cli_main(count - 1, words + 1);
}
