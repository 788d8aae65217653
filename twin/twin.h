/* twin/twin.h - a tenant of Microsoft 365 and Google on a laptop: Entra ID, Exchange Online SMTP, the mail of Graph, Google's sign-in, Gmail, over one loop.
 *
 * Why       The demo, the tests and whoever writes mail software need a provider that demands a second factor, and that can be told to fail.
 * Promise   What it says on the wire is the providers' own text. It listens on loopback alone. It runs over the real loop and over the fake one.
 * Owns      Everything from twin_new() to twin_free(): tenant, keys, mail, listeners.
 * Refuses   A configuration that does not hold, addresses that are not loopback, ports that are taken.
 * See       keeper/twin_main.c is its process; twin/twin_control.h its interface for people and programs */
#pragma once
#include "loop/loop.h"
#include "loop/stream.h"
#include "twin/twin_config.h"
#include "twin/twin_fault.h"
#include "twin/twin_keys.h"
#include "twin/twin_shelf.h"

struct twin;

struct twin_settings {
	struct span config;     /* the text of its file; empty for the preset */
	int64_t smtp_port;      /* 0 lets the system choose; below 0: what the file says */
	int64_t http_port;
	int64_t mx_port;
	int64_t google_port, google_tls_port; /* Gmail's SMTP: 587 and 465 of the real one */
	bool https;             /* whether the pages and endpoints are offered under TLS too */
	int64_t https_port;
	struct twin_keys *keys; /* taken; NULL makes new ones */
	struct span certificate_pem, key_pem; /* for SMTP instead of the keys' own, for replay; or empty */
	struct span client_ca_pem; /* who certifies those that come to the MX host; empty: nobody is asked for a certificate */
	struct disk *mail_directory; /* where mail is also put, or NULL; stays the caller's */
};

/* Makes and starts it. On a fault nothing is left, and `why_out` says what is the matter. */
MUST_CHECK enum fault twin_new(struct twin **out, struct loop *, const struct twin_settings *, char why_out[TWIN_WHY_BYTES]);
void twin_free(struct twin **);

/* Where it is: the SMTP port, the MX host's (port 25 of the real one), those of Gmail's side, the address of its pages and endpoints (also under TLS, or
 * empty), the CA to trust (PEM). */
uint16_t twin_smtp_port(const struct twin *);
uint16_t twin_mx_port(const struct twin *);
uint16_t twin_google_port(const struct twin *, bool secure);
const char *twin_url(const struct twin *);
const char *twin_secure_url(const struct twin *);
struct span twin_ca(const struct twin *);

/* Its people and registrations. */
struct twin_tenant *twin_tenant(struct twin *);

/* Throws a switch, ending the sessions it concerns; scripts a fault; the mail that arrived. See the functions of the same kind. */
MUST_CHECK enum fault twin_set(struct twin *, struct span name, struct span value, struct span mailbox);
MUST_CHECK enum fault twin_fault(struct twin *, const struct twin_script_wish *);
const struct twin_shelf *twin_mail(const struct twin *);

/* Forgets the scripts alone. */
void twin_unscript(struct twin *);

/* What all mailboxes together sent beyond the limits that the switches name, and the most that one sent in any 60 seconds. */
struct twin_overshot {
	uint64_t minute, day, sessions, most_in_minute;
};
struct twin_overshot twin_overshot(const struct twin *);

/* Forgets mail, scripts and counters, and puts every switch back to what the configuration says. */
void twin_reset(struct twin *);
