#include "loop/dial.h"

#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEXT_AFTER_MS = 250 };

struct attempt {
	struct dial *dial;
	struct stream *stream;
};

struct dial {
	struct loop *loop;
	struct dns_question *question;
	struct attempt attempts[DNS_ADDRESSES_MAX];
	struct dns_answer answer;
	size_t begun, failed;
	struct address source;
	struct timer next, deadline;
	dial_done *done;
	void *self;
	int timeout_ms;
	enum fault fault;
	char why[320];
};

static void destroy(struct dial *d)
{
	dns_cancel(&d->question);
	timer_stop(&d->next);
	timer_stop(&d->deadline);
	for (size_t i = 0; i < d->begun; i++)
		stream_close(&d->attempts[i].stream);
	free(d);
}

static void finish(struct dial *d, struct stream *stream, enum fault fault)
{
	dial_done *done = d->done;
	void *self = d->self;
	char why[sizeof d->why];

	memcpy(why, d->why, sizeof why);
	destroy(d);
	done(self, stream, fault, fault == FAULT_OK ? SPAN("") : span_of(why));
}

static void on_opened(void *self)
{
	struct attempt *a = self;
	struct stream *winner = a->stream;

	a->stream = NULL;
	finish(a->dial, winner, FAULT_OK);
}

static size_t on_data(void *self, struct span bytes)
{
	return 0;
}

static void note_failure(struct dial *d, size_t which, enum fault fault, struct span why)
{
	char memory[128];
	struct buf name;

	buf_over(&name, memory, sizeof memory);
	address_print(&name, &d->answer.addresses[which], true);
	d->fault = fault;
	snprintf(d->why, sizeof d->why, "%.*s: %.*s", SPAN_ARGS(buf_span(&name)), SPAN_ARGS(why));
}

static void begin_next(void *self);

static void on_ended(void *self, enum fault fault, struct span why)
{
	struct attempt *a = self;
	struct dial *d = a->dial;

	note_failure(d, (size_t)(a - d->attempts), fault, why);
	stream_close(&a->stream);
	d->failed++;
	if (d->failed == d->answer.count)
		finish(d, NULL, d->fault);
	else if (d->begun < d->answer.count)
		begin_next(d);
}

static const struct stream_events events = { on_opened, on_data, NULL, on_ended };

/* Connecting from an address of the other family would fail for a reason that nobody wants to read. */
static bool may_use_source(const struct dial *d, const struct address *to)
{
	return d->source.family != ADDRESS_NONE && d->source.family == to->family;
}

static void begin_next(void *self)
{
	struct dial *d = self;
	struct attempt *a = &d->attempts[d->begun];
	const struct address *to = &d->answer.addresses[d->begun];

	d->begun++;
	a->dial = d;
	a->stream = stream_connect(d->loop, to, may_use_source(d, to) ? &d->source : NULL, d->timeout_ms, &events, a);
	if (d->begun < d->answer.count)
		timer_after(&d->next, NEXT_AFTER_MS);
	else
		timer_stop(&d->next);
}

/* With a source given, only its family is tried: going out from another address is what it was given against. */
static void keep_family_of_source(struct dial *d)
{
	size_t kept = 0;

	if (d->source.family == ADDRESS_NONE)
		return;
	for (size_t i = 0; i < d->answer.count; i++)
		if (d->answer.addresses[i].family == d->source.family)
			d->answer.addresses[kept++] = d->answer.addresses[i];
	d->answer.count = kept;
}

static void on_resolved(void *self, const struct dns_answer *answer)
{
	struct dial *d = self;

	d->question = NULL;
	d->answer = *answer;
	keep_family_of_source(d);
	if (answer->fault == FAULT_OK && d->answer.count) {
		begin_next(d);
		return;
	}
	if (answer->fault == FAULT_OK)
		snprintf(d->why, sizeof d->why, "no address of the family of the source address");
	else
		snprintf(d->why, sizeof d->why, "%s", fault_row(answer->fault)->says[LANGUAGE_EN]);
	finish(d, NULL, answer->fault == FAULT_OK ? FAULT_NO_ADDRESS : answer->fault);
}

static void on_deadline(void *self)
{
	struct dial *d = self;

	if (!d->failed)
		snprintf(d->why, sizeof d->why, "no connection within %d ms", d->timeout_ms);
	finish(d, NULL, d->failed ? d->fault : FAULT_TIMEOUT);
}

struct dial *dial_start(struct dns *dns, struct loop *loop, struct span host, uint16_t port,
			const struct address *source, int timeout_ms, dial_done *done, void *self)
{
	struct dial *d = calloc(1, sizeof *d);

	if (!d)
		panic("out of memory");
	d->loop = loop;
	d->done = done;
	d->self = self;
	d->timeout_ms = timeout_ms;
	if (source)
		d->source = *source;
	timer_init(&d->next, loop, begin_next, d);
	timer_init(&d->deadline, loop, on_deadline, d);
	timer_after(&d->deadline, timeout_ms);
	d->question = dns_resolve(dns, host, port, on_resolved, d);
	return d;
}

void dial_cancel(struct dial **dial)
{
	struct dial *d = *dial;

	*dial = NULL;
	if (d)
		destroy(d);
}
