#include "twin/google.h"

#include "base/json.h"
#include "twin/gmail_api.h"

#include <stdio.h>
#include <string.h>

struct twin_user *google_bearer(struct google *g, const struct twin_request *q, struct google_access *out)
{
	struct twin_user *user;

	if (!span_starts_fold(q->authorization, SPAN("Bearer ")) ||
	    google_access_read(out, g->entra->keys, span_slice(q->authorization, 7, q->authorization.size), q->wall_ms) != FAULT_OK)
		return NULL;
	user = twin_tenant_user_id(g->entra->tenant, span_of(out->oid));
	return user && user->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_ENABLED ? user : NULL;
}

static void put_url(const struct google *g, json_t *json, const char *name, const char *path)
{
	char url[TWIN_ADDRESS_BYTES * 2];

	snprintf(url, sizeof url, "%s%s", g->entra->base_url, path);
	json_put_text(json, name, span_of(url));
}

static void discovery(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	json_t *json = json_object();

	put_url(g, json, "issuer", "");
	put_url(g, json, "authorization_endpoint", "/o/oauth2/v2/auth");
	put_url(g, json, "token_endpoint", "/token");
	put_url(g, json, "userinfo_endpoint", "/v1/userinfo");
	put_url(g, json, "revocation_endpoint", "/revoke");
	put_url(g, json, "jwks_uri", "/oauth2/v3/certs");
	json_object_set_new(json, "response_types_supported", json_pack("[s]", "code"));
	json_object_set_new(json, "response_modes_supported", json_pack("[s]", "query"));
	json_object_set_new(json, "subject_types_supported", json_pack("[s]", "public"));
	json_object_set_new(json, "id_token_signing_alg_values_supported", json_pack("[s]", "RS256"));
	json_object_set_new(json, "scopes_supported", json_pack("[s,s,s]", "openid", "email", "profile"));
	json_object_set_new(json, "token_endpoint_auth_methods_supported", json_pack("[s,s]", "client_secret_post", "client_secret_basic"));
	json_object_set_new(json, "claims_supported",
			    json_pack("[s,s,s,s,s,s,s,s]", "aud", "email", "email_verified", "exp", "iat", "iss", "name", "sub"));
	json_object_set_new(json, "code_challenge_methods_supported", json_pack("[s,s]", "plain", "S256"));
	json_object_set_new(json, "grant_types_supported",
			    json_pack("[s,s,s]", "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
	entra_answer_json(r, 200, json);
}

static void keys(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	json_t *key = json_object();
	struct buf modulus, exponent;

	buf_init(&modulus, TWIN_PEM_BYTES);
	buf_init(&exponent, TWIN_PEM_BYTES);
	twin_keys_public(g->entra->keys, &modulus, &exponent);
	json_put_text(key, "kty", SPAN("RSA"));
	json_put_text(key, "use", SPAN("sig"));
	json_put_text(key, "alg", SPAN("RS256"));
	json_put_text(key, "kid", twin_keys_id(g->entra->keys));
	json_put_text(key, "n", buf_span(&modulus));
	json_put_text(key, "e", buf_span(&exponent));
	entra_answer_json(r, 200, json_pack("{s:[o]}", "keys", key));
	buf_free(&modulus);
	buf_free(&exponent);
}

static void userinfo(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	struct google_access access;
	struct twin_user *user = google_bearer(g, q, &access);
	char subject[TWIN_ID_BYTES];
	json_t *json;

	if (!user || !twin_scope_has(span_of(access.scope), SPAN("openid"))) {
		entra_answer_json(r, 401, json_pack("{s:s,s:s}", "error", "invalid_request", "error_description", "Invalid Credentials"));
		return;
	}
	google_subject(subject, user->oid);
	json = json_object();
	json_put_text(json, "sub", span_of(subject));
	json_put_text(json, "name", span_of(user->name));
	json_put_text(json, "email", span_of(user->address));
	json_put_flag(json, "email_verified", true);
	json_put_text(json, "hd", span_of(g->entra->tenant->domain));
	entra_answer_json(r, 200, json);
}

/* Ends all that the account granted, as withdrawing one token does for its application. */
static void revoke(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	char token[TWIN_FIELD_BYTES];
	struct google_access access;
	struct twin_change change;
	struct twin_user *user;
	struct twin_grant grant;

	twin_field_text(q, SPAN("token"), token, sizeof token);
	if (google_refresh_read(&grant, g->entra->keys, span_of(token)) == FAULT_OK)
		user = twin_tenant_user_id(g->entra->tenant, span_of(grant.oid));
	else
		user = google_access_read(&access, g->entra->keys, span_of(token), q->wall_ms) == FAULT_OK
			       ? twin_tenant_user_id(g->entra->tenant, span_of(access.oid))
			       : NULL;
	if (!user || twin_tenant_set(g->entra->tenant, SPAN("grant"), SPAN("revoked"), span_of(user->address), q->wall_ms, &change) != FAULT_OK)
		entra_answer_json(r, 400, json_pack("{s:s,s:s}", "error", "invalid_token", "error_description", "Token expired or revoked"));
	else
		entra_answer_json(r, 200, json_object());
}

static const struct endpoint {
	const char *path;
	bool get, post;
	enum twin_stage stage;
	void (*handle)(struct google *, const struct twin_request *, struct twin_response *);
} endpoints[] = {
	{ "/.well-known/openid-configuration", true, false, TWIN_STAGE_DISCOVERY, discovery },
	{ "/oauth2/v3/certs", true, false, TWIN_STAGE_KEYS, keys },
	{ "/o/oauth2/v2/auth", true, false, TWIN_STAGE_AUTHORIZE, google_authorize },
	{ "/o/oauth2/auth", true, false, TWIN_STAGE_AUTHORIZE, google_authorize },
	{ "/token", false, true, TWIN_STAGE_TOKEN, google_grant },
	{ "/oauth2/v3/token", false, true, TWIN_STAGE_TOKEN, google_grant },
	{ "/v1/userinfo", true, true, TWIN_STAGE_USERINFO, userinfo },
	{ "/revoke", true, true, TWIN_STAGE_NONE, revoke },
};

static const struct endpoint *find(struct span path)
{
	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
		if (span_equal(path, span_of(endpoints[i].path)))
			return &endpoints[i];
	return NULL;
}

enum twin_stage google_stage(struct span method, struct span path)
{
	const struct endpoint *found = find(path);

	return found ? found->stage : gmail_api_stage(method, path);
}

bool google_handle(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	const struct endpoint *p = find(q->path);

	if (!p)
		return gmail_api_handle(g, q, r);
	if (twin_is_get(q) ? p->get : twin_is_post(q) && p->post)
		p->handle(g, q, r);
	else
		r->status = 405;
	return true;
}

void google_fini(struct google *g)
{
	gmail_api_fini(g);
}
