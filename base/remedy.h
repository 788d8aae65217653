/* base/remedy.h - what to do about a failure, with the names of this case in its commands.
 *
 * Why       A remedy that says `postern mailbox link anne@contoso.example` is copied and run; one that says ADDRESS is asked about.
 * Promise   A name stands in a command as one word that neither a POSIX shell nor PowerShell reads otherwise, quoted where need be. One that cannot
 *           be quoted for both, that looks like an option, or that would end the command's backticks or the line, is left out: what stands there
 *           then is what stands where the name is not known, as in `postern mailbox link <address>`.
 * Owns      Nothing.
 * Refuses   To be trusted as HTML: callers escape what they show, as ever.
 * See       tables/faults.def */
#pragma once
#include "base/buf.h"
#include "base/fault.h"
#include "base/json.h"

/* What is known where a remedy is shown; empty where it is not. */
struct remedy_names {
	struct span mailbox; /* its address */
	struct span account; /* whose account signs in for it; empty: its own */
	struct span client;  /* its name */
	struct span sender;  /* the address that was to send */
	struct span message; /* the id of what is queued */
	struct span provider, listener; /* their names */
};

/* Puts a remedy of a fault row, {mailbox}, {account}, {client}, {sender}, {message}, {provider} and {listener} filled in. `names` may be NULL. */
void remedy_fill(struct buf *out, struct span pattern, enum language, const struct remedy_names *names);

/* The same of a fault; nothing where there is nothing to do. */
void remedy_put(struct buf *out, enum fault, enum language, const struct remedy_names *names);

/* The same as the member "remedy" of an object. */
void remedy_put_json(json_t *object, enum fault, enum language, const struct remedy_names *names);

/* The longest remedy, its names included. */
enum { REMEDY_BYTES_MAX = 2048 };
