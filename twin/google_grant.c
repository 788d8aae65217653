#include "base/json.h"
#include "base/text.h"
#include "twin/google.h"
#include "twin/google_service.h"

#include <stdio.h>
#include <string.h>

enum { DAY_MS = 86400000, LIFE_S = 3599, UNUSED_DAYS = 180, TESTING_DAYS = 7, SCRATCH_BYTES = 16 * 1024 };

/* A request at the token endpoint while it is answered. */
struct ask {
	struct google *google;
	struct entra *entra;
	const struct twin_request *request;
	struct twin_response *response;
	struct twin_app *app;
	char client[TWIN_TEXT_BYTES];
};

static void refuse(struct ask *a, enum google_error error)
{
	google_error_answer(a->response, error, SPAN(""));
}

static void refuse_missing(struct ask *a, const char *name)
{
	google_error_answer(a->response, GOOGLE_ERROR_google_parameter_missing, span_of(name));
}

/* The registration and its secret, by form or Basic header. GOOGLE_OK, or what is wrong. */
static enum google_error check_client(struct ask *a)
{
	char secret[TWIN_TEXT_BYTES];
	enum google_error error = GOOGLE_OK;

	entra_read_client(a->request, a->client, secret);
	a->app = twin_tenant_app(a->entra->tenant, span_of(a->client));
	if (!a->app)
		error = GOOGLE_ERROR_google_client_unknown;
	else if (a->app->secret[0] && !secret[0])
		error = GOOGLE_ERROR_google_secret_missing;
	else if (a->app->secret[0] && !secret_equal(span_of(secret), span_of(a->app->secret)))
		error = GOOGLE_ERROR_google_client_secret;
	else if (a->entra->tenant->values[TWIN_SWITCH_secret] == TWIN_SECRET_EXPIRED)
		error = GOOGLE_ERROR_google_client_disabled;
	secret_wipe(secret, sizeof secret);
	return error;
}

static bool has_consented(const struct ask *a, const struct twin_user *u)
{
	return u->consented >> (a->app - a->entra->tenant->apps) & 1;
}

static enum fault put_id_token(struct ask *a, struct buf *out, const struct twin_user *u, const char *nonce)
{
	json_t *claims = json_object();
	char subject[TWIN_ID_BYTES];

	google_subject(subject, u->oid);
	json_put_text(claims, "iss", span_of(a->entra->base_url));
	json_put_text(claims, "azp", span_of(a->app->id));
	json_put_text(claims, "aud", span_of(a->app->id));
	json_put_text(claims, "sub", span_of(subject));
	json_put_text(claims, "hd", span_of(a->entra->tenant->domain));
	json_put_text(claims, "email", span_of(u->address));
	json_put_flag(claims, "email_verified", true);
	if (nonce && *nonce)
		json_put_text(claims, "nonce", span_of(nonce));
	json_put_text(claims, "name", span_of(u->name));
	json_put_whole(claims, "iat", a->request->wall_ms / 1000);
	json_put_whole(claims, "exp", a->request->wall_ms / 1000 + 3600);
	return twin_claims_put_take(out, a->entra->keys, claims);
}

/* Appends to the answer a token made by `put`. */
static void set_token(json_t *json, const char *name, enum fault fault, struct buf *token)
{
	if (fault == FAULT_OK)
		json_put_text(json, name, buf_span(token));
	buf_wipe(token);
}

static json_t *begin_answer(struct ask *a, const char *oid, const char *scope)
{
	int64_t chosen = a->entra->tenant->values[TWIN_SWITCH_access_token_seconds], seconds = chosen ? chosen : LIFE_S;
	struct google_access access = { .until_ms = a->request->wall_ms + seconds * 1000 };
	json_t *json = json_object();
	struct buf token;

	snprintf(access.oid, sizeof access.oid, "%s", oid);
	snprintf(access.scope, sizeof access.scope, "%s", scope);
	buf_init(&token, SCRATCH_BYTES);
	set_token(json, "access_token", google_access_put(&token, a->entra->keys, &access), &token);
	json_put_whole(json, "expires_in", seconds);
	json_put_text(json, "token_type", SPAN("Bearer"));
	return json;
}

/* Tokens for a grant whose right to them has been checked; a refresh token only with a new consent. */
static void issue(struct ask *a, struct twin_user *u, struct twin_grant *g, const char *nonce, bool refreshable)
{
	json_t *json = begin_answer(a, u->oid, g->scope);
	struct buf token;

	json_put_text(json, "scope", span_of(g->scope));
	buf_init(&token, SCRATCH_BYTES);
	if (refreshable && !a->entra->no_refresh) {
		g->issued_at_ms = u->google_used_ms = a->request->wall_ms;
		set_token(json, "refresh_token", google_refresh_put(&token, a->entra->keys, g), &token);
		if (a->entra->tenant->values[TWIN_SWITCH_google_publishing] == TWIN_TESTING)
			json_put_whole(json, "refresh_token_expires_in", (int64_t)TESTING_DAYS * DAY_MS / 1000 - 1);
	}
	a->entra->no_refresh = false;
	if (twin_scope_has(span_of(g->scope), SPAN("openid")))
		set_token(json, "id_token", put_id_token(a, &token, u, nonce), &token);
	entra_answer_json(a->response, 200, json);
	buf_free(&token);
}

static enum google_error check_code(struct ask *a, struct entra_code *c)
{
	char verifier[256], uri[ENTRA_URL_BYTES];

	twin_field_text(a->request, SPAN("code_verifier"), verifier, sizeof verifier);
	twin_field_text(a->request, SPAN("redirect_uri"), uri, sizeof uri);
	if (!c || !c->is_google)
		return GOOGLE_ERROR_google_code_malformed;
	if (strcmp(c->grant.client_id, a->app->id) || c->used || c->until_ms <= a->request->wall_ms)
		return GOOGLE_ERROR_google_bad_request;
	if (strcmp(uri, c->redirect_uri))
		return GOOGLE_ERROR_google_redirect;
	if (c->challenge[0] && !verifier[0])
		return GOOGLE_ERROR_google_verifier_missing;
	return entra_challenge_holds(c, span_of(verifier)) ? GOOGLE_OK : GOOGLE_ERROR_google_verifier_wrong;
}

static void by_code(struct ask *a)
{
	char text[ENTRA_CODE_BYTES];
	enum google_error error;
	struct entra_code *c;
	struct twin_user *u;

	twin_field_text(a->request, SPAN("code"), text, sizeof text);
	if (!text[0]) {
		refuse_missing(a, "code");
		return;
	}
	c = entra_find_code(a->entra, text);
	error = check_code(a, c);
	u = c ? twin_tenant_user_id(a->entra->tenant, span_of(c->grant.oid)) : NULL;
	if (error == GOOGLE_OK && (!u || u->values[TWIN_MAILBOX_account] != TWIN_ACCOUNT_ENABLED))
		error = GOOGLE_ERROR_google_bad_request;
	if (error != GOOGLE_OK) {
		refuse(a, error);
		return;
	}
	c->used = true;
	issue(a, u, &c->grant, c->nonce, c->is_offline);
}

static bool is_over(const struct ask *a, const struct twin_grant *g, const struct twin_user *u)
{
	int64_t now = a->request->wall_ms, used = u->google_used_ms > g->issued_at_ms ? u->google_used_ms : g->issued_at_ms;

	return g->issued_at_ms <= u->grants_from_ms || used + (int64_t)UNUSED_DAYS * DAY_MS <= now ||
	       (a->entra->tenant->values[TWIN_SWITCH_google_publishing] == TWIN_TESTING && g->issued_at_ms + (int64_t)TESTING_DAYS * DAY_MS <= now);
}

static void by_refresh_token(struct ask *a)
{
	char text[TWIN_FIELD_BYTES];
	struct twin_grant g;
	struct twin_user *u = NULL;

	twin_field_text(a->request, SPAN("refresh_token"), text, sizeof text);
	if (!text[0]) {
		refuse_missing(a, "refresh_token");
		return;
	}
	if (google_refresh_read(&g, a->entra->keys, span_of(text)) == FAULT_OK && !strcmp(g.client_id, a->app->id))
		u = twin_tenant_user_id(a->entra->tenant, span_of(g.oid));
	if (!u) {
		refuse(a, GOOGLE_ERROR_google_bad_request);
	} else if (is_over(a, &g, u) || !has_consented(a, u) || u->values[TWIN_MAILBOX_account] != TWIN_ACCOUNT_ENABLED) {
		refuse(a, GOOGLE_ERROR_google_revoked);
	} else if (a->entra->tenant->values[TWIN_SWITCH_conditional_access] == TWIN_ACCESS_BLOCK || u->values[TWIN_MAILBOX_conditional_access]) {
		refuse(a, GOOGLE_ERROR_google_policy);
	} else {
		u->google_used_ms = a->request->wall_ms;
		issue(a, u, &g, NULL, false);
	}
}

/* A service account, for one of the organisation's people or for itself. */
static void by_assertion(struct ask *a)
{
	char text[TWIN_FIELD_BYTES], scope[TWIN_SCOPE_BYTES], url[TWIN_ADDRESS_BYTES + 16];
	enum google_error error;
	struct twin_user *user;

	twin_field_text(a->request, SPAN("assertion"), text, sizeof text);
	if (!text[0]) {
		refuse_missing(a, "assertion");
		return;
	}
	error = google_service_check(a->entra->tenant, a->entra->keys, span_of(text), a->entra->base_url, a->request->wall_ms, &user, scope);
	snprintf(url, sizeof url, "%s/token", a->entra->base_url);
	if (error != GOOGLE_OK)
		google_error_answer(a->response, error, error == GOOGLE_ERROR_google_jwt_audience ? span_of(url) : SPAN(""));
	else
		entra_answer_json(a->response, 200, begin_answer(a, user ? user->oid : "", scope));
}

void google_grant(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	struct ask a = { .google = g, .entra = g->entra, .request = q, .response = r };
	char grant[TWIN_TEXT_BYTES];
	enum google_error error;

	twin_field_text(q, SPAN("grant_type"), grant, sizeof grant);
	if (!grant[0]) {
		refuse_missing(&a, "grant_type");
		return;
	}
	if (!strcmp(grant, "urn:ietf:params:oauth:grant-type:jwt-bearer")) {
		by_assertion(&a);
		return;
	}
	error = check_client(&a);
	if (error != GOOGLE_OK)
		refuse(&a, error);
	else if (!strcmp(grant, "authorization_code"))
		by_code(&a);
	else if (!strcmp(grant, "refresh_token"))
		by_refresh_token(&a);
	else
		google_error_answer(r, GOOGLE_ERROR_google_grant_type, span_of(grant));
}
