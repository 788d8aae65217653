#include "keeper/restore.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/passphrase.h"
#include "base/text.h"
#include "base/whole_file.h"
#include "keeper/child.h"
#include "queue/rebuild.h"
#include "store/database.h"
#include "vault/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4 * 1024 * 1024, PATH_BYTES = RESTORE_PATH_BYTES + 32, PIECE_BYTES = 256 * 1024 };

static const char database_name[] = "vault.db";

struct restoring {
	const struct restore_options *options;
	struct restore_result *result;
	struct config *config;
	struct keyring *keys;
	struct buf key_text; /* of the key file, as given */
	char aside[PATH_BYTES], key_path[PATH_BYTES];
	int fd;
	struct archive_reader reader;
	struct disk *spool, *vault;
	struct rebuild *rebuild;
	struct disk_file *database;
	uint64_t database_at;
};

static enum fault fail(struct restoring *r, enum fault fault, const char *about, const char *why)
{
	snprintf(r->result->about, sizeof r->result->about, "%s", about);
	snprintf(r->result->why, sizeof r->result->why, "%s", why);
	return fault;
}

/* What the system said last. */
static enum fault fail_system(struct restoring *r, const char *about)
{
	return fail(r, errno == ENOENT ? FAULT_NOT_FOUND : errno == ENOSPC || errno == EDQUOT ? FAULT_DISK_FULL : FAULT_DISK_FAILED, about, strerror(errno));
}

/* --- files */

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
	(void)s, (void)at;
	return kind == FTW_DP || kind == FTW_DNR ? rmdir(path) : unlink(path);
}

static bool remove_aside(const struct restoring *r)
{
	return access(r->aside, F_OK) || !nftw(r->aside, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static bool note_any(void *self, const char *name)
{
	if (strcmp(name, "lock"))
		*(bool *)self = true;
	return true;
}

/* A directory that is missing, or has nothing in it but the lock of a daemon that is gone. */
static enum fault check_empty(struct restoring *r, const char *name)
{
	char path[PATH_BYTES + 16];
	struct disk *disk = NULL;
	bool has_files = false;
	enum fault fault;

	snprintf(path, sizeof path, "%s/%s", r->result->data, name);
	if (access(path, F_OK))
		return FAULT_OK;
	fault = disk_open(&disk, path, false);
	if (fault == FAULT_OK)
		fault = disk_lock(disk);
	if (fault == FAULT_OK)
		fault = disk_list(disk, note_any, &has_files);
	if (disk)
		disk_close(&disk);
	if (fault == FAULT_OK && has_files)
		fault = FAULT_DATA_THERE;
	return fault == FAULT_OK ? FAULT_OK : fail(r, fault, path, "");
}

/* --- what is given */

static enum fault read_config(struct restoring *r)
{
	const char *path = r->options->config_path;
	struct restore_result *out = r->result;
	enum fault fault = FAULT_OK;
	struct buf text;
	char why[512];

	buf_init(&text, FILE_BYTES_MAX);
	if (!whole_file_read(path, &text))
		fault = fail_system(r, path);
	else if (config_read(&r->config, path, buf_span(&text), why, sizeof why) != FAULT_OK)
		fault = fail(r, FAULT_MALFORMED, path, why);
	buf_free(&text);
	if (fault != FAULT_OK)
		return fault;
	snprintf(out->data, sizeof out->data, "%.*s", SPAN_ARGS(r->config->data));
	snprintf(r->aside, sizeof r->aside, "%s/restoring", out->data);
	if (r->config->key_file.size)
		snprintf(out->key_path, sizeof out->key_path, "%.*s", SPAN_ARGS(r->config->key_file));
	else
		snprintf(out->key_path, sizeof out->key_path, "%s/kek", out->data);
	return FAULT_OK;
}

static enum fault read_key(struct restoring *r)
{
	enum fault fault = FAULT_OK;
	struct buf file;

	snprintf(r->key_path, sizeof r->key_path, "%s", r->options->key_path ? r->options->key_path : r->result->key_path);
	buf_init(&file, FILE_BYTES_MAX);
	if (!whole_file_read(r->key_path, &file))
		fault = fail_system(r, r->key_path);
	else if (!passphrase_sealed(buf_span(&file)))
		buf_put(&r->key_text, buf_span(&file));
	else if (!passphrase_open(&r->key_text, r->options->passphrase, buf_span(&file)))
		fault = fail(r, FAULT_PASSPHRASE_WRONG, r->key_path, "");
	buf_wipe(&file);
	if (fault == FAULT_OK && keyring_open(&r->keys, buf_span(&r->key_text)) != FAULT_OK)
		fault = fail(r, FAULT_KEY_UNREADABLE, r->key_path, "");
	return fault;
}

/* --- reading */

static enum fault open_archive(struct restoring *r)
{
	const struct archive_line *l = &r->reader.line;
	char memory[SEAL_KEY_BYTES], *when = r->result->date;
	enum fault fault;
	struct buf key, date;

	buf_over(&key, memory, sizeof memory);
	buf_over(&date, when, sizeof r->result->date - 1);
	text_date(&date, l->at_ms);
	when[date.size] = 0;
	fault = keyring_open_backup(r->keys, &key, l->at_ms, l->root, (struct span){ l->sealed_key, sizeof l->sealed_key });
	if (fault == FAULT_OK)
		archive_reader_key(&r->reader, buf_span(&key));
	secret_wipe(memory, sizeof memory);
	return fault == FAULT_OK ? FAULT_OK : fail(r, FAULT_BACKUP_SHUT, r->key_path, "");
}

static enum fault make_aside(struct restoring *r)
{
	char path[PATH_BYTES + 16], reason[256];
	enum fault fault;

	if (!remove_aside(r) || (mkdir(r->result->data, 0711) && errno != EEXIST) || mkdir(r->aside, 0700))
		return fail_system(r, r->aside);
	snprintf(path, sizeof path, "%s/spool", r->aside);
	fault = disk_open(&r->spool, path, true);
	snprintf(path, sizeof path, "%s/vault", r->aside);
	if (fault == FAULT_OK)
		fault = disk_open(&r->vault, path, true);
	if (fault == FAULT_OK)
		fault = disk_file_open(&r->database, r->vault, database_name, DISK_MAKE);
	if (fault != FAULT_OK)
		return fail(r, fault, r->aside, "");
	snprintf(reason, sizeof reason, "restored from the backup of %s; it may have been sent since", r->result->date);
	r->rebuild = rebuild_new(r->spool, &(struct rebuild_settings){ .segment_bytes = (uint64_t)r->config->segment_bytes, .at_ms = r->reader.line.at_ms,
								       .reason = span_of(reason) });
	return FAULT_OK;
}

static enum fault take_part(struct restoring *r)
{
	enum fault fault = FAULT_OK;

	if (r->reader.kind == ARCHIVE_DATABASE) {
		fault = disk_write(r->database, r->database_at, r->reader.text);
		r->database_at += r->reader.text.size;
	} else if (r->reader.kind != ARCHIVE_END) {
		fault = rebuild_part(r->rebuild, r->reader.kind, r->reader.text);
	}
	return fault;
}

static enum fault feed(struct restoring *r)
{
	char piece[PIECE_BYTES];
	ssize_t got = read(r->fd, piece, sizeof piece);

	if (got < 0)
		return fail_system(r, r->options->file);
	if (!got)
		return fail(r, FAULT_BACKUP_DAMAGED, r->options->file, "");
	archive_feed(&r->reader, (struct span){ piece, (size_t)got });
	return FAULT_OK;
}

/* Behind the last part, only the end of the file may come. */
static enum fault check_end(struct restoring *r)
{
	char more;

	return read(r->fd, &more, 1) == 0 ? FAULT_OK : fail(r, FAULT_BACKUP_DAMAGED, r->options->file, "");
}

static enum fault read_archive(struct restoring *r)
{
	enum fault fault = FAULT_OK;

	r->fd = open(r->options->file, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0)
		return fail_system(r, r->options->file);
	while (fault == FAULT_OK) {
		switch (archive_read(&r->reader)) {
		case ARCHIVE_MORE: fault = feed(r); break;
		case ARCHIVE_OPENED:
			fault = open_archive(r);
			if (fault == FAULT_OK)
				fault = make_aside(r);
			break;
		case ARCHIVE_PART:
			fault = take_part(r);
			if (fault != FAULT_OK)
				fail(r, fault, r->options->file, "");
			break;
		case ARCHIVE_WHOLE: return check_end(r);
		case ARCHIVE_FAILED: return fail(r, r->reader.fault, r->options->file, "");
		}
	}
	return fault;
}

/* --- putting in place */

static bool wrap(void *self, struct buf *out, struct span key)
{
	const struct restoring *r = self;

	return keyring_wrap(r->keys, out, KEYRING_SEGMENT, key);
}

/* The database says under which key the segments are to be wrapped; opening it also judges its schema, and that it is whole. */
static enum fault finish_aside(struct restoring *r)
{
	struct sqlite *db = NULL;
	char path[512], why[256] = "";
	enum fault fault = disk_sync(r->database);

	disk_file_close(&r->database);
	disk_sqlite_path(r->vault, database_name, path);
	if (fault == FAULT_OK)
		fault = database_open(&db, path, disk_sqlite_vfs(r->vault), why);
	if (fault == FAULT_OK)
		fault = keyring_load(r->keys, db, clock_wall_ms());
	sqlite_close(&db);
	if (fault == FAULT_OK)
		fault = rebuild_finish(r->rebuild, wrap, r);
	if (fault == FAULT_OK)
		fault = disk_sync_names(r->vault);
	return fault == FAULT_OK ? FAULT_OK : fail(r, fault, r->options->file, why);
}

/* Whose files those below are to be, while nftw() walks. */
static struct child_user owner;

static int own_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
	(void)s, (void)kind, (void)at;
	return owner.uid == (uid_t)-1 ? 0 : lchown(path, owner.uid, owner.gid);
}

static enum fault give_to_role(struct restoring *r, const char *name, enum role role)
{
	char path[PATH_BYTES + 16];

	snprintf(path, sizeof path, "%s/%s", r->aside, name);
	if (!child_user(r->config, role, &owner))
		return fail(r, FAULT_NOT_FOUND, path, "there are no users of the roles: see `user` and `uid_base` in the boot file");
	return nftw(path, own_one, 8, FTW_PHYS) ? fail_system(r, path) : FAULT_OK;
}

static enum fault move(struct restoring *r, const char *name)
{
	char from[PATH_BYTES + 16], to[PATH_BYTES + 16], lock[PATH_BYTES + 32];

	snprintf(from, sizeof from, "%s/%s", r->aside, name);
	snprintf(to, sizeof to, "%s/%s", r->result->data, name);
	snprintf(lock, sizeof lock, "%s/lock", to);
	unlink(lock); /* of a daemon that is gone; an empty directory gives way */
	return rename(from, to) ? fail_system(r, to) : FAULT_OK;
}

static enum fault sync_data(struct restoring *r)
{
	int fd = open(r->result->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum fault fault = fd < 0 || fsync(fd) ? fail_system(r, r->result->data) : FAULT_OK;

	if (fd >= 0)
		close(fd);
	return fault;
}

/* --- the key: where this Postern looks for it, above what stands there */

static bool put_key_lines(struct buf *out, struct span key)
{
	return key.size == SEAL_KEY_BYTES ? text_base64(out, key) && buf_put_byte(out, '\n') : buf_put(out, key) && (key.at[key.size - 1] == '\n' || buf_put_byte(out, '\n'));
}

static enum fault write_key_file(struct restoring *r, struct span text)
{
	const char *path = r->result->key_path;
	enum fault fault = FAULT_OK;
	char fresh[PATH_BYTES + 8];
	int fd;

	snprintf(fresh, sizeof fresh, "%s.new", path);
	unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_system(r, fresh);
	if (write(fd, text.at, text.size) != (ssize_t)text.size || fsync(fd))
		fault = fail_system(r, fresh);
	if (close(fd) && fault == FAULT_OK)
		fault = fail_system(r, fresh);
	if (fault == FAULT_OK && rename(fresh, path))
		fault = fail_system(r, path);
	return fault;
}

static enum fault place_key(struct restoring *r)
{
	struct buf before, after;
	enum fault fault = FAULT_OK;

	if (!r->options->key_path)
		return FAULT_OK;
	buf_init(&before, FILE_BYTES_MAX);
	buf_init(&after, FILE_BYTES_MAX);
	/* A key that cannot be read is still a key: what is sealed with it would be lost. */
	if (!whole_file_read(r->result->key_path, &before) && errno != ENOENT)
		fault = fail_system(r, r->result->key_path);
	else if (!span_equal(buf_span(&before), buf_span(&r->key_text))) {
		put_key_lines(&after, buf_span(&r->key_text));
		if (before.size)
			put_key_lines(&after, buf_span(&before));
		fault = write_key_file(r, buf_span(&after));
	}
	buf_wipe(&before);
	buf_wipe(&after);
	return fault;
}

static enum fault put_in_place(struct restoring *r)
{
	enum fault fault = place_key(r);

	if (fault == FAULT_OK)
		fault = give_to_role(r, "spool", ROLE_POST);
	if (fault == FAULT_OK)
		fault = give_to_role(r, "vault", ROLE_VAULT);
	if (fault == FAULT_OK)
		fault = move(r, "spool");
	if (fault == FAULT_OK)
		fault = move(r, "vault");
	return fault == FAULT_OK ? sync_data(r) : fault;
}

/* --- from the options to the end */

static enum fault run(struct restoring *r)
{
	enum fault fault = read_config(r);

	if (fault == FAULT_OK && !r->options->is_check)
		fault = check_empty(r, "spool");
	if (fault == FAULT_OK && !r->options->is_check)
		fault = check_empty(r, "vault");
	if (fault == FAULT_OK)
		fault = read_key(r);
	if (fault == FAULT_OK)
		fault = read_archive(r);
	if (fault == FAULT_OK)
		fault = finish_aside(r);
	if (fault == FAULT_OK)
		r->result->messages = rebuild_counts(r->rebuild).messages;
	return fault == FAULT_OK && !r->options->is_check ? put_in_place(r) : fault;
}

static void clean(struct restoring *r)
{
	rebuild_free(&r->rebuild);
	if (r->database)
		disk_file_close(&r->database);
	if (r->spool)
		disk_close(&r->spool);
	if (r->vault)
		disk_close(&r->vault);
	if (r->fd >= 0)
		close(r->fd);
	if (*r->aside && !remove_aside(r))
		errno = 0; /* it is removed at the next try */
	archive_reader_fini(&r->reader);
	keyring_close(&r->keys);
	config_free(&r->config);
	buf_wipe(&r->key_text);
}

enum fault restore_backup(const struct restore_options *options, struct restore_result *out)
{
	struct restoring *r = calloc(1, sizeof *r);
	enum fault fault;

	if (!r)
		panic("out of memory");
	*out = (struct restore_result){ 0 };
	r->options = options;
	r->result = out;
	r->fd = -1;
	archive_reader_init(&r->reader);
	buf_init(&r->key_text, FILE_BYTES_MAX);
	fault = run(r);
	clean(r);
	free(r);
	return fault;
}
