/* twin/twin_tenant.h - the simulated tenant: its people, its app registrations and every switch.
 *
 * Why       Entra, Exchange and the control pages look at one state, as the real services look at one directory.
 * Promise   A value that was set has been checked against tables/twin_switches.def. Addresses compare without case.
 * Owns      All of it, in place; passwords and authenticator secrets are the demo's own and no secrets.
 * Refuses   More people, registrations or addresses than the ceilings here; values that the table does not know.
 * See       tables/twin_switches.def, twin/twin_config.h reads one from a file */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum {
	TWIN_USERS_MAX = 64,
	TWIN_APPS_MAX = 8,
	TWIN_SERVICES_MAX = 4,
	TWIN_REDIRECTS_MAX = 8,
	TWIN_CONNECTORS_MAX = 8,
	TWIN_TEXT_BYTES = 128,
	TWIN_ADDRESS_BYTES = 256,
	TWIN_LIST_BYTES = 1024,
	TWIN_CERTIFICATE_BYTES = 4096,
	TWIN_ID_BYTES = 37,
};

enum twin_switch {
#define TWIN_SWITCH(name, ...) TWIN_SWITCH_##name,
#define TWIN_MAILBOX(...)
#include "tables/twin_switches.def"
#undef TWIN_SWITCH
#undef TWIN_MAILBOX
	TWIN_SWITCH_COUNT
};

enum twin_mailbox_switch {
#define TWIN_SWITCH(...)
#define TWIN_MAILBOX(name, ...) TWIN_MAILBOX_##name,
#include "tables/twin_switches.def"
#undef TWIN_SWITCH
#undef TWIN_MAILBOX
	TWIN_MAILBOX_COUNT
};

/* The words of the switches that code looks at, in the order of the table. */
enum { TWIN_OFF, TWIN_ON, TWIN_RETIRED };
enum { TWIN_ACCESS_OFF, TWIN_ACCESS_LEGACY, TWIN_ACCESS_BLOCK };
enum { TWIN_PRODUCTION, TWIN_TESTING };
enum { TWIN_CONSENT_USER, TWIN_CONSENT_ADMIN };
enum { TWIN_APPLICATION_FULL, TWIN_APPLICATION_NONE };
enum { TWIN_SECRET_VALID, TWIN_SECRET_EXPIRED };
enum { TWIN_MICROSOFT, TWIN_GOOGLE };
enum { TWIN_CARRY, TWIN_REFUSE, TWIN_DELAY };
enum { TWIN_FOLLOW, TWIN_MAILBOX_OFF, TWIN_MAILBOX_ON };
enum { TWIN_MFA_DISABLED, TWIN_MFA_ENABLED, TWIN_MFA_ENFORCED };
enum { TWIN_ROTATION_KEPT, TWIN_ROTATION_STRICT };
enum { TWIN_ACCOUNT_ENABLED, TWIN_ACCOUNT_DISABLED, TWIN_ACCOUNT_LOCKED, TWIN_ACCOUNT_PASSWORD_EXPIRED };
enum { TWIN_GRANT_VALID, TWIN_GRANT_EXPIRED, TWIN_GRANT_REVOKED };

/* Which SMTP sessions a change ends: of those that sign in, those by password or all; or everyone's, at the MX host too. */
enum twin_ends { TWIN_ENDS_NONE, TWIN_ENDS_PASSWORD, TWIN_ENDS_ALL, TWIN_ENDS_EVERYONE };

struct twin_switch_row {
	const char *name;
	bool is_number;
	const char *words, *preset; /* words parted by blanks */
	int64_t lowest, highest;
	enum twin_ends ends;
	const char *says[LANGUAGE_COUNT];
};

struct twin_user {
	char address[TWIN_ADDRESS_BYTES], name[TWIN_TEXT_BYTES], oid[TWIN_ID_BYTES];
	char password[TWIN_TEXT_BYTES];
	char app_password[TWIN_TEXT_BYTES];  /* empty for none */
	char authenticator[TWIN_TEXT_BYTES]; /* base32 */
	char refresh_token[TWIN_TEXT_BYTES]; /* one that some program has already, for any registration; empty for none */
	char send_as[TWIN_LIST_BYTES];       /* other addresses that may be used, parted by blanks */
	int64_t values[TWIN_MAILBOX_COUNT];
	unsigned consented;            /* bit per registration */
	uint64_t authenticator_step;   /* the last code's time step, which is used up */
	int64_t grants_from_ms;        /* refresh tokens issued before this wall time do not hold */
	int64_t newest_grant_ms;       /* when the newest refresh token was issued: where rotation is strict, the only one that holds */
	unsigned wrong_passwords;      /* in a row */
	int64_t google_used_ms;        /* when a refresh token of Google's was last used */
};

struct twin_app {
	char id[TWIN_ID_BYTES], name[TWIN_TEXT_BYTES];
	char secret[TWIN_TEXT_BYTES], secret_id[TWIN_ID_BYTES]; /* empty: a public client */
	char redirects[TWIN_REDIRECTS_MAX][TWIN_ADDRESS_BYTES];
	size_t redirect_count;
	char certificate[TWIN_CERTIFICATE_BYTES]; /* DER in base64, for client assertions; empty for none */
	char roles[TWIN_LIST_BYTES];              /* application permissions with admin consent, parted by blanks */
};

/* A service account of Google's, and what the administrators delegated to it. */
struct twin_service {
	char email[TWIN_ADDRESS_BYTES];
	char delegated[TWIN_LIST_BYTES]; /* scopes, parted by blanks; empty: no domain-wide delegation */
};

/* An inbound connector (New-InboundConnector): who may bring mail to the MX host as the organisation itself. */
struct twin_connector {
	char name[TWIN_TEXT_BYTES];
	char addresses[TWIN_LIST_BYTES];   /* networks of those who come, parted by blanks (SenderIPAddresses) */
	char certificate[TWIN_TEXT_BYTES]; /* "host.example" or "*.example", or empty (TlsSenderCertificateName) */
	bool takes_clear;                  /* without TLS too (RequireTls $false) */
};

struct twin_tenant {
	char id[TWIN_ID_BYTES], domain[TWIN_TEXT_BYTES], name[TWIN_TEXT_BYTES];
	char domains[TWIN_LIST_BYTES]; /* accepted domains besides its own, parted by blanks */
	struct twin_connector connectors[TWIN_CONNECTORS_MAX];
	size_t connector_count;
	struct twin_user users[TWIN_USERS_MAX];
	size_t user_count;
	struct twin_app apps[TWIN_APPS_MAX];
	size_t app_count;
	struct twin_service services[TWIN_SERVICES_MAX];
	size_t service_count;
	int64_t values[TWIN_SWITCH_COUNT];
};

/* An empty tenant with every switch at its preset. */
void twin_tenant_init(struct twin_tenant *);

/* One of its people by address (ASCII case is ignored) or object id, or NULL. */
struct twin_user *twin_tenant_user(struct twin_tenant *, struct span address);
struct twin_user *twin_tenant_user_id(struct twin_tenant *, struct span oid);

/* A new one, with ids made from the address so that they are the same at every start. FAULT_EXISTS, FAULT_TOO_LARGE, FAULT_MALFORMED. */
MUST_CHECK enum fault twin_tenant_add_user(struct twin_tenant *, struct span address, struct twin_user **out);

/* A registration by client id, or NULL. */
struct twin_app *twin_tenant_app(struct twin_tenant *, struct span client_id);

/* A service account by its address, or NULL. */
struct twin_service *twin_tenant_service(struct twin_tenant *, struct span email);

/* A connector by name, or NULL; the same, or a new one: NULL for a name that cannot be or one too many. */
struct twin_connector *twin_tenant_connector(struct twin_tenant *, struct span name);
struct twin_connector *twin_tenant_add_connector(struct twin_tenant *, struct span name);

/* Whether an address is in an accepted domain; whether it is one of the tenant's people's, their other addresses included. */
bool twin_tenant_accepts(const struct twin_tenant *, struct span address);
bool twin_tenant_knows(const struct twin_tenant *, struct span address);

/* Whether `name` in a path means this tenant: its id, its domain, "common" or "organizations". */
bool twin_tenant_is(const struct twin_tenant *, struct span name);

/* The object id of a registration's service principal, made from its client id. */
void twin_principal_id(char out[TWIN_ID_BYTES], const char *client_id);

/* Whether the user may send as the address: their own or one of `send_as`. */
bool twin_user_may_send_as(const struct twin_user *, struct span address);

/* Whether signing in needs a second factor. */
bool twin_tenant_needs_factor(const struct twin_tenant *, const struct twin_user *);

/* The row of a switch. */
const struct twin_switch_row *twin_switch_row(enum twin_switch);
const struct twin_switch_row *twin_mailbox_row(enum twin_mailbox_switch);

/* The number that a text means for a row: the place of the word, or the number itself. False when it is neither, or out of range. */
bool twin_switch_parse(const struct twin_switch_row *, struct span text, int64_t *value_out);

/* Appends the word or the number. */
void twin_switch_print(struct buf *, const struct twin_switch_row *, int64_t value);

/* What a change was: for whom, and whose sessions end. */
struct twin_change {
	struct twin_user *user; /* NULL for the whole tenant */
	enum twin_ends ends;
};

/* Sets a switch by name; with an address, one of that mailbox. FAULT_NOT_FOUND for a name or mailbox there is not, FAULT_MALFORMED for the value.
 * Setting what already holds changes nothing and ends no session, save `grant`, which works anew each time. */
MUST_CHECK enum fault twin_tenant_set(struct twin_tenant *, struct span name, struct span value, struct span address, int64_t wall_ms,
				      struct twin_change *change_out);
