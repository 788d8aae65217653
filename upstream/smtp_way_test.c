/* The way out by SMTP to a provider on loopback: TLS that is verified, connections that are kept, tokens that are asked for. */
#include "upstream/smtp_way.h"

#include "base/clock.h"
#include "loop/certificate.h"
#include "tests/provider.h"

enum { GIVE_UP_MS = 20000, LETTERS_MAX = 32 };

struct letter {
	struct way_letter way;
	struct smtp_client_recipient recipient;
	bool done, begun;
	struct outcome outcome;
	enum way_blame blame;
	char host[64];
};

struct bench {
	struct loop *loop;
	struct dns *dns;
	struct smtp_way *way;
	struct provider provider;
	struct timer guard;
	bool gave_up;
	struct certificate_pair authority, server;
	const char *host, *tenant;
	uint8_t tls;
	unsigned asked, forced;
	uint64_t requests[LETTERS_MAX];
	bool is_silent;
	struct letter letters[LETTERS_MAX];
};

static void on_guard(void *self)
{
	struct bench *b = self;

	b->gave_up = true;
	loop_stop(b->loop);
}

static void answer(void *self)
{
	struct bench *b = self;

	for (unsigned i = 0; i < b->asked; i++)
		if (b->requests[i]) {
			uint64_t request = b->requests[i];

			b->requests[i] = 0;
			smtp_way_token(b->way, &(struct message_token){
				.request = request, .mailbox = 1, .way = WAY_SMTP, .token = SPAN("token"), .generation = 7, .expires_at_ms = clock_wall_ms() + 60000,
				.host = span_of(b->host), .port = b->provider.port, .tls = b->tls, .mechanism = 3, .user = SPAN("box@example.org"),
				.tenant = span_of(b->tenant),
			});
		}
}

static struct timer answering;
static int64_t idle_ms = 5000;

static void on_token_wanted(void *self, uint64_t request, uint64_t mailbox, enum way way, bool force, uint64_t generation)
{
	struct bench *b = self;

	assert_true(mailbox == 1 && b->asked < LETTERS_MAX && (!force || generation == 7));
	b->forced += force;
	b->requests[b->asked++] = request;
	if (!b->is_silent)
		timer_after(&answering, 0);
}

static void on_named(void *self, uint64_t mailbox, struct span tenant, struct span host)
{
	struct bench *b = self;

	assert_span(tenant, b->tenant);
	assert_span(host, b->host);
}

static const struct way_events events = { .token_wanted = on_token_wanted, .named = on_named };

/* The certificate of the provider is for `name`; it is signed by an authority that the way trusts, unless `is_foreign`. */
static struct bench *bench_new(uint8_t tls, const char *name, bool is_foreign)
{
	struct bench *b = calloc(1, sizeof *b);
	struct smtp_way_settings settings = { .own_name = SPAN("gw.example.org"), .connections_per_mailbox = 2, .idle_ms = idle_ms, .connect_ms = 5000 };
	struct certificate_pair other;
	struct span names[] = { span_of(name) };
	struct tls *client;

	b->loop = loop_new();
	b->host = "localhost";
	b->tenant = "tenant";
	b->tls = tls;
	timer_init(&b->guard, b->loop, on_guard, b);
	timer_init(&answering, b->loop, answer, b);
	provider_begin(&b->provider, b->loop);
	assert_int_equal(certificate_authority(&b->authority, "one"), FAULT_OK);
	assert_int_equal(certificate_authority(&other, "two"), FAULT_OK);
	assert_int_equal(certificate_for(&b->server, is_foreign ? &other : &b->authority, names, 1, false), FAULT_OK);
	certificate_pair_free(&other);
	if (tls)
		assert_int_equal(tls_server_new(&b->provider.tls,
						&(struct tls_server_settings){ .certificate_pem = buf_span(&b->server.certificate_pem),
									       .key_pem = buf_span(&b->server.key_pem), .lowest = TLS_VERSION_1_2 },
						NULL),
				 FAULT_OK);
	b->provider.is_implicit = tls == 2;
	assert_int_equal(tls_client_new(&client, buf_span(&b->authority.certificate_pem), NULL), FAULT_OK);
	b->dns = dns_new(b->loop, SPAN(""), SPAN("127.0.0.1 localhost\n"));
	b->way = smtp_way_new(b->loop, b->dns, client, &settings, &events, b);
	tls_drop(&client);
	return b;
}

static void bench_free(struct bench *b)
{
	smtp_way_free(&b->way);
	provider_end(&b->provider);
	if (b->provider.tls)
		tls_drop(&b->provider.tls);
	dns_free(&b->dns);
	certificate_pair_free(&b->authority);
	certificate_pair_free(&b->server);
	timer_stop(&b->guard);
	timer_stop(&answering);
	loop_free(&b->loop);
	free(b);
}

static void on_more(void *self)
{
	struct letter *l = self;

	way_body(&l->way, SPAN("Subject: x\r\n\r\nbody\r\n"), true);
}

static void on_done(void *self, const struct way_end *end)
{
	struct letter *l = self;

	assert_false(l->done);
	l->done = true;
	l->begun = end->begun;
	l->blame = end->blame;
	l->outcome = end->begun ? l->recipient.outcome : *end->outcome;
	snprintf(l->host, sizeof l->host, "%.*s", SPAN_ARGS(end->host));
}

static struct letter *send(struct bench *b, size_t at, bool is_probe)
{
	struct letter *l = &b->letters[at];

	*l = (struct letter){ .recipient = { .address = SPAN("x@example.net") } };
	l->way = (struct way_letter){ .mailbox = 1, .way = WAY_SMTP, .more = on_more, .done = on_done, .self = l,
					   .message = { .sender = SPAN("box@example.org"), .recipients = &l->recipient, .recipient_count = !is_probe } };
	smtp_way_send(b->way, &l->way);
	return l;
}

static void wait_for(struct bench *b, const bool *what)
{
	timer_after(&b->guard, GIVE_UP_MS);
	while (!*what && !b->gave_up) {
		timer_after(&b->guard, 20); /* looks again: `done` stops no loop */
		loop_run(b->loop);
		b->gave_up = false;
	}
	assert_true(*what);
}

static void starttls_and_implicit_tls(void **state)
{
	for (uint8_t tls = 1; tls <= 2; tls++) {
		struct bench *b = bench_new(tls, "localhost", false);
		struct letter *l = send(b, 0, false);

		wait_for(b, &l->done);
		assert_true(l->begun);
		assert_int_equal(l->outcome.fault, FAULT_OK);
		assert_string_equal(l->host, "localhost");
		assert_int_equal(b->provider.mail_count, 1);
		assert_true(b->provider.open->encrypted);
		bench_free(b);
	}
}

/* Nothing is said to a stranger: no sign-in, no mail. */
static void certificates_are_verified(void **state)
{
	for (unsigned foreign = 0; foreign < 2; foreign++)
		for (uint8_t tls = 1; tls <= 2; tls++) {
			struct bench *b = bench_new(tls, foreign ? "localhost" : "other.example.org", foreign);
			struct letter *l = send(b, 0, false);

			wait_for(b, &l->done);
			assert_false(l->begun);
			assert_int_equal(l->outcome.fault, FAULT_TLS_UNTRUSTED);
			assert_int_equal(l->blame, WAY_BLAMES_HOST);
			assert_int_equal(b->provider.sign_ins, 0);
			bench_free(b);
		}
}

static void starttls_that_is_not_offered(void **state)
{
	struct bench *b = bench_new(0, "localhost", false);
	struct letter *l;

	b->tls = 1;
	l = send(b, 0, false);
	wait_for(b, &l->done);
	assert_int_equal(l->outcome.fault, FAULT_TLS_MISSING);
	assert_int_equal(b->provider.sign_ins, 0);
	bench_free(b);
}

static void letters_share_what_there_is(void **state)
{
	struct bench *b = bench_new(0, "localhost", false);

	for (size_t i = 0; i < 10; i++)
		send(b, i, false);
	for (size_t i = 0; i < 10; i++)
		wait_for(b, &b->letters[i].done);
	assert_int_equal(b->provider.mail_count, 10);
	assert_int_equal(b->provider.connections, 2);
	assert_int_equal(smtp_way_connections(b->way), 2);
	bench_free(b);
}

/* Not when the wait for some reply would have ended. */
static void a_rest_is_as_long_as_it_was_set(void **state)
{
	struct bench *b;
	int turns = 0;

	idle_ms = 20;
	b = bench_new(0, "localhost", false);
	wait_for(b, &send(b, 0, false)->done);
	while (smtp_way_connections(b->way) && turns++ < GIVE_UP_MS / 20) {
		timer_after(&b->guard, 20);
		loop_run(b->loop);
	}
	assert_int_equal(smtp_way_connections(b->way), 0);
	bench_free(b);
	idle_ms = 5000;
}

/* A sign-in alone proves nothing on a connection of old: it makes its own. */
static void a_probe_signs_in_anew(void **state)
{
	struct bench *b = bench_new(0, "localhost", false);
	struct letter *l = send(b, 0, false);

	wait_for(b, &l->done);
	l = send(b, 1, true);
	wait_for(b, &l->done);
	assert_false(l->begun);
	assert_int_equal(l->outcome.fault, FAULT_OK);
	assert_int_equal(b->provider.sign_ins, 2);
	assert_int_equal(b->provider.mail_count, 1);
	bench_free(b);
}

static void the_vault_goes_while_it_is_asked(void **state)
{
	struct bench *b = bench_new(0, "localhost", false);
	struct letter *l;

	b->is_silent = true;
	l = send(b, 0, false);
	smtp_way_vault_ended(b->way);
	assert_true(l->done);
	assert_int_equal(l->outcome.fault, FAULT_VAULT_AWAY);
	bench_free(b);
}

static void nobody_listens(void **state)
{
	struct bench *b = bench_new(0, "localhost", false);
	struct letter *l;

	listener_free(&b->provider.listener);
	l = send(b, 0, false);
	wait_for(b, &l->done);
	assert_int_equal(l->outcome.fault, FAULT_UNREACHABLE);
	assert_int_equal(l->blame, WAY_BLAMES_HOST);
	assert_int_equal(smtp_way_connections(b->way), 0);
	bench_free(b);
}

static void send_second(void *self, const struct way_end *end)
{
	struct letter *l = self;
	struct bench *b = (struct bench *)((char *)l - offsetof(struct bench, letters));

	on_done(self, end);
	send(b, 1, false);
}

/* The refused one's RSET is under way when the next is given to the same connection, which ends before the reply: the next goes by another. */
static void a_letter_that_was_to_come_next_is_not_lost(void **state)
{
	struct bench *b = bench_new(1, "localhost", false);
	struct letter *first = &b->letters[0], *second = &b->letters[1];
	struct smtp_way_settings one = { .own_name = SPAN("gw.example.org"), .connections_per_mailbox = 1, .idle_ms = idle_ms, .connect_ms = 5000 };
	struct tls *client = NULL;

	assert_int_equal(tls_client_new(&client, buf_span(&b->authority.certificate_pem), NULL), FAULT_OK);
	smtp_way_set(b->way, client, &one);
	tls_drop(&client);
	provider_rule(&b->provider, (struct provider_rule){ .verb = "RCPT", .reply = "550 5.1.1 no such user", .times = 1 });
	provider_rule(&b->provider, (struct provider_rule){ .verb = "RSET", .hang_up = true, .times = 1 });
	*first = (struct letter){ .recipient = { .address = SPAN("nobody@example.net") } };
	first->way = (struct way_letter){ .mailbox = 1, .way = WAY_SMTP, .more = on_more, .done = send_second, .self = first,
					  .message = { .sender = SPAN("box@example.org"), .recipients = &first->recipient, .recipient_count = 1 } };
	smtp_way_send(b->way, &first->way);
	wait_for(b, &first->done);
	assert_int_equal(first->outcome.code, 550);
	wait_for(b, &second->done);
	assert_int_equal(second->outcome.fault, FAULT_OK);
	assert_int_equal(b->provider.mail_count, 1);
	assert_int_equal(b->provider.sign_ins, 2);
	bench_free(b);
}

TESTS(a_letter_that_was_to_come_next_is_not_lost, starttls_and_implicit_tls, certificates_are_verified, starttls_that_is_not_offered, letters_share_what_there_is, a_rest_is_as_long_as_it_was_set,
      a_probe_signs_in_anew, the_vault_goes_while_it_is_asked, nobody_listens)
