/* The one executable: `serve`, `role` and `twin` run here, everything else is the command line's. */
#include "base/arena.h"
#include "cli/cli.h"
#include "keeper/keeper.h"
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
		options.config_path = config.size ? config.at : arena_print(c.arena, "%s/postern.conf", cli_data(c.arena, c.data)).at;
		result = keeper_main(&options);
	}
	arena_free(&c.arena);
	return result;
}

int main(int count, char **words)
{
	if (count > 1 && !strcmp(words[1], "serve"))
		return run_serve(count - 2, words + 2);
	if (count > 1 && !strcmp(words[1], "role"))
		return run_role(count - 2, words + 2);
	if (count > 1 && !strcmp(words[1], "twin"))
		return twin_main(count - 1, words + 1);
	return cli_main(count - 1, words + 1);
}
