/* post/deliver_inner.h - what the files of a try share.
 *
 * Why       What is said to a provider and what came of it (deliver.c) is one story, which way is tried next (another_way.c) another.
 * Promise   Nothing outside post/deliver.c and post/another_way.c includes it.
 * Owns      See the struct.
 * Refuses   Nothing. */
#pragma once
#include "post/inner.h"

/* A try of a message. The letter's recipients are those still open. */
struct delivery {
	struct post *post;
	struct mail *mail;
	struct lane *lane;
	struct delivery *before, *behind;
	struct way_letter letter;
	struct record_envelope envelope;
	struct record_closing closing;
	struct span body;
	char header[64];
	size_t header_bytes;
	bool header_went;
	struct body_reading *reading;
	enum fault body_fault;
	size_t way_at; /* place among the mailbox's ways */
	bool has_earlier;
	struct outcome earlier; /* why the ways before did not do, and what that was about */
	bool earlier_is_password;
	enum way_blame earlier_blame;
	/* what came of it */
	struct way_end end;
	char host[256];
	struct outcome expired, alike; /* `alike` speaks for all where no message was begun */
	unsigned accepted, refused, retried, held;
	const struct outcome *first_accepted, *first_refused, *first_open;
	size_t count;
	uint32_t *places; /* of the letter's recipients in the envelope */
	struct smtp_client_recipient recipients[];
};

/* --- another_way.c */

/* Begins the try anew by the mailbox's next way, where nobody has the message and nothing can have arrived. False: there is no such way, or it
 * would not help. See architecture section 4.5 */
bool another_way_try(struct delivery *, const struct way_end *);

/* Where no way did, lets the failure speak that leaves most hope. */
void another_way_recall(struct delivery *);
