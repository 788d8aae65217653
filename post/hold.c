#include "base/clock.h"
#include "base/panic.h"
#include "post/inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWORD_PROBE_MS = 3600 * 1000 };

enum stage {
	WAITING, /* for the next probe, or for word from the vault */
	PROBING, /* a sign-in without mail is under way */
	FIRST,   /* one message is under way; the rest follow its success */
};

/* Why the mail of a mailbox, or of a tenant, is held. */
struct cause {
	struct post *post;
	uint64_t mailbox; /* 0 when it is of a tenant */
	char *tenant, *text;
	enum fault fault;
	enum stage stage;
	bool is_password, never_probe;
	bool is_proved; /* a sign-in held, and the first message waits for its mailbox's limit */
	int64_t wait_ms, since_ms;
	struct timer timer;
	struct way_letter letter;
	uint64_t first;   /* the message sent alone */
};

/* What holds more than the mailbox it was met with. */
static const enum fault of_tenant[] = { FAULT_TENANT_RESTRICTED, FAULT_OAUTH_TENANT_UNKNOWN };

static bool is_of_tenant(enum fault fault)
{
	for (size_t i = 0; i < sizeof of_tenant / sizeof *of_tenant; i++)
		if (of_tenant[i] == fault)
			return true;
	return false;
}

void hold_words(struct buf *out, enum fault fault, struct span text, const struct remedy_names *names)
{
	while (text.size && (text.at[text.size - 1] == '.' || text.at[text.size - 1] == ' '))
		text.size--;
	buf_put(out, text);
	if (*fault_row(fault)->remedy_pattern[LANGUAGE_EN]) {
		buf_put(out, SPAN("; "));
		remedy_put(out, fault, LANGUAGE_EN, names);
	}
}

/* --- telling the vault, which tells people */

/* A cause that was mended while the vault was away. */
struct untold {
	struct untold *next;
	uint64_t mailbox;
	char *tenant, *text;
	enum fault fault;
	int64_t since_ms;
};

enum told { TOLD_HOLDS = 1, TOLD_MENDED = 2, TOLD_ALL = 3, TOLD_FORGOTTEN = 4 };

static void tell(const struct cause *c, enum told state)
{
	const struct post *p = c->post;

	if (p->vault)
		link_send(p->vault, &MESSAGE_OF(hold_cause, .state = (uint8_t)state, .mailbox = c->mailbox, .tenant = span_of(c->tenant),
						.fault = c->fault, .says = span_of(c->text), .since_ms = c->since_ms));
}

static void keep_untold(const struct cause *c)
{
	struct untold *u = calloc(1, sizeof *u);

	if (!u)
		panic("out of memory");
	*u = (struct untold){ c->post->untold, c->mailbox, NULL, NULL, c->fault, c->since_ms };
	mail_say(&u->tenant, span_of(c->tenant));
	mail_say(&u->text, span_of(c->text));
	c->post->untold = u;
}

static void tell_end(const struct cause *c, enum told state)
{
	if (c->post->vault)
		tell(c, state);
	else if (state == TOLD_MENDED)
		keep_untold(c);
}

static void untold_free(struct untold *u)
{
	free(u->tenant);
	free(u->text);
	free(u);
}

void hold_tell_all(struct post *p)
{
	const struct cause *c;

	while (p->untold) {
		struct untold *u = p->untold;
		const struct cause was = { .post = p, .mailbox = u->mailbox, .tenant = u->tenant, .text = u->text, .fault = u->fault,
					   .since_ms = u->since_ms };

		p->untold = u->next;
		tell(&was, TOLD_MENDED);
		untold_free(u);
	}
	for (size_t at = 0; (c = map_next(&p->mailbox_causes, &at));)
		tell(c, TOLD_HOLDS);
	for (size_t at = 0; (c = map_next(&p->tenant_causes, &at));)
		tell(c, TOLD_HOLDS);
	tell(&(const struct cause){ .post = p }, TOLD_ALL);
}

/* --- finding */

static struct span number_span(const uint64_t *n)
{
	return (struct span){ (const char *)n, sizeof *n };
}

static struct cause *cause_of_lane(const struct post *p, const struct lane *lane)
{
	uint64_t mailbox = lane_mailbox(lane);
	struct cause *c = map_get(&p->mailbox_causes, number_span(&mailbox));
	struct span tenant = lane_tenant(lane);

	return c ? c : tenant.size ? map_get(&p->tenant_causes, tenant) : NULL;
}

static struct lane *lane_of(const struct post *p, uint64_t mailbox)
{
	return schedule_lane(queue_schedule(p->queue), mailbox);
}

const struct cause *hold_cause_of_lane(const struct post *p, const struct lane *lane)
{
	return cause_of_lane(p, lane);
}

const struct cause *hold_cause_of(const struct post *p, const struct mail *m)
{
	return cause_of_lane(p, lane_of(p, m->mailbox));
}

enum fault hold_fault(const struct cause *c)
{
	return c->fault;
}

const char *hold_text(const struct cause *c)
{
	return c->text ? c->text : "";
}

int64_t hold_since_ms(const struct cause *c)
{
	return c->since_ms;
}

struct span hold_tenant(const struct cause *c)
{
	return span_of(c->tenant);
}

uint64_t hold_mailbox(const struct cause *c)
{
	return c->mailbox;
}

const struct cause *hold_next(const struct post *p, size_t *at, bool of_tenants)
{
	return map_next(of_tenants ? &p->tenant_causes : &p->mailbox_causes, at);
}

bool hold_says(struct post *p, const struct mail *m, struct buf *out)
{
	const struct cause *c = hold_cause_of(p, m);
	char id[MAIL_ID_TEXT_BYTES + 1];

	if (!c && !mail_is_kept(m))
		return false;
	mail_id_text(id, m->id);
	buf_put(out, SPAN("held: "));
	hold_words(out, c ? c->fault : m->hold, span_of(c && c->text ? c->text : m->reason ? m->reason : fault_row(m->hold)->says[LANGUAGE_EN]),
		   &(struct remedy_names){ .mailbox = post_mailbox_address(p, m->mailbox), .message = span_of(id) });
	return true;
}

/* --- lanes of a cause */

static bool is_held_by(const struct cause *c, const struct lane *lane)
{
	return c->mailbox ? lane_mailbox(lane) == c->mailbox : span_equal_fold(lane_tenant(lane), span_of(c->tenant));
}

static struct lane *next_lane(struct cause *c, size_t *at)
{
	struct lane *lane;

	while ((lane = schedule_next_lane(queue_schedule(c->post->queue), at)))
		if (is_held_by(c, lane))
			return lane;
	return NULL;
}

static void block_lanes(struct cause *c)
{
	struct lane *lane;

	for (size_t at = 0; (lane = next_lane(c, &at));) {
		schedule_block(lane, true);
		notice_flee(c->post, lane, c->fault);
	}
}

static struct mail *oldest_of(struct cause *c)
{
	struct mail *oldest = NULL, *m;
	struct lane *lane;

	for (size_t at = 0; (lane = next_lane(c, &at));)
		if ((m = lane_oldest(lane)) && (!oldest || m->id < oldest->id))
			oldest = m;
	return oldest;
}

/* --- the end of a cause */

static void trail_cause(const struct cause *c, enum event event)
{
	const struct known_mailbox *k = post_mailbox(c->post, c->mailbox);
	char number[24];

	snprintf(number, sizeof number, "%llu", (unsigned long long)c->mailbox);
	TRAIL(&c->post->trail, event, TRAIL_TEXT("mailbox", span_of(k ? k->address : c->mailbox ? number : "")), TRAIL_TEXT("tenant", span_of(c->tenant)),
	      TRAIL_TEXT("fault", span_of(fault_row(c->fault)->name)), TRAIL_TEXT("text", span_of(c->text)));
}

/* The time that a message was held does not count against its lifetime. */
static void release_lane(struct cause *c, struct lane *lane)
{
	struct post *p = c->post;
	struct mail *m;

	for (size_t i = 0; (m = lane_at(lane, i)); i++) {
		int64_t since = m->accepted_at_ms > c->since_ms ? m->accepted_at_ms : c->since_ms;

		if (m->hold)
			queue_release(p->queue, m, SPAN(""), NULL, NULL);
		else if (clock_wall_ms() > since)
			m->held_ms += clock_wall_ms() - since;
	}
}

static void cause_free(struct cause *c)
{
	struct post *p = c->post;

	if (c->mailbox)
		map_remove(&p->mailbox_causes, number_span(&c->mailbox));
	else
		map_remove(&p->tenant_causes, span_of(c->tenant));
	timer_stop(&c->timer);
	metric_add(METRIC_POST_CAUSES, NULL, -1);
	free(c->tenant);
	free(c->text);
	free(c);
}

/* A letter under way keeps its cause: it is freed by the letter's end. */
static void resolve(struct cause *c, enum told state)
{
	struct post *p = c->post;
	struct lane *lane;

	trail_cause(c, EVENT_RELEASED);
	tell_end(c, state);
	for (size_t at = 0; (lane = next_lane(c, &at));)
		release_lane(c, lane);
	for (size_t at = 0; (lane = next_lane(c, &at));) {
		const struct cause *other;

		schedule_hurry(lane);
		other = c->mailbox ? (lane_tenant(lane).size ? map_get(&p->tenant_causes, lane_tenant(lane)) : NULL)
				   : map_get(&p->mailbox_causes, number_span(&(uint64_t){ lane_mailbox(lane) }));
		schedule_block(lane, other != NULL);
	}
	cause_free(c);
}

/* --- probing */

static void send_first(struct cause *c);

static int64_t longest_ms(const struct cause *c)
{
	int64_t longest = c->post->config->probe_longest * 1000;

	return c->is_password && longest < PASSWORD_PROBE_MS ? PASSWORD_PROBE_MS : longest;
}

static void wait_for_probe(struct cause *c, bool longer)
{
	int64_t first = c->post->config->probe_first_ms;

	c->stage = WAITING;
	c->wait_ms = longer && c->wait_ms ? c->wait_ms * 2 : c->wait_ms ? c->wait_ms : first;
	if (c->is_password && c->wait_ms < PASSWORD_PROBE_MS)
		c->wait_ms = PASSWORD_PROBE_MS; /* so that no account is locked */
	if (c->wait_ms > longest_ms(c))
		c->wait_ms = longest_ms(c);
	if (!c->never_probe)
		timer_after(&c->timer, c->wait_ms);
}

static void say_still(struct cause *c)
{
	TRAIL(&c->post->trail, EVENT_STILL_HELD, TRAIL_TEXT("tenant", span_of(c->tenant)), TRAIL_TEXT("fault", span_of(fault_row(c->fault)->name)),
	      TRAIL_TEXT("text", span_of(c->text)), TRAIL_NUMBER("wait_ms", c->wait_ms));
}

static void learn(struct cause *c, const struct outcome *o, bool is_password)
{
	char words[OUTCOME_WORDS_BYTES];

	if (outcome_next(o) != OUTCOME_HOLD)
		return;
	c->fault = o->fault;
	c->is_password = is_password;
	mail_say(&c->text, outcome_words(o, words));
}

static void on_probed(void *self, const struct way_end *end)
{
	struct cause *c = self;
	struct post *p = c->post;

	p->tries--;
	if (!end->outcome->fault) {
		send_first(c);
	} else {
		learn(c, end->outcome, end->is_password);
		wait_for_probe(c, true);
		say_still(c);
	}
	post_try_ended(p);
}

static void probe(void *self)
{
	struct cause *c = self;
	struct mail *m = oldest_of(c);

	if (c->post->is_draining)
		return;
	if (c->is_proved) {
		send_first(c);
		return;
	}
	if (!m) {
		resolve(c, TOLD_FORGOTTEN); /* nothing to release: the next message will find out */
		return;
	}
	c->stage = PROBING;
	c->letter = (struct way_letter){ .mailbox = m->mailbox, .way = post_way(c->post, m->mailbox, 0), .done = on_probed, .self = c };
	c->post->tries++;
	ways_send(c->post->ways, &c->letter);
}

/* The oldest message that no limit of its mailbox keeps; or NULL, and until when they do, in loop time. */
static struct mail *oldest_free(struct cause *c, int64_t *until_out)
{
	struct mail *oldest = NULL, *m;
	struct lane *lane;

	*until_out = INT64_MAX;
	for (size_t at = 0; (lane = next_lane(c, &at));) {
		struct schedule_limit limit;

		m = lane_oldest(lane);
		if (!m)
			continue;
		limit = schedule_limit(lane, m->open_count, 0);
		if (limit.kind == LIMIT_NONE && (!oldest || m->id < oldest->id))
			oldest = m;
		if (limit.kind != LIMIT_NONE && limit.until_ms < *until_out)
			*until_out = limit.until_ms;
	}
	return oldest;
}

static void send_first(struct cause *c)
{
	int64_t until_ms;
	struct mail *m = oldest_free(c, &until_ms);

	if (!m && until_ms == INT64_MAX) {
		resolve(c, TOLD_MENDED);
		return;
	}
	c->is_proved = !m;
	if (c->post->is_draining || !m) {
		c->stage = WAITING;
		if (!c->post->is_draining)
			timer_at(&c->timer, until_ms);
		return;
	}
	c->stage = FIRST;
	c->first = m->id;
	timer_stop(&c->timer);
	schedule_start_alone(m);
}

void hold_tried(struct post *p, struct mail *m, enum hold_end end)
{
	struct cause *c = cause_of_lane(p, lane_of(p, m->mailbox));

	if (!c || c->stage != FIRST || c->first != m->id)
		return;
	if (end == HOLD_WENT)
		resolve(c, TOLD_MENDED);
	else
		wait_for_probe(c, end == HOLD_AGAIN);
}

/* --- the beginning of a cause */

static struct cause *cause_new(struct post *p, struct lane *lane, enum fault fault)
{
	struct cause *c = calloc(1, sizeof *c);
	bool of_all = is_of_tenant(fault) && lane_tenant(lane).size;

	if (!c)
		panic("out of memory");
	c->post = p;
	c->fault = fault;
	c->since_ms = clock_wall_ms();
	c->mailbox = of_all ? 0 : lane_mailbox(lane);
	timer_init(&c->timer, p->loop, probe, c);
	if (of_all) {
		mail_say(&c->tenant, lane_tenant(lane));
		map_put(&p->tenant_causes, span_of(c->tenant), c);
	} else {
		map_put(&p->mailbox_causes, number_span(&c->mailbox), c);
	}
	metric_add(METRIC_POST_CAUSES, NULL, 1);
	return c;
}

/* A message of each lane that comes to be blocked and is being tried may meet the same cause: it then changes nothing. */
void hold_begin(struct post *p, struct mail *m, const struct outcome *o, bool is_password)
{
	struct lane *lane = lane_of(p, m->mailbox);
	struct cause *c = cause_of_lane(p, lane);
	char words[OUTCOME_WORDS_BYTES];

	queue_hold(p->queue, m, &(struct record_hold){ .id = m->id, .at = clock_wall_ms(), .fault = span_of(fault_row(o->fault)->name),
						       .reason = outcome_words(o, words) }, NULL, NULL);
	if (c) {
		learn(c, o, is_password);
		return;
	}
	c = cause_new(p, lane, o->fault);
	learn(c, o, is_password);
	block_lanes(c);
	wait_for_probe(c, false);
	trail_cause(c, EVENT_HELD);
	tell(c, TOLD_HOLDS);
}

void hold_recovered(struct post *p)
{
	for (struct mail *m = queue_mails(p->queue)->oldest; m; m = m->behind) {
		struct lane *lane;
		struct cause *c;

		if (!m->hold || mail_is_kept(m))
			continue;
		lane = lane_of(p, m->mailbox);
		if (cause_of_lane(p, lane))
			continue;
		c = cause_new(p, lane, m->hold);
		c->since_ms = m->held_since_ms;
		mail_say(&c->text, span_of(m->reason));
		block_lanes(c);
		wait_for_probe(c, false);
	}
}

void hold_named(struct post *p, struct lane *lane)
{
	if (cause_of_lane(p, lane))
		schedule_block(lane, true);
}

/* --- word from the vault */

static void mend(struct cause *c)
{
	if (c->stage != WAITING)
		return; /* what is under way will tell */
	c->wait_ms = 0;
	c->never_probe = false;
	send_first(c);
}

void hold_mended(struct post *p, uint64_t mailbox)
{
	struct lane *lane = lane_of(p, mailbox);
	struct cause *c;

	ways_renew(p->ways, mailbox);
	c = map_get(&p->mailbox_causes, number_span(&mailbox));
	if (c)
		mend(c);
	c = lane_tenant(lane).size ? map_get(&p->tenant_causes, lane_tenant(lane)) : NULL;
	if (c)
		mend(c);
	schedule_hurry(lane);
}

void hold_mailbox_state(struct post *p, const struct message_mailbox_state *m)
{
	struct cause *c = map_get(&p->mailbox_causes, number_span(&m->mailbox));

	if (m->enabled) {
		if (c && c->fault == FAULT_MAILBOX_DISABLED)
			hold_mended(p, m->mailbox);
		return;
	}
	ways_renew(p->ways, m->mailbox);
	if (!c) {
		c = cause_new(p, lane_of(p, m->mailbox), FAULT_MAILBOX_DISABLED);
		mail_say(&c->text, span_of(fault_row(FAULT_MAILBOX_DISABLED)->says[LANGUAGE_EN]));
		block_lanes(c);
		trail_cause(c, EVENT_HELD);
		tell(c, TOLD_HOLDS);
	}
	c->never_probe = true; /* the vault says when */
	timer_stop(&c->timer);
}

void hold_free(struct post *p)
{
	struct cause *c;

	for (size_t at = 0; (c = map_next(&p->mailbox_causes, &at));)
		cause_free(c);
	for (size_t at = 0; (c = map_next(&p->tenant_causes, &at));)
		cause_free(c);
	while (p->untold) {
		struct untold *u = p->untold;

		p->untold = u->next;
		untold_free(u);
	}
	map_free(&p->mailbox_causes);
	map_free(&p->tenant_causes);
}
