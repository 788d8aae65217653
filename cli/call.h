/* cli/call.h - one question to the running daemon, over its control socket.
 *
 * Why       The command line is a client like any other of the same routes.
 * Promise   `json_out` is what the daemon answered, parsed; the caller drops it. Exit codes as in cli/cli.h.
 * Owns      Nothing.
 * Refuses   Answers over 16 MB. */
#pragma once
#include "base/buf.h"
#include "cli/cli.h"

#include <jansson.h>

/* `body` may be NULL. `status_out` is the HTTP status. CLI_AWAY, with a line on standard error, when nothing answers. */
int call_daemon(const char *data, const char *method, struct span path, const json_t *body, long *status_out, json_t **json_out);

/* The same without a body, for an answer that may be bytes: `json_out` is NULL then, and `bytes_out` has them. */
int call_bytes(const char *data, const char *method, struct span path, long *status_out, struct buf *bytes_out, json_t **json_out);

/* Says a failure as the daemon told it, on standard error; returns CLI_FAILED. */
int call_failed(const json_t *answer);
