/* Every scenario of this folder, from several seeds each. With arguments: replay_test FILE SEED prints the log of one. */
#include "tests/test.h"

#include "tests/replay/play.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

enum { SCENARIOS_MAX = 64, SEEDS = 4, SCENARIO_BYTES = 64 * 1024, TAIL_BYTES = 6000 };

#define FOLDER TEST_SOURCE_ROOT "/tests/replay/"

static char names[SCENARIOS_MAX][128];
static size_t name_count;

static void read_scenario(struct buf *out, const char *path)
{
	FILE *file = fopen(path, "r");
	char piece[4096];
	size_t got;

	buf_init(out, SCENARIO_BYTES);
	assert_non_null(file);
	while ((got = fread(piece, 1, sizeof piece, file)) > 0)
		assert_true(buf_put(out, (struct span){ piece, got }));
	fclose(file);
}

static uint64_t seeds(void)
{
	const char *wanted = getenv("REPLAY_SEEDS");

	return wanted ? strtoull(wanted, NULL, 10) : SEEDS;
}

static void show_failure(const struct play *p, const char *name, uint64_t seed)
{
	size_t from = p->log.size > TAIL_BYTES ? p->log.size - TAIL_BYTES : 0;

	fprintf(stderr, "...%.*s\n%s seed %llu:\n%.*s", SPAN_ARGS(span_slice(buf_span(&p->log), from, TAIL_BYTES)), name,
		    (unsigned long long)seed, SPAN_ARGS(buf_span(&p->complaints)));
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
	const char *name = *state;

	for (uint64_t seed = 1; seed <= seeds(); seed++) {
		static struct play p;
		bool good;

		play_one(&p, name, seed);
		good = !p.complaints.size;
		if (!good)
			show_failure(&p, name, seed);
		close_play(&p);
		if (!good)
			fail_msg("%s, seed %llu", name, (unsigned long long)seed);
	}
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

int main(int count, char **words)
{
	struct CMUnitTest tests[SCENARIOS_MAX + 1] = { cmocka_unit_test(one_seed_gives_one_log) };

	if (count == 3)
		return print_one(words[1], words[2]);
	find_scenarios();
	for (size_t i = 0; i < name_count; i++)
		tests[i + 1] = (struct CMUnitTest){ .name = names[i], .test_func = scenario_holds, .initial_state = names[i] };
	return _cmocka_run_group_tests("replay", tests, name_count + 1, NULL, NULL);
}
