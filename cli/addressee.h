/* cli/addressee.h - whom a program's message is for, and from whom: names as programs and people write them become addresses.
 *
 * Why       Cron writes to `root`, PHP to "Zoë <zoe@example.org>", scripts to a,b: mail knows only local@domain.
 * Promise   Every address in the list was read by wire/mail_address.h. A bare name becomes what /etc/aliases says of it, else name@host. Each is there once.
 * Owns      Its list and the text of the aliases, until addressees_free().
 * Refuses   What cannot be read, naming it; more than ADDRESSEES_MAX; aliases that are programs, files or lists in files.
 * See       aliases(5), RFC 5322 3.4 */
#pragma once
#include "base/buf.h"

enum { ADDRESSEES_MAX = 1000, ADDRESSEE_HOST_BYTES = 256 };

struct addressees {
	char host[ADDRESSEE_HOST_BYTES]; /* what bare names belong to */
	struct buf list;                 /* the addresses, one a line */
	size_t count;
	struct buf aliases;              /* the file as it stands */
	char wrong[400];                 /* why the last one failed, for people */
};

/* Reads /etc/mailname (else the host's name) and /etc/aliases (or what POSTERN_ALIASES names). */
void addressees_init(struct addressees *);
void addressees_free(struct addressees *);

/* Adds all that a list of addresses names, as it stands in a header field or on a command line. False: `wrong` says why. */
bool addressees_add(struct addressees *, struct span text);

/* One address, bare or whole, without looking at aliases; appended to `out`. */
bool addressee_whole(struct addressees *, struct span text, struct buf *out);
