/* cli/show.h - JSON as a person reads it: tables and records, at most 80 columns wide.
 *
 * Why       A terminal of 80 columns is what a server console has.
 * Promise   No line is wider than SHOW_COLUMNS characters; what does not fit is cut with an ellipsis in tables, wrapped in records. A link or a path may be
 *           longer: it is one word that can be copied.
 * Owns      Nothing.
 * Refuses   Control characters in values: they become `?`. */
#pragma once
#include "base/span.h"

#include <jansson.h>

enum { SHOW_COLUMNS = 80 };

/* A text that begins in column `indent`, where the cursor stands: its words go on below, in the same column. A link or a path is never broken. */
void show_wrapped(struct span text, size_t indent);

/* The objects of an array; one column for each member name of `columns` (parted by blanks; empty: those of the first object). */
void show_table(const json_t *items, const char *columns);

/* `name: value` lines; arrays and objects are indented below their name. */
void show_record(const json_t *object);
