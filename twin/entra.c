#include "twin/entra.h"

#include "base/json.h"
#include "base/rand.h"
#include "base/text.h"
#include "twin/entra_sign_in.h"

#include <stdio.h>
#include <string.h>

enum { JSON_BYTES = 64 * 1024 };

void entra_init(struct entra *e, struct twin_tenant *tenant, const struct twin_keys *keys, const char *base_url)
{
	memset(e, 0, sizeof *e);
	e->tenant = tenant;
	e->keys = keys;
	entra_is_at(e, base_url);
}

void entra_is_at(struct entra *e, const char *base_url)
{
	if (!strcmp(e->base_url, base_url))
		return;
	snprintf(e->base_url, sizeof e->base_url, "%s", base_url);
	snprintf(e->issuer, sizeof e->issuer, "%s/%s/v2.0", base_url, e->tenant->id);
}

void entra_random_code(char out[ENTRA_CODE_BYTES], const char *head)
{
	unsigned char random[32];
	struct buf b;

	rand_bytes(random, sizeof random);
	buf_over(&b, out, ENTRA_CODE_BYTES - 1);
	buf_print(&b, "%s", head);
	text_base64_url(&b, (struct span){ (char *)random, sizeof random });
	out[b.size] = 0;
}

void entra_answer_json(struct twin_response *r, int status, struct json_t *json)
{
	r->status = status;
	r->content_type = "application/json; charset=utf-8";
	buf_clear(&r->body);
	json_write(&r->body, json);
	json_decref(json);
}

void entra_error_rename(struct twin_response *r, const char *error)
{
	json_t *json = json_read(buf_span(&r->body), JSON_BYTES);

	json_put_text(json, "error", span_of(error));
	entra_answer_json(r, r->status, json);
}

bool entra_redirect_matches(const struct twin_app *app, struct span uri)
{
	static const struct span hosts[] = { { "http://localhost", 16 }, { "http://127.0.0.1", 16 } };

	for (size_t i = 0; i < app->redirect_count; i++) {
		struct span registered = span_of(app->redirects[i]);

		if (span_equal(registered, uri))
			return true;
		for (size_t h = 0; h < sizeof hosts / sizeof *hosts; h++) {
			struct span rest = span_slice(uri, hosts[h].size, uri.size), port = span_slice(rest, 1, span_find_byte(rest, '/') - 1);
			uint64_t number;

			if (!span_starts(uri, hosts[h]) || !span_starts(registered, hosts[h]) || !span_starts(rest, SPAN(":")) ||
			    !port.size || !span_number(port, &number) || number > 65535)
				continue;
			if (span_equal(span_slice(rest, 1 + port.size, rest.size), span_slice(registered, hosts[h].size, registered.size)))
				return true;
		}
	}
	return false;
}

static void put_url(const struct entra *e, json_t *json, const char *name, const char *tail)
{
	char url[TWIN_ADDRESS_BYTES * 2];

	snprintf(url, sizeof url, "%s/%s%s", e->base_url, e->tenant->id, tail);
	json_put_text(json, name, span_of(url));
}

static void discovery(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	json_t *json = json_object();
	char url[TWIN_ADDRESS_BYTES * 2];

	put_url(e, json, "token_endpoint", "/oauth2/v2.0/token");
	json_object_set_new(json, "token_endpoint_auth_methods_supported", json_pack("[s,s,s]", "client_secret_post", "private_key_jwt", "client_secret_basic"));
	put_url(e, json, "jwks_uri", "/discovery/v2.0/keys");
	json_object_set_new(json, "response_modes_supported", json_pack("[s,s,s]", "query", "fragment", "form_post"));
	json_object_set_new(json, "subject_types_supported", json_pack("[s]", "pairwise"));
	json_object_set_new(json, "id_token_signing_alg_values_supported", json_pack("[s]", "RS256"));
	json_object_set_new(json, "response_types_supported", json_pack("[s]", "code"));
	json_object_set_new(json, "scopes_supported", json_pack("[s,s,s,s]", "openid", "profile", "email", "offline_access"));
	json_put_text(json, "issuer", span_of(e->issuer));
	json_put_flag(json, "request_uri_parameter_supported", false);
	snprintf(url, sizeof url, "%s/oidc/userinfo", e->base_url);
	json_put_text(json, "userinfo_endpoint", span_of(url));
	put_url(e, json, "authorization_endpoint", "/oauth2/v2.0/authorize");
	put_url(e, json, "device_authorization_endpoint", "/oauth2/v2.0/devicecode");
	put_url(e, json, "end_session_endpoint", "/oauth2/v2.0/logout");
	json_object_set_new(json, "claims_supported",
			    json_pack("[s,s,s,s,s,s,s,s,s,s,s,s]", "sub", "iss", "cloud_instance_name", "aud", "exp", "iat", "nonce",
				      "preferred_username", "name", "tid", "ver", "oid"));
	json_put_text(json, "tenant_region_scope", SPAN("EU"));
	json_put_text(json, "cloud_instance_name", SPAN("microsoftonline.com"));
	entra_answer_json(r, 200, json);
}

static void keys(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	json_t *key = json_object();
	struct buf modulus, exponent;

	buf_init(&modulus, JSON_BYTES);
	buf_init(&exponent, JSON_BYTES);
	twin_keys_public(e->keys, &modulus, &exponent);
	json_put_text(key, "kty", SPAN("RSA"));
	json_put_text(key, "use", SPAN("sig"));
	json_put_text(key, "alg", SPAN("RS256"));
	json_put_text(key, "kid", twin_keys_id(e->keys));
	json_put_text(key, "n", buf_span(&modulus));
	json_put_text(key, "e", buf_span(&exponent));
	json_put_text(key, "issuer", span_of(e->issuer));
	entra_answer_json(r, 200, json_pack("{s:[o]}", "keys", key));
	buf_free(&modulus);
	buf_free(&exponent);
}

static void refuse_userinfo(struct twin_response *r, const char *message)
{
	entra_answer_json(r, 401, json_pack("{s:{s:s,s:s}}", "error", "code", "InvalidAuthenticationToken", "message", message));
}

static void userinfo(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct span token = span_slice(q->authorization, 7, q->authorization.size);
	struct twin_access access;
	struct twin_user *user;
	json_t *json;

	if (!span_starts_fold(q->authorization, SPAN("Bearer "))) {
		refuse_userinfo(r, "Access token is empty.");
		return;
	}
	if (twin_access_read(&access, e->keys, token, q->wall_ms) != FAULT_OK || !(user = twin_tenant_user_id(e->tenant, span_of(access.oid)))) {
		refuse_userinfo(r, "Lifetime validation failed, the token is expired.");
		return;
	}
	if (!span_equal(span_of(access.audience), entra_resource(SPAN("openid")))) {
		refuse_userinfo(r, "Access token validation failure. Invalid audience.");
		return;
	}
	json = json_object();
	json_put_text(json, "sub", span_of(user->oid));
	json_put_text(json, "name", span_of(user->name));
	json_put_text(json, "email", span_of(user->address));
	entra_answer_json(r, 200, json);
}

typedef void handler(struct entra *, const struct twin_request *, struct twin_response *);

/* The endpoints behind /{tenant}. */
static const struct endpoint {
	const char *path;
	bool get, post;
	enum twin_stage stage;
	handler *handle;
} endpoints[] = {
	{ "/v2.0/.well-known/openid-configuration", true, false, TWIN_STAGE_DISCOVERY, discovery },
	{ "/discovery/v2.0/keys", true, false, TWIN_STAGE_KEYS, keys },
	{ "/oauth2/v2.0/authorize", true, true, TWIN_STAGE_AUTHORIZE, entra_authorize },
	{ "/oauth2/v2.0/token", false, true, TWIN_STAGE_TOKEN, entra_token },
	{ "/oauth2/v2.0/devicecode", false, true, TWIN_STAGE_DEVICECODE, entra_devicecode },
	{ "/oauth2/v2.0/logout", true, true, TWIN_STAGE_NONE, entra_logout },
	{ "/reprocess", false, true, TWIN_STAGE_NONE, entra_choose },
	{ "/login", false, true, TWIN_STAGE_NONE, entra_login },
	{ "/SAS/ProcessAuth", false, true, TWIN_STAGE_NONE, entra_factor },
	{ "/Consent/Set", false, true, TWIN_STAGE_NONE, entra_consent },
};

static const struct endpoint *find(struct span path, struct span *tenant)
{
	struct span rest = span_slice(path, 1, path.size);

	*tenant = span_slice(rest, 0, span_find_byte(rest, '/'));
	rest = span_slice(rest, tenant->size, rest.size);
	for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++)
		if (span_equal(rest, span_of(endpoints[i].path)))
			return &endpoints[i];
	return NULL;
}

enum twin_stage entra_stage(struct span path)
{
	struct span tenant;
	const struct endpoint *found = find(path, &tenant);

	if (span_equal(path, SPAN("/oidc/userinfo")))
		return TWIN_STAGE_USERINFO;
	return found ? found->stage : TWIN_STAGE_NONE;
}

static void refuse_tenant(struct twin_response *r, const struct endpoint *p, struct span name, int64_t wall_ms, enum language language)
{
	struct entra_error_values v = { .name = name };

	if (p->stage == TWIN_STAGE_AUTHORIZE) {
		entra_error_page(r, 90002, &v, language);
		return;
	}
	entra_error_json(r, 90002, &v, wall_ms);
	if (p->stage == TWIN_STAGE_DISCOVERY)
		entra_error_rename(r, "invalid_tenant");
}

bool entra_handle(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct span tenant;
	const struct endpoint *p = find(q->path, &tenant);

	if (span_equal(q->path, SPAN("/oidc/userinfo"))) {
		userinfo(e, q, r);
	} else if (span_equal(q->path, SPAN("/devicelogin"))) {
		entra_device_page(e, q, r);
	} else if (!p) {
		return false;
	} else if (!(twin_is_get(q) ? p->get : twin_is_post(q) && p->post)) {
		r->status = 405;
	} else if (!twin_tenant_is(e->tenant, tenant)) {
		refuse_tenant(r, p, tenant, q->wall_ms, q->language);
	} else {
		p->handle(e, q, r);
	}
	return true;
}
