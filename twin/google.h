/* twin/google.h - Google's endpoints: discovery, keys, authorize, token, userinfo, revocation, and the Gmail API.
 *
 * Why       Gmail is the other provider that people have; its sign-in, its tokens and its errors are not Microsoft's.
 * Promise   Paths, forms, redirects and JSON are those of the real ones, all under one address, which is the issuer too. The pages of the sign-in
 *           are those of twin/entra_pages.h: people, passwords, codes and consents are the same on both sides.
 * Owns      The uploads under way.
 * Refuses   With Google's words, on a page or as JSON.
 * See       RFC 6749, 7009, 7523, 7636; OpenID Connect Core; tables/twin_google_errors.def */
#pragma once
#include "twin/entra.h"
#include "twin/exchange_session.h"
#include "twin/google_token.h"

struct gmail_upload;

struct google {
	struct entra *entra;           /* whose pages and codes it shares */
	struct exchange_world *world;  /* the tenant, the mail that arrived, the counters of Gmail's side */
	struct gmail_upload *uploads;  /* twin/gmail_api.c */
};

/* The stage that a request belongs to; TWIN_STAGE_NONE when none. */
enum twin_stage google_stage(struct span method, struct span path);

/* Answers; false when the path is none of Google's. */
bool google_handle(struct google *, const struct twin_request *, struct twin_response *);

/* Forgets the uploads. */
void google_fini(struct google *);

/* --- the parts; called by google_handle() */

/* GET authorize: checks the request and begins the sign-in. */
void google_authorize(struct google *, const struct twin_request *, struct twin_response *);

/* POST token. */
void google_grant(struct google *, const struct twin_request *, struct twin_response *);

/* Whoever a bearer token in the request stands for, with what it allows; NULL when it is for nobody. */
struct twin_user *google_bearer(struct google *, const struct twin_request *, struct google_access *out);
