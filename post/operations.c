#include "base/clock.h"
#include "base/json.h"
#include "base/panic.h"
#include "base/text.h"
#include "post/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_USUAL = 100, LIST_MOST = 1000, ARGUMENTS_BYTES_MAX = 64 * 1024, REASON_BYTES = 1024 };

/* A call under way: messages are read from the disk one after the other. The link may end meanwhile; the peer's place tells. */
struct call {
	struct post *post;
	enum role peer;
	uint64_t request;
	enum language language;
	bool is_list, is_waiting, is_inside;
	json_t *items;
	size_t count, next;
	uint64_t *ids;
};

static void answer(struct post *p, enum role peer, uint64_t request, enum fault fault, struct span why, const json_t *result)
{
	struct link *link = peer == ROLE_VAULT ? p->vault : p->desk;
	struct buf text;

	buf_init(&text, MESSAGE_BYTES_MAX - 4096);
	if (result && !json_write(&text, result)) {
		fault = FAULT_TOO_LARGE;
		why = SPAN("the answer is too large; ask for less with `limit`");
		buf_clear(&text);
	}
	if (link)
		link_send(link, &MESSAGE_OF(answer, .request = request, .fault = fault, .why = why, .result = buf_span(&text)));
	buf_wipe(&text);
}

/* --- a message as JSON */

static void put_date(json_t *o, const char *name, int64_t wall_ms)
{
	struct buf b;

	if (wall_ms <= 0)
		return;
	buf_init(&b, 64);
	text_date(&b, wall_ms);
	json_put_text(o, name, buf_span(&b));
	buf_free(&b);
}

static const char *state_of(const struct post *p, const struct mail *m)
{
	if (m->trying)
		return "trying";
	if (m->hold == FAULT_UNDELIVERABLE)
		return "undeliverable";
	if (m->hold == FAULT_RESTORED)
		return "restored";
	return mail_is_kept(m) || hold_cause_of(p, m) ? "held" : "waiting";
}

/* `address` is that of the mailbox when the message came, for where the vault has not told us of it yet. */
static void put_reason(json_t *o, const struct post *p, const struct mail *m, struct span address, enum language language)
{
	const struct cause *c = mail_is_kept(m) ? NULL : hold_cause_of(p, m);
	enum fault fault = c ? hold_fault(c) : m->hold ? m->hold : m->fault;
	struct span now = post_mailbox_address(p, m->mailbox);
	char id[MAIL_ID_TEXT_BYTES + 1];

	mail_id_text(id, m->id);

	json_put_text(o, "fault", span_of(fault ? fault_row(fault)->name : ""));
	json_put_text(o, "reason", span_of(c ? hold_text(c) : m->reason));
	json_put_text(o, "explanation", span_of(fault ? fault_row(fault)->says[language] : ""));
	remedy_put_json(o, fault, language, &(struct remedy_names){ .mailbox = now.size ? now : address, .message = span_of(id) });
}

static void put_recipients(json_t *o, const struct mail *m, const struct record_envelope *e)
{
	static const char *const words[] = { "open", "accepted", "refused", "reported" };
	struct span rest = e->recipients;
	struct record_recipient r;
	json_t *list = json_array();

	for (uint32_t i = 0; i < m->recipient_count && record_recipient_next(&rest, &r); i++) {
		json_t *one = json_object();

		json_put_text(one, "address", r.address);
		json_put_text(one, "outcome", span_of(words[m->statuses[i] & 3]));
		json_array_append_new(list, one);
	}
	json_object_set_new(o, "recipients", list);
}

static json_t *describe(const struct post *p, const struct mail *m, struct span payload, enum language language)
{
	struct record_envelope e = { 0 };
	struct record_closing c;
	struct span body;
	char id[MAIL_ID_TEXT_BYTES + 1];
	json_t *o = json_object();
	bool readable = !record_get_message(&e, &body, &c, payload);

	mail_id_text(id, m->id);
	json_put_text(o, "id", span_of(id));
	json_put_text(o, "state", span_of(state_of(p, m)));
	json_put_text(o, "mailbox", readable ? e.address : SPAN(""));
	json_put_text(o, "sender", readable ? e.sender : SPAN(""));
	put_recipients(o, m, &e);
	json_put_whole(o, "size", (int64_t)m->size_bytes);
	put_date(o, "accepted_at", m->accepted_at_ms);
	if (!strcmp(state_of(p, m), "waiting"))
		put_date(o, "next_try_at", m->next_try_at_ms);
	put_reason(o, p, m, readable ? e.address : SPAN(""), language);
	json_put_whole(o, "attempts", m->attempts);
	json_put_text(o, "client", readable ? e.client_name : SPAN(""));
	if (readable)
		json_put_text(o, "organisation", e.organisation);
	if (m->unknown)
		json_put_flag(o, "may_have_arrived", true);
	if (m->held_by)
		json_put_text(o, "held_by", span_of(m->held_by));
	if (m->report_of) {
		mail_id_text(id, m->report_of);
		json_put_text(o, "report_of", span_of(id));
	}
	return o;
}

/* --- reading one message after the other */

static void call_end(struct call *c)
{
	json_t *result = c->items;

	if (c->is_list) {
		result = json_object();
		json_object_set_new(result, "items", c->items);
	}
	if (result)
		answer(c->post, c->peer, c->request, FAULT_OK, SPAN(""), result);
	else
		answer(c->post, c->peer, c->request, FAULT_NOT_FOUND, SPAN("no such message is in the queue"), NULL);
	if (result)
		json_decref(result);
	free(c->ids);
	free(c);
}

static void call_next(struct call *);

static void on_loaded(void *self, struct mail *m, enum fault fault, struct span payload)
{
	struct call *c = self;
	json_t *o = describe(c->post, m, payload, c->language);

	(void)fault; /* what is known is told all the same */
	if (c->is_list)
		json_array_append_new(c->items, o);
	else
		c->items = o;
	c->is_waiting = false;
	if (!c->is_inside)
		call_next(c);
}

static void call_next(struct call *c)
{
	c->is_inside = true;
	while (!c->is_waiting && c->next < c->count) {
		struct mail *m = mails_find(queue_mails(c->post->queue), c->ids[c->next++]);

		c->is_waiting = m != NULL;
		if (m)
			queue_load(c->post->queue, m, false, on_loaded, c);
	}
	c->is_inside = false;
	if (!c->is_waiting)
		call_end(c);
}

static struct call *call_new(struct post *p, struct link *link, const struct message_call *m)
{
	struct call *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	c->post = p;
	c->peer = link_peer(link);
	c->request = m->request;
	c->language = m->language < LANGUAGE_COUNT ? (enum language)m->language : LANGUAGE_EN;
	return c;
}

/* --- list and show */

struct filter {
	struct span state, mailbox;
	uint64_t after;
	size_t limit;
};

static bool read_filter(const json_t *arguments, struct filter *f)
{
	struct span after = json_text(arguments, "after");
	int64_t limit = LIST_USUAL;

	*f = (struct filter){ .state = json_text(arguments, "state"), .mailbox = json_text(arguments, "mailbox") };
	if (json_has(arguments, "limit") && !json_whole(arguments, "limit", &limit))
		return false;
	f->limit = (size_t)(limit < 1 ? 1 : limit > LIST_MOST ? LIST_MOST : limit);
	return !after.size || mail_id_read(&f->after, after);
}

/* Mailboxes are asked for by address; the vault told us who is who. */
static bool is_of(const struct post *p, const struct mail *m, struct span address)
{
	const struct known_mailbox *k = post_mailbox(p, m->mailbox);
	uint64_t number;

	return !address.size || (k && span_equal_fold(span_of(k->address), address)) || (span_number(address, &number) && number == m->mailbox);
}

/* Pages go by id, and mail does not come in the order of its ids: one that came slowly is behind others that began later. Kept are the lowest. */
static void note_lowest(struct call *c, size_t limit, uint64_t id)
{
	size_t at = c->count;

	while (at && c->ids[at - 1] > id)
		at--;
	if (c->count < limit)
		c->count++;
	memmove(c->ids + at + 1, c->ids + at, (c->count - at - 1) * sizeof *c->ids);
	c->ids[at] = id;
}

static bool is_on_page(const struct call *c, const struct filter *f, const struct mail *m)
{
	return m->accepted && m->id > f->after && (c->count < f->limit || m->id < c->ids[c->count - 1]) && is_of(c->post, m, f->mailbox) &&
	       (!f->state.size || span_equal(f->state, span_of(state_of(c->post, m))));
}

static void list(struct post *p, struct link *link, const struct message_call *m, const json_t *arguments)
{
	struct filter f;
	struct call *c;

	if (!read_filter(arguments, &f)) {
		answer(p, link_peer(link), m->request, FAULT_MALFORMED, SPAN("`limit` is a number, `after` a message id"), NULL);
		return;
	}
	c = call_new(p, link, m);
	c->is_list = true;
	c->items = json_array();
	c->ids = calloc(f.limit, sizeof *c->ids);
	if (!c->ids)
		panic("out of memory");
	for (const struct mail *one = queue_mails(p->queue)->oldest; one; one = one->behind)
		if (is_on_page(c, &f, one))
			note_lowest(c, f.limit, one->id);
	call_next(c);
}

static void show(struct post *p, struct link *link, const struct message_call *m, struct mail *mail)
{
	struct call *c = call_new(p, link, m);

	c->ids = calloc(1, sizeof *c->ids);
	if (!c->ids)
		panic("out of memory");
	c->ids[c->count++] = mail->id;
	call_next(c);
}

/* --- what a named person does to a message */

static void hold(struct post *p, struct mail *m, struct span actor)
{
	schedule_remove(m);
	queue_hold(p->queue, m, &(struct record_hold){ .id = m->id, .at = clock_wall_ms(), .fault = span_of(fault_row(FAULT_HELD_BY_PERSON)->name),
						       .reason = span_of(fault_row(FAULT_HELD_BY_PERSON)->says[LANGUAGE_EN]), .by = actor }, NULL, NULL);
}

static void release(struct post *p, struct mail *m, struct span actor)
{
	bool was_kept = mail_is_kept(m);

	queue_release(p->queue, m, actor, NULL, NULL);
	if (was_kept)
		schedule_add(queue_schedule(p->queue), m, loop_now_ms(p->loop));
	else
		hold_mended(p, m->mailbox);
}

static void retry(struct post *p, struct mail *m, struct span actor)
{
	if (m->hold) {
		release(p, m, actor);
	} else {
		schedule_remove(m);
		schedule_add(queue_schedule(p->queue), m, loop_now_ms(p->loop));
		hold_mended(p, m->mailbox);
	}
	schedule_hurry(schedule_lane(queue_schedule(p->queue), m->mailbox));
}

static void delete(struct post *p, struct mail *m, struct span actor)
{
	queue_delete(p->queue, m, actor, NULL, NULL);
}

/* All that a restored backup holds, or that of one mailbox. What a person held before the backup, or never was confirmed, stays held. */
static void confirm(struct post *p, struct link *link, const struct message_call *m, const json_t *arguments)
{
	json_t *result = json_object();
	int64_t count = 0;

	for (struct mail *one = queue_mails(p->queue)->oldest, *behind; one; one = behind) {
		behind = one->behind;
		if (one->hold != FAULT_RESTORED || !one->open_count || !is_of(p, one, json_text(arguments, "mailbox")))
			continue;
		release(p, one, m->actor);
		count++;
	}
	TRAIL(&p->trail, EVENT_QUEUE_CONFIRMED, TRAIL_NUMBER("messages", count), TRAIL_TEXT("by", m->actor));
	json_put_whole(result, "released", count);
	answer(p, link_peer(link), m->request, FAULT_OK, SPAN(""), result);
	json_decref(result);
}

static const struct deed {
	const char *name;
	bool may_be_trying;
	void (*run)(struct post *, struct mail *, struct span actor);
} deeds[] = {
	{ "queue.retry", false, retry }, { "queue.hold", false, hold }, { "queue.release", false, release }, { "queue.delete", true, delete },
};

static void do_deed(struct post *p, struct link *link, const struct message_call *m, struct mail *mail, const struct deed *deed)
{
	char id[MAIL_ID_TEXT_BYTES + 1];
	json_t *result;

	if (mail->trying && !deed->may_be_trying) {
		answer(p, link_peer(link), m->request, FAULT_IN_USE, SPAN("the message is being tried; ask again in a moment"), NULL);
		return;
	}
	mail_id_text(id, mail->id);
	TRAIL(&p->trail, EVENT_QUEUE_CHANGED, TRAIL_TEXT("id", span_of(id)), TRAIL_TEXT("operation", span_of(deed->name)), TRAIL_TEXT("by", m->actor));
	result = json_object();
	json_put_text(result, "id", span_of(id));
	deed->run(p, mail, m->actor);
	answer(p, link_peer(link), m->request, FAULT_OK, SPAN(""), result);
	json_decref(result);
}

/* --- status and metrics */

static void put_causes(json_t *o, const struct post *p, enum language language)
{
	json_t *list = json_array();
	const struct cause *c;

	for (unsigned of_tenants = 0; of_tenants < 2; of_tenants++)
		for (size_t at = 0; (c = hold_next(p, &at, of_tenants));) {
			struct span address = post_mailbox_address(p, hold_mailbox(c));
			json_t *one = json_object();

			if (of_tenants)
				json_put_text(one, "tenant", hold_tenant(c));
			else
				json_put_text(one, "mailbox", address);
			json_put_text(one, "fault", span_of(fault_row(hold_fault(c))->name));
			json_put_text(one, "reason", span_of(hold_text(c)));
			remedy_put_json(one, hold_fault(c), language, &(struct remedy_names){ .mailbox = address });
			put_date(one, "since", hold_since_ms(c));
			json_array_append_new(list, one);
		}
	json_object_set_new(o, "causes", list);
}

enum { WAITING, TRYING, HELD, UNDELIVERABLE, RESTORED, STATES };

static const char *const states[STATES] = { [WAITING] = "waiting", [TRYING] = "trying", [HELD] = "held", [UNDELIVERABLE] = "undeliverable",
					     [RESTORED] = "restored" };

/* Of a million nearly all wait in lanes, which know how many; only the others are looked at, and health is asked for often. */
static void count_states(struct post *p, int64_t counts[STATES])
{
	struct schedule *s = queue_schedule(p->queue);
	size_t left = mails_count(queue_mails(p->queue));
	struct lane *lane;

	for (size_t at = 0; (lane = schedule_next_lane(s, &at));) {
		counts[hold_cause_of_lane(p, lane) ? HELD : WAITING] += (int64_t)lane_count(lane);
		left -= lane_count(lane);
	}
	for (const struct mail *one = queue_mails(p->queue)->oldest; one && left; one = one->behind) {
		const char *state = one->lane_place ? NULL : state_of(p, one);

		for (size_t i = 0; i < STATES && state; i++)
			counts[i] += !strcmp(states[i], state);
		left -= state != NULL;
	}
}

static void status(struct post *p, struct link *link, const struct message_call *m)
{
	int64_t counts[STATES] = { 0 };
	struct spool_numbers n = spool_numbers(queue_spool(p->queue));
	enum fault intake = queue_intake(p->queue);
	json_t *o = json_object();

	count_states(p, counts);
	json_put_whole(o, "messages", (int64_t)mails_count(queue_mails(p->queue)));
	for (size_t i = 0; i < STATES; i++)
		json_put_whole(o, states[i], counts[i]);
	json_put_text(o, "intake", span_of(intake ? fault_row(intake)->name : "OK"));
	json_put_whole(o, "connections", ways_connections(p->ways));
	json_put_whole(o, "segments", n.segments);
	json_put_whole(o, "segments_sealed", n.sealed);
	json_put_whole(o, "segments_damaged", n.damaged);
	put_causes(o, p, m->language < LANGUAGE_COUNT ? (enum language)m->language : LANGUAGE_EN);
	answer(p, link_peer(link), m->request, FAULT_OK, SPAN(""), o);
	json_decref(o);
}

static void metrics(struct post *p, struct link *link, const struct message_call *m)
{
	struct buf text;

	buf_init(&text, MESSAGE_BYTES_MAX / 2);
	metric_expose(&text, "post", p->index, false);
	link_send(link, &MESSAGE_OF(answer, .request = m->request, .result = buf_span(&text)));
	buf_free(&text);
}

/* --- which one */

static const struct deed *find_deed(struct span operation)
{
	for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
		if (span_equal(operation, span_of(deeds[i].name)))
			return &deeds[i];
	return NULL;
}

static void on_message(struct post *p, struct link *link, const struct message_call *m, const json_t *arguments)
{
	const struct deed *deed = find_deed(m->operation);
	struct mail *mail = NULL;
	uint64_t id;

	if (mail_id_read(&id, json_text(arguments, "id")))
		mail = mails_find(queue_mails(p->queue), id);
	if (!mail || !mail->accepted || !mail->open_count)
		answer(p, link_peer(link), m->request, FAULT_NOT_FOUND, SPAN("no such message is in the queue"), NULL);
	else if (deed)
		do_deed(p, link, m, mail, deed);
	else
		show(p, link, m, mail);
}

void post_call(struct post *p, struct link *link, const struct message_call *m)
{
	json_t *arguments = json_read(m->arguments.size ? m->arguments : SPAN("{}"), ARGUMENTS_BYTES_MAX);

	if (!arguments)
		answer(p, link_peer(link), m->request, FAULT_MALFORMED, SPAN("the arguments are no JSON object"), NULL);
	else if (span_equal(m->operation, SPAN("metrics")))
		metrics(p, link, m);
	else if (!p->is_open)
		answer(p, link_peer(link), m->request, FAULT_POST_AWAY, SPAN("the queue is being read"), NULL);
	else if (span_equal(m->operation, SPAN("status")))
		status(p, link, m);
	else if (span_equal(m->operation, SPAN("queue.list")))
		list(p, link, m, arguments);
	else if (span_equal(m->operation, SPAN("queue.confirm")))
		confirm(p, link, m, arguments);
	else if (span_equal(m->operation, SPAN("backup.begin")))
		post_backup_begin(p, link, m, arguments);
	else if (span_equal(m->operation, SPAN("backup.read")))
		post_backup_read(p, link, m, arguments);
	else if (span_equal(m->operation, SPAN("queue.show")) || find_deed(m->operation))
		on_message(p, link, m, arguments);
	else
		answer(p, link_peer(link), m->request, FAULT_NOT_FOUND, SPAN("no such operation"), NULL);
	if (arguments)
		json_decref(arguments);
}
