/* loop/certificate.h - a small certificate authority for machines that have no certificate yet.
 *
 * Why       `postern init` must leave a listener that speaks TLS, before anyone has asked a public authority for a name.
 * Promise   P-256 keys; a server certificate for the names given, good for 397 days, signed by a CA of ten years that can be handed to clients.
 * Owns      Nothing; PEM texts are put into the caller's buffers, which the caller wipes.
 * Refuses   Names that are neither host names nor addresses.
 * See       RFC 5280 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

struct certificate_pair {
	struct buf certificate_pem, key_pem;
};

/* Makes a CA called `title`; `pair` buffers are initialised by the callee. */
MUST_CHECK enum fault certificate_authority(struct certificate_pair *out, const char *title);

/* Makes a certificate for `names` (at least one; host names and IP addresses), signed by the CA. `rsa` gives an RSA-2048 key, for the oldest devices. */
MUST_CHECK enum fault certificate_for(struct certificate_pair *out, const struct certificate_pair *authority, const struct span *names, size_t name_count,
				      bool rsa);

/* A certificate with its chain and key from one text, in any order, as people keep them. `names` are its host names, parted by blanks. */
struct certificate_facts {
	struct buf names;
	int64_t ends_at_ms;
};

/* Reads `pem`: the certificates go into `out`, the leaf first as it stands there, the key beside. FAULT_MALFORMED with `why_out`: no certificate, no key
 * that opens without a password, or a key of another certificate. */
MUST_CHECK enum fault certificate_read(struct certificate_pair *out, struct span pem, const char **why_out);

/* What a certificate says; false for a text that is none. `names` is initialised by the callee. */
bool certificate_says(struct certificate_facts *out, struct span certificate_pem);

/* Wipes and frees both. */
void certificate_pair_free(struct certificate_pair *);
