#include "cli/call.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/passphrase.h"
#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, PART_BYTES_MAX = 4 * 1024 * 1024, FILE_BYTES_MAX = 4 * 1024 * 1024 };

/* What is being written, first under another name: a backup that stands under its own name is whole. */
struct writing {
	const struct cli *cli;
	char path[PATH_BYTES], part_path[PATH_BYTES + 8], key_path[PATH_BYTES];
	int fd;
	uint64_t bytes;
	json_int_t messages, unreadable;
	char id[32];
};

static int complain(const char *path)
{
	fprintf(stderr, "postern: %s: %s\n", path, strerror(errno));
	return CLI_FAILED;
}

static int refuse(enum cli_word word, const char *about)
{
	fprintf(stderr, "postern: ");
	fprintf(stderr, cli_word(word), about);
	fputc('\n', stderr);
	return CLI_FAILED;
}

static bool write_all(int fd, struct span bytes)
{
	while (bytes.size) {
		ssize_t wrote = write(fd, bytes.at, bytes.size);

		if (wrote < 0 && errno != EINTR)
			return false;
		if (wrote > 0)
			bytes = span_slice(bytes, (size_t)wrote, bytes.size);
	}
	return true;
}

/* A directory gets a file named by the moment. */
static int choose_path(struct writing *w)
{
	struct span given = cli_value(w->cli, "file");
	char name[64] = "";
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct stat s;
	struct tm at;
	int size;

	snprintf(w->path, sizeof w->path, "%.*s", SPAN_ARGS(given));
	if (!stat(w->path, &s) && S_ISDIR(s.st_mode))
		strftime(name, sizeof name, "/postern-%Y%m%d-%H%M%S.backup", gmtime_r(&now, &at));
	size = snprintf(w->path, sizeof w->path, "%.*s%s", SPAN_ARGS(given), name);
	if (size < 0 || (size_t)size >= sizeof w->path) {
		errno = ENAMETOOLONG;
		return complain("file");
	}
	snprintf(w->part_path, sizeof w->part_path, "%s.part", w->path);
	return access(w->path, F_OK) ? CLI_DONE : refuse(CLI_WORD_BACKUP_EXISTS, w->path);
}

/* Where this Postern's key is, as far as its boot file tells. */
static void find_key(struct writing *w)
{
	const struct cli *c = w->cli;
	struct config *config = NULL;
	struct buf text;
	char why[512];
	const char *path = cli_boot_file(c->arena, c->data, SPAN(""));

	buf_init(&text, FILE_BYTES_MAX);
	snprintf(w->key_path, sizeof w->key_path, "%s/kek", c->data);
	if (whole_file_read(path, &text) && config_read(&config, path, buf_span(&text), why, sizeof why) == FAULT_OK) {
		if (config->key_file.size)
			snprintf(w->key_path, sizeof w->key_path, "%.*s", SPAN_ARGS(config->key_file));
		config_free(&config);
	}
	buf_free(&text);
}

/* --- the stream */

static int ask(struct writing *w, const char *path, struct buf *bytes, json_t **json_out)
{
	long status = 0;
	int result = call_bytes(w->cli->data, "POST", span_of(path), &status, bytes, json_out);

	if (!result && status >= 400) {
		result = call_failed(*json_out);
		json_decref(*json_out);
		*json_out = NULL;
	}
	return result;
}

static int put(struct writing *w, struct span bytes)
{
	w->bytes += bytes.size;
	return write_all(w->fd, bytes) ? CLI_DONE : complain(w->part_path);
}

static int begin(struct writing *w)
{
	const char *line, *id;
	struct buf bytes;
	json_t *answer;
	int result;

	buf_init(&bytes, PART_BYTES_MAX);
	result = ask(w, "/api/v1/backup", &bytes, &answer);
	buf_free(&bytes);
	if (result)
		return result;
	line = json_string_value(json_object_get(answer, "line"));
	id = json_string_value(json_object_get(answer, "backup"));
	snprintf(w->id, sizeof w->id, "%s", id ? id : "");
	result = line && id ? put(w, span_of(line)) : CLI_FAILED;
	json_decref(answer);
	return result;
}

/* Parts until JSON comes: that is the end of the section. */
static int section(struct writing *w, const char *name, json_t **end_out)
{
	struct buf bytes;
	char path[128];
	int result = CLI_DONE;

	*end_out = NULL;
	snprintf(path, sizeof path, "/api/v1/backup/%s/%s", w->id, name);
	buf_init(&bytes, PART_BYTES_MAX);
	while (!result && !*end_out) {
		result = ask(w, path, &bytes, end_out);
		if (!result && !*end_out)
			result = put(w, buf_span(&bytes));
	}
	buf_free(&bytes);
	return result;
}

static int stream(struct writing *w)
{
	json_t *end;
	int result = begin(w);

	if (!result)
		result = section(w, "spool", &end);
	if (result)
		return result;
	w->messages = json_integer_value(json_object_get(end, "messages"));
	w->unreadable = json_integer_value(json_object_get(end, "unreadable"));
	json_decref(end);
	result = section(w, "vault", &end);
	json_decref(end);
	return result;
}

static bool sync_directory(const char *path)
{
	char copy[PATH_BYTES];
	int fd;
	bool good;

	snprintf(copy, sizeof copy, "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	good = fd >= 0 && !fsync(fd);
	if (fd >= 0)
		close(fd);
	return good;
}

static int write_backup(struct writing *w)
{
	int result;

	if (unlink(w->part_path) && errno != ENOENT)
		return complain(w->part_path);
	w->fd = open(w->part_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (w->fd < 0)
		return complain(w->part_path);
	result = stream(w);
	if (!result && fsync(w->fd))
		result = complain(w->part_path);
	if (close(w->fd) && !result)
		result = complain(w->part_path);
	if (!result && link(w->part_path, w->path)) /* never in place of another */
		result = complain(w->path);
	unlink(w->part_path);
	return result || sync_directory(w->path) ? result : complain(w->path);
}

/* --- the key, in a file of its own and never readable by itself */

static int write_key(struct writing *w, struct span to, struct span passphrase)
{
	struct buf key, sealed;
	int fd = -1, result = CLI_DONE;

	buf_init(&key, FILE_BYTES_MAX);
	buf_init(&sealed, FILE_BYTES_MAX);
	if (!whole_file_read(w->key_path, &key))
		result = complain(w->key_path);
	else if (!passphrase_seal(&sealed, passphrase, buf_span(&key)))
		result = complain(to.at);
	if (!result) {
		fd = open(to.at, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || !write_all(fd, buf_span(&sealed)) || fsync(fd))
			result = complain(to.at);
	}
	if (fd >= 0)
		close(fd);
	buf_wipe(&key);
	buf_free(&sealed);
	return result;
}

static int check_key(const struct writing *w, struct span to)
{
	if (!to.size)
		return CLI_DONE;
	if (span_equal(to, span_of(w->path)) || span_equal(to, span_of(w->part_path)))
		return refuse(CLI_WORD_BACKUP_SAME_FILE, to.at);
	if (!cli_value(w->cli, "passphrase").size)
		return refuse(CLI_WORD_BACKUP_NO_PASSPHRASE, "");
	return access(to.at, F_OK) ? CLI_DONE : refuse(CLI_WORD_BACKUP_EXISTS, to.at);
}

static void say(const struct writing *w, struct span key_copy)
{
	if (w->cli->json) {
		json_t *about = json_pack("{s:s,s:I,s:I,s:I,s:s}", "file", w->path, "bytes", (json_int_t)w->bytes, "messages", w->messages, "unreadable",
					  w->unreadable, "key_file", w->key_path);

		json_dumpf(about, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(about);
		return;
	}
	printf(cli_word(CLI_WORD_BACKUP_WROTE), w->path, (unsigned long long)w->bytes, (long long)w->messages);
	putchar('\n');
	printf(cli_word(CLI_WORD_BACKUP_KEY), w->key_path);
	putchar('\n');
	if (key_copy.size) {
		printf(cli_word(CLI_WORD_BACKUP_KEY_COPY), key_copy.at);
		putchar('\n');
	}
}

int cli_backup(const struct cli *c)
{
	struct writing *w = calloc(1, sizeof *w);
	struct span key_copy = cli_value(c, "with-key");
	int result;

	if (!w)
		return CLI_FAILED;
	w->cli = c;
	result = choose_path(w);
	if (!result)
		result = check_key(w, key_copy);
	if (!result) {
		find_key(w);
		result = key_copy.size ? write_key(w, key_copy, cli_value(c, "passphrase")) : CLI_DONE;
	}
	if (!result)
		result = write_backup(w);
	if (!result)
		say(w, key_copy);
	if (!result && w->unreadable) {
		fprintf(stderr, "postern: ");
		fprintf(stderr, cli_word(CLI_WORD_BACKUP_UNREADABLE), (long long)w->unreadable);
		fputc('\n', stderr);
		result = CLI_FAILED;
	}
	free(w);
	return result;
}
