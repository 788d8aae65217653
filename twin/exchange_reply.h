/* twin/exchange_reply.h - reply texts with their braces filled in.
 *
 * Why       The texts are data, copied from captures; only what differs from session to session is put in.
 * Promise   Lines end in CR LF. A value that holds line ends cannot break the reply.
 * Owns      Nothing.
 * Refuses   Names in braces that are none: they stay as they are.
 * See       tables/twin_replies.def */
#pragma once
#include "twin/twin_fault.h"

struct exchange_values {
	struct span peer, message_id, mailbox, sender, reason;
	int64_t size_bytes;
	size_t message_bytes; /* of the one that was taken */
	uint64_t id; /* of the session */
	int64_t wall_ms;
};

/* Appends the reply to `out`, CR LF behind each line. */
void exchange_reply_put(struct buf *out, struct span text, const struct exchange_values *);

/* What follows the code of a text, up to the tag: for "Error: ..." of a later refusal. */
struct span exchange_reply_reason(struct span text);
