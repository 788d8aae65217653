#include "tests/test.h"

#include "base/clock.h"
#include "base/rand.h"
#include "loop/fake/world.h"
#include "loop/pool.h"
#include "loop/stream.h"
#include "loop/tls.h"

#include <signal.h>
#include <stdlib.h>

enum { WALL = 1750000000 };

static void note_line(void *self, struct span line)
{
	assert_true(buf_put(self, line));
}

static void begin(uint64_t seed, struct buf *log)
{
	world_begin(seed, WALL * 1000ll);
	buf_init(log, 16 * 1024 * 1024);
	world_log(note_line, log);
}

static void end(struct buf *log)
{
	world_end();
	buf_free(log);
}

/* --- an echo server in one process, a talker in another */

struct speaker {
	struct loop *loop;
	struct listener *listener;
	struct stream *stream;
	struct tls *tls;
	const char *host;
	struct timer timer;
	struct buf got;
	size_t opened, ended, sends;
	enum fault fault;
	char why[100];
};

static void opened(void *self)
{
	struct speaker *s = self;

	s->opened++;
	if (s->tls && s->opened == 1 && s->host)
		stream_start_tls_client(s->stream, s->tls, span_of(s->host));
	else if (s->tls && s->opened == 1)
		stream_start_tls_server(s->stream, s->tls);
}

static size_t data(void *self, struct span bytes)
{
	struct speaker *s = self;

	buf_put(&s->got, bytes);
	if (s->listener)
		stream_write(s->stream, bytes);
	return bytes.size;
}

static void ended(void *self, enum fault fault, struct span why)
{
	struct speaker *s = self;

	s->ended++;
	s->fault = fault;
	snprintf(s->why, sizeof s->why, "%.*s", SPAN_ARGS(why));
	world_note("%s %s", fault_row(fault)->name, s->why);
	stream_close(&s->stream);
}

static const struct stream_events events = { opened, data, NULL, ended };

static void accepted(void *self, int fd, const struct address *peer)
{
	struct speaker *s = self;

	stream_close(&s->stream);
	s->opened = 0;
	s->stream = stream_adopt_take(s->loop, fd, &events, s);
}

static void speak(void *self)
{
	struct speaker *s = self;
	char bytes[3000];

	if (!s->stream || !s->sends--)
		return;
	rand_bytes(bytes, sizeof bytes);
	stream_write(s->stream, (struct span){ bytes, (size_t)rand_below(sizeof bytes) });
	timer_after(&s->timer, (int64_t)rand_below(50));
}

static void serve(struct speaker *s, const char *name)
{
	struct address at = { 0 };

	*s = (struct speaker){ .loop = world_loop(name) };
	buf_init(&s->got, 1024 * 1024);
	assert_true(address_parse(&at, SPAN("192.0.2.1"), 25));
	s->listener = listener_new(s->loop, listener_bind(&at, 10), accepted, s);
}

static void talk(struct speaker *s, const char *name, size_t sends)
{
	struct address at = { 0 };

	*s = (struct speaker){ .loop = world_loop(name), .sends = sends };
	buf_init(&s->got, 1024 * 1024);
	assert_true(address_parse(&at, SPAN("192.0.2.1"), 25));
	s->stream = stream_connect(s->loop, &at, NULL, 3000, &events, s);
	timer_init(&s->timer, s->loop, speak, s);
	timer_after(&s->timer, 100);
}

static void leave(struct speaker *s)
{
	timer_stop(&s->timer);
	stream_close(&s->stream);
	listener_free(&s->listener);
	tls_drop(&s->tls);
	buf_free(&s->got);
	loop_free(&s->loop);
}

static void converse(uint64_t seed, struct buf *log)
{
	struct speaker server, talker;

	begin(seed, log);
	serve(&server, "server");
	talk(&talker, "talker", 40);
	world_run_until(60000, NULL, NULL);
	assert_true(server.got.size > 10000);
	assert_int_equal(talker.got.size, server.got.size);
	assert_memory_equal(talker.got.at, server.got.at, server.got.size);
	leave(&talker);
	leave(&server);
	world_end();
}

static void one_seed_gives_one_log(void **state)
{
	struct buf first, again, other;

	converse(7, &first);
	converse(7, &again);
	converse(8, &other);
	assert_true(first.size > 1000);
	assert_true(span_equal(buf_span(&first), buf_span(&again)));
	assert_false(span_equal(buf_span(&first), buf_span(&other)));
	buf_free(&first);
	buf_free(&again);
	buf_free(&other);
}

static void the_dead_fall_silent_and_others_hear_of_it(void **state)
{
	struct speaker server, talker;
	struct buf log;

	begin(3, &log);
	serve(&server, "server");
	talk(&talker, "talker", 1000);
	world_run_until(500, NULL, NULL);
	world_kill(server.loop);
	stream_write(server.stream, SPAN("from beyond"));
	stream_close(&server.stream);
	listener_free(&server.listener);
	buf_free(&server.got);
	world_buried(&server.loop);
	assert_null(server.loop);
	world_run_until(60000, NULL, NULL);
	assert_int_equal(talker.ended, 1);
	assert_false(span_ends_fold(buf_span(&talker.got), SPAN("beyond")));
	leave(&talker);
	end(&log);
}

static void roads_close_fall_silent_and_are_cut(void **state)
{
	struct speaker server, talker;
	struct buf log;

	begin(3, &log);
	serve(&server, "server");
	world_road("192.0.2.1", 0, WORLD_ROAD_REFUSED);
	talk(&talker, "refused", 1);
	world_run_until(1000, NULL, NULL);
	assert_int_equal(talker.fault, FAULT_UNREACHABLE);
	leave(&talker);
	world_road("192.0.2.1", 0, WORLD_ROAD_SILENT);
	talk(&talker, "ignored", 1);
	world_run_until(3900, NULL, NULL);
	assert_int_equal(talker.ended, 0);
	world_run_until(4100, NULL, NULL);
	assert_int_equal(talker.fault, FAULT_TIMEOUT);
	leave(&talker);
	world_road("192.0.2.1", 0, WORLD_ROAD_OPEN);
	talk(&talker, "cut", 1000);
	world_run_until(6000, NULL, NULL);
	assert_true(talker.got.size > 0);
	assert_int_equal(world_cut("192.0.2.1", 25), 1);
	world_run_until(7000, NULL, NULL);
	assert_int_equal(talker.fault, FAULT_CLOSED);
	assert_string_equal(talker.why, "Connection reset by peer");
	assert_int_equal(server.fault, FAULT_CLOSED);
	leave(&talker);
	leave(&server);
	end(&log);
}

/* --- the null TLS */

static void secured(const char *names, const char *trusted, int64_t ends_at_ms, const char *host, struct speaker *client_out)
{
	struct speaker server, talker;
	char certificate[512], authority[128];
	struct tls_server_settings settings = { .key_pem = SPAN("key") };
	struct buf log;

	begin(3, &log);
	settings.certificate_pem = world_certificate(certificate, names, "twin", ends_at_ms);
	serve(&server, "server");
	talk(&talker, "talker", 0);
	assert_int_equal(tls_server_new(&server.tls, &settings, NULL), FAULT_OK);
	assert_int_equal(tls_client_new(&talker.tls, world_authority(authority, trusted), NULL), FAULT_OK);
	assert_int_equal(tls_ends_at_ms(server.tls), ends_at_ms);
	talker.host = host;
	talker.sends = 3;
	world_run_until(1000, NULL, NULL);
	if (!talker.fault) {
		assert_span(stream_tls_version(talker.stream), "TLSv1.3");
		assert_span(stream_tls_version(server.stream), "TLSv1.3");
		assert_int_equal(server.opened, 2);
		assert_true(talker.got.size > 0);
	} else {
		assert_int_equal(server.fault, FAULT_TLS_FAILED);
		assert_int_equal(server.got.size, 0);
	}
	leave(&talker);
	leave(&server);
	*client_out = talker;
	end(&log);
}

static void certificates_are_checked(void **state)
{
	int64_t later = (WALL + 1000) * 1000ll;
	struct speaker s;

	secured("smtp.example mail.example", "twin", later, "mail.example", &s);
	assert_int_equal(s.fault, FAULT_OK);
	assert_int_equal(s.opened, 2);
	secured("smtp.example", "twin", later, "mail.example", &s);
	assert_int_equal(s.fault, FAULT_TLS_UNTRUSTED);
	assert_string_equal(s.why, "hostname mismatch");
	secured("mail.example", "other", later, "mail.example", &s);
	assert_string_equal(s.why, "unable to get local issuer certificate");
	secured("mail.example", "twin", (WALL - 1) * 1000ll, "mail.example", &s);
	assert_string_equal(s.why, "certificate has expired");
}

/* What the server knows of a client's certificate by `authority`, where it trusts "owner". */
static void shown(const char *authority, int64_t ends_at_ms, bool asks, const char *wanted)
{
	char certificate[512], own[512], trusted[128], clients[128], names[64];
	struct tls_server_settings settings = { .key_pem = SPAN("key") };
	struct speaker server, talker;
	struct tls *trusting;
	struct buf log, out;

	begin(3, &log);
	settings.client_ca_pem = asks ? world_authority(clients, "owner") : SPAN("");
	serve(&server, "server");
	talk(&talker, "talker", 0);
	settings.certificate_pem = world_certificate(certificate, "mail.example", "twin", (WALL + 1000) * 1000ll);
	assert_int_equal(tls_server_new(&server.tls, &settings, NULL), FAULT_OK);
	assert_int_equal(tls_client_new(&trusting, world_authority(trusted, "twin"), NULL), FAULT_OK);
	assert_int_equal(tls_client_certified(&talker.tls, trusting, world_certificate(own, "gw.example b.example", authority, ends_at_ms), SPAN("key"), NULL),
			 FAULT_OK);
	assert_int_equal(tls_ends_at_ms(talker.tls), ends_at_ms);
	tls_drop(&trusting);
	talker.host = "mail.example";
	talker.sends = 3;
	world_run_until(1000, NULL, NULL);
	assert_int_equal(talker.fault, FAULT_OK);
	buf_over(&out, names, sizeof names);
	stream_tls_names(server.stream, &out);
	buf_put_byte(&out, 0);
	assert_string_equal(names, wanted);
	leave(&talker);
	leave(&server);
	end(&log);
}

static void clients_show_certificates(void **state)
{
	int64_t later = (WALL + 1000) * 1000ll;

	shown("owner", later, true, "gw.example b.example");
	shown("other", later, true, "");
	shown("owner", (WALL - 1) * 1000ll, true, "");
	shown("owner", later, false, "");
}

static void text_where_tls_is_due_fails(void **state)
{
	struct speaker server, talker;
	char certificate[512];
	struct tls_server_settings settings = { .key_pem = SPAN("key") };
	struct buf log;

	begin(3, &log);
	settings.certificate_pem = world_certificate(certificate, "x", "twin", 0);
	serve(&server, "server");
	assert_int_equal(tls_server_new(&server.tls, &settings, NULL), FAULT_OK);
	talk(&talker, "talker", 3);
	world_run_until(1000, NULL, NULL);
	assert_int_equal(server.fault, FAULT_TLS_FAILED);
	assert_int_equal(server.got.size, 0);
	leave(&talker);
	leave(&server);
	end(&log);
}

/* --- pools and signals */

struct task {
	char name;
	struct buf *said;
};

static void work(void *job)
{
	struct task *t = job;

	buf_print(t->said, "w%c ", t->name);
}

static void done(void *job)
{
	struct task *t = job;

	buf_print(t->said, "d%c ", t->name);
}

static void jobs_of_one_thread_keep_their_order(void **state)
{
	struct pool_settings settings = { "commit", 1, 2, false };
	struct loop *loop;
	struct pool *pool;
	struct buf log, said;
	struct task a = { 'a', &said }, b = { 'b', &said }, c = { 'c', &said }, d = { 'd', &said };

	begin(5, &log);
	buf_init(&said, 1000);
	loop = world_loop("post");
	world_pool_delay("commit", 10, 10);
	pool = pool_new(loop, &settings);
	assert_true(pool_run(pool, work, done, &a));
	assert_true(pool_run(pool, work, done, &b));
	assert_true(pool_run(pool, work, done, &c));
	assert_false(pool_run(pool, work, done, &d));
	assert_span(buf_span(&said), "");
	world_run_until(25, NULL, NULL);
	assert_span(buf_span(&said), "wa da wb db ");
	pool_free(&pool);
	assert_span(buf_span(&said), "wa da wb db wc dc ");
	assert_null(pool);
	buf_free(&said);
	loop_free(&loop);
	end(&log);
}

static void hear(void *self)
{
	++*(int *)self;
}

static void signals_and_arrangements_come_in_time(void **state)
{
	struct loop *loop;
	struct buf log;
	int heard = 0;

	begin(5, &log);
	loop = world_loop("gate");
	loop_on_signal(loop, SIGTERM, hear, &heard);
	world_signal(loop, SIGHUP);
	world_run_until(1, NULL, NULL);
	assert_int_equal(heard, 0);
	world_signal(loop, SIGTERM);
	world_run_until(1, NULL, NULL);
	assert_int_equal(heard, 1);
	world_after(500, hear, &heard);
	world_after(900, hear, &heard);
	world_run_until(600, NULL, NULL);
	assert_int_equal(heard, 2);
	assert_int_equal(clock_monotonic_ms(), 600);
	assert_int_equal(clock_wall_ms(), WALL * 1000ll + 600);
	assert_int_equal(loop_now_ms(loop), 600);
	loop_free(&loop);
	end(&log);
}

TESTS(one_seed_gives_one_log, the_dead_fall_silent_and_others_hear_of_it, roads_close_fall_silent_and_are_cut,
      certificates_are_checked, clients_show_certificates, text_where_tls_is_due_fails, jobs_of_one_thread_keep_their_order,
      signals_and_arrangements_come_in_time)
