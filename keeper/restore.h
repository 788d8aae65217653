/* keeper/restore.h - `postern restore`: a backup becomes a data directory.
 *
 * Why       It needs the database, the keys and the spool at once, which no role has and the command line must not.
 * Promise   Either all of it is in place, durably, or nothing was changed: what is made stands aside until the whole backup was read and held. The
 *           restored queue is held until a person confirms it.
 * Owns      DATA/restoring while it works.
 * Refuses   A data directory that has a vault or a spool already, or on which a Postern runs; a backup that is damaged, cut, newer, or of another key.
 * See       queue/archive.h, queue/rebuild.h, docs/decisions/0075-backup.md */
#pragma once
#include "base/fault.h"

#include <stdbool.h>

enum { RESTORE_PATH_BYTES = 4096 };

struct restore_options {
	const char *file, *config_path;
	const char *key_path;   /* NULL: the key is where the boot file says */
	struct span passphrase; /* of that file, where it is sealed under one */
	bool is_check;          /* everything is read and judged, and nothing put in place */
};

struct restore_result {
	char about[RESTORE_PATH_BYTES], why[512]; /* of a fault: which file; and a text, which may be empty */
	char date[64];                            /* of the backup */
	char data[RESTORE_PATH_BYTES], key_path[RESTORE_PATH_BYTES];
	uint64_t messages;
};

/* Blocks until all of it is done, or FAULT_...: then nothing was changed. */
MUST_CHECK enum fault restore_backup(const struct restore_options *, struct restore_result *out);
