#include "queue/limits_file.h"

#include "base/clock.h"
#include "base/panic.h"
#include "queue/crc.h"
#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

enum {
	REGION_BYTES = 16384,
	HEAD_BYTES = 64,
	PART_BYTES = 32,
	DAY_AT = HEAD_BYTES + LIMITS_FILE_MINUTE_PLACES * PART_BYTES,
};

_Static_assert(DAY_AT + LIMITS_FILE_DAY_PLACES * PART_BYTES <= REGION_BYTES, "a region holds its places");

static const char file_name[] = "limits";
static const char magic[4] = { 'P', 'L', 'i', '1' };

struct limits_file {
	struct disk_file *file;
	uint32_t count;  /* regions in the file */
	uint32_t *free;  /* those that nobody has, the next one last */
	size_t free_count, free_room;
	uint32_t boot;
};

/* --- places */

static void write_head(char at[HEAD_BYTES], const struct limits_file_head *h, uint32_t boot)
{
	memset(at, 0, HEAD_BYTES);
	memcpy(at, magic, sizeof magic);
	record_number_write(at + 8, h->mailbox, 8);
	record_number_write(at + 16, boot, 4);
	record_number_write(at + 20, h->rates.messages_per_minute, 4);
	record_number_write(at + 24, h->rates.recipients_per_day, 4);
	record_number_write(at + 28, h->rates.connections, 4);
	record_number_write(at + 32, h->messages, 4);
	record_number_write(at + 36, h->recipients, 4);
	record_number_write(at + 4, crc_of(0, (struct span){ at + 8, HEAD_BYTES - 8 }), 4);
}

static bool read_head(struct limits_file_found *out, const char *at)
{
	if (memcmp(at, magic, sizeof magic) || record_number_read(at + 4, 4) != crc_of(0, (struct span){ at + 8, HEAD_BYTES - 8 }))
		return false;
	out->head = (struct limits_file_head){
		.mailbox = record_number_read(at + 8, 8),
		.rates = { (uint32_t)record_number_read(at + 20, 4), (uint32_t)record_number_read(at + 24, 4), (uint32_t)record_number_read(at + 28, 4) },
		.messages = (uint32_t)record_number_read(at + 32, 4),
		.recipients = (uint32_t)record_number_read(at + 36, 4),
	};
	out->boot = (uint32_t)record_number_read(at + 16, 4);
	return out->head.mailbox != 0;
}

static uint32_t check_sum(uint64_t mailbox, const char *at)
{
	char owner[8];

	record_number_write(owner, mailbox, sizeof owner);
	return crc_of(crc_of(0, (struct span){ owner, sizeof owner }), (struct span){ at, PART_BYTES - 4 });
}

static void write_part(char at[PART_BYTES], uint64_t mailbox, const struct limits_file_part *p)
{
	memset(at, 0, PART_BYTES);
	record_number_write(at, (uint64_t)p->steady_ms, 8);
	record_number_write(at + 8, (uint64_t)p->wall_ms, 8);
	record_number_write(at + 16, p->count, 4);
	record_number_write(at + 20, p->boot, 4);
	record_number_write(at + PART_BYTES - 4, check_sum(mailbox, at), 4);
}

static void read_parts(struct limits_file_part *out, size_t count, uint64_t mailbox, const char *at)
{
	for (size_t i = 0; i < count; i++, at += PART_BYTES) {
		out[i] = (struct limits_file_part){ 0 };
		if (record_number_read(at + PART_BYTES - 4, 4) != check_sum(mailbox, at))
			continue;
		out[i].steady_ms = (int64_t)record_number_read(at, 8);
		out[i].wall_ms = (int64_t)record_number_read(at + 8, 8);
		out[i].count = (uint32_t)record_number_read(at + 16, 4);
		out[i].boot = (uint32_t)record_number_read(at + 20, 4);
	}
}

/* --- regions */

static void free_add(struct limits_file *f, uint32_t region)
{
	if (f->free_count == f->free_room) {
		f->free_room = f->free_room ? f->free_room * 2 : 16;
		f->free = realloc(f->free, f->free_room * sizeof *f->free);
		if (!f->free)
			panic("out of memory");
	}
	f->free[f->free_count++] = region;
}

uint32_t limits_file_take(struct limits_file *f)
{
	if (!f)
		return LIMITS_FILE_NONE;
	if (f->free_count)
		return f->free[--f->free_count];
	return f->count < LIMITS_FILE_MAX ? f->count++ : LIMITS_FILE_NONE;
}

void limits_file_give(struct limits_file *f, uint32_t region)
{
	static const char nothing[HEAD_BYTES];

	if (!f || region == LIMITS_FILE_NONE)
		return;
	if (disk_write(f->file, (uint64_t)region * REGION_BYTES, (struct span){ nothing, sizeof nothing }))
		return; /* a head that stays is that of a mailbox which has sent nothing of late */
	free_add(f, region);
}

/* --- writing */

enum fault limits_file_head(struct limits_file *f, uint32_t region, const struct limits_file_head *h)
{
	char at[HEAD_BYTES];

	if (!f || region == LIMITS_FILE_NONE)
		return FAULT_OK;
	write_head(at, h, f->boot);
	return disk_write(f->file, (uint64_t)region * REGION_BYTES, (struct span){ at, sizeof at });
}

static enum fault put_part(struct limits_file *f, uint32_t region, uint64_t mailbox, size_t offset, const struct limits_file_part *p)
{
	char at[PART_BYTES];

	if (!f || region == LIMITS_FILE_NONE)
		return FAULT_OK;
	write_part(at, mailbox, p);
	return disk_write(f->file, (uint64_t)region * REGION_BYTES + offset, (struct span){ at, sizeof at });
}

enum fault limits_file_minute(struct limits_file *f, uint32_t region, uint64_t mailbox, size_t place, const struct limits_file_part *p)
{
	ASSERT(place < LIMITS_FILE_MINUTE_PLACES);
	return put_part(f, region, mailbox, HEAD_BYTES + place * PART_BYTES, p);
}

enum fault limits_file_day(struct limits_file *f, uint32_t region, uint64_t mailbox, size_t place, const struct limits_file_part *p)
{
	ASSERT(place < LIMITS_FILE_DAY_PLACES);
	return put_part(f, region, mailbox, DAY_AT + place * PART_BYTES, p);
}

enum fault limits_file_clear(struct limits_file *f, uint32_t region)
{
	static const char nothing[REGION_BYTES];

	if (!f || region == LIMITS_FILE_NONE)
		return FAULT_OK;
	return disk_write(f->file, (uint64_t)region * REGION_BYTES, (struct span){ nothing, sizeof nothing });
}

/* --- opening */

static enum fault read_regions(struct limits_file *f, limits_file_each *each, void *self)
{
	struct limits_file_found *found = malloc(sizeof *found);
	char *bytes = malloc(REGION_BYTES);
	enum fault fault = FAULT_OK;
	uint64_t size;

	if (!found || !bytes)
		panic("out of memory");
	fault = disk_size(f->file, &size);
	f->count = fault ? 0 : (uint32_t)((size + REGION_BYTES - 1) / REGION_BYTES);
	for (uint32_t i = 0; i < f->count && !fault; i++) {
		size_t got = 0;

		fault = disk_read(f->file, (uint64_t)i * REGION_BYTES, bytes, REGION_BYTES, &got);
		if (fault)
			break;
		memset(bytes + got, 0, REGION_BYTES - got);
		found->region = i;
		if (!read_head(found, bytes)) {
			free_add(f, i);
			continue;
		}
		read_parts(found->minute, LIMITS_FILE_MINUTE_PLACES, found->head.mailbox, bytes + HEAD_BYTES);
		read_parts(found->day, LIMITS_FILE_DAY_PLACES, found->head.mailbox, bytes + DAY_AT);
		if (!each(self, found))
			limits_file_give(f, i);
	}
	free(found);
	free(bytes);
	return fault;
}

enum fault limits_file_open(struct limits_file **out, struct disk *disk, limits_file_each *each, void *self)
{
	struct limits_file *f = calloc(1, sizeof *f);
	enum fault fault;

	if (!f)
		panic("out of memory");
	*out = f;
	f->boot = clock_boot();
	fault = disk_file_open(&f->file, disk, file_name, DISK_WRITE);
	if (fault == FAULT_NOT_FOUND)
		fault = disk_file_open(&f->file, disk, file_name, DISK_MAKE);
	if (!fault)
		fault = read_regions(f, each, self);
	if (fault)
		limits_file_close(out);
	return fault;
}

void limits_file_close(struct limits_file **out)
{
	struct limits_file *f = *out;

	if (!f)
		return;
	disk_file_close(&f->file);
	free(f->free);
	free(f);
	*out = NULL;
}
