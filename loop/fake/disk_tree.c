#include "loop/fake/disk_tree.h"

#include "base/panic.h"
#include "loop/fake/tree_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TROUBLES_MAX = 32, PATH_BYTES = 256 };

struct entry {
	char name[TREE_NAME_MAX];
	struct tree_file *file;
};

struct entries {
	struct entry *list;
	size_t count;
};

/* What was done to names since they were last synced: a file is put under a name, or (NULL) the name is freed. */
struct change {
	struct entry entry;
	bool with_next; /* half of a renaming */
};

struct tree_dir {
	char path[PATH_BYTES];
	struct entries now, safe;
	struct change *changes;
	size_t change_count;
	const void *lock_holder;
	struct tree_dir *next;
};

struct trouble {
	char path[PATH_BYTES];
	enum world_disk_trouble kind;
	int times;
};

static struct tree_dir *dirs;
static struct trouble troubles[TROUBLES_MAX];
static size_t trouble_count;
static bool ended; /* the power has begun to fail */

static void *grown(void *list, size_t count, size_t size)
{
	void *at = realloc(list, count * size);

	if (!at)
		panic("out of memory");
	return at;
}

/* --- troubles */

static bool is_below(const char *path, const char *above)
{
	size_t size = strlen(above);

	return !strncmp(path, above, size) && (!path[size] || path[size] == '/' || !size || above[size - 1] == '/');
}

void world_disk_trouble(const char *path, enum world_disk_trouble kind, int times)
{
	size_t at = 0;

	while (at < trouble_count && (troubles[at].kind != kind || strcmp(troubles[at].path, path) != 0))
		at++;
	ASSERT(at < TROUBLES_MAX);
	trouble_count = at < trouble_count ? trouble_count : at + 1;
	snprintf(troubles[at].path, sizeof troubles[at].path, "%s", path);
	troubles[at].kind = kind;
	troubles[at].times = times;
}

/* Whether this call meets that trouble; uses one of its times up. */
static bool meets(const struct tree_dir *dir, enum world_disk_trouble kind)
{
	for (size_t i = 0; dir && i < trouble_count; i++) {
		struct trouble *t = &troubles[i];

		if (t->kind != kind || !t->times || !is_below(dir->path, t->path))
			continue;
		if (t->times > 0)
			t->times--;
		return true;
	}
	return false;
}

/* The power fails before this sync: what was written stays as unsafe as it is, and nothing more comes to the disk. */
static bool ends(const struct tree_dir *dir)
{
	for (size_t i = 0; !ended && i < trouble_count; i++) {
		struct trouble *t = &troubles[i];

		if (t->kind != WORLD_DISK_ENDS || t->times <= 0 || !is_below(dir->path, t->path) || --t->times)
			continue;
		ended = true;
		world_note("the power fails before a sync in %s", dir->path);
	}
	return ended;
}

/* --- directories and names */

struct tree_dir *tree_dir(const char *path, bool make)
{
	struct tree_dir *dir = dirs;

	while (dir && strcmp(dir->path, path) != 0)
		dir = dir->next;
	if (dir || !make || world_is_ghost())
		return dir;
	dir = calloc(1, sizeof *dir);
	if (!dir)
		panic("out of memory");
	snprintf(dir->path, sizeof dir->path, "%s", path);
	dir->next = dirs;
	dirs = dir;
	return dir;
}

const char *tree_dir_path(const struct tree_dir *dir)
{
	return dir->path;
}

/* Where the name stands, or would. */
static size_t place_of(const struct entries *e, const char *name, bool *found_out)
{
	size_t at = 0;

	while (at < e->count && strcmp(e->list[at].name, name) < 0)
		at++;
	*found_out = at < e->count && !strcmp(e->list[at].name, name);
	return at;
}

/* Puts a file under a name, or frees the name; holds and drops accordingly. */
static void apply(struct entries *e, const struct entry *wanted)
{
	bool found;
	size_t at = place_of(e, wanted->name, &found);

	if (wanted->file)
		wanted->file->holders++;
	if (found)
		tree_drop(e->list[at].file);
	if (found && wanted->file) {
		e->list[at].file = wanted->file;
	} else if (found) {
		memmove(e->list + at, e->list + at + 1, (--e->count - at) * sizeof *e->list);
	} else if (wanted->file) {
		e->list = grown(e->list, e->count + 1, sizeof *e->list);
		memmove(e->list + at + 1, e->list + at, (e->count++ - at) * sizeof *e->list);
		e->list[at] = *wanted;
	}
}

static void change(struct tree_dir *dir, const char *name, struct tree_file *file, bool with_next)
{
	struct change c = { .entry.file = file, .with_next = with_next };

	snprintf(c.entry.name, sizeof c.entry.name, "%s", name);
	apply(&dir->now, &c.entry);
	if (file)
		file->holders++;
	dir->changes = grown(dir->changes, dir->change_count + 1, sizeof *dir->changes);
	dir->changes[dir->change_count++] = c;
}

struct tree_file *tree_find(struct tree_dir *dir, const char *name)
{
	bool found;
	size_t at = place_of(&dir->now, name, &found);

	if (found)
		dir->now.list[at].file->holders++;
	return found ? dir->now.list[at].file : NULL;
}

struct tree_file *tree_make(struct tree_dir *dir, const char *name)
{
	struct tree_file *file = tree_nameless();

	ASSERT(strlen(name) < TREE_NAME_MAX);
	change(dir, name, file, false);
	return file;
}

bool tree_remove(struct tree_dir *dir, const char *name)
{
	bool found;

	place_of(&dir->now, name, &found);
	if (found && !world_is_ghost())
		change(dir, name, NULL, false);
	return found && !world_is_ghost();
}

bool tree_rename(struct tree_dir *dir, const char *from, const char *to)
{
	struct tree_file *file = world_is_ghost() ? NULL : tree_find(dir, from);

	if (!file)
		return false;
	change(dir, to, file, true);
	change(dir, from, NULL, false);
	tree_drop(file);
	return true;
}

const char *tree_name(const struct tree_dir *dir, size_t at)
{
	return at < dir->now.count ? dir->now.list[at].name : NULL;
}

/* The first `count` changes reach the disk; the others are forgotten. */
static void settle_names(struct tree_dir *dir, size_t count)
{
	for (size_t i = 0; i < dir->change_count; i++) {
		if (i < count)
			apply(&dir->safe, &dir->changes[i].entry);
		if (dir->changes[i].entry.file)
			tree_drop(dir->changes[i].entry.file);
	}
	dir->change_count = 0;
}

enum fault tree_sync_names(struct tree_dir *dir)
{
	if (world_is_ghost() || ends(dir) || meets(dir, WORLD_DISK_SYNC_FAILS))
		return FAULT_DISK_FAILED;
	if (!meets(dir, WORLD_DISK_SYNC_LIES))
		settle_names(dir, dir->change_count);
	return FAULT_OK;
}

bool tree_lock(struct tree_dir *dir, const void *holder)
{
	if (dir->lock_holder && dir->lock_holder != holder)
		return false;
	dir->lock_holder = holder;
	return true;
}

void tree_unlock(struct tree_dir *dir, const void *holder)
{
	if (dir->lock_holder == holder)
		dir->lock_holder = NULL;
}

/* --- files, with their troubles */

enum fault tree_write(struct tree_dir *where, struct tree_file *file, uint64_t at, struct span bytes)
{
	if (world_is_ghost() || ended || meets(where, WORLD_DISK_WRITE_FAILS))
		return FAULT_DISK_FAILED;
	if (tree_file_grows(file, at, bytes.size) && meets(where, WORLD_DISK_FULL))
		return FAULT_DISK_FULL;
	tree_file_write(file, at, bytes);
	return FAULT_OK;
}

enum fault tree_read(struct tree_dir *where, struct tree_file *file, uint64_t at, char *out, size_t size, size_t *size_out)
{
	*size_out = 0;
	if (meets(where, WORLD_DISK_READ_FAILS))
		return FAULT_DISK_FAILED;
	*size_out = tree_file_read(file, at, out, size);
	return FAULT_OK;
}

enum fault tree_sync(struct tree_dir *where, struct tree_file *file)
{
	if (world_is_ghost() || ends(where))
		return FAULT_DISK_FAILED;
	if (meets(where, WORLD_DISK_SYNC_FAILS)) {
		tree_file_forsake(file);
		world_note("a sync in %s fails", where->path);
		return FAULT_DISK_FAILED;
	}
	if (!meets(where, WORLD_DISK_SYNC_LIES))
		tree_file_settle(file);
	return FAULT_OK;
}

enum fault tree_truncate(struct tree_dir *where, struct tree_file *file, uint64_t size)
{
	if (world_is_ghost() || ended || meets(where, WORLD_DISK_WRITE_FAILS))
		return FAULT_DISK_FAILED;
	tree_file_truncate(file, size);
	return FAULT_OK;
}

uint64_t tree_free_bytes(const struct tree_dir *dir)
{
	for (size_t i = 0; i < trouble_count; i++)
		if (troubles[i].kind == WORLD_DISK_FULL && troubles[i].times && is_below(dir->path, troubles[i].path))
			return 0;
	return (uint64_t)16 << 30;
}

/* --- power, damage, the end */

static void cut_names(struct tree_dir *dir, enum world_cut_mode mode)
{
	size_t count = mode == WORLD_CUT_LOSE ? 0 : dir->change_count;

	if (mode == WORLD_CUT_DICE)
		count = (size_t)world_dice(dir->change_count + 1);
	if (count && dir->changes[count - 1].with_next)
		count++;
	settle_names(dir, count);
	while (dir->now.count)
		tree_drop(dir->now.list[--dir->now.count].file);
	for (size_t i = 0; i < dir->safe.count; i++)
		apply(&dir->now, &dir->safe.list[i]);
}

void world_power_cut(const char *path, enum world_cut_mode mode)
{
	world_note("power is cut below %s", path);
	ended = false;
	for (struct tree_dir *dir = dirs; dir; dir = dir->next) {
		if (!is_below(dir->path, path))
			continue;
		cut_names(dir, mode);
		for (size_t i = 0; i < dir->now.count; i++)
			tree_file_cut(dir->now.list[i].file, mode);
	}
}

bool world_disk_damage(const char *path, const char *name, uint64_t at)
{
	struct tree_dir *dir = tree_dir(path, false);
	struct tree_file *file = dir ? tree_find(dir, name) : NULL;
	bool damaged = file && at < file->size;

	if (damaged)
		tree_file_damage(file, at);
	if (file)
		tree_drop(file);
	return damaged;
}

char *world_disk_bytes(const char *path, const char *name, size_t *size_out)
{
	struct tree_dir *dir = tree_dir(path, false);
	struct tree_file *file = dir ? tree_find(dir, name) : NULL;
	char *bytes = file ? grown(NULL, (size_t)file->size + 1, 1) : NULL;

	if (file) {
		*size_out = tree_file_read(file, 0, bytes, (size_t)file->size);
		tree_drop(file);
	}
	return bytes;
}

void disk_tree_end(void)
{
	while (dirs) {
		struct tree_dir *dir = dirs;

		dirs = dir->next;
		settle_names(dir, 0);
		for (size_t i = 0; i < dir->now.count; i++)
			tree_drop(dir->now.list[i].file);
		for (size_t i = 0; i < dir->safe.count; i++)
			tree_drop(dir->safe.list[i].file);
		free(dir->now.list);
		free(dir->safe.list);
		free(dir->changes);
		free(dir);
	}
	trouble_count = 0;
	ended = false;
}
