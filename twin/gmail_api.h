/* twin/gmail_api.h - the Gmail API as far as sending needs it: messages.send, its upload endpoint, a search, the profile.
 *
 * Why       Where SMTP is not to be had, mail goes by the API; its uploads, quotas and errors have to be met on a laptop.
 * Promise   Recipients come from the header, and Bcc is taken out. What is sent stands on the same shelf as what came by SMTP, and counts for the same
 *           daily limit. An upload may be resumed where it stopped, and answers the same once it is whole.
 * Owns      At most GMAIL_UPLOADS_MAX uploads, the oldest going first.
 * Refuses   By the rows of tables/twin_google_errors.def.
 * See       developers.google.com/gmail/api: users.messages.send, guides/uploads; RFC 9110 14.4 */
#pragma once
#include "twin/google.h"

enum { GMAIL_UPLOADS_MAX = 32, GMAIL_REQUEST_BYTES = 40 * 1024 * 1024 };

/* The stage that a request belongs to; TWIN_STAGE_NONE when it is none of the API's. */
enum twin_stage gmail_api_stage(struct span method, struct span path);

/* Answers; false when the path is none of the API's. */
bool gmail_api_handle(struct google *, const struct twin_request *, struct twin_response *);

/* Forgets the uploads. */
void gmail_api_fini(struct google *);
