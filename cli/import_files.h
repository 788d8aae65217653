/* cli/import_files.h - the files that `postern import` is given, read.
 *
 * Why       Each program spreads its configuration over files in its own way; what comes out is one list.
 * Promise   Only the files given are read, and those that they name as their own tables and tokens. What could not be read is said.
 * Owns      Nothing: it all lives in the arena.
 * Refuses   Commands and keyrings that a file names.
 * See       wire/import.h */
#pragma once
#include "cli/cli.h"
#include "wire/import.h"

/* Reads what was found, for `from` (email-oauth2-proxy, postfix, msmtp, smtp2graph) and the files given. CLI_DONE, or a line on standard error. */
int import_files_read(const struct cli *, struct import *);
