#include "tests/replay/judge.h"

#include "base/panic.h"
#include "tests/replay/play.h"
#include "tests/replay/reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMPLAINTS_BYTES = 256 * 1024, REDUCE_SECONDS = 20, STDERR = 2 };

static void write_all(int fd, struct span bytes)
{
	while (bytes.size) {
		ssize_t done = write(fd, bytes.at, bytes.size);

		if (done <= 0)
			_exit(125);
		bytes = span_slice(bytes, (size_t)done, bytes.size);
	}
}

/* In the child. exit() and not _exit(), so that leaks are looked for where a sanitizer is in. */
static _Noreturn void play(struct span scenario, uint64_t seed, unsigned seconds, int log_fd, int complaints_fd)
{
	static struct play p;

	alarm(seconds);
	play_run(&p, scenario, seed);
	if (log_fd >= 0)
		write_all(log_fd, buf_span(&p.log));
	write_all(complaints_fd, buf_span(&p.complaints));
	buf_free(&p.log);
	buf_free(&p.complaints);
	exit(0);
}

void judge_play(struct span scenario, uint64_t seed, unsigned seconds, int log_fd, struct buf *complaints)
{
	int ends[2], status;
	char piece[4096];
	ssize_t got;
	pid_t child;

	play_prepare();
	fflush(NULL);
	if (pipe(ends) || (child = fork()) < 0)
		panic("no child for a play");
	if (!child) {
		close(ends[0]);
		play(scenario, seed, seconds, log_fd, ends[1]);
	}
	close(ends[1]);
	while ((got = read(ends[0], piece, sizeof piece)) > 0)
		buf_put(complaints, (struct span){ piece, (size_t)got });
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		panic("the child of a play is lost");
	if (WIFSIGNALED(status))
		buf_print(complaints, "it died of %s\n", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		buf_print(complaints, "it ended with status %d\n", WEXITSTATUS(status));
}

/* --- reduction: what "the same way" is */

struct likeness {
	struct span signature;
	uint64_t seed;
};

/* A complaint without its line's number and with every number made 0, since a shorter scenario counts other things. */
static void put_signature(struct span line, struct buf *out)
{
	size_t at = span_starts(line, SPAN("line ")) ? span_find_byte(line, '`') : 0;

	for (; at < line.size; at++) {
		bool is_digit = line.at[at] >= '0' && line.at[at] <= '9';

		if (!is_digit)
			buf_put_byte(out, line.at[at]);
		else if (!out->size || buf_span(out).at[out->size - 1] != '0')
			buf_put_byte(out, '0');
	}
}

static bool fails_likewise(void *self, struct span scenario)
{
	const struct likeness *like = self;
	struct buf complaints, signature;
	struct span rest, line;
	bool is_like = false;

	buf_init(&complaints, COMPLAINTS_BYTES);
	buf_init(&signature, COMPLAINTS_BYTES);
	judge_play(scenario, like->seed, REDUCE_SECONDS, -1, &complaints);
	rest = buf_span(&complaints);
	/* Lines about a letter that is never sent any more prove nothing. */
	if (span_find(rest, SPAN("there is no such letter")) < rest.size)
		rest = SPAN("");
	while (!is_like && span_cut(&rest, '\n', &line)) {
		buf_clear(&signature);
		put_signature(line, &signature);
		is_like = span_equal(buf_span(&signature), like->signature);
	}
	buf_free(&complaints);
	buf_free(&signature);
	return is_like;
}

unsigned judge_reduce(struct span scenario, uint64_t seed, unsigned plays_max, struct buf *out)
{
	struct buf rolled, complaints, signature;
	struct likeness like = { .seed = seed };
	struct reduce_wish wish = { fails_likewise, &like, false, plays_max };
	struct span rest, line;
	unsigned plays = 0;
	int said = dup(STDERR);

	buf_init(&rolled, SCENARIO_BYTES);
	buf_init(&complaints, COMPLAINTS_BYTES);
	buf_init(&signature, COMPLAINTS_BYTES);
	scenario_roll(scenario, seed, &rolled);
	/* The same panic a hundred times helps nobody. */
	if (said < 0 || !freopen("/dev/null", "w", stderr))
		panic("no /dev/null");
	judge_play(buf_span(&rolled), seed, REDUCE_SECONDS, -1, &complaints);
	rest = buf_span(&complaints);
	if (span_cut(&rest, '\n', &line) && line.size) {
		put_signature(line, &signature);
		like.signature = buf_span(&signature);
		wish.keeps_healing = span_starts(line, SPAN("line "));
		plays = reduce(&wish, buf_span(&rolled), out);
	}
	fflush(stderr);
	dup2(said, STDERR);
	close(said);
	buf_free(&rolled);
	buf_free(&complaints);
	buf_free(&signature);
	return plays + 1;
}
