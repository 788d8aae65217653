/* twin/google_token.h - Google's tokens, and how Google says no.
 *
 * Why       A Google account's tokens look and behave otherwise than Entra's: opaque, not rotated, for scopes written in full.
 * Promise   Nothing is remembered of a token: what it says stands in it, sealed.
 * Owns      Nothing.
 * Refuses   Tokens that were altered, made by another twin, or of Entra's side.
 * See       tables/twin_google_errors.def; RFC 6749 */
#pragma once
#include "twin/twin_fault.h"
#include "twin/twin_http.h"
#include "twin/twin_token.h"

#define GOOGLE_SCOPE_MAIL "https://mail.google.com/"
#define GOOGLE_SCOPE_MODIFY "https://www.googleapis.com/auth/gmail.modify"

/* What an access token says. */
struct google_access {
	char oid[TWIN_ID_BYTES], scope[TWIN_SCOPE_BYTES];
	int64_t until_ms;
};

/* Appends an access token ("ya29."...) and reads one. FAULT_EXPIRED when its time is over, FAULT_BAD_LOGIN when it is none of ours. */
MUST_CHECK enum fault google_access_put(struct buf *out, const struct twin_keys *, const struct google_access *);
MUST_CHECK enum fault google_access_read(struct google_access *out, const struct twin_keys *, struct span token, int64_t wall_ms);

/* The same for a refresh token ("1//"...); of the grant are kept who, for whom, what and since when. */
MUST_CHECK enum fault google_refresh_put(struct buf *out, const struct twin_keys *, const struct twin_grant *);
MUST_CHECK enum fault google_refresh_read(struct twin_grant *out, const struct twin_keys *, struct span token);

/* The number that Google knows an account by, from its object id. */
void google_subject(char out[TWIN_ID_BYTES], const char *oid);

/* Fills the response with the JSON of an error; `name` stands for what is in braces. */
void google_error_answer(struct twin_response *, enum google_error, struct span name);
