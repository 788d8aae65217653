/* base/whole_file.h - a file of an administrator's, read as a whole.
 *
 * Why       Boot files, keys and certificates are short, and half of one is worse than none.
 * Promise   All of the file is there, or false and errno says why. What was read on the way is wiped from the stack.
 * Owns      Nothing.
 * Refuses   A file over the ceiling of the buffer: EFBIG. Roles have no use for it: they open nothing outside of their place.
 * See       base/real/whole_file.c */
#pragma once
#include "base/buf.h"

/* Appends the file to `out`. On failure `out` may hold a part of it, and errno is set: of open(2), of read(2), or EFBIG. */
bool whole_file_read(const char *path, struct buf *out);
