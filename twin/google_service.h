/* twin/google_service.h - service accounts: their key files, and the assertions signed with them.
 *
 * Why       Organisations grant an application all their mailboxes once, by domain-wide delegation; what the product signs has to be met by a
 *           real verification.
 * Promise   A key file has the members of Google's. Nothing is remembered of a key: its public half travels sealed as `private_key_id`.
 * Owns      Nothing.
 * Refuses   Assertions of other keys, other token endpoints, another time, or for more than was delegated, with Google's words.
 * See       RFC 7523, RFC 7519; tables/twin_google_errors.def */
#pragma once
#include "twin/google_token.h"

struct json_t;

/* A new key of the account as the JSON of its file, or NULL; the caller's. `base_url` is where the token endpoint is reached. */
struct json_t *google_service_key(const struct twin_keys *, const struct twin_service *, const char *base_url);

/* Whom an assertion is for: GOOGLE_OK with the user (NULL: the service account itself) and the scopes, or the error. */
enum google_error google_service_check(struct twin_tenant *, const struct twin_keys *, struct span assertion, const char *base_url, int64_t wall_ms,
				       struct twin_user **user_out, char scope_out[TWIN_SCOPE_BYTES]);
