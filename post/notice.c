#include "base/clock.h"
#include "base/panic.h"
#include "post/inner.h"

#include <stdlib.h>

/* A mail of our own in the queue; the vault hears what became of it. */
struct post_notice {
	struct post_notice *next;
	uint64_t id, mail;
};

static void answer(struct post *p, uint64_t id, enum fault fault)
{
	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(noticed, .id = id, .fault = fault));
}

/* The envelope has no sender: it leaves with the mailbox's address, and yields no report. */
static struct mail *mail_of(struct post *p, const struct message_notice *n, const unsigned char key[MAIL_KEY_BYTES])
{
	const struct record_envelope envelope = {
		.id = mails_new_id(queue_mails(p->queue), clock_wall_ms()), .mailbox = n->mailbox, .client_name = SPAN("postern"),
		.organisation = n->organisation, .address = n->from, .recipients = n->recipients,
	};
	const struct record_closing closing = { .accepted_at = clock_wall_ms(), .size = n->body.size, .key = { (const char *)key, MAIL_KEY_BYTES },
						.key_until = clock_wall_ms() + RESUBMIT_LONG_MS };
	struct buf payload;
	struct mail *m;
	size_t begun;
	bool fits;

	buf_init(&payload, RECORD_BYTES_MAX);
	fits = record_message_begin(&payload, &envelope);
	begun = payload.size;
	fits = fits && buf_put(&payload, n->body) && record_message_end(&payload, begun, &closing);
	m = fits ? mail_new(&envelope, &closing) : NULL;
	if (m)
		mail_set_payload(m, &payload);
	else
		buf_free(&payload);
	return m;
}

bool notice_is(const struct mail *m)
{
	return !m->client && !m->report_of;
}

static struct post_notice *note_of(const struct post *p, const struct mail *m)
{
	struct post_notice *n = p->notices;

	while (n && n->mail != m->id)
		n = n->next;
	return n;
}

static void note(struct post *p, uint64_t id, uint64_t mail)
{
	struct post_notice *n = calloc(1, sizeof *n);

	if (!n)
		panic("out of memory");
	*n = (struct post_notice){ p->notices, id, mail };
	p->notices = n;
}

static void drop_note(struct post *p, const struct post_notice *which)
{
	for (struct post_notice **at = &p->notices, *n; (n = *at); at = &n->next)
		if (n == which) {
			*at = n->next;
			free(n);
			return;
		}
}

static void end(struct post *p, const struct mail *m, enum fault fault)
{
	const struct post_notice *n = note_of(p, m);

	if (!n)
		return; /* the vault asks again, and hears it then */
	answer(p, n->id, fault);
	drop_note(p, n);
}

static void find_again(struct post *p, uint64_t id, const struct mail *m)
{
	const struct cause *c = hold_cause_of(p, m);

	note(p, id, m->id);
	if (c)
		notice_flee(p, schedule_lane(queue_schedule(p->queue), m->mailbox), hold_fault(c));
}

/* Whether it is in the queue already, or was: the vault did not hear our answer, or we lost it in a restart. */
static bool is_known(struct post *p, uint64_t id, const unsigned char key[MAIL_KEY_BYTES])
{
	const struct resubmit_entry *e = resubmit_find(queue_resubmit(p->queue), key, clock_wall_ms());
	const struct mail *m = e ? mails_find(queue_mails(p->queue), e->id) : NULL;

	for (const struct post_notice *n = p->notices; n; n = n->next)
		if (n->id == id)
			return true;
	if (e && e->says)
		answer(p, id, FAULT_OK);
	else if (m && m->open_count)
		find_again(p, id, m);
	else
		return false;
	return true;
}

void notice_take(struct post *p, const struct message_notice *n)
{
	unsigned char key[MAIL_KEY_BYTES];
	struct mail *m;
	enum fault fault;

	resubmit_key(key, &(struct resubmit_source){ .message_id = n->key });
	if (!p->is_open || p->is_draining) {
		answer(p, n->id, FAULT_SHUTTING_DOWN);
		return;
	}
	if (is_known(p, n->id, key))
		return;
	m = mail_of(p, n, key);
	if (!m) {
		answer(p, n->id, FAULT_MALFORMED);
		return;
	}
	note(p, n->id, m->id);
	fault = queue_accept(p->queue, m, RECORD_MESSAGE);
	if (!fault)
		return;
	end(p, m, fault);
	mail_free(&m);
}

void notice_give_way(struct post *p, struct mail *m, enum fault fault)
{
	queue_delete(p->queue, m, SPAN(""), NULL, NULL);
	end(p, m, fault);
}

void notice_flee(struct post *p, struct lane *lane, enum fault fault)
{
	struct mail *m;

	/* While the log is read back nothing is written; the vault asks for each again, and it flees then. */
	for (size_t at = 0; p->is_open && (m = lane_at(lane, at));)
		if (notice_is(m) && m->accepted && !m->trying && m->open_count == m->recipient_count && !m->hold) {
			notice_give_way(p, m, fault);
			at = 0;
		} else {
			at++;
		}
}

void notice_accepted(struct post *p, struct mail *m, enum fault fault)
{
	const struct cause *c = fault ? NULL : hold_cause_of(p, m);
	char id[MAIL_ID_TEXT_BYTES + 1];

	if (!notice_is(m))
		return;
	if (fault) {
		end(p, m, fault);
		return;
	}
	mail_id_text(id, m->id);
	TRAIL(&p->trail, EVENT_NOTICE_QUEUED, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("mailbox", post_mailbox_address(p, m->mailbox)));
	if (c)
		notice_flee(p, m->lane, hold_fault(c));
}

void notice_ended(struct post *p, const struct mail *m)
{
	if (notice_is(m))
		end(p, m, FAULT_OK);
}

void notice_free(struct post *p)
{
	while (p->notices)
		drop_note(p, p->notices);
}
