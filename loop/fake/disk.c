#include "loop/disk.h"

#include "base/panic.h"
#include "loop/fake/disk_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct disk {
	struct tree_dir *dir;
	bool is_locked;
};

struct disk_file {
	struct tree_dir *dir;
	struct tree_file *file;
	bool may_write;
};

static bool is_name(const char *name)
{
	return name[0] && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..") && strlen(name) < TREE_NAME_MAX;
}

enum fault disk_open(struct disk **out, const char *path, bool make)
{
	struct tree_dir *dir = tree_dir(path, make);

	*out = NULL;
	if (!dir)
		return FAULT_NOT_FOUND;
	*out = calloc(1, sizeof **out);
	if (!*out)
		panic("out of memory");
	(*out)->dir = dir;
	return FAULT_OK;
}

enum fault disk_sub(struct disk **out, struct disk *disk, const char *name, bool make)
{
	char path[512];

	*out = NULL;
	if (!is_name(name))
		return FAULT_DISK_FAILED;
	snprintf(path, sizeof path, "%s/%s", tree_dir_path(disk->dir), name);
	return disk_open(out, path, make);
}

void disk_close(struct disk **disk)
{
	if (*disk)
		tree_unlock((*disk)->dir, *disk);
	free(*disk);
	*disk = NULL;
}

enum fault disk_lock(struct disk *disk)
{
	struct tree_file *file;

	if (world_is_ghost())
		return FAULT_DISK_FAILED;
	if (!tree_lock(disk->dir, disk))
		return FAULT_SPOOL_LOCKED;
	file = tree_find(disk->dir, "lock");
	if (!file)
		file = tree_make(disk->dir, "lock");
	tree_drop(file);
	return FAULT_OK;
}

enum fault disk_file_open(struct disk_file **out, struct disk *disk, const char *name, enum disk_mode mode)
{
	struct tree_file *file;

	*out = NULL;
	if (!is_name(name))
		return FAULT_DISK_FAILED;
	file = tree_find(disk->dir, name);
	if (mode == DISK_MAKE && (file || world_is_ghost())) {
		if (file)
			tree_drop(file);
		return FAULT_DISK_FAILED;
	}
	if (mode == DISK_MAKE)
		file = tree_make(disk->dir, name);
	if (!file)
		return FAULT_NOT_FOUND;
	*out = malloc(sizeof **out);
	if (!*out)
		panic("out of memory");
	**out = (struct disk_file){ disk->dir, file, mode != DISK_READ };
	return FAULT_OK;
}

void disk_file_bypass(struct disk *disk, struct disk_file *f, const char *name)
{
}

void disk_file_end_bypass(struct disk_file *f)
{
}

void disk_file_close(struct disk_file **file)
{
	if (*file)
		tree_drop((*file)->file);
	free(*file);
	*file = NULL;
}

enum fault disk_write(struct disk_file *f, uint64_t at, struct span bytes)
{
	ASSERT(f->may_write);
	return tree_write(f->dir, f->file, at, bytes);
}

enum fault disk_write_pieces(struct disk_file *f, uint64_t at, const struct span *pieces, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum fault fault = disk_write(f, at, pieces[i]);

		if (fault)
			return fault;
		at += pieces[i].size;
	}
	return FAULT_OK;
}

enum fault disk_read(struct disk_file *f, uint64_t at, char *bytes_out, size_t size, size_t *size_out)
{
	return tree_read(f->dir, f->file, at, bytes_out, size, size_out);
}

enum fault disk_size(struct disk_file *f, uint64_t *size_out)
{
	*size_out = f->file->size;
	return FAULT_OK;
}

enum fault disk_zero(struct disk_file *f, uint64_t size)
{
	static const char zeros[64 * 1024];

	for (uint64_t at = 0; at < size; at += sizeof zeros) {
		size_t piece = size - at < sizeof zeros ? (size_t)(size - at) : sizeof zeros;
		enum fault fault = disk_write(f, at, (struct span){ zeros, piece });

		if (fault)
			return fault;
	}
	return disk_sync(f);
}

enum fault disk_sync(struct disk_file *f)
{
	return tree_sync(f->dir, f->file);
}

enum fault disk_sync_names(struct disk *disk)
{
	return tree_sync_names(disk->dir);
}

enum fault disk_rename(struct disk *disk, const char *from, const char *to)
{
	if (!is_name(from) || !is_name(to))
		return FAULT_DISK_FAILED;
	if (tree_rename(disk->dir, from, to))
		return FAULT_OK;
	return world_is_ghost() ? FAULT_DISK_FAILED : FAULT_NOT_FOUND;
}

enum fault disk_remove(struct disk *disk, const char *name)
{
	if (!is_name(name))
		return FAULT_DISK_FAILED;
	if (tree_remove(disk->dir, name))
		return FAULT_OK;
	return world_is_ghost() ? FAULT_DISK_FAILED : FAULT_NOT_FOUND;
}

enum fault disk_list(struct disk *disk, bool (*each)(void *self, const char *name), void *self)
{
	char (*names)[TREE_NAME_MAX];
	size_t count = 0;

	while (tree_name(disk->dir, count))
		count++;
	names = calloc(count + 1, sizeof *names);
	if (!names)
		panic("out of memory");
	for (size_t i = 0; i < count; i++)
		snprintf(names[i], sizeof names[i], "%s", tree_name(disk->dir, i));
	for (size_t i = 0; i < count && each(self, names[i]); i++)
		;
	free(names);
	return FAULT_OK;
}

enum fault disk_free_bytes(struct disk *disk, uint64_t *bytes_out)
{
	*bytes_out = tree_free_bytes(disk->dir);
	return FAULT_OK;
}

const char *disk_sqlite_vfs(struct disk *disk)
{
	return "fake";
}

void disk_sqlite_path(struct disk *disk, const char *name, char path_out[512])
{
	ASSERT(is_name(name));
	snprintf(path_out, 512, "%s/%s", tree_dir_path(disk->dir), name);
}
