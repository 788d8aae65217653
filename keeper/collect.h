/* keeper/collect.h - takes in what `postern sendmail` kept while we were away.
 *
 * Why       A program that mails once a year must not wait for its next mail until the last one goes.
 * Promise   Behind each start, and every COLLECT_ROUND_MS, each user's waiting messages are handed over by a process of that user's own: it may read what that
 *           user may, and gate knows it as that user. One at a time, each with a deadline.
 * Owns      The process that runs now; the directory `outbox` of the data directory, which it makes.
 * Refuses   Directories that are not of the user whose number they bear. It never reads a message.
 * See       cli/postbag.h, docs/decisions/0083-sendmail.md */
#pragma once
#include "base/config.h"
#include "loop/loop.h"

#include <sys/types.h>

enum { COLLECT_ROUND_MS = 10000, COLLECT_RUN_MS = 600000 };

struct collect;

/* Makes the directory, which takes the rights that the keeper gives up. Never fails: without it programs are told that nothing can wait. */
struct collect *collect_new(struct loop *, const struct config *);
void collect_free(struct collect **);

/* Begins, or goes on with what another configuration says. */
void collect_start(struct collect *, const struct config *);

/* A child of the process ended: whether it was the one. */
bool collect_ended(struct collect *, pid_t, int status);
