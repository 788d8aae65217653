/* Every scenario of this folder, from several seeds each. With arguments, see main(). */
#include "tests/test.h"

#include "tests/replay/judge.h"
#include "tests/replay/play.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

enum { SCENARIOS_MAX = 96, SEEDS = 2, SECONDS = 60, LARGE_SECONDS = 3600, REDUCE_PLAYS = 150, FAILURES_MAX = 3, TEXT_BYTES = 1024 * 1024 };

#define FOLDER TEST_SOURCE_ROOT "/tests/replay/"

static char names[SCENARIOS_MAX][128];
static size_t name_count;

static void read_scenario(struct buf *out, const char *path)
{
	FILE *file = fopen(path, "r");
	char piece[4096];
	size_t got;

	buf_init(out, SCENARIO_BYTES);
	if (!file) {
		perror(path);
		exit(2);
	}
	while ((got = fread(piece, 1, sizeof piece, file)) > 0)
		buf_put(out, (struct span){ piece, got });
	fclose(file);
}

/* Plays it; a failure is told with its seed and the shortest scenario that still fails, to be played from a file of its own. */
static bool holds(const char *path, uint64_t seed)
{
	struct buf text, complaints, shortest;
	unsigned plays;
	bool good;

	read_scenario(&text, path);
	buf_init(&complaints, TEXT_BYTES);
	buf_init(&shortest, SCENARIO_BYTES);
	judge_play(buf_span(&text), seed, strstr(path, "/large/") ? LARGE_SECONDS : SECONDS, -1, &complaints);
	good = !complaints.size;
	if (!good) {
		printf("FAIL %s seed %llu\n%.*s", path, (unsigned long long)seed, SPAN_ARGS(buf_span(&complaints)));
		fflush(stdout);
		plays = judge_reduce(buf_span(&text), seed, REDUCE_PLAYS, &shortest);
		printf("--- the shortest scenario that fails so with seed %llu, after %u plays:\n%.*s---\n", (unsigned long long)seed, plays,
		       SPAN_ARGS(buf_span(&shortest)));
		fflush(stdout);
	}
	buf_free(&text);
	buf_free(&complaints);
	buf_free(&shortest);
	return good;
}

static uint64_t seeds(void)
{
	const char *wanted = getenv("REPLAY_SEEDS");

	return wanted ? strtoull(wanted, NULL, 10) : SEEDS;
}

static void play_one(struct play *p, const char *name, uint64_t seed)
{
	char path[512];
	struct buf text;

	snprintf(path, sizeof path, FOLDER "%s", name);
	read_scenario(&text, path);
	play_run(p, buf_span(&text), seed);
	buf_free(&text);
}

static void close_play(struct play *p)
{
	buf_free(&p->log);
	buf_free(&p->complaints);
}

static void scenario_holds(void **state)
{
	char path[512];

	snprintf(path, sizeof path, FOLDER "%s", (const char *)*state);
	for (uint64_t seed = 1; seed <= seeds(); seed++)
		assert_true(holds(path, seed));
}

/* What another process, with its own addresses in memory, writes for the same seed. */
static void same_in_another_process(const char *name, struct span log)
{
	char command[1200], self[512], piece[4096];
	ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
	size_t at = 0, got;
	FILE *other;

	assert_true(size > 0);
	self[size] = 0;
	snprintf(command, sizeof command, "ASAN_OPTIONS=detect_leaks=0 '%s' '" FOLDER "%s' 1", self, name);
	other = popen(command, "r");
	assert_non_null(other);
	while ((got = fread(piece, 1, sizeof piece, other)) > 0) {
		assert_true(at + got <= log.size);
		assert_memory_equal(log.at + at, piece, got);
		at += got;
	}
	pclose(other);
	assert_int_equal(at, log.size);
}

static void one_seed_gives_one_log(void **state)
{
	static struct play first, again, other;

	play_one(&first, names[0], 1);
	play_one(&again, names[0], 1);
	play_one(&other, names[0], 2);
	assert_true(span_equal(buf_span(&first.log), buf_span(&again.log)));
	assert_false(span_equal(buf_span(&first.log), buf_span(&other.log)));
	close_play(&first);
	close_play(&again);
	close_play(&other);
	for (size_t i = 0; i < name_count; i++) {
		play_one(&first, names[i], 1);
		same_in_another_process(names[i], buf_span(&first.log));
		close_play(&first);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void find_scenarios(void)
{
	DIR *folder = opendir(FOLDER);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (span_ends_fold(span_of(entry->d_name), SPAN(".replay")) && name_count < SCENARIOS_MAX)
			snprintf(names[name_count++], sizeof names[0], "%.100s", entry->d_name);
	if (folder)
		closedir(folder);
	qsort(names, name_count, sizeof names[0], by_name);
}

static int print_one(const char *path, const char *seed)
{
	static struct play p;
	struct buf text;
	int code;

	read_scenario(&text, path);
	play_run(&p, buf_span(&text), strtoull(seed, NULL, 10));
	fwrite(p.log.at, 1, p.log.size, stdout);
	fflush(stdout);
	fprintf(stderr, "%.*s", SPAN_ARGS(buf_span(&p.complaints)));
	code = p.complaints.size != 0;
	close_play(&p);
	buf_free(&text);
	return code;
}

/* Every scenario with every seed, until so many have failed. */
static int play_many(uint64_t from, uint64_t count, unsigned failures_max, char **paths)
{
	unsigned failed = 0, plays = 0;

	for (uint64_t seed = from; seed < from + count; seed++)
		for (char **path = paths; *path; path++) {
			plays++;
			failed += !holds(*path, seed);
			if (failed == failures_max)
				return 1;
		}
	printf("%u plays, %u failed\n", plays, failed);
	return failed != 0;
}

/* replay_test FILE SEED                     the log of one; its complaints on stderr
 * replay_test --seeds FROM COUNT FILE...    every scenario with so many seeds; tells each failure with its shortest scenario
 * replay_test --until-failure FROM COUNT FILE...    the same, as far as the first failure */
int main(int count, char **words)
{
	struct CMUnitTest tests[SCENARIOS_MAX + 1] = { cmocka_unit_test(one_seed_gives_one_log) };

	if (count > 4 && (!strcmp(words[1], "--seeds") || !strcmp(words[1], "--until-failure")))
		return play_many(strtoull(words[2], NULL, 10), strtoull(words[3], NULL, 10), words[1][2] == 's' ? FAILURES_MAX : 1, words + 4);
	if (count == 3)
		return print_one(words[1], words[2]);
	find_scenarios();
	for (size_t i = 0; i < name_count; i++)
		tests[i + 1] = (struct CMUnitTest){ .name = names[i], .test_func = scenario_holds, .initial_state = names[i] };
	return _cmocka_run_group_tests("replay", tests, name_count + 1, NULL, NULL);
}
