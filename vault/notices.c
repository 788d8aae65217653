#include "vault/notices.h"

#include "base/clock.h"
#include "base/panic.h"
#include "queue/record.h"
#include "vault/troubles.h"
#include "wire/notice_mail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES_MAX = 20, OWNERS_FEW = 10, OWNERS_MAX = 1000, TEXT_BYTES_MAX = 128 * 1024, MAIL_BYTES_MAX = 512 * 1024, LIST_BYTES_MAX = 256 * 1024,
       WITHOUT_MAX = 8, WITHOUT_MS = 15 * 60 * 1000 };

static const struct notice_kind_row {
	int64_t number;
	const char *name;
	const char *subject[LANGUAGE_COUNT], *opening[LANGUAGE_COUNT];
} kinds[] = {
#define NOTICE(symbol, number, subject_en, subject_fr, opening_en, opening_fr) { number, #symbol, { subject_en, subject_fr }, { opening_en, opening_fr } },
#include "tables/notices.def"
#undef NOTICE
};

static const char *const words[][LANGUAGE_COUNT] = {
#define NOTICE_WORD(symbol, en, fr) { en, fr },
#include "tables/notice_words.def"
#undef NOTICE_WORD
};

/* One that post has not taken yet. */
struct waiting {
	struct waiting *next;
	struct arena *arena;
	struct notice_row row;
	bool is_taken;                  /* and its row is on its way out */
	uint64_t given_to;              /* the mailbox that it was handed over for last */
	uint64_t without[WITHOUT_MAX];  /* those that turned out not to work */
	size_t without_count;
	int64_t without_until_ms;       /* loop time: then they are tried again */
};

struct notices {
	struct waiting *first, **end;
	size_t count;
};

static const struct notice_kind_row *kind_row(int64_t number)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].number == number)
			return &kinds[i];
	return &kinds[0];
}

void notices_put_word(struct buf *out, enum notice_word word, enum language language, struct span value)
{
	struct span pattern = span_of(words[word][language]);
	size_t at = span_find(pattern, SPAN("%s"));

	buf_put(out, span_slice(pattern, 0, at));
	buf_put(out, value);
	buf_put(out, span_slice(pattern, at + 2, pattern.size));
}

/* --- wording */

struct telling {
	struct vault *vault;
	struct notices_draft *draft;
	struct arena *arena;
	const struct notice_kind_row *kind;
	const struct registry_organisation *organisation;
	const struct notice_piece *pieces;
	size_t count;
};

static bool concerns(const struct telling *t, const struct notice_piece *p)
{
	return !p->organisation || p->organisation == t->organisation->row.id;
}

static struct span owner_of(const struct telling *t, const struct notice_piece *p)
{
	const struct registry_mailbox *m = p->mailbox ? registry_by_id(&t->vault->registry.mailboxes, p->mailbox) : NULL;

	return m ? m->row.owner : (struct span){ "", 0 };
}

static bool is_line_of(struct span lines, struct span wanted)
{
	struct span line;

	while (lines.size && span_cut(&lines, '\n', &line))
		if (span_equal_fold(line, wanted))
			return true;
	return false;
}

/* What concerns an owner, or all of it where `owner` is empty. */
static size_t put_pieces(const struct telling *t, struct span owner, enum language language, struct buf *out)
{
	size_t count = 0;
	char number[24];

	for (size_t i = 0; i < t->count; i++) {
		const struct notice_piece *p = &t->pieces[i];

		if (!concerns(t, p) || (owner.size && !span_equal_fold(owner_of(t, p), owner)) || count++ >= PIECES_MAX)
			continue;
		buf_put(out, SPAN("\n- "));
		p->put(t->vault, p->about, language, out);
	}
	if (count > PIECES_MAX) {
		snprintf(number, sizeof number, "%zu", count - PIECES_MAX);
		buf_put(out, SPAN("\n"));
		notices_put_word(out, NOTICE_WORD_MORE, language, span_of(number));
		buf_put(out, SPAN("\n"));
	}
	return count;
}

static void add(const struct telling *t, struct span recipients, struct span owner, enum language language)
{
	struct notices_draft *d = t->draft;
	const struct organisation_row *o = &t->organisation->row;
	struct notice_row *more;
	struct buf text;
	size_t pieces;

	buf_init(&text, TEXT_BYTES_MAX);
	buf_print(&text, "%s\n", t->kind->opening[language]);
	pieces = put_pieces(t, owner, language, &text);
	buf_put(&text, SPAN("\n-- \n"));
	notices_put_word(&text, NOTICE_WORD_SIGNED, language, o->title.size ? o->title : o->name);
	buf_put(&text, SPAN("\n"));
	if (d->count == d->room) {
		d->room = d->room ? 2 * d->room : 4;
		more = arena_take(t->arena, d->room * sizeof *more);
		if (d->count)
			memcpy(more, d->rows, d->count * sizeof *more);
		d->rows = more;
	}
	d->rows[d->count++] = (struct notice_row){ .organisation = o->id, .kind = t->kind->number, .language = language,
						   .recipients = arena_copy(t->arena, recipients), .text = arena_copy(t->arena, buf_span(&text)),
						   .made_at_ms = clock_wall_ms() };
	TRAIL(&t->vault->trail, EVENT_NOTICE_MADE, TRAIL_TEXT("kind", span_of(t->kind->name)), TRAIL_TEXT("organisation", o->name),
	      TRAIL_TEXT("recipients", recipients), TRAIL_NUMBER("pieces", pieces));
	buf_free(&text);
}

/* Where many owners are concerned at once, it is a matter of the tenant's, and its administrators tell them. */
static void tell_owners(const struct telling *t)
{
	struct span owners[OWNERS_MAX];
	enum language languages[OWNERS_MAX];
	size_t most = t->organisation->row.admins.size ? OWNERS_FEW : OWNERS_MAX, count = 0, at;

	for (size_t i = 0; i < t->count; i++) {
		struct span owner = concerns(t, &t->pieces[i]) ? owner_of(t, &t->pieces[i]) : (struct span){ "", 0 };
		const struct registry_mailbox *m;

		if (!owner.size || is_line_of(t->organisation->row.admins, owner))
			continue;
		for (at = 0; at < count && !span_equal_fold(owners[at], owner); at++)
			;
		if (at < count)
			continue;
		if (count == most && t->organisation->row.admins.size)
			return;
		if (count == most)
			break;
		m = registry_by_id(&t->vault->registry.mailboxes, t->pieces[i].mailbox);
		languages[count] = m->row.language;
		owners[count++] = owner;
	}
	for (at = 0; at < count; at++)
		add(t, owners[at], owners[at], languages[at]);
}

void notices_word(struct vault *v, struct notices_draft *d, struct arena *arena, enum notice_kind kind, const struct notice_piece *pieces, size_t count)
{
	struct telling t = { .vault = v, .draft = d, .arena = arena, .kind = kind_row(kind), .pieces = pieces, .count = count };
	bool any;

	for (size_t at = 0; count && (t.organisation = map_next(&v->registry.organisations, &at));) {
		any = false;
		for (size_t i = 0; i < count && !any; i++)
			any = concerns(&t, &pieces[i]);
		if (any && t.organisation->row.admins.size)
			add(&t, t.organisation->row.admins, SPAN(""), t.organisation->row.language);
		if (any)
			tell_owners(&t);
	}
}

enum fault notices_store(struct notices_draft *d, struct sqlite *db)
{
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < d->count && fault == FAULT_OK; i++)
		fault = notices_add(db, &d->rows[i], &d->rows[i].id);
	return fault;
}

/* --- those that wait */

static bool keep(void *self, const struct notice_row *row)
{
	struct notices *n = self;
	struct waiting *w = calloc(1, sizeof *w);

	if (!w)
		panic("out of memory");
	w->arena = arena_new(2 * TEXT_BYTES_MAX + LIST_BYTES_MAX);
	w->row = *row;
	w->row.recipients = arena_copy(w->arena, row->recipients);
	w->row.text = arena_copy(w->arena, row->text);
	*n->end = w;
	n->end = &w->next;
	n->count++;
	return true;
}

static void forget(struct notices *n, uint64_t id)
{
	for (struct waiting **at = &n->first, *w; (w = *at); at = &w->next) {
		if (w->row.id != id)
			continue;
		*at = w->next;
		if (n->end == &w->next)
			n->end = at;
		arena_free(&w->arena);
		free(w);
		n->count--;
		return;
	}
}

void notices_stored(struct vault *v, const struct notices_draft *d)
{
	if (!v->notices)
		return;
	for (size_t i = 0; i < d->count; i++)
		keep(v->notices, &d->rows[i]);
	if (d->count)
		notices_send(v);
}

static enum fault remove_row(struct change *c, struct sqlite *db)
{
	return notices_remove(db, *(uint64_t *)c->data);
}

static void removed(struct change *c)
{
	uint64_t id = *(uint64_t *)c->data;
	struct notices *n = c->vault->notices;

	if (n && c->fault == FAULT_OK)
		forget(n, id);
	for (struct waiting *w = n ? n->first : NULL; w; w = w->next)
		if (w->row.id == id)
			w->is_taken = false; /* handed over again, and post remembers it */
}

static void remove_one(struct vault *v, struct waiting *w)
{
	struct change *c = change_new(v, remove_row, removed, sizeof(uint64_t));

	*(uint64_t *)c->data = w->row.id;
	w->is_taken = true;
	change_run_take(c);
}

/* --- sending */

static bool works(const struct vault *v, const struct registry_mailbox *m)
{
	return m && mailbox_state(v, m) == MAILBOX_READY && !troubles_hold(v, m);
}

static bool may_try(const struct vault *v, const struct waiting *w, const struct registry_mailbox *m)
{
	for (size_t i = 0; m && i < w->without_count; i++)
		if (w->without[i] == m->row.id)
			return false;
	return works(v, m);
}

/* While one is being tried, no other is: it may have gone out, and only post can tell. */
static const struct registry_mailbox *find_way(const struct vault *v, struct waiting *w, const struct registry_organisation *o)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, w->given_to), *first = NULL;

	if (m)
		return m;
	if (loop_now_ms(v->loop) >= w->without_until_ms)
		w->without_count = 0;
	if (w->without_count == WITHOUT_MAX)
		return NULL; /* it is not one mailbox that is in trouble */
	m = registry_by_id(&v->registry.mailboxes, o->row.notice_mailbox);
	if (may_try(v, w, m))
		return m;
	for (size_t at = 0; (m = map_next(&v->registry.mailboxes, &at));)
		if (m->row.organisation == o->row.id && (!first || m->row.id < first->row.id) && may_try(v, w, m))
			first = m;
	return first;
}

static void put_recipients(struct buf *list, struct span lines)
{
	struct span line;

	while (lines.size && span_cut(&lines, '\n', &line))
		record_recipient_put(list, &(struct record_recipient){ .address = line });
}

static void hand_over(struct vault *v, const struct notice_row *row, const struct registry_organisation *o, const struct registry_mailbox *m)
{
	const struct notice_kind_row *kind = kind_row(row->kind);
	char message_id[512], key[96];
	struct buf list, mail;
	size_t at = span_find_byte(m->row.address, '@');

	snprintf(key, sizeof key, "notice.%llu.%lld", (unsigned long long)row->id, (long long)row->made_at_ms);
	snprintf(message_id, sizeof message_id, "<postern.%s%.*s>", key, SPAN_ARGS(span_slice(m->row.address, at, m->row.address.size)));
	buf_init(&list, LIST_BYTES_MAX);
	buf_init(&mail, MAIL_BYTES_MAX);
	put_recipients(&list, row->recipients);
	if (!notice_mail_put(&mail, &(struct notice_mail){ .from = m->row.address, .to = row->recipients, .subject = span_of(kind->subject[row->language]),
							    .message_id = span_of(message_id), .language = span_of(language_name(row->language)),
							    .date_ms = row->made_at_ms, .text = row->text }))
		panic("a notice is larger than its ceiling");
	vault_tell_one(v, ROLE_POST, 0, &MESSAGE_OF(notice, .id = row->id, .key = span_of(key), .mailbox = m->row.id, .organisation = o->row.name,
						    .from = m->row.address, .recipients = buf_span(&list), .body = buf_span(&mail)));
	buf_free(&list);
	buf_free(&mail);
}

static void send_one(struct vault *v, struct waiting *w)
{
	const struct registry_organisation *o = registry_by_id(&v->registry.organisations, w->row.organisation);
	const struct registry_mailbox *m;

	if (w->is_taken || v->is_draining)
		return;
	if (!o) {
		remove_one(v, w);
		return;
	}
	m = find_way(v, w, o);
	if (!m)
		return;
	w->given_to = m->row.id;
	hand_over(v, &w->row, o, m);
}

void notices_send(struct vault *v)
{
	for (struct waiting *w = v->notices ? v->notices->first : NULL, *next; w; w = next) {
		next = w->next;
		send_one(v, w);
	}
}

/* Through another mailbox, where there is one. */
static void avoid(struct vault *v, struct waiting *w)
{
	if (!w->without_count)
		w->without_until_ms = loop_now_ms(v->loop) + WITHOUT_MS;
	if (w->given_to)
		w->without[w->without_count++] = w->given_to;
	w->given_to = 0;
}

/* What post cannot take whole it will never take. Where its disk is full, say, it is asked again in a minute. */
void notices_taken(struct vault *v, const struct message_noticed *m)
{
	struct waiting *w = v->notices->first;
	enum fault fault = (enum fault)(m->fault % FAULT_COUNT);

	while (w && w->row.id != m->id)
		w = w->next;
	if (!w || w->is_taken)
		return;
	if (fault == FAULT_OK || fault == FAULT_MALFORMED) {
		remove_one(v, w);
	} else if (fault_row(fault)->class == FAULT_CLASS_HOLD || fault_row(fault)->class == FAULT_CLASS_POLICY) {
		avoid(v, w);
		send_one(v, w);
	}
}

void notices_mended(struct vault *v)
{
	for (struct waiting *w = v->notices->first; w; w = w->next)
		w->without_count = 0;
	notices_send(v);
}

size_t notices_count(const struct vault *v)
{
	return v->notices->count;
}

enum fault notices_start(struct vault *v)
{
	v->notices = calloc(1, sizeof *v->notices);
	if (!v->notices)
		panic("out of memory");
	v->notices->end = &v->notices->first;
	return notices_each(v->db, keep, v->notices);
}

void notices_free(struct vault *v)
{
	while (v->notices && v->notices->first)
		forget(v->notices, v->notices->first->row.id);
	free(v->notices);
	v->notices = NULL;
}
