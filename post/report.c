#include "base/clock.h"
#include "base/panic.h"
#include "post/inner.h"
#include "wire/header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_BYTES_MAX = 700 * 1024 };

/* Where a report is sent from: the mailbox itself, unless it is in trouble and the organisation has another. */
static enum report_rung choose_rung(struct post *p, const struct mail *m)
{
	struct lane *lane = schedule_lane(queue_schedule(p->queue), m->mailbox);
	bool in_trouble = lane_is_blocked(lane) || lane_until_ms(lane) > loop_now_ms(p->loop);

	return in_trouble && m->notice_mailbox && m->notice_mailbox != m->mailbox && post_mailbox(p, m->notice_mailbox) ? REPORT_FROM_NOTICE
															 : REPORT_FROM_SELF;
}

static struct span header_of(struct span body)
{
	size_t end = span_find(body, SPAN("\r\n\r\n"));

	return span_slice(body, 0, end < body.size ? end + 2 : body.size);
}

/* The recipients spoken of, in the words of wire/dsn.h. */
static struct dsn_recipient *describe(const struct record_envelope *e, const struct report_item *items, size_t count, int64_t now)
{
	struct dsn_recipient *out = calloc(count, sizeof *out);
	struct span rest = e->recipients;
	struct record_recipient r;
	uint32_t at = 0;

	if (!out)
		panic("out of memory");
	for (size_t i = 0; i < count && record_recipient_next(&rest, &r); at++) {
		if (items[i].at != at)
			continue;
		out[i] = (struct dsn_recipient){ .address = r.address, .original = r.original, .notify = r.notify, .action = items[i].action,
						 .outcome = items[i].outcome, .remote = items[i].remote, .tried_ms = now, .until_ms = items[i].until_ms };
		i++;
	}
	return out;
}

static void put_place(struct buf *out, uint32_t at)
{
	for (unsigned i = 0; i < 4; i++)
		buf_put_byte(out, (char)(at >> (8 * i) & 255));
}

/* A report as a message of the queue. */
struct draft {
	uint64_t id, mailbox;
	enum report_rung rung;
	struct span from, to, reported, body;
	bool eight_bit, utf8, of_delay;
};

static void put_report(struct post *p, const struct mail *about, const struct record_envelope *e, uint64_t report_of, const struct draft *d)
{
	struct buf list, payload;
	struct record_envelope envelope = {
		.id = d->id, .mailbox = d->mailbox, .client_name = SPAN("postern"), .organisation = e->organisation, .address = d->from,
		.sender = d->from, .body = d->eight_bit, .utf8 = d->utf8, .language = e->language, .notice_mailbox = about->notice_mailbox,
		.report_of = report_of, .rung = (uint8_t)d->rung, .reported = d->reported, .of_delay = d->of_delay,
	};
	struct record_closing closing = { .accepted_at = clock_wall_ms(), .size = d->body.size };
	struct mail *m;
	size_t begun;

	buf_init(&list, 1024);
	ASSERT(record_recipient_put(&list, &(struct record_recipient){ .address = d->to, .notify = DSN_NEVER }));
	envelope.recipients = buf_span(&list);
	buf_init(&payload, RECORD_BYTES_MAX);
	ASSERT(record_message_begin(&payload, &envelope));
	begun = payload.size;
	ASSERT(buf_put(&payload, d->body) && record_message_end(&payload, begun, &closing));
	m = mail_new(&envelope, &closing);
	ASSERT(m);
	mail_set_payload(m, &payload);
	ASSERT(!queue_accept(p->queue, m, RECORD_REPORT));
	post_step(p, m->id, "reporting");
	buf_free(&list);
	metric_add(METRIC_POST_REPORTS, NULL, 1);
}

static struct span address_for(const struct post *p, const struct record_envelope *e, uint64_t mailbox)
{
	const struct known_mailbox *known = post_mailbox(p, mailbox);

	return mailbox != e->mailbox && known ? span_of(known->address) : e->address;
}

static bool compose(struct post *p, struct mail *m, const struct record_envelope *e, struct span body, const struct record_closing *c,
		    struct dsn_report *r, struct draft *d, struct buf *out)
{
	struct dsn_needs needs;
	char id[MAIL_ID_TEXT_BYTES + 1], about[MAIL_ID_TEXT_BYTES + 1], message_id[400];

	mail_id_text(id, d->id);
	mail_id_text(about, m->id);
	snprintf(message_id, sizeof message_id, "<%s.report@%s>", id, p->host_name);
	*r = (struct dsn_report){
		.host = span_of(p->host_name), .from = d->from, .to = e->sender, .message_id = span_of(message_id), .date_ms = clock_wall_ms(),
		.language = (enum language)e->language, .utf8 = e->utf8, .envelope_id = e->envelope_id, .arrival_ms = m->accepted_at_ms,
		.about = c->message_id, .queue_id = span_of(about), .returns = e->returns == 1 ? DSN_RETURN_FULL : e->returns == 2 ? DSN_RETURN_HEADERS : DSN_RETURN_UNSET,
		.header = header_of(body), .content = m->has_file ? (struct span){ 0 } : body,
		.mailbox = address_for(p, e, m->mailbox), .recipients = r->recipients, .recipient_count = r->recipient_count,
	};
	if (dsn_compose(out, r, &needs))
		return false;
	d->body = buf_span(out);
	d->eight_bit = needs.eight_bit;
	d->utf8 = needs.utf8;
	return true;
}

bool report_make(struct post *p, struct mail *m, const struct record_envelope *e, struct span body, const struct record_closing *c,
		 const struct report_item *items, size_t count)
{
	struct dsn_recipient *recipients;
	struct dsn_report r;
	struct draft d = { 0 };
	struct buf out, reported;
	char id[MAIL_ID_TEXT_BYTES + 1], of[MAIL_ID_TEXT_BYTES + 1];
	bool made;

	if (m->report_of || !e->sender.size || dsn_is_report(header_of(body)))
		return false; /* never a report about a report, nor to nobody */
	recipients = describe(e, items, count, clock_wall_ms());
	r = (struct dsn_report){ .recipients = recipients, .recipient_count = count };
	buf_init(&out, REPORT_BYTES_MAX);
	buf_init(&reported, count * 4);
	for (size_t i = 0; i < count; i++)
		if (items[i].action == DSN_FAILED && dsn_wants(recipients[i].notify, DSN_FAILED))
			put_place(&reported, items[i].at);
	d.rung = choose_rung(p, m);
	d.mailbox = d.rung == REPORT_FROM_NOTICE ? m->notice_mailbox : m->mailbox;
	d.from = address_for(p, e, d.mailbox);
	d.to = e->sender;
	d.id = mails_new_id(queue_mails(p->queue), clock_wall_ms());
	d.reported = buf_span(&reported);
	d.of_delay = items[0].action == DSN_DELAYED;
	made = dsn_wanted(&r) && compose(p, m, e, body, c, &r, &d, &out);
	if (made) {
		put_report(p, m, e, m->id, &d);
		mail_apply_reported(m, buf_span(&reported));
		m->delay_told |= d.of_delay;
		mail_id_text(id, m->id);
		mail_id_text(of, d.id);
		TRAIL(&p->trail, EVENT_REPORTED, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("report", span_of(of)), TRAIL_NUMBER("recipients", count));
	}
	free(recipients);
	buf_free(&out);
	buf_free(&reported);
	return made;
}

/* --- up the ladder */

/* The same report from another mailbox: its From, which a report of ours has in one line, is the new one's. */
static bool readdress(struct buf *out, struct span body, struct span old, struct span from)
{
	struct span head = header_of(body), rest = head, line;

	while (span_cut(&rest, '\n', &line) && line.size) {
		size_t at = span_starts_fold(line, SPAN("From:")) ? span_find_fold(line, old) : line.size;

		if (at < line.size) {
			buf_put(out, span_slice(line, 0, at));
			buf_put(out, from);
			line = span_slice(line, at + old.size, line.size);
		}
		buf_put(out, line);
		buf_put_byte(out, '\n');
	}
	buf_put(out, span_slice(body, head.size, body.size));
	return !out->overfull;
}

bool report_climb(struct post *p, struct mail *m, const struct record_envelope *e, struct span body, const struct record_closing *c)
{
	const struct known_mailbox *notice = post_mailbox(p, m->notice_mailbox);
	struct record_recipient to;
	struct span rest = e->recipients;
	struct draft d = { 0 };
	struct buf out;
	bool good;

	(void)c;
	if (m->rung >= REPORT_FROM_NOTICE || !notice || !notice->enabled || m->notice_mailbox == m->mailbox || !record_recipient_next(&rest, &to))
		return false;
	buf_init(&out, RECORD_BYTES_MAX - 64 * 1024);
	d.id = mails_new_id(queue_mails(p->queue), clock_wall_ms());
	d.mailbox = m->notice_mailbox;
	d.rung = REPORT_FROM_NOTICE;
	d.from = span_of(notice->address);
	d.to = to.address;
	d.eight_bit = e->body != 0;
	d.utf8 = e->utf8;
	good = readdress(&out, body, e->address, d.from);
	d.body = buf_span(&out);
	if (good)
		put_report(p, m, e, m->report_of, &d);
	buf_free(&out);
	return good;
}

void report_keep(struct post *p, struct mail *m, const struct outcome *why)
{
	char id[MAIL_ID_TEXT_BYTES + 1];

	mail_id_text(id, m->id);
	TRAIL(&p->trail, EVENT_REPORT_KEPT, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("text", span_of(why->text)));
	queue_hold(p->queue, m, &(struct record_hold){ .id = m->id, .at = clock_wall_ms(), .fault = span_of(fault_row(FAULT_UNDELIVERABLE)->name),
						       .reason = span_of(why->text) }, NULL, NULL);
}
