/* identity/grant.h - what the vault allows one session, sealed so that a captured gate cannot widen it.
 *
 * Why       Gate parses what strangers send and so must not be believed; post checks the grant instead of gate's word.
 * Promise   grant_check() is FAULT_OK only for what the vault sealed for this gate, session and moment, unaltered.
 * Owns      Nothing; a decoded grant points into the sealed bytes and the arena.
 * Refuses   Altered, foreign or expired grants (FAULT_GRANT_INVALID); more than GRANT_MAILBOXES_MAX mailboxes at sealing.
 * See       architecture section 2: the MAC key is the keeper's, given to vault and post alone */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/fault.h"

enum { GRANT_MAILBOXES_MAX = 4096, GRANT_LIFETIME_MS = 24 * 3600 * 1000 };

enum grant_protocol { GRANT_SMTP = 1, GRANT_IMAP = 2, GRANT_POP = 4, GRANT_API = 8 };

/* What happens to a sender (MAIL FROM or From) that is none of the granted ones. */
enum grant_sender_rule { GRANT_SENDER_REFUSE, GRANT_SENDER_REWRITE, GRANT_SENDER_MAP };

struct grant_mailbox {
	uint64_t id;
	struct span address, name;      /* `name` is a display name, may be empty */
	struct span senders;            /* a list (base/message.h) of addresses or "@domain" that may be used, the address itself first */
	enum fault ready;               /* FAULT_OK, FAULT_MAILBOX_NOT_READY (never linked), FAULT_MAILBOX_DISABLED */
	enum language language;         /* of its owner */
	uint64_t notice_mailbox;        /* of its organisation, for reports; 0 for none */
	struct span organisation;
};

struct grant {
	uint32_t gate;                  /* index of the gate */
	uint64_t session, client;
	struct span client_name, organisation;
	enum grant_protocol protocol;
	int64_t issued_at_ms, expires_at_ms; /* wall clock */
	enum grant_sender_rule sender_rule;
	struct span maps;               /* a list of pairs, from then to, for GRANT_SENDER_MAP */
	int64_t verdict_wait_ms;
	uint64_t default_mailbox;       /* 0 for none */
	size_t mailbox_count;
	struct grant_mailbox *mailboxes;
};

/* Encodes and seals. False when `out` is full. */
bool grant_seal(struct buf *out, const struct grant *, struct span mac_key);

/* Reads without checking the seal: for gate, to which the vault spoke directly. */
MUST_CHECK enum fault grant_read(struct grant *out, struct arena *, struct span sealed);

/* Checks the seal, gate, session and expiry, then reads. */
MUST_CHECK enum fault grant_check(struct grant *out, struct arena *, struct span sealed, struct span mac_key, uint32_t gate,
				  uint64_t session, int64_t wall_ms);

/* The mailbox of that id, or NULL. */
const struct grant_mailbox *grant_mailbox(const struct grant *, uint64_t id);

/* The mailbox that may send as `address` (compared without case), or NULL. */
const struct grant_mailbox *grant_mailbox_for(const struct grant *, struct span address);

/* What GRANT_SENDER_MAP makes of an address, or an empty span. */
struct span grant_mapped(const struct grant *, struct span address);
