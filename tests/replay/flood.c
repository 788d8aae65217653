#include "tests/replay/flood.h"

#include "base/panic.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/stream.h"
#include "tests/replay/speech.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS = 10000, AGAIN_MS = 500, BODY_BYTES_MAX = 1024 * 1024, SENDERS_MAX = 64 };

enum step { STEP_GREETING, STEP_HELLO, STEP_TLS, STEP_HELLO_AGAIN, STEP_AUTH, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY };

/* A session and the letter that it is about to give. */
struct session {
	struct flood *flood;
	struct stream *stream;
	struct timer again;
	enum step step;
	uint64_t letter;
	bool has_letter;
};

struct fate {
	char answered; /* '2', '5', or 0 */
	unsigned char arrived, reported;
};

struct flood {
	struct loop *loop;
	struct tls *tls;
	struct flood_wish wish;
	char user[128], password[256];
	uint64_t next;
	struct fate *fates;
	uint64_t arrived_of[SENDERS_MAX], spread;
	int64_t last_of[SENDERS_MAX], last_ms;
	struct session *sessions;
};

static void begin(void *self);

struct flood *flood_new(const struct flood_wish *wish)
{
	struct flood *f = calloc(1, sizeof *f);
	char authority[128];

	ASSERT(f && wish->sender_count <= SENDERS_MAX);
	f->wish = *wish;
	f->loop = world_loop("flood");
	f->fates = calloc(wish->count, sizeof *f->fates);
	f->sessions = calloc(wish->sessions, sizeof *f->sessions);
	if (!f->fates || !f->sessions || tls_client_new(&f->tls, world_authority(authority, "replay"), NULL))
		panic("no flood");
	snprintf(f->user, sizeof f->user, "%.*s", SPAN_ARGS(wish->user));
	snprintf(f->password, sizeof f->password, "%.*s", SPAN_ARGS(wish->password));
	for (unsigned i = 0; i < wish->sessions; i++) {
		f->sessions[i].flood = f;
		timer_init(&f->sessions[i].again, f->loop, begin, &f->sessions[i]);
		timer_after(&f->sessions[i].again, i);
	}
	return f;
}

void flood_free(struct flood **flood)
{
	struct flood *f = *flood;

	*flood = NULL;
	if (!f)
		return;
	for (unsigned i = 0; i < f->wish.sessions; i++) {
		timer_stop(&f->sessions[i].again);
		stream_close(&f->sessions[i].stream);
	}
	tls_drop(&f->tls);
	loop_free(&f->loop);
	free(f->sessions);
	free(f->fates);
	free(f);
}

/* --- what it says */

static void say(struct session *s, enum step next, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct session *s, enum step next, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	speech_put(s->stream, format, arguments);
	va_end(arguments);
	s->step = next;
}

static const char *sender_of(const struct flood *f, uint64_t letter)
{
	return f->wish.senders[letter % f->wish.sender_count];
}

static void say_body(struct session *s)
{
	const struct flood *f = s->flood;
	unsigned long long number = s->letter;
	struct buf mail;

	buf_init(&mail, BODY_BYTES_MAX);
	buf_print(&mail, "From: <%s>\r\nTo: <flood@fabrikam.example>\r\nSubject: flood %llu\r\nDate: Mon, 01 Jun 2026 12:00:00 +0000\r\n"
		  "Message-ID: <flood.%llu@replay.example>\r\n\r\nOne of many.\r\n", sender_of(f, s->letter), number, number);
	while (mail.size < f->wish.size_bytes)
		buf_put(&mail, SPAN("and a line more of what machines write to people who do not read it\r\n"));
	buf_put(&mail, SPAN(".\r\n"));
	stream_write(s->stream, buf_span(&mail));
	s->step = STEP_BODY;
	buf_free(&mail);
}

/* The next letter, or the end of the session when all were given. */
static void say_mail(struct session *s)
{
	struct flood *f = s->flood;

	if (!s->has_letter && f->next < f->wish.count) {
		s->letter = f->next++;
		s->has_letter = true;
	}
	if (s->has_letter)
		say(s, STEP_MAIL, "MAIL FROM:<%s>", sender_of(f, s->letter));
	else
		stream_close(&s->stream);
}

/* --- what it hears */

static void start_again(struct session *s)
{
	stream_close(&s->stream);
	timer_after(&s->again, AGAIN_MS);
}

static void on_good(struct session *s)
{
	switch (s->step) {
	case STEP_GREETING: say(s, STEP_HELLO, "EHLO flood.replay.example"); break;
	case STEP_HELLO: say(s, STEP_TLS, "STARTTLS"); break;
	case STEP_TLS: stream_start_tls_client(s->stream, s->flood->tls, SPAN("gate.replay")); break;
	case STEP_HELLO_AGAIN:
		speech_auth(s->stream, s->flood->user, s->flood->password);
		s->step = STEP_AUTH;
		break;
	case STEP_AUTH: say_mail(s); break;
	case STEP_MAIL: say(s, STEP_RCPT, "RCPT TO:<flood@fabrikam.example>"); break;
	case STEP_RCPT: say(s, STEP_DATA, "DATA"); break;
	case STEP_DATA: say_body(s); break;
	case STEP_BODY:
		s->flood->fates[s->letter].answered = '2';
		s->has_letter = false;
		say_mail(s);
		break;
	}
}

/* A letter that is refused has its answer; what is only put off is given again. */
static void on_reply(struct session *s, char digit)
{
	if (digit == '2' || digit == '3') {
		on_good(s);
		return;
	}
	if (digit == '5' && s->has_letter) {
		s->flood->fates[s->letter].answered = '5';
		s->has_letter = false;
	}
	start_again(s);
}

static size_t on_data(void *self, struct span bytes)
{
	struct session *s = self;
	size_t taken = 0;

	while (s->stream) {
		struct span rest = span_slice(bytes, taken, bytes.size), line;
		size_t end = span_find_byte(rest, '\n');

		if (end == rest.size)
			return taken;
		line = span_slice(rest, 0, end);
		taken += end + 1;
		if (line.size > 3 && line.at[3] != '-')
			on_reply(s, line.at[0]);
	}
	return bytes.size;
}

static void on_opened(void *self)
{
	struct session *s = self;

	if (stream_tls_version(s->stream).size)
		say(s, STEP_HELLO_AGAIN, "EHLO flood.replay.example");
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	start_again(self);
}

static const struct stream_events events = { .opened = on_opened, .data = on_data, .ended = on_ended };

static void begin(void *self)
{
	struct session *s = self;

	if (!s->has_letter && s->flood->next == s->flood->wish.count)
		return;
	s->step = STEP_GREETING;
	s->stream = stream_connect(s->flood->loop, &s->flood->wish.gate, NULL, CONNECT_MS, &events, s);
}

/* --- the ledger */

static struct fate *fate_of(struct flood *f, struct span number, uint64_t *letter_out)
{
	if (!span_number(number, letter_out) || *letter_out >= f->wish.count)
		return NULL;
	return &f->fates[*letter_out];
}

/* How far the sender is now ahead of the one that is most behind and not yet done. */
static void note_spread(struct flood *f, size_t sender)
{
	uint64_t share = f->wish.count / f->wish.sender_count;

	for (size_t i = 0; i < f->wish.sender_count; i++)
		if (f->arrived_of[i] < share && f->arrived_of[sender] > f->arrived_of[i] + f->spread)
			f->spread = f->arrived_of[sender] - f->arrived_of[i];
}

bool flood_arrived(struct flood *f, struct span subject, int64_t taken_at_ms)
{
	uint64_t letter;
	struct fate *fate;

	if (!f || !span_starts(subject, SPAN("flood ")) || !(fate = fate_of(f, span_slice(subject, 6, subject.size), &letter)))
		return false;
	if (!fate->arrived) {
		f->last_of[letter % f->wish.sender_count] = taken_at_ms;
		f->arrived_of[letter % f->wish.sender_count]++;
		note_spread(f, letter % f->wish.sender_count);
	}
	if (fate->arrived < 255)
		fate->arrived++;
	f->last_ms = taken_at_ms;
	return true;
}

bool flood_reported(struct flood *f, struct span report)
{
	struct span rest = span_slice(report, span_find(report, SPAN("<flood.")) + 7, report.size);
	uint64_t letter;
	struct fate *fate;

	if (!f || !rest.size || !(fate = fate_of(f, span_slice(rest, 0, span_find_byte(rest, '@')), &letter)))
		return false;
	if (fate->reported < 255)
		fate->reported++;
	return true;
}

static void count_one(struct flood_count *c, const struct fate *fate, uint64_t letter, unsigned copies)
{
	bool is_missing = fate->answered == '2' && !fate->arrived && !fate->reported;

	c->accepted += fate->answered == '2';
	c->refused += fate->answered == '5';
	c->unanswered += !fate->answered;
	c->arrived += fate->arrived != 0;
	c->reported += fate->reported != 0;
	c->twice += fate->arrived > copies || fate->reported > 1 || (fate->arrived && fate->reported);
	c->wrong += fate->answered == '5' && (fate->arrived || fate->reported);
	if (is_missing && !c->missing++)
		snprintf(c->first_missing, sizeof c->first_missing, "flood %llu", (unsigned long long)letter);
}

static int64_t stagger(const struct flood *f)
{
	int64_t first = INT64_MAX, last = 0;

	for (size_t i = 0; i < f->wish.sender_count; i++) {
		first = f->last_of[i] < first ? f->last_of[i] : first;
		last = f->last_of[i] > last ? f->last_of[i] : last;
	}
	return last - first;
}

struct flood_count flood_count(const struct flood *f)
{
	struct flood_count c = { .spread = f->spread, .last_ms = f->last_ms - f->wish.begun_ms };

	c.stagger_ms = stagger(f);
	for (uint64_t i = 0; i < f->wish.count; i++)
		count_one(&c, &f->fates[i], i, f->wish.copies);
	return c;
}

void flood_check(const struct flood *f, uint64_t queued, struct buf *complaints)
{
	struct flood_count c = flood_count(f);

	if (c.unanswered)
		buf_print(complaints, "flood: %llu never answered\n", (unsigned long long)c.unanswered);
	if (c.missing > queued)
		buf_print(complaints, "flood: %llu answered 250 and lost, the first is %s\n", (unsigned long long)(c.missing - queued), c.first_missing);
	if (c.twice)
		buf_print(complaints, "flood: %llu arrived or were reported twice\n", (unsigned long long)c.twice);
	if (c.wrong)
		buf_print(complaints, "flood: %llu answered 5xx and yet arrived or reported\n", (unsigned long long)c.wrong);
}
