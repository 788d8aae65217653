#include "base/clock.h"
#include "base/panic.h"
#include "post/inner.h"

#include <stdlib.h>

enum { AT_ONCE = 100 };

static int64_t held_since_ms(const struct mail *m, const struct cause *c)
{
	if (m->hold)
		return m->held_since_ms;
	return m->accepted_at_ms > hold_since_ms(c) ? m->accepted_at_ms : hold_since_ms(c);
}

/* What waits for a named person, or for a set-up to be confirmed, has no end but that person's. */
static bool is_over(struct post *p, const struct mail *m, int64_t now_ms)
{
	const struct cause *c = mail_is_kept(m) || notice_is(m) ? NULL : hold_cause_of(p, m);

	return c && m->accepted && !m->trying && m->lane_place && m->open_count && now_ms - held_since_ms(m, c) >= p->config->hold_lifetime * 1000;
}

static void fill(struct post *p, const struct mail *m, struct outcome *o)
{
	const struct cause *c = hold_cause_of(p, m);
	const char *why = c ? hold_text(c) : m->reason ? m->reason : "";

	outcome_say(o, FAULT_HELD_TOO_LONG, "%s; the last answer was: %.300s", fault_row(FAULT_HELD_TOO_LONG)->says[LANGUAGE_EN], why);
}

/* One run for each recipient that is open still: few messages have many. */
static void put_runs(const struct mail *m, const struct report_item *items, size_t count, struct buf *runs)
{
	struct buf item;

	buf_init(&item, 4096);
	for (size_t i = 0; i < count; i++) {
		unsigned char status = m->statuses[items[i].at];

		buf_clear(&item);
		record_put_run(&item, &(struct record_run){ .first = items[i].at, .count = 1, .status = status == RECORD_OPEN ? RECORD_REFUSED : status,
							    .fault = span_of(fault_row(items[i].outcome->fault)->name),
							    .text = span_of(items[i].outcome->text) });
		message_list_put(runs, buf_span(&item));
	}
	buf_free(&item);
}

static void write_outcome(struct post *p, struct mail *m, const struct report_item *items, size_t count)
{
	struct buf runs;

	buf_init(&runs, RECORD_BYTES_MAX);
	put_runs(m, items, count, &runs);
	queue_outcome(p->queue, m, &(struct record_outcome){ .id = m->id, .at = clock_wall_ms(), .attempts = m->attempts, .unknown = m->unknown,
							     .runs = buf_span(&runs), .delay_told = m->delay_told }, NULL, NULL);
	buf_free(&runs);
}

static void expire(struct post *p, struct mail *m, const struct record_envelope *e, struct span body, const struct record_closing *closing)
{
	struct report_item *items = calloc(m->open_count, sizeof *items);
	char id[MAIL_ID_TEXT_BYTES + 1];
	struct outcome o;
	size_t count = 0;

	if (!items)
		panic("out of memory");
	fill(p, m, &o);
	for (uint32_t at = 0; at < m->recipient_count && count < m->open_count; at++)
		if (m->statuses[at] == RECORD_OPEN)
			items[count++] = (struct report_item){ at, &o, DSN_FAILED, { 0 }, 0 };
	mail_id_text(id, m->id);
	TRAIL(&p->trail, EVENT_HOLD_EXPIRED, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("mailbox", e->address), TRAIL_TEXT("text", span_of(o.text)));
	if (m->report_of) {
		report_keep(p, m, &o);
	} else {
		report_make(p, m, e, body, closing, items, count);
		resubmit_forget(queue_resubmit(p->queue), m->id);
		write_outcome(p, m, items, count);
	}
	free(items);
}

/* One that cannot be read stays where it is, and is shown. */
static void on_loaded(void *self, struct mail *m, enum fault fault, struct span payload)
{
	struct post *p = self;
	struct record_envelope e;
	struct record_closing closing;
	struct span body;

	if (fault || !is_over(p, m, clock_wall_ms()) || record_get_message(&e, &body, &closing, payload))
		return;
	schedule_remove(m);
	expire(p, m, &e, body, &closing);
}

void expire_sweep(struct post *p)
{
	int64_t now_ms = clock_wall_ms();
	uint64_t ids[AT_ONCE];
	size_t count = 0;

	if (!p->config->hold_lifetime)
		return;
	for (struct mail *m = queue_mails(p->queue)->oldest; m && count < AT_ONCE; m = m->behind)
		if (is_over(p, m, now_ms))
			ids[count++] = m->id;
	for (size_t i = 0; i < count; i++) {
		struct mail *m = mails_find(queue_mails(p->queue), ids[i]);

		if (m)
			queue_load(p->queue, m, false, on_loaded, p);
	}
}
