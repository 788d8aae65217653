/* wire/oauth.h - the words of an OAuth 2.0 client: what it asks, and what it is answered.
 *
 * Why       Forms, addresses and answers are text; keeping them apart from the fetching makes each testable and fuzzable.
 * Promise   A form or address is whole or the call says false. An answer is read into its parts or into one fault: what a provider sends
 *           (HTML, nothing, numbers as texts, a dead page with status 200) never gives half an answer.
 * Owns      The document behind an answer, until oauth_answer_free(): its spans point into it.
 * Refuses   Answers over OAUTH_ANSWER_BYTES; tokens with blanks, controls or more than OAUTH_TOKEN_BYTES.
 * See       RFC 6749, 7636 (PKCE), 8628 (device), OpenID Connect Core and Discovery, base/json.h, wire/recognise.h */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum {
	OAUTH_ANSWER_BYTES = 256 * 1024,
	OAUTH_TOKEN_BYTES = 32 * 1024,
	OAUTH_LIFETIME_MAX_S = 48 * 3600,
	OAUTH_VERIFIER_BYTES = 43,
};

/* Whom the provider knows us as. `client_secret` is empty for a public client; `client_assertion` (RFC 7523), where there is one, stands in its place. */
struct oauth_client {
	struct span client_id, client_secret, scope, client_assertion;
};

/* The address to send a browser to (RFC 6749 4.1.1). Empty members are left out; `extra` is put behind as it is ("access_type=offline"). */
struct oauth_authorize {
	struct span endpoint, redirect_uri, state, nonce, challenge, prompt, login_hint, extra;
};
bool oauth_authorize_url(struct buf *out, const struct oauth_client *, const struct oauth_authorize *);

/* What PKCE sends first of the verifier: BASE64URL(SHA-256) (RFC 7636 4.2). */
bool oauth_challenge(struct buf *out, struct span verifier);

/* Bodies for the token endpoint, application/x-www-form-urlencoded: a code (RFC 6749 4.1.3), a refresh token (6), a device code (RFC 8628 3.4);
 * and for the device authorization endpoint (3.1). */
bool oauth_code_form(struct buf *out, const struct oauth_client *, struct span code, struct span redirect_uri, struct span verifier);
bool oauth_refresh_form(struct buf *out, const struct oauth_client *, struct span refresh_token);
bool oauth_device_poll_form(struct buf *out, const struct oauth_client *, struct span device_code);
bool oauth_device_form(struct buf *out, const struct oauth_client *);

/* And for an application on its own behalf (RFC 6749 4.4.2): there is no refresh token. */
bool oauth_application_form(struct buf *out, const struct oauth_client *);

/* And for a service account that asks for the token of one mailbox (RFC 7523 2.1). */
bool oauth_assertion_form(struct buf *out, struct span assertion);

/* What came back. Which members are filled depends on the reader; `error` and its company only where the fault came from the provider's words. */
struct oauth_answer {
	struct span access_token, refresh_token, id_token, scope;
	int64_t expires_in_s;                 /* of the access token, or of the device code */
	int64_t refresh_expires_in_s;         /* of the refresh token, where the provider says; 0: it does not */

	struct span device_code, user_code, verification_uri, message;
	int64_t interval_s;

	struct span issuer, authorize_url, token_url, device_url, jwks_url, userinfo_url;

	struct span error, suberror, description, claims;
	struct json_t *document;
};
/* Frees an answer; one that was never read, zeroed, too. */
void oauth_answer_free(struct oauth_answer *);

/* Each reads an answer with its HTTP status. FAULT_OK: what was asked for is there. Otherwise the fault that the provider's words mean
 * (wire/recognise.h), or by status: OAUTH_THROTTLED for 429, OAUTH_SERVER_AWAY for 5xx, UPSTREAM_BROKEN for what cannot be understood.
 * The answer is to be freed in either case; `error` and `description` are for the log and for people, and hold no secret. */
MUST_CHECK enum fault oauth_read_token(struct oauth_answer *out, int status, struct span body);
MUST_CHECK enum fault oauth_read_device(struct oauth_answer *out, int status, struct span body);
MUST_CHECK enum fault oauth_read_discovery(struct oauth_answer *out, int status, struct span body);

/* Whether a sign-in with this error could go on in a browser, though the refresh token is dead or not: nothing that a retry mends. */
bool oauth_needs_person(enum fault);
