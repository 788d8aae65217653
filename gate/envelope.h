/* gate/envelope.h - from a sender to the one mailbox its message leaves by.
 *
 * Why       The route is fixed at MAIL, by the grant alone.
 * Promise   The mailbox is the granted one that may send as the sender; else what the client's sender rule says; else nothing.
 * Owns      Nothing; spans point into the grant.
 * Refuses   Senders outside the grant (FAULT_SENDER_NOT_GRANTED), mailboxes never linked or disabled.
 * See       architecture section 4, journey one */
#pragma once
#include "identity/grant.h"

struct envelope_route {
	const struct grant_mailbox *mailbox;
	struct span sender;   /* what leaves as MAIL FROM: granted, mapped, or the mailbox's address */
	bool is_rewritten;    /* differs from what the client said: From is rewritten alike */
	bool is_null;         /* the client said <> : no report will be made */
};

/* `sender` is the address of MAIL FROM, empty for <>. */
MUST_CHECK enum fault envelope_route(struct envelope_route *out, const struct grant *, struct span sender);

/* What a From header's address becomes: itself where granted (also for another mailbox's sender the client may use), else what the rule says.
 * FAULT_SENDER_NOT_GRANTED where the rule refuses. */
MUST_CHECK enum fault envelope_from(struct span *out, const struct grant *, const struct envelope_route *, struct span from);
