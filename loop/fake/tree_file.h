/* loop/fake/tree_file.h - the blocks of one fake file.
 *
 * Why       A block that was written and not synced exists twice until the disk says it is safe.
 * Promise   Cheap where nothing is dirty: a block has one copy, zeros have none.
 * Owns      The blocks.
 * Refuses   Being included from outside loop/fake. */
#pragma once
#include "loop/fake/disk_tree.h"

/* Whether writing there needs blocks that the file does not have. */
bool tree_file_grows(const struct tree_file *, uint64_t at, size_t size);
void tree_file_write(struct tree_file *, uint64_t at, struct span bytes);
size_t tree_file_read(const struct tree_file *, uint64_t at, char *out, size_t size);
void tree_file_truncate(struct tree_file *, uint64_t size);

/* A sync that succeeded; one that failed, after which what was dirty passes for clean and is not; a power cut. */
void tree_file_settle(struct tree_file *);
void tree_file_forsake(struct tree_file *);
void tree_file_cut(struct tree_file *, enum world_cut_mode);

/* One byte becomes another, on the disk and in memory. */
void tree_file_damage(struct tree_file *, uint64_t at);
