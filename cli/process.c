#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BACKGROUND_MAX = 8, PATIENCE_MS = 10000 };

static struct { pid_t pid; int output; } background[BACKGROUND_MAX];
static size_t background_count;

const char *process_self(void)
{
	static char path[4096];
	ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);

	path[size > 0 ? size : 0] = 0;
	return path;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static pid_t start(const char *const *words, int input, int output, int error)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	dup2(input, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(error, STDERR_FILENO);
	execvp(words[0], (char *const *)words);
	_exit(127);
}

static void read_all(int fd, struct buf *out)
{
	char piece[4096];
	ssize_t got;

	while ((got = read(fd, piece, sizeof piece)) > 0 || (got < 0 && errno == EINTR))
		if (got > 0)
			buf_put(out, (struct span){ piece, (size_t)got });
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_run(const char *const *words, struct span input, struct buf *out)
{
	int ends[2], in[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return 127;
	if (pipe2(in, O_CLOEXEC)) {
		close(ends[0]);
		close(ends[1]);
		return 127;
	}
	pid = start(words, in[0], ends[1], ends[1]);
	close(in[0]);
	close(ends[1]);
	(void)!write(in[1], input.at, input.size);
	close(in[1]);
	read_all(ends[0], out);
	close(ends[0]);
	return pid > 0 ? wait_for(pid) : 127;
}

/* Reads lines until the wanted one; the rest of the output stays in the pipe, which is read no more. */
static bool read_line(int fd, const char *wanted, int64_t until_ms, struct buf *line)
{
	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		int64_t left = until_ms - now_ms();
		char c;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return false;
		if (read(fd, &c, 1) != 1)
			return false;
		if (c != '\n') {
			buf_put_byte(line, c);
			continue;
		}
		if (span_starts(buf_span(line), span_of(wanted)))
			return true;
		buf_clear(line);
	}
}

bool process_start(const char *const *words, const char *log_path, const char *wanted, int wait_ms, struct buf *line_out)
{
	int ends[2], log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), none = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	buf_clear(line_out);
	if (log < 0 || none < 0 || background_count == BACKGROUND_MAX || pipe2(ends, O_CLOEXEC))
		return false;
	pid = start(words, none, ends[1], log);
	close(ends[1]);
	close(log);
	close(none);
	if (pid < 0)
		return false;
	background[background_count].pid = pid;
	background[background_count++].output = ends[0];
	return read_line(ends[0], wanted, now_ms() + wait_ms, line_out);
}

static void end_one(pid_t pid)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;
	struct timespec pause = { 0, 20 * 1000000 };

	kill(pid, SIGTERM);
	while (now_ms() < until_ms) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void process_end_all(void)
{
	while (background_count) {
		background_count--;
		end_one(background[background_count].pid);
		close(background[background_count].output);
	}
}
