#include "post/inner.h"

bool pace_rates(void *post, uint64_t mailbox, struct limit_rates *out)
{
	const struct known_mailbox *k = post_mailbox(post, mailbox);

	if (!k)
		return false;
	*out = k->rates;
	return true;
}

/* A provider says these of a message, and would say them of the next one too. */
static const struct {
	enum fault fault;
	enum schedule_end end;
} of_mailbox[] = {
	{ FAULT_EXCHANGE_DAILY_LIMIT, SCHEDULE_MAILBOX_FULL },
	{ FAULT_GMAIL_DAILY_LIMIT, SCHEDULE_MAILBOX_FULL },
	{ FAULT_GMAIL_RELAY_DAILY, SCHEDULE_MAILBOX_FULL },
	{ FAULT_EXCHANGE_CONCURRENCY, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_EXCHANGE_PENALTY_FULL, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_EXCHANGE_PENALTY_SEND_AS, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_EXCHANGE_PENALTY_LICENCE, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_EXCHANGE_PENALTY_RECIPIENTS, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_EXCHANGE_PENALTY_ADDRESSES, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_GMAIL_RELAY_PEAK, SCHEDULE_MAILBOX_FAILED },
	{ FAULT_GRAPH_THROTTLED, SCHEDULE_MAILBOX_FAILED },
};

enum schedule_end pace_end(enum fault fault, enum schedule_end otherwise)
{
	for (size_t i = 0; i < sizeof of_mailbox / sizeof *of_mailbox; i++)
		if (of_mailbox[i].fault == fault)
			return of_mailbox[i].end;
	return otherwise;
}

bool pace_says(struct post *p, const struct mail *m, struct buf *out)
{
	struct lane *lane = schedule_lane(queue_schedule(p->queue), m->mailbox);
	size_t count = lane_count(lane);
	struct schedule_limit l = schedule_limit(lane, m->open_count, count ? count - 1 : 0);
	int64_t now_ms = loop_now_ms(p->loop);

	if (l.kind == LIMIT_NONE || (l.allowed && lane_until_ms(lane) > now_ms))
		return false;
	if (!l.allowed) {
		buf_print(out, "queued: the provider takes no more of this mailbox today; next try in %lld s", (long long)((l.until_ms - now_ms) / 1000 + 1));
		return true;
	}
	buf_print(out, "queued: it waits for the mailbox's limit of %u %s; next try in %lld s", l.allowed,
		  l.kind == LIMIT_DAY ? "recipients a day" : "messages a minute", (long long)((l.until_ms - now_ms) / 1000 + 1));
	return true;
}
