#include "queue/mail.h"

#include "base/message.h"
#include "base/panic.h"
#include "base/rand.h"
#include "base/slab.h"
#include "wire/outcome.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_CLOCK_SHIFT = 20, SLOTS_FIRST = 64 };

_Static_assert(sizeof(struct mail) <= 232, "docs/queue.md: what a message that waits takes in memory");

/* All messages of the process: one thread at a time has the queue. */
static struct slab mail_slab = { .size_bytes = sizeof(struct mail) };

static void *take(size_t size)
{
	void *at = calloc(1, size ? size : 1);

	if (!at)
		panic("out of memory");
	return at;
}

/* --- the table: ids are ours, so that no stranger's choice makes them meet; 8 bytes a place */

void mails_init(struct mails *m)
{
	*m = (struct mails){ 0 };
}

void mails_free(struct mails *m)
{
	while (m->oldest) {
		struct mail *mail = m->oldest;

		m->oldest = mail->behind;
		mail_free(&mail);
	}
	free(m->slots);
	*m = (struct mails){ 0 };
}

static size_t place_of(const struct mails *m, uint64_t id)
{
	return (size_t)((id * 0x9e3779b97f4a7c15u) >> 32) & (m->room - 1);
}

/* The slot of that id, or the free one where it would stand. */
static size_t slot_of(const struct mails *m, uint64_t id)
{
	size_t at = place_of(m, id);

	while (m->slots[at] && m->slots[at]->id != id)
		at = (at + 1) & (m->room - 1);
	return at;
}

static void grow(struct mails *m)
{
	struct mails old = *m;

	m->room = old.room ? old.room * 2 : SLOTS_FIRST;
	m->slots = take(m->room * sizeof *m->slots);
	for (size_t i = 0; i < old.room; i++)
		if (old.slots[i])
			m->slots[slot_of(m, old.slots[i]->id)] = old.slots[i];
	free(old.slots);
}

/* Those behind it move up, so that no search ends early. */
static void close_gap(struct mails *m, size_t gap)
{
	size_t mask = m->room - 1;

	m->slots[gap] = NULL;
	for (size_t at = (gap + 1) & mask; m->slots[at]; at = (at + 1) & mask)
		if (((at - place_of(m, m->slots[at]->id)) & mask) >= ((at - gap) & mask)) {
			m->slots[gap] = m->slots[at];
			m->slots[at] = NULL;
			gap = at;
		}
}

struct mail *mails_find(const struct mails *m, uint64_t id)
{
	return m->count ? m->slots[slot_of(m, id)] : NULL;
}

size_t mails_count(const struct mails *m)
{
	return m->count;
}

uint64_t mails_new_id(struct mails *m, int64_t wall_ms)
{
	uint64_t id = (uint64_t)(wall_ms > 0 ? wall_ms : 0) << ID_CLOCK_SHIFT | rand_below(1u << ID_CLOCK_SHIFT);

	m->last_id = id > m->last_id ? id : m->last_id + 1;
	return m->last_id;
}

void mails_add(struct mails *m, struct mail *mail)
{
	size_t at;

	if (m->count >= m->room / 4 * 3)
		grow(m);
	at = slot_of(m, mail->id);
	ASSERT(!m->slots[at]);
	m->slots[at] = mail;
	m->count++;
	mail->before = m->newest;
	*(m->newest ? &m->newest->behind : &m->oldest) = mail;
	m->newest = mail;
	if (mail->id > m->last_id)
		m->last_id = mail->id;
}

void mails_remove(struct mails *m, struct mail **out)
{
	struct mail *mail = *out;

	close_gap(m, slot_of(m, mail->id));
	m->count--;
	*(mail->before ? &mail->before->behind : &m->oldest) = mail->behind;
	*(mail->behind ? &mail->behind->before : &m->newest) = mail->before;
	mail_free(out);
}

/* --- one message */

struct mail *mail_empty(uint64_t id, uint32_t recipient_count)
{
	struct mail *m = slab_take(&mail_slab);

	m->id = id;
	m->recipient_count = m->open_count = recipient_count;
	m->statuses = recipient_count > MAIL_STATUSES_INLINE ? take(recipient_count) : m->few;
	return m;
}

struct mail *mail_new(const struct record_envelope *e, const struct record_closing *c)
{
	size_t count = record_recipient_count(e->recipients);
	struct mail *m;

	if (!count || !e->id || (c->key.size && c->key.size != MAIL_KEY_BYTES))
		return NULL;
	m = mail_empty(e->id, (uint32_t)count);
	m->mailbox = e->mailbox;
	m->client = e->client;
	m->notice_mailbox = e->notice_mailbox;
	m->report_of = e->report_of;
	m->rung = e->rung;
	m->accepted_at_ms = m->next_try_at_ms = c->accepted_at;
	m->size_bytes = c->size;
	m->has_file = c->file_key.size != 0;
	if (c->key.size && c->key_until)
		mail_set_key(m, (const unsigned char *)c->key.at, c->key_until);
	if (c->progress.size && mail_apply_progress(m, c->progress))
		mail_free(&m);
	return m;
}

void mail_free(struct mail **out)
{
	struct mail *m = *out;

	if (!m)
		return;
	if (m->statuses != m->few)
		free(m->statuses);
	free(m->reason);
	free(m->held_by);
	mail_drop_payload(m);
	free(m->key);
	slab_give(&mail_slab, m);
	*out = NULL;
}

struct span mail_payload(const struct mail *m)
{
	return m->payload ? buf_span(m->payload) : SPAN("");
}

void mail_set_payload(struct mail *m, struct buf *payload)
{
	mail_drop_payload(m);
	m->payload = take(sizeof *m->payload);
	*m->payload = *payload;
	buf_init(payload, payload->max);
}

void mail_drop_payload(struct mail *m)
{
	if (m->payload)
		buf_free(m->payload);
	free(m->payload);
	m->payload = NULL;
}

void mail_set_key(struct mail *m, const unsigned char bytes[MAIL_KEY_BYTES], int64_t until_ms)
{
	if (!m->key)
		m->key = take(sizeof *m->key);
	memcpy(m->key->bytes, bytes, MAIL_KEY_BYTES);
	m->key->until_ms = until_ms;
}

void mail_heard(struct mail *m)
{
	free(m->key);
	m->key = NULL;
}

bool mail_is_untouched(const struct mail *m)
{
	return !m->attempts && !m->fault && !m->hold && !m->held_ms && !m->unknown && !m->delay_told && !m->reason && !m->held_by && m->open_count == m->recipient_count &&
	       m->next_try_at_ms == m->accepted_at_ms;
}

void mail_say(char **text, struct span to)
{
	free(*text);
	*text = NULL;
	if (!to.size)
		return;
	*text = take(to.size + 1);
	memcpy(*text, to.at, to.size);
}

/* A failure of a newer release is unknown here: it passes as an error of ours. */
static enum fault fault_from(struct span name)
{
	enum fault f = name.size ? fault_named(name) : FAULT_OK;

	return f == FAULT_COUNT ? FAULT_BUG : f;
}

static void set_status(struct mail *m, uint32_t at, unsigned char status)
{
	if (m->statuses[at] == RECORD_OPEN && status != RECORD_OPEN)
		m->open_count--;
	if (m->statuses[at] == RECORD_OPEN)
		m->statuses[at] = status;
}

static void apply_run(struct mail *m, const struct record_run *run)
{
	char words[OUTCOME_WORDS_BYTES];
	struct outcome last;

	if (run->first > m->recipient_count || run->count > m->recipient_count - run->first || run->status > RECORD_REPORTED)
		return;
	for (uint32_t i = 0; i < run->count; i++)
		set_status(m, run->first + i, run->status);
	if (run->status == RECORD_ACCEPTED && m->open_count)
		return; /* the last words are about those that are open */
	m->fault = fault_from(run->fault);
	outcome_set(&last, m->fault, (int)run->code, run->enhanced, run->text);
	mail_say(&m->reason, outcome_words(&last, words));
}

static void end_hold(struct mail *m, int64_t at_ms)
{
	int64_t held_ms, sum_ms;

	/* times come from the disk: nonsense adds nothing */
	if (m->hold && m->held_since_ms && !__builtin_sub_overflow(at_ms, m->held_since_ms, &held_ms) && held_ms > 0 &&
	    !__builtin_add_overflow(m->held_ms, held_ms, &sum_ms))
		m->held_ms = sum_ms;
	m->hold = FAULT_OK;
	m->held_since_ms = 0;
	mail_say(&m->held_by, SPAN(""));
}

void mail_apply_outcome(struct mail *m, const struct record_outcome *o)
{
	struct span rest = o->runs, item;
	struct record_run run;

	m->stale = true;
	end_hold(m, o->at);
	m->attempts = o->attempts;
	m->next_try_at_ms = o->next_try_at;
	m->unknown |= o->unknown;
	m->delay_told |= o->delay_told;
	while (message_list_next(&rest, &item))
		if (!record_get_run(&run, item))
			apply_run(m, &run);
}

void mail_apply_hold(struct mail *m, const struct record_hold *h)
{
	m->stale = true;
	if (!m->hold)
		m->held_since_ms = h->at;
	m->hold = fault_from(h->fault);
	mail_say(&m->reason, h->reason);
	mail_say(&m->held_by, h->by);
}

void mail_apply_release(struct mail *m, const struct record_release *r)
{
	m->stale = true;
	end_hold(m, r->at);
	m->next_try_at_ms = r->at;
}

uint32_t mail_accepted_count(const struct mail *m)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < m->recipient_count; i++)
		count += m->statuses[i] == RECORD_ACCEPTED;
	return count;
}

struct span mail_partly_words(const struct mail *m, char words_out[MAIL_PARTLY_BYTES])
{
	bool reported = m->recipient_count && memchr(m->statuses, RECORD_REPORTED, m->recipient_count);

	snprintf(words_out, MAIL_PARTLY_BYTES, "accepted for %u of %u%s", mail_accepted_count(m), m->recipient_count, reported ? ", report follows" : "");
	return span_of(words_out);
}

void mail_apply_reported(struct mail *m, struct span indexes)
{
	m->stale = true;
	for (; indexes.size >= sizeof(uint32_t); indexes = span_slice(indexes, sizeof(uint32_t), indexes.size)) {
		uint32_t at = 0;

		for (size_t i = 0; i < sizeof at; i++)
			at |= (uint32_t)(unsigned char)indexes.at[i] << (8 * i);
		if (at < m->recipient_count)
			set_status(m, at, RECORD_REPORTED);
	}
}

bool mail_put_progress(struct buf *out, const struct mail *m)
{
	return record_put_progress(out, &(struct record_progress){
		.attempts = m->attempts, .held_ms = m->held_ms, .next_try_at = m->next_try_at_ms, .unknown = m->unknown,
		.heard = !m->key, .statuses = { (const char *)m->statuses, m->recipient_count },
		.fault = span_of(m->fault ? fault_row(m->fault)->name : ""), .reason = span_of(m->reason),
		.hold = span_of(m->hold ? fault_row(m->hold)->name : ""), .hold_by = span_of(m->held_by),
		.hold_since = m->held_since_ms, .delay_told = m->delay_told,
	});
}

enum fault mail_apply_progress(struct mail *m, struct span progress)
{
	struct record_progress p;
	enum fault fault = record_get_progress(&p, progress);

	if (fault || p.statuses.size != m->recipient_count)
		return FAULT_MALFORMED;
	m->attempts = p.attempts;
	m->held_ms = p.held_ms;
	m->next_try_at_ms = p.next_try_at;
	m->unknown = p.unknown;
	if (p.heard)
		mail_heard(m);
	for (uint32_t i = 0; i < m->recipient_count; i++)
		set_status(m, i, (unsigned char)p.statuses.at[i]);
	m->fault = fault_from(p.fault);
	m->hold = fault_from(p.hold);
	m->held_since_ms = p.hold_since;
	m->delay_told |= p.delay_told;
	mail_say(&m->reason, p.reason);
	mail_say(&m->held_by, p.hold_by);
	return FAULT_OK;
}

bool mail_is_kept(const struct mail *m)
{
	return m->hold == FAULT_HELD_BY_PERSON || m->hold == FAULT_UNCONFIRMED || m->hold == FAULT_UNDELIVERABLE || m->hold == FAULT_SPOOL_DAMAGED ||
	       m->hold == FAULT_RESTORED;
}

/* --- ids */

static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void mail_id_text(char out[MAIL_ID_TEXT_BYTES + 1], uint64_t id)
{
	for (size_t i = MAIL_ID_TEXT_BYTES; i--; id >>= 5)
		out[i] = digits[id & 31];
	out[MAIL_ID_TEXT_BYTES] = 0;
}

static int digit(char c)
{
	const char *found;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	c = c == 'I' || c == 'L' ? '1' : c == 'O' ? '0' : c;
	found = c ? strchr(digits, c) : NULL;
	return found ? (int)(found - digits) : -1;
}

bool mail_id_read(uint64_t *id_out, struct span text)
{
	uint64_t id = 0;

	if (text.size != MAIL_ID_TEXT_BYTES || digit(text.at[0]) > 15)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (digit(text.at[i]) < 0)
			return false;
		id = id << 5 | (uint64_t)digit(text.at[i]);
	}
	*id_out = id;
	return true;
}
