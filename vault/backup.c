#include "vault/inner.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/rand.h"
#include "base/text.h"
#include "loop/disk.h"
#include "queue/archive.h"

#include <stdio.h>
#include <stdlib.h>

/* A copy made here is gone again before anybody could want to read it; were it found at a start, a death left it. */
static const char copy_name[] = "backup.db";

enum { PIECE_BYTES = 256 * 1024, PART_BYTES = 1024 * 1024, IDLE_MS = 5 * 60 * 1000 };

struct backup {
	struct vault *vault;
	uint64_t id;
	struct asker asker; /* who waits for an answer now */
	struct archive_line line;
	struct secret *key; /* of the archive */
	struct archive_writer writer;
	struct disk_file *copy;
	uint64_t at, size;
	struct buf part;
	struct timer idle;
	uint64_t given_bytes;
	bool asks_post, is_busy, is_dropped, is_ended;
	enum fault fault;
};

static void drop(struct backup *b)
{
	timer_stop(&b->idle);
	if (b->vault->backup == b)
		b->vault->backup = NULL;
	b->is_dropped = true;
	if (b->is_busy)
		return; /* its job has it */
	if (b->copy)
		disk_file_close(&b->copy);
	archive_writer_fini(&b->writer);
	secret_free(&b->key);
	buf_wipe(&b->part);
	free(b);
}

static void on_idle(void *self)
{
	struct backup *b = self;

	TRAIL(&b->vault->trail, EVENT_BACKUP_FAILED, TRAIL_TEXT("fault", span_of(fault_row(FAULT_BACKUP_OVER)->name)));
	drop(b);
}

void vault_backup_start(struct vault *v)
{
	if (disk_remove(v->disk, copy_name) == FAULT_OK)
		TRAIL(&v->trail, EVENT_BACKUP_FAILED, TRAIL_TEXT("fault", span_of(fault_row(FAULT_BACKUP_OVER)->name)));
}

void vault_backup_free(struct vault *v)
{
	if (v->backup)
		drop(v->backup);
}

/* --- the beginning: a key of its own, half of which post gets */

static bool make_line(struct vault *v, struct backup *b, struct buf *line)
{
	struct buf sealed;

	b->line.at_ms = clock_wall_ms();
	b->line.root = keyring_root(v->keys);
	snprintf(b->line.version, sizeof b->line.version, "%s", POSTERN_VERSION);
	buf_over(&sealed, b->line.sealed_key, sizeof b->line.sealed_key);
	return keyring_seal_backup(v->keys, &sealed, b->line.at_ms, secret_borrow(b->key)) && archive_line_put(line, &b->line);
}

static void put_base64(json_t *to, const char *name, struct span bytes)
{
	char memory[SEAL_KEY_BYTES * 2];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	text_base64(&text, bytes);
	json_put_text(to, name, buf_span(&text));
	secret_wipe(memory, sizeof memory);
}

static void put_id(json_t *to, uint64_t id)
{
	char text[20];

	snprintf(text, sizeof text, "%016llx", (unsigned long long)id);
	json_put_text(to, "backup", span_of(text));
}

static void tell_post(struct vault *v, const struct backup *b)
{
	struct secret *key = archive_section_key(secret_borrow(b->key), ARCHIVE_SPOOL);
	json_t *arguments = json_object();
	struct buf text;

	put_id(arguments, b->id);
	put_base64(arguments, "key", secret_borrow(key));
	put_base64(arguments, "digest", (struct span){ (const char *)b->line.digest, sizeof b->line.digest });
	buf_init(&text, 4096);
	json_write(&text, arguments);
	vault_tell_one(v, ROLE_POST, 0, &MESSAGE_OF(call, .request = b->id, .operation = SPAN("backup.begin"), .actor = span_of(b->asker.actor),
						    .language = (uint8_t)b->asker.language, .arguments = buf_span(&text)));
	buf_wipe(&text);
	json_decref(arguments);
	secret_free(&key);
}

static void begin(struct vault *v, const struct asker *a, const json_t *arguments)
{
	struct backup *b = calloc(1, sizeof *b);
	struct secret *own;
	struct buf line;

	if (!b)
		panic("out of memory");
	if (v->backup)
		drop(v->backup);
	*b = (struct backup){ .vault = v, .asker = *a, .key = secret_random(SEAL_KEY_BYTES), .asks_post = true };
	rand_bytes(&b->id, sizeof b->id);
	timer_init(&b->idle, v->loop, on_idle, b);
	timer_after(&b->idle, IDLE_MS);
	buf_init(&b->part, PART_BYTES + PIECE_BYTES + 4096);
	buf_init(&line, ARCHIVE_LINE_BYTES_MAX);
	ASSERT(make_line(v, b, &line));
	buf_free(&line);
	own = archive_section_key(secret_borrow(b->key), ARCHIVE_VAULT);
	archive_writer_init(&b->writer, ARCHIVE_VAULT, secret_borrow(own), b->line.digest);
	secret_free(&own);
	v->backup = b;
	TRAIL(&v->trail, EVENT_BACKUP_BEGAN, TRAIL_TEXT("actor", span_of(a->actor)));
	tell_post(v, b);
}

void vault_backup_answered(struct vault *v, const struct vault_peer *peer, const struct message_answer *m)
{
	struct backup *b = v->backup;
	json_t *result;
	struct buf line;

	if (!b || !b->asks_post || peer->role != ROLE_POST || m->request != b->id)
		return;
	b->asks_post = false;
	if (m->fault) {
		asker_answer(v, &b->asker, m->fault < FAULT_COUNT ? (enum fault)m->fault : FAULT_BUG, m->why, NULL);
		drop(b);
		return;
	}
	result = json_object();
	buf_init(&line, ARCHIVE_LINE_BYTES_MAX);
	archive_line_put(&line, &b->line);
	put_id(result, b->id);
	json_put_text(result, "line", buf_span(&line));
	buf_free(&line);
	asker_answer(v, &b->asker, FAULT_OK, SPAN(""), result);
}

/* --- reading: the copy is made when it is first asked for, so behind all of post's part */

static enum fault make_copy(struct backup *b)
{
	struct disk *disk = b->vault->disk;
	enum fault fault = disk_remove(disk, copy_name);
	char path[512];

	if (fault != FAULT_OK && fault != FAULT_NOT_FOUND)
		return fault;
	disk_sqlite_path(disk, copy_name, path);
	fault = sqlite_copy(b->vault->db, path);
	if (fault == FAULT_OK)
		fault = disk_file_open(&b->copy, disk, copy_name, DISK_READ);
	if (fault == FAULT_OK)
		fault = disk_size(b->copy, &b->size);
	if (disk_remove(disk, copy_name) && fault == FAULT_OK)
		fault = FAULT_DISK_FAILED;
	return fault;
}

static enum fault put_piece(struct backup *b, struct buf *piece)
{
	size_t got = 0;
	enum fault fault = disk_read(b->copy, b->at, buf_room(piece, PIECE_BYTES), PIECE_BYTES, &got);

	if (fault != FAULT_OK)
		return fault;
	b->at += got;
	buf_grew(piece, got);
	return archive_put(&b->writer, &b->part, got ? ARCHIVE_DATABASE : ARCHIVE_END, buf_span(piece)) ? FAULT_OK : FAULT_BUG;
}

static void read_work(void *job)
{
	struct backup *b = job;
	struct buf piece;

	buf_clear(&b->part);
	b->fault = b->copy || b->is_ended ? FAULT_OK : make_copy(b);
	buf_init(&piece, PIECE_BYTES);
	while (b->fault == FAULT_OK && !b->is_ended && b->part.size < PART_BYTES) {
		uint64_t before = b->at;

		buf_clear(&piece);
		b->fault = put_piece(b, &piece);
		b->is_ended = b->fault == FAULT_OK && b->at == before;
	}
	buf_wipe(&piece);
}

static void give(struct backup *b)
{
	const struct asker *a = &b->asker;

	b->given_bytes += b->part.size;
	vault_tell_one(b->vault, a->role, a->index, &MESSAGE_OF(answer, .request = a->request, .why = b->part.size ? SPAN("") : SPAN("end"),
							       .result = b->part.size ? buf_span(&b->part) : SPAN("{}")));
	if (!b->part.size)
		TRAIL(&b->vault->trail, EVENT_BACKUP_TAKEN, TRAIL_TEXT("actor", span_of(a->actor)), TRAIL_NUMBER("bytes", b->given_bytes));
}

static void read_done(void *job)
{
	struct backup *b = job;
	bool is_over = b->fault != FAULT_OK || !b->part.size;

	b->is_busy = false;
	if (!b->is_dropped && b->fault != FAULT_OK) {
		TRAIL(&b->vault->trail, EVENT_BACKUP_FAILED, TRAIL_TEXT("fault", span_of(fault_row(b->fault)->name)));
		asker_answer(b->vault, &b->asker, b->fault, SPAN(""), NULL);
	} else if (!b->is_dropped) {
		give(b);
	}
	if (b->is_dropped || is_over)
		drop(b);
	else
		timer_after(&b->idle, IDLE_MS);
}

static void read_on(struct vault *v, const struct asker *a, const json_t *arguments)
{
	struct backup *b = v->backup;
	char id[20];

	snprintf(id, sizeof id, "%016llx", (unsigned long long)(b ? b->id : 0));
	if (!b || b->is_busy || b->asks_post || !span_equal(json_text(arguments, "backup"), span_of(id))) {
		asker_answer(v, a, FAULT_BACKUP_OVER, SPAN(""), NULL);
		return;
	}
	b->asker = *a;
	timer_stop(&b->idle);
	b->is_busy = true;
	if (pool_run(v->pool, read_work, read_done, b))
		return;
	b->is_busy = false;
	asker_answer(v, a, FAULT_TOO_BUSY, SPAN(""), NULL);
	drop(b);
}

const struct vault_operation backup_operations[] = { { "backup.begin", begin }, { "backup.read", read_on }, { NULL, NULL } };
