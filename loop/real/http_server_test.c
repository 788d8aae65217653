/* The HTTP server against clients that are clumsy, slow, greedy or rude. */
#include "loop/http_server.h"
#include "loop/real/test_end.h"
#include "loop/real/test_pki.h"

#include <unistd.h>

struct scene {
	struct loop *loop;
	struct http_server *server;
	struct address at;
	struct test_end client;
	struct http_exchange *kept; /* the handler answers later */
	char log[4096];
	int asked, gone, stops_after;
	bool keeps;
};

static void note(struct scene *s, struct http_exchange *x)
{
	const struct http_seen *seen = http_seen(x);
	size_t used = strlen(s->log);

	snprintf(s->log + used, sizeof s->log - used, "%.*s %.*s ? %.*s {%.*s};", SPAN_ARGS(seen->method),
		 SPAN_ARGS(seen->path), SPAN_ARGS(seen->query), SPAN_ARGS(seen->body));
}

static void on_request(void *self, struct http_exchange *x)
{
	struct scene *s = self;
	char body[64];

	note(s, x);
	s->asked++;
	if (s->asked == s->stops_after)
		loop_stop(s->loop);
	if (s->keeps) {
		s->kept = x;
		return;
	}
	snprintf(body, sizeof body, "answer %d\n", s->asked);
	http_answer(x, 200, SPAN("text/plain"), NULL, 0, span_of(body));
}

static void open_server(struct scene *s, const char *address, const struct http_server_settings *settings,
			struct tls *tls)
{
	struct address a;
	int fd;

	assert_true(address_parse(&a, span_of(address), 0));
	fd = listener_bind(&a, 64);
	assert_true(fd >= 0);
	s->at = listener_address(fd);
	s->server = http_server_new(s->loop, fd, tls, settings, on_request, s);
}

static void connect_client(struct scene *s, struct test_end *client)
{
	test_end_init(client, s->loop);
	client->stops_when_ended = true;
	client->stream = stream_connect(s->loop, &s->at, NULL, 5000, &test_end_events, client);
}

static void scene_init(struct scene *s, const struct http_server_settings *settings)
{
	*s = (struct scene){ .loop = loop_new() };
	open_server(s, "127.0.0.1", settings, NULL);
	connect_client(s, &s->client);
}

static void scene_free(struct scene *s)
{
	test_end_close(&s->client);
	http_server_finish(&s->server);
	loop_free(&s->loop);
}

/* Runs until the client has seen `text`. */
static void wait_for(struct scene *s, struct test_end *client, const char *text)
{
	for (int i = 0; i < 400 && span_find(buf_span(&client->got), span_of(text)) == client->got.size; i++)
		test_run_for(s->loop, 5);
	if (span_find(buf_span(&client->got), span_of(text)) == client->got.size)
		fail_msg("no |%s| in |%.*s|", text, SPAN_ARGS(buf_span(&client->got)));
}

static bool has(const struct test_end *client, const char *text)
{
	return span_find(buf_span(&client->got), span_of(text)) < client->got.size;
}

static size_t count(const struct test_end *client, const char *text)
{
	struct span rest = buf_span(&client->got);
	size_t number = 0, at;

	while ((at = span_find(rest, span_of(text))) < rest.size) {
		rest = span_slice(rest, at + 1, rest.size);
		number++;
	}
	return number;
}

static void an_answer_and_its_headers(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	stream_write(s.client.stream, SPAN("POST /a/b?c=d HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"));
	wait_for(&s, &s.client, "answer 1\n");
	assert_string_equal(s.log, "POST /a/b ? c=d {hello};");
	assert_true(span_starts(buf_span(&s.client.got), SPAN("HTTP/1.1 200 OK\r\nDate: ")));
	assert_true(has(&s.client,
			" GMT\r\nContent-Length: 9\r\nContent-Type: text/plain\r\nX-Content-Type-Options: nosniff\r\n"
			"Cache-Control: no-store\r\nContent-Security-Policy: frame-ancestors "
			"'none'\r\nX-Frame-Options: DENY\r\n"
			"Referrer-Policy: no-referrer\r\nConnection: keep-alive\r\n\r\nanswer 1\n"));
	stream_write(s.client.stream, SPAN("HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
	test_run(s.loop);
	assert_int_equal(s.client.fault, FAULT_CLOSED);
	assert_true(span_ends_fold(buf_span(&s.client.got), SPAN("Connection: close\r\n\r\n")));
	assert_int_equal(count(&s.client, "Content-Length: 9\r\n"), 2);
	scene_free(&s);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	for (int i = 1; i <= 50; i++)
		stream_write(s.client.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for(&s, &s.client, "answer 50\n");
	assert_int_equal(count(&s.client, "HTTP/1.1 200 OK"), 50);
	for (int i = 1, at = 0; i <= 50; i++) {
		char text[32];

		snprintf(text, sizeof text, "\nanswer %d\n", i);
		int found = (int)span_find(buf_span(&s.client.got), span_of(text));
		assert_true(found > at);
		at = found;
	}
	scene_free(&s);
}

/* One request at a time: the second waits for the answer to the first. */
static void late_answers(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	s.keeps = true;
	stream_write(s.client.stream, SPAN("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"));
	s.stops_after = 1;
	test_run(s.loop);
	test_run_for(s.loop, 20);
	assert_string_equal(s.log, "GET /1 ?  {};");
	assert_int_equal(s.client.got.size, 0);
	s.keeps = false;
	http_answer(s.kept, 404, SPAN(""), NULL, 0, SPAN(""));
	wait_for(&s, &s.client, "answer 2\n");
	assert_string_equal(s.log, "GET /1 ?  {};GET /2 ?  {};");
	assert_int_equal(count(&s.client, "HTTP/1.1 404 Not Found"), 1);
	scene_free(&s);
}

static void on_gone(void *self)
{
	struct scene *s = self;

	s->gone++;
	loop_stop(s->loop);
}

static void the_client_goes_before_its_answer(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	s.keeps = true;
	s.stops_after = 1;
	stream_write(s.client.stream, SPAN("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"));
	test_run(s.loop);
	http_on_gone(s.kept, on_gone, &s);
	stream_pause(s.client.stream);
	http_answer(s.kept, 200, SPAN(""), NULL, 0, SPAN("x"));
	s.stops_after = 2;
	stream_write(s.client.stream, SPAN("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"));
	test_run(s.loop);
	http_on_gone(s.kept, on_gone, &s);
	stream_close(&s.client.stream); /* an answer lies unread: a reset */
	test_run(s.loop);
	assert_int_equal(s.gone, 1);
	assert_span(http_seen(s.kept)->path, "/2"); /* still there */
	http_answer(s.kept, 200, SPAN(""), NULL, 0, SPAN("x"));
	scene_free(&s);
}

/* printf 'GET ...' | nc */
static void a_half_closed_client_is_answered(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	s.keeps = true;
	s.stops_after = 1;
	stream_write(s.client.stream, SPAN("GET /1 HTTP/1.0\r\n\r\n"));
	test_run(s.loop);
	struct stream *half = s.client.stream;
	s.client.stream = NULL;
	stream_finish(&half);
	test_run_for(s.loop, 20);
	http_answer(s.kept, 200, SPAN(""), NULL, 0, SPAN("x"));
	test_run_for(s.loop, 20);
	scene_free(&s);
}

static void refused(const char *request, const char *status_line)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ .body_bytes_max = 100 });
	stream_write(s.client.stream, span_of(request));
	test_run(s.loop);
	if (!span_starts(buf_span(&s.client.got), span_of(status_line)))
		fail_msg("|%s| got |%.*s|", request, SPAN_ARGS(buf_span(&s.client.got)));
	assert_int_equal(s.client.fault, FAULT_CLOSED);
	assert_true(has(&s.client, "Connection: close\r\n"));
	assert_int_equal(count(&s.client, "HTTP/1.1 "), 1);
	assert_int_equal(s.asked, 0);
	scene_free(&s);
}

/* Once each over a socket; the parser's own test has every row. Nothing behind a refused request is read. */
static void refusals(void **state)
{
	refused("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 Bad Request");
	refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"HTTP/1.1 400 Bad Request");
	refused("GET / HTTP/1.1\r\nHost: h\r\n\rXGET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 Bad Request");
	refused("GET / HTTP/1.1\r\n Host: h\r\n\r\n", "HTTP/1.1 400 Bad Request");
	refused("BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 Method Not Allowed");
	refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", "HTTP/1.1 413 Content Too Large");
	refused("GET /\r\n", "HTTP/1.1 400 Bad Request");
	refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported");
	refused("EHLO there\r\n", "HTTP/1.1 400 Bad Request");
}

static void method_refusals_say_what_is_allowed(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	stream_write(s.client.stream, SPAN("TRACE / HTTP/1.1\r\n"));
	test_run(s.loop);
	assert_true(has(&s.client, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE\r\n"));
	scene_free(&s);
}

static void continues(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	stream_write(s.client.stream,
		     SPAN("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
	wait_for(&s, &s.client, "HTTP/1.1 100 Continue\r\n\r\n");
	stream_write(s.client.stream, SPAN("ab"));
	wait_for(&s, &s.client, "answer 1\n");
	assert_string_equal(s.log, "POST / ?  {ab};");
	scene_free(&s);
}

static void idle_connections_are_closed(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ .idle_ms = 50 });
	test_run(s.loop);
	assert_int_equal(s.client.fault, FAULT_CLOSED);
	assert_int_equal(s.client.got.size, 0);
	scene_free(&s);
}

static void beyond_the_ceiling_the_oldest_idle_one_goes(void **state)
{
	struct test_end more;
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ .connections_max = 2 });
	stream_write(s.client.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for(&s, &s.client, "answer 1\n");
	connect_client(&s, &more);
	stream_write(more.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for(&s, &more, "answer 2\n");
	stream_write(s.client.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for(&s, &s.client, "answer 3\n");
	struct test_end third;
	connect_client(&s, &third);
	test_run(s.loop); /* the second is the oldest idle one now */
	assert_int_equal(more.fault, FAULT_CLOSED);
	assert_int_equal(s.client.fault, FAULT_OK);
	stream_write(third.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	wait_for(&s, &third, "answer 4\n");
	test_end_close(&more);
	test_end_close(&third);
	scene_free(&s);
}

/* None is idle: the new one is closed, those at work go on. */
static void a_flood_closes_the_newcomer(void **state)
{
	struct test_end more;
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ .connections_max = 1 });
	stream_write(s.client.stream, SPAN("GET / HTTP/1.1\r\n"));
	test_run_for(s.loop, 20);
	connect_client(&s, &more);
	test_run(s.loop);
	assert_int_equal(more.fault, FAULT_CLOSED);
	stream_write(s.client.stream, SPAN("Host: h\r\n\r\n"));
	wait_for(&s, &s.client, "answer 1\n");
	test_end_close(&more);
	scene_free(&s);
}

static void finishing(void **state)
{
	struct test_end idle;
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	connect_client(&s, &idle);
	test_run_for(s.loop, 20);
	s.keeps = true;
	s.stops_after = 1;
	stream_write(s.client.stream, SPAN("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"));
	test_run(s.loop);
	http_server_finish(&s.server);
	assert_null(s.server);
	test_run(s.loop);
	assert_int_equal(idle.fault, FAULT_CLOSED);
	assert_int_equal(s.client.fault, FAULT_OK);
	http_answer(s.kept, 200, SPAN(""), NULL, 0, SPAN("late\n"));
	test_run(s.loop);
	assert_true(has(&s.client, "Connection: close\r\n\r\nlate\n"));
	assert_int_equal(s.asked, 1);
	test_end_close(&idle);
	scene_free(&s);
}

static void over_a_path_the_peer_is_known(void **state)
{
	struct scene s = { .loop = loop_new() };
	char path[64];

	snprintf(path, sizeof path, "/tmp/http_server_test.%d", (int)getpid());
	open_server(&s, path, &(struct http_server_settings){ .local = true }, NULL);
	connect_client(&s, &s.client);
	s.keeps = true;
	s.stops_after = 1;
	stream_write(s.client.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	test_run(s.loop);
	assert_int_equal(http_seen(s.kept)->peer_uid, getuid());
	assert_int_equal(http_seen(s.kept)->peer_gid, getgid());
	assert_int_equal(http_seen(s.kept)->peer_pid, getpid());
	assert_true(address_is_loopback(&http_seen(s.kept)->peer));
	http_answer(s.kept, 204, SPAN(""), NULL, 0, SPAN(""));
	wait_for(&s, &s.client, "HTTP/1.1 204 No Content\r\n");
	assert_false(has(&s.client, "Content-Length"));
	unlink(path);
	scene_free(&s);
}

static struct tls *client_tls;

static void start_tls(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_client(e->stream, client_tls, SPAN("localhost"));
	else
		stream_write(e->stream, SPAN("GET /tls HTTP/1.1\r\nHost: localhost\r\n\r\n"));
}

static void over_tls(void **state)
{
	struct scene s = { .loop = loop_new() };
	struct test_pki pki;
	struct test_leaf leaf;
	struct tls *tls;

	test_pki_init(&pki);
	leaf = test_pki_leaf(&pki, &(struct test_flaw){ 0 });
	assert_int_equal(
		tls_server_new(&tls,
			       &(struct tls_server_settings){ leaf.certificate_pem, leaf.key_pem,
							      .lowest = TLS_VERSION_1_2, .alpn = SPAN("http/1.1") },
			       NULL),
		FAULT_OK);
	assert_int_equal(tls_client_new(&client_tls, pki.root_pem, NULL), FAULT_OK);
	open_server(&s, "127.0.0.1", &(struct http_server_settings){ 0 }, tls);
	http_server_tls(s.server, tls); /* a reload while nobody is there */
	tls_drop(&tls);
	connect_client(&s, &s.client);
	s.client.on_opened = start_tls;
	s.keeps = true;
	s.stops_after = 1;
	test_run(s.loop);
	assert_true(http_seen(s.kept)->tls);
	http_answer(s.kept, 200, SPAN("text/plain"), NULL, 0, SPAN("secret\n"));
	wait_for(&s, &s.client, "secret\n");
	tls_drop(&client_tls);
	scene_free(&s);
	test_pki_free(&pki);
}

static void handlers_own_headers(void **state)
{
	const struct span headers[][2] = {
		{ SPAN("Set-Cookie"), SPAN("a=b; Secure") },
		{ SPAN("cache-control"), SPAN("public") },
		{ SPAN("X-Split"), SPAN("a\r\nX-Injected: b") },
	};
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	s.keeps = true;
	s.stops_after = 1;
	stream_write(s.client.stream,
		     SPAN("GET / HTTP/1.1\r\nHost: h\r\ncookie: a=1; bb=2\r\nCookie: c=\"x y\";d\r\n\r\n"));
	test_run(s.loop);
	assert_span(http_header(s.kept, SPAN("HOST")), "h");
	assert_span(http_cookie(s.kept, SPAN("bb")), "2");
	assert_span(http_cookie(s.kept, SPAN("c")), "\"x y\"");
	assert_span(http_cookie(s.kept, SPAN("b")), "");
	assert_span(http_cookie(s.kept, SPAN("d")), "");
	http_answer(s.kept, 302, SPAN(""), headers, 3, SPAN(""));
	wait_for(&s, &s.client, "\r\n\r\n");
	assert_true(has(&s.client, "Set-Cookie: a=b; Secure\r\ncache-control: public\r\n"));
	assert_false(has(&s.client, "no-store"));
	assert_false(has(&s.client, "Injected"));
	scene_free(&s);
}

static void fields(void **state)
{
	struct span form = SPAN("a=1&b=two+words%21&&c&a=2&%64=4&bad=%4");
	char memory[64];
	struct buf b;

	buf_over(&b, memory, sizeof memory);
	assert_true(http_field(form, SPAN("a"), &b));
	assert_span(buf_span(&b), "1");
	buf_clear(&b);
	assert_true(http_field(form, SPAN("b"), &b));
	assert_span(buf_span(&b), "two words!");
	buf_clear(&b);
	assert_true(http_field(form, SPAN("c"), &b));
	assert_true(http_field(form, SPAN("d"), &b));
	assert_span(buf_span(&b), "4");
	buf_clear(&b);
	assert_false(http_field(form, SPAN("bad"), &b));
	assert_false(http_field(form, SPAN("e"), &b));
}

/* Pipelines without reading: our answers wait for it, and are not piled up. */
static void a_client_that_does_not_read(void **state)
{
	struct scene s;

	scene_init(&s, &(struct http_server_settings){ 0 });
	test_run_for(s.loop, 20);
	stream_pause(s.client.stream);
	for (int i = 0; i < 50000; i++)
		stream_write(s.client.stream, SPAN("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	test_run_for(s.loop, 100);
	int asked = s.asked;
	assert_true(asked < 50000);
	stream_resume(s.client.stream);
	wait_for(&s, &s.client, "answer 10000\n");
	assert_true(s.asked >= 10000);
	assert_int_equal(s.client.fault, FAULT_OK);
	scene_free(&s);
}

TESTS(an_answer_and_its_headers, pipelined_requests_are_answered_in_order, late_answers,
      the_client_goes_before_its_answer, a_half_closed_client_is_answered, refusals,
      method_refusals_say_what_is_allowed, continues, idle_connections_are_closed,
      beyond_the_ceiling_the_oldest_idle_one_goes, a_flood_closes_the_newcomer, finishing,
      over_a_path_the_peer_is_known, over_tls, handlers_own_headers, fields, a_client_that_does_not_read)
