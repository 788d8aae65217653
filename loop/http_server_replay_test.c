/* The HTTP server's waits, on virtual time. */
#include "base/fake/fake.h"
#include "loop/fake/world.h"
#include "loop/http_server.h"
#include "loop/stream.h"
#include "tests/test.h"

struct scene {
	struct loop *loop;
	struct http_server *server;
	struct stream *client;
	struct http_exchange *kept;
	struct buf got;
	int asked, gone;
	bool keeps, ended;
	int64_t ended_at_ms;
};

static void on_opened(void *self)
{
}

static size_t on_data(void *self, struct span bytes)
{
	struct scene *s = self;

	assert_true(buf_put(&s->got, bytes));
	return bytes.size;
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct scene *s = self;

	s->ended = true;
	s->ended_at_ms = world_ms();
}

static const struct stream_events events = { on_opened, on_data, NULL, on_ended };

static void on_gone(void *self)
{
	struct scene *s = self;

	s->gone++;
}

static void on_request(void *self, struct http_exchange *x)
{
	struct scene *s = self;

	s->asked++;
	s->kept = x;
	http_on_gone(x, on_gone, s);
	if (!s->keeps)
		http_answer(x, 200, SPAN("text/plain"), NULL, 0, SPAN("hello\n"));
}

static void scene_init(struct scene *s)
{
	struct address a;
	int fd;

	world_begin(7, 1448798400000);
	*s = (struct scene){ .loop = loop_new() };
	buf_init(&s->got, 65536);
	assert_true(address_parse(&a, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&a, 16);
	a = listener_address(fd);
	s->server = http_server_new(s->loop, fd, NULL, &(struct http_server_settings){ 0 }, on_request, s);
	s->client = stream_connect(s->loop, &a, NULL, 5000, &events, s);
	world_run_until(1000, NULL, NULL);
}

static void scene_free(struct scene *s)
{
	http_server_finish(&s->server);
	stream_close(&s->client);
	world_run_until(world_ms() + 60 * 1000, NULL, NULL);
	loop_free(&s->loop);
	buf_free(&s->got);
	world_end();
}

static bool said(const struct scene *s, const char *text)
{
	return span_find(buf_span(&s->got), span_of(text)) < s->got.size;
}

/* One byte each second: every byte is progress, the request is not. */
static void a_request_takes_at_most_20_s(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n";
	int64_t began;
	struct scene s;

	scene_init(&s);
	began = world_ms();
	for (size_t i = 0; i < sizeof request - 1 && !s.ended; i++) {
		stream_write(s.client, (struct span){ request + i, 1 });
		world_run_until(world_ms() + 1000, NULL, NULL);
	}
	assert_true(s.ended);
	assert_int_equal(s.asked, 0);
	assert_true(said(&s, "HTTP/1.1 408 Request Timeout\r\n"));
	assert_in_range(s.ended_at_ms - began, 20 * 1000, 20 * 1000 + 100);
	scene_free(&s);
}

/* The same for a body. */
static void a_body_counts_too(void **state)
{
	struct scene s;

	scene_init(&s);
	stream_write(s.client, SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf"));
	world_run_until(world_ms() + 19 * 1000, NULL, NULL);
	assert_false(s.ended);
	world_run_until(world_ms() + 2 * 1000, NULL, NULL);
	assert_true(s.ended);
	assert_true(said(&s, "HTTP/1.1 408 Request Timeout\r\n"));
	scene_free(&s);
}

static void the_clock_begins_anew_for_each_request(void **state)
{
	struct scene s;

	scene_init(&s);
	for (int i = 0; i < 5; i++) {
		stream_write(s.client, SPAN("GET / HTTP/1.1\r\n"));
		world_run_until(world_ms() + 15 * 1000, NULL, NULL);
		stream_write(s.client, SPAN("Host: h\r\n\r\n"));
		world_run_until(world_ms() + 15 * 1000, NULL, NULL);
		assert_int_equal(s.asked, i + 1);
	}
	assert_false(s.ended);
	world_run_until(world_ms() + 46 * 1000, NULL, NULL);
	assert_true(s.ended); /* a minute idle: closed without a word */
	assert_false(said(&s, "408"));
	assert_true(said(&s, "Date: Sun, 29 Nov 2015 12:"));
	scene_free(&s);
}

static void a_silent_client_is_let_go(void **state)
{
	struct scene s;

	scene_init(&s);
	world_run_until(61 * 1000, NULL, NULL);
	assert_true(s.ended);
	assert_int_equal(s.got.size, 0);
	scene_free(&s);
}

/* The handler's waits are its own: ours do not run while it has the request. */
static void a_slow_answer_is_waited_for(void **state)
{
	struct scene s;

	scene_init(&s);
	s.keeps = true;
	stream_write(s.client, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	world_run_until(world_ms() + 300 * 1000, NULL, NULL);
	assert_false(s.ended);
	http_answer(s.kept, 200, SPAN("text/plain"), NULL, 0, SPAN("at last\n"));
	world_run_until(world_ms() + 1000, NULL, NULL);
	assert_true(said(&s, "at last\n"));
	scene_free(&s);
}

static void the_end_does_not_wait_for_ever(void **state)
{
	struct scene s;

	scene_init(&s);
	s.keeps = true;
	stream_write(s.client, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	world_run_until(world_ms() + 1000, NULL, NULL);
	http_server_finish(&s.server);
	world_run_until(world_ms() + 9 * 1000, NULL, NULL);
	assert_false(s.ended);
	assert_int_equal(s.gone, 0);
	world_run_until(world_ms() + 2 * 1000, NULL, NULL);
	assert_true(s.ended);
	assert_int_equal(s.gone, 1);
	http_answer(s.kept, 200, SPAN("text/plain"), NULL, 0, SPAN("too late\n"));
	world_run_until(world_ms() + 1000, NULL, NULL);
	assert_int_equal(s.got.size, 0);
	scene_free(&s);
}

TESTS(a_request_takes_at_most_20_s, a_body_counts_too, the_clock_begins_anew_for_each_request,
      a_silent_client_is_let_go, a_slow_answer_is_waited_for, the_end_does_not_wait_for_ever)
