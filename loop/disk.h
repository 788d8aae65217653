/* loop/disk.h - files of one directory, blocking: for pool threads and for the time before a loop runs.
 *
 * Why       The spool's promises are about what the disk keeps; replay puts a disk that loses, fails and lies behind this.
 * Promise   disk_sync() returning FAULT_OK means the bytes survive power loss. A failure is never retried here.
 * Owns      A descriptor per file, and one for the directory (so that it works after confinement by path beneath it).
 * Refuses   Names with '/', except one level given by `disk_sub()`. FAULT_DISK_FULL for ENOSPC, EDQUOT, EFBIG; FAULT_DISK_FAILED for the rest;
 *           FAULT_NOT_FOUND; FAULT_SPOOL_LOCKED from disk_lock().
 * See       loop/real/disk.c, loop/fake/disk.c */
#pragma once
#include "base/fault.h"

struct disk;      /* a directory */
struct disk_file;

/* Opens (and makes, with mode 0700, when `make`) a directory. */
MUST_CHECK enum fault disk_open(struct disk **out, const char *path, bool make);
MUST_CHECK enum fault disk_sub(struct disk **out, struct disk *, const char *name, bool make);
void disk_close(struct disk **);

/* Takes an exclusive lock on the directory (a file `lock` with our process id), held until disk_close(). */
MUST_CHECK enum fault disk_lock(struct disk *);

enum disk_mode { DISK_READ, DISK_WRITE, DISK_MAKE /* must not exist */ };

/* Opens a file of the directory; only DISK_MAKE makes one, with mode 0600. FAULT_NOT_FOUND when there is none to open. */
MUST_CHECK enum fault disk_file_open(struct disk_file **out, struct disk *, const char *name, enum disk_mode);
void disk_file_close(struct disk_file **);

/* Lets writes of whole, aligned blocks of DISK_BLOCK_BYTES go past the kernel's cache, where the file system can: they are read back seldom, and the
 * copy costs more than the rest of the write. `name` is that of the file, which was opened for writing. */
enum { DISK_BLOCK_BYTES = 4096 };
void disk_file_bypass(struct disk *, struct disk_file *, const char *name);
void disk_file_end_bypass(struct disk_file *);

/* All the bytes, or a fault. Reading past the end gives `size_out` short. */
MUST_CHECK enum fault disk_write(struct disk_file *, uint64_t at, struct span bytes);
MUST_CHECK enum fault disk_write_pieces(struct disk_file *, uint64_t at, const struct span *pieces, size_t count);
MUST_CHECK enum fault disk_read(struct disk_file *, uint64_t at, char *bytes_out, size_t size, size_t *size_out);
MUST_CHECK enum fault disk_size(struct disk_file *, uint64_t *size_out);

/* Allocates and writes zeros up to `size`, then syncs. */
MUST_CHECK enum fault disk_zero(struct disk_file *, uint64_t size);
MUST_CHECK enum fault disk_sync(struct disk_file *);      /* fdatasync */
MUST_CHECK enum fault disk_sync_names(struct disk *);     /* fsync of the directory */

/* Gives a file another name, in place of what had it; or removes it. Durable once disk_sync_names() has returned. */
MUST_CHECK enum fault disk_rename(struct disk *, const char *from, const char *to);
MUST_CHECK enum fault disk_remove(struct disk *, const char *name);

/* Calls `each` for every file name, in byte order; stops when it says false. */
MUST_CHECK enum fault disk_list(struct disk *, bool (*each)(void *self, const char *name), void *self);

/* Bytes that may still be written. */
MUST_CHECK enum fault disk_free_bytes(struct disk *, uint64_t *bytes_out);

/* The name under which SQLite opens a file of this directory, and the VFS to open it with (NULL for its own); in `path_out`, of 512 bytes. */
const char *disk_sqlite_vfs(struct disk *);
void disk_sqlite_path(struct disk *, const char *name, char path_out[512]);
