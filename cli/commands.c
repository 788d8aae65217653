#include "cli/commands.h"

static const struct command_row rows[] = {
#define COMMAND(name, positional, options, en, fr) { #name, positional, options, { en, fr } },
#include "tables/commands.def"
#undef COMMAND
};

const struct command_row *commands_row(size_t at)
{
	return at < sizeof rows / sizeof *rows ? &rows[at] : NULL;
}

const struct command_row *commands_find(struct span name)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (span_equal(span_of(rows[i].name), name))
			return &rows[i];
	return NULL;
}
