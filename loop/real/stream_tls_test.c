/* TLS over streams: both our ends, and what must be refused (T-STARTTLS 8, 10). */
#include "loop/real/test_end.h"
#include "loop/real/test_pki.h"

#include <sys/socket.h>
#include <unistd.h>

struct scene {
	struct loop *loop;
	struct test_pki pki;
	struct tls *server, *client;
	struct test_end left, right; /* server, client */
	struct span host;
};

static struct scene *here;

static void scene_init(struct scene *s, const struct test_flaw *flaw, const char *alpn)
{
	struct test_leaf leaf;
	int fds[2];

	*s = (struct scene){ .loop = loop_new(), .host = SPAN("localhost") };
	here = s;
	test_pki_init(&s->pki);
	leaf = test_pki_leaf(&s->pki, flaw);
	assert_int_equal(
		tls_server_new(&s->server,
			       &(struct tls_server_settings){ leaf.certificate_pem, leaf.key_pem,
							      /* our own server would refuse SHA-1 too */
							      .lowest = flaw->sha1 ? TLS_VERSION_1_0 : TLS_VERSION_1_2,
							      .alpn = span_of(alpn ? alpn : "") },
			       NULL),
		FAULT_OK);
	assert_int_equal(tls_client_new(&s->client, s->pki.root_pem, NULL), FAULT_OK);
	assert_int_equal(stream_pair(fds), 0);
	test_end_adopt(&s->left, s->loop, fds[0]);
	test_end_adopt(&s->right, s->loop, fds[1]);
}

static void scene_free(struct scene *s)
{
	test_end_close(&s->left);
	test_end_close(&s->right);
	tls_drop(&s->server);
	tls_drop(&s->client);
	loop_free(&s->loop);
	test_pki_free(&s->pki);
}

static void start_server(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_server(e->stream, here->server);
	else
		stream_write(e->stream, SPAN("220 hello\r\n"));
}

static void start_client(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_client(e->stream, here->client, here->host);
}

static void implicit_tls(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_opened = start_server;
	s.right.on_opened = start_client;
	s.right.stop_at = 11;
	test_run(s.loop);
	assert_string_equal(s.right.log, "opened opened data ");
	assert_string_equal(s.left.log, "opened opened ");
	assert_span(buf_span(&s.right.got), "220 hello\r\n");
	assert_span(stream_tls_version(s.right.stream), "TLSv1.3");
	assert_span(stream_tls_cipher(s.left.stream), "TLS_AES_256_GCM_SHA384");
	s.left.stops_when_ended = true;
	stream_finish(&s.right.stream);
	test_run(s.loop);
	assert_int_equal(s.left.fault, FAULT_CLOSED);
	assert_string_equal(s.left.why, "");
	scene_free(&s);
}

static void much_each_way(void **state)
{
	static char much[3 * 1024 * 1024];
	struct scene s;

	for (size_t i = 0; i < sizeof much; i++)
		much[i] = (char)(i * 7 >> 3);
	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_opened = start_server;
	s.right.on_opened = start_client;
	s.left.echoes = true;
	s.left.take_max = 1000; /* the rest is offered again and again */
	s.right.stop_at = sizeof much + 11;
	stream_write(s.right.stream, SPAN(""));
	test_run_for(s.loop, 50);
	s.left.take_max = 0;
	stream_write(s.right.stream, (struct span){ much, sizeof much });
	test_run(s.loop);
	assert_int_equal(s.right.got.size, sizeof much + 11);
	assert_memory_equal(s.right.got.at + 11, much, sizeof much);
	scene_free(&s);
}

/* STARTTLS: the reply goes out in the clear, and before anything of TLS. */
static void on_command(struct test_end *e)
{
	if (e->opened > 1)
		return;
	stream_write(e->stream, SPAN("220 go ahead\r\n"));
	stream_start_tls_server(e->stream, here->server);
	stream_write(e->stream, SPAN("250 under TLS\r\n"));
}

static void on_reply(struct test_end *e)
{
	if (e->opened == 1)
		stream_start_tls_client(e->stream, here->client, here->host);
}

static void starttls_after_what_is_unsent(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_data = on_command;
	s.right.on_data = on_reply;
	s.right.stop_at = 29;
	stream_write(s.right.stream, SPAN("STARTTLS\r\n"));
	test_run(s.loop);
	assert_span(buf_span(&s.left.got), "STARTTLS\r\n");
	assert_span(buf_span(&s.right.got), "220 go ahead\r\n250 under TLS\r\n");
	assert_string_equal(s.right.log, "opened data opened data ");
	scene_free(&s);
}

/* PROXY protocol: header and ClientHello in one segment. */
static void take_head(struct test_end *e)
{
	e->take_max = 0;
	if (e->opened == 1)
		stream_start_tls_server(e->stream, here->server);
}

static void leftovers_begin_the_handshake(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_data = take_head;
	s.left.take_max = 7;
	s.left.stop_at = 12;
	stream_write(s.right.stream, SPAN("PROXY\r\n"));
	stream_start_tls_client(s.right.stream, s.client, s.host);
	stream_write(s.right.stream, SPAN("EHLO\n"));
	test_run(s.loop);
	assert_span(buf_span(&s.left.got), "PROXY\r\nEHLO\n");
	assert_string_equal(s.left.log, "opened data opened data ");
	scene_free(&s);
}

static void leftovers_can_be_seen(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.take_max = 10;
	stream_write(s.right.stream, SPAN("STARTTLS\r\nNOOP\r\n"));
	test_run_for(s.loop, 20);
	assert_int_equal(stream_unread(s.left.stream), 6);
	scene_free(&s);
}

/* Commands in the clear where a ClientHello is due are no TLS. */
static void t_starttls_03_injected_bytes_are_no_handshake(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_opened = start_server;
	s.left.stops_when_ended = true;
	stream_write(s.right.stream, SPAN("NOOP\r\nNOOP\r\n"));
	test_run(s.loop);
	assert_int_equal(s.left.fault, FAULT_TLS_FAILED);
	assert_int_equal(s.left.got.size, 0);
	scene_free(&s);
}

static enum fault verdict(const struct test_flaw *flaw, const char *host, char why_out[256])
{
	struct scene s;
	enum fault f;

	scene_init(&s, flaw, NULL);
	s.host = span_of(host);
	s.left.on_opened = start_server;
	s.right.on_opened = start_client;
	s.right.stop_at = 11;
	s.right.stops_when_ended = true;
	test_run(s.loop);
	f = s.right.fault;
	snprintf(why_out, 256, "%s", s.right.why);
	if (f != FAULT_OK)
		assert_string_equal(s.right.log + strlen("opened "), "ended TLS_UNTRUSTED ");
	test_run_for(s.loop, 10);
	if (f != FAULT_OK)
		assert_int_equal(s.left.got.size, 0);
	scene_free(&s);
	return f;
}

static void trusted(const struct test_flaw *flaw, const char *host)
{
	char why[256];

	if (verdict(flaw, host, why) != FAULT_OK)
		fail_msg("%s: %s", host, why);
}

static void untrusted(const struct test_flaw *flaw, const char *host, const char *wanted)
{
	char why[256];

	assert_int_equal(verdict(flaw, host, why), FAULT_TLS_UNTRUSTED);
	if (!strstr(why, wanted))
		fail_msg("%s: %s", host, why);
}

static void t_starttls_08_right_name(void **state)
{
	trusted(&(struct test_flaw){ 0 }, "localhost");
	trusted(&(struct test_flaw){ 0 }, "LocalHost.");
	trusted(&(struct test_flaw){ 0 }, "127.0.0.1");
	trusted(&(struct test_flaw){ .names = "IP:::1" }, "[::1]");
	trusted(&(struct test_flaw){ .names = "DNS:*.example.org" }, "mail.example.org");
	trusted(&(struct test_flaw){ .rsa = true }, "localhost");
}

static void t_starttls_08_wrong_name(void **state)
{
	untrusted(&(struct test_flaw){ 0 }, "smtp.example.org", "hostname mismatch");
	untrusted(&(struct test_flaw){ 0 }, "127.0.0.2", "IP address mismatch");
	untrusted(&(struct test_flaw){ .names = "DNS:127.0.0.1" }, "127.0.0.1", "IP address mismatch");
	untrusted(&(struct test_flaw){ .names = "DNS:other", .common_name = "localhost" }, "localhost",
		  "hostname mismatch");
	untrusted(&(struct test_flaw){ .names = "IP:127.0.0.1", .common_name = "localhost" }, "localhost",
		  "hostname mismatch");
	untrusted(&(struct test_flaw){ 0 }, "", "hostname mismatch");
}

static void t_starttls_08_expired(void **state)
{
	untrusted(&(struct test_flaw){ .starts_days = -2, .ends_days = -1 }, "localhost", "expired");
	untrusted(&(struct test_flaw){ .starts_days = 1, .ends_days = 2 }, "localhost", "not yet valid");
}

static void t_starttls_08_self_signed(void **state)
{
	untrusted(&(struct test_flaw){ .self_signed = true }, "localhost", "self-signed");
}

static void t_starttls_08_wrong_usage(void **state)
{
	untrusted(&(struct test_flaw){ .usage = "clientAuth" }, "localhost", "purpose");
}

static void t_starttls_08_embedded_nul(void **state)
{
	untrusted(&(struct test_flaw){ .raw_name = SPAN("localhost\0.evil.example") }, "localhost",
		  "hostname mismatch");
}

static void t_starttls_08_wildcard_depth(void **state)
{
	untrusted(&(struct test_flaw){ .names = "DNS:*.example.org" }, "a.b.example.org", "hostname mismatch");
	untrusted(&(struct test_flaw){ .names = "DNS:*.example.org" }, "example.org", "hostname mismatch");
	untrusted(&(struct test_flaw){ .names = "DNS:ma*.example.org" }, "mail.example.org", "hostname mismatch");
	untrusted(&(struct test_flaw){ .names = "DNS:*" }, "localhost", "hostname mismatch");
	untrusted(&(struct test_flaw){ .names = "DNS:*.org" }, "example.org", "hostname mismatch");
}

static void t_starttls_08_sha1(void **state)
{
	untrusted(&(struct test_flaw){ .sha1 = true }, "localhost", "too weak");
}

static void t_starttls_08_unknown_ca(void **state)
{
	struct test_pki other;
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	test_pki_init(&other);
	tls_drop(&s.client);
	assert_int_equal(tls_client_new(&s.client, other.root_pem, NULL), FAULT_OK);
	s.left.on_opened = start_server;
	s.right.on_opened = start_client;
	s.right.stops_when_ended = true;
	test_run(s.loop);
	assert_int_equal(s.right.fault, FAULT_TLS_UNTRUSTED);
	test_pki_free(&other);
	scene_free(&s);
}

/* A browser led to the SMTP port speaks "http/1.1"; without ALPN old clients go on. */
static void t_starttls_10_alpn(void **state)
{
	static const struct {
		const char *ours;
		const char *theirs; /* one size byte, then the name */
		bool shakes;
	} rows[] = { { "smtp", "\x08http/1.1", false },
		     { "smtp", "\x04smtp", true },
		     { "smtp", "\x08http/1.1\x04smtp", true },
		     { "smtp", NULL, true },
		     { "", "\x08http/1.1", true },
		     { "http/1.1", "\x02h2", false } };

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		SSL_CTX *client = SSL_CTX_new(TLS_client_method());
		SSL *ssl = SSL_new(client);
		struct scene s;
		int fds[2];

		scene_init(&s, &(struct test_flaw){ 0 }, rows[i].ours);
		test_end_close(&s.left);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		test_end_adopt(&s.left, s.loop, fds[0]);
		s.left.on_opened = start_server;
		s.left.stops_when_ended = true;
		if (rows[i].theirs)
			SSL_set_alpn_protos(ssl, (const unsigned char *)rows[i].theirs,
					    (unsigned)strlen(rows[i].theirs));
		SSL_set_fd(ssl, fds[1]);
		SSL_set_connect_state(ssl);
		for (int turn = 0; turn < 6 && s.left.opened < 2 && s.left.fault == FAULT_OK; turn++) {
			SSL_do_handshake(ssl);
			test_run_for(s.loop, 10);
		}
		assert_int_equal(s.left.opened == 2, rows[i].shakes);
		assert_int_equal(s.left.fault, rows[i].shakes ? FAULT_OK : FAULT_TLS_FAILED);
		SSL_free(ssl);
		SSL_CTX_free(client);
		close(fds[1]);
		scene_free(&s);
	}
}

static void a_handshake_broken_off(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_opened = start_server;
	s.left.stops_when_ended = true;
	stream_write(s.right.stream, SPAN("\x16\x03\x01"));
	stream_finish(&s.right.stream);
	test_run(s.loop);
	assert_int_equal(s.left.fault, FAULT_TLS_FAILED);
	scene_free(&s);
}

/* A new certificate serves those that come later; a session keeps the one it began with. */
static void contexts_are_replaced_without_dropping(void **state)
{
	struct scene s;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	s.left.on_opened = start_server;
	s.right.on_opened = start_client;
	s.right.stop_at = 11;
	test_run(s.loop);
	tls_drop(&s.server);
	tls_drop(&s.client);
	s.left.stop_at = 4;
	stream_write(s.right.stream, SPAN("more"));
	test_run(s.loop);
	assert_span(buf_span(&s.left.got), "more");
	scene_free(&s);
}

/* --- certificates of clients */

/* A server that asks clients for a certificate of `ca`; what it knows of this one, and whether the client is through. */
static bool shown(struct test_leaf leaf, struct test_pki *pki, struct span ca, struct span host, char names_out[256])
{
	struct test_leaf server = test_pki_leaf(pki, &(struct test_flaw){ 0 });
	struct tls_server_settings settings = { server.certificate_pem, server.key_pem, .lowest = TLS_VERSION_1_2, .client_ca_pem = ca };
	struct tls *trusting;
	struct scene s;
	struct buf names;
	bool through;

	scene_init(&s, &(struct test_flaw){ 0 }, NULL);
	tls_drop(&s.server);
	tls_drop(&s.client);
	s.host = host;
	assert_int_equal(tls_server_new(&s.server, &settings, NULL), FAULT_OK);
	assert_int_equal(tls_client_new(&trusting, pki->root_pem, NULL), FAULT_OK);
	if (leaf.key_pem.size)
		assert_int_equal(tls_client_certified(&s.client, trusting, leaf.certificate_pem, leaf.key_pem, NULL), FAULT_OK);
	else
		s.client = tls_hold(trusting);
	tls_drop(&trusting);
	s.left.on_opened = start_server;
	s.right.on_opened = start_client;
	s.right.stop_at = 11;
	s.right.stops_when_ended = true;
	test_run(s.loop);
	through = s.right.fault == FAULT_OK;
	buf_over(&names, names_out, 256);
	stream_tls_names(s.left.stream, &names);
	buf_put_byte(&names, 0);
	scene_free(&s);
	return through;
}

static void clients_show_certificates(void **state)
{
	struct test_leaf good, server_only, stranger, old, none = { { 0 }, { 0 } };
	struct test_pki pki, other;
	char names[256];

	test_pki_init(&pki);
	test_pki_init(&other);
	good = test_pki_leaf(&pki, &(struct test_flaw){ .names = "DNS:mail.example, DNS:*.example, IP:127.0.0.1", .usage = "clientAuth" });
	server_only = test_pki_leaf(&pki, &(struct test_flaw){ .names = "DNS:mail.example" });
	stranger = test_pki_leaf(&other, &(struct test_flaw){ .names = "DNS:mail.example" });
	old = test_pki_leaf(&pki, &(struct test_flaw){ .names = "DNS:mail.example", .starts_days = -9, .ends_days = -1 });
	assert_true(shown(good, &pki, pki.root_pem, SPAN("localhost"), names));
	assert_string_equal(names, "mail.example *.example");
	assert_true(shown(server_only, &pki, pki.root_pem, SPAN("localhost"), names));
	assert_string_equal(names, "mail.example");
	/* who is not believed, or shows nothing, is let in without a name; who is not asked shows nothing */
	assert_true(shown(stranger, &pki, pki.root_pem, SPAN("localhost"), names));
	assert_string_equal(names, "");
	assert_true(shown(old, &pki, pki.root_pem, SPAN("localhost"), names));
	assert_string_equal(names, "");
	assert_true(shown(none, &pki, pki.root_pem, SPAN("localhost"), names));
	assert_string_equal(names, "");
	assert_true(shown(good, &pki, SPAN(""), SPAN("localhost"), names));
	assert_string_equal(names, "");
	/* and the server is verified as ever */
	assert_false(shown(good, &pki, pki.root_pem, SPAN("other.example"), names));
	test_pki_free(&pki);
	test_pki_free(&other);
}

TESTS(implicit_tls, much_each_way, starttls_after_what_is_unsent, leftovers_begin_the_handshake, leftovers_can_be_seen,
      t_starttls_03_injected_bytes_are_no_handshake, t_starttls_08_right_name, t_starttls_08_wrong_name,
      t_starttls_08_expired, t_starttls_08_self_signed, t_starttls_08_wrong_usage, t_starttls_08_embedded_nul,
      t_starttls_08_wildcard_depth, t_starttls_08_sha1, t_starttls_08_unknown_ca, t_starttls_10_alpn,
      a_handshake_broken_off, contexts_are_replaced_without_dropping, clients_show_certificates)
