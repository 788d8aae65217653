/* cli/commands.h - the commands that are no operation of a daemon.
 *
 * Why       Dispatch, help, completion and man pages read one table.
 * Promise   commands_row() gives the rows of tables/commands.def in order.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "cli/cli.h"

struct command_row {
	const char *name, *positional, *options, *summary[LANGUAGE_COUNT];
};

/* NULL past the end. */
const struct command_row *commands_row(size_t at);
const struct command_row *commands_find(struct span name);
