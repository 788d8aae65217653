/* Connecting by name, past addresses that are dead. */
#include "loop/dial.h"
#include "loop/real/test_end.h"

#include <unistd.h>

struct scene {
	struct loop *loop;
	struct dns *dns;
	struct test_host host;
	struct test_end end;
	struct dial *dial;
	enum fault fault;
	char why[320];
	int done;
	bool running;
	int refusing[3]; /* the same port at the addresses that refuse */
};

static const char *const refusing_addresses[3] = { "127.0.0.7", "127.0.0.8", "::1" };

static void on_done(void *self, struct stream *stream, enum fault fault, struct span why)
{
	struct scene *s = self;

	assert_true(s->running);
	assert_true((stream != NULL) == (fault == FAULT_OK));
	s->dial = NULL;
	s->done++;
	s->fault = fault;
	snprintf(s->why, sizeof s->why, "%.*s", SPAN_ARGS(why));
	if (stream) {
		s->end.stream = stream;
		stream_set_events(stream, &test_end_events, &s->end);
		stream_write(stream, SPAN("hello"));
		s->end.stop_at = 5;
	} else {
		loop_stop(s->loop);
	}
}

/* An address that drops everything: a listener whose queue is full. */
struct dead {
	int fd;
	struct test_end filler;
	struct stream *fillers[8];
};

static void dead_open(struct dead *d, struct scene *s)
{
	struct address a;

	assert_true(address_parse(&a, SPAN("::1"), s->host.at.port));
	close(s->refusing[2]);
	s->refusing[2] = -1;
	d->fd = listener_bind(&a, 0);
	assert_true(d->fd >= 0);
	test_end_init(&d->filler, s->loop);
	for (int i = 0; i < 8; i++)
		d->fillers[i] = stream_connect(s->loop, &a, NULL, 20000, &test_end_events, &d->filler);
	test_run_for(s->loop, 50);
}

static void dead_close(struct dead *d)
{
	for (int i = 0; i < 8; i++)
		stream_close(&d->fillers[i]);
	close(d->fd);
}

/* False: somebody has the port at one of the other addresses. */
static bool open_host(struct scene *s)
{
	bool good = true;
	struct address at;

	test_host_open(&s->host, s->loop, "127.0.0.1");
	for (int i = 0; i < 3; i++) {
		s->refusing[i] = test_refusing_port(refusing_addresses[i], s->host.at.port, &at);
		good = good && s->refusing[i] >= 0;
	}
	if (good)
		return true;
	for (int i = 0; i < 3; i++)
		close(s->refusing[i]);
	test_host_close(&s->host);
	return false;
}

/* `hosts` is what the name server would say. */
static void scene_init(struct scene *s, const char *hosts)
{
	*s = (struct scene){ .loop = loop_new() };
	s->dns = dns_new(s->loop, SPAN(""), span_of(hosts));
	while (!open_host(s))
		;
	s->host.end.echoes = true;
	test_end_init(&s->end, s->loop);
}

static void scene_free(struct scene *s)
{
	test_end_close(&s->end);
	test_host_close(&s->host);
	for (int i = 0; i < 3; i++)
		close(s->refusing[i]);
	dns_free(&s->dns);
	loop_free(&s->loop);
}

static void dial(struct scene *s, const char *source, int timeout_ms)
{
	struct address a;

	if (source)
		assert_true(address_parse(&a, span_of(source), 0));
	s->dial = dial_start(s->dns, s->loop, SPAN("mail.example"), s->host.at.port, source ? &a : NULL, timeout_ms,
			     on_done, s);
	s->running = true;
	test_run(s->loop);
	s->running = false;
	assert_int_equal(s->done, 1);
}

static void reached(const char *hosts, const char *source)
{
	struct scene s;

	scene_init(&s, hosts);
	dial(&s, source, 5000);
	assert_int_equal(s.fault, FAULT_OK);
	assert_string_equal(s.why, "");
	assert_span(buf_span(&s.end.got), "hello");
	assert_string_equal(s.end.log, "data "); /* opened was said already */
	scene_free(&s);
}

static void one_address(void **state)
{
	reached("127.0.0.1 mail.example\n", NULL);
}

static void a_refusing_address_first(void **state)
{
	reached("::1 mail.example\n127.0.0.7 mail.example\n127.0.0.1 mail.example\n", NULL);
}

/* Nobody waits for its timeout. */
static void a_dead_address_first(void **state)
{
	struct scene s;
	struct dead d;

	scene_init(&s, "::1 mail.example\n127.0.0.1 mail.example\n");
	dead_open(&d, &s);
	dial(&s, NULL, 10000);
	assert_int_equal(s.fault, FAULT_OK);
	assert_span(buf_span(&s.end.got), "hello");
	dead_close(&d);
	scene_free(&s);
}

static void nobody_answers(void **state)
{
	struct scene s;
	char wanted[64];

	scene_init(&s, "127.0.0.7 mail.example\n127.0.0.8 mail.example\n");
	dial(&s, NULL, 5000);
	assert_int_equal(s.fault, FAULT_UNREACHABLE);
	snprintf(wanted, sizeof wanted, "127.0.0.8:%u: Connection refused", s.host.at.port);
	assert_string_equal(s.why, wanted);
	scene_free(&s);
}

static void no_such_name(void **state)
{
	struct scene s;

	scene_init(&s, "");
	s.dial = dial_start(s.dns, s.loop, SPAN("no..name"), 25, NULL, 5000, on_done, &s);
	s.running = true;
	test_run(s.loop);
	assert_int_equal(s.fault, FAULT_NO_ADDRESS);
	assert_string_equal(s.why, "the host name has no address");
	scene_free(&s);
}

static void the_deadline(void **state)
{
	struct scene s;
	struct dead d;

	scene_init(&s, "::1 mail.example\n");
	dead_open(&d, &s);
	dial(&s, NULL, 100);
	assert_int_equal(s.fault, FAULT_TIMEOUT);
	assert_true(strstr(s.why, "within 100 ms") != NULL);
	dead_close(&d);
	scene_free(&s);
}

static void from_a_source(void **state)
{
	struct address peer;
	struct scene s;

	scene_init(&s, "::1 mail.example\n127.0.0.1 mail.example\n");
	dial(&s, "127.0.0.9", 5000);
	peer = stream_peer(s.host.end.stream);
	assert_int_equal(peer.bytes[3], 9);
	scene_free(&s);
	scene_init(&s, "::1 mail.example\n127.0.0.1 mail.example\n");
	dial(&s, "0.0.0.0", 5000); /* whichever address, of that family */
	assert_int_equal(s.fault, FAULT_OK);
	assert_int_equal(stream_peer(s.host.end.stream).family, ADDRESS_IPV4);
	scene_free(&s);
	scene_init(&s, "127.0.0.1 mail.example\n");
	dial(&s, "203.0.113.77", 5000); /* nobody's here */
	assert_int_equal(s.fault, FAULT_UNREACHABLE);
	assert_true(strstr(s.why, "Cannot assign requested address") != NULL);
	scene_free(&s);
	scene_init(&s, "127.0.0.1 mail.example\n");
	dial(&s, "::1", 5000);
	assert_int_equal(s.fault, FAULT_NO_ADDRESS);
	scene_free(&s);
}

static void cancelling(void **state)
{
	struct scene s;
	struct dead d;

	scene_init(&s, "::1 mail.example\n");
	dead_open(&d, &s);
	for (int wait_ms = 0; wait_ms < 40; wait_ms += 20) { /* while resolving, while connecting */
		s.dial = dial_start(s.dns, s.loop, SPAN("mail.example"), s.host.at.port, NULL, 5000, on_done, &s);
		if (wait_ms)
			test_run_for(s.loop, wait_ms);
		dial_cancel(&s.dial);
		assert_null(s.dial);
	}
	test_run_for(s.loop, 20);
	assert_int_equal(s.done, 0);
	dead_close(&d);
	scene_free(&s);
}

TESTS(one_address, a_refusing_address_first, a_dead_address_first, nobody_answers, no_such_name, the_deadline,
      from_a_source, cancelling)
