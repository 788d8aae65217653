/* wire/service_key.h - the key file of a service account of Google's.
 *
 * Why       An organisation gives a service account all its mailboxes once (domain-wide delegation); what signs for it comes as one JSON file.
 * Promise   A file that was read has an address, a key with its name, and the key signs.
 * Owns      The document, wiped when it is freed, and the key; spans point into the document.
 * Refuses   Other files of Google's (an OAuth client's, a user's), members that are missing, keys under 2048 bits: FAULT_MALFORMED.
 * See       base/signing_key.h, wire/assertion.h; RFC 7523 2.1 */
#pragma once
#include "base/signing_key.h"

enum { SERVICE_KEY_BYTES = 16 * 1024 };

struct json_t;

struct service_key {
	struct span email, key_id;
	struct signing_key *key;
	struct json_t *document;
};

/* To be freed in either case. */
MUST_CHECK enum fault service_key_read(struct service_key *out, struct span file);
void service_key_free(struct service_key *);
