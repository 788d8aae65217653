/* wire/assertion.h - the signed word by which an application proves who it is, in place of a shared secret.
 *
 * Why       Entra takes a certificate, Google a service account's key: both want a JWT of a few claims, signed by RSA.
 * Promise   A whole JWT or false. It names one audience, lives for minutes and is never the same twice.
 * Owns      Nothing.
 * Refuses   Nothing; what is put in was checked by whoever stored it.
 * See       RFC 7515, 7523; Microsoft "certificate credentials" (PS256, x5t#S256); Google "server to server" */
#pragma once
#include "base/signing_key.h"

struct assertion {
	enum signature_kind kind;
	struct span issuer, subject, audience; /* iss, sub, aud */
	struct span scope;                     /* empty: no such claim */
	struct span key_id;                    /* `kid`; empty: the certificate's thumbprint stands for it */
	int64_t wall_ms, life_ms;
};

/* Appends header.claims.signature. False when `out` is full. */
bool assertion_put(struct buf *out, const struct assertion *, const struct signing_key *);
