#include "base/clock.h"
#include "base/message.h"
#include "base/panic.h"
#include "post/deliver_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void delivery_free(struct delivery *d)
{
	*(d->before ? &d->before->behind : &d->post->deliveries) = d->behind;
	if (d->behind)
		d->behind->before = d->before;
	body_close(&d->reading);
	free(d->places);
	free(d);
}

/* --- the body: a header line of ours first, the same at every try, so that copies can be told */

static void on_chunk(void *self, enum fault fault, struct span bytes, bool end)
{
	struct delivery *d = self;

	d->body_fault = fault;
	if (fault)
		way_no_body(&d->letter, fault);
	else
		way_body(&d->letter, bytes, end);
}

static void on_more(void *self)
{
	struct delivery *d = self;

	if (!d->header_went) {
		d->header_went = true;
		way_body(&d->letter, (struct span){ d->header, d->header_bytes }, false);
		return;
	}
	if (!d->mail->has_file) {
		way_body(&d->letter, d->body, true);
		return;
	}
	if (!d->reading)
		d->reading = bodies_read(d->post->bodies, d->mail->id, d->closing.file_key, on_chunk, d);
	body_next(d->reading);
}

static void on_step(void *self, enum way_step step)
{
	static const char *const names[] = {
		[WAY_ASKS] = "asking", [WAY_DIALS] = "connecting", [WAY_SIGNS_IN] = "signing_in",
		[WAY_BEGINS] = "envelope", [WAY_SENDS] = "body", [WAY_AWAITS] = "dot",
	};
	const struct delivery *d = self;

	if (step >= WAY_BEGINS)
		schedule_begun(d->mail);
	post_step(d->post, d->mail->id, names[step]);
}

/* --- what came of it */

static const struct outcome *outcome_at(const struct delivery *d, size_t i)
{
	const struct outcome *o = d->end.begun ? &d->recipients[i].outcome : &d->alike;

	return outcome_next(o) == OUTCOME_RETRY && d->expired.fault ? &d->expired : o;
}

static enum outcome_next next_at(const struct delivery *d, size_t i)
{
	return outcome_next(outcome_at(d, i));
}

static void judge_age(struct delivery *d)
{
	const struct mail *m = d->mail;
	int64_t age_ms = post_now_ms(d->post) - m->accepted_at_ms - m->held_ms;
	const struct outcome *last = d->end.begun ? &d->recipients[0].outcome : &d->alike;

	for (size_t i = 0; d->end.begun && i < d->count; i++)
		if (outcome_next(&d->recipients[i].outcome) == OUTCOME_RETRY)
			last = &d->recipients[i].outcome;
	if (age_ms >= d->post->config->queue_lifetime * 1000 && outcome_next(last) == OUTCOME_RETRY)
		outcome_say(&d->expired, FAULT_EXPIRED, "%s; the last answer was: %.300s", fault_row(FAULT_EXPIRED)->says[LANGUAGE_EN], last->text);
}

static void tally(struct delivery *d)
{
	judge_age(d);
	for (size_t i = 0; i < d->count; i++) {
		const struct outcome *o = outcome_at(d, i);
		const struct outcome **first = &d->first_open;

		switch (outcome_next(o)) {
		case OUTCOME_DONE:
			d->accepted++;
			first = &d->first_accepted;
			break;
		case OUTCOME_REFUSE:
			d->refused++;
			first = &d->first_refused;
			break;
		case OUTCOME_RETRY: d->retried++; break;
		case OUTCOME_HOLD:
			d->held++;
			first = NULL;
			if (!d->first_open || outcome_next(d->first_open) != OUTCOME_HOLD)
				d->first_open = o; /* a hold says more than a wait */
			break;
		}
		if (first && !*first)
			*first = o;
	}
}

static unsigned char status_at(const struct delivery *d, size_t i)
{
	unsigned char now = d->mail->statuses[d->places[i]]; /* a report may have spoken for it */

	if (now != RECORD_OPEN)
		return now;
	switch (next_at(d, i)) {
	case OUTCOME_DONE: return RECORD_ACCEPTED;
	case OUTCOME_REFUSE: return RECORD_REFUSED;
	default: return RECORD_OPEN;
	}
}

static bool continues(const struct delivery *d, size_t i)
{
	const struct outcome *a = outcome_at(d, i - 1), *b = outcome_at(d, i);

	return d->places[i] == d->places[i - 1] + 1 && status_at(d, i) == status_at(d, i - 1) &&
	       (a == b || (a->fault == b->fault && a->code == b->code && !strcmp(a->text, b->text)));
}

/* Neighbours that fared alike are one run. */
static void put_runs(const struct delivery *d, struct buf *runs)
{
	struct buf item;

	buf_init(&item, 4096);
	for (size_t i = 0, count; i < d->count; i += count) {
		const struct outcome *o = outcome_at(d, i);

		for (count = 1; i + count < d->count && continues(d, i + count); count++)
			;
		buf_clear(&item);
		record_put_run(&item, &(struct record_run){
			.first = d->places[i], .count = (uint32_t)count, .status = status_at(d, i),
			.fault = span_of(o->fault ? fault_row(o->fault)->name : ""), .code = (uint32_t)o->code,
			.enhanced = span_of(o->enhanced), .text = span_of(o->text),
		});
		message_list_put(runs, buf_span(&item));
	}
	buf_free(&item);
}

static void write_outcome(struct delivery *d, int64_t wait_ms, queue_done *done)
{
	struct buf runs;
	int64_t now = clock_wall_ms();

	buf_init(&runs, RECORD_BYTES_MAX);
	put_runs(d, &runs);
	queue_outcome(d->post->queue, d->mail,
		      &(struct record_outcome){ .id = d->mail->id, .at = now, .attempts = d->mail->attempts + 1, .next_try_at = now + wait_ms,
						.unknown = d->end.unknown, .host = span_of(d->host), .runs = buf_span(&runs),
						.delay_told = d->mail->delay_told },
		      done, d);
	buf_free(&runs);
}

static bool make_report(struct delivery *d, bool of_refused)
{
	struct report_item *items = calloc(d->count, sizeof *items);
	size_t count = 0;
	bool made;

	if (!items)
		panic("out of memory");
	for (size_t i = 0; i < d->count; i++) {
		enum outcome_next next = next_at(d, i);

		if ((next == OUTCOME_REFUSE && of_refused) || (next == OUTCOME_DONE && !d->end.dsn_passed))
			items[count++] = (struct report_item){ d->places[i], outcome_at(d, i), next == OUTCOME_DONE ? DSN_RELAYED : DSN_FAILED,
							       span_of(d->host), 0 };
	}
	made = count && report_make(d->post, d->mail, &d->envelope, d->body, &d->closing, items, count);
	free(items);
	return made;
}

/* Once a message, where NOTIFY=DELAY asks for it. What is held waits for an administrator, who is shown it, and has no end to name. */
static void report_delay(struct delivery *d)
{
	const struct config *config = d->post->config;
	struct mail *m = d->mail;
	int64_t age_ms = post_now_ms(d->post) - m->accepted_at_ms - m->held_ms;
	struct report_item *items;
	size_t count = 0;

	if (m->delay_told || !d->retried || !config->delay_report_after || age_ms < config->delay_report_after * 1000)
		return;
	items = calloc(d->count, sizeof *items);
	if (!items)
		panic("out of memory");
	for (size_t i = 0; i < d->count; i++)
		if (next_at(d, i) == OUTCOME_RETRY)
			items[count++] = (struct report_item){ d->places[i], outcome_at(d, i), DSN_DELAYED, span_of(d->host),
							       m->accepted_at_ms + m->held_ms + config->queue_lifetime * 1000 };
	report_make(d->post, m, &d->envelope, d->body, &d->closing, items, count);
	free(items);
}

static void trail_end(const struct delivery *d, enum event event, const struct outcome *o, const char *what, int64_t number)
{
	char id[MAIL_ID_TEXT_BYTES + 1];

	mail_id_text(id, d->mail->id);
	if (event == EVENT_SENT)
		TRAIL(&d->post->trail, event, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("mailbox", d->envelope.address),
		      TRAIL_TEXT("host", span_of(d->host)), TRAIL_NUMBER(what, number), TRAIL_TEXT("text", span_of(o->text)));
	else
		TRAIL(&d->post->trail, event, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("mailbox", d->envelope.address),
		      TRAIL_TEXT("host", span_of(d->host)), TRAIL_TEXT("fault", span_of(fault_row(o->fault)->name)), TRAIL_NUMBER(what, number),
		      TRAIL_TEXT("text", span_of(o->text)));
}

/* --- the end of a try */

/* It cannot be read, so it cannot be sent; people are shown that it is there. */
static void keep_damaged(struct post *p, struct mail *m, enum fault fault)
{
	char id[MAIL_ID_TEXT_BYTES + 1];
	struct buf says;

	mail_id_text(id, m->id);
	TRAIL(&p->trail, EVENT_RECORD_DAMAGED, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
	buf_init(&says, 2048);
	queue_hold(p->queue, m, &(struct record_hold){ .id = m->id, .at = clock_wall_ms(), .fault = span_of(fault_row(FAULT_SPOOL_DAMAGED)->name),
						       .reason = span_of(fault_row(fault)->says[LANGUAGE_EN]) }, NULL, NULL);
	hold_says(p, m, &says);
	settle_queued(m, buf_span(&says));
	buf_free(&says);
}

/* Gives up the payload and the try; the message goes if all is over with it. */
static void finish(struct delivery *d)
{
	struct post *p = d->post;
	struct mail *m = d->mail;

	queue_unload(p->queue, m, false);
	delivery_free(d);
	queue_tried(p->queue, m);
	post_try_ended(p);
}

/* For the remedy's commands. */
static struct remedy_names names_of(const struct delivery *d)
{
	return (struct remedy_names){ .mailbox = post_mailbox_address(d->post, d->mail->mailbox), .account = post_account_address(d->post, d->mail->mailbox),
				      .sender = d->envelope.sender, .client = d->envelope.client_name };
}

/* The refusal is on the disk. Where nobody waits any more, the sender is told by a report after all. */
static void on_refusal_written(void *self)
{
	struct delivery *d = self;
	const struct remedy_names names = names_of(d);

	resubmit_forget(queue_resubmit(d->post->queue), d->mail->id);
	if (settle_is_awaited(d->mail)) {
		post_step(d->post, d->mail->id, "refused");
		settle_refused(d->mail, d->first_refused, &names);
	} else {
		make_report(d, true);
	}
	finish(d);
}

/* Whoever comes again is told the same, where it was accepted in part too: sent anew, some would get it twice. */
static void end_accepted(struct delivery *d)
{
	struct mail *m = d->mail;
	char words[OUTCOME_WORDS_BYTES];
	struct buf says;

	_Static_assert((int)MAIL_PARTLY_BYTES <= (int)OUTCOME_WORDS_BYTES, "both fit");
	buf_init(&says, 4096);
	if (mail_accepted_count(m) == m->recipient_count)
		buf_print(&says, "accepted by %s: %.*s", d->host, (int)outcome_words(d->first_accepted, words).size, words);
	else
		buf_put(&says, mail_partly_words(m, words));
	resubmit_accepted(queue_resubmit(d->post->queue), m->id, buf_span(&says));
	settle_accepted(m, buf_span(&says));
	buf_free(&says);
}

/* Every recipient has its answer. */
static void end_decided(struct delivery *d)
{
	bool refused_whole = d->refused == d->mail->recipient_count;

	if (refused_whole && settle_is_awaited(d->mail)) {
		write_outcome(d, 0, on_refusal_written);
		return;
	}
	make_report(d, true);
	write_outcome(d, 0, NULL);
	if (mail_accepted_count(d->mail))
		end_accepted(d);
	else
		resubmit_forget(queue_resubmit(d->post->queue), d->mail->id);
	finish(d);
}

static void settle_open(struct delivery *d)
{
	const struct remedy_names names = names_of(d);
	const struct outcome *o = d->first_open;
	char words[OUTCOME_WORDS_BYTES];
	struct buf says;

	if (!settle_is_awaited(d->mail))
		return;
	buf_init(&says, 4096);
	buf_put(&says, d->held ? SPAN("held: ") : SPAN("queued: "));
	if (d->held)
		hold_words(&says, o->fault, outcome_words(o, words),
			   &names);
	else
		buf_print(&says, "%.*s%s", (int)outcome_words(o, words).size, words, d->end.unknown ? "; it may have arrived all the same" : "");
	settle_queued(d->mail, buf_span(&says));
	buf_free(&says);
}

/* Some have no answer yet: they are tried again, or held. Those refused are reported, since the application hears 250. */
static void end_open(struct delivery *d)
{
	struct post *p = d->post;
	struct schedule *schedule = queue_schedule(p->queue);
	int64_t now = loop_now_ms(p->loop), due = lane_until_ms(d->lane);

	if (due <= now)
		due = now + schedule_wait_ms(schedule, d->mail->attempts + 1);
	make_report(d, true);
	report_delay(d);
	write_outcome(d, due - now, NULL);
	settle_open(d);
	if (d->held)
		hold_begin(p, d->mail, d->first_open, d->end.is_password);
	schedule_add(schedule, d->mail, due);
	post_step(p, d->mail->id, d->held ? "held" : "waiting");
	trail_end(d, EVENT_DEFERRED, d->first_open, "wait_ms", d->held ? 0 : due - now);
	finish(d);
}

static void say_end(const struct delivery *d)
{
	if (d->accepted)
		trail_end(d, EVENT_SENT, d->first_accepted, "recipients", d->accepted);
	if (d->refused)
		trail_end(d, EVENT_REFUSED, d->first_refused, "recipients", d->refused);
	metric_add(METRIC_POST_TRIES, d->held ? "held" : d->retried ? "deferred" : d->accepted ? "accepted" : "refused", 1);
}

static enum schedule_end schedule_end_of(const struct delivery *d)
{
	static const enum schedule_end ends[] = {
		[WAY_BLAMES_MESSAGE] = SCHEDULE_WENT, [WAY_BLAMES_MAILBOX] = SCHEDULE_MAILBOX_FAILED,
		[WAY_BLAMES_TENANT] = SCHEDULE_TENANT_FAILED, [WAY_BLAMES_HOST] = SCHEDULE_HOST_FAILED,
	};

	if (d->held)
		return SCHEDULE_STOPPED;
	return d->retried ? pace_end(d->first_open->fault, ends[d->end.blame]) : SCHEDULE_WENT;
}

/* Recipients that the provider has taken, or may have taken where no reply came. */
static uint32_t taken_count(const struct delivery *d)
{
	uint32_t count = 0;

	for (size_t i = 0; d->end.begun && i < d->count; i++) {
		const struct outcome *o = &d->recipients[i].outcome;

		count += d->end.unknown || !o->fault || !o->code;
	}
	return count;
}

static enum hold_end hold_end_of(const struct delivery *d)
{
	if (d->held)
		return HOLD_AGAIN;
	return d->retried && !d->accepted && d->end.blame != WAY_BLAMES_MESSAGE ? HOLD_UNSURE : HOLD_WENT;
}

/* A report has found no way as yet. */
static void end_up(struct delivery *d)
{
	struct post *p = d->post;
	struct mail *m = d->mail;
	const struct outcome *why = d->first_refused ? d->first_refused : d->first_open;

	if (report_climb(p, m, &d->envelope, d->body, &d->closing))
		queue_delete(p->queue, m, SPAN(""), NULL, NULL); /* the next one stands for it */
	else
		report_keep(p, m, why);
	finish(d);
}

/* A report that is refused, or held while another way is left, goes up the ladder. */
static bool goes_up(const struct delivery *d)
{
	return d->mail->report_of && (d->refused || (d->held && d->mail->rung < REPORT_FROM_NOTICE && d->mail->notice_mailbox &&
						     d->mail->notice_mailbox != d->mail->mailbox));
}

static void on_done(void *self, const struct way_end *end)
{
	struct delivery *d = self;
	struct post *p = d->post;
	struct mail *m = d->mail;
	bool gone = !m->open_count; /* a person deleted it meanwhile */

	post_step(p, m->id, "replied");
	snprintf(d->host, sizeof d->host, "%.*s", SPAN_ARGS(end->host));
	if (!gone && another_way_try(d, end))
		return;
	p->tries--;
	d->end = *end;
	if (end->outcome)
		d->alike = *end->outcome;
	another_way_recall(d);
	tally(d);
	schedule_ended(m, schedule_end_of(d), taken_count(d));
	hold_tried(p, m, hold_end_of(d));
	say_end(d);
	if (gone) { /* a person deleted it meanwhile */
		settle_queued(m, SPAN("queued: an administrator deleted it"));
		finish(d);
	} else if (d->body_fault) {
		keep_damaged(p, m, d->body_fault);
		finish(d);
	} else if (notice_is(m) && d->held && !d->accepted && !d->end.unknown) {
		notice_give_way(p, m, d->first_open->fault);
		finish(d);
	} else if (goes_up(d)) {
		end_up(d);
	} else if (d->retried || d->held) {
		end_open(d);
	} else {
		end_decided(d);
	}
}

/* --- the beginning of a try */

static void fill_message(struct delivery *d)
{
	static const enum dsn_return returns[] = { DSN_RETURN_UNSET, DSN_RETURN_FULL, DSN_RETURN_HEADERS };
	const struct record_envelope *e = &d->envelope;
	struct limit_rates rates = { 0 };
	char id[MAIL_ID_TEXT_BYTES + 1];

	mail_id_text(id, d->mail->id);
	pace_rates(d->post, d->mail->mailbox, &rates);
	d->header_bytes = (size_t)snprintf(d->header, sizeof d->header, "X-Postern-Id: %s\r\n", id);
	d->letter = (struct way_letter){ .mailbox = d->mail->mailbox, .way = post_way(d->post, d->mail->mailbox, 0), .more = on_more, .done = on_done, .step = on_step, .self = d };
	d->letter.connections = rates.connections;
	d->letter.message = (struct smtp_client_message){
		.sender = e->sender.size ? e->sender : e->address, /* providers refuse <> on submission */
		.recipients = d->recipients, .recipient_count = d->count, .has_size = true,
		.size_bytes = d->header_bytes + d->closing.size, .body = e->body > SMTP_CLIENT_BINARY ? SMTP_CLIENT_8BIT : (enum smtp_client_body)e->body,
		.utf8 = e->utf8, .returns = e->returns < 3 ? returns[e->returns] : DSN_RETURN_UNSET, .envelope_id = e->envelope_id,
	};
}

static void fill_recipients(struct delivery *d)
{
	struct span rest = d->envelope.recipients;
	struct record_recipient r;
	uint32_t at = 0;

	for (; record_recipient_next(&rest, &r) && d->count < d->mail->open_count; at++) {
		if (d->mail->statuses[at] != RECORD_OPEN)
			continue;
		d->places[d->count] = at;
		d->recipients[d->count++] = (struct smtp_client_recipient){
			.address = r.address, .original = r.original,
			.notify = d->mail->report_of || !d->envelope.sender.size ? DSN_NEVER : r.notify,
		};
	}
}

static struct delivery *delivery_new(struct post *p, struct mail *m)
{
	struct delivery *d = calloc(1, sizeof *d + m->open_count * sizeof *d->recipients);

	if (!d)
		panic("out of memory");
	d->post = p;
	d->mail = m;
	d->lane = m->lane;
	d->places = calloc(m->open_count, sizeof *d->places);
	if (!d->places)
		panic("out of memory");
	d->behind = p->deliveries;
	if (d->behind)
		d->behind->before = d;
	p->deliveries = d;
	return d;
}

/* Nothing came of the try, not even a question to the provider. */
static void give_up(struct post *p, struct mail *m)
{
	p->tries--;
	schedule_ended(m, SCHEDULE_STOPPED, 0);
	hold_tried(p, m, HOLD_UNSURE);
	queue_tried(p->queue, m);
	post_try_ended(p);
}

static void on_loaded(void *self, struct mail *m, enum fault fault, struct span payload)
{
	struct post *p = self;
	struct delivery *d;

	if (!m->open_count) {
		give_up(p, m);
		return;
	}
	d = delivery_new(p, m);
	if (fault || record_get_message(&d->envelope, &d->body, &d->closing, payload)) {
		delivery_free(d);
		keep_damaged(p, m, fault ? fault : FAULT_SPOOL_DAMAGED);
		give_up(p, m);
		return;
	}
	fill_recipients(d);
	fill_message(d);
	ways_send(p->ways, &d->letter);
}

void deliver_start(struct post *p, struct mail *m)
{
	p->tries++;
	post_step(p, m->id, "trying");
	queue_load(p->queue, m, true, on_loaded, p);
}

void deliver_free(struct post *p)
{
	while (p->deliveries)
		delivery_free(p->deliveries);
}
