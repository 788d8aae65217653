/* twin/google_page.h - how Google's sign-in says no.
 *
 * Why       Google shows most refusals on a page and sends little back to the application; the sign-in itself is that of twin/entra_sign_in.h.
 * Promise   The words are Google's: "Error 400: redirect_uri_mismatch".
 * Owns      Nothing.
 * Refuses   Nothing.
 * See       RFC 6749 4.1.2.1 */
#pragma once
#include "twin/twin_page.h"

/* Google's word for what stopped a sign-in, by the AADSTS number of the other side: "access_denied", "admin_policy_enforced"... */
const char *google_page_word(int code);

/* The page of a refusal; nothing goes back to the application. */
void google_page_refused(struct twin_response *, enum language, const char *word);
