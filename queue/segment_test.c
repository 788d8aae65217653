/* Segments on a real disk: scanned whole, cut, damaged, used again. */
#include "queue/segment.h"

#include "queue/crc.h"
#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char directory[64];
static const char key_bytes[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all", other_key[SEAL_KEY_BYTES] = "another key of thirty-two bytes ";
#define KEY ((struct span){ key_bytes, sizeof key_bytes })
enum { SIZE = 1024 * 1024 };

struct seen {
	size_t count, unopened;
	uint64_t sequences[256], places[256];
	size_t sizes[256];
};

static void see(void *self, const struct segment_found *found)
{
	struct seen *s = self;

	s->unopened += !found->opened;
	s->sequences[s->count] = found->frame->sequence;
	s->places[s->count] = found->at;
	s->sizes[s->count++] = found->payload.size;
}

static struct disk *open_disk(void)
{
	struct disk *disk;

	snprintf(directory, sizeof directory, "/tmp/postern-segment-XXXXXX");
	assert_non_null(mkdtemp(directory));
	assert_int_equal(disk_open(&disk, directory, false), FAULT_OK);
	return disk;
}

static void close_disk(struct disk **disk)
{
	char command[128];

	disk_close(disk);
	snprintf(command, sizeof command, "rm -rf %s", directory);
	assert_int_equal(system(command), 0);
}

/* One commit group; returns where the next may go. */
static uint64_t write_group(struct segment *s, uint64_t at, uint64_t first, const size_t *sizes, size_t count)
{
	struct buf out;
	static char body[100000];
	uint64_t end;

	memset(body, 'x', sizeof body);
	buf_init(&out, SIZE);
	for (size_t i = 0; i < count; i++) {
		struct record_frame frame = { .type = RECORD_NUMBER_heard, .segment = s->number, .sequence = first + i, .group = first };

		assert_true(record_frame_put(&out, secret_borrow(s->key), &frame, (struct span){ body, sizes[i] }));
	}
	end = segment_block_up(at + out.size);
	assert_int_equal(disk_write(s->file, at, buf_span(&out)), FAULT_OK);
	buf_free(&out);
	return end;
}

static uint64_t fill(struct segment *s)
{
	uint64_t at = SEGMENT_DATA_AT;

	at = write_group(s, at, 1, (size_t[]){ 100, 5000, 0 }, 3);
	at = write_group(s, at, 4, (size_t[]){ 90000 }, 1);
	return write_group(s, at, 5, (size_t[]){ 10, 20, 30, 40 }, 4);
}

static void scan_finds_all(void **state)
{
	struct disk *disk = open_disk();
	struct segment s;
	struct seen seen = { 0 };
	uint64_t end, wanted;

	assert_int_equal(segment_make(&s, disk, "segment-000001", SIZE), FAULT_OK);
	assert_int_equal(segment_begin(&s, 7, 1, KEY, SPAN("wrapped")), FAULT_OK);
	wanted = fill(&s);
	assert_int_equal(segment_scan(&s, 0, see, &seen, &end), FAULT_OK);
	assert_int_equal(seen.count, 8);
	assert_int_equal(seen.unopened, 0);
	assert_true(end == wanted);
	for (size_t i = 0; i < 8; i++)
		assert_true(seen.sequences[i] == i + 1);
	assert_int_equal(seen.sizes[3], 90000);
	segment_close(&s);
	assert_int_equal(segment_open(&s, disk, "segment-000001"), FAULT_OK);
	assert_true(s.number == 7 && s.first_sequence == 1 && s.wrapped_size == 7 && !memcmp(s.wrapped, "wrapped", 7));
	segment_close(&s);
	close_disk(&disk);
}

/* A frame that was cut is whole all the same where only zeros were cut off: zeros stood there before. */
static unsigned is_whole(const struct buf *group, size_t cut, size_t end)
{
	while (cut < end && !group->at[cut])
		cut++;
	return cut >= end;
}

/* A stop in the middle of a write leaves any beginning of it; all frames whole before the cut are read, and no other. */
static void cut_at_every_byte(void **state)
{
	struct disk *disk = open_disk();
	struct segment s;
	struct seen seen = { 0 };
	struct buf group;
	uint64_t end, at, begin;
	size_t size;

	assert_int_equal(segment_make(&s, disk, "segment-000001", SIZE), FAULT_OK);
	assert_int_equal(segment_begin(&s, 7, 1, KEY, SPAN("wrapped")), FAULT_OK);
	begin = write_group(&s, SEGMENT_DATA_AT, 1, (size_t[]){ 100 }, 1);
	at = write_group(&s, begin, 2, (size_t[]){ 120, 300, 7 }, 3);
	buf_init(&group, SIZE);
	assert_int_equal(disk_read(s.file, begin, buf_room(&group, at - begin), at - begin, &size), FAULT_OK);
	buf_grew(&group, size);
	for (size_t cut = 0; cut < 800; cut++) {
		static const char zeros[4096];
		size_t whole = 1u + is_whole(&group, cut, 200) + is_whole(&group, cut, 580) + is_whole(&group, cut, 671);

		assert_int_equal(disk_write(s.file, begin, (struct span){ zeros, 4096 }), FAULT_OK);
		assert_int_equal(disk_write(s.file, begin, span_slice(buf_span(&group), 0, cut)), FAULT_OK);
		seen.count = 0;
		assert_int_equal(segment_scan(&s, 0, see, &seen, &end), FAULT_OK);
		assert_int_equal(seen.count, whole);
	}
	buf_free(&group);
	segment_close(&s);
	close_disk(&disk);
}

/* Damage anywhere costs the frames it touches and none of the others. */
static void damage_costs_what_it_touches(void **state)
{
	struct disk *disk = open_disk();
	struct segment s;
	struct seen all = { 0 };
	uint64_t end;

	assert_int_equal(segment_make(&s, disk, "segment-000001", SIZE), FAULT_OK);
	assert_int_equal(segment_begin(&s, 7, 1, KEY, SPAN("wrapped")), FAULT_OK);
	fill(&s);
	assert_int_equal(segment_scan(&s, 0, see, &all, &end), FAULT_OK);
	for (size_t i = 0; i < all.count; i++)
		for (size_t offset = 0; offset < RECORD_OVER_BYTES; offset += 3) {
			struct seen seen = { 0 };
			char was, now;
			size_t size;

			assert_int_equal(disk_read(s.file, all.places[i] + offset, &was, 1, &size), FAULT_OK);
			now = (char)(was ^ 0x55);
			assert_int_equal(disk_write(s.file, all.places[i] + offset, (struct span){ &now, 1 }), FAULT_OK);
			assert_int_equal(segment_scan(&s, 0, see, &seen, &end), FAULT_OK);
			assert_int_equal(seen.count, all.count - 1);
			for (size_t j = 0; j < seen.count; j++)
				assert_true(seen.sequences[j] != all.sequences[i]);
			assert_int_equal(disk_write(s.file, all.places[i] + offset, (struct span){ &was, 1 }), FAULT_OK);
		}
	segment_close(&s);
	close_disk(&disk);
}

/* Of an earlier use nothing is seen, though its bytes still stand there. */
static void used_again(void **state)
{
	struct disk *disk = open_disk();
	struct segment s;
	struct seen seen = { 0 };
	uint64_t end;

	assert_int_equal(segment_make(&s, disk, "segment-000001", SIZE), FAULT_OK);
	assert_int_equal(segment_begin(&s, 7, 1, KEY, SPAN("wrapped")), FAULT_OK);
	fill(&s);
	assert_int_equal(segment_wipe(&s), FAULT_OK);
	segment_close(&s);
	assert_int_equal(segment_open(&s, disk, "segment-000001"), FAULT_OK);
	assert_true(s.number == 0);
	assert_int_equal(segment_begin(&s, 9, 100, (struct span){ other_key, sizeof other_key }, SPAN("other")), FAULT_OK);
	assert_int_equal(segment_scan(&s, 0, see, &seen, &end), FAULT_OK);
	assert_int_equal(seen.count, 0);
	assert_true(end == SEGMENT_DATA_AT);
	write_group(&s, SEGMENT_DATA_AT, 100, (size_t[]){ 50 }, 1);
	assert_int_equal(segment_scan(&s, 0, see, &seen, &end), FAULT_OK);
	assert_int_equal(seen.count, 1);
	segment_close(&s);
	close_disk(&disk);
}

/* Heads are written one after the other and say the same: losing either leaves the other. */
static void heads_in_turn(void **state)
{
	struct disk *disk = open_disk();
	struct segment s;
	char junk[SEGMENT_BLOCK_BYTES];

	memset(junk, 0xa5, sizeof junk);
	assert_int_equal(segment_make(&s, disk, "segment-000001", SIZE), FAULT_OK);
	assert_int_equal(segment_begin(&s, 7, 1, KEY, SPAN("first")), FAULT_OK);
	assert_int_equal(segment_rewrap(&s, SPAN("second")), FAULT_OK);
	segment_close(&s);
	assert_int_equal(segment_open(&s, disk, "segment-000001"), FAULT_OK);
	assert_true(s.wrapped_size == 6 && !memcmp(s.wrapped, "second", 6) && s.number == 7);
	assert_int_equal(disk_write(s.file, SEGMENT_BLOCK_BYTES, (struct span){ junk, sizeof junk }), FAULT_OK);
	segment_close(&s);
	assert_int_equal(segment_open(&s, disk, "segment-000001"), FAULT_OK);
	assert_true(s.wrapped_size == 6 && !memcmp(s.wrapped, "second", 6) && s.number == 7);
	assert_int_equal(segment_rewrap(&s, SPAN("third")), FAULT_OK); /* mends the other */
	assert_int_equal(disk_write(s.file, 0, (struct span){ junk, sizeof junk }), FAULT_OK);
	segment_close(&s);
	assert_int_equal(segment_open(&s, disk, "segment-000001"), FAULT_OK);
	assert_true(s.wrapped_size == 5 && !memcmp(s.wrapped, "third", 5) && s.number == 7);
	assert_int_equal(disk_write(s.file, SEGMENT_BLOCK_BYTES, (struct span){ junk, sizeof junk }), FAULT_OK);
	segment_close(&s);
	assert_int_equal(segment_open(&s, disk, "segment-000001"), FAULT_SPOOL_DAMAGED);
	segment_close(&s);
	close_disk(&disk);
}

/* R21: what a newer version wrote is not taken for damage. */
static void a_newer_format_is_refused(void **state)
{
	static const struct { size_t at; char value; } changes[] = { { 12, 2 }, { 7, '2' } };

	for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
		struct disk *disk = open_disk();
		char block[SEGMENT_BLOCK_BYTES], path[128];
		struct segment s;
		int fd;

		assert_int_equal(segment_make(&s, disk, "segment-1", SIZE), FAULT_OK);
		assert_int_equal(segment_begin(&s, 5, 1, KEY, SPAN("wrapped")), FAULT_OK);
		segment_close(&s);
		snprintf(path, sizeof path, "%s/segment-1", directory);
		fd = open(path, O_RDWR);
		for (off_t at = 0; at < SEGMENT_DATA_AT; at += SEGMENT_BLOCK_BYTES) {
			assert_int_equal(pread(fd, block, sizeof block, at), sizeof block);
			if (!block[0])
				continue;
			block[changes[i].at] = changes[i].value;
			record_number_write(block + 8, crc_of(0, (struct span){ block + 12, sizeof block - 12 }), 4);
			assert_int_equal(pwrite(fd, block, sizeof block, at), sizeof block);
		}
		close(fd);
		assert_int_equal(segment_open(&s, disk, "segment-1"), FAULT_SPOOL_NEWER);
		assert_int_equal(s.number, 0);
		segment_close(&s);
		close_disk(&disk);
	}
}

TESTS(a_newer_format_is_refused, scan_finds_all, cut_at_every_byte, damage_costs_what_it_touches, used_again, heads_in_turn)
