#include "loop/fake/disk_tree.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/rand.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHM_REGIONS_MAX = 256 };

/* What the connections to one database hold: SQLite's five lock levels, and the shared memory of its WAL index. */
struct vfs_locks {
	size_t opens, shared;
	const void *reserved, *pending, *exclusive;
	size_t shm_users, region_count;
	char *regions[SHM_REGIONS_MAX];
	size_t shm_shared[SQLITE_SHM_NLOCK];
	const void *shm_exclusive[SQLITE_SHM_NLOCK];
};

struct open_file {
	sqlite3_file base;
	struct tree_dir *dir;
	struct tree_file *file;
	int level;
	bool names_due, removed_at_close, uses_shm;
	unsigned shm_shared, shm_exclusive;
	char name[TREE_NAME_MAX];
};

static struct open_file *of(sqlite3_file *file)
{
	return (struct open_file *)file;
}

static void release_shm(struct open_file *f);
static int unlock(sqlite3_file *file, int level);

static int close_file(sqlite3_file *file)
{
	struct open_file *f = of(file);
	struct vfs_locks *locks = f->file->locks;

	release_shm(f);
	unlock(file, SQLITE_LOCK_NONE);
	if (--locks->opens == 0) {
		free(locks);
		f->file->locks = NULL;
	}
	if (f->removed_at_close && f->dir)
		tree_remove(f->dir, f->name);
	tree_drop(f->file);
	return SQLITE_OK;
}

static int read_file(sqlite3_file *file, void *out, int size, sqlite3_int64 at)
{
	struct open_file *f = of(file);
	size_t got;

	if (tree_read(f->dir, f->file, (uint64_t)at, out, (size_t)size, &got))
		return SQLITE_IOERR_READ;
	if (got == (size_t)size)
		return SQLITE_OK;
	memset((char *)out + got, 0, (size_t)size - got);
	return SQLITE_IOERR_SHORT_READ;
}

static int write_file(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at)
{
	struct open_file *f = of(file);
	enum fault fault = tree_write(f->dir, f->file, (uint64_t)at, (struct span){ bytes, (size_t)size });

	return !fault ? SQLITE_OK : fault == FAULT_DISK_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

static int truncate_file(sqlite3_file *file, sqlite3_int64 size)
{
	return tree_truncate(of(file)->dir, of(file)->file, (uint64_t)size) ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

/* As SQLite's own does, the first sync of a new journal or log also syncs its name. */
static int sync_file(sqlite3_file *file, int flags)
{
	struct open_file *f = of(file);

	if (tree_sync(f->dir, f->file))
		return SQLITE_IOERR_FSYNC;
	if (f->names_due && tree_sync_names(f->dir))
		return SQLITE_IOERR_DIR_FSYNC;
	f->names_due = false;
	return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size_out)
{
	*size_out = (sqlite3_int64)of(file)->file->size;
	return SQLITE_OK;
}

/* --- the lock levels */

static bool other_has(const void *holder, const void *self)
{
	return holder && holder != self;
}

static int lock(sqlite3_file *file, int level)
{
	struct open_file *f = of(file);
	struct vfs_locks *l = f->file->locks;

	if (f->level >= level)
		return SQLITE_OK;
	if (level == SQLITE_LOCK_SHARED) {
		if (other_has(l->pending, f) || other_has(l->exclusive, f))
			return SQLITE_BUSY;
		l->shared++;
	} else {
		if (other_has(l->reserved, f) || other_has(l->pending, f))
			return SQLITE_BUSY;
		if (level == SQLITE_LOCK_RESERVED) {
			l->reserved = f;
		} else {
			l->pending = f;
			if (l->shared > 1) {
				f->level = SQLITE_LOCK_PENDING;
				return SQLITE_BUSY;
			}
			l->exclusive = f;
		}
	}
	f->level = level;
	return SQLITE_OK;
}

static int unlock(sqlite3_file *file, int level)
{
	struct open_file *f = of(file);
	struct vfs_locks *l = f->file->locks;

	if (f->level <= level)
		return SQLITE_OK;
	if (l->reserved == f)
		l->reserved = NULL;
	if (l->pending == f)
		l->pending = NULL;
	if (l->exclusive == f)
		l->exclusive = NULL;
	if (level == SQLITE_LOCK_NONE)
		l->shared--;
	f->level = level;
	return SQLITE_OK;
}

static int check_reserved(sqlite3_file *file, int *is_out)
{
	struct vfs_locks *l = of(file)->file->locks;

	*is_out = l->reserved || l->pending || l->exclusive;
	return SQLITE_OK;
}

/* --- shared memory of the WAL index */

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	struct open_file *f = of(file);
	struct vfs_locks *l = f->file->locks;

	if (!f->uses_shm)
		l->shm_users++;
	f->uses_shm = true;
	*out = NULL;
	if ((size_t)region >= l->region_count && !extend)
		return SQLITE_OK;
	if (region >= SHM_REGIONS_MAX)
		return SQLITE_IOERR_SHMMAP;
	while (l->region_count <= (size_t)region) {
		l->regions[l->region_count] = calloc(1, (size_t)size);
		if (!l->regions[l->region_count++])
			panic("out of memory");
	}
	*out = l->regions[region];
	return SQLITE_OK;
}

static void shm_unlock(struct open_file *f, int slot)
{
	struct vfs_locks *l = f->file->locks;

	if (f->shm_shared & (1u << slot))
		l->shm_shared[slot]--;
	if (l->shm_exclusive[slot] == f)
		l->shm_exclusive[slot] = NULL;
	f->shm_shared &= ~(1u << slot);
	f->shm_exclusive &= ~(1u << slot);
}

static bool shm_may_lock(const struct open_file *f, int slot, bool exclusive)
{
	const struct vfs_locks *l = f->file->locks;
	size_t mine = f->shm_shared & (1u << slot) ? 1 : 0;

	return !other_has(l->shm_exclusive[slot], f) && (!exclusive || l->shm_shared[slot] == mine);
}

static int shm_lock(sqlite3_file *file, int first, int count, int flags)
{
	struct open_file *f = of(file);
	struct vfs_locks *l = f->file->locks;
	bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;

	for (int slot = first; slot < first + count; slot++) {
		if (flags & SQLITE_SHM_UNLOCK)
			shm_unlock(f, slot);
		else if (!shm_may_lock(f, slot, exclusive))
			return SQLITE_BUSY;
	}
	for (int slot = first; !(flags & SQLITE_SHM_UNLOCK) && slot < first + count; slot++) {
		if (exclusive) {
			l->shm_exclusive[slot] = f;
			f->shm_exclusive |= 1u << slot;
		} else if (!(f->shm_shared & (1u << slot))) {
			l->shm_shared[slot]++;
			f->shm_shared |= 1u << slot;
		}
	}
	return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *file)
{
}

/* The memory goes with its last user, as it would at the next start of the real one. */
static void release_shm(struct open_file *f)
{
	struct vfs_locks *l = f->file->locks;

	if (!f->uses_shm)
		return;
	for (int slot = 0; slot < SQLITE_SHM_NLOCK; slot++)
		shm_unlock(f, slot);
	f->uses_shm = false;
	if (--l->shm_users)
		return;
	while (l->region_count)
		free(l->regions[--l->region_count]);
}

static int shm_unmap(sqlite3_file *file, int remove)
{
	release_shm(of(file));
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int what, void *argument)
{
	if (what != SQLITE_FCNTL_HAS_MOVED)
		return SQLITE_NOTFOUND;
	*(int *)argument = 0;
	return SQLITE_OK;
}

static int sector_size(sqlite3_file *file)
{
	return TREE_BLOCK;
}

static int characteristics(sqlite3_file *file)
{
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, .xClose = close_file, .xRead = read_file, .xWrite = write_file, .xTruncate = truncate_file,
	.xSync = sync_file, .xFileSize = file_size, .xLock = lock, .xUnlock = unlock, .xCheckReservedLock = check_reserved,
	.xFileControl = file_control, .xSectorSize = sector_size, .xDeviceCharacteristics = characteristics,
	.xShmMap = shm_map, .xShmLock = shm_lock, .xShmBarrier = shm_barrier, .xShmUnmap = shm_unmap,
};

/* --- the file system */

/* Splits a path into its directory and the name below it. */
static struct tree_dir *directory_of(const char *path, const char **name_out)
{
	char above[512];
	const char *slash = strrchr(path, '/');

	if (!slash || (size_t)(slash - path) >= sizeof above)
		return NULL;
	memcpy(above, path, (size_t)(slash - path));
	above[slash - path] = 0;
	*name_out = slash + 1;
	return tree_dir(above, false);
}

static struct tree_file *find_or_make(struct open_file *f, int flags)
{
	struct tree_file *file = tree_find(f->dir, f->name);

	if (file || !(flags & SQLITE_OPEN_CREATE) || world_is_ghost())
		return file;
	f->names_due = flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL);
	return tree_make(f->dir, f->name);
}

static int open_file(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *flags_out)
{
	struct open_file *f = of(file);
	const char *name = "";

	*f = (struct open_file){ .removed_at_close = flags & SQLITE_OPEN_DELETEONCLOSE };
	if (path) {
		f->dir = directory_of(path, &name);
		snprintf(f->name, sizeof f->name, "%s", name);
		f->file = f->dir && strlen(name) < TREE_NAME_MAX ? find_or_make(f, flags) : NULL;
	} else {
		f->file = tree_nameless();
	}
	if (!f->file)
		return SQLITE_CANTOPEN;
	if (!f->file->locks)
		f->file->locks = calloc(1, sizeof *f->file->locks);
	if (!f->file->locks)
		panic("out of memory");
	f->file->locks->opens++;
	f->base.pMethods = &methods;
	if (flags_out)
		*flags_out = flags;
	return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *vfs, const char *path, int sync_names)
{
	const char *name;
	struct tree_dir *dir = directory_of(path, &name);

	if (world_is_ghost())
		return SQLITE_IOERR_DELETE;
	if (!dir || !tree_remove(dir, name))
		return SQLITE_IOERR_DELETE_NOENT;
	return sync_names && tree_sync_names(dir) ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int access_file(sqlite3_vfs *vfs, const char *path, int flags, int *is_out)
{
	const char *name;
	struct tree_dir *dir = directory_of(path, &name);
	struct tree_file *file = dir ? tree_find(dir, name) : NULL;

	*is_out = file && (flags != SQLITE_ACCESS_EXISTS || file->size);
	if (file)
		tree_drop(file);
	return SQLITE_OK;
}

static int full_path(sqlite3_vfs *vfs, const char *path, int size, char *out)
{
	sqlite3_snprintf(size, out, "%s", path);
	return SQLITE_OK;
}

static int randomness(sqlite3_vfs *vfs, int size, char *out)
{
	rand_bytes(out, (size_t)size);
	return size;
}

/* Nobody else can run meanwhile, so there is nothing to wait for. */
static int sleep_us(sqlite3_vfs *vfs, int us)
{
	return us;
}

static int time_julian_ms(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
	*out = 210866760000000 + clock_wall_ms();
	return SQLITE_OK;
}

static int time_julian(sqlite3_vfs *vfs, double *out)
{
	*out = (double)(210866760000000 + clock_wall_ms()) / 86400000.0;
	return SQLITE_OK;
}

static int last_error(sqlite3_vfs *vfs, int size, char *out)
{
	return 0;
}

void sqlite_vfs_begin(void)
{
	static sqlite3_vfs vfs = {
		.iVersion = 2, .szOsFile = sizeof(struct open_file), .mxPathname = 511, .zName = "fake", .xOpen = open_file,
		.xDelete = delete_file, .xAccess = access_file, .xFullPathname = full_path, .xRandomness = randomness,
		.xSleep = sleep_us, .xCurrentTime = time_julian, .xGetLastError = last_error,
		.xCurrentTimeInt64 = time_julian_ms,
	};

	if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
		panic("SQLite does not take the fake file system");
	sqlite3_randomness(0, NULL);
}
