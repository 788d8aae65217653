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

/* A fault by name; what is empty or 0 is as the twin's tables say. */
struct cloud_fault {
	struct span name, stage, mailbox, text;
	int64_t times, wait_ms;
};
bool cloud_script(struct cloud *, const struct cloud_fault *);

/* Signs the person in for a device code and consents. */
bool cloud_approve(struct cloud *, struct span user_code, struct span address);

/* Every mail that arrived, in order: recipients parted by blanks, and the bytes. */
void cloud_mails(struct cloud *, void (*each)(void *self, struct span recipients, struct span bytes), void *self);

/* What the vault needs to know of it, as JSON members for `provider add`. */
void cloud_registration(struct cloud *, struct buf *out);
