/* twin/entra_flow.h - a sign-in on its way from page to page.
 *
 * Why       Between the pages nothing is remembered: what is known so far travels sealed in a hidden field, as at the real one.
 * Promise   A flow that opens is one that this twin began, at most 15 minutes ago.
 * Owns      Nothing.
 * Refuses   Altered, foreign and old flows. */
#pragma once
#include "twin/entra.h"

enum { ENTRA_FLOW_MS = 900000, ENTRA_FLOW_BYTES = 24 * 1024 };

enum entra_mode { ENTRA_QUERY, ENTRA_FRAGMENT, ENTRA_FORM_POST };

struct entra_flow {
	char client_id[TWIN_ID_BYTES];
	char redirect_uri[ENTRA_URL_BYTES], state[ENTRA_URL_BYTES];
	char nonce[TWIN_ADDRESS_BYTES], scope[TWIN_SCOPE_BYTES], challenge[TWIN_TEXT_BYTES], prompt[32], hint[TWIN_ADDRESS_BYTES];
	char user_code[16];      /* of a device; then there is no redirect_uri */
	char oid[TWIN_ID_BYTES]; /* who has given the right password */
	int64_t mode;            /* enum entra_mode */
	int64_t plain;           /* code_challenge_method plain */
	int64_t has_factor;
	int64_t is_google;       /* a sign-in at Google's side */
	int64_t is_offline;      /* access_type=offline */
	int64_t made_at_ms, signed_in_at_ms;
};

/* Appends the sealed form. */
MUST_CHECK enum fault entra_flow_put(struct buf *out, const struct twin_keys *, const struct entra_flow *);

/* Opens one. FAULT_MALFORMED, FAULT_EXPIRED. */
MUST_CHECK enum fault entra_flow_read(struct entra_flow *out, const struct twin_keys *, struct span sealed, int64_t wall_ms);
