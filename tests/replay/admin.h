/* tests/replay/admin.h - the administrator: asks vault and post for operations, as desk does for the command line.
 *
 * Why       A scenario needs organisations, mailboxes, clients and a look at the queue.
 * Promise   admin_ask() lets the world go on until the answer is there.
 * Owns      Its links.
 * Refuses   An answer that takes over a minute of virtual time: FAULT_TIMEOUT. */
#pragma once
#include "base/buf.h"
#include "base/message.h"

struct admin;

/* Without links until admin_link(). */
struct admin *admin_new(void);
void admin_free(struct admin **);

/* For house_settings.desk_link. */
void admin_link(void *admin, enum role, int fd);

/* `operation` as a role knows it; `arguments` is JSON, printed; what came back is put into `result`: the result, or the text of a refusal. */
enum fault admin_ask(struct admin *, enum role, const char *operation, struct buf *result, const char *arguments, ...)
	__attribute__((format(printf, 5, 6)));
