/* tests/replay/application.h - an application that sends mail: the dullest SMTP client there is.
 *
 * Why       What gate says is read by a stranger's eyes, so nothing of wire/ is used.
 * Promise   Greets, starts TLS, signs in with a client password, gives one letter, notes the last reply, says goodbye.
 * Owns      Its connections, until applications_free().
 * Refuses   Nothing: whatever gate does is written into the ledger. */
#pragma once
#include "loop/address.h"
#include "loop/loop.h"
#include "tests/replay/ledger.h"

struct applications;

/* None runs until application_send(). */
struct applications *applications_new(void);
void applications_free(struct applications **);

/* Where gate listens, and the password; both may change. */
void applications_at(struct applications *, const struct address *, struct span user, struct span password);

/* Begins a session that gives the letter; its outcome is a new try of it. */
void application_send(struct applications *, struct letter *);
