/* upstream/provider.h - one app registration at one provider: where to sign in, where mail goes, what is known of its keys.
 *
 * Why       Addresses, scopes and quirks come from a row of a table, the operator's own settings, or the provider's discovery document; nobody
 *           else should care which.
 * Promise   provider_endpoints() and provider_keys() answer exactly once, at once when they know, or within 20 s. What was fetched is kept for a
 *           day, a failure for a minute; one fetch at a time, however many wait.
 * Owns      Its copy of the row, the client secret, key or key file, documents fetched.
 * Refuses   Sign-in pages neither on https nor on loopback; a discovery document of another issuer; plain SMTP to anywhere but loopback.
 * See       tables/providers.def; OpenID Connect Discovery 1.0 */
#pragma once
#include "base/arena.h"
#include "base/secret.h"
#include "base/signing_key.h"
#include "loop/http_client.h"
#include "store/providers.h"
#include "wire/oauth.h"
#include "wire/service_key.h"

struct provider;

enum provider_account { PROVIDER_ACCOUNT_NONE, PROVIDER_ACCOUNT_TENANT, PROVIDER_ACCOUNT_SUBJECT };
enum provider_access { PROVIDER_DELEGATED, PROVIDER_APPLICATION };
enum provider_tls { PROVIDER_NO_TLS, PROVIDER_STARTTLS, PROVIDER_IMPLICIT };
enum provider_mechanism { PROVIDER_NO_LOGIN, PROVIDER_PLAIN, PROVIDER_LOGIN, PROVIDER_XOAUTH2, PROVIDER_OAUTHBEARER };

/* A row of tables/providers.def. */
struct provider_kind {
	struct span name, title;
	enum provider_account account;
	bool hint_alone, is_connector;
	struct span tenant, login, issuer, authorize, token, device, keys, userinfo, scopes, host;
	uint16_t port;
	enum provider_tls tls;
	enum provider_mechanism mechanism;
	struct span prompt, extra, application;
};

/* What a provider allows one mailbox: messages in any minute, recipients in any day, connections at once; 0: no limit. */
struct provider_limits {
	uint32_t messages_per_minute, recipients_per_day, connections;
};

/* The kind of that name, or NULL. */
const struct provider_kind *provider_kind_named(struct span name);

/* Checks a row before it is stored: known kind, host where the kind has none, issuer for `oidc`, TLS but to loopback. `why_out` has 256 bytes. */
MUST_CHECK enum fault provider_check(const struct provider_row *, char *why_out);

/* The row must have passed provider_check(). `secret` and `key` (each may be NULL) are taken. */
struct provider *provider_new_take(struct loop *, struct http_client *, const struct provider_row *, struct secret *secret, struct signing_key *key);

/* Whoever waits is answered FAULT_CLOSED. */
void provider_free(struct provider **);

/* As stored; and the row of the table it follows. */
const struct provider_row *provider_row(const struct provider *);
const struct provider_kind *provider_kind(const struct provider *);

/* What the kind leaves open is filled in. */
struct span provider_host(const struct provider *);
uint16_t provider_port(const struct provider *);
enum provider_tls provider_tls(const struct provider *);
enum provider_mechanism provider_mechanism(const struct provider *);
/* How an app password is said there: LOGIN is all that Exchange offers, PLAIN what others do, unless the row names one of them. */
enum provider_mechanism provider_password_mechanism(const struct provider *);
struct provider_limits provider_limits(const struct provider *);
struct oauth_client provider_client(const struct provider *);
bool provider_has_secret(const struct provider *);

/* Its mailboxes are signed in by the application's own token instead of each owner's. */
bool provider_is_application(const struct provider *);

/* The service account whose key file the secret is, or NULL: it asks for the token of each mailbox, and nobody signs in. */
const struct service_key *provider_service(const struct provider *);

/* Puts its assertion for the mailbox at `address`, for that audience. False when `out` is full. See RFC 7523 2.1 */
bool provider_assert(const struct provider *, struct span address, struct span audience, struct buf *out);

/* The secret as it was given: a client's, or a key file. */
struct span provider_secret(const struct provider *);

/* The key with its certificate that stands for a secret, or NULL. */
const struct signing_key *provider_key(const struct provider *);

/* Where there is such a key: puts a fresh assertion for that audience (the token endpoint's address) into `client`; it stands in `out`. False when
 * `out` is full. See RFC 7523 2.2 */
bool provider_prove(const struct provider *, struct span audience, struct oauth_client *client, struct buf *out);

/* Full addresses; empty where the provider has none. Valid as long as the provider. */
struct provider_endpoints {
	struct span issuer, authorize, token, device, keys, userinfo;
};
typedef void provider_found(void *self, enum fault fault, struct span why, const struct provider_endpoints *);
void provider_endpoints(struct provider *, provider_found *done, void *self);

/* The key set (JSON). `fresh`: not from memory, unless fetched within five minutes. FAULT_NOT_FOUND when the provider names none. */
typedef void provider_got_keys(void *self, enum fault fault, struct span key_set);
void provider_keys(struct provider *, bool fresh, provider_got_keys *done, void *self);

/* Answers to `self` that are still due are not given any more. */
void provider_forget(struct provider *, void *self);

/* Until when (loop time) the provider wants to be left alone (Retry-After); 0 when it does not. */
int64_t provider_quiet_until_ms(const struct provider *);
void provider_quiet(struct provider *, int64_t until_ms);
