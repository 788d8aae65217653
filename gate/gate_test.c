/* What clients of the gate meet. */
#include "gate/test_scene.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

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
	expect(s, "`postern client set erp --sender ceo@contoso.example`.\r\n");
	wait_for(s, is_noted);
	assert_int_equal(s->refused, FAULT_SENDER_NOT_GRANTED);
	assert_string_equal(s->refused_sender, "ceo@contoso.example");
	say(s, "MAIL FROM:<alex@contoso.example>\r\nRCPT TO:<a@b.example>\r\nDATA\r\n");
	expect(s, "354 ");
	say(s, "From: <ceo@contoso.example>\r\n\r\nx\r\n.\r\n");
	expect(s, "550 5.7.1");
	expect(s, "`postern client set erp --sender ceo@contoso.example`.\r\n");
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

/* The remedy is made to be copied into a shell. */
static void the_remedy_quotes_a_hostile_sender(void **state)
{
	struct scene *s = scene_with("");

	log_in(s);
	say(s, "MAIL FROM:<\"a;reboot\"@contoso.example>\r\n");
	expect(s, " --sender '\"a;reboot\"@contoso.example'`.\r\n");
	say(s, "MAIL FROM:<a$HOME@contoso.example>\r\n");
	expect(s, " --sender 'a$HOME@contoso.example'`.\r\n");
	say(s, "MAIL FROM:<a`id`@contoso.example>\r\n");
	expect(s, " --sender <sender>`.\r\n");
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

/* R17: those who have not signed in have places of their own; who signs in leaves his to the next. */
static void strangers_have_a_budget(void **state)
{
	struct scene *s = scene_with("");
	struct stream *many[3];

	((struct config *)s->config)->max_strangers = 2;
	for (size_t i = 0; i < 3; i++) {
		s->client = NULL;
		if (i < 2)
			log_in(s);
		else
			dial(s);
		many[i] = s->client;
	}
	expect(s, "220 ");
	s->client = NULL;
	dial(s);
	expect(s, "220 ");
	stream_close(&many[2]);
	many[2] = s->client;
	s->client = NULL;
	dial(s);
	expect(s, "220 ");
	stream_close(&s->client);
	s->client = many[0];
	say(s, "NOOP\r\n");
	expect(s, "250 ");
	for (size_t i = 1; i < 3; i++)
		stream_close(&many[i]);
	scene_end(s);
}

static void young_strangers_are_not_turned_out(void **state)
{
	struct scene *s = scene_with("");
	struct stream *first, *second;

	((struct config *)s->config)->max_strangers = 2;
	dial(s);
	expect(s, "220 ");
	first = s->client;
	s->client = NULL;
	dial(s);
	expect(s, "220 ");
	second = s->client;
	s->client = NULL;
	dial(s);
	expect(s, "421 4.3.2");
	stream_close(&s->client);
	s->client = first;
	say(s, "NOOP\r\n");
	expect(s, "250 ");
	stream_close(&second);
	scene_end(s);
}

/* R17: who reads no replies is not answered without end. */
static void deaf_client(void **state)
{
	enum { MOST_BYTES = 64 * 1024 * 1024 };
	static char noops[60000];
	struct scene *s = scene_with("");
	size_t sent = 0, quiet = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(s->address.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	for (size_t i = 0; i < sizeof noops; i += 6)
		memcpy(noops + i, "NOOP\r\n", 6);
	assert_true(!connect(fd, (struct sockaddr *)&to, sizeof to) || errno == EINPROGRESS);
	while (sent < MOST_BYTES && quiet < 50) {
		ssize_t now = send(fd, noops, sizeof noops, MSG_NOSIGNAL);

		quiet = now > 0 ? 0 : quiet + 1;
		sent += now > 0 ? (size_t)now : 0;
		timer_after(&s->patience, 10);
		loop_run(s->loop);
	}
	assert_true(sent < MOST_BYTES);
	close(fd);
	log_in(s);
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

TESTS(a_message_is_accepted, refused_and_queued_are_told, t_relay_17_senders_outside_the_grant, the_remedy_quotes_a_hostile_sender, the_null_sender_takes_the_default,
      a_sender_is_rewritten, a_sender_is_mapped, logins_are_refused, roles_that_are_away, post_refuses_before_the_end, trusted_networks,
      t_relay_18_proxy_header, t_relay_19_revoked_client, draining, a_client_that_leaves, connection_flood, strangers_have_a_budget, young_strangers_are_not_turned_out, deaf_client, thousand_recipients, a_large_body)
