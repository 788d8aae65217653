#include "loop/fake/tree_file.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

/* `now` as it is read; while `dirty`, `safe` is what the disk has. NULL is a block of zeros. */
struct tree_block {
	char *now, *safe;
	uint8_t dirty; /* a bit for each sector */
	bool given;    /* the file system has given it a place */
	bool forsaken; /* its sync failed: it is not written again by itself */
};

struct tree_file *tree_nameless(void)
{
	struct tree_file *file = calloc(1, sizeof *file);

	if (!file)
		panic("out of memory");
	file->holders = 1;
	return file;
}

void tree_drop(struct tree_file *file)
{
	if (--file->holders)
		return;
	ASSERT(!file->locks);
	for (size_t i = 0; i < file->block_count; i++) {
		free(file->blocks[i].now);
		free(file->blocks[i].safe);
	}
	free(file->blocks);
	free(file);
}

static void make_room(struct tree_file *file, size_t count)
{
	size_t room = 16;

	if (count <= file->block_count)
		return;
	while (room < count)
		room *= 2;
	file->blocks = realloc(file->blocks, room * sizeof *file->blocks);
	if (!file->blocks)
		panic("out of memory");
	memset(file->blocks + file->block_count, 0, (room - file->block_count) * sizeof *file->blocks);
	file->block_count = room;
}

bool tree_file_grows(const struct tree_file *file, uint64_t at, size_t size)
{
	for (uint64_t i = at / TREE_BLOCK; size && i <= (at + size - 1) / TREE_BLOCK; i++)
		if (i >= file->block_count || !file->blocks[i].given)
			return true;
	return false;
}

static bool is_zero(const char *bytes, size_t size)
{
	return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

static void write_block(struct tree_block *block, size_t from, const char *bytes, size_t size)
{
	if (!block->dirty) {
		block->safe = block->now;
		block->now = NULL;
		if (block->safe && size < TREE_BLOCK) {
			block->now = malloc(TREE_BLOCK);
			if (!block->now)
				panic("out of memory");
			memcpy(block->now, block->safe, TREE_BLOCK);
		}
	}
	if (!block->now && !is_zero(bytes, size))
		block->now = calloc(1, TREE_BLOCK);
	if (block->now)
		memcpy(block->now + from, bytes, size);
	for (size_t sector = from / TREE_SECTOR; sector <= (from + size - 1) / TREE_SECTOR; sector++)
		block->dirty |= (uint8_t)(1u << sector);
	block->given = true;
	block->forsaken = false;
}

static void mark_dirty(struct tree_file *file, size_t first, size_t end)
{
	if (file->dirty_first == file->dirty_end) {
		file->dirty_first = first;
		file->dirty_end = end;
		return;
	}
	file->dirty_first = first < file->dirty_first ? first : file->dirty_first;
	file->dirty_end = end > file->dirty_end ? end : file->dirty_end;
}

void tree_file_write(struct tree_file *file, uint64_t at, struct span bytes)
{
	if (!bytes.size)
		return;
	make_room(file, (size_t)((at + bytes.size - 1) / TREE_BLOCK) + 1);
	mark_dirty(file, (size_t)(at / TREE_BLOCK), (size_t)((at + bytes.size - 1) / TREE_BLOCK) + 1);
	if (at + bytes.size > file->size)
		file->size = at + bytes.size;
	while (bytes.size) {
		size_t from = (size_t)(at % TREE_BLOCK);
		size_t size = TREE_BLOCK - from < bytes.size ? TREE_BLOCK - from : bytes.size;

		write_block(&file->blocks[at / TREE_BLOCK], from, bytes.at, size);
		at += size;
		bytes = span_slice(bytes, size, bytes.size);
	}
}

size_t tree_file_read(const struct tree_file *file, uint64_t at, char *out, size_t size)
{
	size_t done = 0;

	if (at >= file->size)
		return 0;
	if (size > file->size - at)
		size = (size_t)(file->size - at);
	while (done < size) {
		size_t from = (size_t)((at + done) % TREE_BLOCK), piece = TREE_BLOCK - from;
		uint64_t block = (at + done) / TREE_BLOCK;
		const char *bytes = block < file->block_count ? file->blocks[block].now : NULL;

		piece = piece < size - done ? piece : size - done;
		if (bytes)
			memcpy(out + done, bytes + from, piece);
		else
			memset(out + done, 0, piece);
		done += piece;
	}
	return size;
}

/* What lies behind the new end reads as zeros when the file grows again. */
void tree_file_truncate(struct tree_file *file, uint64_t size)
{
	static const char zeros[TREE_BLOCK];
	uint64_t old = file->size;

	for (uint64_t at = size; at < old && at / TREE_BLOCK < file->block_count;) {
		size_t from = (size_t)(at % TREE_BLOCK);

		mark_dirty(file, (size_t)(at / TREE_BLOCK), (size_t)(at / TREE_BLOCK) + 1);
		write_block(&file->blocks[at / TREE_BLOCK], from, zeros, TREE_BLOCK - from);
		at += TREE_BLOCK - from;
	}
	file->size = size;
}

void tree_file_settle(struct tree_file *file)
{
	bool rest = false;

	for (size_t i = file->dirty_first; i < file->dirty_end; i++) {
		struct tree_block *block = &file->blocks[i];

		rest = rest || block->forsaken;
		if (!block->dirty || block->forsaken)
			continue;
		free(block->safe);
		block->safe = NULL;
		block->dirty = 0;
	}
	if (!rest)
		file->dirty_first = file->dirty_end = 0;
	file->safe_size = file->size;
}

void tree_file_forsake(struct tree_file *file)
{
	for (size_t i = file->dirty_first; i < file->dirty_end; i++)
		file->blocks[i].forsaken = file->blocks[i].dirty != 0;
}

static void cut_sector(struct tree_block *block, size_t from)
{
	if (!block->now)
		block->now = calloc(1, TREE_BLOCK);
	if (!block->now)
		panic("out of memory");
	if (block->safe)
		memcpy(block->now + from, block->safe + from, TREE_SECTOR);
	else
		memset(block->now + from, 0, TREE_SECTOR);
}

static void cut_block(struct tree_block *block, enum world_cut_mode mode)
{
	for (size_t sector = 0; sector < TREE_BLOCK / TREE_SECTOR; sector++) {
		if (!(block->dirty & (1u << sector)))
			continue;
		if (block->forsaken || mode == WORLD_CUT_LOSE || (mode == WORLD_CUT_DICE && world_dice(2)))
			cut_sector(block, sector * TREE_SECTOR);
	}
	free(block->safe);
	block->safe = NULL;
	block->dirty = 0;
	block->forsaken = false;
}

void tree_file_cut(struct tree_file *file, enum world_cut_mode mode)
{
	for (size_t i = file->dirty_first; i < file->dirty_end; i++)
		cut_block(&file->blocks[i], mode);
	file->dirty_first = file->dirty_end = 0;
	if (mode == WORLD_CUT_LOSE || (mode == WORLD_CUT_DICE && world_dice(2)))
		file->size = file->safe_size;
	file->safe_size = file->size;
}

void tree_file_damage(struct tree_file *file, uint64_t at)
{
	char byte;

	tree_file_settle(file);
	tree_file_read(file, at, &byte, 1);
	byte = (char)~byte;
	tree_file_write(file, at, (struct span){ &byte, 1 });
	tree_file_settle(file);
}
