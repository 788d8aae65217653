/* wire/import_ini.h - the sections and keys of an .ini file, as Python's configparser writes and reads them.
 *
 * Why       The files that people bring along were made by that reader, and rewritten by it.
 * Promise   Names of keys compare without case, names of sections with it; [DEFAULT] stands behind every section. Values of several lines are joined by blanks.
 * Owns      Nothing: spans point into the arena.
 * Refuses   Lines that are none, keys before the first section, more than IMPORT_INI_ROWS_MAX of both: false, and the number of the line.
 * See       Python 3, library reference, configparser (no interpolation, comments on lines of their own) */
#pragma once
#include "base/arena.h"

enum { IMPORT_INI_ROWS_MAX = 20000 };

struct import_ini_row {
	struct span section, key, value;
};

struct import_ini {
	struct arena *arena;
	size_t section_count, row_count, section_room, row_room;
	struct span *sections; /* in order; each once */
	struct import_ini_row *rows;
	unsigned line;         /* the last one looked at */
};

/* Reads all of a text. */
bool import_ini_read(struct import_ini *, struct arena *, struct span text);

/* The value of a key of a section, or of [DEFAULT]; the empty span when neither has it. */
struct span import_ini_value(const struct import_ini *, struct span section, const char *key);

/* Whether there is a section of that name. */
bool import_ini_has(const struct import_ini *, struct span section);
