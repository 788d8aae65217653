/* vault/troubles.h - what mail is held for, as posts tell it, and who is told of it.
 *
 * Why       Post knows what is held, the vault knows the people.
 * Promise   Each cause is told of once, and its end once, over restarts of either; what begins within a minute is told of together.
 * Owns      What it knows of each cause.
 * Refuses   Causes that a person made on purpose, such as a mailbox that was disabled: nobody is told.
 * See       post/hold.c, vault/notices.h */
#pragma once
#include "vault/inner.h"

/* A post said something of a cause; a post came, and will say all of its. */
void troubles_told(struct vault *, const struct message_hold_cause *);
void troubles_post_came(struct vault *);

/* Whether mail of that mailbox is held, by itself or with its tenant. */
bool troubles_hold(const struct vault *, const struct registry_mailbox *);

/* What is held now and why, as JSON, at most `most` of it. */
json_t *troubles_describe(const struct vault *, enum language, size_t most);

/* Begins and ends with the vault. */
MUST_CHECK enum fault troubles_start(struct vault *);
void troubles_free(struct vault *);
