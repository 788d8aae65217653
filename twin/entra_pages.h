/* twin/entra_pages.h - what a person sees while signing in.
 *
 * Why       The pages are plain forms, so that a person, a browser test and the demo's own client fill them in alike.
 * Promise   Field names are those of the real one: `flow` (sealed), `login`, `passwd`, `otc`, `ucaccept`, `user_code`.
 * Owns      Nothing.
 * Refuses   Nothing. */
#pragma once
#include "twin/entra_flow.h"
#include "twin/twin_page.h"

/* Address and password. `wrong` is TWIN_WORD_COUNT when nothing was. */
void entra_page_sign_in(struct entra *, struct twin_response *, const struct entra_flow *, enum language, enum twin_word wrong);

/* The account that the browser is signed in with, or another. */
void entra_page_pick(struct entra *, struct twin_response *, const struct entra_flow *, enum language, const struct twin_user *);

/* The authenticator's code; where the second factor is not registered yet, with its key. */
void entra_page_factor(struct entra *, struct twin_response *, const struct entra_flow *, enum language, const struct twin_user *, bool wrong);

/* What the application asks for. */
void entra_page_consent(struct entra *, struct twin_response *, const struct entra_flow *, enum language, const struct twin_user *);

/* The code of a device. */
void entra_page_device(struct twin_response *, enum language, struct span typed, bool wrong);

/* One sentence. */
void entra_page_says(struct twin_response *, enum language, enum twin_word title, enum twin_word sentence);

/* An error that is shown and not sent back; with a flow, there is a button that goes back to the application. */
void entra_error_page(struct twin_response *, int code, const struct entra_error_values *, enum language);
void entra_error_page_back(struct entra *, struct twin_response *, int code, const struct entra_error_values *, const struct entra_flow *, enum language);

/* response_mode=form_post: a form with what a redirect would have carried. */
void entra_page_post(struct twin_response *, enum language, struct span redirect_uri, const struct span (*fields)[2], size_t count);
