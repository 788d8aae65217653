/* How long a session may last, on virtual time: as long as it speaks. */
#include "gate/test_scene.h"
#include "loop/fake/world.h"

enum { MESSAGES = 40, PAUSE_MS = 2 * 60 * 1000, SILENCE_MS = 6 * 60 * 1000 };

static void send_one(struct scene *s)
{
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0 Q1 ");
}

static void one_that_speaks_stays(void **state)
{
	struct scene *s;

	world_begin(7, 1448798400000);
	s = scene_with("");
	log_in(s);
	for (int i = 0; i < MESSAGES; i++) {
		send_one(s);
		world_run_until(world_ms() + PAUSE_MS, NULL, NULL);
		assert_false(s->is_ended);
	}
	scene_end(s);
	world_end();
}

/* The wait for post's word is not the client's silence. */
static void one_that_was_kept_waiting_stays(void **state)
{
	struct scene *s;

	world_begin(7, 1448798400000);
	s = scene_with("");
	log_in(s);
	s->post_mute = true;
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	world_run_until(world_ms() + SILENCE_MS, NULL, NULL);
	assert_int_equal(s->ends, 1);
	s->post_mute = false;
	settle(s, s->post);
	expect(s, "250 2.0.0 Q1 ");
	world_run_until(world_ms() + PAUSE_MS, NULL, NULL);
	send_one(s);
	scene_end(s);
	world_end();
}

static void one_that_is_silent_goes(void **state)
{
	struct scene *s;

	world_begin(7, 1448798400000);
	s = scene_with("");
	log_in(s);
	send_one(s);
	world_run_until(world_ms() + SILENCE_MS, NULL, NULL);
	expect(s, "421 4.4.2 ");
	wait_for(s, is_gone);
	scene_end(s);
	world_end();
}

TESTS(one_that_speaks_stays, one_that_was_kept_waiting_stays, one_that_is_silent_goes)
