/* cli/handover.h - one message given to Postern by SMTP over its socket in the file system.
 *
 * Why       Postern knows by the socket whose program speaks; there is no password to keep, and spool, try and tell are the same as for all others.
 * Promise   `done` is called when Postern has the message and before it is told that we know: what `done` does not finish, Postern recognises when it comes
 *           again.
 * Owns      The connection.
 * Refuses   Nothing: what could not be handed over is AWAY (it may be tried again) or REFUSED.
 * See       wire/smtp_client.h, gate/incoming.c (heard) */
#pragma once
#include "cli/postbag.h"
#include "wire/outcome.h"

enum handover_kind { HANDOVER_DONE, HANDOVER_AWAY, HANDOVER_REFUSED };

struct handover_end {
	enum handover_kind kind;
	bool has_answered;      /* AWAY: somebody was there */
	struct outcome outcome; /* the words, of the first recipient that was not taken or else of the first */
	unsigned refused;       /* DONE: so many recipients were not taken */
};

/* Opens the socket; a descriptor, or -1 and errno. */
int handover_connect(const char *path);

/* Hands over; `done` may be NULL. */
void handover_send(const char *path, struct postbag_item *, bool (*done)(struct postbag_item *), struct handover_end *end_out);

/* Lets a program speak SMTP by itself, between two descriptors and the socket, until either ends. 0, or a code of sysexits.h. */
int handover_relay(const char *path, int from_fd, int to_fd);
