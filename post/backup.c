#include "base/panic.h"
#include "base/text.h"
#include "post/inner.h"
#include "queue/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A part is gathered up to PART_BYTES; one message or one piece of a file may pass it, and still fits a message between roles. */
enum { PART_BYTES = 512 * 1024, IDLE_MS = 5 * 60 * 1000, ID_BYTES = 24 };

/* What waited at one moment, read out message by message. What ended meanwhile has gone out and is left out. */
struct post_backup {
	struct post *post;
	char id[ID_BYTES];
	struct archive_writer writer;
	uint64_t *ids;
	size_t count, next;
	uint64_t messages, unreadable;
	struct buf part;
	struct timer idle;
	enum role peer;
	uint64_t request;
	bool is_asked, is_inside, is_ended, is_over;
	/* the message under way, and the file that belongs to it */
	uint64_t current;
	struct body_reading *reading;
	bool is_loading, is_dropped;
};

static void release(struct post_backup *b)
{
	archive_writer_fini(&b->writer);
	buf_wipe(&b->part);
	free(b->ids);
	free(b);
}

static void drop(struct post_backup *b)
{
	timer_stop(&b->idle);
	if (b->reading) { /* what is loading is a piece of it, and does not come any more */
		body_close(&b->reading);
		b->is_loading = false;
	}
	if (b->post->backup == b)
		b->post->backup = NULL;
	b->is_dropped = true;
	if (!b->is_loading)
		release(b);
}

static void on_idle(void *self)
{
	drop(self);
}

/* The queue is closed behind this: a message that is being loaded then never comes. */
void post_backup_free(struct post *p)
{
	struct post_backup *b = p->backup;

	if (!b)
		return;
	b->is_loading = false;
	drop(b);
}

static struct link *link_of(const struct post *p, enum role peer)
{
	return peer == ROLE_VAULT ? p->vault : p->desk;
}

static void say(struct post *p, enum role peer, uint64_t request, enum fault fault, struct span why, struct span result)
{
	if (link_of(p, peer))
		link_send(link_of(p, peer), &MESSAGE_OF(answer, .request = request, .fault = fault, .why = why, .result = result));
}

/* --- one message after the other */

static void read_on(struct post_backup *);

static void say_unreadable(struct post_backup *b, uint64_t id, enum fault fault)
{
	char text[MAIL_ID_TEXT_BYTES + 1];

	mail_id_text(text, id);
	b->unreadable++;
	TRAIL(&b->post->trail, EVENT_BACKUP_UNREADABLE, TRAIL_TEXT("id", span_of(text)), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
}

static void on_body(void *self, enum fault fault, struct span bytes, bool end)
{
	struct post_backup *b = self;

	if (fault) {
		archive_put(&b->writer, &b->part, ARCHIVE_LOST, SPAN(""));
		b->messages--;
		if (mails_find(queue_mails(b->post->queue), b->current)) /* else it ended, and its file went with it */
			say_unreadable(b, b->current, fault);
	} else {
		archive_put(&b->writer, &b->part, ARCHIVE_BODY, bytes);
	}
	b->is_loading = false;
	if (fault || end)
		body_close(&b->reading);
	read_on(b);
}

/* The record with what became of the message since; and what is in it of its file. */
static bool put_message(struct post_backup *b, const struct mail *m, struct span payload, char key_out[SEAL_KEY_BYTES])
{
	struct record_envelope e;
	struct record_closing c;
	struct buf progress, whole;
	struct span body;
	size_t begun;
	bool good;

	if (record_get_message(&e, &body, &c, payload) || (c.file_key.size && c.file_key.size != SEAL_KEY_BYTES))
		return false;
	if (c.file_key.size)
		memcpy(key_out, c.file_key.at, SEAL_KEY_BYTES);
	buf_init(&progress, RECORD_BYTES_MAX);
	buf_init(&whole, RECORD_BYTES_MAX);
	good = mail_put_progress(&progress, m) && record_message_begin(&whole, &e);
	begun = whole.size;
	c.progress = buf_span(&progress);
	good = good && buf_put(&whole, body) && record_message_end(&whole, begun, &c) &&
	       archive_put(&b->writer, &b->part, m->report_of ? ARCHIVE_REPORT : ARCHIVE_MESSAGE, buf_span(&whole));
	buf_free(&progress);
	buf_wipe(&whole);
	return good;
}

static void on_loaded(void *self, struct mail *m, enum fault fault, struct span payload)
{
	struct post_backup *b = self;
	char key[SEAL_KEY_BYTES];

	b->is_loading = false;
	if (b->is_dropped) {
		release(b);
		return;
	}
	if (m->open_count && (fault || !put_message(b, m, payload, key))) {
		say_unreadable(b, m->id, fault ? fault : FAULT_SPOOL_DAMAGED);
	} else if (m->open_count) {
		b->messages++;
		b->current = m->id;
		if (m->has_file)
			b->reading = bodies_copy(b->post->bodies, m->id, (struct span){ key, sizeof key }, on_body, b);
	}
	secret_wipe(key, sizeof key);
	if (!b->is_inside)
		read_on(b);
}

static void put_counts(const struct post_backup *b, struct buf *out)
{
	json_t *about = json_object();

	json_put_whole(about, "messages", (int64_t)b->messages);
	json_put_whole(about, "unreadable", (int64_t)b->unreadable);
	json_write(out, about);
	json_decref(about);
}

static void put_end(struct post_backup *b)
{
	struct buf text;

	buf_init(&text, 4096);
	put_counts(b, &text);
	archive_put(&b->writer, &b->part, ARCHIVE_SPOOL_END, buf_span(&text));
	buf_free(&text);
	b->is_ended = true;
}

static void next_message(struct post_backup *b)
{
	struct mail *m = NULL;

	while (!m && b->next < b->count)
		m = mails_find(queue_mails(b->post->queue), b->ids[b->next++]);
	if (!m) {
		put_end(b);
		return;
	}
	b->is_loading = true;
	queue_load(b->post->queue, m, false, on_loaded, b);
}

/* Goes on until the part is full, something has to be waited for, or all was read. */
static void read_on(struct post_backup *b)
{
	b->is_inside = true;
	while (!b->is_loading && !b->is_ended && b->part.size < PART_BYTES) {
		if (b->reading) {
			b->is_loading = true;
			body_next(b->reading);
		} else {
			next_message(b);
		}
	}
	b->is_inside = false;
	if (b->is_loading || !b->is_asked)
		return;
	b->is_asked = false;
	if (b->is_over) {
		put_counts(b, &b->part);
		say(b->post, b->peer, b->request, FAULT_OK, SPAN("end"), buf_span(&b->part));
		drop(b);
		return;
	}
	say(b->post, b->peer, b->request, FAULT_OK, SPAN(""), buf_span(&b->part));
	b->is_over = b->is_ended;
	buf_clear(&b->part);
	timer_after(&b->idle, IDLE_MS);
}

void post_backup_read(struct post *p, struct link *link, const struct message_call *m, const json_t *arguments)
{
	struct post_backup *b = p->backup;

	if (!b || b->is_asked || !span_equal(json_text(arguments, "backup"), span_of(b->id))) {
		say(p, link_peer(link), m->request, FAULT_BACKUP_OVER, SPAN(""), SPAN(""));
		return;
	}
	timer_stop(&b->idle);
	b->is_asked = true;
	b->peer = link_peer(link);
	b->request = m->request;
	read_on(b);
}

/* --- the beginning */

static bool take_key(struct post_backup *b, const json_t *arguments)
{
	char key_memory[SEAL_KEY_BYTES + 8], digest_memory[SEAL_DIGEST_BYTES + 8];
	struct buf key, digest;
	bool good;

	buf_over(&key, key_memory, sizeof key_memory);
	buf_over(&digest, digest_memory, sizeof digest_memory);
	good = text_from_base64(&key, json_text(arguments, "key")) && key.size == SEAL_KEY_BYTES &&
	       text_from_base64(&digest, json_text(arguments, "digest")) && digest.size == SEAL_DIGEST_BYTES &&
	       span_text(b->id, sizeof b->id, json_text(arguments, "backup"));
	if (good)
		archive_writer_init(&b->writer, ARCHIVE_SPOOL, buf_span(&key), (const unsigned char *)digest_memory);
	secret_wipe(key_memory, sizeof key_memory);
	return good;
}

void post_backup_begin(struct post *p, struct link *link, const struct message_call *m, const json_t *arguments)
{
	struct post_backup *b = calloc(1, sizeof *b);
	struct mails *mails = queue_mails(p->queue);

	if (!b)
		panic("out of memory");
	*b = (struct post_backup){ .post = p };
	timer_init(&b->idle, p->loop, on_idle, b);
	buf_init(&b->part, MESSAGE_BYTES_MAX - 4096);
	/* The key is the vault's to give: nobody else may have mail sealed under a key of theirs. */
	if (link_peer(link) != ROLE_VAULT || !take_key(b, arguments)) {
		say(p, link_peer(link), m->request, FAULT_FORBIDDEN, SPAN(""), SPAN(""));
		release(b);
		return;
	}
	if (p->backup)
		drop(p->backup);
	b->ids = calloc(mails_count(mails) + 1, sizeof *b->ids);
	if (!b->ids)
		panic("out of memory");
	for (const struct mail *one = mails->oldest; one; one = one->behind)
		if (one->accepted && one->open_count)
			b->ids[b->count++] = one->id;
	p->backup = b;
	timer_after(&b->idle, IDLE_MS);
	say(p, link_peer(link), m->request, FAULT_OK, SPAN(""), SPAN("{}"));
}
