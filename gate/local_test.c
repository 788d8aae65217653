/* Programs of this machine at a socket in the file system: who they are, and when they have heard. */
#include "gate/test_scene.h"

static struct scene *local(char path_out[64])
{
	struct scene *s;

	snprintf(path_out, 64, "/tmp/postern-gate-local-%d.sock", (int)getpid());
	unlink(path_out);
	s = scene_at(path_out, "mechanisms = {} networks_only = yes");
	s->network_granted = true;
	return s;
}

static void send_one(struct scene *s)
{
	dial(s);
	expect(s, "220 ");
	say(s, "EHLO program\r\nMAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0 Q1 accepted");
}

static void a_program_is_its_user(void **state)
{
	char path[64], wanted[64];
	struct scene *s = local(path);

	send_one(s);
	snprintf(wanted, sizeof wanted, "uid:%lu", (unsigned long)getuid());
	assert_string_equal(s->remote, wanted);
	snprintf(wanted, sizeof wanted, "Received: from program (uid:%lu)\r\n", (unsigned long)getuid());
	assert_true(span_starts(buf_span(&s->body), span_of(wanted)));
	unlink(path);
	scene_end(s);
}

/* A reply that was read is not heard yet: the program may die before it strikes its copy out. */
static void heard_is_what_goes_on(void **state)
{
	char path[64];
	struct scene *s = local(path);

	send_one(s);
	stream_close(&s->client);
	send_one(s);
	assert_string_equal(s->heard, "");
	say(s, "QUIT\r\n");
	wait_for(s, is_heard);
	assert_string_equal(s->heard, "Q1");
	unlink(path);
	scene_end(s);
}

static void a_strange_user_is_refused(void **state)
{
	char path[64];
	struct scene *s = local(path);

	s->network_granted = false;
	dial(s);
	expect(s, "550 5.7.1");
	wait_for(s, is_gone);
	unlink(path);
	scene_end(s);
}

TESTS(a_program_is_its_user, heard_is_what_goes_on, a_strange_user_is_refused)
