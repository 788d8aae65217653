/* Whole sessions against SMTP in. The first byte chooses the listener, the second how the rest is cut, and what the driver does besides: a clock that runs
 * out at a wait, a stop, a listener that is closed to the peer, verdicts. The session is run whole and cut, and must tell the same. What the driver is given must keep the promises of wire/smtp_server.h. */
#include "base/panic.h"
#include "wire/smtp_server.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

enum { RECORD_BYTES = 1 << 18 };

struct run {
	struct smtp_server server;
	struct smtp_server_room room;
	char record[RECORD_BYTES]; /* what happened; what does not fit is not compared */
	size_t size;
	unsigned messages, waits;
	int64_t now_ms;
	bool open, binary, closed, verdicts;
	char body_last;
	enum smtp_server_wish_kind last;
};

static void note(struct run *r, struct span s)
{
	for (size_t i = 0; i < s.size && r->size < RECORD_BYTES; i++)
		r->record[r->size++] = s.at[i];
}

static bool is_text(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] == '\r' || s.at[i] == '\n' || !s.at[i])
			return false;
	return true;
}

/* Lines of at most 512 bytes, each with a code, the last one with a blank behind it (RFC 5321 4.2). */
static void check_reply(struct span text)
{
	struct span line;

	ASSERT(text.size > 5 && text.at[text.size - 1] == '\n');
	while (text.size) {
		size_t end = span_find(text, SPAN("\r\n"));

		line = span_slice(text, 0, end);
		text = span_slice(text, end + 2, text.size);
		ASSERT(line.size >= 4 && line.size <= 510 && is_text(line));
		ASSERT(line.at[0] >= '2' && line.at[0] <= '5' && line.at[3] == (text.size ? '-' : ' '));
	}
}

static void check_body(struct run *r, struct span text)
{
	ASSERT(r->open && text.size);
	for (size_t i = 0; i < text.size; i++) {
		ASSERT(r->binary || (text.at[i] && (text.at[i] == '\n') == (r->body_last == '\r')));
		r->body_last = text.at[i];
	}
}

static void answer_path(struct run *r, const struct smtp_server_wish *w)
{
	const struct mail_address *a = &w->path->address;
	struct smtp_server_answer answer = { 0 };

	ASSERT(w->path->null || (a->whole.size && a->whole.size <= MAIL_ADDRESS_BYTES && is_text(a->whole)));
	if (!w->path->null && a->local.at[0] == 'n')
		answer.fault = FAULT_SENDER_NOT_GRANTED;
	note(r, w->path->null ? SPAN("<>") : a->whole);
	if (w->kind == SMTP_SERVER_SENDER && answer.fault == FAULT_OK) {
		ASSERT(!r->open && is_text(w->mail->envelope_id));
		r->open = true;
		r->binary = w->mail->body == PARAMETERS_BINARYMIME;
		r->body_last = '\n';
	}
	if (w->kind == SMTP_SERVER_RECIPIENT)
		ASSERT(r->open && is_text(w->recipient->original));
	smtp_server_answer(&r->server, &answer);
}

static void answer_login(struct run *r, const struct smtp_server_wish *w)
{
	struct smtp_server_answer answer = { .fault = w->secret.size % 2 ? FAULT_OK : FAULT_BAD_LOGIN };

	ASSERT(w->secret.size && is_text(w->user));
	note(r, w->user);
	note(r, w->secret);
	smtp_server_answer(&r->server, &answer);
}

/* What upstreams and our own rows say of a message. */
static void answer_message(struct run *r)
{
	static const struct smtp_server_answer answers[] = {
		{ .text = { "m1 accepted\r\nby sink", 20 } },
		{ .fault = FAULT_UPSTREAM_BROKEN },
		{ .fault = FAULT_RELAY_REFUSED, .code = 550, .enhanced = { "5.1.1", 5 }, .text = { "5.1.1 nobody of that name here\nreally", 36 } },
		{ .fault = FAULT_UPSTREAM_BROKEN, .code = 299, .text = { "strange", 7 } },
		{ .fault = FAULT_RELAY_REFUSED, .code = 554, .enhanced = { "4.0.0", 5 }, .text = { "\x01\xff controls \xc3\xa9", 15 } },
		{ .code = 250, .enhanced = { "x.y.z", 5 }, .text = { "0123456789012345678901234567890123456789", 40 } },
		{ .fault = FAULT_SHUTTING_DOWN, .code = 421 },
		{ .fault = FAULT_RELAY_REFUSED, .code = 999 },
	};
	static char endless[3000];
	struct smtp_server_answer endless_answer = { .text = { endless, sizeof endless } };

	memset(endless, 'w', sizeof endless);
	endless[700] = ' ';
	r->open = false;
	if (r->verdicts && ++r->messages % 9 == 8)
		smtp_server_answer(&r->server, &endless_answer);
	else
		smtp_server_answer(&r->server, &answers[r->verdicts ? r->messages % 9 % 8 : 0]);
}

static void serve_one(struct run *r, const struct smtp_server_wish *w)
{
	char kind = (char)('A' + (int)w->kind);

	if (w->kind != SMTP_SERVER_BODY || r->last != SMTP_SERVER_BODY)
		note(r, (struct span){ &kind, 1 });
	r->last = w->kind;
	switch (w->kind) {
	case SMTP_SERVER_WRITE:
		check_reply(w->text);
		note(r, w->text);
		break;
	case SMTP_SERVER_BODY:
		check_body(r, w->text);
		note(r, w->text);
		break;
	case SMTP_SERVER_START_TLS: smtp_server_tls_started(&r->server); break;
	case SMTP_SERVER_AUTHORIZE: answer_login(r, w); break;
	case SMTP_SERVER_SENDER:
	case SMTP_SERVER_RECIPIENT: answer_path(r, w); break;
	case SMTP_SERVER_MESSAGE_END:
		ASSERT(r->open && (r->binary || r->body_last != '\r'));
		answer_message(r);
		break;
	case SMTP_SERVER_MESSAGE_DROP:
		ASSERT(r->open);
		r->open = false;
		break;
	case SMTP_SERVER_CLOSE: r->closed = true; break;
	}
}

static void serve(struct run *r)
{
	struct smtp_server_wish w;

	while (smtp_server_poll(&r->server, &w)) {
		ASSERT(!r->closed);
		serve_one(r, &w);
	}
}

/* Between two feeds another session may have had the room. */
static void lend_anew(struct run *r)
{
	struct smtp_server_room *room = smtp_server_return(&r->server);

	if (!room)
		return;
	memset(room, '!', sizeof *room);
	smtp_server_lend(&r->server, room);
}

static void feed(struct run *r, struct span bytes, size_t step)
{
	while (bytes.size && !r->closed) {
		size_t cut = step < bytes.size ? step : bytes.size, taken;
		char *copy = malloc(cut);

		memcpy(copy, bytes.at, cut);
		lend_anew(r);
		taken = smtp_server_feed(&r->server, (struct span){ copy, cut });
		ASSERT(taken <= cut);
		serve(r);
		free(copy);
		bytes = span_slice(bytes, taken, bytes.size);
	}
}

/* The client waits: so does the clock, up to the deadline where it was chosen. */
static void wait_a_while(struct run *r, unsigned choice)
{
	int64_t deadline = smtp_server_deadline(&r->server);

	r->waits++;
	if (choice & 32 && r->waits == 2)
		smtp_server_stop(&r->server, FAULT_SHUTTING_DOWN);
	if (choice & 16 && deadline != INT64_MAX)
		r->now_ms = r->waits % 3 ? deadline - 1 : deadline;
	smtp_server_tick(&r->server, r->now_ms);
	serve(r);
}

static void check_told(struct run *r)
{
	struct span line;

	ASSERT(is_text(smtp_server_helo(&r->server)) && smtp_server_protocol(&r->server).size);
	ASSERT(smtp_server_offence(&r->server) < FAULT_COUNT);
	if (smtp_server_heard(&r->server, &line))
		ASSERT(!smtp_server_heard(&r->server, &line));
}

static void drive(struct run *r, const struct smtp_server_limits *limits, struct span script, size_t step, unsigned choice)
{
	struct span stretch;

	memset(r, 0, offsetof(struct run, record));
	r->size = 0;
	r->open = r->closed = false;
	r->messages = r->waits = 0;
	r->now_ms = 0;
	r->verdicts = choice & 128;
	r->last = SMTP_SERVER_CLOSE;
	smtp_server_init(&r->server, &r->room, limits, 0);
	serve(r);
	while (span_cut(&script, '\f', &stretch)) { /* the client waits: STARTTLS may stand before it */
		feed(r, stretch, step);
		check_told(r);
		if (!r->closed)
			wait_a_while(r, choice);
	}
	smtp_server_ended(&r->server);
	serve(r);
	ASSERT(r->closed && !r->open);
	smtp_server_fini(&r->server);
}

/* Bytes right behind STARTTLS are refused when they come with it and are the handshake's when they come later: that is
 * no matter of cutting, so sessions in which some follow it before a wait are run but not compared. */
static bool is_comparable(struct span script)
{
	struct span stretch;

	while (span_cut(&script, '\f', &stretch)) {
		size_t at = span_find_fold(stretch, SPAN("STARTTLS"));
		size_t end = span_find_byte(span_slice(stretch, at, stretch.size), '\n') + at + 1;

		if (script.at && stretch.size && stretch.at[stretch.size - 1] != '\n')
			return false; /* a line that goes on behind the wait */
		if (at < stretch.size && end < stretch.size)
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct run whole, cut;
	struct span script = { (const char *)bytes + 2, size - 2 };
	struct smtp_server_limits limits = { .host = SPAN("mx.test") };

	if (size < 2)
		return 0;
	limits.trusted = bytes[0] & 1;
	limits.mechanisms = bytes[0] & 2 ? SASL_ALL : 0;
	limits.auth_in_clear = bytes[0] & 4;
	limits.tls = (enum smtp_server_tls)(bytes[0] >> 3 & 3);
	limits.size_bytes = bytes[0] & 32 ? 100 : 0;
	limits.recipients = bytes[0] & 64 ? 2 : 0;
	limits.errors = bytes[0] & 128 ? 3 : 1000;
	limits.deny = bytes[1] & 64 ? FAULT_SHUTTING_DOWN : FAULT_OK;
	drive(&whole, &limits, script, SIZE_MAX, bytes[1]);
	drive(&cut, &limits, script, 1 + bytes[1] % 16, bytes[1]);
	if (is_comparable(script))
		ASSERT(whole.size == cut.size && !memcmp(whole.record, cut.record, whole.size));
	return 0;
}
