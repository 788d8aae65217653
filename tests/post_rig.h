/* tests/post_rig.h - for tests: the post role on a real loop and disk, between a scripted gate, vault, desk and provider.
 *
 * Why       What post promises is promised to its peers; so the tests are those peers.
 * Promise   The links are those of the product, and the provider is reached over a socket of loopback. A test waits for what it expects and
 *           fails after RIG_GIVE_UP_MS; nothing is slept for.
 * Owns      A directory below /tmp, removed at the end.
 * Refuses   Nothing. */
#pragma once
#include "base/clock.h"
#include "base/json.h"
#include "base/message.h"
#include "base/rand.h"
#include "base/seal.h"
#include "base/trail.h"
#include "identity/grant.h"
#include "loop/certificate.h"
#include "loop/link.h"
#include "loop/role.h"
#include "tests/provider.h"
#include "upstream/way.h"

#include <stdlib.h>
#include <unistd.h>

enum { RIG_GIVE_UP_MS = 20000, RIG_SETTLED_MAX = 4096 };

static const char rig_mac_key[32] = "the MAC key of a test, 32 bytes ";

struct rig_settled {
	uint64_t session;
	unsigned kind, code;
	enum fault fault;
	char enhanced[16], id[16], says[1024];
};

struct rig {
	char directory[64];
	struct loop *loop;
	struct config *config;
	void *post;
	struct link *gate, *vault, *desk;
	struct timer guard, nudge;
	bool ready, drained, gave_up;
	enum fault ready_fault;
	char why[256];
	/* the gate */
	enum fault intake;
	size_t settled_count, taken_bytes;
	struct rig_settled settled[RIG_SETTLED_MAX];
	uint64_t serial;
	/* the vault */
	bool vault_is_silent, no_new_keys;
	unsigned keys_wanted; /* how often post asked for a key */
	enum fault token_fault, unwrap_fault;
	const char *token_why;
	unsigned token_mechanism, tokens, forced;
	unsigned way_mechanisms[WAY_END]; /* 0: as token_mechanism has it */
	struct message_probed probed;
	bool has_probed;
	int64_t token_expires_at_ms;
	struct message_segment_rotate rotate;
	bool rotated;
	unsigned noticed, causes[5]; /* answers about notices; what was told of causes, by state */
	enum fault noticed_fault;
	/* the desk */
	enum fault answer_fault;
	char answer[65536];
	unsigned answers;
	struct provider provider;
	char log[65536];
	size_t log_size;
};

/* --- waiting */

static inline void rig_on_guard(void *self)
{
	struct rig *r = self;

	r->gave_up = true;
	loop_stop(r->loop);
}

static inline void rig_on_nudge(void *self)
{
	(void)self;
}

#define RIG_WAIT(r, what)                                                                                     \
	do {                                                                                                  \
		timer_after(&(r)->guard, RIG_GIVE_UP_MS);                                                     \
		timer_after(&(r)->nudge, 0); /* what was written outside a turn goes out in the next */       \
		while (!(what) && !(r)->gave_up)                                                              \
			loop_run((r)->loop);                                                                  \
		timer_stop(&(r)->guard);                                                                      \
		if (!(what))                                                                                  \
			fail_msg("never came: %s\n%s", #what, (r)->log);                                      \
	} while (0)

/* Lets so much time pass for the loop. For what must not come; never for what must. */
static inline void rig_idle(struct rig *r, int64_t ms)
{
	timer_after(&r->guard, ms);
	timer_after(&r->nudge, 0);
	while (!r->gave_up)
		loop_run(r->loop);
	r->gave_up = false;
}

static inline void rig_on_log(void *self, struct span line)
{
	struct rig *r = self;

	if (r->log_size + line.size >= sizeof r->log)
		r->log_size = 0;
	memcpy(r->log + r->log_size, line.at, line.size);
	r->log_size += line.size;
	r->log[r->log_size] = 0;
}

static inline void rig_wake(struct rig *r)
{
	loop_stop(r->loop);
}

/* --- the gate */

static inline void rig_gate_received(void *self, struct link *link, const struct message *m)
{
	struct rig *r = self;
	struct rig_settled *s;

	(void)link;
	if (m->type == MESSAGE_intake)
		r->intake = (enum fault)m->intake.fault;
	if (m->type == MESSAGE_mail_taken)
		r->taken_bytes += m->mail_taken.bytes;
	if (m->type == MESSAGE_settled) {
		assert_true(r->settled_count < RIG_SETTLED_MAX);
		s = &r->settled[r->settled_count++];
		*s = (struct rig_settled){ .session = m->settled.session, .kind = m->settled.kind, .code = m->settled.code,
					   .fault = (enum fault)m->settled.fault };
		snprintf(s->enhanced, sizeof s->enhanced, "%.*s", SPAN_ARGS(m->settled.enhanced));
		snprintf(s->id, sizeof s->id, "%.*s", SPAN_ARGS(m->settled.id));
		snprintf(s->says, sizeof s->says, "%.*s", SPAN_ARGS(m->settled.says));
	}
	rig_wake(r);
}

static inline void rig_ended(void *self, struct link *link)
{
	(void)self;
	(void)link;
}

struct rig_letter {
	uint64_t session, mailbox, client;
	const char *sender, *recipients /* parted by blanks */, *message_id, *body;
	int64_t verdict_wait_ms;
	unsigned notify;
	bool bad_grant, stays_open; /* no mail_end */
	size_t body_repeats;
	enum language language;
};

static inline void rig_grant(struct buf *out, const struct rig_letter *l)
{
	struct buf senders;
	struct grant_mailbox mailbox = { .id = l->mailbox, .address = SPAN("box@example.org"), .notice_mailbox = 77, .organisation = SPAN("org"),
					 .language = l->language };
	struct grant g = { .gate = 0, .session = l->session, .client = l->client, .client_name = SPAN("scanner"), .protocol = GRANT_SMTP,
			   .issued_at_ms = clock_wall_ms() - 1000, .expires_at_ms = clock_wall_ms() + 60000, .verdict_wait_ms = l->verdict_wait_ms,
			   .default_mailbox = l->mailbox, .mailbox_count = 1, .mailboxes = &mailbox };

	buf_init(&senders, 1024);
	message_list_put(&senders, SPAN("box@example.org"));
	message_list_put(&senders, SPAN("alias@example.org"));
	mailbox.senders = buf_span(&senders);
	assert_true(grant_seal(out, &g, (struct span){ rig_mac_key, sizeof rig_mac_key }));
	buf_free(&senders);
}

/* Sends a message as gate does. Defaults: mailbox 1, client 5, from box@example.org, to x@example.net, wait 5 s. */
static inline void rig_send(struct rig *r, struct rig_letter l)
{
	struct buf grant, recipients;
	struct span rest, one;
	unsigned char digest[SEAL_DIGEST_BYTES];
	const char *body = l.body ? l.body : "Subject: test\r\n\r\nhello\r\n";
	uint64_t serial = ++r->serial;

	l.mailbox = l.mailbox ? l.mailbox : 1;
	l.client = l.client ? l.client : 5;
	l.verdict_wait_ms = l.verdict_wait_ms ? (l.verdict_wait_ms < 0 ? 0 : l.verdict_wait_ms) : 5000;
	buf_init(&grant, 65536);
	buf_init(&recipients, 1 << 20);
	rig_grant(&grant, &l);
	if (l.bad_grant)
		grant.at[grant.size / 2] ^= 1;
	rest = span_of(l.recipients ? l.recipients : "x@example.net");
	while (span_cut(&rest, ' ', &one)) {
		char notify = (char)l.notify;

		message_list_put(&recipients, one);
		message_list_put(&recipients, (struct span){ &notify, 1 });
		message_list_put(&recipients, SPAN(""));
	}
	link_send(r->gate, &MESSAGE_OF(mail_begin, .session = l.session, .serial = serial, .grant = buf_span(&grant), .mailbox = l.mailbox,
				       .sender = span_of(l.sender ? l.sender : "box@example.org"), .recipients = buf_span(&recipients)));
	for (size_t i = 0; i < (l.body_repeats ? l.body_repeats : 1); i++)
		link_send(r->gate, &MESSAGE_OF(mail_body, .session = l.session, .serial = serial, .bytes = span_of(body)));
	seal_digest(digest, span_of(body));
	if (!l.stays_open)
		link_send(r->gate, &MESSAGE_OF(mail_end, .session = l.session, .serial = serial, .message_id = span_of(l.message_id),
					       .digest = { (char *)digest, sizeof digest }));
	buf_free(&grant);
	buf_free(&recipients);
}

/* What session `session` was told, or NULL. */
static inline const struct rig_settled *rig_told(const struct rig *r, uint64_t session)
{
	for (size_t i = 0; i < r->settled_count; i++)
		if (r->settled[i].session == session)
			return &r->settled[i];
	return NULL;
}

/* --- the vault: a wrapped key is the key itself with every bit turned */

static inline void rig_turn(char *to, struct span from)
{
	for (size_t i = 0; i < from.size; i++)
		to[i] = (char)~from.at[i];
}

static inline void rig_give_token(struct rig *r, const struct message_token_wanted *m)
{
	r->tokens++;
	r->forced += m->force;
	link_send(r->vault, &MESSAGE_OF(token, .request = m->request, .mailbox = m->mailbox, .way = m->way, .fault = r->token_fault, .why = span_of(r->token_why),
					.token = m->force ? SPAN("new-token") : SPAN("old-token"), .generation = m->generation + 1,
					.expires_at_ms = r->token_expires_at_ms ? r->token_expires_at_ms : clock_wall_ms() + 3600000,
					.host = SPAN("127.0.0.1"), .port = r->provider.port, .tls = 0,
					.mechanism = (uint8_t)(r->way_mechanisms[m->way] ? r->way_mechanisms[m->way] : r->token_mechanism ? r->token_mechanism : 3), .user = SPAN("box@example.org"),
					.tenant = m->mailbox < 100 ? SPAN("tenant-a") : SPAN("tenant-b"), .address = SPAN("box@example.org")));
}

static inline void rig_vault_received(void *self, struct link *link, const struct message *m)
{
	struct rig *r = self;
	char key[SEAL_KEY_BYTES], wrapped[SEAL_KEY_BYTES];

	(void)link;
	if (r->vault_is_silent)
		return;
	switch (m->type) {
	case MESSAGE_token_wanted: rig_give_token(r, &m->token_wanted); break;
	case MESSAGE_segment_key_wanted:
		r->keys_wanted++;
		if (r->no_new_keys)
			break;
		rand_bytes(key, sizeof key);
		rig_turn(wrapped, (struct span){ key, sizeof key });
		link_send(r->vault, &MESSAGE_OF(segment_key, .request = m->segment_key_wanted.request, .key = { key, sizeof key },
						.wrapped = { wrapped, sizeof wrapped }));
		break;
	case MESSAGE_segment_unwrap:
		assert_int_equal(m->segment_unwrap.wrapped.size, sizeof key);
		rig_turn(key, m->segment_unwrap.wrapped);
		link_send(r->vault, &MESSAGE_OF(segment_key, .request = m->segment_unwrap.request, .fault = r->unwrap_fault,
						.key = { key, sizeof key }, .wrapped = m->segment_unwrap.wrapped));
		break;
	case MESSAGE_probed:
		r->has_probed = true;
		r->probed = (struct message_probed){ .request = m->probed.request, .fault = m->probed.fault };
		break;
	case MESSAGE_noticed:
		r->noticed++;
		r->noticed_fault = (enum fault)m->noticed.fault;
		break;
	case MESSAGE_hold_cause: r->causes[m->hold_cause.state % 5]++; break;
	case MESSAGE_segment_rotated: r->rotated = m->segment_rotated.fault == FAULT_OK; break;
	default: break;
	}
	rig_wake(r);
}

/* --- the desk */

static inline void rig_desk_received(void *self, struct link *link, const struct message *m)
{
	struct rig *r = self;

	(void)link;
	if (m->type == MESSAGE_answer) {
		r->answers++;
		r->answer_fault = (enum fault)m->answer.fault;
		snprintf(r->answer, sizeof r->answer, "%.*s", SPAN_ARGS(m->answer.result));
	}
	rig_wake(r);
}

static inline void rig_call(struct rig *r, const char *operation, const char *arguments)
{
	unsigned before = r->answers;

	link_send(r->desk, &MESSAGE_OF(call, .request = before + 1, .operation = span_of(operation), .actor = SPAN("ann"), .arguments = span_of(arguments)));
	RIG_WAIT(r, r->answers > before);
}

/* Waits until nothing is in the queue and all is on the disk. */
static inline void rig_wait_empty(struct rig *r)
{
	do
		rig_call(r, "status", "{}");
	while (!strstr(r->answer, "\"messages\":0"));
}

/* --- raising and ending it */

static inline void rig_ready(void *host, enum fault fault, struct span why)
{
	struct rig *r = host;

	r->ready = true;
	r->ready_fault = fault;
	snprintf(r->why, sizeof r->why, "%.*s", SPAN_ARGS(why));
	rig_wake(r);
}

static inline void rig_on_drained(void *host)
{
	struct rig *r = host;

	r->drained = true;
	rig_wake(r);
}

static inline struct link *rig_link(struct rig *r, enum role peer, void (*received)(void *, struct link *, const struct message *))
{
	static struct link_events events[32];
	int fds[2];

	assert_int_equal(stream_pair(fds), 0);
	events[peer] = (struct link_events){ .received = received, .ended = rig_ended };
	post_role.peer(r->post, peer, 0, fds[0]);
	return link_new_take(r->loop, fds[1], peer, ROLE_POST, 0, &events[peer], r);
}

/* Raises post over the rig's directory; without waiting for it. */
static inline enum fault rig_raise(struct rig *r)
{
	struct role_file ca = { .purpose = SPAN("ca"), .name = SPAN("ca") };
	struct role_start start = { .config = r->config, .files = &ca, .file_count = 1, .mac_key = { rig_mac_key, sizeof rig_mac_key },
				    .ready = rig_ready, .drained = rig_on_drained, .host = r };
	struct certificate_pair pair;
	enum fault fault;

	assert_int_equal(certificate_authority(&pair, "test"), FAULT_OK);
	ca.bytes = buf_span(&pair.certificate_pem);
	r->ready = r->drained = false;
	r->intake = FAULT_OK;
	fault = post_role.start(&r->post, r->loop, &start, r->why);
	certificate_pair_free(&pair);
	if (fault)
		return fault;
	r->gate = rig_link(r, ROLE_GATE, rig_gate_received);
	r->vault = rig_link(r, ROLE_VAULT, rig_vault_received);
	r->desk = rig_link(r, ROLE_DESK, rig_desk_received);
	return FAULT_OK;
}

static inline void rig_lower(struct rig *r)
{
	if (r->post)
		post_role.free(&r->post);
	if (r->gate)
		link_close(&r->gate);
	if (r->vault)
		link_close(&r->vault);
	if (r->desk)
		link_close(&r->desk);
}

static inline struct rig *rig_new_with(const char *settings)
{
	struct rig *r = calloc(1, sizeof *r);
	char text[2048];

	trail_configure(TRAIL_LOGFMT, LEVEL_DEBUG);
	trail_redirect(rig_on_log, r);
	snprintf(r->directory, sizeof r->directory, "/tmp/postern-post-XXXXXX");
	assert_non_null(mkdtemp(r->directory));
	snprintf(text, sizeof text, "data = \"%s\"\nhost_name = \"gw.example.org\"\nsegment_bytes = 1048576\n%s", r->directory, settings);
	if (config_read(&r->config, "test", span_of(text), r->why, sizeof r->why))
		fail_msg("%s", r->why);
	r->loop = loop_new();
	timer_init(&r->guard, r->loop, rig_on_guard, r);
	timer_init(&r->nudge, r->loop, rig_on_nudge, r);
	provider_begin(&r->provider, r->loop);
	return r;
}

static inline struct rig *rig_new(const char *settings)
{
	struct rig *r = rig_new_with(settings);

	assert_int_equal(rig_raise(r), FAULT_OK);
	RIG_WAIT(r, r->ready);
	if (r->ready_fault)
		fail_msg("%s", r->why);
	return r;
}

/* As after a stop without a goodbye: the role is gone, its files stay. */
static inline void rig_restart(struct rig *r)
{
	rig_lower(r);
	assert_int_equal(rig_raise(r), FAULT_OK);
	RIG_WAIT(r, r->ready);
	assert_int_equal(r->ready_fault, FAULT_OK);
}

static inline void rig_free(struct rig *r)
{
	char command[128];

	rig_lower(r);
	provider_end(&r->provider);
	timer_stop(&r->guard);
	timer_stop(&r->nudge);
	loop_free(&r->loop);
	config_free(&r->config);
	trail_redirect(NULL, NULL);
	snprintf(command, sizeof command, "rm -rf %s", r->directory);
	assert_int_equal(system(command), 0);
	free(r);
}
