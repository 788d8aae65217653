#include "wire/oauth.h"

#include "base/json.h"
#include "base/seal.h"
#include "base/text.h"
#include "wire/recognise.h"

enum { LIFETIME_PRESET_S = 3600, LIFETIME_LEAST_S = 60, DEVICE_LIFETIME_S = 900, DEVICE_LIFETIME_MAX_S = 3600, INTERVAL_S = 5, INTERVAL_MAX_S = 300,
       REFRESH_LIFE_MAX_S = 10 * 365 * 86400 };

struct field {
	const char *name;
	struct span value;
};

static bool put_field(struct buf *out, bool first, struct span name, struct span value)
{
	return (first || buf_put_byte(out, '&')) && buf_put(out, name) && buf_put_byte(out, '=') && text_percent(out, value);
}

/* name=value pairs; those without a value are left out. */
static bool put_form(struct buf *out, const struct field *fields, size_t count)
{
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		if (!fields[i].value.size)
			continue;
		if (!put_field(out, first, span_of(fields[i].name), fields[i].value))
			return false;
		first = false;
	}
	return !out->overfull;
}

#define PUT_FORM(out, ...)                                         \
	put_form(out, (const struct field[]){ __VA_ARGS__ },       \
		 sizeof((const struct field[]){ __VA_ARGS__ }) / sizeof(struct field))

/* Who asks: by assertion, or by secret. */
#define PROOF(c)                                                                                                                                    \
	{ "client_assertion_type", (c)->client_assertion.size ? SPAN("urn:ietf:params:oauth:client-assertion-type:jwt-bearer") : (struct span){ 0 } }, \
		{ "client_assertion", (c)->client_assertion },                                                                                      \
	{                                                                                                                                           \
		"client_secret", (c)->client_assertion.size ? (struct span){ 0 } : (c)->client_secret                                               \
	}

bool oauth_authorize_url(struct buf *out, const struct oauth_client *c, const struct oauth_authorize *a)
{
	char separator = span_find_byte(a->endpoint, '?') < a->endpoint.size ? '&' : '?';

	return buf_put(out, a->endpoint) && buf_put_byte(out, separator) &&
	       PUT_FORM(out, { "client_id", c->client_id }, { "response_type", SPAN("code") },
			{ "redirect_uri", a->redirect_uri }, { "response_mode", SPAN("query") }, { "scope", c->scope },
			{ "state", a->state }, { "nonce", a->nonce }, { "code_challenge", a->challenge },
			{ "code_challenge_method", SPAN("S256") }, { "prompt", a->prompt },
			{ "login_hint", a->login_hint }) &&
	       (!a->extra.size || (buf_put_byte(out, '&') && buf_put(out, a->extra)));
}

bool oauth_challenge(struct buf *out, struct span verifier)
{
	unsigned char digest[SEAL_DIGEST_BYTES];

	seal_digest(digest, verifier);
	return text_base64_url(out, (struct span){ (char *)digest, sizeof digest });
}

bool oauth_code_form(struct buf *out, const struct oauth_client *c, struct span code, struct span redirect_uri, struct span verifier)
{
	return PUT_FORM(out, { "client_id", c->client_id }, { "grant_type", SPAN("authorization_code") }, { "code", code },
			{ "redirect_uri", redirect_uri }, { "code_verifier", verifier }, { "scope", c->scope },
			PROOF(c));
}

bool oauth_refresh_form(struct buf *out, const struct oauth_client *c, struct span refresh_token)
{
	return PUT_FORM(out, { "client_id", c->client_id }, { "grant_type", SPAN("refresh_token") },
			{ "refresh_token", refresh_token }, { "scope", c->scope }, PROOF(c));
}

bool oauth_device_poll_form(struct buf *out, const struct oauth_client *c, struct span device_code)
{
	return PUT_FORM(out, { "client_id", c->client_id },
			{ "grant_type", SPAN("urn:ietf:params:oauth:grant-type:device_code") },
			{ "device_code", device_code }, PROOF(c));
}

bool oauth_device_form(struct buf *out, const struct oauth_client *c)
{
	return PUT_FORM(out, { "client_id", c->client_id }, { "scope", c->scope }, PROOF(c));
}

bool oauth_application_form(struct buf *out, const struct oauth_client *c)
{
	return PUT_FORM(out, { "client_id", c->client_id }, { "grant_type", SPAN("client_credentials") }, { "scope", c->scope }, PROOF(c));
}

bool oauth_assertion_form(struct buf *out, struct span assertion)
{
	return PUT_FORM(out, { "grant_type", SPAN("urn:ietf:params:oauth:grant-type:jwt-bearer") }, { "assertion", assertion });
}

void oauth_answer_free(struct oauth_answer *a)
{
	json_decref(a->document);
	*a = (struct oauth_answer){ 0 };
}

/* RFC 6749 A.12: visible ASCII. What else a provider might send would break the protocols that carry it. */
static bool is_token(struct span token)
{
	for (size_t i = 0; i < token.size; i++)
		if (token.at[i] <= ' ' || token.at[i] > '~')
			return false;
	return token.size > 0 && token.size <= OAUTH_TOKEN_BYTES;
}

static int64_t bounded(const json_t *j, const char *name, int64_t preset, int64_t least, int64_t most)
{
	int64_t number = preset;

	if (!json_whole(j, name, &number))
		number = preset;
	return number < least ? least : number > most ? most : number;
}

/* No member of RFC 6749: Google and GitHub have one name for it, Keycloak another, where 0 is none. */
static int64_t refresh_life(const json_t *j)
{
	int64_t life = bounded(j, "refresh_token_expires_in", 0, 0, REFRESH_LIFE_MAX_S);

	return life ? life : bounded(j, "refresh_expires_in", 0, 0, REFRESH_LIFE_MAX_S);
}

static enum fault fault_by_status(int status)
{
	if (status == 429)
		return FAULT_OAUTH_THROTTLED;
	return status >= 500 ? FAULT_OAUTH_SERVER_AWAY : FAULT_UPSTREAM_BROKEN;
}

/* FAULT_OK when it is a document without an error. */
static enum fault read_document(struct oauth_answer *out, int status, struct span body)
{
	enum fault fault;

	*out = (struct oauth_answer){ .document = json_read(body, OAUTH_ANSWER_BYTES) };
	if (!json_is_object(out->document))
		return fault_by_status(status);
	out->error = json_text(out->document, "error");
	out->suberror = json_text(out->document, "suberror");
	out->description = json_text(out->document, "error_description");
	out->claims = json_text(out->document, "claims");
	if (!out->error.size)
		return status == 200 ? FAULT_OK : fault_by_status(status);
	fault = recognise_token_error(out->error, out->suberror, out->description);
	if (status == 429)
		return FAULT_OAUTH_THROTTLED;
	if (fault == FAULT_OK)
		return status >= 500 ? FAULT_OAUTH_SERVER_AWAY : FAULT_OAUTH_REQUEST_WRONG;
	return fault;
}

enum fault oauth_read_token(struct oauth_answer *out, int status, struct span body)
{
	enum fault fault = read_document(out, status, body);
	const json_t *j = out->document;

	if (fault != FAULT_OK)
		return fault;
	out->access_token = json_text(j, "access_token");
	out->refresh_token = json_text(j, "refresh_token");
	out->id_token = json_text(j, "id_token");
	out->scope = json_text(j, "scope");
	out->expires_in_s = bounded(j, "expires_in", LIFETIME_PRESET_S, LIFETIME_LEAST_S, OAUTH_LIFETIME_MAX_S);
	out->refresh_expires_in_s = refresh_life(j);
	if (!is_token(out->access_token) || (out->refresh_token.size && !is_token(out->refresh_token)))
		return FAULT_UPSTREAM_BROKEN;
	if (json_has(j, "token_type") && !span_equal_fold(json_text(j, "token_type"), SPAN("Bearer")))
		return FAULT_UPSTREAM_BROKEN;
	return FAULT_OK;
}

enum fault oauth_read_device(struct oauth_answer *out, int status, struct span body)
{
	enum fault fault = read_document(out, status, body);
	const json_t *j = out->document;

	if (fault != FAULT_OK)
		return fault;
	out->device_code = json_text(j, "device_code");
	out->user_code = json_text(j, "user_code");
	out->verification_uri = json_text(j, "verification_uri");
	/* Google's name for it. */
	if (!out->verification_uri.size)
		out->verification_uri = json_text(j, "verification_url");
	out->message = json_text(j, "message");
	out->expires_in_s = bounded(j, "expires_in", DEVICE_LIFETIME_S, 1, DEVICE_LIFETIME_MAX_S);
	out->interval_s = bounded(j, "interval", INTERVAL_S, 1, INTERVAL_MAX_S);
	return is_token(out->device_code) && out->user_code.size && out->verification_uri.size ? FAULT_OK : FAULT_UPSTREAM_BROKEN;
}

enum fault oauth_read_discovery(struct oauth_answer *out, int status, struct span body)
{
	enum fault fault = read_document(out, status, body);
	const json_t *j = out->document;

	if (fault != FAULT_OK)
		return fault;
	out->issuer = json_text(j, "issuer");
	out->authorize_url = json_text(j, "authorization_endpoint");
	out->token_url = json_text(j, "token_endpoint");
	out->device_url = json_text(j, "device_authorization_endpoint");
	out->jwks_url = json_text(j, "jwks_uri");
	out->userinfo_url = json_text(j, "userinfo_endpoint");
	return out->issuer.size && out->authorize_url.size && out->token_url.size ? FAULT_OK : FAULT_UPSTREAM_BROKEN;
}

bool oauth_needs_person(enum fault fault)
{
	return fault_row(fault)->class == FAULT_CLASS_HOLD || fault_row(fault)->class == FAULT_CLASS_POLICY;
}
