/* tests/replay/cloud.h - the twin in the world: provider, sign-in and sink.
 *
 * Why       Replay uses the twin as anybody does, by its sockets; its switches and its shelf are asked directly.
 * Promise   Stands on loopback, as it always does; its sink forgets nothing.
 * Owns      The twin and its loop.
 * Refuses   Switches, faults and mailboxes the twin does not know: false. */
#pragma once
#include "base/buf.h"

struct cloud;

/* Makes the twin's keys, which takes long and has nothing to do with a seed: once for the process, before a world begins. */
void cloud_prepare(int64_t wall_ms);

/* The preset tenant, on a loop of its own. */
struct cloud *cloud_new(void);
void cloud_free(struct cloud **);

/* Where it takes mail; the CA to trust. */
uint16_t cloud_smtp_port(const struct cloud *);
struct span cloud_ca(const struct cloud *);

/* A switch by name, of the tenant or (where `mailbox` is not empty) of one of its people. */
bool cloud_switch(struct cloud *, struct span name, struct span value, struct span mailbox);

/* Where its pages and endpoints are. */
uint16_t cloud_http_port(const struct cloud *);

/* A fault by name; what is empty or 0 is as the twin's tables say. */
struct cloud_fault {
	struct span name, stage, mailbox, text;
	int64_t times, wait_ms, percent;
};
bool cloud_script(struct cloud *, const struct cloud_fault *);

/* Forgets all faults. */
void cloud_unscript(struct cloud *);

/* Signs the person in for a device code and consents. */
bool cloud_approve(struct cloud *, struct span user_code, struct span address);

/* Mail that arrived: recipients parted by blanks, the bytes, and when it was taken on the wall clock. */
struct cloud_mail {
	struct span recipients, bytes;
	int64_t taken_at_ms;
};

/* What arrived since the last call, in order; whether that should be done soon, since the twin forgets. */
void cloud_mails(struct cloud *, void (*each)(void *self, const struct cloud_mail *), void *self);
bool cloud_is_full(const struct cloud *);

/* Adds a person p1@contoso.example, p2... with a password and an authenticator; its address. */
const char *cloud_add_person(struct cloud *);

/* What all mailboxes together sent beyond a limit of the provider's: messages in any minute ("minute"), recipients in any day ("day"), sessions at once
 * ("sessions"); or the most that one sent in any minute ("most"). False: another word. */
bool cloud_overshot(const struct cloud *, struct span word, uint64_t *out);

/* What the vault needs to know of it, as JSON members for `provider add`. */
void cloud_registration(struct cloud *, struct buf *out);
