/* cli/operation.h - the commands that tables/operations.def names.
 *
 * Why       A new operation needs a row there and nothing here.
 * Promise   `postern NOUN VERB` becomes its row's request; the answer is shown as a table, a record, or JSON.
 * Owns      Nothing.
 * Refuses   What its row does not name. */
#pragma once
#include "cli/cli.h"

struct operation_row {
	const char *noun, *verb, *method, *path, *positional, *options, *summary[LANGUAGE_COUNT];
};

/* The rows in order; NULL past the end. */
const struct operation_row *operation_row(size_t at);

/* The row of two words, or NULL. */
const struct operation_row *operation_find(struct span noun, struct span verb);

/* Whether any row has this noun. */
bool operation_has_noun(struct span noun);

/* Carries it out; `cli` was parsed against its row. */
int operation_run(const struct operation_row *, const struct cli *);
