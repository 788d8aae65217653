#include "queue/recover.h"

#include "base/message.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* A run of numbers that were seen, in one segment. */
struct stretch {
	uint64_t from, to, group; /* of the last frame */
	struct spool_segment *segment;
};

struct reading {
	struct recover *r;
	struct spool_segment *segment;
	struct stretch *stretches;
	size_t count, room;
	struct recover_gap *voids;
	size_t void_count, void_room;
	uint64_t group, next;    /* the commit group that is being read, and the number that should come next in it */
	struct recover_gap hole; /* the first in it; `from` is 0 where there is none */
	struct doubt *doubts;
	size_t doubt_count, doubt_room;
};

/* A message whose end stands behind a hole in its commit group, where the report that it relies on may have stood. */
struct doubt {
	uint64_t id, group;
	struct recover_gap hole;
};

static void *grow(void *at, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return at;
	*room = *room ? *room * 2 : 64;
	at = realloc(at, *room * size);
	if (!at)
		panic("out of memory");
	return at;
}

/* Keeps account of holes in the group that a frame is of; one that does not open is a hole itself. */
static void follow_group(struct reading *g, const struct segment_found *found)
{
	const struct record_frame *frame = found->frame;
	uint64_t next = frame->group != g->group ? frame->group : g->next;

	if (frame->group != g->group)
		g->hole = (struct recover_gap){ 0 };
	next = next > g->r->passed ? next : g->r->passed + 1;
	if (!g->hole.from && frame->sequence > next)
		g->hole = (struct recover_gap){ next, frame->sequence - 1 };
	if (!g->hole.from && !found->opened && frame->sequence > g->r->passed)
		g->hole = (struct recover_gap){ frame->sequence, frame->sequence };
	g->group = frame->group;
	g->next = frame->sequence + 1;
}

/* What follows from an end that cannot be believed shows when all was read. */
static bool is_doubtful(struct reading *g, uint64_t id)
{
	if (!g->hole.from)
		return false;
	g->doubts = grow(g->doubts, g->doubt_count, &g->doubt_room, sizeof *g->doubts);
	g->doubts[g->doubt_count++] = (struct doubt){ id, g->group, g->hole };
	return true;
}

static void note_seen(struct reading *g, const struct record_frame *frame)
{
	struct stretch *last = g->count ? &g->stretches[g->count - 1] : NULL;

	if (last && last->segment == g->segment && frame->sequence == last->to + 1) {
		last->to = frame->sequence;
		last->group = frame->group;
		return;
	}
	g->stretches = grow(g->stretches, g->count, &g->room, sizeof *g->stretches);
	g->stretches[g->count++] = (struct stretch){ frame->sequence, frame->sequence, frame->group, g->segment };
}

/* --- what each record says */

static void on_message(struct reading *g, const struct segment_found *found)
{
	struct recover *r = g->r;
	struct record_envelope e;
	struct record_closing c;
	struct mail *m, *about;
	struct span body;

	if (record_get_message(&e, &body, &c, found->payload)) {
		r->damaged++;
		return;
	}
	m = mails_find(r->mails, e.id);
	if (m) { /* a copy: the story goes on from here */
		m->stale = true;
		m->place = (struct spool_place){ g->segment, found->frame->sequence, (uint32_t)found->at, (uint32_t)found->frame->size };
		return;
	}
	m = mail_new(&e, &c);
	if (!m) {
		r->damaged++;
		return;
	}
	m->place = (struct spool_place){ g->segment, found->frame->sequence, (uint32_t)found->at, (uint32_t)found->frame->size };
	mails_add(r->mails, m);
	if (m->key && m->key->until_ms > r->wall_ms)
		resubmit_add(r->resubmit, m->key->bytes, m->id, m->key->until_ms);
	about = e.report_of ? mails_find(r->mails, e.report_of) : NULL;
	if (about) {
		mail_apply_reported(about, e.reported);
		about->delay_told |= e.of_delay;
	}
}

/* Whoever comes again is told what the first would have been told. */
static void on_accepted(struct recover *r, const struct mail *m, const struct record_outcome *o)
{
	char says[OUTCOME_WORDS_BYTES + 300], words[OUTCOME_WORDS_BYTES];
	struct outcome accepted;
	struct span runs = o->runs, item;
	struct record_run run;

	if (!mail_accepted_count(m)) {
		resubmit_forget(r->resubmit, m->id);
		return;
	}
	if (mail_accepted_count(m) < m->recipient_count) {
		resubmit_accepted(r->resubmit, m->id, mail_partly_words(m, words));
		return;
	}
	if (!message_list_next(&runs, &item) || record_get_run(&run, item))
		return;
	outcome_set(&accepted, FAULT_OK, (int)run.code, run.enhanced, run.text);
	snprintf(says, sizeof says, "accepted by %.*s: %.*s", SPAN_ARGS(o->host), (int)outcome_words(&accepted, words).size, words);
	resubmit_accepted(r->resubmit, m->id, span_of(says));
}

static bool relies_on_report(const struct record_outcome *o)
{
	struct span rest = o->runs, item;
	struct record_run run;

	while (message_list_next(&rest, &item))
		if (!record_get_run(&run, item) && run.status == RECORD_REPORTED)
			return true;
	return false;
}

static void on_outcome(struct reading *g, struct span payload)
{
	struct record_outcome o;
	struct mail *m;

	if (record_get_outcome(&o, payload)) {
		g->r->damaged++;
		return;
	}
	m = mails_find(g->r->mails, o.id);
	if (!m)
		return; /* its message is gone, as it should be */
	if (relies_on_report(&o) && is_doubtful(g, m->id))
		return;
	mail_apply_outcome(m, &o);
	if (!m->open_count)
		on_accepted(g->r, m, &o);
}

static void on_hold(struct reading *g, struct span payload)
{
	struct record_hold h;
	struct mail *m = record_get_hold(&h, payload) ? NULL : mails_find(g->r->mails, h.id);

	if (m)
		mail_apply_hold(m, &h);
}

static void on_release(struct reading *g, struct span payload)
{
	struct record_release l;
	struct mail *m = record_get_release(&l, payload) ? NULL : mails_find(g->r->mails, l.id);

	if (m)
		mail_apply_release(m, &l);
}

static void on_removed(struct reading *g, struct span payload)
{
	struct record_removed d;
	struct mail *m = record_get_removed(&d, payload) ? NULL : mails_find(g->r->mails, d.id);

	/* A report that went up the ladder is gone because another one is there. */
	if (!m || (!d.by.size && is_doubtful(g, m->id)))
		return;
	m->open_count = 0;
	resubmit_forget(g->r->resubmit, m->id);
}

static void on_heard(struct reading *g, struct span payload)
{
	struct record_heard h;

	if (record_get_heard(&h, payload))
		return;
	for (struct span ids = h.ids; ids.size >= 8; ids = span_slice(ids, 8, ids.size)) {
		struct mail *m;
		uint64_t id = 0;

		for (size_t i = 0; i < 8; i++)
			id |= (uint64_t)(unsigned char)ids.at[i] << (8 * i);
		resubmit_forget(g->r->resubmit, id);
		m = mails_find(g->r->mails, id);
		if (m)
			mail_heard(m);
	}
}

static void on_nothing(struct reading *g, struct span payload)
{
	struct record_nothing n;

	if (record_get_nothing(&n, payload) || n.to < n.from)
		return;
	g->voids = grow(g->voids, g->void_count, &g->void_room, sizeof *g->voids);
	g->voids[g->void_count++] = (struct recover_gap){ n.from, n.to };
}

static void on_frame(void *self, const struct segment_found *found)
{
	struct reading *g = self;

	follow_group(g, found);
	if (found->frame->sequence <= g->r->passed)
		return;
	if (!found->opened) {
		g->r->damaged++;
		return;
	}
	g->r->records++;
	note_seen(g, found->frame);
	if (found->frame->sequence > g->segment->last_sequence)
		g->segment->last_sequence = found->frame->sequence;
	switch (found->frame->type) {
	case RECORD_MESSAGE:
	case RECORD_REPORT: on_message(g, found); break;
	case RECORD_NUMBER_outcome: on_outcome(g, found->payload); break;
	case RECORD_NUMBER_hold: on_hold(g, found->payload); break;
	case RECORD_NUMBER_release: on_release(g, found->payload); break;
	case RECORD_NUMBER_removed: on_removed(g, found->payload); break;
	case RECORD_NUMBER_heard: on_heard(g, found->payload); break;
	case RECORD_NUMBER_nothing: on_nothing(g, found->payload); break;
	default: g->r->damaged++; break;
	}
}

/* --- what is missing */

static int by_number(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static bool is_void(const struct reading *g, uint64_t sequence)
{
	for (size_t i = 0; i < g->void_count; i++)
		if (sequence >= g->voids[i].from && sequence <= g->voids[i].to)
			return true;
	return false;
}

/* Moves `from` past what was voided. */
static uint64_t past_voids(const struct reading *g, uint64_t from, uint64_t to)
{
	for (bool moved = true; moved && from <= to;) {
		moved = false;
		for (size_t i = 0; i < g->void_count; i++)
			if (from >= g->voids[i].from && from <= g->voids[i].to) {
				from = g->voids[i].to + 1;
				moved = true;
			}
	}
	return from;
}

static void hold_unconfirmed(struct recover *r, uint64_t before)
{
	for (struct mail *m = r->mails->oldest; m; m = m->behind)
		if (m->open_count && m->hold != FAULT_UNCONFIRMED && m->place.sequence > r->passed && m->place.sequence < before) {
			m->hold = FAULT_UNCONFIRMED;
			m->held_since_ms = r->wall_ms;
			m->stale = true;
			r->unconfirmed++;
		}
}

static bool is_next(const struct stretch *before, const struct stretch *behind)
{
	return before && before->segment->file.number + 1 == behind->segment->file.number;
}

/* Whether what is missing was there: nothing behind the index's watermark is ever used again, nor was a segment whose neighbour stands. */
static bool is_loss(const struct recover *r, const struct stretch *before, const struct stretch *behind)
{
	if (r->passed || (before && before->segment == behind->segment) || is_next(before, behind))
		return true;
	return !before && behind->segment->file.number == 1;
}

static void on_gap(struct reading *g, const struct stretch *before, const struct stretch *behind, uint64_t last_group)
{
	struct recover *r = g->r;
	uint64_t from = past_voids(g, before ? before->to + 1 : r->passed + 1, behind->from - 1);

	if (from >= behind->from)
		return;
	if (from >= last_group && r->torn_count < RECOVER_GAPS_MAX) { /* numbers from there on are of the group that a stop cut off */
		r->torn[r->torn_count++] = (struct recover_gap){ from, behind->from - 1 };
		return;
	}
	hold_unconfirmed(r, behind->from);
	if (!is_loss(r, before, behind))
		return;
	r->damaged += behind->from - from;
	if (is_next(before, behind))
		before->segment->damaged = true;
	if (!before || before->segment == behind->segment || is_next(before, behind))
		behind->segment->damaged = true;
}

/* The first group of a spool without an index may begin anywhere, save in the first segment ever: what stood before was recycled with all it held. */
static void judge_gaps(struct reading *g)
{
	const struct stretch *before = NULL;
	uint64_t last_group = 0;

	if (!g->count)
		return;
	qsort(g->stretches, g->count, sizeof *g->stretches, by_number);
	for (size_t i = 0; i < g->count; i++)
		if (g->stretches[i].group > last_group)
			last_group = g->stretches[i].group;
	for (size_t i = 0; i < g->count; i++) {
		const struct stretch *s = &g->stretches[i];

		if ((before || g->r->passed || s->segment->file.number == 1) && s->from > (before ? before->to : g->r->passed) + 1)
			on_gap(g, before, s, last_group);
		if (!before || s->to > before->to)
			before = s;
		if (s->to > g->r->last_sequence)
			g->r->last_sequence = s->to;
	}
}

/* A group that a stop cut off was never committed: its message is as open as before. In any other group something was lost. */
static void judge_doubts(struct reading *g)
{
	struct recover *r = g->r;
	uint64_t last_group = 0;

	for (size_t i = 0; i < g->count; i++)
		if (g->stretches[i].group > last_group)
			last_group = g->stretches[i].group;
	for (size_t i = 0; i < g->doubt_count; i++) {
		const struct doubt *d = &g->doubts[i];
		struct mail *m = mails_find(r->mails, d->id);

		if (!m || !m->open_count || d->group == last_group || past_voids(g, d->hole.from, d->hole.to) > d->hole.to)
			continue;
		if (m->hold != FAULT_UNCONFIRMED)
			r->unconfirmed++;
		m->hold = FAULT_UNCONFIRMED;
		m->held_since_ms = r->wall_ms;
	}
}

static void drop_what_ended(struct reading *g)
{
	struct mails *mails = g->r->mails;

	for (struct mail *m = mails->oldest, *behind; m; m = behind) {
		behind = m->behind;
		if (m->open_count && !(m->place.sequence > g->r->passed && is_void(g, m->place.sequence)))
			continue;
		if (m->open_count)
			resubmit_forget(g->r->resubmit, m->id);
		if (!m->indexed) {
			mails_remove(mails, &m);
			continue;
		}
		m->ended = true; /* the index still has to hear of it */
	}
}

void recover_run(struct recover *r)
{
	struct reading g = { .r = r };

	r->last_sequence = r->passed;
	for (struct spool_segment *s = r->segments; s && !r->fault; s = s->next) {
		if (!s->file.number || (s->last_sequence && s->last_sequence < r->passed))
			continue;
		g.segment = s;
		r->fault = segment_scan(&s->file, s->at, on_frame, &g, &s->at);
		if (!r->fault && s->last_sequence)
			r->fault = disk_sync(s->file.file); /* what was read may still be on its way to the disk */
	}
	judge_gaps(&g);
	judge_doubts(&g);
	drop_what_ended(&g);
	free(g.stretches);
	free(g.voids);
	free(g.doubts);
}
