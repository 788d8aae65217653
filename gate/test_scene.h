/* gate/test_scene.h - for tests: the gate over real sockets, with a scripted vault and post at the other ends of its links.
 *
 * Why       What gate promises shows at its sockets and links, and nowhere else.
 * Promise   A test waits for what it expects, and fails after PATIENCE_MS; nothing is slept for.
 * Owns      The gate, both links and one client, until scene_end().
 * Refuses   Nothing. */
#pragma once
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
	char message_id[200], heard[80], refused_sender[200], remote[100];
	unsigned ends, drops;
	uint64_t session, serial;
	enum fault refused;
};

/* --- vault */

static inline void put_grant(struct buf *out, struct scene *s, uint64_t session)
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

static inline void vault_received(void *self, struct link *link, const struct message *m)
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
	snprintf(s->remote, sizeof s->remote, "%.*s", SPAN_ARGS(m->authorize.remote));
	buf_init(&grant, 100000);
	good = m->authorize.mechanism ? span_equal(m->authorize.user, SPAN("erp")) && span_equal(m->authorize.password, SPAN("pt_good"))
				      : s->network_granted;
	if (good)
		put_grant(&grant, s, m->authorize.session);
	link_send(link, &MESSAGE_OF(authorized, .session = m->authorize.session, .fault = good ? FAULT_OK : FAULT_BAD_LOGIN, .grant = buf_span(&grant)));
	buf_free(&grant);
}

/* --- post */

static inline void settle(struct scene *s, struct link *link)
{
	link_send(link, &MESSAGE_OF(settled, .session = s->session, .serial = s->serial, .kind = s->settles_as, .fault = s->settles_fault,
				    .code = s->settles_as == 2 ? 550 : 250, .enhanced = s->settles_as == 2 ? SPAN("5.7.60") : SPAN("2.0.0"),
				    .id = s->settles_as == 2 ? SPAN("") : SPAN("Q1"), .says = span_of(s->says)));
}

static inline void post_received(void *self, struct link *link, const struct message *m)
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

static inline void peer_ended(void *self, struct link *link)
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

static inline void client_opened(void *self)
{
}

static inline size_t client_data(void *self, struct span bytes)
{
	struct scene *s = self;

	buf_put(&s->got, bytes);
	loop_stop(s->loop);
	return bytes.size;
}

static inline void client_ended(void *self, enum fault fault, struct span why)
{
	struct scene *s = self;

	s->is_ended = true;
	loop_stop(s->loop);
}

static const struct stream_events client_events = { .opened = client_opened, .data = client_data, .ended = client_ended };

static inline void late(void *self)
{
	struct scene *s = self;

	s->is_late = true;
	loop_stop(s->loop);
}

static inline void wait_for(struct scene *s, bool (*is_so)(struct scene *))
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

static inline bool has_wanted(struct scene *s)
{
	return span_find(buf_span(&s->got), span_of(s->wanted)) < s->got.size;
}

/* Waits until the client has read this, and forgets all up to it. */
static inline void expect(struct scene *s, const char *wanted)
{
	s->wanted = wanted;
	wait_for(s, has_wanted);
	buf_drop(&s->got, span_find(buf_span(&s->got), span_of(wanted)) + strlen(wanted));
	s->wanted = NULL;
}

static inline void say(struct scene *s, const char *text)
{
	stream_write(s->client, span_of(text));
}

static inline void dial(struct scene *s)
{
	if (s->client)
		stream_close(&s->client);
	buf_clear(&s->got);
	s->is_ended = false;
	s->client = stream_connect(s->loop, &s->address, NULL, 5000, &client_events, s);
}

static inline void log_in(struct scene *s)
{
	dial(s);
	expect(s, "220 mail.contoso.example");
	say(s, "EHLO client.example\r\n");
	expect(s, "250 ");
	say(s, "AUTH PLAIN AGVycABwdF9nb29k\r\n"); /* \0erp\0pt_good */
	expect(s, "235 2.7.0");
}

/* --- life */

static inline void on_ready(void *self, enum fault f, struct span why)
{
	((struct scene *)self)->is_ready = f == FAULT_OK;
}

static inline void on_drained(void *self)
{
	((struct scene *)self)->is_drained = true;
	loop_stop(((struct scene *)self)->loop);
}

static inline void link_roles(struct scene *s, enum role role)
{
	int ends[2];

	assert_int_equal(stream_pair(ends), 0);
	gate_role.peer(s->gate, role, 0, ends[0]);
	if (role == ROLE_VAULT)
		s->vault = link_new_take(s->loop, ends[1], ROLE_VAULT, ROLE_GATE, 0, &vault_events, s);
	else
		s->post = link_new_take(s->loop, ends[1], ROLE_POST, ROLE_GATE, 0, &post_events, s);
}

/* With its listener at that address or path. */
static inline struct scene *scene_at(const char *where, const char *listener)
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
	assert_true(address_parse(&any, span_of(where), 0));
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

static inline struct scene *scene_with(const char *listener)
{
	return scene_at("127.0.0.1", listener);
}

static inline void scene_end(struct scene *s)
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

static inline bool is_gone(struct scene *s)
{
	return s->is_ended;
}

static inline bool is_heard(struct scene *s)
{
	return s->heard[0] != 0;
}

static inline bool is_dropped(struct scene *s)
{
	return s->drops != 0;
}

static inline bool is_drained(struct scene *s)
{
	return s->is_drained;
}

static inline bool is_noted(struct scene *s)
{
	return s->refused != FAULT_OK;
}

static inline bool has_message(struct scene *s)
{
	return s->ends != 0;
}

#define LETTER "From: <alex@contoso.example>\r\nSubject: hello\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n.\r\n"
