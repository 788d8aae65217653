/* twin/entra_sign_in.h - the steps of a sign-in: authorize, account, password, code, consent, and back to the application.
 *
 * Why       The whole way is there: password, second factor, consent, and each way it ends badly.
 * Promise   A code is given only to someone who gave the right password, the code where it is needed, and their consent.
 * Owns      Nothing but what struct entra holds.
 * Refuses   Unregistered redirect addresses and unknown applications on a page, never by a redirect; the rest by `error` in the redirect.
 * See       twin/entra_pages.h, OpenID Connect Core 3.1.2 */
#pragma once
#include "twin/entra_pages.h"

/* GET or POST authorize. */
void entra_authorize(struct entra *, const struct twin_request *, struct twin_response *);

/* The same from a flow that another side's authorize endpoint has filled. */
void entra_begin(struct entra *, const struct twin_request *, struct twin_response *, const struct entra_flow *);

/* What the pages post to: account picked, password, code, consent. */
void entra_choose(struct entra *, const struct twin_request *, struct twin_response *);
void entra_login(struct entra *, const struct twin_request *, struct twin_response *);
void entra_factor(struct entra *, const struct twin_request *, struct twin_response *);
void entra_consent(struct entra *, const struct twin_request *, struct twin_response *);

/* The page where the code of a device is typed. */
void entra_device_page(struct entra *, const struct twin_request *, struct twin_response *);

/* Ends the browser's session. */
void entra_logout(struct entra *, const struct twin_request *, struct twin_response *);
