/* Bodies in files of their own, on a disk that loses, fills and lies about. */
#include "queue/body.h"

#include "base/fake/fake.h"
#include "loop/fake/world.h"
#include "queue/mail.h"
#include "tests/test.h"

#include <stdlib.h>

#define PATH "/post/spool"
static const char key_bytes[SEAL_KEY_BYTES] = "a key of thirty-two bytes in all", other_key[SEAL_KEY_BYTES] = "another key of thirty-two bytes ";
#define KEY ((struct span){ key_bytes, sizeof key_bytes })

struct bench {
	struct loop *loop;
	struct disk *disk;
	struct bodies *bodies;
	bool ended, got_end;
	enum fault fault;
	uint64_t size_bytes;
	size_t written;
	struct body_reading *reading;
	struct buf read;
};

static void raise(struct bench *b)
{
	b->loop = world_loop("post");
	assert_int_equal(disk_open(&b->disk, PATH, true), FAULT_OK);
	assert_int_equal(bodies_open(&b->bodies, b->loop, b->disk), FAULT_OK);
}

static void lower(struct bench *b)
{
	world_kill(b->loop);
	bodies_close(&b->bodies);
	disk_close(&b->disk);
	world_buried(&b->loop);
}

static void begin(struct bench *b, uint64_t seed)
{
	*b = (struct bench){ 0 };
	world_begin(seed, 0);
	buf_init(&b->read, 1 << 26);
	raise(b);
}

static void end(struct bench *b)
{
	lower(b);
	buf_free(&b->read);
	world_end();
}

static void on_written(void *self, size_t bytes)
{
	((struct bench *)self)->written += bytes;
}

static void on_ended(void *self, enum fault fault, uint64_t size_bytes)
{
	struct bench *b = self;

	b->ended = true;
	b->fault = fault;
	b->size_bytes = size_bytes;
}

static const struct body_events events = { on_written, on_ended };

static void on_got(void *self, enum fault fault, struct span bytes, bool is_end)
{
	struct bench *b = self;

	b->fault = fault;
	b->got_end = is_end || fault;
	if (!fault)
		buf_put(&b->read, bytes);
	if (!b->got_end)
		body_next(b->reading);
}

/* Writes `size` bytes in pieces by the dice. */
static void write_body(struct bench *b, uint64_t id, size_t size)
{
	struct body_writing *w = bodies_write(b->bodies, id, KEY, &events, b);
	size_t put = 0;

	b->ended = false;
	while (put < size) {
		char piece[5000];
		size_t step = 1 + world_dice(sizeof piece);

		step = step < size - put ? step : size - put;
		for (size_t i = 0; i < step; i++)
			piece[i] = (char)((put + i) * 31);
		body_put(w, (struct span){ piece, step });
		put += step;
		if (!world_dice(20))
			world_run_until(world_ms() + 3, NULL, NULL);
		if (b->ended)
			return;
	}
	body_end(w);
	world_run_until(world_ms() + 1000, NULL, NULL);
	assert_true(b->ended);
}

static void read_body(struct bench *b, uint64_t id, struct span key)
{
	buf_clear(&b->read);
	b->got_end = false;
	b->reading = bodies_read(b->bodies, id, key, on_got, b);
	body_next(b->reading);
	world_run_until(world_ms() + 1000, NULL, NULL);
	body_close(&b->reading);
	world_run_until(world_ms() + 10, NULL, NULL);
	assert_true(b->got_end);
}

static void assert_body(struct bench *b, size_t size)
{
	assert_int_equal(b->fault, FAULT_OK);
	assert_int_equal(b->read.size, size);
	for (size_t i = 0; i < size; i++)
		if (b->read.at[i] != (char)(i * 31))
			fail_msg("byte %zu is another", i);
}

static void bodies_survive_power_loss(void **state)
{
	static const size_t sizes[] = { 0, 1, BODY_CHUNK_BYTES - 1, BODY_CHUNK_BYTES, BODY_CHUNK_BYTES + 1, 300000, 1000000 };
	struct bench b;

	begin(&b, 1);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		write_body(&b, i + 1, sizes[i]);
		assert_int_equal(b.fault, FAULT_OK);
		assert_int_equal(b.size_bytes, sizes[i]);
	}
	lower(&b);
	world_power_cut(PATH, WORLD_CUT_LOSE);
	raise(&b);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		read_body(&b, i + 1, KEY);
		assert_body(&b, sizes[i]);
	}
	end(&b);
}

static void what_was_altered_or_moved_is_no_body(void **state)
{
	struct bench b;
	char name[MAIL_ID_TEXT_BYTES + 1], other[MAIL_ID_TEXT_BYTES + 1];
	struct disk *bodies;

	begin(&b, 2);
	write_body(&b, 1, 200000);
	read_body(&b, 1, (struct span){ other_key, sizeof other_key });
	assert_int_equal(b.fault, FAULT_SPOOL_DAMAGED);
	read_body(&b, 9, KEY);
	assert_int_equal(b.fault, FAULT_NOT_FOUND);
	mail_id_text(name, 1);
	mail_id_text(other, 2);
	assert_int_equal(disk_sub(&bodies, b.disk, "bodies", false), FAULT_OK);
	assert_int_equal(disk_rename(bodies, name, other), FAULT_OK);
	read_body(&b, 2, KEY); /* the right bytes under another message's name */
	assert_int_equal(b.fault, FAULT_SPOOL_DAMAGED);
	assert_int_equal(disk_rename(bodies, other, name), FAULT_OK);
	assert_true(world_disk_damage(PATH "/bodies", name, 100000));
	read_body(&b, 1, KEY);
	assert_int_equal(b.fault, FAULT_SPOOL_DAMAGED);
	disk_close(&bodies);
	end(&b);
}

static void a_full_disk_costs_the_one_message(void **state)
{
	struct bench b;

	begin(&b, 3);
	write_body(&b, 1, 200000);
	world_disk_trouble(PATH, WORLD_DISK_FULL, -1);
	write_body(&b, 2, 200000);
	assert_int_equal(b.fault, FAULT_DISK_FULL);
	world_disk_trouble(PATH, WORLD_DISK_FULL, 0);
	world_run_until(world_ms() + 100, NULL, NULL);
	read_body(&b, 2, KEY); /* nothing of it is left */
	assert_int_equal(b.fault, FAULT_NOT_FOUND);
	read_body(&b, 1, KEY);
	assert_body(&b, 200000);
	end(&b);
}

static bool is_two(void *self, uint64_t id)
{
	return id == 2;
}

static void what_nobody_knows_is_swept(void **state)
{
	struct bench b;

	begin(&b, 4);
	for (uint64_t id = 1; id <= 3; id++)
		write_body(&b, id, 1000);
	{
		struct body_writing *w = bodies_write(b.bodies, 4, KEY, &events, &b);

		body_put(w, SPAN("given up"));
		body_drop(&w);
	}
	bodies_sweep(b.bodies, is_two, NULL);
	world_run_until(world_ms() + 1000, NULL, NULL);
	for (uint64_t id = 1; id <= 4; id++) {
		read_body(&b, id, KEY);
		assert_int_equal(b.fault, id == 2 ? FAULT_OK : FAULT_NOT_FOUND);
	}
	end(&b);
}

TESTS(bodies_survive_power_loss, what_was_altered_or_moved_is_no_body, a_full_disk_costs_the_one_message, what_nobody_knows_is_swept)
