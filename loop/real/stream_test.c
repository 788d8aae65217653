/* Two ends of a connection on the real side. */
#include "loop/real/test_end.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void greet(struct test_end *e)
{
	stream_write(e->stream, SPAN("hello "));
	stream_write(e->stream, SPAN("there\r\n"));
}

static void echo_on(const char *address)
{
	struct loop *loop = loop_new();
	struct test_host host;
	struct test_end client;

	test_host_open(&host, loop, address);
	host.end.echoes = true;
	test_end_init(&client, loop);
	client.on_opened = greet;
	client.stop_at = 13;
	client.stream = stream_connect(loop, &host.at, NULL, 5000, &test_end_events, &client);
	assert_string_equal(client.log, "");
	test_run(loop);
	assert_span(buf_span(&client.got), "hello there\r\n");
	assert_string_equal(client.log, "opened data ");
	assert_string_equal(host.end.log, "opened data "); /* both writes in one segment */
	assert_true(stream_is_heard(client.stream));
	assert_int_equal(stream_peer(client.stream).port, host.at.port);
	test_end_close(&client);
	test_host_close(&host);
	loop_free(&loop);
}

static void echo_over_every_family(void **state)
{
	char path[64];
	struct stat found;

	snprintf(path, sizeof path, "/tmp/stream_test.%d", (int)getpid());
	echo_on("127.0.0.1");
	echo_on("::1");
	echo_on(path);
	assert_int_equal(stat(path, &found), 0);
	assert_int_equal(found.st_mode & 0777, 0660);
	echo_on(path); /* over the socket that was left behind */
	unlink(path);
}

static void peer_and_credentials(void **state)
{
	struct loop *loop = loop_new();
	struct stream_credentials who;
	struct address balanced;
	struct test_host host;
	struct test_end client, left, right;
	int fds[2];

	test_host_open(&host, loop, "127.0.0.1");
	test_end_init(&client, loop);
	host.end.stops_when_opened = true;
	client.stream = stream_connect(loop, &host.at, NULL, 5000, &test_end_events, &client);
	test_run(loop);
	assert_int_equal(stream_peer(host.end.stream).family, ADDRESS_IPV4);
	assert_false(stream_credentials(host.end.stream, &who));
	assert_true(address_parse(&balanced, SPAN("198.51.100.7"), 4321));
	stream_set_peer(host.end.stream, &balanced);
	balanced = stream_peer(host.end.stream);
	assert_int_equal(balanced.port, 4321);
	assert_int_equal(stream_pair(fds), 0);
	test_end_adopt(&left, loop, fds[0]);
	test_end_adopt(&right, loop, fds[1]);
	assert_true(stream_credentials(left.stream, &who));
	assert_int_equal(who.uid, getuid());
	assert_int_equal(who.pid, getpid());
	assert_int_equal(stream_tls_version(left.stream).size, 0);
	test_end_close(&left);
	test_end_close(&right);
	test_end_close(&client);
	test_host_close(&host);
	loop_free(&loop);
}

static void open_pair(struct loop *loop, struct test_end *left, struct test_end *right)
{
	int fds[2];

	assert_int_equal(stream_pair(fds), 0);
	test_end_adopt(left, loop, fds[0]);
	test_end_adopt(right, loop, fds[1]);
}

static void close_pair(struct loop *loop, struct test_end *left, struct test_end *right)
{
	test_end_close(left);
	test_end_close(right);
	loop_free(&loop);
}

/* What is not taken is kept, offered again with more, and after a resume; the end waits for it. */
static void unread_is_kept(void **state)
{
	struct loop *loop = loop_new();
	struct test_end left, right;

	open_pair(loop, &left, &right);
	right.takes_nothing = true;
	stream_write(left.stream, SPAN("abc"));
	test_run_for(loop, 20);
	assert_int_equal(stream_unread(right.stream), 3);
	stream_write(left.stream, SPAN("def"));
	test_run_for(loop, 20);
	assert_int_equal(stream_unread(right.stream), 6);
	right.takes_nothing = false;
	right.take_max = 4;
	stream_finish(&left.stream);
	test_run_for(loop, 20);
	assert_string_equal(right.log, "opened data data ");
	stream_resume(right.stream);
	test_run_for(loop, 20);
	assert_span(buf_span(&right.got), "abcd");
	stream_resume(right.stream);
	right.stops_when_ended = true;
	test_run(loop);
	assert_span(buf_span(&right.got), "abcdef");
	assert_string_equal(right.log, "opened data data data data ended CLOSED ");
	assert_string_equal(right.why, "");
	close_pair(loop, &left, &right);
}

static void reading_stops_at_the_ceiling(void **state)
{
	static char much[STREAM_UNREAD_BYTES * 4];
	struct loop *loop = loop_new();
	struct test_end left, right;

	memset(much, 'x', sizeof much);
	open_pair(loop, &left, &right);
	right.takes_nothing = true;
	stream_write(left.stream, (struct span){ much, sizeof much });
	test_run_for(loop, 50);
	assert_int_equal(stream_unread(right.stream), STREAM_UNREAD_BYTES);
	right.takes_nothing = false;
	right.stop_at = sizeof much;
	stream_resume(right.stream);
	test_run(loop);
	assert_int_equal(right.got.size, sizeof much);
	close_pair(loop, &left, &right);
}

static void a_pause_holds_data_back(void **state)
{
	struct loop *loop = loop_new();
	struct test_end left, right;

	open_pair(loop, &left, &right);
	test_run_for(loop, 10);
	stream_pause(right.stream);
	stream_write(left.stream, SPAN("abc"));
	test_run_for(loop, 20);
	assert_string_equal(right.log, "opened ");
	right.stop_at = 3;
	stream_resume(right.stream);
	test_run(loop);
	assert_string_equal(right.log, "opened data ");
	close_pair(loop, &left, &right);
}

static void shut_half(struct test_end *e)
{
	greet(e);
}

/* `printf '...' | nc`: the client closes its half and still gets its reply. */
static void a_half_closed_client_is_answered(void **state)
{
	struct loop *loop = loop_new();
	struct test_end server;
	char reply[64];
	int fds[2];

	assert_int_equal(stream_pair(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, 0), 0);
	assert_int_equal(write(fds[1], "QUIT\r\n", 6), 6);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	test_end_adopt(&server, loop, fds[0]);
	server.on_ended = shut_half;
	server.stops_when_ended = true;
	test_run(loop);
	assert_string_equal(server.log, "opened data ended CLOSED ");
	stream_finish(&server.stream);
	test_run_for(loop, 20);
	assert_int_equal(read(fds[1], reply, sizeof reply), 13);
	assert_int_equal(read(fds[1], reply, sizeof reply), 0);
	close(fds[1]);
	test_end_close(&server);
	loop_free(&loop);
}

static void back_pressure_and_drained(void **state)
{
	static char much[1024 * 1024];
	struct loop *loop = loop_new();
	struct test_end left, right;

	open_pair(loop, &left, &right);
	test_run_for(loop, 10);
	stream_pause(right.stream);
	stream_write(left.stream, (struct span){ much, sizeof much });
	test_run_for(loop, 20);
	assert_true(stream_unsent(left.stream) > STREAM_DRAIN_BYTES);
	assert_false(stream_is_heard(left.stream));
	assert_int_equal(left.drained, 0);
	right.stop_at = sizeof much;
	stream_resume(right.stream);
	test_run(loop);
	assert_int_equal(left.drained, 1);
	test_run_for(loop, 10);
	assert_int_equal(stream_unsent(left.stream), 0);
	assert_true(stream_is_heard(left.stream));
	close_pair(loop, &left, &right);
}

static void too_much_unsent_ends_it(void **state)
{
	static char much[STREAM_UNSENT_BYTES];
	struct loop *loop = loop_new();
	struct test_end left, right;

	open_pair(loop, &left, &right);
	left.stops_when_ended = true;
	stream_write(left.stream, (struct span){ much, sizeof much });
	stream_write(left.stream, SPAN("x"));
	test_run(loop);
	assert_int_equal(left.fault, FAULT_NO_MEMORY);
	assert_int_equal(right.got.size, 0);
	close_pair(loop, &left, &right);
}

static void nobody_listens(void **state)
{
	struct loop *loop = loop_new();
	struct test_end client;
	struct address at;
	int refusing = test_refusing_port("127.0.0.1", 0, &at);

	assert_true(refusing >= 0);
	test_end_init(&client, loop);
	client.stops_when_ended = true;
	client.stream = stream_connect(loop, &at, NULL, 5000, &test_end_events, &client);
	test_run(loop);
	assert_string_equal(client.log, "ended UNREACHABLE ");
	assert_string_equal(client.why, "Connection refused");
	close(refusing);
	test_end_close(&client);
	loop_free(&loop);
}

/* A listener whose queue is full drops SYNs: connecting takes until the deadline. */
static void connecting_has_a_deadline(void **state)
{
	struct loop *loop = loop_new();
	struct test_end fillers[8], client;
	struct address a;
	int fd;

	assert_true(address_parse(&a, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&a, 0);
	a = listener_address(fd);
	for (int i = 0; i < 8; i++) {
		test_end_init(&fillers[i], loop);
		fillers[i].stream = stream_connect(loop, &a, NULL, 5000, &test_end_events, &fillers[i]);
	}
	test_run_for(loop, 50);
	test_end_init(&client, loop);
	client.stops_when_ended = true;
	client.stream = stream_connect(loop, &a, NULL, 100, &test_end_events, &client);
	test_run(loop);
	assert_string_equal(client.log, "ended TIMEOUT ");
	for (int i = 0; i < 8; i++)
		test_end_close(&fillers[i]);
	test_end_close(&client);
	close(fd);
	loop_free(&loop);
}

static void connects_from_a_source(void **state)
{
	struct loop *loop = loop_new();
	struct address source, peer;
	struct test_end client;
	struct test_host host;

	assert_true(address_parse(&source, SPAN("127.0.0.9"), 0));
	test_host_open(&host, loop, "127.0.0.1");
	host.end.stops_when_opened = true;
	test_end_init(&client, loop);
	client.stream = stream_connect(loop, &host.at, &source, 5000, &test_end_events, &client);
	test_run(loop);
	peer = stream_peer(host.end.stream);
	source.port = peer.port;
	assert_true(address_equal(&peer, &source));
	test_end_close(&client);
	test_host_close(&host);
	loop_free(&loop);
}

/* A reset with a reply under way: the reply was not heard, and what came before the reset is still read. */
static void a_reset_is_not_heard(void **state)
{
	static char much[256 * 1024];
	struct loop *loop = loop_new();
	struct linger at_once = { 1, 0 };
	struct sockaddr_storage name;
	socklen_t size = sizeof name;
	struct test_end server;
	int fds[2], listener;
	struct address a;

	assert_true(address_parse(&a, SPAN("127.0.0.1"), 0));
	listener = listener_bind(&a, 1);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&name, &size), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[1], (struct sockaddr *)&name, size), 0);
	fds[0] = accept(listener, NULL, NULL);
	test_end_adopt(&server, loop, fds[0]);
	stream_write(server.stream, (struct span){ much, sizeof much });
	stream_write(server.stream, (struct span){ much, sizeof much });
	test_run_for(loop, 20);
	assert_int_equal(write(fds[1], "last words", 10), 10);
	test_run_for(loop, 20);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(fds[1]);
	server.stops_when_ended = true;
	test_run(loop);
	assert_span(buf_span(&server.got), "last words");
	assert_int_equal(server.fault, FAULT_CLOSED);
	assert_string_equal(server.why, "Connection reset by peer");
	assert_false(stream_is_heard(server.stream));
	test_end_close(&server);
	close(listener);
	loop_free(&loop);
}

static void close_it(struct test_end *e)
{
	stream_close(&e->stream);
	loop_stop(e->loop);
}

static void closing_inside_every_callback(void **state)
{
	for (int which = 0; which < 3; which++) {
		struct loop *loop = loop_new();
		struct test_end left, right;

		open_pair(loop, &left, &right);
		*(which == 0 ? &right.on_opened : which == 1 ? &right.on_data : &right.on_ended) = close_it;
		if (which == 1)
			stream_write(left.stream, SPAN("abc"));
		if (which == 2)
			stream_finish(&left.stream);
		test_run(loop);
		assert_null(right.stream);
		close_pair(loop, &left, &right);
	}
}

static void descriptors_travel_with_their_bytes(void **state)
{
	struct loop *loop = loop_new();
	struct test_end left, right;
	int pipes[3][2];
	char c;

	open_pair(loop, &left, &right);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pipe(pipes[i]), 0);
		stream_write(left.stream, SPAN("before"));
		stream_send_fd_take(left.stream, pipes[i][1]);
		stream_write(left.stream, SPAN("with"));
	}
	right.stop_at = 30;
	test_run(loop);
	assert_span(buf_span(&right.got), "beforewithbeforewithbeforewith");
	for (int i = 0; i < 3; i++) {
		int fd = stream_take_fd(right.stream);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, &"abc"[i], 1), 1);
		close(fd);
		assert_int_equal(read(pipes[i][0], &c, 1), 1);
		assert_int_equal(c, 'a' + i);
		assert_int_equal(read(pipes[i][0], &c, 1), 0); /* no copy was left open */
		close(pipes[i][0]);
	}
	assert_int_equal(stream_take_fd(right.stream), -1);
	close_pair(loop, &left, &right);
}

/* Nobody asked for them: a stranger on a control socket cannot fill our table. */
static void a_flood_of_descriptors_ends_it(void **state)
{
	struct loop *loop = loop_new();
	struct test_end left, right;

	open_pair(loop, &left, &right);
	right.stops_when_ended = true;
	for (int i = 0; i < 40; i++) {
		stream_send_fd_take(left.stream, dup(0));
		stream_write(left.stream, SPAN("x"));
	}
	test_run(loop);
	assert_int_equal(right.fault, FAULT_NO_MEMORY);
	close_pair(loop, &left, &right);
}

static void finishing_sends_everything_first(void **state)
{
	static char much[STREAM_UNSENT_BYTES - 1];
	struct loop *loop = loop_new();
	struct test_end left, right;

	open_pair(loop, &left, &right);
	right.stops_when_ended = true;
	stream_write(left.stream, (struct span){ much, sizeof much });
	stream_finish(&left.stream);
	test_run(loop);
	assert_int_equal(right.got.size, sizeof much);
	assert_int_equal(right.fault, FAULT_CLOSED);
	close_pair(loop, &left, &right);
}

/* Whoever goes on sending to a stream that says goodbye is not listened to for ever. */
static void finishing_ends_under_a_flood(void **state)
{
	enum { MOST_BYTES = 64 * 1024 * 1024 };
	static char much[64 * 1024];
	struct loop *loop = loop_new();
	struct test_end left;
	size_t sent = 0;
	ssize_t now = 1;
	int fds[2];

	assert_int_equal(stream_pair(fds), 0);
	test_end_adopt(&left, loop, fds[0]);
	stream_finish(&left.stream);
	while (sent < MOST_BYTES) {
		now = send(fds[1], much, sizeof much, MSG_NOSIGNAL);
		if (now < 0 && errno != EAGAIN)
			break;
		sent += now > 0 ? (size_t)now : 0;
		test_run_for(loop, 0);
	}
	assert_int_equal(now, -1);
	assert_true(sent > 1024 * 1024 && sent < MOST_BYTES);
	close(fds[1]);
	test_end_close(&left);
	loop_free(&loop);
}

static void new_owner_hears_what_came(void **state)
{
	struct loop *loop = loop_new();
	struct test_end left, right, heir;

	open_pair(loop, &left, &right);
	right.takes_nothing = true;
	stream_write(left.stream, SPAN("abc"));
	test_run_for(loop, 20);
	test_end_init(&heir, loop);
	heir.stop_at = 3;
	stream_set_events(right.stream, &test_end_events, &heir);
	test_run(loop);
	assert_span(buf_span(&heir.got), "abc");
	test_end_close(&heir);
	close_pair(loop, &left, &right);
}

/* A flood that uses up the descriptors: the listener waits, and goes on by itself. */
static void descriptors_run_out(void **state)
{
	struct loop *loop = loop_new();
	struct rlimit before, few;
	struct test_host host;
	struct test_end client;

	test_host_open(&host, loop, "127.0.0.1");
	test_end_init(&client, loop);
	client.stream = stream_connect(loop, &host.at, NULL, 5000, &test_end_events, &client);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){ (rlim_t)dup(0), before.rlim_max };
	close((int)few.rlim_cur);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	test_run_for(loop, 250);
	assert_int_equal(host.accepted, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	host.end.stops_when_opened = true;
	test_run(loop);
	assert_int_equal(host.accepted, 1);
	test_end_close(&client);
	test_host_close(&host);
	loop_free(&loop);
}

TESTS(echo_over_every_family, peer_and_credentials, unread_is_kept, reading_stops_at_the_ceiling,
      a_pause_holds_data_back, a_half_closed_client_is_answered, back_pressure_and_drained, too_much_unsent_ends_it,
      nobody_listens, connecting_has_a_deadline, connects_from_a_source, a_reset_is_not_heard,
      closing_inside_every_callback, descriptors_travel_with_their_bytes, a_flood_of_descriptors_ends_it,
      finishing_sends_everything_first, finishing_ends_under_a_flood, descriptors_run_out, new_owner_hears_what_came)
