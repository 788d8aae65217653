/* twin/twin_token.h - access, refresh and id tokens, and whatever else the twin gives out to be brought back.
 *
 * Why       Nothing is remembered of a token: what it says stands in it, signed or sealed, so that it outlives a restart and no table fills up.
 * Promise   A refresh token stays valid when it has been used, as at Entra. Access tokens are JWTs signed with RS256, which clients must not read.
 * Owns      Nothing.
 * Refuses   Tokens that were altered, made by another twin, or sealed for another purpose.
 * See       RFC 7519, facts about lifetimes and claims in docs/decisions */
#pragma once
#include "twin/twin_keys.h"
#include "twin/twin_tenant.h"

enum { TWIN_SCOPE_BYTES = 1024, TWIN_TOKEN_BYTES = 16384 };

/* What a grant says. */
struct twin_grant {
	char oid[TWIN_ID_BYTES], client_id[TWIN_ID_BYTES];
	char scope[TWIN_SCOPE_BYTES]; /* as consented, parted by blanks */
	int64_t issued_at_ms;
	int64_t signed_in_at_ms; /* when the person last did */
	bool has_factor;
	bool is_public; /* got without a client secret */
};

/* Appends a refresh token; and reads one. */
MUST_CHECK enum fault twin_refresh_put(struct buf *out, const struct twin_keys *, const struct twin_grant *);
MUST_CHECK enum fault twin_refresh_read(struct twin_grant *out, const struct twin_keys *, struct span token);

/* Who a token is for. */
struct twin_claims {
	const struct twin_tenant *tenant;
	const struct twin_user *user; /* NULL: the application itself */
	const char *client_id, *issuer;
	struct span audience, scope; /* scope: the short names, such as "SMTP.Send"; of an application, its roles */
	struct span nonce;           /* of an id token */
	bool has_factor;
	int64_t wall_ms, seconds;
};

/* Appends an access token; an id token. */
MUST_CHECK enum fault twin_access_put(struct buf *out, const struct twin_keys *, const struct twin_claims *);
MUST_CHECK enum fault twin_id_put(struct buf *out, const struct twin_keys *, const struct twin_claims *);

/* What an access token says. One of an application has roles instead of a scope, and the id of its service principal. */
struct twin_access {
	char oid[TWIN_ID_BYTES], client_id[TWIN_ID_BYTES], audience[TWIN_TEXT_BYTES], scope[TWIN_SCOPE_BYTES], roles[TWIN_SCOPE_BYTES];
};

/* FAULT_EXPIRED when its time is over, FAULT_BAD_LOGIN when it is none of ours. */
MUST_CHECK enum fault twin_access_read(struct twin_access *out, const struct twin_keys *, struct span token, int64_t wall_ms);

/* Appends any claims, which it takes, as a token signed with RS256. */
struct json_t;
MUST_CHECK enum fault twin_claims_put_take(struct buf *out, const struct twin_keys *, struct json_t *claims);

/* Whether a list of names parted by blanks has one of that name, in any case. */
bool twin_scope_has(struct span scopes, struct span name);

/* Seals a short text for a purpose in base64url, and opens it. False when it does not fit, or does not open. */
bool twin_sealed_put(struct buf *out, const struct twin_keys *, struct span purpose, struct span text);
bool twin_sealed_open(struct buf *out, const struct twin_keys *, struct span purpose, struct span sealed);
