/* post/post.c - the role that owns the queue.
 *
 * User      postern-post
 * Files     <data>/spool: segments, bodies, the index; no other after its start
 * Peers     gates (messages come in), vault (tokens, segment keys, what was mended), desk (operations)
 * Network   SMTP to providers, DNS
 * Sandbox   landlock on <data>/spool, the seccomp filter of keeper/confine.c */
#include "base/clock.h"
#include "base/json.h"
#include "base/panic.h"
#include "post/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SWEEP_MS = 10000, FILES_BYTES_MAX = 8 * 1024 * 1024 };

/* --- what the configuration says */

static struct queue_settings queue_settings_of(const struct config *c)
{
	return (struct queue_settings){
		.spool = { .segment_bytes = (uint64_t)c->segment_bytes },
		.schedule = { .slots = (unsigned)c->connections_per_mailbox, .tries_max = POST_TRIES_MAX,
			      .retry_first_ms = c->retry_first * 1000, .retry_longest_ms = c->retry_longest * 1000 },
		.messages_max = (uint64_t)c->queue_messages_max,
		.payload_bytes_max = (size_t)c->body_memory,
	};
}

static struct smtp_way_settings way_settings_of(const struct post *p, const struct config *c)
{
	return (struct smtp_way_settings){ .own_name = span_of(p->host_name), .connections_per_mailbox = (unsigned)c->connections_per_mailbox,
					   .idle_ms = c->upstream_idle_ms, .connect_ms = POST_CONNECT_MS };
}

static void set_host_name(struct post *p, const struct config *c)
{
	if (c->host_name.size)
		snprintf(p->host_name, sizeof p->host_name, "%.*s", SPAN_ARGS(c->host_name));
	else if (gethostname(p->host_name, sizeof p->host_name - 1) || !p->host_name[0])
		snprintf(p->host_name, sizeof p->host_name, "localhost");
}

/* --- the queue's events */

static void on_key_wanted(void *self)
{
	struct post *p = self;

	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(segment_key_wanted, .request = 0));
}

/* The number of a segment is the request's; a new key has 0. */
static void on_unwrap_wanted(void *self, uint64_t segment, struct span wrapped)
{
	struct post *p = self;

	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(segment_unwrap, .request = segment, .wrapped = wrapped));
}

static bool is_known(void *self, uint64_t id)
{
	struct post *p = self;

	return id >= p->first_new_id || mails_find(queue_mails(p->queue), id);
}

static void on_recovered(void *self)
{
	struct post *p = self;

	p->first_new_id = mails_new_id(queue_mails(p->queue), clock_wall_ms());
	bodies_sweep(p->bodies, is_known, p);
	hold_recovered(p);
}

static void measure(struct post *p)
{
	struct spool_numbers n = spool_numbers(queue_spool(p->queue));

	metric_set(METRIC_POST_MESSAGES, NULL, (int64_t)mails_count(queue_mails(p->queue)));
	metric_set(METRIC_POST_CONNECTIONS, NULL, ways_connections(p->ways));
	metric_set(METRIC_POST_SEGMENTS, "all", n.segments);
	metric_set(METRIC_POST_SEGMENTS, "ready", n.ready);
	metric_set(METRIC_POST_SEGMENTS, "sealed", n.sealed);
	metric_set(METRIC_POST_SEGMENTS, "damaged", n.damaged);
}

static void on_opened(void *self, enum fault fault, struct span why)
{
	struct post *p = self;

	p->is_open = !fault;
	if (p->is_open) {
		measure(p);
		hold_tell_all(p);
	}
	p->ready(p->host, fault, why);
}

static void on_intake(void *self, enum fault fault)
{
	struct post *p = self;

	for (size_t i = 0; i < POST_GATES_MAX; i++)
		if (p->gates[i])
			link_send(p->gates[i], &MESSAGE_OF(intake, .fault = fault));
}

void post_step(const struct post *p, uint64_t id, const char *step)
{
	char text[MAIL_ID_TEXT_BYTES + 1];

	if (!trail_says(EVENT_MESSAGE_STEP))
		return;
	mail_id_text(text, id);
	TRAIL(&p->trail, EVENT_MESSAGE_STEP, TRAIL_TEXT("id", span_of(text)), TRAIL_TEXT("step", span_of(step)));
}

static void on_committing(void *self, struct mail *m)
{
	post_step(self, m->id, "committing");
}

static void on_accepted(void *self, struct mail *m, enum fault fault)
{
	intake_accepted(self, m, fault);
	notice_accepted(self, m, fault);
}

static void on_turn(void *self, struct mail *m)
{
	deliver_start(self, m);
}

static void on_ended(void *self, struct mail *m)
{
	struct post *p = self;

	post_step(p, m->id, "gone");
	notice_ended(p, m);
	if (m->has_file)
		bodies_remove(p->bodies, m->id);
}

static const struct queue_events queue_events = {
	.key_wanted = on_key_wanted, .unwrap_wanted = on_unwrap_wanted, .recovered = on_recovered, .opened = on_opened, .intake = on_intake,
	.committing = on_committing, .accepted = on_accepted, .start = on_turn, .rates = pace_rates, .ended = on_ended,
};

/* --- the way's events */

static void on_token_wanted(void *self, uint64_t request, uint64_t mailbox, enum way way, bool force, uint64_t generation)
{
	struct post *p = self;

	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(token_wanted, .request = request, .mailbox = mailbox, .way = (uint8_t)way, .force = force,
						.generation = generation));
	else
		timer_after(&p->vault_away, 0);
}

/* An answer never comes from inside the question. */
static void on_vault_away(void *self)
{
	struct post *p = self;

	if (!p->vault)
		ways_vault_ended(p->ways);
}

static void on_named(void *self, uint64_t mailbox, struct span tenant, struct span host)
{
	struct post *p = self;
	struct lane *lane = schedule_lane(queue_schedule(p->queue), mailbox);

	schedule_name(lane, tenant, host);
	hold_named(p, lane);
}

static void on_seen(void *self, uint64_t mailbox, struct span address)
{
	struct post *p = self;

	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(address_seen, .mailbox = mailbox, .address = address));
}

static const struct way_events way_events = { .token_wanted = on_token_wanted, .named = on_named, .seen = on_seen };

int64_t post_now_ms(const struct post *p)
{
	int64_t wall_ms = clock_wall_ms(), steady_ms = loop_now_ms(p->loop) + p->wall_ahead_ms;

	return wall_ms < steady_ms ? wall_ms : steady_ms;
}

/* --- messages from other roles */

static void on_segment_key(struct post *p, const struct message_segment_key *m)
{
	enum fault fault = m->fault < FAULT_COUNT ? (enum fault)m->fault : FAULT_BUG;

	if (m->request)
		queue_unwrapped(p->queue, m->request, fault, m->key, m->wrapped);
	else if (!fault)
		queue_key(p->queue, m->key, m->wrapped);
	else
		TRAIL(&p->trail, EVENT_SEGMENT_NOT_MADE, TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
}

struct rotation {
	struct post *post;
	uint32_t key_id;
};

static void on_rotated(void *self, enum fault fault)
{
	struct rotation *r = self;

	if (r->post->vault)
		link_send(r->post->vault, &MESSAGE_OF(segment_rotated, .key_id = r->key_id, .fault = fault));
	free(r);
}

static void on_rotate(struct post *p, const struct message_segment_rotate *m)
{
	struct rotation *r = calloc(1, sizeof *r);

	if (!r)
		panic("out of memory");
	*r = (struct rotation){ p, m->key_id };
	queue_rotate(p->queue, on_rotated, r);
}

static void on_heard(struct post *p, const struct message_heard *m)
{
	uint64_t id;

	if (!mail_id_read(&id, m->id))
		return;
	queue_heard(p->queue, id);
	post_step(p, id, "heard");
}

static void on_received(void *self, struct link *link, const struct message *m)
{
	struct post *p = self;

	switch (m->type) {
	case MESSAGE_mail_begin: intake_begin(p, link, &m->mail_begin); break;
	case MESSAGE_mail_body: intake_body(p, link, &m->mail_body); break;
	case MESSAGE_mail_end: intake_end(p, link, &m->mail_end); break;
	case MESSAGE_mail_drop: intake_drop(p, link, &m->mail_drop); break;
	case MESSAGE_heard: on_heard(p, &m->heard); break;
	case MESSAGE_token: ways_token(p->ways, &m->token); break;
	case MESSAGE_segment_key: on_segment_key(p, &m->segment_key); break;
	case MESSAGE_segment_rotate: on_rotate(p, &m->segment_rotate); break;
	case MESSAGE_mended:
		if (!m->mended.fault)
			hold_mended(p, m->mended.mailbox);
		break;
	case MESSAGE_mailbox_state: post_mailbox_state(p, &m->mailbox_state); break;
	case MESSAGE_probe: post_probe(p, &m->probe); break;
	case MESSAGE_revoked: intake_revoked(p, &m->revoked); break;
	case MESSAGE_notice: notice_take(p, &m->notice); break;
	case MESSAGE_call: post_call(p, link, &m->call); break;
	default: break;
	}
}

static struct link **place_of(struct post *p, enum role peer, unsigned index)
{
	if (peer == ROLE_GATE && index < POST_GATES_MAX)
		return &p->gates[index];
	return peer == ROLE_VAULT ? &p->vault : peer == ROLE_DESK ? &p->desk : NULL;
}

static void on_link_ended(void *self, struct link *link)
{
	struct post *p = self;
	enum role peer = link_peer(link);
	unsigned index = link_index(link);

	if (!p->is_draining)
		TRAIL(&p->trail, EVENT_LINK_ENDED, TRAIL_TEXT("peer", span_of(role_name(peer))));
	link_close(place_of(p, peer, index));
	if (peer == ROLE_GATE)
		intake_gate_ended(p, index);
	if (peer == ROLE_VAULT)
		ways_vault_ended(p->ways);
}

static const struct link_events link_events = { .received = on_received, .ended = on_link_ended };

static void post_peer(void *self, enum role peer, unsigned index, int fd)
{
	struct post *p = self;
	struct link **place = place_of(p, peer, index);

	if (!place) {
		close(fd);
		return;
	}
	if (*place) {
		link_close(place);
		if (peer == ROLE_GATE)
			intake_gate_ended(p, index);
	}
	*place = link_new_take(p->loop, fd, ROLE_POST, peer, index, &link_events, p);
	if (peer == ROLE_VAULT)
		queue_vault(p->queue);
	if (peer == ROLE_VAULT && p->is_open)
		hold_tell_all(p);
	if (peer == ROLE_GATE && p->is_open && queue_intake(p->queue))
		link_send(*place, &MESSAGE_OF(intake, .fault = queue_intake(p->queue)));
}

/* --- the end */

static void say_drained(void *self)
{
	struct post *p = self;

	if (p->said_drained)
		return;
	p->said_drained = true;
	timer_stop(&p->drain_timer);
	p->drained(p->host);
}

/* Nothing new is tried; what is under way gets `drain_ms`, and what was written is waited for. */
static void flush(void *self)
{
	struct post *p = self;

	timer_stop(&p->drain_timer);
	queue_flush(p->queue, say_drained, p);
}

void post_try_ended(struct post *p)
{
	if (p->is_draining && !p->tries && !p->said_drained)
		timer_after(&p->drain_timer, 0);
}

static void post_drain(void *self)
{
	struct post *p = self;
	struct queue_settings settings = queue_settings_of(p->config);

	p->is_draining = true;
	settings.schedule.slots = 0;
	queue_set(p->queue, &settings);
	timer_after(&p->drain_timer, p->tries ? p->config->drain_ms : 0);
}

/* --- keeping house */

static void on_sweep(void *self)
{
	struct post *p = self;

	resubmit_sweep(queue_resubmit(p->queue), clock_wall_ms());
	queue_sweep(p->queue);
	measure(p);
	if (p->is_open && !p->is_draining)
		expire_sweep(p);
	timer_after(&p->sweep_timer, SWEEP_MS);
}

/* --- from start to free */

static void post_free(void **self)
{
	struct post *p = *self;

	if (!p)
		return;
	timer_stop(&p->drain_timer);
	timer_stop(&p->sweep_timer);
	timer_stop(&p->vault_away);
	for (size_t i = 0; i < POST_GATES_MAX; i++)
		if (p->gates[i])
			link_close(&p->gates[i]);
	if (p->vault)
		link_close(&p->vault);
	if (p->desk)
		link_close(&p->desk);
	post_backup_free(p);
	intake_free(p);
	notice_free(p);
	deliver_free(p);
	post_probes_free(p);
	if (p->ways)
		ways_free(&p->ways);
	if (p->queue)
		hold_free(p);
	bodies_close(&p->bodies);
	queue_close(&p->queue);
	post_mailboxes_free(p);
	if (p->dns)
		dns_free(&p->dns);
	if (p->tls)
		tls_drop(&p->tls);
	secret_free(&p->mac_key);
	free(p);
	*self = NULL;
}

static enum fault open_queue(struct post *p, const struct config *c, char *why_out)
{
	struct queue_settings settings = queue_settings_of(c);
	char path[512];
	enum fault fault;

	snprintf(path, sizeof path, "%.*s/spool", SPAN_ARGS(c->data));
	fault = queue_open(&p->queue, p->loop, path, &settings, &queue_events, p);
	if (!fault)
		fault = bodies_open(&p->bodies, p->loop, spool_disk(queue_spool(p->queue)));
	if (fault)
		snprintf(why_out, 256, "%s: %s", path, fault_row(fault)->says[LANGUAGE_EN]);
	return fault;
}

/* All files of that purpose, one behind the other. */
static struct span gather_files(const struct role_start *start, struct span purpose, struct buf *out)
{
	buf_clear(out);
	return role_files(start, purpose, out) ? buf_span(out) : SPAN("");
}

static enum fault trust(struct tls **out, const struct role_start *start, char *why_out)
{
	const char *why = "";
	struct buf files;
	enum fault fault;

	buf_init(&files, FILES_BYTES_MAX);
	fault = tls_client_new(out, gather_files(start, SPAN("ca"), &files), &why);
	if (fault)
		snprintf(why_out, 256, "the CA bundle: %s", why);
	buf_free(&files);
	return fault;
}

static enum fault open_way(struct post *p, const struct role_start *start, char *why_out)
{
	struct smtp_way_settings settings = way_settings_of(p, start->config);
	struct buf resolv_conf, hosts;
	enum fault fault = trust(&p->tls, start, why_out);

	if (fault)
		return fault;
	buf_init(&resolv_conf, FILES_BYTES_MAX);
	buf_init(&hosts, FILES_BYTES_MAX);
	p->dns = dns_new(p->loop, gather_files(start, SPAN("resolv_conf"), &resolv_conf), gather_files(start, SPAN("hosts"), &hosts));
	p->ways = ways_new(p->loop, p->dns, p->tls, &settings, &way_events, p);
	buf_free(&resolv_conf);
	buf_free(&hosts);
	return FAULT_OK;
}

static enum fault post_start(void **self_out, struct loop *loop, const struct role_start *start, char *why_out)
{
	struct post *p = calloc(1, sizeof *p);
	enum fault fault;

	if (!p)
		panic("out of memory");
	json_begin();
	*self_out = p;
	p->loop = loop;
	p->index = start->index;
	p->config = start->config;
	p->ready = start->ready;
	p->drained = start->drained;
	p->host = start->host;
	p->mac_key = secret_new(start->mac_key);
	p->wall_ahead_ms = clock_wall_ms() - loop_now_ms(loop);
	set_host_name(p, start->config);
	trail_init(&p->trail, "post", SPAN(""));
	map_init(&p->arrivals, false);
	map_init(&p->revoked, false);
	map_init(&p->mailboxes, false);
	map_init(&p->mailbox_causes, false);
	map_init(&p->tenant_causes, true);
	timer_init(&p->drain_timer, loop, flush, p);
	timer_init(&p->sweep_timer, loop, on_sweep, p);
	timer_init(&p->vault_away, loop, on_vault_away, p);
	fault = open_way(p, start, why_out);
	if (!fault)
		fault = open_queue(p, start->config, why_out);
	if (fault) {
		post_free(self_out);
		return fault;
	}
	timer_after(&p->sweep_timer, SWEEP_MS);
	return FAULT_OK;
}

static enum fault post_reload(void *self, const struct role_start *start, char *why_out)
{
	struct post *p = self;
	struct queue_settings queue = queue_settings_of(start->config);
	struct smtp_way_settings way;
	struct tls *tls = NULL;
	enum fault fault = trust(&tls, start, why_out);

	if (fault)
		return fault;
	tls_drop(&p->tls);
	p->tls = tls;
	p->config = start->config;
	set_host_name(p, start->config);
	way = way_settings_of(p, start->config);
	ways_set(p->ways, tls, &way);
	queue_set(p->queue, &queue);
	return FAULT_OK;
}

const struct role_face post_role = {
	.role = ROLE_POST, .start = post_start, .peer = post_peer, .reload = post_reload, .drain = post_drain, .free = post_free,
};
