/* R22: each byte of a stored message is flipped, one at a time: in its record, in the heads of its segment, in its body's own file. It goes out as it was
 * given, or not at all and people are told. ROT_STEP=1 takes every byte, else every so many, from anywhere on. */
#include "tests/post_rig.h"

#include "base/rand.h"
#include "queue/segment.h"

#include <dirent.h>

enum { NEAR_BYTES = 16, PLACES_MAX = 1024 * 1024 };

static const char *const alarms[] = { "post.records_lost", "post.record_damaged",    "post.index_misses",
				      "post.index_lost",   "post.segment_set_aside", "SPOOL_DAMAGED" };

struct places {
	size_t count, *at;
};

static void run(const struct rig *r, const char *words)
{
	char command[512];

	snprintf(command, sizeof command, "cd %s && %s", r->directory, words);
	assert_int_equal(system(command), 0);
}

/* The file of that folder whose name begins so and that holds something. */
static void find_file(const struct rig *r, const char *folder, const char *prefix, char path_out[512])
{
	char path[256];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof path, "%s/%s", r->directory, folder);
	d = opendir(path);
	assert_non_null(d);
	path_out[0] = 0;
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, prefix, strlen(prefix)) && e->d_name[0] != '.' &&
		    (!path_out[0] || strcmp(e->d_name, strrchr(path_out, '/') + 1) < 0))
			snprintf(path_out, 512, "%s/%s", path, e->d_name);
	closedir(d);
	assert_true(path_out[0] != 0);
}

static void flip(const char *path, size_t at)
{
	FILE *f = fopen(path, "r+b");
	int byte;

	assert_non_null(f);
	assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
	byte = fgetc(f);
	assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
	fputc(byte ^ 1 << at % 8, f);
	assert_int_equal(fclose(f), 0);
}

/* Bytes that are not zero, and those near them: the rest of the file says nothing. */
static void find_places(struct places *p, const char *path, size_t to, size_t step)
{
	FILE *f = fopen(path, "rb");
	size_t last = SIZE_MAX, next = rand_below(step);
	int byte;

	assert_non_null(f);
	p->count = 0;
	p->at = calloc(PLACES_MAX, sizeof *p->at);
	assert_non_null(p->at);
	for (size_t at = 0; at < to && (byte = fgetc(f)) != EOF; at++) {
		if (byte)
			last = at;
		if (at >= next && last != SIZE_MAX && at - last <= NEAR_BYTES && p->count < PLACES_MAX) {
			p->at[p->count++] = at;
			next = at + step;
		}
	}
	fclose(f);
	assert_true(p->count > 0);
}

static bool is_alarmed(const struct rig *r)
{
	for (size_t i = 0; i < sizeof alarms / sizeof *alarms; i++)
		if (strstr(r->log, alarms[i]))
			return true;
	return false;
}

/* The one that rots, and one behind it in a group of its own, so that what is missing is not the end of the log. */
struct pair {
	struct buf mails[2];
};

static bool is_whole(const struct pair *p, struct span mail)
{
	return span_equal(mail, buf_span(&p->mails[0])) || span_equal(mail, buf_span(&p->mails[1]));
}

/* One byte is rotten: what comes of it. */
static void rot(struct rig *r, const char *path, size_t at, bool without_index, const struct pair *pair)
{
	size_t before = r->provider.mail_count;

	run(r, "rm -rf spool && cp -a kept spool");
	if (without_index)
		run(r, "rm -f spool/index.db*");
	flip(path, at);
	r->log_size = 0;
	r->log[0] = 0;
	assert_int_equal(rig_raise(r), FAULT_OK);
	RIG_WAIT(r, r->ready);
	assert_int_equal(r->ready_fault, FAULT_OK);
	RIG_WAIT(r, r->provider.mail_count > before + 1 || (is_alarmed(r) && r->provider.mail_count > before));
	rig_lower(r);
	for (size_t i = before; i < r->provider.mail_count; i++)
		if (!is_whole(pair, buf_span(&r->provider.mails[i].data)))
			fail_msg("byte %zu of %s: it went out altered", at, path);
	for (size_t i = before; i < r->provider.mail_count; i++)
		buf_clear(&r->provider.mails[i].data);
	r->provider.mail_count = before;
}

/* Two messages that wait; `pair` is how they arrive. Their spool stands in `kept`. */
static struct rig *keep_two(size_t repeats, struct pair *pair)
{
	const char *body = "Subject: rot\r\n\r\nIt says 1,000 and means it, to the last penny.\r\n";
	struct rig *r = rig_new("connections_per_mailbox = 1\n");

	provider_rule(&r->provider, (struct provider_rule){ .verb = "EHLO", .stall = true });
	rig_send(r, (struct rig_letter){ .session = 1, .body = body, .body_repeats = repeats, .verdict_wait_ms = -1 });
	RIG_WAIT(r, rig_told(r, 1));
	rig_send(r, (struct rig_letter){ .session = 2, .verdict_wait_ms = -1 });
	RIG_WAIT(r, rig_told(r, 2));
	rig_lower(r);
	provider_forget_rules(&r->provider);
	run(r, "rm -f spool/lock && cp -a spool kept");
	assert_int_equal(rig_raise(r), FAULT_OK);
	RIG_WAIT(r, r->provider.mail_count == 2);
	rig_lower(r);
	for (size_t i = 0; i < 2; i++) {
		buf_init(&pair->mails[i], 1024 * 1024);
		buf_put(&pair->mails[i], buf_span(&r->provider.mails[i].data));
		buf_clear(&r->provider.mails[i].data);
	}
	r->provider.mail_count = 0;
	run(r, "rm -rf spool && cp -a kept spool");
	return r;
}

static void rot_all(struct rig *r, const char *path, size_t to, size_t step, bool without_index,
		    const struct pair *pair)
{
	struct places p;

	find_places(&p, path, to, step);
	for (size_t i = 0; i < p.count; i++)
		rot(r, path, p.at[i], without_index, pair);
	free(p.at);
}

static void end(struct rig *r, struct pair *pair)
{
	buf_free(&pair->mails[0]);
	buf_free(&pair->mails[1]);
	rig_free(r);
}

static void r22_record_and_heads(void **state)
{
	const char *given = getenv("ROT_STEP");
	size_t step = given ? (size_t)strtoull(given, NULL, 10) : 41;
	struct pair pair;
	struct rig *r = keep_two(1, &pair);
	char path[512];

	find_file(r, "spool", "segment-", path);
	rot_all(r, path, SEGMENT_DATA_AT + SEGMENT_BLOCK_BYTES, step, false, &pair);
	rot_all(r, path, SEGMENT_DATA_AT + SEGMENT_BLOCK_BYTES, step, true, &pair);
	end(r, &pair);
}

static void r22_body_in_a_file_of_its_own(void **state)
{
	struct pair pair;
	struct rig *r = keep_two(5000, &pair);
	char path[512];

	find_file(r, "spool/bodies", "", path);
	rot_all(r, path, SIZE_MAX, getenv("ROT_STEP") ? 4999 : 70001, false, &pair);
	end(r, &pair);
}

TESTS(r22_record_and_heads, r22_body_in_a_file_of_its_own)
