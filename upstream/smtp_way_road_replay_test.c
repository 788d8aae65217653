/* The road of a connector: whose MX hosts are believed, in which order they are tried, and from where. That takes a network with name servers. */
#include "upstream/smtp_way.h"

#include "loop/fake/world.h"
#include "tests/test.h"

struct bench {
	struct loop *loop;
	struct dns *dns;
	struct tls *tls;
	struct smtp_way *way;
	struct way_letter letter;
	uint64_t request;
	bool done, reached;
	enum fault fault;
	char said[512], from[64];
	struct stream *peer;
};

static void on_token_wanted(void *self, uint64_t request, uint64_t mailbox, enum way way, bool force, uint64_t generation)
{
	((struct bench *)self)->request = request;
}

static void on_named(void *self, uint64_t mailbox, struct span tenant, struct span host)
{
}

static const struct way_events events = { .token_wanted = on_token_wanted, .named = on_named };

static void on_done(void *self, const struct way_end *end)
{
	struct bench *b = self;
	char words[OUTCOME_WORDS_BYTES];
	struct span said = outcome_words(end->outcome, words);

	b->done = true;
	b->fault = end->outcome->fault;
	snprintf(b->said, sizeof b->said, "%.*s", SPAN_ARGS(said));
}

static void on_ended(void *self, enum fault fault, struct span why)
{
}

static size_t on_data(void *self, struct span bytes)
{
	return bytes.size;
}

static void on_opened(void *self)
{
}

static const struct stream_events peer_events = { .opened = on_opened, .data = on_data, .ended = on_ended };

static void on_accepted(void *self, int fd, const struct address *peer)
{
	struct bench *b = self;
	struct buf out;

	buf_over(&out, b->from, sizeof b->from);
	address_print(&out, peer, false);
	b->reached = true;
	b->peer = stream_adopt_take(b->loop, fd, &peer_events, b);
	stream_write(b->peer, SPAN("554 no service here\r\n"));
}

static bool is_done(void *self)
{
	return ((struct bench *)self)->done;
}

/* Sends to the domain's MX; somebody listens at 192.0.2.1. */
static void try(struct bench *b, const char *exchangers, const char *source)
{
	struct smtp_way_settings settings = { .own_name = SPAN("gw"), .connections_per_mailbox = 1, .idle_ms = 1000, .connect_ms = 5000 };
	struct listener *listener;
	struct address at;
	char authority[128];

	world_begin(1, 0);
	*b = (struct bench){ .loop = world_loop("post") };
	b->letter = (struct way_letter){ .mailbox = 1, .way = WAY_CONNECTOR, .done = on_done, .self = b };
	world_exchangers("contoso.example", exchangers);
	world_name("dead.mail.protection.outlook.com", "192.0.2.9");
	world_name("contoso.mail.protection.outlook.com", "2001:db8::1 192.0.2.1");
	world_name("filter.example", "192.0.2.1");
	assert_true(address_parse(&at, SPAN("192.0.2.1"), 25));
	listener = listener_new(b->loop, listener_bind(&at, 8), on_accepted, b);
	assert_int_equal(tls_client_new(&b->tls, world_authority(authority, "ca"), NULL), FAULT_OK);
	b->dns = dns_new(b->loop, SPAN(""), SPAN(""));
	b->way = smtp_way_new(b->loop, b->dns, b->tls, &settings, &events, b);
	smtp_way_send(b->way, &b->letter);
	smtp_way_token(b->way, &(struct message_token){ .request = b->request, .mailbox = 1, .way = WAY_CONNECTOR, .host = SPAN("contoso.example"), .by_mx = true,
							.port = 25, .tls = 1, .user = SPAN("box@contoso.example"), .source = span_of(source) });
	world_run_until(60000, is_done, b);
	assert_true(b->done);
	smtp_way_free(&b->way);
	if (b->peer)
		stream_close(&b->peer);
	listener_free(&listener);
	dns_free(&b->dns);
	tls_drop(&b->tls);
	loop_free(&b->loop);
	world_end();
}

static void the_tenants_host_alone(void **state)
{
	struct bench b;

	try(&b, "filter.example contoso.mail.protection.outlook.com", "0.0.0.0");
	assert_true(b.reached);
	try(&b, "filter.example", "0.0.0.0");
	assert_false(b.reached);
	assert_int_equal(b.fault, FAULT_NO_ADDRESS);
	assert_non_null(strstr(b.said, "the MX of contoso.example names no host of a Microsoft tenant"));
	try(&b, "", "0.0.0.0");
	assert_int_equal(b.fault, FAULT_NO_ADDRESS);
	try(&b, NULL, "0.0.0.0");
	assert_int_equal(b.fault, FAULT_TIMEOUT);
}

static void the_next_host_where_one_is_dead(void **state)
{
	struct bench b;

	try(&b, "dead.mail.protection.outlook.com contoso.mail.protection.outlook.com", "0.0.0.0");
	assert_true(b.reached);
	try(&b, "dead.mail.protection.outlook.com", "0.0.0.0");
	assert_int_equal(b.fault, FAULT_UNREACHABLE);
}

static void from_the_address_that_was_chosen(void **state)
{
	struct bench b;

	try(&b, "contoso.mail.protection.outlook.com", "192.0.2.77");
	assert_string_equal(b.from, "192.0.2.77");
	try(&b, "contoso.mail.protection.outlook.com", "2001:db8::77");
	assert_false(b.reached); /* nobody listens there, and no other family will do */
}

TESTS(the_tenants_host_alone, the_next_host_where_one_is_dead, from_the_address_that_was_chosen)
