/* cli/cli.h - the command line: a client of the control socket, and the few commands that work without a daemon.
 *
 * Why       One spelling for all: what can be asked of a running Postern comes from tables/operations.def, the rest from tables/commands.def.
 * Promise   Exit code 0 done, 1 refused or failed, 2 not understood, 3 no daemon answers. Tables of at most 80 columns; --json prints what the daemon said.
 * Owns      Nothing that lasts.
 * Refuses   Secrets on the command line, where other users could read them: they come from standard input or a file. */
#pragma once
#include "base/arena.h"
#include "base/fault.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_AWAY = 3, CLI_VALUES_MAX = 256 };

enum cli_word {
#define WORD(name, en, fr) CLI_WORD_##name,
#include "tables/cli_words.def"
#undef WORD
	CLI_WORD_COUNT
};

/* One option or positional as given. */
struct cli_value {
	struct span name, value;
};

/* A command line, taken apart against the words of its row. */
struct cli {
	struct arena *arena;
	enum language language;
	bool json, help;
	const char *data;       /* the data directory */
	size_t count;
	struct cli_value values[CLI_VALUES_MAX];
};

/* The whole command line; returns the exit code. `serve`, `role`, `twin` and `restore` are not for it: keeper/main.c takes those. */
int cli_main(int count, char **words);

/* A word of tables/cli_words.def in the language of the environment. */
const char *cli_word(enum cli_word);

/* The language of the environment (LC_ALL, LC_MESSAGES, LANG). */
enum language cli_language(void);

/* Takes words apart: `positional` and `options` as in tables/operations.def. CLI_DONE, or CLI_USAGE with a line on standard error. Secrets are read here. */
int cli_parse(struct cli *, const char *positional, const char *options, int count, char **words);

/* The first value of that name, or an empty span with NULL. */
struct span cli_value(const struct cli *, const char *name);

/* The data directory: --data, POSTERN_DATA, else /var/lib/postern for root and ~/.local/share/postern for others. In the arena. */
const char *cli_data(struct arena *, const char *given);

/* The boot file: `given`, else postern.conf in the data directory, else /etc/postern/postern.conf where only that one is there. In the arena. */
const char *cli_boot_file(struct arena *, const char *data, struct span given);

/* --- the commands, one file each */
int cli_init(const struct cli *);
int cli_check(const struct cli *);
int cli_status(const struct cli *);
int cli_explain(const struct cli *);
int cli_demo(const struct cli *);
int cli_backup(const struct cli *);
int cli_completion(const struct cli *);
int cli_import(const struct cli *);

/* Help for everything, or for the words given. */
int cli_help(const struct cli *, int count, char **words);
