/* wire/dsn_inner.h - between the form of a report and its words.
 *
 * Why       The words are for people and in two languages, the form is for machines; each is read by itself.
 * Promise   As in wire/dsn.h.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "wire/dsn.h"

/* The gravest action that is told of. */
enum dsn_action dsn_gravest(const struct dsn_report *);

/* The text of Subject, UTF-8. */
struct span dsn_subject(enum dsn_action, enum language);

/* The body of the first part, in quoted-printable. */
void dsn_put_words(struct buf *out, const struct dsn_report *);
