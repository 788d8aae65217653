#include "queue/archive.h"

#include "base/json.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { CONTEXT_BYTES = SEAL_DIGEST_BYTES + 16, SEALED_BYTES_MAX = ARCHIVE_TEXT_BYTES_MAX + SEAL_OVER_BYTES };

static const char *const section_names[] = { [ARCHIVE_SPOOL] = "postern backup spool", [ARCHIVE_VAULT] = "postern backup vault" };
static const struct span head = { "postern-backup ", 15 };

/* --- the line */

bool archive_line_put(struct buf *out, struct archive_line *l)
{
	char mark[20], memory[ARCHIVE_SEALED_KEY_BYTES * 2];
	json_t *about = json_object();
	size_t start = out->size;
	struct buf key;
	bool good;

	buf_over(&key, memory, sizeof memory);
	text_base64(&key, (struct span){ l->sealed_key, sizeof l->sealed_key });
	snprintf(mark, sizeof mark, "%016llx", (unsigned long long)l->root);
	json_put_text(about, "version", span_of(l->version));
	json_put_whole(about, "at", l->at_ms);
	json_put_text(about, "root", span_of(mark));
	json_put_text(about, "key", buf_span(&key));
	good = buf_print(out, "%.*s%d ", SPAN_ARGS(head), ARCHIVE_FORMAT) && json_write(out, about) && buf_put_byte(out, '\n');
	json_decref(about);
	if (good)
		seal_digest(l->digest, span_slice(buf_span(out), start, out->size));
	return good;
}

static bool read_about(struct archive_line *l, struct span text)
{
	json_t *about = json_read(text, ARCHIVE_LINE_BYTES_MAX);
	char memory[ARCHIVE_SEALED_KEY_BYTES + 8];
	struct buf key, mark;
	char mark_memory[8];
	bool good;

	buf_over(&key, memory, sizeof memory);
	buf_over(&mark, mark_memory, sizeof mark_memory);
	good = json_is_object(about) && json_whole(about, "at", &l->at_ms) && text_from_hex(&mark, json_text(about, "root")) && mark.size == sizeof mark_memory &&
	       text_from_base64(&key, json_text(about, "key")) && key.size == sizeof l->sealed_key &&
	       span_text(l->version, sizeof l->version, json_text(about, "version"));
	if (good)
		memcpy(l->sealed_key, key.at, key.size);
	l->root = 0;
	for (size_t i = 0; good && i < sizeof mark_memory; i++)
		l->root = l->root << 8 | (unsigned char)mark_memory[i];
	json_decref(about);
	return good;
}

static enum fault read_line(struct archive_line *l, struct span line)
{
	struct span rest = span_slice(line, head.size, line.size - head.size - 1), format;
	uint64_t number;

	if (!span_starts(line, head) || !span_cut(&rest, ' ', &format) || !span_number(format, &number))
		return FAULT_BACKUP_DAMAGED;
	if (number != ARCHIVE_FORMAT)
		return number > ARCHIVE_FORMAT ? FAULT_BACKUP_NEWER : FAULT_BACKUP_DAMAGED;
	seal_digest(l->digest, line);
	return read_about(l, rest) ? FAULT_OK : FAULT_BACKUP_DAMAGED;
}

/* --- parts */

struct secret *archive_section_key(struct span archive_key, enum archive_section section)
{
	unsigned char key[SEAL_MAC_BYTES];
	struct secret *made;

	seal_hmac(key, archive_key, span_of(section_names[section]));
	made = secret_new((struct span){ (const char *)key, sizeof key });
	secret_wipe(key, sizeof key);
	return made;
}

/* What a part is bound to. */
static struct span context_of(char context[CONTEXT_BYTES], const unsigned char digest[SEAL_DIGEST_BYTES], enum archive_section section,
			      enum archive_kind kind, uint64_t number)
{
	memcpy(context, digest, SEAL_DIGEST_BYTES);
	record_number_write(context + SEAL_DIGEST_BYTES, section, 4);
	record_number_write(context + SEAL_DIGEST_BYTES + 4, kind, 4);
	record_number_write(context + SEAL_DIGEST_BYTES + 8, number, 8);
	return (struct span){ context, CONTEXT_BYTES };
}

void archive_writer_init(struct archive_writer *w, enum archive_section section, struct span key, const unsigned char digest[SEAL_DIGEST_BYTES])
{
	*w = (struct archive_writer){ .section = section, .key = secret_new(key) };
	memcpy(w->digest, digest, SEAL_DIGEST_BYTES);
}

void archive_writer_fini(struct archive_writer *w)
{
	secret_free(&w->key);
}

bool archive_put(struct archive_writer *w, struct buf *out, enum archive_kind kind, struct span text)
{
	char context[CONTEXT_BYTES], sizes[ARCHIVE_HEAD_BYTES];

	ASSERT(text.size <= ARCHIVE_TEXT_BYTES_MAX);
	record_number_write(sizes, text.size + SEAL_OVER_BYTES, 4);
	record_number_write(sizes + 4, kind, 4);
	return buf_put(out, (struct span){ sizes, sizeof sizes }) &&
	       seal_put(out, secret_borrow(w->key), context_of(context, w->digest, w->section, kind, w->number++), text);
}

/* --- reading */

void archive_reader_init(struct archive_reader *r)
{
	*r = (struct archive_reader){ .section = ARCHIVE_SPOOL };
	buf_init(&r->waiting, 2 * (SEALED_BYTES_MAX + ARCHIVE_HEAD_BYTES));
	buf_init(&r->opened, ARCHIVE_TEXT_BYTES_MAX);
}

void archive_reader_fini(struct archive_reader *r)
{
	buf_wipe(&r->waiting);
	buf_wipe(&r->opened);
	secret_free(&r->keys[ARCHIVE_SPOOL]);
	secret_free(&r->keys[ARCHIVE_VAULT]);
}

void archive_reader_key(struct archive_reader *r, struct span archive_key)
{
	for (enum archive_section s = ARCHIVE_SPOOL; s <= ARCHIVE_VAULT; s++) {
		secret_free(&r->keys[s]);
		r->keys[s] = archive_section_key(archive_key, s);
	}
}

static enum archive_found fail(struct archive_reader *r, enum fault fault)
{
	r->fault = fault;
	return ARCHIVE_FAILED;
}

void archive_feed(struct archive_reader *r, struct span bytes)
{
	ASSERT(bytes.size <= ARCHIVE_TEXT_BYTES_MAX);
	buf_drop(&r->waiting, r->used);
	r->used = 0;
	if (!buf_put(&r->waiting, bytes))
		r->fault = FAULT_BACKUP_DAMAGED; /* of a part that is larger than any */
}

static enum archive_found take_line(struct archive_reader *r, struct span seen)
{
	size_t end = span_find_byte(seen, '\n');

	if (end == seen.size) {
		bool may_be = seen.size <= ARCHIVE_LINE_BYTES_MAX &&
			      (seen.size < head.size ? span_starts(head, seen) : span_starts(seen, head));

		return may_be ? ARCHIVE_MORE : fail(r, FAULT_BACKUP_DAMAGED);
	}
	if (end >= ARCHIVE_LINE_BYTES_MAX || end < head.size)
		return fail(r, FAULT_BACKUP_DAMAGED);
	r->fault = read_line(&r->line, span_slice(seen, 0, end + 1));
	r->used += end + 1;
	r->has_line = true;
	return r->fault ? ARCHIVE_FAILED : ARCHIVE_OPENED;
}

/* Which kinds stand in which section. */
static bool belongs(enum archive_section section, uint32_t kind)
{
	return section == ARCHIVE_SPOOL ? kind >= ARCHIVE_MESSAGE && kind <= ARCHIVE_SPOOL_END : kind == ARCHIVE_DATABASE || kind == ARCHIVE_END;
}

static enum archive_found take_part(struct archive_reader *r, struct span seen)
{
	char context[CONTEXT_BYTES];
	uint64_t size;
	uint32_t kind;

	if (r->is_whole)
		return seen.size ? fail(r, FAULT_BACKUP_DAMAGED) : ARCHIVE_WHOLE;
	if (seen.size < ARCHIVE_HEAD_BYTES)
		return ARCHIVE_MORE;
	size = record_number_read(seen.at, 4);
	kind = (uint32_t)record_number_read(seen.at + 4, 4);
	if (size < SEAL_OVER_BYTES || size > SEALED_BYTES_MAX || !belongs(r->section, kind))
		return fail(r, FAULT_BACKUP_DAMAGED);
	if (seen.size - ARCHIVE_HEAD_BYTES < size)
		return ARCHIVE_MORE;
	buf_clear(&r->opened);
	if (!seal_open(&r->opened, secret_borrow(r->keys[r->section]), context_of(context, r->line.digest, r->section, (enum archive_kind)kind, r->number),
		       span_slice(seen, ARCHIVE_HEAD_BYTES, size)))
		return fail(r, FAULT_BACKUP_DAMAGED);
	r->used += ARCHIVE_HEAD_BYTES + size;
	r->number = kind == ARCHIVE_SPOOL_END ? 0 : r->number + 1;
	r->section = kind == ARCHIVE_SPOOL_END ? ARCHIVE_VAULT : r->section;
	r->is_whole = kind == ARCHIVE_END;
	r->kind = (enum archive_kind)kind;
	r->text = buf_span(&r->opened);
	return ARCHIVE_PART;
}

enum archive_found archive_read(struct archive_reader *r)
{
	struct span seen = span_slice(buf_span(&r->waiting), r->used, r->waiting.size);

	if (r->fault)
		return ARCHIVE_FAILED;
	if (!r->has_line)
		return take_line(r, seen);
	if (!r->keys[ARCHIVE_SPOOL])
		return fail(r, FAULT_KEY_WRONG);
	return take_part(r, seen);
}
