#include "queue/spool.h"

#include "base/panic.h"
#include "queue/spool_inner.h"

#include <stdlib.h>
#include <string.h>

/* Only the file that is written to has a second descriptor. */
static void activate(struct spool *s, struct spool_segment *segment)
{
	s->active = segment;
	if (segment)
		disk_file_bypass(s->disk, segment->file.file, segment->file.name);
}

static void deactivate(struct spool *s, enum spool_state state)
{
	s->active->state = state;
	disk_file_end_bypass(s->active->file.file);
	s->active = NULL;
}

static bool fits(const struct spool_segment *segment, size_t bytes)
{
	return segment && segment->at + segment_block_up(bytes) <= segment->file.size;
}

static enum fault judge_intake(const struct spool *s)
{
	unsigned ready = spool_ready_count(s);

	if (s->failed)
		return FAULT_DISK_FAILED;
	if (ready >= SPOOL_READY || (ready && fits(s->active, record_frame_size(RECORD_BYTES_MAX))))
		return FAULT_OK;
	if (s->prepare_fault)
		return s->prepare_fault;
	if (s->preparing || s->spare || spool_rewrapping_count(s) || (s->asked && loop_now_ms(s->loop) < s->asked_at_ms + SPOOL_KEY_MS))
		return FAULT_OK; /* it is being made */
	return FAULT_VAULT_AWAY;
}

void spool_say_intake(struct spool *s)
{
	enum fault fault = judge_intake(s);

	if (fault == s->intake || !s->started)
		return;
	s->intake = fault;
	TRAIL(&s->trail, fault ? EVENT_INTAKE_STOPPED : EVENT_INTAKE_RESUMED, TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
	s->events->intake(s->self, fault);
}

enum fault spool_intake(const struct spool *s)
{
	return s->intake;
}

uint64_t spool_committed(const struct spool *s)
{
	return s->committed;
}

/* --- a group on its way */

static void flight_seal(struct spool_flight *f)
{
	uint64_t sequence = f->from;

	for (struct spool_ticket *t = f->first; t; t = t->next, sequence++) {
		struct record_frame frame = {
			.type = t->type, .segment = f->segment->file.number, .sequence = sequence, .group = f->from,
		};

		t->place = (struct spool_place){ f->segment, sequence, (uint32_t)(f->segment->at + f->sealed.size),
						 (uint32_t)record_frame_size(t->payload.size) };
		ASSERT(record_frame_put(&f->sealed, secret_borrow(f->segment->file.key), &frame, t->payload));
	}
}

/* Whole blocks are written: the kernel then never has to read one first, and nothing of an earlier use of the file stays behind in it. */
static void flight_pad(struct spool_flight *f)
{
	size_t pad = (size_t)segment_block_up(f->sealed.size) - f->sealed.size;

	memset(buf_room(&f->sealed, pad), 0, pad);
	buf_grew(&f->sealed, pad);
}

static void flight_work(void *job)
{
	struct spool_flight *f = job;

	buf_clear(&f->sealed);
	flight_seal(f);
	flight_pad(f);
	f->end = f->segment->at + f->sealed.size;
	f->fault = disk_write(f->segment->file.file, f->segment->at, buf_span(&f->sealed));
	if (!f->fault)
		f->fault = disk_sync(f->segment->file.file);
}

static void finish(struct spool_ticket *first, enum fault fault)
{
	for (struct spool_ticket *next; first; first = next) {
		next = first->next;
		first->next = NULL;
		first->done(first->self, fault);
	}
}

/* Records that must stand go back to the head of the line, in their order; returns the others. */
static struct spool_ticket *keep_what_must(struct spool *s, struct spool_ticket *first)
{
	struct spool_ticket *kept = NULL, **kept_last = &kept, *others = NULL, **others_last = &others;

	for (struct spool_ticket *next; first; first = next) {
		next = first->next;
		first->next = NULL;
		if (first == &s->void_ticket)
			continue;
		if (first->must) {
			*kept_last = first;
			kept_last = &first->next;
			s->waiting_bytes += record_frame_size(first->payload.size);
		} else {
			*others_last = first;
			others_last = &first->next;
		}
	}
	if (kept) {
		if (!s->waiting)
			s->waiting_last = kept_last;
		*kept_last = s->waiting;
		s->waiting = kept;
	}
	return others;
}

/* Takes the messages out of the line: they are answered with the fault. */
static struct spool_ticket *drop_messages(struct spool *s)
{
	struct spool_ticket *waiting = s->waiting;

	s->waiting = NULL;
	s->waiting_last = &s->waiting;
	s->waiting_bytes = 0;
	return keep_what_must(s, waiting);
}

static void flight_failed(struct spool *s)
{
	struct spool_flight *f = &s->flight;
	struct spool_ticket *messages = drop_messages(s), *lost = keep_what_must(s, f->first);

	TRAIL(&s->trail, EVENT_SYNC_FAILED, TRAIL_TEXT("segment", span_of(f->segment->file.name)),
	      TRAIL_TEXT("fault", span_of(fault_row(f->fault)->name)), TRAIL_NUMBER("records", f->to - f->from + 1));
	deactivate(s, SPOOL_SEALED);
	if (!s->failed)
		s->void_from = f->from;
	s->void_to = f->to;
	s->retry_ms = s->failed ? (s->retry_ms * 2 < SPOOL_RETRY_LONGEST_MS ? s->retry_ms * 2 : SPOOL_RETRY_LONGEST_MS) : 0;
	if (s->failed && !s->retry_ms)
		s->retry_ms = SPOOL_RETRY_MS;
	s->failed = true;
	spool_say_intake(s);
	finish(lost, FAULT_DISK_FAILED);
	finish(messages, FAULT_DISK_FAILED);
	timer_after(&s->launch, s->retry_ms);
}

static void flight_done(void *job)
{
	struct spool_flight *f = job;
	struct spool *s = f->spool;

	f->busy = false;
	if (f->fault) {
		flight_failed(s);
		return;
	}
	f->segment->at = f->end;
	f->segment->last_sequence = s->committed = f->to;
	if (s->failed) {
		s->failed = false;
		f->first = s->void_ticket.next; /* nobody waits for the voiding record */
		TRAIL(&s->trail, EVENT_SYNC_MENDED, TRAIL_TEXT("segment", span_of(f->segment->file.name)));
	}
	spool_say_intake(s);
	finish(f->first, FAULT_OK);
	spool_launch_soon(s);
	spool_upkeep(s);
}

/* --- choosing a group */

/* The segment that can take a record of that size; a message must leave one in reserve. */
static bool find_room(struct spool *s, size_t bytes, bool must)
{
	unsigned ready = spool_ready_count(s), needed = must ? 0 : 1;

	if (fits(s->active, bytes))
		return ready >= needed;
	if (ready < needed + 1)
		return false;
	if (s->active && s->active->state == SPOOL_ACTIVE)
		deactivate(s, SPOOL_FULL);
	activate(s, spool_take_ready(s));
	return true;
}

static void first_voids(struct spool *s)
{
	struct record_nothing nothing = { s->void_from, s->void_to };
	struct buf payload;

	buf_over(&payload, s->void_payload, sizeof s->void_payload);
	ASSERT(record_put_nothing(&payload, &nothing));
	s->void_ticket = (struct spool_ticket){ .payload = buf_span(&payload), .type = RECORD_NUMBER_nothing, .must = true };
	s->void_ticket.next = s->waiting;
	if (!s->waiting)
		s->waiting_last = &s->void_ticket.next;
	s->waiting = &s->void_ticket;
	s->waiting_bytes += record_frame_size(s->void_ticket.payload.size);
}

/* Moves what goes together from the line into the flight. */
static void gather(struct spool *s)
{
	struct spool_flight *f = &s->flight;
	struct spool_ticket **last = &f->first;
	size_t bytes = 0;

	f->first = NULL;
	f->from = s->next_sequence;
	while (s->waiting) {
		struct spool_ticket *t = s->waiting;
		size_t size = record_frame_size(t->payload.size);

		if (f->first && (bytes + size > SPOOL_GROUP_BYTES || !fits(s->active, bytes + size) ||
				 (!t->must && !spool_ready_count(s))))
			break;
		s->waiting = t->next;
		s->waiting_bytes -= size;
		t->next = NULL;
		*last = t;
		last = &t->next;
		bytes += size;
		f->to = s->next_sequence++;
	}
	if (!s->waiting)
		s->waiting_last = &s->waiting;
	for (struct spool_ticket *t = f->first; t; t = t->next)
		if (t->begun)
			t->begun(t->self);
}

static void launch(void *self)
{
	struct spool *s = self;

	if (s->flight.busy || !s->started)
		return;
	if (s->failed && find_room(s, record_frame_size(sizeof s->void_payload), true))
		first_voids(s);
	while (s->waiting && !find_room(s, record_frame_size(s->waiting->payload.size), s->waiting->must)) {
		if (s->waiting->must || !judge_intake(s))
			return; /* waits for a segment */
		finish(drop_messages(s), judge_intake(s));
	}
	if (!s->waiting || (s->failed && s->waiting != &s->void_ticket))
		return;
	gather(s);
	s->flight.segment = s->active;
	s->flight.busy = true;
	if (!pool_run(s->commits, flight_work, flight_done, &s->flight))
		return; /* it closes */
	spool_upkeep(s);
}

void spool_launch_soon(struct spool *s)
{
	if (!s->closing && (s->waiting || s->failed) && !s->flight.busy && !timer_is_set(&s->launch))
		timer_after(&s->launch, 0);
}

enum fault spool_put(struct spool *s, struct spool_ticket *t)
{
	size_t size = record_frame_size(t->payload.size);

	ASSERT(t->payload.size <= RECORD_BYTES_MAX);
	if (!t->must && s->intake)
		return s->intake;
	if (!t->must && s->waiting_bytes + size > SPOOL_WAITING_BYTES)
		return FAULT_NO_MEMORY;
	t->next = NULL;
	*s->waiting_last = t;
	s->waiting_last = &t->next;
	s->waiting_bytes += size;
	spool_launch_soon(s);
	return FAULT_OK;
}

void spool_give_up(struct spool *s)
{
	struct spool_ticket *waiting = s->waiting;

	s->waiting = NULL;
	s->waiting_last = &s->waiting;
	if (waiting == &s->void_ticket)
		waiting = waiting->next;
	finish(waiting, FAULT_SHUTTING_DOWN);
}

/* --- reading back */

static void read_work(void *job)
{
	struct spool_reading *r = job;

	r->fault = segment_read(&r->place.segment->file, r->place.at, r->place.size, &r->type, &r->payload);
}

static void read_done(void *job)
{
	struct spool_reading *r = job;

	r->place.segment->readers--;
	r->done(r->self, r);
}

void spool_read(struct spool *s, struct spool_reading *r)
{
	buf_init(&r->payload, RECORD_BYTES_MAX);
	r->spool = s;
	r->place.segment->readers++;
	if (!pool_run(s->readers, read_work, read_done, r)) {
		r->fault = FAULT_SHUTTING_DOWN;
		read_done(r);
	}
}

/* --- from the beginning to the end */


void spool_start(struct spool *s, uint64_t last_sequence)
{
	struct spool_segment *newest = NULL;

	timer_init(&s->launch, s->loop, launch, s);
	s->next_sequence = last_sequence + 1;
	s->committed = last_sequence;
	s->started = true;
	for (struct spool_segment *g = s->segments; g; g = g->next) {
		if (!g->file.number)
			continue;
		g->state = g->last_sequence || g->damaged ? SPOOL_FULL : SPOOL_IS_READY;
		if (g->state == SPOOL_IS_READY)
			continue;
		if (!newest || g->file.number > newest->file.number)
			newest = g;
	}
	if (newest && !newest->damaged && newest->at + newest->file.size / 4 < newest->file.size) {
		newest->state = SPOOL_ACTIVE;
		activate(s, newest);
	}
	spool_upkeep(s);
	if (s->active || spool_ready_count(s))
		spool_say_intake(s);
	spool_launch_soon(s);
}

void spool_hold(const struct spool_place *p)
{
	if (!p->segment)
		return;
	p->segment->open++;
	p->segment->open_bytes += p->size;
}

void spool_let_go(const struct spool_place *p)
{
	if (!p->segment)
		return;
	ASSERT(p->segment->open && p->segment->open_bytes >= p->size);
	p->segment->open--;
	p->segment->open_bytes -= p->size;
}
