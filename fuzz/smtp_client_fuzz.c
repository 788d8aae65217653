/* A hostile provider: any replies, at any moment, cut in any way. The transcript depends on the bytes alone; no sign-in
 * goes in the clear; no bare CR or LF leaves; every message gets one outcome, every recipient one.
 * Input: four bytes of choice, then the server's bytes, in segments parted by \1, each sent when the client waits; behind
 * the first \2 the body of the messages. */
#include "wire/smtp_client.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 3, RECIPIENTS = 3 };

struct run {
	struct smtp_client client;
	struct smtp_client_recipient recipients[RECIPIENTS];
	struct smtp_client_message message;
	struct span server, body;
	size_t at, segment_end, body_at, piece, cut;
	unsigned begun, outcomes;
	bool encrypted, clear, in_message, after_cr, ended;
	uint64_t hash;
};

static void mix(struct run *r, struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		r->hash = (r->hash ^ (unsigned char)s.at[i]) * 1099511628211u;
}

static void check_write(struct run *r, struct span text)
{
	if (!r->encrypted && !r->clear && span_starts(text, SPAN("AUTH")))
		abort();
	for (size_t i = 0; i < text.size && r->message.body != SMTP_CLIENT_BINARY; i++) {
		if ((text.at[i] == '\n') != r->after_cr)
			abort();
		r->after_cr = text.at[i] == '\r';
	}
	mix(r, text);
}

static void check_outcome(struct run *r, const struct smtp_client_wish *w)
{
	if (!r->in_message || (w->reusable && (w->unknown || w->untouched)))
		abort();
	r->in_message = false;
	r->outcomes++;
	for (size_t i = 0; i < r->message.recipient_count; i++) {
		const struct outcome *o = &r->recipients[i].outcome;

		char words[OUTCOME_WORDS_BYTES];

		if (outcome_next(o) == OUTCOME_DONE && o->code >= 400)
			abort();
		if (!outcome_words(o, words).size && o->text[0])
			abort();
		if (r->recipients[i].state != SMTP_CLIENT_DECIDED || (unsigned)o->fault >= FAULT_COUNT)
			abort();
		for (const char *at = o->text; *at; at++)
			if ((unsigned char)*at < ' ')
				abort();
		mix(r, (struct span){ (const char *)&o->fault, sizeof o->fault });
		mix(r, span_of(o->text));
	}
	mix(r, w->unknown ? SPAN("unknown") : SPAN("known"));
}

static void begin_message(struct run *r)
{
	static const char *const to[RECIPIENTS] = { "b@y", "\xc3\xa9@y", "c\r@y" };
	unsigned n = r->begun++;

	if (n >= MESSAGES) {
		smtp_client_quit(&r->client);
		return;
	}
	memset(r->recipients, 0, sizeof r->recipients);
	for (size_t i = 0; i < RECIPIENTS; i++)
		r->recipients[i] = (struct smtp_client_recipient){ .address = span_of(to[i]), .notify = n, .original = SPAN("rfc822;x") };
	r->message = (struct smtp_client_message){
		.sender = n ? SPAN("a@x") : (struct span){ "", 0 }, .recipients = r->recipients, .recipient_count = 1 + n,
		.has_size = n != 1, .size_bytes = r->body.size, .body = (enum smtp_client_body)n, .returns = DSN_RETURN_FULL,
		.envelope_id = SPAN("id"),
	};
	r->body_at = 0;
	r->in_message = true;
	smtp_client_message(&r->client, &r->message);
}

static void give_body(struct run *r)
{
	struct span piece = span_slice(r->body, r->body_at, r->piece);

	r->body_at += piece.size;
	smtp_client_body(&r->client, piece, r->body_at == r->body.size);
}

/* What came before TLS is given to the core first. */
static void start_tls(struct run *r)
{
	if (r->at < r->segment_end) {
		r->at += smtp_client_feed(&r->client, span_slice(r->server, r->at, r->segment_end - r->at));
		return;
	}
	r->encrypted = true;
	smtp_client_tls_started(&r->client, FAULT_OK, (struct span){ 0 });
}

static void serve(struct run *r)
{
	struct smtp_client_wish w;

	while (!r->ended && smtp_client_poll(&r->client, &w)) {
		mix(r, (struct span){ w.kind == SMTP_CLIENT_WRITE ? "" : (const char *)&w.kind, w.kind != SMTP_CLIENT_WRITE &&
				      w.kind != SMTP_CLIENT_BODY && w.kind != SMTP_CLIENT_START_TLS });
		switch (w.kind) {
		case SMTP_CLIENT_WRITE: check_write(r, w.text); break;
		case SMTP_CLIENT_START_TLS: start_tls(r); break;
		case SMTP_CLIENT_CREDENTIAL:
			smtp_client_credential(&r->client, FAULT_OK, SPAN("al@x"), SPAN("token"), (struct span){ 0 });
			break;
		case SMTP_CLIENT_BODY: give_body(r); break;
		case SMTP_CLIENT_READY: begin_message(r); break;
		case SMTP_CLIENT_OUTCOME: check_outcome(r, &w); break;
		case SMTP_CLIENT_FAILED: mix(r, span_of(w.outcome->text)); break;
		case SMTP_CLIENT_CLOSE: r->ended = true; break;
		}
	}
	if (r->ended && smtp_client_poll(&r->client, &w))
		abort();
}

/* Once the segment is read, and nothing moves, the next one comes. */
static void next_segment(struct run *r)
{
	if (r->segment_end < r->server.size && r->at == r->segment_end)
		r->at++; /* the separator */
	r->segment_end = r->at + span_find_byte(span_slice(r->server, r->at, r->server.size), '\x01');
}

/* A segment is there as a whole, however it is cut: what of it lies behind a 354 was said before the message. */
static size_t feed_segment(struct run *r)
{
	size_t before = r->at, taken;

	do {
		size_t left = r->segment_end - r->at;

		taken = smtp_client_feed(&r->client, span_slice(r->server, r->at, left < r->cut ? left : r->cut));
		r->at += taken;
	} while (taken && r->at < r->segment_end);
	return r->at - before;
}

static uint64_t run(const uint8_t *choice, struct span server, struct span body, size_t cut, size_t piece)
{
	static struct run r;
	struct smtp_client_settings settings = { SPAN("gw"), SPAN("up"), 587, (enum smtp_client_tls)(choice[0] % 3),
						 (enum sasl_mechanism)(choice[1] % (SASL_MECHANISM_COUNT + 1)) };

	memset(&r, 0, sizeof r);
	r.server = server;
	r.body = body;
	r.cut = cut;
	r.piece = piece;
	r.clear = settings.tls == SMTP_CLIENT_CLEAR;
	r.hash = 14695981039346656037u;
	smtp_client_init(&r.client, &settings, 0);
	serve(&r);
	for (next_segment(&r); !r.ended; serve(&r)) {
		size_t taken = feed_segment(&r);

		if (taken)
			continue;
		if (r.at < r.segment_end)
			abort(); /* nothing to do, and yet nothing taken */
		if (r.at >= server.size)
			break;
		next_segment(&r);
	}
	if (!r.ended) {
		smtp_client_closed(&r.client, FAULT_CLOSED, (struct span){ 0 }, (struct span){ 0 });
		serve(&r);
	}
	if (!r.ended || r.in_message || r.outcomes != (r.begun < MESSAGES ? r.begun : MESSAGES))
		abort();
	smtp_client_fini(&r.client);
	return r.hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span server, body;
	uint64_t whole;

	if (size < 4)
		return 0;
	server = (struct span){ (const char *)data + 4, size - 4 };
	body = span_slice(server, span_find_byte(server, '\x02') + 1, size);
	server.size = span_find_byte(server, '\x02');
	whole = run(data, server, body, SIZE_MAX, SIZE_MAX);
	if (run(data, server, body, 1, SIZE_MAX) != whole || run(data, server, body, 1 + data[2] % 20, SIZE_MAX) != whole)
		abort();
	run(data, server, body, SIZE_MAX, 1 + data[3] % 9);
	return 0;
}
