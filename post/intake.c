#include "base/clock.h"
#include "base/panic.h"
#include "base/rand.h"
#include "identity/grant.h"
#include "post/inner.h"

#include <stdlib.h>
#include <string.h>

enum { GRANT_BYTES_MAX = 8 * 1024 * 1024, HEADER_KEPT_BYTES = 64 * 1024, TAIL_BYTES = 8192, RECIPIENTS_MAX = 1000 };

/* A client that was revoked, and when. */
struct revoked_client {
	uint64_t client;
	int64_t at_ms;
};

static struct span arrival_span(const struct arrival_key *key)
{
	return (struct span){ (const char *)key, sizeof *key };
}

static struct arrival *find(const struct post *p, struct link *link, uint64_t session)
{
	struct arrival_key key = { link_index(link), session };

	return map_get(&p->arrivals, arrival_span(&key));
}

/* --- counting what is gathered, and the end of an arrival */

static void count(struct arrival *a)
{
	size_t now = a->payload.size + a->unwritten;

	a->post->gathered_bytes += now - a->counted;
	a->counted = now;
}

static void leave_mail(struct arrival *a)
{
	struct arrival **at = a->mail ? (struct arrival **)&a->mail->waiter : NULL;

	while (at && *at && *at != a)
		at = &(*at)->next;
	if (at && *at)
		*at = a->next;
	a->mail = NULL;
	a->next = NULL;
}

static void arrival_free(struct arrival *a)
{
	if (a->id && a->state != ARRIVAL_WAITS)
		post_step(a->post, a->id, "dropped");
	map_remove(&a->post->arrivals, arrival_span(&a->key));
	timer_stop(&a->verdict);
	leave_mail(a);
	body_drop(&a->writing);
	buf_wipe(&a->payload);
	a->unwritten = 0;
	count(a);
	buf_free(&a->message_id);
	secret_wipe(a->file_key, sizeof a->file_key);
	free(a);
}

/* --- the one word */

static void send_settled(struct arrival *a, unsigned kind, enum fault fault, int code, struct span enhanced, struct span says)
{
	static const char *const labels[] = { "", "accepted", "refused", "queued" };
	struct link *link = a->post->gates[a->key.gate];
	char id[MAIL_ID_TEXT_BYTES + 1] = "";

	if (a->mail)
		mail_id_text(id, a->mail->id);
	metric_add(METRIC_POST_SETTLED, a->mail ? labels[kind] : "failed", 1);
	if (link)
		link_send(link, &MESSAGE_OF(settled, .session = a->key.session, .serial = a->serial, .kind = (uint8_t)kind, .fault = fault,
					    .code = (uint32_t)code, .enhanced = enhanced, .id = span_of(id), .says = says));
	arrival_free(a);
}

/* Nothing was stored. */
static void settle_fault(struct arrival *a, enum fault fault)
{
	const struct fault_row *row = fault_row(fault);
	struct buf says;

	a->mail ? leave_mail(a) : (void)0;
	buf_init(&says, 2048);
	hold_words(&says, fault, span_of(row->says[LANGUAGE_EN]), &(struct remedy_names){ .mailbox = post_mailbox_address(a->post, a->mailbox) });
	send_settled(a, 2, fault, row->smtp, span_of(row->enhanced), buf_span(&says));
	buf_free(&says);
}

bool settle_is_awaited(const struct mail *m)
{
	return m->waiter != NULL;
}

void settle_accepted(struct mail *m, struct span says)
{
	while (m->waiter)
		send_settled(m->waiter, 1, FAULT_OK, 250, SPAN("2.0.0"), says);
}

void settle_queued(struct mail *m, struct span says)
{
	while (m->waiter)
		send_settled(m->waiter, 3, m->fault, 250, SPAN("2.0.0"), says);
}

void settle_refused(struct mail *m, const struct outcome *o, const struct remedy_names *names)
{
	const struct fault_row *row = fault_row(o->fault);
	bool is_theirs = o->code >= 500 && o->code < 600;
	struct span enhanced = span_of(is_theirs && o->enhanced[0] == '5' ? o->enhanced : row->enhanced);
	struct buf says;

	buf_init(&says, 4096);
	hold_words(&says, o->fault, span_of(o->text), names);
	while (m->waiter)
		send_settled(m->waiter, 2, o->fault, is_theirs ? o->code : row->smtp, enhanced, buf_span(&says));
	buf_free(&says);
}

static void on_verdict_due(void *self)
{
	struct arrival *a = self;

	send_settled(a, 3, FAULT_OK, 250, SPAN("2.0.0"), SPAN("queued: the provider has not answered yet"));
}

/* --- beginning */

static bool may_send_as(const struct grant *g, const struct grant_mailbox *mailbox, struct span sender)
{
	const struct grant_mailbox *of;

	if (!sender.size || span_equal_fold(sender, mailbox->address))
		return true;
	of = grant_mailbox_for(g, sender);
	return of && of->id == mailbox->id;
}

static bool put_envelope(struct arrival *a, const struct message_mail_begin *m, const struct grant *g, const struct grant_mailbox *mailbox)
{
	const struct record_envelope e = {
		.id = a->id, .mailbox = m->mailbox, .client = g->client, .client_name = g->client_name, .organisation = mailbox->organisation,
		.address = mailbox->address, .sender = m->sender, .body = m->body, .utf8 = m->smtputf8, .returns = m->dsn_return,
		.envelope_id = m->envelope_id, .language = (uint8_t)mailbox->language, .notice_mailbox = mailbox->notice_mailbox,
		.recipients = m->recipients,
	};

	/* What is written behind the body must fit too. */
	return record_message_begin(&a->payload, &e) && a->payload.size + TAIL_BYTES <= RECORD_BYTES_MAX;
}

/* Checks the grant, once; only its moment is looked at again at the end. */
static enum fault read_begin(struct arrival *a, const struct message_mail_begin *m)
{
	struct arena *arena = arena_new(GRANT_BYTES_MAX);
	const struct grant_mailbox *mailbox = NULL;
	size_t recipients = record_recipient_count(m->recipients);
	struct grant g;
	enum fault fault = grant_check(&g, arena, m->grant, secret_borrow(a->post->mac_key), (uint32_t)a->key.gate, a->key.session, clock_wall_ms());

	if (!fault)
		mailbox = grant_mailbox(&g, m->mailbox);
	if (!fault && (!mailbox || !(g.protocol & (GRANT_SMTP | GRANT_API))))
		fault = FAULT_GRANT_INVALID;
	if (!fault && !may_send_as(&g, mailbox, m->sender))
		fault = FAULT_SENDER_NOT_GRANTED;
	if (!fault)
		fault = mailbox->ready == FAULT_MAILBOX_NOT_READY ? mailbox->ready : FAULT_OK;
	if (!fault && (!recipients || recipients > RECIPIENTS_MAX))
		fault = recipients ? FAULT_TOO_MANY_RECIPIENTS : FAULT_NO_RECIPIENTS;
	if (!fault) {
		a->client = g.client;
		a->mailbox = m->mailbox;
		a->issued_at_ms = g.issued_at_ms;
		a->expires_at_ms = g.expires_at_ms;
		a->verdict_wait_ms = g.verdict_wait_ms;
		a->id = mails_new_id(queue_mails(a->post->queue), clock_wall_ms());
		if (!put_envelope(a, m, &g, mailbox))
			fault = FAULT_TOO_MANY_RECIPIENTS;
		a->body_at = a->payload.size;
	}
	arena_free(&arena);
	return fault;
}

static enum fault may_begin(const struct post *p)
{
	if (!p->is_open)
		return FAULT_POST_AWAY;
	if (p->is_draining)
		return FAULT_SHUTTING_DOWN;
	if (map_count(&p->arrivals) >= POST_ARRIVALS_MAX || p->gathered_bytes >= (size_t)p->config->body_memory)
		return FAULT_NO_MEMORY;
	return queue_intake(p->queue);
}

void intake_begin(struct post *p, struct link *link, const struct message_mail_begin *m)
{
	struct arrival *a = find(p, link, m->session);
	enum fault fault = may_begin(p);

	if (a)
		arrival_free(a); /* a session has one message at a time */
	a = calloc(1, sizeof *a);
	if (!a)
		panic("out of memory");
	a->post = p;
	a->key = (struct arrival_key){ link_index(link), m->session };
	a->serial = m->serial;
	buf_init(&a->payload, RECORD_BYTES_MAX);
	buf_init(&a->message_id, TAIL_BYTES / 2);
	timer_init(&a->verdict, p->loop, on_verdict_due, a);
	map_put(&p->arrivals, arrival_span(&a->key), a);
	if (!fault)
		fault = read_begin(a, m);
	count(a);
	if (!fault)
		post_step(p, a->id, "receiving");
	if (fault == FAULT_GRANT_INVALID)
		TRAIL(&p->trail, EVENT_GRANT_REFUSED, TRAIL_NUMBER("gate", a->key.gate), TRAIL_NUMBER("mailbox", m->mailbox));
	if (fault)
		settle_fault(a, fault);
}

/* --- the body */

static void on_body_written(void *self, size_t bytes)
{
	struct arrival *a = self;
	struct link *link = a->post->gates[a->key.gate];

	a->unwritten -= bytes;
	count(a);
	if (link)
		link_send(link, &MESSAGE_OF(mail_taken, .session = a->key.session, .serial = a->serial, .bytes = bytes));
}

static void store(struct arrival *a);

static void on_body_ended(void *self, enum fault fault, uint64_t size_bytes)
{
	struct arrival *a = self;

	(void)size_bytes;
	a->writing = NULL;
	a->unwritten = 0;
	count(a);
	if (fault)
		settle_fault(a, fault);
	else
		store(a);
}

static const struct body_events body_events = { .written = on_body_written, .ended = on_body_ended };

/* The body goes on in a file. Its header stays in the record, for reports. */
static void move_to_file(struct arrival *a)
{
	struct span body = span_slice(buf_span(&a->payload), a->body_at, a->payload.size);
	size_t header = span_find(body, SPAN("\r\n\r\n")) + 4;

	rand_bytes(a->file_key, sizeof a->file_key);
	a->writing = bodies_write(a->post->bodies, a->id, (struct span){ a->file_key, sizeof a->file_key }, &body_events, a);
	a->unwritten = body.size;
	body_put(a->writing, body);
	if (header > body.size)
		header = body.size;
	a->payload.size = a->body_at + (header < HEADER_KEPT_BYTES ? header : HEADER_KEPT_BYTES);
	count(a);
}

void intake_body(struct post *p, struct link *link, const struct message_mail_body *m)
{
	struct arrival *a = find(p, link, m->session);

	if (!a || a->serial != m->serial || a->state != ARRIVAL_GATHERS)
		return;
	if (p->gathered_bytes + m->bytes.size > (size_t)p->config->body_memory) {
		settle_fault(a, FAULT_NO_MEMORY);
		return;
	}
	a->body_bytes += m->bytes.size;
	if (!a->writing && (a->body_bytes > BODY_INLINE_BYTES || a->payload.size + m->bytes.size + TAIL_BYTES > RECORD_BYTES_MAX))
		move_to_file(a);
	if (a->writing) {
		a->unwritten += m->bytes.size;
		body_put(a->writing, m->bytes);
	} else {
		ASSERT(buf_put(&a->payload, m->bytes));
	}
	count(a);
}

/* --- the end */

static struct record_envelope envelope_of(const struct arrival *a)
{
	struct record_envelope e;
	struct span bytes = span_slice(buf_span(&a->payload), 4, a->body_at - 8);

	ASSERT(!record_get_envelope(&e, bytes));
	return e;
}

static void wait_for(struct arrival *a, struct mail *m)
{
	a->mail = m;
	a->state = ARRIVAL_WAITS;
	a->next = m->waiter;
	m->waiter = a;
}

static void store(struct arrival *a)
{
	struct post *p = a->post;
	struct record_envelope e;
	struct record_closing c = {
		.accepted_at = clock_wall_ms(), .size = a->body_bytes, .message_id = buf_span(&a->message_id),
		.key = { (const char *)a->key_bytes, MAIL_KEY_BYTES },
		.key_until = resubmit_until_ms(clock_wall_ms(), buf_span(&a->message_id)),
	};
	struct mail *m;
	enum fault fault;

	if (a->has_file)
		c.file_key = (struct span){ a->file_key, sizeof a->file_key };
	ASSERT(record_message_end(&a->payload, a->body_at, &c));
	e = envelope_of(a);
	m = mail_new(&e, &c);
	ASSERT(m);
	mail_set_payload(m, &a->payload);
	count(a);
	fault = queue_accept(p->queue, m, RECORD_MESSAGE);
	if (fault) {
		if (m->has_file)
			bodies_remove(p->bodies, m->id);
		mail_free(&m);
		settle_fault(a, fault);
		return;
	}
	post_step(p, m->id, "gathered");
	wait_for(a, m);
}

static bool is_revoked(const struct post *p, const struct arrival *a)
{
	const struct revoked_client *r = map_get(&p->revoked, (struct span){ (const char *)&a->client, sizeof a->client });

	return r && a->issued_at_ms <= r->at_ms;
}

/* What a message that waits tells those who come for it. */
static void say_waiting(struct post *p, struct mail *m)
{
	struct lane *lane = schedule_lane(queue_schedule(p->queue), m->mailbox);
	int64_t wait_ms = lane_until_ms(lane) - loop_now_ms(p->loop);
	struct buf says;

	buf_init(&says, 4096);
	if (!hold_says(p, m, &says) && !pace_says(p, m, &says)) {
		if (wait_ms > 0)
			buf_print(&says, "queued: the provider cannot be reached now; the next try is in %lld s", (long long)(wait_ms / 1000 + 1));
		else if (m->reason && m->attempts)
			buf_print(&says, "queued: %s", m->reason);
		else
			buf_put(&says, SPAN("queued: other messages of this mailbox go first"));
	}
	settle_queued(m, buf_span(&says));
	buf_free(&says);
}

static void wait_for_verdict(struct arrival *a)
{
	if (a->verdict_wait_ms > 0)
		timer_after(&a->verdict, a->verdict_wait_ms);
	else
		send_settled(a, 3, FAULT_OK, 250, SPAN("2.0.0"), SPAN("queued: it is being sent"));
}

/* The same message again, whose first reply nobody heard. False: it is a new one after all. */
static bool join(struct arrival *a)
{
	struct post *p = a->post;
	struct resubmit_entry *e = resubmit_find(queue_resubmit(p->queue), a->key_bytes, clock_wall_ms());
	struct mail *m = e ? mails_find(queue_mails(p->queue), e->id) : NULL;
	char id[MAIL_ID_TEXT_BYTES + 1];

	if (!e || (!e->says && (!m || (!m->open_count && !m->trying))))
		return false;
	mail_id_text(id, e->id);
	TRAIL(&p->trail, EVENT_RESUBMITTED, TRAIL_TEXT("id", span_of(id)));
	metric_add(METRIC_POST_RESUBMITTED, NULL, 1);
	post_step(p, a->id, "dropped");
	body_drop(&a->writing);
	if (e->says) {
		struct link *link = p->gates[a->key.gate];

		if (link)
			link_send(link, &MESSAGE_OF(settled, .session = a->key.session, .serial = a->serial, .kind = 1, .code = 250,
						    .enhanced = SPAN("2.0.0"), .id = span_of(id), .says = span_of(e->says)));
		arrival_free(a);
		return true;
	}
	wait_for(a, m);
	if (m->accepted && !m->trying)
		say_waiting(p, m);
	else if (m->accepted)
		wait_for_verdict(a);
	return true;
}

static void make_key(struct arrival *a, struct span digest)
{
	struct record_envelope e = envelope_of(a);

	resubmit_key(a->key_bytes, &(struct resubmit_source){ .client = a->client, .mailbox = a->mailbox, .sender = e.sender,
							      .recipients = e.recipients, .message_id = buf_span(&a->message_id), .digest = digest });
}

void intake_end(struct post *p, struct link *link, const struct message_mail_end *m)
{
	struct arrival *a = find(p, link, m->session);

	if (!a || a->serial != m->serial || a->state != ARRIVAL_GATHERS)
		return;
	a->state = ARRIVAL_STORES;
	if (!buf_put(&a->message_id, m->message_id))
		buf_clear(&a->message_id);
	if (clock_wall_ms() > a->expires_at_ms || is_revoked(p, a)) {
		settle_fault(a, is_revoked(p, a) ? FAULT_CLIENT_REVOKED : FAULT_GRANT_INVALID);
		return;
	}
	make_key(a, m->digest);
	if (join(a))
		return;
	a->has_file = a->writing != NULL;
	if (a->writing)
		body_end(a->writing);
	else
		store(a);
}

void intake_drop(struct post *p, struct link *link, const struct message_mail_drop *m)
{
	struct arrival *a = find(p, link, m->session);

	if (a && a->serial == m->serial)
		arrival_free(a);
}

void intake_gate_ended(struct post *p, unsigned gate)
{
	struct arrival *a;

	for (size_t at = 0; (a = map_next(&p->arrivals, &at));)
		if (a->key.gate == gate)
			arrival_free(a);
}

/* --- what became of the commit */

void intake_accepted(struct post *p, struct mail *m, enum fault fault)
{
	struct schedule *schedule = queue_schedule(p->queue);
	struct lane *lane = schedule_lane(schedule, m->mailbox);

	if (fault) {
		post_step(p, m->id, "dropped");
		if (m->has_file)
			bodies_remove(p->bodies, m->id);
		while (m->waiter)
			settle_fault(m->waiter, fault);
		return;
	}
	metric_add(METRIC_POST_TAKEN, NULL, 1);
	post_step(p, m->id, "committed");
	if (p->is_draining || !schedule_is_free(lane, m->open_count)) {
		bool is_soon = !p->is_draining && !lane_is_blocked(lane) && lane_until_ms(lane) <= loop_now_ms(p->loop) &&
			       schedule_limit(lane, m->open_count, 0).kind == LIMIT_NONE;

		schedule_add(schedule, m, loop_now_ms(p->loop));
		post_step(p, m->id, hold_cause_of(p, m) ? "held" : "waiting");
		say_waiting(p, m);
		queue_unload(p->queue, m, is_soon); /* what waits for long is read again from the disk */
		return;
	}
	for (struct arrival *a = m->waiter, *next; a; a = next) {
		next = a->next;
		wait_for_verdict(a);
	}
	schedule_try(schedule, m);
}

/* --- revocations, kept for as long as a grant may live */

void intake_revoked(struct post *p, const struct message_revoked *m)
{
	struct revoked_client *r = map_get(&p->revoked, (struct span){ (const char *)&m->client, sizeof m->client });

	if (!r) {
		r = calloc(1, sizeof *r);
		if (!r)
			panic("out of memory");
		r->client = m->client;
		map_put(&p->revoked, (struct span){ (const char *)&r->client, sizeof r->client }, r);
	}
	r->at_ms = m->at_ms;
}

void intake_free(struct post *p)
{
	struct arrival *a;
	struct revoked_client *r;

	for (size_t at = 0; (a = map_next(&p->arrivals, &at));)
		arrival_free(a);
	map_free(&p->arrivals);
	for (size_t at = 0; (r = map_next(&p->revoked, &at));) {
		map_remove(&p->revoked, (struct span){ (const char *)&r->client, sizeof r->client });
		free(r);
	}
	map_free(&p->revoked);
}
