/* Without TLS, mail goes to this machine alone: that takes a network with other machines on it. */
#include "upstream/smtp_way.h"

#include "loop/fake/world.h"
#include "loop/tls.h"
#include "tests/test.h"

struct bench {
	struct loop *loop;
	struct smtp_way *way;
	uint64_t request;
	bool done;
	enum fault fault;
	size_t bytes_came;
	struct stream *peer;
};

static void on_token_wanted(void *self, uint64_t request, uint64_t mailbox, enum way way, bool force, uint64_t generation)
{
	struct bench *b = self;

	b->request = request;
}

static void on_named(void *self, uint64_t mailbox, struct span tenant, struct span host)
{
}

static const struct way_events events = { .token_wanted = on_token_wanted, .named = on_named };

static void on_done(void *self, const struct way_end *end)
{
	struct bench *b = self;

	b->done = true;
	b->fault = end->outcome->fault;
}

static size_t on_data(void *self, struct span bytes)
{
	struct bench *b = self;

	b->bytes_came += bytes.size;
	return bytes.size;
}

static void on_opened(void *self)
{
}

static void on_ended(void *self, enum fault fault, struct span why)
{
}

static const struct stream_events peer_events = { .opened = on_opened, .data = on_data, .ended = on_ended };

static void on_accepted(void *self, int fd, const struct address *peer)
{
	struct bench *b = self;

	b->peer = stream_adopt_take(b->loop, fd, &peer_events, b);
	stream_write(b->peer, SPAN("220 mx.example.org ESMTP\r\n"));
}

static bool is_done(void *self)
{
	return ((struct bench *)self)->done;
}

static void no_tls_only_to_loopback(void **state)
{
	struct smtp_way_settings settings = { .own_name = SPAN("gw"), .connections_per_mailbox = 1, .idle_ms = 1000, .connect_ms = 5000 };
	struct way_letter letter = { .mailbox = 1, .way = WAY_SMTP, .done = on_done };
	struct bench b = { 0 };
	struct address at = { 0 };
	struct listener *listener;
	struct dns *dns;
	struct tls *tls;
	char authority[128];
	int fd;

	world_begin(1, 0);
	b.loop = world_loop("post");
	world_name("mx.example.org", "192.0.2.1");
	assert_true(address_parse(&at, SPAN("192.0.2.1"), 25));
	fd = listener_bind(&at, 8);
	listener = listener_new(b.loop, fd, on_accepted, &b);
	assert_int_equal(tls_client_new(&tls, world_authority(authority, "ca"), NULL), FAULT_OK);
	dns = dns_new(b.loop, SPAN(""), SPAN(""));
	b.way = smtp_way_new(b.loop, dns, tls, &settings, &events, &b);
	letter.self = &b;
	smtp_way_send(b.way, &letter);
	smtp_way_token(b.way, &(struct message_token){ .request = b.request, .mailbox = 1, .way = WAY_SMTP, .token = SPAN("password"), .host = SPAN("mx.example.org"),
						       .port = 25, .tls = 0, .mechanism = 1, .user = SPAN("box") });
	world_run_until(60000, is_done, &b);
	assert_true(b.done);
	assert_int_equal(b.fault, FAULT_TLS_MISSING);
	world_run_until(70000, NULL, NULL);
	assert_int_equal(b.bytes_came, 0);
	smtp_way_free(&b.way);
	if (b.peer)
		stream_close(&b.peer);
	listener_free(&listener);
	dns_free(&dns);
	tls_drop(&tls);
	loop_free(&b.loop);
	world_end();
}

TESTS(no_tls_only_to_loopback)
