/* cli/process.h - other programs, run and listened to: for the demo.
 *
 * Why       The demo types what a person would type, and shows it.
 * Promise   Background programs get SIGTERM, and SIGKILL after 10 s, when process_end_all() is called or the demo is interrupted.
 * Owns      The processes it started in the background.
 * Refuses   More than 8 of those; output over 1 MB is cut. */
#pragma once
#include "base/buf.h"

/* Runs a program to its end; standard output and error are gathered in `out`. `input` may be empty. Returns its exit code, 128 + signal, or 127. */
int process_run(const char *const *words, struct span input, struct buf *out);

/* Starts a program in the background, its standard error in `log_path`; waits at most `wait_ms` for a line of standard output that begins with `wanted`,
 * which is put into `line_out`. False when it ended or the line did not come. */
bool process_start(const char *const *words, const char *log_path, const char *wanted, int wait_ms, struct buf *line_out);

/* Ends what was started, last first. */
void process_end_all(void);

/* The path of this very program. */
const char *process_self(void);
