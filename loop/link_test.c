/* Frames, descriptors and the table between two ends. */
#include "loop/link.h"
#include "loop/stream.h"
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

struct end {
	struct loop *loop;
	struct link *link;
	unsigned received, wrong, ended, drained, stop_at;
	bool closes_in_received, pauses_in_received, answers;
	size_t text_size;
	int fd;
};

static void on_received(void *self, struct link *l, const struct message *m)
{
	struct end *e = self;

	e->received++;
	if (m->type == MESSAGE_mail_body) {
		e->wrong += m->mail_body.serial != e->received;
		e->wrong += m->mail_body.bytes.size != e->text_size;
		for (size_t i = 0; i < m->mail_body.bytes.size; i++)
			e->wrong += m->mail_body.bytes.at[i] != (char)(e->received + i);
	}
	if (m->fd >= 0)
		e->fd = m->fd;
	if (e->answers)
		link_send(l,
			  &MESSAGE_OF(mail_taken, .session = m->mail_body.session, .bytes = m->mail_body.bytes.size));
	if (e->pauses_in_received)
		link_pause(l);
	if (e->closes_in_received)
		link_close(&e->link);
	if (e->received == e->stop_at)
		loop_stop(e->loop);
}

static void on_ended(void *self, struct link *l)
{
	struct end *e = self;

	e->ended++;
	loop_stop(e->loop);
}

static void on_drained(void *self, struct link *l)
{
	struct end *e = self;

	e->drained++;
}

static const struct link_events events = { on_received, on_ended, on_drained };

struct pair {
	struct loop *loop;
	struct end gate, post;
};

static void pair_init(struct pair *p, enum role left, enum role right)
{
	int fds[2];

	*p = (struct pair){ .loop = loop_new() };
	p->gate.loop = p->post.loop = p->loop;
	p->gate.fd = p->post.fd = -1;
	assert_int_equal(stream_pair(fds), 0);
	p->gate.link = link_new_take(p->loop, fds[0], left, right, 3, &events, &p->gate);
	p->post.link = link_new_take(p->loop, fds[1], right, left, 4, &events, &p->post);
}

static void pair_free(struct pair *p)
{
	link_close(&p->gate.link);
	link_close(&p->post.link);
	loop_free(&p->loop);
}

static void too_late(void *self)
{
	fail_msg("nothing more happened within 20 s");
}

static void run(struct pair *p)
{
	struct timer watchdog;

	timer_init(&watchdog, p->loop, too_late, NULL);
	timer_after(&watchdog, 20 * 1000);
	loop_run(p->loop);
	timer_stop(&watchdog);
}

static void stop(void *loop)
{
	loop_stop(loop);
}

static void run_for(struct pair *p, int wait_ms)
{
	struct timer end;

	timer_init(&end, p->loop, stop, p->loop);
	timer_after(&end, wait_ms);
	loop_run(p->loop);
}

static void send_body(struct link *l, unsigned serial, size_t size)
{
	char *bytes = malloc(size + 1);

	for (size_t i = 0; i < size; i++)
		bytes[i] = (char)(serial + i);
	link_send(l, &MESSAGE_OF(mail_body, .session = 7, .serial = serial, .bytes = { bytes, size }));
	free(bytes);
}

/* Sizes that fall on every side of the buffers underneath. */
static void frames_arrive_whole_and_in_order(void **state)
{
	static const size_t sizes[] = {
		0, 1, 3, 100, 4096, 65500, 65535, 65536, 70000, 300000, MESSAGE_BYTES_MAX - 100
	};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct pair p;

		pair_init(&p, ROLE_GATE, ROLE_POST);
		p.post.stop_at = 20;
		p.post.text_size = sizes[i];
		for (unsigned n = 1; n <= 20; n++)
			send_body(p.gate.link, n, sizes[i]);
		assert_int_equal(p.post.received, 0); /* never from inside */
		run(&p);
		assert_int_equal(p.post.received, 20);
		assert_int_equal(p.post.wrong, 0);
		pair_free(&p);
	}
}

static void both_ways(void **state)
{
	struct pair p;

	pair_init(&p, ROLE_GATE, ROLE_POST);
	p.post.answers = true;
	p.post.text_size = 10;
	p.gate.stop_at = 500;
	for (unsigned n = 1; n <= 500; n++)
		send_body(p.gate.link, n, 10);
	run(&p);
	assert_int_equal(p.gate.received, 500);
	assert_int_equal(link_peer(p.gate.link), ROLE_POST);
	assert_int_equal(link_index(p.gate.link), 3);
	pair_free(&p);
}

static void descriptors_come_with_their_message(void **state)
{
	struct pair p;
	int ends[2];
	char c;

	pair_init(&p, ROLE_KEEPER, ROLE_GATE);
	assert_int_equal(pipe(ends), 0);
	link_send(p.gate.link, &MESSAGE_OF(drain, .wait_ms = 5));
	link_send(p.gate.link,
		  &MESSAGE_WITH(listener, ends[1], .name = SPAN("submission"), .address = SPAN("127.0.0.1:2587")));
	link_send(p.gate.link, &MESSAGE_OF(drain, .wait_ms = 5));
	p.post.stop_at = 3;
	run(&p);
	assert_true(p.post.fd >= 0);
	assert_int_equal(write(p.post.fd, "x", 1), 1);
	close(p.post.fd);
	assert_int_equal(read(ends[0], &c, 1), 1);
	assert_int_equal(read(ends[0], &c, 1), 0);
	close(ends[0]);
	pair_free(&p);
}

static void on_opened(void *self)
{
}

static size_t on_data(void *self, struct span bytes)
{
	return bytes.size;
}

static void on_gone(void *self, enum fault fault, struct span why)
{
}

static const struct stream_events mute = { on_opened, on_data, NULL, on_gone };

/* What a captured role may try: the raw frame, past link_send(). */
static void refused(const struct message *m, enum role me, enum role peer)
{
	struct pair p = { .loop = loop_new() };
	struct stream *raw;
	struct buf frame;
	int fds[2];

	buf_init(&frame, MESSAGE_BYTES_MAX);
	assert_true(message_encode(&frame, m));
	assert_int_equal(stream_pair(fds), 0);
	p.post.loop = p.loop;
	p.post.link = link_new_take(p.loop, fds[1], me, peer, 0, &events, &p.post);
	raw = stream_adopt_take(p.loop, fds[0], &mute, NULL);
	stream_write(raw, buf_span(&frame));
	stream_write(raw, buf_span(&frame));
	run(&p);
	assert_int_equal(p.post.received, 0);
	assert_int_equal(p.post.ended, 1);
	buf_free(&frame);
	stream_close(&raw);
	link_close(&p.post.link);
	loop_free(&p.loop);
}

static void the_table_is_kept(void **state)
{
	refused(&MESSAGE_OF(mac_key, .key = SPAN("k")), ROLE_POST, ROLE_GATE);     /* only keeper says that */
	refused(&MESSAGE_OF(mac_key, .key = SPAN("k")), ROLE_GATE, ROLE_KEEPER);   /* not to gate */
	refused(&MESSAGE_OF(token_wanted, .request = 1), ROLE_VAULT, ROLE_GATE);   /* gate asks for no token */
	refused(&MESSAGE_OF(listener, .name = SPAN("x")), ROLE_GATE, ROLE_KEEPER); /* its descriptor is missing */
}

static void garbage_ends_it(void **state)
{
	static const char frames[][12] = {
		{ 0 }, { 7, 0, 0, 0, 1 }, { -1, -1, -1, -1, 1 }, { 8, 0, 0, 0, 127 }, { 12, 0, 0, 0, 6 }
	};

	for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
		struct pair p = { .loop = loop_new() };
		struct stream *raw;
		int fds[2];

		assert_int_equal(stream_pair(fds), 0);
		p.post.loop = p.loop;
		p.post.link = link_new_take(p.loop, fds[1], ROLE_GATE, ROLE_KEEPER, 0, &events, &p.post);
		raw = stream_adopt_take(p.loop, fds[0], &mute, NULL);
		stream_write(raw, (struct span){ frames[i], sizeof frames[i] });
		run(&p);
		assert_int_equal(p.post.ended, 1);
		assert_int_equal(p.post.received, 0);
		stream_close(&raw);
		link_close(&p.post.link);
		loop_free(&p.loop);
	}
}

static void full_and_drained(void **state)
{
	struct pair p;

	pair_init(&p, ROLE_GATE, ROLE_POST);
	run_for(&p, 10);
	link_pause(p.post.link);
	p.post.text_size = 1024 * 1024;
	for (unsigned n = 1; n <= 10; n++)
		send_body(p.gate.link, n, 1024 * 1024);
	assert_true(link_is_full(p.gate.link));
	run_for(&p, 20);
	assert_int_equal(p.post.received, 0);
	assert_int_equal(p.gate.drained, 0);
	p.post.stop_at = 10;
	link_resume(p.post.link);
	run(&p);
	run_for(&p, 10);
	assert_int_equal(p.gate.drained, 1);
	assert_false(link_is_full(p.gate.link));
	assert_int_equal(p.post.wrong, 0);
	pair_free(&p);
}

static void a_stuck_peer_ends_it(void **state)
{
	struct pair p;

	pair_init(&p, ROLE_GATE, ROLE_POST);
	run_for(&p, 10);
	link_pause(p.post.link);
	for (unsigned n = 1; n <= 65; n++)
		send_body(p.gate.link, n, 1024 * 1024);
	run(&p);
	assert_int_equal(p.gate.ended, 1);
	pair_free(&p);
}

static void pausing_and_closing_inside(void **state)
{
	struct pair p;

	pair_init(&p, ROLE_GATE, ROLE_POST);
	p.post.text_size = 50000;
	p.post.pauses_in_received = true;
	for (unsigned n = 1; n <= 4; n++)
		send_body(p.gate.link, n, 50000);
	for (unsigned n = 1; n <= 4; n++) {
		p.post.stop_at = n;
		run(&p);
		run_for(&p, 10);
		assert_int_equal(p.post.received, n);
		link_resume(p.post.link);
	}
	assert_int_equal(p.post.wrong, 0);
	p.post.closes_in_received = true;
	p.post.stop_at = 0;
	send_body(p.gate.link, 5, 50000);
	send_body(p.gate.link, 6, 50000);
	run(&p); /* gate hears the end */
	assert_int_equal(p.post.received, 5);
	assert_int_equal(p.post.ended, 0);
	assert_int_equal(p.gate.ended, 1);
	pair_free(&p);
}

TESTS(frames_arrive_whole_and_in_order, both_ways, descriptors_come_with_their_message, the_table_is_kept,
      garbage_ends_it, full_and_drained, a_stuck_peer_ends_it, pausing_and_closing_inside)
