/* The listener over streams and virtual time: TLS, held replies, patience, and the sessions that a switch ends. */
#include "twin/exchange.h"

#include "base/text.h"
#include "loop/fake/world.h"
#include "tests/test.h"
#include "tests/twin_site.h"

static const int64_t wall = 1433160000000;
static struct twin_keys *keys;
static struct test_tenant site;
static struct loop *loop;
static struct exchange *exchange;
static struct tls *server_tls, *client_tls;
static struct address at;

struct client {
	struct stream *stream;
	struct buf said;
	unsigned opened;
	bool ended;
};

static void on_opened(void *self)
{
	((struct client *)self)->opened++;
}

static size_t on_data(void *self, struct span bytes)
{
	buf_put(&((struct client *)self)->said, bytes);
	return bytes.size;
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct client *c = self;

	c->ended = true;
	stream_close(&c->stream);
}

static const struct stream_events events = { on_opened, on_data, NULL, on_ended };

static void begin(void)
{
	struct world_network quick = { 1, 1, 0, 0, 256 * 1024, 1500 };
	char certificate[512], authority[128];
	const char *why = NULL;
	int fd;

	world_begin(1, wall);
	world_network(&quick);
	if (!keys)
		assert_int_equal(twin_keys_make(&keys, wall), FAULT_OK);
	test_tenant_init(&site, keys);
	loop = world_loop("twin");
	assert_int_equal(tls_server_new(&server_tls, &(struct tls_server_settings){ .certificate_pem = world_certificate(certificate, "localhost", "ca", wall * 2),
										  .key_pem = world_certificate(certificate, "localhost", "ca", wall * 2) },
					&why),
			 FAULT_OK);
	assert_int_equal(tls_client_new(&client_tls, world_authority(authority, "ca"), &why), FAULT_OK);
	exchange = exchange_new(loop, server_tls, server_tls, &site.world);
	assert_true(address_parse(&at, SPAN("127.0.0.1"), 0));
	fd = listener_bind(&at, 10);
	assert_true(fd >= 0);
	at = listener_address(fd);
	exchange_listen(exchange, EXCHANGE_SUBMISSION, false, fd);
}

static void end(void)
{
	exchange_free(&exchange);
	tls_drop(&server_tls);
	tls_drop(&client_tls);
	world_run_until(world_steps() ? loop_now_ms(loop) + 20000 : 0, NULL, NULL);
	loop_free(&loop);
	world_end();
	test_tenant_fini(&site);
}

static void wait_ms(int64_t ms)
{
	world_run_until(loop_now_ms(loop) + ms, NULL, NULL);
}

static void heard(struct client *c, const char *start)
{
	if (!span_starts(buf_span(&c->said), span_of(start)))
		print_error("got |%.*s| wanted |%s|\n", SPAN_ARGS(buf_span(&c->said)), start);
	assert_true(span_starts(buf_span(&c->said), span_of(start)));
	buf_clear(&c->said);
}

static void say(struct client *c, const char *text)
{
	stream_write(c->stream, span_of(text));
	wait_ms(100);
}

static void client_open(struct client *c)
{
	memset(c, 0, sizeof *c);
	buf_init(&c->said, 1 << 20);
	c->stream = stream_connect(loop, &at, NULL, 1000, &events, c);
	wait_ms(100);
}

static void client_close(struct client *c)
{
	stream_close(&c->stream);
	buf_free(&c->said);
	wait_ms(100);
}

/* Greeting, STARTTLS, handshake, EHLO. */
static void client_secure(struct client *c)
{
	client_open(c);
	heard(c, "220 PN4P287CA0064.outlook.office365.com Microsoft ESMTP MAIL Service ready at Mon, 1 Jun 2015 12:00:0");
	say(c, "EHLO x\r\n");
	heard(c, "250-");
	say(c, "STARTTLS\r\n");
	heard(c, "220 2.0.0 SMTP server ready\r\n");
	stream_start_tls_client(c->stream, client_tls, SPAN("localhost"));
	wait_ms(200);
	assert_int_equal(c->opened, 2);
	say(c, "EHLO x\r\n");
	assert_true(span_find(buf_span(&c->said), SPAN("250-AUTH LOGIN XOAUTH2\r\n")) < c->said.size);
	buf_clear(&c->said);
}

static void sign_in(struct client *c, const char *address)
{
	struct buf text, line;

	buf_init(&text, 1 << 16);
	buf_init(&line, 1 << 16);
	test_tenant_xoauth2(&site, &text, address, address, "https://outlook.office.com", wall);
	buf_put(&line, SPAN("AUTH XOAUTH2 "));
	text_base64(&line, buf_span(&text));
	buf_put(&line, SPAN("\r\n\0"));
	say(c, line.at);
	heard(c, "235 2.7.0 Authentication successful\r\n");
	buf_free(&text);
	buf_free(&line);
}

static void a_message_over_tls(void **state)
{
	struct client c;

	begin();
	client_secure(&c);
	sign_in(&c, "alex@contoso.example");
	say(&c, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n");
	heard(&c, "250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n354 ");
	say(&c, "From: alex@contoso.example\r\n\r\nhello\r\n.\r\nQUIT\r\n");
	heard(&c, "250 2.0.0 OK <");
	wait_ms(100);
	assert_true(c.ended);
	assert_int_equal(twin_shelf_last(site.world.shelf), 1);
	client_close(&c);
	end();
}

static void switches_end_the_sessions_they_concern(void **state)
{
	struct twin_change change;
	struct client alex, billing, nobody;

	begin();
	client_secure(&alex);
	sign_in(&alex, "alex@contoso.example");
	client_secure(&billing);
	sign_in(&billing, "billing@contoso.example");
	client_secure(&nobody);
	assert_int_equal(exchange_sessions(exchange, NULL), 3);
	assert_int_equal(exchange_sessions(exchange, &site.tenant.users[0]), 1);
	/* one mailbox */
	assert_int_equal(twin_tenant_set(&site.tenant, SPAN("smtp_auth"), SPAN("off"), SPAN("alex@contoso.example"), wall, &change), FAULT_OK);
	exchange_end_sessions(exchange, &change);
	wait_ms(200);
	heard(&alex, "421 4.3.2 ");
	assert_true(alex.ended && !billing.ended && !nobody.ended);
	/* the same again changes nothing */
	assert_int_equal(twin_tenant_set(&site.tenant, SPAN("smtp_auth"), SPAN("off"), SPAN("alex@contoso.example"), wall, &change), FAULT_OK);
	assert_int_equal(change.ends, TWIN_ENDS_NONE);
	/* passwords alone */
	assert_int_equal(twin_tenant_set(&site.tenant, SPAN("basic_auth"), SPAN("off"), SPAN(""), wall, &change), FAULT_OK);
	exchange_end_sessions(exchange, &change);
	wait_ms(200);
	assert_true(!billing.ended && !nobody.ended);
	/* the tenant */
	assert_int_equal(twin_tenant_set(&site.tenant, SPAN("smtp_auth"), SPAN("off"), SPAN(""), wall, &change), FAULT_OK);
	exchange_end_sessions(exchange, &change);
	wait_ms(200);
	assert_true(billing.ended && nobody.ended);
	assert_int_equal(exchange_sessions(exchange, NULL), 0);
	client_close(&alex);
	client_close(&billing);
	client_close(&nobody);
	end();
}

static void replies_that_are_held(void **state)
{
	struct client c;

	begin();
	test_tenant_fault(&site, "stall_greeting", "", 1, 5000);
	test_tenant_set(&site, "sign_in_delay_ms", "5000", "");
	client_open(&c);
	wait_ms(4800);
	assert_int_equal(c.said.size, 0);
	wait_ms(300);
	heard(&c, "220 ");
	client_close(&c);
	client_secure(&c);
	say(&c, "AUTH XOAUTH2 AAAA\r\nNOOP\r\n");
	wait_ms(4700);
	assert_int_equal(c.said.size, 0);
	wait_ms(400);
	assert_true(span_find(buf_span(&c.said), SPAN("250 2.0.0 OK")) < c.said.size);
	heard(&c, "535 5.7.3 ");
	client_close(&c);
	end();
}

static void a_client_that_is_silent(void **state)
{
	struct client c;

	begin();
	client_open(&c);
	heard(&c, "220 ");
	wait_ms(EXCHANGE_IDLE_MS - 1000);
	assert_false(c.ended);
	wait_ms(2000);
	heard(&c, "451 4.7.0 Timeout waiting for client input");
	assert_true(c.ended);
	client_close(&c);
	end();
}

static void commands_before_tls_are_thrown_away(void **state)
{
	struct client c;

	begin();
	client_open(&c);
	heard(&c, "220 ");
	say(&c, "EHLO x\r\nSTARTTLS\r\nMAIL FROM:<x@y.example>\r\n");
	buf_clear(&c.said);
	stream_start_tls_client(c.stream, client_tls, SPAN("localhost"));
	wait_ms(200);
	say(&c, "NOOP\r\n");
	heard(&c, "250 2.0.0 OK\r\n");
	client_close(&c);
	end();
}

TESTS(a_message_over_tls, switches_end_the_sessions_they_concern, replies_that_are_held, a_client_that_is_silent, commands_before_tls_are_thrown_away)
