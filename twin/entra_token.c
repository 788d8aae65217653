#include "base/json.h"
#include "base/rand.h"
#include "base/text.h"
#include "twin/entra.h"
#include "twin/entra_assertion.h"

#include <stdio.h>
#include <string.h>

enum { DAY_MS = 86400000, SCRATCH_BYTES = 16 * 1024 };

/* A request at the token endpoint while it is answered. */
struct ask {
	struct entra *entra;
	const struct twin_request *request;
	struct twin_response *response;
	struct twin_app *app;
	char scope[TWIN_SCOPE_BYTES];
	char client[TWIN_TEXT_BYTES];
	bool has_secret; /* the client showed its secret, and it was right */
};

static void refuse_named(struct ask *a, int code, struct span name, int64_t issued_ms)
{
	char memory[64];
	struct buf issued;

	buf_over(&issued, memory, sizeof memory);
	text_date(&issued, issued_ms);
	entra_error_json(a->response, code,
			 &(struct entra_error_values){ .client = span_of(a->client),
						       .tenant = span_of(a->entra->tenant->name),
						       .resource = SPAN("00000002-0000-0ff1-ce00-000000000000"),
						       .name = name,
						       .issued = buf_span(&issued) },
			 a->request->wall_ms);
}

static void refuse(struct ask *a, int code)
{
	refuse_named(a, code, SPAN(""), 0);
}

void entra_read_client(const struct twin_request *q, char id[TWIN_TEXT_BYTES], char secret[TWIN_TEXT_BYTES])
{
	struct span pair, name = { 0 };
	struct buf text, part;

	twin_field_text(q, SPAN("client_id"), id, TWIN_TEXT_BYTES);
	twin_field_text(q, SPAN("client_secret"), secret, TWIN_TEXT_BYTES);
	if (!span_starts_fold(q->authorization, SPAN("Basic ")))
		return;
	buf_init(&text, SCRATCH_BYTES);
	buf_init(&part, SCRATCH_BYTES);
	if (text_from_base64(&text, span_slice(q->authorization, 6, q->authorization.size))) {
		pair = buf_span(&text);
		span_cut(&pair, ':', &name);
		text_from_percent(&part, name);
		snprintf(id, TWIN_TEXT_BYTES, "%.*s", SPAN_ARGS(buf_span(&part)));
		buf_clear(&part);
		text_from_percent(&part, pair);
		snprintf(secret, TWIN_TEXT_BYTES, "%.*s", SPAN_ARGS(buf_span(&part)));
	}
	buf_wipe(&text);
	buf_wipe(&part);
}

/* 0, or the AADSTS number: the certificate instead of a secret, where one is shown. */
static int check_assertion(struct ask *a)
{
	char type[TWIN_TEXT_BYTES], assertion[TWIN_FIELD_BYTES];
	int code;

	twin_field_text(a->request, SPAN("client_assertion_type"), type, sizeof type);
	twin_field_text(a->request, SPAN("client_assertion"), assertion, sizeof assertion);
	if (!assertion[0])
		return 0;
	if (strcmp(type, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"))
		return 90023;
	if (!a->app->secret[0] && !a->app->certificate[0])
		return 700025;
	code = entra_assertion_check(a->entra, a->app, span_of(assertion), a->request->wall_ms);
	a->has_secret = !code;
	return code;
}

/* 0, or the AADSTS number: the registration and its secret. A missing one is judged by the grant. */
static int check_client(struct ask *a)
{
	char secret[TWIN_TEXT_BYTES];
	int code = 0;

	entra_read_client(a->request, a->client, secret);
	a->app = twin_tenant_app(a->entra->tenant, span_of(a->client));
	if (!a->app)
		return a->client[0] ? 700016 : 900144;
	if (secret[0] && !a->app->secret[0])
		code = 700025;
	else if (secret[0] && !secret_equal(span_of(secret), span_of(a->app->secret)))
		code = 7000215;
	else if (secret[0] && a->entra->tenant->values[TWIN_SWITCH_secret] == TWIN_SECRET_EXPIRED)
		code = 7000222;
	a->has_secret = secret[0] && !code;
	secret_wipe(secret, sizeof secret);
	return code ? code : check_assertion(a);
}

static bool lacks_secret(const struct ask *a)
{
	return (a->app->secret[0] || a->app->certificate[0]) && !a->has_secret;
}

/* What holds for every token: the state of the account, of its consent, and of the policies. 0, or the AADSTS number. */
static int check_user(const struct ask *a, const struct twin_user *u, bool has_factor)
{
	const struct twin_tenant *t = a->entra->tenant;
	unsigned app = (unsigned)(a->app - t->apps);

	if (!u)
		return 50034;
	if (u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_DISABLED)
		return 50057;
	if (t->values[TWIN_SWITCH_conditional_access] == TWIN_ACCESS_BLOCK || u->values[TWIN_MAILBOX_conditional_access])
		return 53003;
	if (!has_factor && twin_tenant_needs_factor(t, u))
		return u->values[TWIN_MAILBOX_mfa] == TWIN_MFA_ENABLED ? 50079 : 50076;
	return u->consented >> app & 1 ? 0 : 65001;
}

static int64_t token_seconds(const struct twin_tenant *t)
{
	int64_t seconds = t->values[TWIN_SWITCH_access_token_seconds];

	return seconds ? seconds : 3599 + (int64_t)rand_below(1800);
}

/* Who signed in, for clients that ask (Microsoft's own do). */
static void put_client_info(const struct ask *a, json_t *json, const struct twin_user *u)
{
	char wanted[8], info[TWIN_TEXT_BYTES], memory[TWIN_TEXT_BYTES * 2];
	struct buf b;

	twin_field_text(a->request, SPAN("client_info"), wanted, sizeof wanted);
	if (strcmp(wanted, "1"))
		return;
	snprintf(info, sizeof info, "{\"uid\":\"%s\",\"utid\":\"%s\"}", u->oid, a->entra->tenant->id);
	buf_over(&b, memory, sizeof memory);
	text_base64_url(&b, span_of(info));
	json_put_text(json, "client_info", buf_span(&b));
}

/* Tokens for a grant whose right to them has been checked. */
static void issue(struct ask *a, struct twin_user *u, struct twin_grant *g, struct span nonce)
{
	struct entra *e = a->entra;
	struct span wanted = span_of(a->scope[0] ? a->scope : g->scope);
	struct twin_claims claims = { .tenant = e->tenant, .user = u, .client_id = a->app->id, .issuer = e->issuer, .nonce = nonce,
				      .has_factor = g->has_factor, .wall_ms = a->request->wall_ms, .seconds = token_seconds(e->tenant) };
	struct buf scopes, token;
	json_t *json = json_object();
	enum fault fault;

	buf_init(&scopes, SCRATCH_BYTES);
	buf_init(&token, SCRATCH_BYTES);
	claims.audience = entra_resource(wanted);
	entra_put_scopes(&scopes, wanted, claims.audience, true);
	json_put_text(json, "token_type", SPAN("Bearer"));
	json_put_text(json, "scope", buf_span(&scopes));
	json_put_whole(json, "expires_in", claims.seconds);
	json_put_whole(json, "ext_expires_in", claims.seconds);
	buf_clear(&scopes);
	entra_put_scopes(&scopes, wanted, claims.audience, false);
	claims.scope = buf_span(&scopes);
	fault = twin_access_put(&token, e->keys, &claims);
	json_put_text(json, "access_token", buf_span(&token));
	buf_wipe(&token);
	if (fault == FAULT_OK && twin_scope_has(span_of(g->scope), SPAN("offline_access")) && !e->no_refresh) {
		g->issued_at_ms = u->newest_grant_ms = a->request->wall_ms;
		fault = twin_refresh_put(&token, e->keys, g);
		json_put_text(json, "refresh_token", buf_span(&token));
	}
	buf_wipe(&token);
	if (fault == FAULT_OK && twin_scope_has(wanted, SPAN("openid"))) {
		claims.seconds = 3600;
		fault = twin_id_put(&token, e->keys, &claims);
		json_put_text(json, "id_token", buf_span(&token));
	}
	e->no_refresh = false;
	put_client_info(a, json, u);
	entra_answer_json(a->response, fault == FAULT_OK ? 200 : 500, json);
	buf_free(&scopes);
	buf_wipe(&token);
}

bool entra_challenge_holds(const struct entra_code *c, struct span verifier)
{
	unsigned char digest[SEAL_DIGEST_BYTES];
	char memory[64];
	struct buf b;

	if (!c->challenge[0])
		return true;
	if (c->plain)
		return secret_equal(span_of(c->challenge), verifier);
	seal_digest(digest, verifier);
	buf_over(&b, memory, sizeof memory);
	text_base64_url(&b, (struct span){ (char *)digest, sizeof digest });
	return verifier.size >= 43 && verifier.size <= 128 && secret_equal(span_of(c->challenge), buf_span(&b));
}

struct entra_code *entra_find_code(struct entra *e, const char *text)
{
	for (size_t i = 0; i < ENTRA_CODES_MAX; i++)
		if (e->codes[i].code[0] && !strcmp(e->codes[i].code, text))
			return &e->codes[i];
	return NULL;
}

static void by_code(struct ask *a)
{
	char text[TWIN_FIELD_BYTES], verifier[256];
	struct twin_user *user;
	struct entra_code *c;
	int code;

	twin_field_text(a->request, SPAN("code_verifier"), verifier, sizeof verifier);
	twin_field_text(a->request, SPAN("code"), text, sizeof text);
	c = entra_find_code(a->entra, text);
	if (!text[0]) {
		refuse_named(a, 900144, SPAN("code"), 0);
		return;
	}
	if (lacks_secret(a)) {
		refuse(a, 7000218);
		return;
	}
	if (!c || c->is_google || strcmp(c->grant.client_id, a->app->id)) {
		refuse(a, 70000);
		return;
	}
	if (c->used || c->until_ms <= a->request->wall_ms) {
		refuse(a, c->used ? 54005 : 70008);
		return;
	}
	twin_field_text(a->request, SPAN("redirect_uri"), text, sizeof text);
	if (strcmp(text, c->redirect_uri)) {
		refuse_named(a, 500112, span_of(text), 0);
		return;
	}
	if (!entra_challenge_holds(c, span_of(verifier))) {
		refuse(a, 501481);
		return;
	}
	user = twin_tenant_user_id(a->entra->tenant, span_of(c->grant.oid));
	code = check_user(a, user, c->grant.has_factor);
	if (code) {
		refuse(a, code);
		return;
	}
	c->used = true;
	c->grant.is_public = !a->has_secret;
	issue(a, user, &c->grant, span_of(c->nonce));
}

/* Whether the refresh token has run out by itself or was ended for its owner: 0, or the AADSTS number. */
static int check_age(const struct ask *a, const struct twin_grant *g, const struct twin_user *u)
{
	int64_t days = a->entra->tenant->values[TWIN_SWITCH_refresh_token_days];

	if (u && a->entra->tenant->values[TWIN_SWITCH_rotation] == TWIN_ROTATION_STRICT && g->issued_at_ms != u->newest_grant_ms)
		return 70000;
	if (u && g->issued_at_ms <= u->grants_from_ms)
		return u->values[TWIN_MAILBOX_grant] == TWIN_GRANT_EXPIRED ? 700082 : 50173;
	return g->issued_at_ms + days * DAY_MS <= a->request->wall_ms ? 700082 : 0;
}

/* A token that the configuration says somebody has: what was consented for it, by whom. It ends with all others of its owner. */
static bool read_given(struct ask *a, struct span token, struct twin_grant *out)
{
	struct twin_tenant *t = a->entra->tenant;

	for (size_t i = 0; i < t->user_count; i++) {
		struct twin_user *u = &t->users[i];

		if (!u->refresh_token[0] || !secret_equal(span_of(u->refresh_token), token))
			continue;
		*out = (struct twin_grant){ .issued_at_ms = u->grants_from_ms ? u->grants_from_ms : a->request->wall_ms, .has_factor = true,
					    .is_public = !a->app->secret[0] };
		snprintf(out->oid, sizeof out->oid, "%s", u->oid);
		snprintf(out->client_id, sizeof out->client_id, "%s", a->app->id);
		snprintf(out->scope, sizeof out->scope, "openid profile offline_access https://outlook.office.com/SMTP.Send");
		u->consented |= 1u << (a->app - t->apps);
		return true;
	}
	return false;
}

static void by_refresh_token(struct ask *a)
{
	char text[TWIN_FIELD_BYTES];
	struct twin_user *user;
	struct twin_grant g;
	struct span bad;
	int code;

	twin_field_text(a->request, SPAN("refresh_token"), text, sizeof text);
	if (!text[0]) {
		refuse_named(a, 900144, SPAN("refresh_token"), 0);
		return;
	}
	if (!read_given(a, span_of(text), &g) &&
	    (twin_refresh_read(&g, a->entra->keys, span_of(text)) != FAULT_OK || strcmp(g.client_id, a->app->id))) {
		refuse(a, 70000);
		return;
	}
	if (lacks_secret(a) && !g.is_public) {
		refuse(a, 7000218);
		return;
	}
	user = twin_tenant_user_id(a->entra->tenant, span_of(g.oid));
	code = check_age(a, &g, user);
	if (!code)
		code = check_user(a, user, g.has_factor);
	if (!code)
		code = entra_check_scopes(span_of(a->scope), &bad);
	if (code)
		refuse_named(a, code, code == 70011 ? bad : SPAN(""), g.issued_at_ms);
	else
		issue(a, user, &g, SPAN(""));
}

static void by_device_code(struct ask *a)
{
	char text[ENTRA_CODE_BYTES];
	struct entra_device *d = NULL;
	struct twin_user *user;
	int code;

	twin_field_text(a->request, SPAN("device_code"), text, sizeof text);
	for (size_t i = 0; i < ENTRA_DEVICES_MAX; i++)
		if (a->entra->devices[i].state != ENTRA_DEVICE_FREE && text[0] && !strcmp(a->entra->devices[i].device_code, text))
			d = &a->entra->devices[i];
	if (lacks_secret(a) && a->entra->tenant->values[TWIN_SWITCH_public_client] == TWIN_OFF) {
		refuse(a, 7000218);
	} else if (!d || strcmp(d->grant.client_id, a->app->id)) {
		refuse(a, 70018);
	} else if (d->state == ENTRA_DEVICE_DECLINED) {
		refuse(a, 65004);
		entra_error_rename(a->response, "authorization_declined");
		d->state = ENTRA_DEVICE_FREE;
	} else if (d->until_ms <= a->request->wall_ms) {
		refuse(a, 70020);
	} else if (d->state == ENTRA_DEVICE_PENDING) {
		refuse(a, 70016);
	} else {
		user = twin_tenant_user_id(a->entra->tenant, span_of(d->grant.oid));
		code = check_user(a, user, d->grant.has_factor);
		d->state = ENTRA_DEVICE_FREE;
		d->grant.is_public = !a->has_secret;
		if (code)
			refuse(a, code);
		else
			issue(a, user, &d->grant, SPAN(""));
	}
}

/* A password alone, which a second factor forbids. */
static void by_password(struct ask *a)
{
	char name[TWIN_ADDRESS_BYTES], password[TWIN_TEXT_BYTES];
	struct twin_user *user;
	struct twin_grant g = { .signed_in_at_ms = a->request->wall_ms };
	int code = 50126;

	twin_field_text(a->request, SPAN("username"), name, sizeof name);
	twin_field_text(a->request, SPAN("password"), password, sizeof password);
	user = twin_tenant_user(a->entra->tenant, span_of(name));
	if (!user)
		code = 50034;
	else if (user->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_LOCKED)
		code = 50053;
	else if (secret_equal(span_of(user->password), span_of(password)))
		code = user->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_PASSWORD_EXPIRED ? 50055 : check_user(a, user, false);
	secret_wipe(password, sizeof password);
	if (!code && lacks_secret(a) && a->entra->tenant->values[TWIN_SWITCH_public_client] == TWIN_OFF)
		code = 7000218;
	if (code) {
		refuse_named(a, code, span_of(name), 0);
		return;
	}
	snprintf(g.oid, sizeof g.oid, "%s", user->oid);
	snprintf(g.client_id, sizeof g.client_id, "%s", a->app->id);
	snprintf(g.scope, sizeof g.scope, "%s", a->scope);
	g.is_public = !a->has_secret;
	issue(a, user, &g, SPAN(""));
}

/* The application for itself: no person, no refresh token. */
static void by_application(struct ask *a)
{
	struct twin_claims claims = { .tenant = a->entra->tenant, .client_id = a->app->id, .issuer = a->entra->issuer, .wall_ms = a->request->wall_ms,
				      .seconds = token_seconds(a->entra->tenant) };
	json_t *json = json_object();
	struct buf roles, token;
	enum fault fault;

	buf_init(&roles, SCRATCH_BYTES);
	buf_init(&token, SCRATCH_BYTES);
	if (!a->has_secret) {
		refuse(a, 7000218);
	} else if (!entra_is_default(span_of(a->scope), &claims.audience)) {
		refuse_named(a, 1002012, span_of(a->scope), 0);
	} else if (a->entra->tenant->values[TWIN_SWITCH_conditional_access] == TWIN_ACCESS_BLOCK) {
		refuse(a, 53003);
	} else {
		entra_put_roles(&roles, span_of(a->app->roles), claims.audience);
		claims.scope = buf_span(&roles);
		fault = twin_access_put(&token, a->entra->keys, &claims);
		json_put_text(json, "token_type", SPAN("Bearer"));
		json_put_whole(json, "expires_in", claims.seconds);
		json_put_whole(json, "ext_expires_in", claims.seconds);
		json_put_text(json, "access_token", buf_span(&token));
		entra_answer_json(a->response, fault == FAULT_OK ? 200 : 500, json_incref(json));
	}
	json_decref(json);
	buf_free(&roles);
	buf_wipe(&token);
}

void entra_token(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	static const struct {
		const char *name;
		void (*answer)(struct ask *);
	} grants[] = { { "authorization_code", by_code },
		       { "refresh_token", by_refresh_token },
		       { "urn:ietf:params:oauth:grant-type:device_code", by_device_code },
		       { "device_code", by_device_code }, /* as Microsoft's own libraries call it */
		       { "client_credentials", by_application },
		       { "password", by_password } };
	struct ask a = { .entra = e, .request = q, .response = r };
	char grant[TWIN_TEXT_BYTES];
	int code;

	twin_field_text(q, SPAN("grant_type"), grant, sizeof grant);
	twin_field_text(q, SPAN("scope"), a.scope, sizeof a.scope);
	code = check_client(&a);
	if (!grant[0] || code == 900144) {
		refuse_named(&a, 900144, grant[0] ? SPAN("client_id") : SPAN("grant_type"), 0);
		return;
	}
	if (code) {
		refuse(&a, code);
		return;
	}
	for (size_t i = 0; i < sizeof grants / sizeof *grants; i++) {
		if (strcmp(grants[i].name, grant))
			continue;
		grants[i].answer(&a);
		return;
	}
	refuse_named(&a, 70003, span_of(grant), 0);
}
