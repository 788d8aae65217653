/* cli/sendmail_inner.h - what the files of `postern sendmail` share.
 *
 * Why       Flags, messages and what waits are three matters of one command.
 * Promise   Nothing outside includes it.
 * Owns      The arena holds what the command needs until its end.
 * Refuses   Nothing. */
#pragma once
#include "base/arena.h"
#include "cli/postbag.h"

enum { SENDMAIL_NAMES_BYTES = POSTBAG_MESSAGES_MAX * POSTBAG_NAME_BYTES };

struct sendmail {
	struct arena *arena;
	/* what was asked */
	char mode;
	bool reads_recipients, ignores_dots, is_verbose, has_sender, retries_failed;
	struct span sender, full_name, envelope_id;
	unsigned notify, returns;
	int word_count;
	char **words; /* recipients */
	/* where Postern is */
	const char *socket, *outbox, *data;
	uint64_t size_max;
};

/* One sentence on standard error, whatever a server put into it. */
void sendmail_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Reads the words of the command line, the first of which is its name. 0, or a code of sysexits.h. */
int sendmail_take_words(struct sendmail *, int count, char **words);

/* Hands over what waits, oldest first. The same in a process of its own, where anything waits: Postern is back, and the caller does not wait for it. */
int sendmail_run_queue(struct sendmail *, int directory);
void sendmail_run_queue_behind(struct sendmail *, int directory);

/* Shows what waits in the outbox (`directory` may be -1), then Postern's own queue, where this user may see it. */
int sendmail_show_queue(struct sendmail *, int directory);
