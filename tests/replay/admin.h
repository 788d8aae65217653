/* tests/replay/admin.h - the administrator: asks for operations over desk's control socket, as the command line does.
 *
 * Why       A scenario needs organisations, mailboxes, clients and a look at the queue.
 * Promise   admin_ask() lets the world go on until the answer is there.
 * Owns      Its loop.
 * Refuses   An answer that takes over a minute of virtual time: FAULT_TIMEOUT; a desk that is away: FAULT_CLOSED. */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

struct admin;

/* Asks nothing until admin_ask(). */
struct admin *admin_new(void);
void admin_free(struct admin **);

/* `operation` is a row of tables/operations.def, "noun.verb"; `arguments` is JSON, printed; what came back is put into `result`: the JSON of the
 * result or of the refusal. */
enum fault admin_ask(struct admin *, const char *operation, struct buf *result, const char *arguments, ...)
	__attribute__((format(printf, 4, 5)));
