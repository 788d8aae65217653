/* wire/jwt.h - who signed in, as an identity provider puts it: reading and checking an id_token.
 *
 * Why       The account that came must be the one meant, before anything is stored; this says which one came.
 * Promise   Reading gives the claims or a fault; checking believes a token only for our client, our question (nonce), the issuer meant, and now.
 * Owns      Its two documents, until jwt_free(); spans point into them or into `memory`.
 * Refuses   Encrypted tokens, `crit` headers, numbers where texts belong, over JWT_BYTES; for signatures all but RS256, PS256, ES256
 *           (so neither `none` nor a shared secret): FAULT_ID_TOKEN_WRONG.
 * See       RFC 7515, 7519; OpenID Connect Core 3.1.3.7, of whose point 6 this makes use: a token that came straight from the token endpoint
 *           over verified TLS needs no signature check; it is made all the same wherever the provider's keys are at hand. */
#pragma once
#include "base/fault.h"
#include "base/span.h"

enum { JWT_BYTES = 64 * 1024 };

struct jwt {
	struct span algorithm, key_id;
	struct span issuer, subject, nonce, tenant, object; /* iss sub nonce tid oid */
	struct span preferred_username, upn, email, name;
	bool email_is_verified;                             /* what the provider says; false when it says nothing */
	int64_t expires_s, not_before_s;                    /* exp, nbf; 0 when missing */
	struct span signed_part, signature;
	struct json_t *head, *claims;
	char *memory;
};

/* Reads all three parts; to be freed in either case. */
MUST_CHECK enum fault jwt_read(struct jwt *out, struct span text);
void jwt_free(struct jwt *);

/* Reads the claims alone, from a plain JSON object such as userinfo answers (no head, no signature). */
MUST_CHECK enum fault jwt_read_claims(struct jwt *out, struct span json);

struct jwt_expected {
	struct span issuer;    /* "{tenantid}" in it stands for the token's own `tid` */
	struct span client_id; /* must be the audience, or one of it */
	struct span nonce;     /* empty: not asked for */
	int64_t wall_ms;
};

/* FAULT_OK, or FAULT_ID_TOKEN_WRONG with the claim that does not hold in `what_out`. Clocks may differ by five minutes. */
MUST_CHECK enum fault jwt_check(const struct jwt *, const struct jwt_expected *, const char **what_out);

/* Checks the signature against a key set (RFC 7517). FAULT_NOT_FOUND when the set has no key of that id: fetch it anew. */
MUST_CHECK enum fault jwt_verify(const struct jwt *, struct span key_set);
