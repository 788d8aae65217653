/* The HTTP client against our own server, and against hosts that misbehave. */
#include "base/clock.h"
#include "loop/http_client.h"
#include "loop/http_server.h"
#include "loop/real/test_end.h"
#include "loop/real/test_pki.h"

#include <unistd.h>

struct scene {
	struct loop *loop;
	struct dns *dns;
	struct http_client *client;
	struct http_server *server;
	struct test_pki pki;
	struct tls *tls;
	struct address at;
	/* what the server saw and says */
	char seen[1024];
	int asked, status;
	const char *body, *content_type;
	struct span headers[2][2];
	size_t header_count;
	/* what the client got */
	struct http_fetch *fetch;
	struct http_answer answer;
	char text[1024], why[300], type[64], location[128], date[64];
	int done;
	bool running;
};

static void on_request(void *self, struct http_exchange *x)
{
	struct scene *s = self;
	const struct http_seen *seen = http_seen(x);

	s->asked++;
	snprintf(s->seen, sizeof s->seen, "%.*s %.*s {%.*s} %.*s|%.*s|%.*s", SPAN_ARGS(seen->method),
		 SPAN_ARGS(seen->target), SPAN_ARGS(seen->body), SPAN_ARGS(seen->content_type),
		 SPAN_ARGS(http_header(x, SPAN("Authorization"))), SPAN_ARGS(http_header(x, SPAN("Expect"))));
	http_answer(x, s->status, span_of(s->content_type), (const struct span(*)[2])s->headers, s->header_count,
		    span_of(s->body));
}

static void copy(char *to, size_t room, struct span from)
{
	snprintf(to, room, "%.*s", SPAN_ARGS(from));
}

static void on_done(void *self, const struct http_answer *a)
{
	struct scene *s = self;

	assert_true(s->running);
	s->fetch = NULL;
	s->done++;
	s->answer = *a;
	copy(s->text, sizeof s->text, a->body);
	copy(s->why, sizeof s->why, a->why);
	copy(s->type, sizeof s->type, a->content_type);
	copy(s->location, sizeof s->location, a->location);
	copy(s->date, sizeof s->date, a->date);
	loop_stop(s->loop);
}

static const char hosts[] =
	"127.0.0.1 localhost idp.example\n192.0.2.1 far.example\n127.0.0.1 half.example\n192.0.2.1 half.example\n";

static void serve_from(struct scene *s, struct tls *tls)
{
	struct address a;
	int fd;

	assert_true(address_parse(&a, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&a, 64);
	s->at = listener_address(fd);
	s->server = http_server_new(s->loop, fd, tls, &(struct http_server_settings){ .body_bytes_max = 1 << 20 },
				    on_request, s);
}

/* With a flaw, over TLS; NULL is plain. */
static void scene_init(struct scene *s, const struct test_flaw *flaw)
{
	*s = (struct scene){ .loop = loop_new(), .status = 200, .body = "hello", .content_type = "text/plain" };
	test_pki_init(&s->pki);
	s->dns = dns_new(s->loop, SPAN(""), span_of(hosts));
	s->client = http_client_new(s->loop, s->dns, s->pki.root_pem);
	if (flaw) {
		struct test_leaf leaf = test_pki_leaf(&s->pki, flaw);

		assert_int_equal(tls_server_new(&s->tls,
						&(struct tls_server_settings){ leaf.certificate_pem, leaf.key_pem,
									       .lowest = TLS_VERSION_1_2,
									       .alpn = SPAN("http/1.1") },
						NULL),
				 FAULT_OK);
	}
	serve_from(s, s->tls);
}

static void scene_free(struct scene *s)
{
	http_client_free(&s->client);
	http_server_finish(&s->server);
	dns_free(&s->dns);
	tls_drop(&s->tls);
	loop_free(&s->loop);
	test_pki_free(&s->pki);
}

static void begin(struct scene *s, struct http_request *r, const char *scheme, const char *host, const char *path)
{
	char url[512];

	snprintf(url, sizeof url, "%s://%s:%u%s", scheme, host, s->at.port, path);
	r->url = span_of(url);
	if (!r->method.size)
		r->method = SPAN("GET");
	if (!r->timeout_ms)
		r->timeout_ms = 10 * 1000;
	s->fetch = http_fetch(s->client, r, on_done, s);
}

static void wait_done(struct scene *s)
{
	int before = s->done;

	s->running = true;
	test_run(s->loop);
	s->running = false;
	assert_int_equal(s->done, before + 1);
}

static void get(struct scene *s, const char *scheme, const char *host, const char *path)
{
	begin(s, &(struct http_request){ 0 }, scheme, host, path);
	wait_done(s);
}

static void a_form_is_posted(void **state)
{
	const struct http_header headers[] = { { SPAN("Content-Type"), SPAN("application/x-www-form-urlencoded") },
					       { SPAN("Authorization"), SPAN("Basic abc") } };
	struct scene s;

	scene_init(&s, NULL);
	s.content_type = "application/json";
	begin(&s,
	      &(struct http_request){
		      .method = SPAN("POST"), .headers = headers, .header_count = 2, .body = SPAN("a=b&c=d") },
	      "http", "localhost", "/token?x=1");
	wait_done(&s);
	assert_string_equal(s.seen, "POST /token?x=1 {a=b&c=d} application/x-www-form-urlencoded|Basic abc|");
	assert_int_equal(s.answer.fault, FAULT_OK);
	assert_int_equal(s.answer.status, 200);
	assert_string_equal(s.text, "hello");
	assert_string_equal(s.type, "application/json");
	assert_int_equal(s.answer.retry_after_ms, -1);
	scene_free(&s);
}

static void methods(void **state)
{
	static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE" };
	struct scene s;
	char wanted[64];

	scene_init(&s, NULL);
	for (size_t i = 0; i < 6; i++) {
		begin(&s, &(struct http_request){ .method = span_of(names[i]) }, "http", "127.0.0.1", "/");
		wait_done(&s);
		snprintf(wanted, sizeof wanted, "%s / {}", names[i]);
		assert_true(span_starts(span_of(s.seen), span_of(wanted)));
		assert_string_equal(s.text, i == 1 ? "" : "hello");
	}
	scene_free(&s);
}

static void a_large_body_is_sent_without_asking(void **state)
{
	static char much[1 << 20];
	struct scene s;

	memset(much, 'x', sizeof much);
	scene_init(&s, NULL);
	begin(&s, &(struct http_request){ .method = SPAN("PUT"), .body = { much, sizeof much } }, "http", "127.0.0.1",
	      "/");
	wait_done(&s);
	assert_int_equal(s.answer.status, 200);
	assert_true(span_starts(span_of(s.seen), SPAN("PUT / {xxx")));
	scene_free(&s);
}

static void over_tls(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ .names = "DNS:idp.example, DNS:localhost" });
	for (int i = 0; i < 3; i++) {
		get(&s, "https", "idp.example", "/keys");
		assert_int_equal(s.answer.fault, FAULT_OK);
		assert_string_equal(s.text, "hello");
	}
	scene_free(&s);
}

static void untrusted(const struct test_flaw *flaw, const char *host)
{
	struct scene s;

	scene_init(&s, flaw);
	get(&s, "https", host, "/");
	if (s.answer.fault != FAULT_TLS_UNTRUSTED)
		fail_msg("%s: %s %s", host, fault_row(s.answer.fault)->name, s.why);
	assert_int_equal(s.asked, 0);
	assert_int_equal(s.answer.status, 0);
	assert_true(strlen(s.why) > 0);
	scene_free(&s);
}

/* T-STARTTLS 8, for HTTPS: the same rules as for streams. */
static void t_starttls_08_https_certificates(void **state)
{
	untrusted(&(struct test_flaw){ .names = "DNS:other.example" }, "idp.example");
	untrusted(&(struct test_flaw){ .names = "DNS:other.example", .common_name = "idp.example" }, "idp.example");
	untrusted(&(struct test_flaw){ .names = "DNS:idp.example", .starts_days = -2, .ends_days = -1 }, "idp.example");
	untrusted(&(struct test_flaw){ .names = "DNS:idp.example", .self_signed = true }, "idp.example");
	untrusted(&(struct test_flaw){ .names = "DNS:idp.example", .usage = "clientAuth" }, "idp.example");
	untrusted(&(struct test_flaw){ .raw_name = SPAN("idp.example\0.evil.example") }, "idp.example");
	untrusted(&(struct test_flaw){ .names = "DNS:id*.example" }, "idp.example");
	untrusted(&(struct test_flaw){ .names = "DNS:*" }, "localhost");
	untrusted(&(struct test_flaw){ .names = "DNS:localhost" }, "127.0.0.1");
}

static void the_bundle_is_replaced(void **state)
{
	struct test_pki other;
	struct scene s;

	scene_init(&s, &(struct test_flaw){ .names = "DNS:idp.example" });
	test_pki_init(&other);
	http_client_trust(s.client, other.root_pem);
	get(&s, "https", "idp.example", "/");
	assert_int_equal(s.answer.fault, FAULT_TLS_UNTRUSTED);
	http_client_trust(s.client, SPAN(""));
	get(&s, "https", "idp.example", "/");
	assert_int_equal(s.answer.fault, FAULT_TLS_UNTRUSTED);
	http_client_trust(s.client, s.pki.root_pem);
	get(&s, "https", "idp.example", "/");
	assert_string_equal(s.why, "");
	assert_int_equal(s.answer.fault, FAULT_OK);
	test_pki_free(&other);
	scene_free(&s);
}

static void plain_http_stays_on_this_machine(void **state)
{
	static const char *const far[] = { "far.example", "half.example", "192.0.2.1", "[2001:db8::1]" };
	struct scene s;

	scene_init(&s, NULL);
	for (size_t i = 0; i < 4; i++) {
		get(&s, "http", far[i], "/");
		assert_int_equal(s.answer.fault, FAULT_TLS_MISSING);
	}
	get(&s, "http", "idp.example", "/");
	assert_int_equal(s.answer.fault, FAULT_OK);
	assert_int_equal(s.asked, 1);
	scene_free(&s);
}

static void urls(void **state)
{
	static const char *const wrong[] = { "",
					     "localhost",
					     "ftp://localhost/",
					     "file:///etc/passwd",
					     "https://",
					     "http://user:pw@localhost/",
					     "http://localhost:99999/",
					     "gopher://localhost/",
					     "http://local host/" };
	struct scene s;

	scene_init(&s, NULL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		http_fetch(
			s.client,
			&(struct http_request){ .method = SPAN("GET"), .url = span_of(wrong[i]), .timeout_ms = 1000 },
			on_done, &s);
		wait_done(&s);
		assert_int_equal(s.answer.fault, FAULT_MALFORMED);
	}
	begin(&s, &(struct http_request){ .method = SPAN("GET X") }, "http", "localhost", "/");
	wait_done(&s);
	assert_int_equal(s.answer.fault, FAULT_MALFORMED);
	begin(&s,
	      &(struct http_request){ .headers = &(struct http_header){ SPAN("X"), SPAN("a\r\nY: b") },
				      .header_count = 1 },
	      "http", "localhost", "/");
	wait_done(&s);
	assert_int_equal(s.answer.fault, FAULT_MALFORMED);
	get(&s, "http", "no..name", "/");
	assert_int_not_equal(s.answer.fault, FAULT_OK);
	assert_int_equal(s.asked, 0);
	scene_free(&s);
}

static void redirects_are_told_not_followed(void **state)
{
	struct scene s;

	scene_init(&s, NULL);
	s.status = 302;
	s.headers[0][0] = SPAN("Location");
	s.headers[0][1] = SPAN("https://evil.example/");
	s.header_count = 1;
	get(&s, "http", "localhost", "/");
	assert_int_equal(s.answer.status, 302);
	assert_string_equal(s.location, "https://evil.example/");
	assert_int_equal(s.asked, 1);
	scene_free(&s);
}

/* HTML instead of JSON: bytes, with their type; who asked decides. */
static void html_is_just_bytes(void **state)
{
	struct scene s;

	scene_init(&s, NULL);
	s.status = 503;
	s.body = "<html>down</html>";
	s.content_type = "text/html; charset=utf-8";
	get(&s, "http", "localhost", "/token");
	assert_int_equal(s.answer.fault, FAULT_OK);
	assert_int_equal(s.answer.status, 503);
	assert_string_equal(s.text, "<html>down</html>");
	assert_string_equal(s.type, "text/html; charset=utf-8");
	assert_int_equal(strlen(s.date), 29);
	scene_free(&s);
}

static void retry_after(void **state)
{
	static const struct {
		const char *value;
		int64_t low_ms, high_ms;
	} rows[] = { { "120", 120000, 120000 },
		     { "0", 0, 0 },
		     { "Wed, 21 Oct 2015 07:28:00 GMT", 0, 0 },
		     { "soon", -1, -1 },
		     { "-5", -1, -1 },
		     { "99999999999999999", 1, INT64_MAX },
		     { "Wed, 21 Oct 2099 07:28:00 GMT", 86400000, INT64_MAX } };
	struct scene s;

	scene_init(&s, NULL);
	s.status = 429;
	s.headers[0][0] = SPAN("Retry-After");
	s.header_count = 1;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		s.headers[0][1] = span_of(rows[i].value);
		get(&s, "http", "localhost", "/");
		if (s.answer.retry_after_ms < rows[i].low_ms || s.answer.retry_after_ms > rows[i].high_ms)
			fail_msg("%s: %lld", rows[i].value, (long long)s.answer.retry_after_ms);
	}
	scene_free(&s);
}

static void answers_too_large(void **state)
{
	static char much[300 * 1024];
	struct scene s;

	memset(much, 'x', sizeof much - 1);
	scene_init(&s, NULL);
	s.body = much;
	get(&s, "http", "localhost", "/");
	assert_int_equal(s.answer.fault, FAULT_TOO_LARGE);
	begin(&s, &(struct http_request){ .answer_bytes_max = 4 }, "http", "localhost", "/");
	s.body = "hello";
	wait_done(&s);
	assert_int_equal(s.answer.fault, FAULT_TOO_LARGE);
	begin(&s, &(struct http_request){ .answer_bytes_max = 5 }, "http", "localhost", "/");
	wait_done(&s);
	assert_int_equal(s.answer.fault, FAULT_OK);
	scene_free(&s);
}

/* --- hosts that speak no proper HTTP */

static const char *says;

static void say(struct test_end *e)
{
	if (e->got.size && says)
		stream_write(e->stream, span_of(says));
	says = NULL;
}

static void say_and_close(struct test_end *e)
{
	stream_write(e->stream, span_of(says));
	stream_finish(&e->stream);
}

static void raw(const char *text, bool closes, int timeout_ms, enum fault wanted)
{
	struct test_host host;
	struct scene s;

	scene_init(&s, NULL);
	test_host_open(&host, s.loop, "127.0.0.1");
	host.end.on_data = closes ? say_and_close : say;
	s.at = host.at;
	says = text;
	begin(&s, &(struct http_request){ .timeout_ms = timeout_ms }, "http", "localhost", "/");
	wait_done(&s);
	if (s.answer.fault != wanted)
		fail_msg("|%.80s| gave %s: %s", text, fault_row(s.answer.fault)->name, s.why);
	test_host_close(&host);
	scene_free(&s);
}

static void odd_answers(void **state)
{
	static char long_head[80 * 1024] = "HTTP/1.1 200 OK\r\n";

	raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 5000, FAULT_OK);
	raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true, 5000, FAULT_OK);
	raw("HTTP/1.0 200 OK\r\n\r\nuntil the end", true, 5000, FAULT_OK);
	raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true, 5000, FAULT_OK);
	raw("", true, 5000, FAULT_CLOSED);
	raw("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nbroken off", true, 5000, FAULT_CLOSED);
	raw("220 mail.example ESMTP\r\n", true, 5000, FAULT_UPSTREAM_BROKEN);
	raw("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", true, 5000, FAULT_UPSTREAM_BROKEN);
	raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", true, 5000, FAULT_CLOSED);
	while (strlen(long_head) < sizeof long_head - 200)
		sprintf(long_head + strlen(long_head), "X: %0100d\r\n", 0);
	raw(long_head, true, 5000, FAULT_TOO_LARGE);
}

static void timeouts(void **state)
{
	raw("", false, 100, FAULT_TIMEOUT);
	raw("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nslow", false, 100, FAULT_TIMEOUT);
}

static void nobody_listens(void **state)
{
	struct scene s;
	int refusing;

	scene_init(&s, NULL);
	refusing = test_refusing_port("127.0.0.1", 0, &s.at);
	get(&s, "http", "localhost", "/");
	assert_int_equal(s.answer.fault, FAULT_UNREACHABLE);
	get(&s, "https", "localhost", "/");
	assert_int_equal(s.answer.fault, FAULT_UNREACHABLE);
	close(refusing);
	scene_free(&s);
}

static void no_tls_where_tls_is_due(void **state)
{
	struct scene s;

	scene_init(&s, NULL);
	get(&s, "https", "localhost", "/");
	assert_int_equal(s.answer.fault, FAULT_TLS_FAILED);
	scene_free(&s);
}

/* A host that keeps every connection, and notes what it hears. */
struct crowd {
	struct loop *loop;
	struct listener *listener;
	struct test_end ends[8];
	size_t count;
	bool answers;
};

static void answer_then_die(struct test_end *e)
{
	if (span_starts(buf_span(&e->got), SPAN("GET")) && span_find(buf_span(&e->got), SPAN("POST")) == e->got.size)
		stream_write(e->stream, SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	else if (span_find(buf_span(&e->got), SPAN("second=2")) < e->got.size)
		stream_close(&e->stream);
}

static void crowd_accepted(void *self, int fd, const struct address *peer)
{
	struct crowd *c = self;
	struct test_end *e = &c->ends[c->count++];

	assert_true(c->count <= 8);
	test_end_adopt(e, c->loop, fd);
	if (c->answers)
		e->on_data = answer_then_die;
}

static void crowd_open(struct crowd *c, struct scene *s)
{
	struct address a;
	int fd;

	*c = (struct crowd){ .loop = s->loop };
	assert_true(address_parse(&a, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&a, 8);
	s->at = listener_address(fd);
	c->listener = listener_new(s->loop, fd, crowd_accepted, c);
}

static void crowd_close(struct crowd *c)
{
	for (size_t i = 0; i < c->count; i++)
		test_end_close(&c->ends[i]);
	listener_free(&c->listener);
}

/* A token request on a kept connection that dies under it: asked once, failed once. The first may have been heard. */
static void a_request_is_not_repeated(void **state)
{
	struct crowd crowd;
	struct scene s;

	scene_init(&s, NULL);
	crowd_open(&crowd, &s);
	crowd.answers = true;
	get(&s, "http", "localhost", "/");
	assert_int_equal(s.answer.fault, FAULT_OK);
	begin(&s, &(struct http_request){ .method = SPAN("POST"), .body = SPAN("second=2") }, "http", "localhost", "/");
	wait_done(&s);
	assert_int_equal(s.answer.fault, FAULT_CLOSED);
	assert_true(span_find(buf_span(&crowd.ends[0].got), SPAN("second=2")) < crowd.ends[0].got.size);
	for (size_t i = 1; i < crowd.count; i++)
		assert_int_equal(crowd.ends[i].got.size, 0);
	crowd_close(&crowd);
	scene_free(&s);
}

static void cancelling(void **state)
{
	struct crowd crowd;
	struct scene s;

	scene_init(&s, NULL);
	crowd_open(&crowd, &s);
	for (int wait_ms = 0; wait_ms < 60; wait_ms += 20) {
		begin(&s, &(struct http_request){ .method = SPAN("POST"), .body = SPAN("x") }, "http", "localhost",
		      "/");
		if (wait_ms)
			test_run_for(s.loop, wait_ms);
		http_cancel(&s.fetch);
		assert_null(s.fetch);
	}
	begin(&s, &(struct http_request){ 0 }, "http", "localhost",
	      "/"); /* and one that the client's end takes along */
	test_run_for(s.loop, 20);
	assert_int_equal(s.done, 0);
	crowd_close(&crowd);
	scene_free(&s);
}

/* Figures at hand for facts: a thousand requests on kept connections must not take a thousand timer ticks. */
static void a_thousand_in_turn(void **state)
{
	struct scene s;
	int64_t began = clock_monotonic_ms();

	scene_init(&s, NULL);
	for (int i = 0; i < 1000; i++)
		get(&s, "http", "localhost", "/");
	assert_int_equal(s.asked, 1000);
	print_message("%lld ms\n", (long long)(clock_monotonic_ms() - began));
	scene_free(&s);
}

TESTS(a_form_is_posted, methods, a_large_body_is_sent_without_asking, over_tls, t_starttls_08_https_certificates,
      the_bundle_is_replaced, plain_http_stays_on_this_machine, urls, redirects_are_told_not_followed,
      html_is_just_bytes, retry_after, answers_too_large, odd_answers, timeouts, nobody_listens,
      no_tls_where_tls_is_due, a_request_is_not_repeated, cancelling, a_thousand_in_turn)
