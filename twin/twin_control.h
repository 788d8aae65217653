/* twin/twin_control.h - the twin's own pages and its interface for programs, beside the provider's.
 *
 * Why       A demo needs switches and an authenticator to look at; a test needs the same as JSON.
 * Promise   GET changes nothing. Whatever is shown came from outside and is escaped.
 * Owns      Nothing.
 * Refuses   POST from pages of another origin (403), JSON that is none (400), names there are not (404).
 * See       GET /twin/state, /twin/mail, /twin/mail/N, /twin/mail/N/raw, /twin/code?address=, /twin/faults;
 *           POST /twin/switch {name, value, mailbox}, /twin/fault {name, stage, times, ms, mailbox, text}, /twin/user {address, password,
 *           authenticator, app_password, send_as}, /twin/service {email, delegated, key} (key: answers with a new key file), /twin/app {id, redirect,
 *           secret, certificate (DER in base64), roles}, /twin/reset {what}; pages /, /mail, /mail/N */
#pragma once
#include "twin/entra.h"
#include "twin/exchange.h"
#include "twin/graph.h"
#include "twin/twin_page.h"

/* What it shows and changes. */
struct twin_control {
	struct entra *entra;
	struct exchange *exchange; /* NULL in tests without sockets */
	struct exchange_world *world;
	const struct twin_tenant *preset; /* what `reset` goes back to */
	uint16_t smtp_port, mx_port, google_port, google_tls_port;
	struct graph *graph; /* NULL likewise */
};

/* Answers; false when the path is none of its own. */
bool twin_control_handle(struct twin_control *, const struct twin_request *, struct twin_response *);

/* The pages among them. */
bool twin_overview_handle(struct twin_control *, const struct twin_request *, struct twin_response *);

/* Throws a switch and ends the sessions it concerns. */
MUST_CHECK enum fault twin_control_set(struct twin_control *, struct span name, struct span value, struct span mailbox, int64_t wall_ms);

/* Forgets mail, scripts and counters; puts every switch back. */
void twin_control_reset(struct twin_control *, bool mail, bool scripts, bool switches);

/* Whether mail has arrived by now. */
bool twin_mail_is_here(const struct twin_mail *, int64_t wall_ms);
