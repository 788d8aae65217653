/* The gate over real sockets, with a scripted vault and post at the other ends of its links. */
#include "gate/gate.h"

#include "base/arena.h"
#include "base/panic.h"
#include "identity/grant.h"
#include "loop/stream.h"
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

enum { PATIENCE_MS = 8000, KEY_BYTES = 32 };

static const char mac_key[KEY_BYTES] = "a key of thirty-two bytes, sure.";

struct scene {
	struct loop *loop;
	void *gate;
	struct config *config;
	struct link *vault, *post;
	struct stream *client;
	struct address address;
	struct buf got;              /* what the client has read */
	const char *wanted;
	bool is_late, is_ended, is_ready, is_drained;
	struct timer patience;

	/* the script */
	enum grant_sender_rule rule;
	bool network_granted, vault_mute, post_mute, post_refuses_early;
	uint8_t settles_as;
	enum fault settles_fault;
	const char *says;

	/* what was seen */
	struct message_mail_begin begin;
	struct buf recipients, body, sender;
	char message_id[200], heard[80], refused_sender[200];
	unsigned ends, drops;
	uint64_t session, serial;
	enum fault refused;
};

/* --- vault */

static void put_grant(struct buf *out, struct scene *s, uint64_t session)
{
	struct buf senders, maps;
	struct grant_mailbox mailbox = { .id = 7, .address = SPAN("alex@contoso.example"), .ready = FAULT_OK };
	struct grant g = { .session = session, .client = 3, .client_name = SPAN("erp"), .organisation = SPAN("contoso"), .protocol = GRANT_SMTP,
			   .expires_at_ms = INT64_MAX, .sender_rule = s->rule, .verdict_wait_ms = 1000, .default_mailbox = 7, .mailbox_count = 1,
			   .mailboxes = &mailbox };

	buf_init(&senders, 1000);
	buf_init(&maps, 1000);
	message_list_put(&senders, SPAN("alex@contoso.example"));
	message_list_put(&senders, SPAN("alias@contoso.example"));
	message_list_put(&maps, SPAN("old@contoso.example"));
	message_list_put(&maps, SPAN("alias@contoso.example"));
	mailbox.senders = buf_span(&senders);
	g.maps = buf_span(&maps);
	assert_true(grant_seal(out, &g, (struct span){ mac_key, KEY_BYTES }));
	buf_free(&senders);
	buf_free(&maps);
}

static void vault_received(void *self, struct link *link, const struct message *m)
{
	struct scene *s = self;
	struct buf grant;
	bool good;

	if (m->type == MESSAGE_refused) {
		s->refused = (enum fault)m->refused.fault;
		snprintf(s->refused_sender, sizeof s->refused_sender, "%.*s", SPAN_ARGS(m->refused.sender));
		return;
	}
	if (m->type != MESSAGE_authorize || s->vault_mute)
		return;
	buf_init(&grant, 100000);
	good = m->authorize.mechanism ? span_equal(m->authorize.user, SPAN("erp")) && span_equal(m->authorize.password, SPAN("pt_good"))
				      : s->network_granted;
	if (good)
		put_grant(&grant, s, m->authorize.session);
	link_send(link, &MESSAGE_OF(authorized, .session = m->authorize.session, .fault = good ? FAULT_OK : FAULT_BAD_LOGIN, .grant = buf_span(&grant)));
	buf_free(&grant);
}

/* --- post */

static void settle(struct scene *s, struct link *link)
{
	link_send(link, &MESSAGE_OF(settled, .session = s->session, .serial = s->serial, .kind = s->settles_as, .fault = s->settles_fault,
				    .code = s->settles_as == 2 ? 550 : 250, .enhanced = s->settles_as == 2 ? SPAN("5.7.60") : SPAN("2.0.0"),
				    .id = s->settles_as == 2 ? SPAN("") : SPAN("Q1"), .says = span_of(s->says)));
}

static void post_received(void *self, struct link *link, const struct message *m)
{
	struct scene *s = self;

	switch (m->type) {
	case MESSAGE_mail_begin:
		s->begin = m->mail_begin;
		s->session = m->mail_begin.session;
		s->serial = m->mail_begin.serial;
		buf_clear(&s->recipients);
		buf_clear(&s->body);
		buf_clear(&s->sender);
		buf_put(&s->recipients, m->mail_begin.recipients);
		buf_put(&s->sender, m->mail_begin.sender);
		if (s->post_refuses_early) {
			s->settles_as = 2;
			link_send(link, &MESSAGE_OF(settled, .session = s->session, .serial = s->serial, .kind = 2, .fault = FAULT_DISK_FULL));
		}
		break;
	case MESSAGE_mail_body:
		buf_put(&s->body, m->mail_body.bytes);
		link_send(link, &MESSAGE_OF(mail_taken, .session = s->session, .serial = s->serial, .bytes = m->mail_body.bytes.size));
		break;
	case MESSAGE_mail_end:
		s->ends++;
		snprintf(s->message_id, sizeof s->message_id, "%.*s", SPAN_ARGS(m->mail_end.message_id));
		if (!s->post_mute)
			settle(s, link);
		break;
	case MESSAGE_mail_drop: s->drops++; break;
	case MESSAGE_heard: snprintf(s->heard, sizeof s->heard, "%.*s", SPAN_ARGS(m->heard.id)); break;
	default: break;
	}
	loop_stop(s->loop);
}

static void peer_ended(void *self, struct link *link)
{
	struct scene *s = self;

	if (link == s->vault)
		link_close(&s->vault);
	else
		link_close(&s->post);
}

static const struct link_events vault_events = { .received = vault_received, .ended = peer_ended };
static const struct link_events post_events = { .received = post_received, .ended = peer_ended };

/* --- the client */

static void client_opened(void *self)
{
}

static size_t client_data(void *self, struct span bytes)
{
	struct scene *s = self;

	buf_put(&s->got, bytes);
	loop_stop(s->loop);
	return bytes.size;
}

static void client_ended(void *self, enum fault fault, struct span why)
{
	struct scene *s = self;

	s->is_ended = true;
	loop_stop(s->loop);
}

static const struct stream_events client_events = { .opened = client_opened, .data = client_data, .ended = client_ended };

static void late(void *self)
{
	struct scene *s = self;

	s->is_late = true;
	loop_stop(s->loop);
}

static void wait_for(struct scene *s, bool (*is_so)(struct scene *))
{
	s->is_late = false;
	timer_after(&s->patience, PATIENCE_MS);
	while (!is_so(s) && !s->is_late)
		loop_run(s->loop);
	timer_stop(&s->patience);
	if (s->is_late)
		print_error("waited for |%s|, got |%.*s|\n", s->wanted ? s->wanted : "", SPAN_ARGS(buf_span(&s->got)));
	assert_false(s->is_late);
}

static bool has_wanted(struct scene *s)
{
	return span_find(buf_span(&s->got), span_of(s->wanted)) < s->got.size;
}

/* Waits until the client has read this, and forgets all up to it. */
static void expect(struct scene *s, const char *wanted)
{
	s->wanted = wanted;
	wait_for(s, has_wanted);
	buf_drop(&s->got, span_find(buf_span(&s->got), span_of(wanted)) + strlen(wanted));
	s->wanted = NULL;
}

static void say(struct scene *s, const char *text)
{
	stream_write(s->client, span_of(text));
}

static void dial(struct scene *s)
{
	if (s->client)
		stream_close(&s->client);
	buf_clear(&s->got);
	s->is_ended = false;
	s->client = stream_connect(s->loop, &s->address, NULL, 5000, &client_events, s);
}

static void log_in(struct scene *s)
{
	dial(s);
	expect(s, "220 mail.contoso.example");
	say(s, "EHLO client.example\r\n");
	expect(s, "250 ");
	say(s, "AUTH PLAIN AGVycABwdF9nb29k\r\n"); /* \0erp\0pt_good */
	expect(s, "235 2.7.0");
}

/* --- life */

static void on_ready(void *self, enum fault f, struct span why)
{
	((struct scene *)self)->is_ready = f == FAULT_OK;
}

static void on_drained(void *self)
{
	((struct scene *)self)->is_drained = true;
	loop_stop(((struct scene *)self)->loop);
}

static void link_roles(struct scene *s, enum role role)
{
	int ends[2];

	assert_int_equal(stream_pair(ends), 0);
	gate_role.peer(s->gate, role, 0, ends[0]);
	if (role == ROLE_VAULT)
		s->vault = link_new_take(s->loop, ends[1], ROLE_VAULT, ROLE_GATE, 0, &vault_events, s);
	else
		s->post = link_new_take(s->loop, ends[1], ROLE_POST, ROLE_GATE, 0, &post_events, s);
}

static struct scene *scene_with(const char *listener)
{
	struct scene *s = calloc(1, sizeof *s);
	struct role_listener socket = { .name = SPAN("test") };
	struct role_start start = { .listeners = &socket, .listener_count = 1, .ready = on_ready, .drained = on_drained, .host = s };
	struct address any;
	char why[256], boot[1000];

	assert_non_null(s);
	s->settles_as = 1;
	s->says = "accepted by smtp.example: 250 2.0.0 OK";
	buf_init(&s->got, 1 << 22);
	buf_init(&s->recipients, 1 << 22);
	buf_init(&s->body, 1 << 24);
	buf_init(&s->sender, 1000);
	snprintf(boot, sizeof boot, "host_name = mail.contoso.example\nlistener test { tls = none clear_login = yes %s }", listener);
	assert_int_equal(config_read(&s->config, "test", span_of(boot), why, sizeof why), FAULT_OK);
	assert_true(address_parse(&any, SPAN("127.0.0.1"), 0));
	socket.fd = listener_bind(&any, 100);
	s->address = listener_address(socket.fd);
	start.config = s->config;
	s->loop = loop_new();
	timer_init(&s->patience, s->loop, late, s);
	assert_int_equal(gate_role.start(&s->gate, s->loop, &start, why), FAULT_OK);
	link_roles(s, ROLE_VAULT);
	link_roles(s, ROLE_POST);
	return s;
}

static void scene_end(struct scene *s)
{
	if (s->client)
		stream_close(&s->client);
	gate_role.free(&s->gate);
	if (s->vault)
		link_close(&s->vault);
	if (s->post)
		link_close(&s->post);
	timer_stop(&s->patience);
	buf_free(&s->got);
	buf_free(&s->recipients);
	buf_free(&s->body);
	buf_free(&s->sender);
	config_free(&s->config);
	loop_free(&s->loop);
	free(s);
}

static bool is_gone(struct scene *s)
{
	return s->is_ended;
}

static bool is_heard(struct scene *s)
{
	return s->heard[0] != 0;
}

static bool is_dropped(struct scene *s)
{
	return s->drops != 0;
}

static bool is_drained(struct scene *s)
{
	return s->is_drained;
}

static bool is_noted(struct scene *s)
{
	return s->refused != FAULT_OK;
}

static bool has_message(struct scene *s)
{
	return s->ends != 0;
}

#define LETTER "From: <alex@contoso.example>\r\nSubject: hello\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n.\r\n"

/* --- cases */

static void a_message_is_accepted(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	say(s, "MAIL FROM:<alias@contoso.example> BODY=8BITMIME RET=HDRS ENVID=x1\r\nRCPT TO:<a@b.example> NOTIFY=FAILURE\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0 Q1 accepted by smtp.example: 250 2.0.0 OK\r\n");
	assert_span(buf_span(&s->sender), "alias@contoso.example");
	assert_int_equal(s->begin.mailbox, 7);
	assert_int_equal(s->begin.dsn_return, 2);
	assert_string_equal(s->message_id, "<1@x>");
	assert_true(span_starts(buf_span(&s->body), SPAN("Received: from client.example")));
	assert_true(span_find(buf_span(&s->body), SPAN("\r\nDate: ")) < s->body.size);
	assert_true(span_find(buf_span(&s->body), SPAN("\r\n\r\nbody\r\n")) < s->body.size);
	wait_for(s, is_heard);
	assert_string_equal(s->heard, "Q1");
	scene_end(s);
}

static void refused_and_queued_are_told(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	s->settles_as = 2;
	s->settles_fault = FAULT_UPSTREAM_REPLY;
	s->says = "5.7.60 SMTP; Client does not have permissions to send as this sender";
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "550 5.7.60 5.7.60 SMTP; Client does not have permissions");
	s->settles_as = 3;
	s->says = "held: 535 5.7.139 Authentication unsuccessful; switch it on";
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0 Q1 held: 535 5.7.139 Authentication unsuccessful; switch it on\r\n");
	scene_end(s);
}

/* S5, T-RELAY 17 */
static void t_relay_17_senders_outside_the_grant(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	say(s, "MAIL FROM:<ceo@contoso.example>\r\n");
	expect(s, "550 5.7.1");
	wait_for(s, is_noted);
	assert_int_equal(s->refused, FAULT_SENDER_NOT_GRANTED);
	assert_string_equal(s->refused_sender, "ceo@contoso.example");
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: <ceo@contoso.example>\r\n\r\nx\r\n.\r\n");
	expect(s, "550 5.7.1");
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: <alex@contoso.example>\r\nFrom: <ceo@contoso.example>\r\n\r\nx\r\n.\r\n");
	expect(s, "550 5.7.1");
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: <alex@contoso.example>\r\nSender: <ceo@contoso.example>\r\n\r\nx\r\n.\r\n");
	expect(s, "550 5.7.1");
	assert_int_equal(s->ends, 0);
	scene_end(s);
}

static void the_null_sender_takes_the_default(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	say(s, "MAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0");
	assert_int_equal(s->begin.mailbox, 7);
	assert_span(buf_span(&s->sender), "");
	scene_end(s);
}

static void a_sender_is_rewritten(void **state)
{
	struct scene *s = scene_with("");

	s->rule = GRANT_SENDER_REWRITE;
	log_in(s);
	say(s, "MAIL FROM:<scanner@lan.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: Scanner <scanner@lan.example>\r\n\r\nx\r\n.\r\n");
	expect(s, "250 2.0.0");
	assert_span(buf_span(&s->sender), "alex@contoso.example");
	assert_true(span_find(buf_span(&s->body), SPAN("<alex@contoso.example>")) < s->body.size);
	assert_true(span_find(buf_span(&s->body), SPAN("Reply-To: ")) < s->body.size);
	say(s, "MAIL FROM:<scanner@lan.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: <scanner@lan.example>\r\nDKIM-Signature: v=1; d=lan.example\r\n\r\nx\r\n.\r\n");
	expect(s, "550 5.7.1 signed mail");
	scene_end(s);
}

static void a_sender_is_mapped(void **state)
{
	struct scene *s = scene_with("");

	s->rule = GRANT_SENDER_MAP;
	log_in(s);
	say(s, "MAIL FROM:<old@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: <old@contoso.example>\r\n\r\nx\r\n.\r\n");
	expect(s, "250 2.0.0");
	assert_span(buf_span(&s->sender), "alias@contoso.example");
	assert_true(span_find(buf_span(&s->body), SPAN("<alias@contoso.example>")) < s->body.size);
	say(s, "MAIL FROM:<other@contoso.example>\r\n");
	expect(s, "550 5.7.1");
	scene_end(s);
}

static void logins_are_refused(void **state)
{
	struct scene *s = scene_with("");

	dial(s);
	expect(s, "220 ");
	say(s, "EHLO x\r\n");
	expect(s, "250 ");
	say(s, "AUTH PLAIN AGVycABwdF93cm9uZw==\r\n");
	expect(s, "535 5.7.8");
	say(s, "MAIL FROM:<alex@contoso.example>\r\n");
	expect(s, "530 5.7.0");
	scene_end(s);
}

/* The vault away: 454, never 535. Post away: 451; and both come back. */
static void roles_that_are_away(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	s->post_mute = true;
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	wait_for(s, has_message);
	link_close(&s->post);
	expect(s, "451 4.3.0");
	say(s, "MAIL FROM:<alex@contoso.example>\r\n");
	expect(s, "451 4.3.0");
	s->post_mute = false;
	link_roles(s, ROLE_POST);
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0");
	dial(s);
	expect(s, "220 ");
	say(s, "EHLO x\r\n");
	expect(s, "250 ");
	s->vault_mute = true;
	say(s, "AUTH PLAIN AGVycABwdF9nb29k\r\n");
	link_close(&s->vault);
	expect(s, "454 4.7.0");
	scene_end(s);
}

static void post_refuses_before_the_end(void **state)
{
	struct scene *s = scene_with("");

	s->post_refuses_early = true;
	log_in(s);
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "452 4.3.1");
	scene_end(s);
}

static void trusted_networks(void **state)
{
	struct scene *s = scene_with("mechanisms = {} networks_only = yes");

	dial(s);
	expect(s, "550 5.7.1");
	wait_for(s, is_gone);
	s->network_granted = true;
	dial(s);
	expect(s, "220 ");
	say(s, "HELO scanner\r\n");
	expect(s, "250 ");
	say(s, "MAIL FROM: alex@contoso.example\r\n");
	expect(s, "250 ");
	say(s, "RCPT TO: a@b.example\r\n");
	expect(s, "250 ");
	say(s, "DATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0 Q1");
	link_close(&s->vault); /* fail closed */
	dial(s);
	expect(s, "454 4.7.0");
	scene_end(s);
}

/* T-RELAY 18 */
static void t_relay_18_proxy_header(void **state)
{
	struct scene *s = scene_with("proxy_from = { 127.0.0.1 }");

	dial(s);
	say(s, "PROXY TCP4 192.0.2.9 192.0.2.1 4444 587\r\nEHLO x\r\n");
	expect(s, "220 ");
	expect(s, "250 ");
	dial(s);
	say(s, "EHLO x\r\n");
	expect(s, "421 4.7.0");
	wait_for(s, is_gone);
	scene_end(s);
}

/* T-RELAY 19 */
static void t_relay_19_revoked_client(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	link_send(s->vault, &MESSAGE_OF(revoked, .client = 3));
	expect(s, "535 5.7.8");
	wait_for(s, is_gone);
	scene_end(s);
}

static void draining(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	s->post_mute = true;
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	wait_for(s, has_message);
	gate_role.drain(s->gate);
	settle(s, s->post);
	expect(s, "250 2.0.0 Q1"); /* what is under way is finished */
	expect(s, "421 4.3.2");
	stream_close(&s->client);
	wait_for(s, is_drained);
	scene_end(s);
}

static void a_client_that_leaves(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	s->post_mute = true;
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	wait_for(s, has_message);
	stream_close(&s->client);
	wait_for(s, is_dropped);
	settle(s, s->post); /* nobody is there any more */
	log_in(s);
	scene_end(s);
}

/* Bad input: a flood from one address is refused with a reply; others are not its concern. */
static void connection_flood(void **state)
{
	struct scene *s = scene_with("");
	struct stream *many[8];

	((struct config *)s->config)->max_sessions_per_address = 8;
	for (size_t i = 0; i < 8; i++) {
		s->client = NULL;
		dial(s);
		expect(s, "220 ");
		many[i] = s->client;
	}
	s->client = NULL;
	dial(s);
	expect(s, "421 4.3.2");
	for (size_t i = 0; i < 8; i++)
		stream_close(&many[i]);
	wait_for(s, is_gone);
	dial(s);
	expect(s, "220 ");
	scene_end(s);
}

/* Bad input: a thousand recipients pass, one more is told 452. */
static void thousand_recipients(void **state)
{
	struct scene *s = scene_with("");
	struct span rest, item;
	unsigned count = 0;

	log_in(s);
	say(s, "MAIL FROM:<alex@contoso.example>\r\n");
	expect(s, "250 ");
	for (unsigned i = 0; i <= 1000; i++) {
		char line[80];

		snprintf(line, sizeof line, "RCPT TO:<r%u@b.example>\r\n", i);
		say(s, line);
		expect(s, i < 1000 ? "250 2.1.5" : "452 4.5.3");
	}
	say(s, "DATA\r\n");
	expect(s, "354 ");
	say(s, LETTER);
	expect(s, "250 2.0.0");
	for (rest = buf_span(&s->recipients); message_list_next(&rest, &item);)
		count++;
	assert_int_equal(count, 3000);
	scene_end(s);
}

/* A large body waits for post's credit and arrives whole. */
static void a_large_body(void **state)
{
	struct scene *s = scene_with("");
	struct buf line;

	log_in(s);
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	buf_init(&line, 4 << 20);
	buf_put(&line, SPAN("From: <alex@contoso.example>\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\n"));
	while (line.size < 3 << 20)
		buf_put(&line, SPAN("0123456789012345678901234567890123456789012345678901234567890123456789\r\n"));
	stream_write(s->client, buf_span(&line));
	say(s, ".\r\n");
	expect(s, "250 2.0.0");
	assert_true(span_ends_fold(buf_span(&s->body), buf_span(&line)));
	buf_free(&line);
	scene_end(s);
}

TESTS(a_message_is_accepted, refused_and_queued_are_told, t_relay_17_senders_outside_the_grant, the_null_sender_takes_the_default,
      a_sender_is_rewritten, a_sender_is_mapped, logins_are_refused, roles_that_are_away, post_refuses_before_the_end, trusted_networks,
      t_relay_18_proxy_header, t_relay_19_revoked_client, draining, a_client_that_leaves, connection_flood, thousand_recipients, a_large_body)
