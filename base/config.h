/* base/config.h - the boot file, read.
 *
 * Why       Ports, users, paths and ceilings are needed before there is a database; one table row per key says what it is.
 * Promise   What it gives has been checked against the table: type, range, known words. Errors name file, line and key.
 * Owns      Its texts, until config_free().
 * Refuses   Unknown keys, values out of range, listeners without a certificate where TLS needs one: FAULT_MALFORMED and a text.
 * See       tables/config.def, libconfuse (not re-entrant: one thread reads) */
#pragma once
#include "base/fault.h"

enum { CONFIG_LIST_MAX = 64, CONFIG_LISTENERS_MAX = 32 };

struct config_list {
	size_t count;
	struct span items[CONFIG_LIST_MAX];
};

#define CONFIG_TYPE_TEXT struct span
#define CONFIG_TYPE_NUMBER int64_t
#define CONFIG_TYPE_BOOL bool
#define CONFIG_TYPE_LIST struct config_list

struct config_listener {
	struct span name;
#define CONFIG(...)
#define CONFIG_LISTENER(name, type, default, min, max, unit, sentence) CONFIG_TYPE_##type name;
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
};

struct config {
#define CONFIG(name, type, default, min, max, unit, sentence) CONFIG_TYPE_##type name;
#define CONFIG_LISTENER(...)
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
	size_t listener_count;
	struct config_listener listeners[CONFIG_LISTENERS_MAX];
	struct arena *arena;
};

/* Reads the text of a boot file. On FAULT_MALFORMED `why_out` (of `why_size` bytes) says "file:line: what is wrong". */
MUST_CHECK enum fault config_read(struct config **out, const char *file_name, struct span text, char *why_out, size_t why_size);
void config_free(struct config **);
