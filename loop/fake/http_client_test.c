#include "tests/test.h"

#include "base/buf.h"
#include "loop/fake/world.h"
#include "loop/http_client.h"
#include "loop/stream.h"

/* A host that says the same to everyone once a request has ended in a blank line. */
struct host {
	struct loop *loop;
	struct listener *listener;
	struct stream *stream;
	struct tls *tls;
	struct span says;
	struct buf heard;
};

struct fetcher {
	struct loop *loop;
	struct dns *dns;
	struct http_client *client;
	size_t answers;
	struct http_answer answer;
	char body[256], why[200], type[64];
};

static void host_opened(void *self)
{
	struct host *h = self;

	if (h->tls && !stream_tls_version(h->stream).size)
		stream_start_tls_server(h->stream, h->tls);
}

static size_t host_data(void *self, struct span bytes)
{
	struct host *h = self;

	buf_put(&h->heard, bytes);
	if (span_find(buf_span(&h->heard), SPAN("\r\n\r\n")) == h->heard.size)
		return bytes.size;
	stream_write(h->stream, h->says);
	return bytes.size;
}

static void host_ended(void *self, enum fault fault, struct span why)
{
	stream_close(&((struct host *)self)->stream);
}

static void host_accepted(void *self, int fd, const struct address *peer)
{
	static const struct stream_events events = { host_opened, host_data, NULL, host_ended };
	struct host *h = self;

	stream_close(&h->stream);
	buf_clear(&h->heard);
	h->stream = stream_adopt_take(h->loop, fd, &events, h);
}

static void enter(struct host *h, struct fetcher *f, const char *address, uint16_t port)
{
	struct address at;
	char authority[128];

	world_begin(9, 1750000000000);
	*h = (struct host){ .loop = world_loop("host") };
	buf_init(&h->heard, 100000);
	assert_true(address_parse(&at, span_of(address), port));
	h->listener = listener_new(h->loop, listener_bind(&at, 4), host_accepted, h);
	*f = (struct fetcher){ .loop = world_loop("fetcher") };
	f->dns = dns_new(f->loop, SPAN(""), SPAN(""));
	f->client = http_client_new(f->loop, f->dns, world_authority(authority, "good"));
}

static void leave(struct host *h, struct fetcher *f)
{
	http_client_free(&f->client);
	dns_free(&f->dns);
	stream_close(&h->stream);
	listener_free(&h->listener);
	tls_drop(&h->tls);
	buf_free(&h->heard);
	loop_free(&f->loop);
	loop_free(&h->loop);
	world_end();
}

static void on_done(void *self, const struct http_answer *a)
{
	struct fetcher *f = self;

	f->answers++;
	f->answer = *a;
	snprintf(f->body, sizeof f->body, "%.*s", SPAN_ARGS(a->body));
	snprintf(f->why, sizeof f->why, "%.*s", SPAN_ARGS(a->why));
	snprintf(f->type, sizeof f->type, "%.*s", SPAN_ARGS(a->content_type));
}

static void fetch(struct fetcher *f, const char *method, const char *url, const char *body, size_t most)
{
	const struct http_header header = { SPAN("X-Test"), SPAN("yes") };

	f->answers = 0;
	http_fetch(f->client, &(struct http_request){ .method = span_of(method), .url = span_of(url), .headers = &header, .header_count = 1,
						      .body = span_of(body), .timeout_ms = 4000, .answer_bytes_max = most }, on_done, f);
	assert_int_equal(f->answers, 0);
	world_run_until(world_ms() + 6000, NULL, NULL);
	assert_int_equal(f->answers, 1);
}

static void names_may_be_unknown_or_unanswered(void **state)
{
	struct host h;
	struct fetcher f;

	enter(&h, &f, "127.0.0.1", 8080);
	world_name("mute.example", NULL);
	fetch(&f, "GET", "http://nowhere.example/", "", 0);
	assert_int_equal(f.answer.fault, FAULT_NO_ADDRESS);
	fetch(&f, "GET", "http://mute.example/", "", 0);
	assert_int_equal(f.answer.fault, FAULT_TIMEOUT);
	leave(&h, &f);
}

static void secrets_need_tls(void **state)
{
	struct host h;
	struct fetcher f;
	char certificate[512];
	struct tls_server_settings settings = { .key_pem = SPAN("key") };

	enter(&h, &f, "192.0.2.5", 443);
	world_name("login.example", "192.0.2.5");
	world_name("other.example", "192.0.2.5");
	h.says = SPAN("HTTP/1.1 204 No Content\r\n\r\n");
	fetch(&f, "POST", "http://login.example:443/", "secret", 0);
	assert_int_equal(f.answer.fault, FAULT_TLS_MISSING);
	assert_int_equal(h.heard.size, 0);
	settings.certificate_pem = world_certificate(certificate, "login.example", "good", 1800000000000);
	assert_int_equal(tls_server_new(&h.tls, &settings, NULL), FAULT_OK);
	fetch(&f, "POST", "https://login.example/token", "secret", 0);
	assert_int_equal(f.answer.fault, FAULT_OK);
	assert_int_equal(f.answer.status, 204);
	fetch(&f, "POST", "https://other.example/token", "secret", 0);
	assert_int_equal(f.answer.fault, FAULT_TLS_UNTRUSTED);
	assert_string_equal(f.why, "hostname mismatch");
	assert_int_equal(h.heard.size, 0);
	leave(&h, &f);
}

TESTS(names_may_be_unknown_or_unanswered, secrets_need_tls)
