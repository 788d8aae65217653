/* loop/fake/disk_tree.h - the disks of the world: directories, names and blocks, each as it stands and as power loss would leave it.
 *
 * Why       loop/disk.h and SQLite's file system are two faces of the same files.
 * Promise   What was synced survives tree_power_cut(); of the rest, the dice or the scenario decide, sector by sector and name by name.
 * Owns      All files; one lives while it has a name, now or after a power cut, or is open.
 * Refuses   Being included from outside loop/fake. Everything is refused to the dead (see world_kill()). */
#pragma once
#include "base/fault.h"
#include "loop/fake/inside.h"

enum { TREE_BLOCK = 4096, TREE_SECTOR = 512, TREE_NAME_MAX = 128 };

struct tree_file {
	size_t holders;
	uint64_t size, safe_size;
	struct tree_block *blocks;
	size_t block_count;
	size_t dirty_first, dirty_end; /* blocks that may be dirty */
	struct vfs_locks *locks;       /* of SQLite, see sqlite_vfs.c */
};

struct tree_dir;

/* The directory of that path; with `make` it is made. NULL: there is none. */
struct tree_dir *tree_dir(const char *path, bool make);
const char *tree_dir_path(const struct tree_dir *);

/* The file of that name, or NULL; held for the caller. */
struct tree_file *tree_find(struct tree_dir *, const char *name);
/* The same, made new: the name must be free. */
struct tree_file *tree_make(struct tree_dir *, const char *name);
/* A file without a name. */
struct tree_file *tree_nameless(void);
void tree_drop(struct tree_file *);

/* False: there is no such name. What stood under the new name goes. */
bool tree_remove(struct tree_dir *, const char *name);
bool tree_rename(struct tree_dir *, const char *from, const char *to);
enum fault tree_sync_names(struct tree_dir *);
/* The name at that place in byte order, or NULL. */
const char *tree_name(const struct tree_dir *, size_t at);

/* `where` is for the troubles; NULL for a file without a name. */
enum fault tree_write(struct tree_dir *where, struct tree_file *, uint64_t at, struct span bytes);
enum fault tree_read(struct tree_dir *where, struct tree_file *, uint64_t at, char *out, size_t size, size_t *size_out);
enum fault tree_sync(struct tree_dir *where, struct tree_file *);
enum fault tree_truncate(struct tree_dir *where, struct tree_file *, uint64_t size);
uint64_t tree_free_bytes(const struct tree_dir *);

/* The lock of a directory; false when another holder has it. */
bool tree_lock(struct tree_dir *, const void *holder);
void tree_unlock(struct tree_dir *, const void *holder);
