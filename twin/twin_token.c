#include "twin/twin_token.h"

#include "base/rand.h"
#include "base/text.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct span refresh_head = { "1.A", 3 };

bool twin_scope_has(struct span scopes, struct span name)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one))
		if (one.size && span_equal_fold(one, name))
			return true;
	return false;
}

bool twin_sealed_put(struct buf *out, const struct twin_keys *k, struct span purpose, struct span text)
{
	struct buf sealed;
	bool ok;

	buf_init(&sealed, TWIN_TOKEN_BYTES);
	ok = seal_put(&sealed, twin_keys_seal(k), purpose, text) && text_base64_url(out, buf_span(&sealed));
	buf_free(&sealed);
	return ok;
}

bool twin_sealed_open(struct buf *out, const struct twin_keys *k, struct span purpose, struct span text)
{
	struct buf sealed;
	bool ok;

	buf_init(&sealed, TWIN_TOKEN_BYTES);
	ok = text_from_base64_url(&sealed, text) && seal_open(out, twin_keys_seal(k), purpose, buf_span(&sealed));
	buf_free(&sealed);
	return ok;
}

enum fault twin_refresh_put(struct buf *out, const struct twin_keys *k, const struct twin_grant *g)
{
	struct buf text;
	bool ok;

	buf_init(&text, TWIN_TOKEN_BYTES);
	ok = buf_print(&text, "%s\n%s\n%lld\n%lld\n%d\n%d\n%s", g->oid, g->client_id, (long long)g->issued_at_ms, (long long)g->signed_in_at_ms,
		       g->has_factor, g->is_public, g->scope) &&
	     buf_put(out, refresh_head) && twin_sealed_put(out, k, SPAN("refresh"), buf_span(&text));
	buf_free(&text);
	return ok ? FAULT_OK : FAULT_TOO_LARGE;
}

static bool read_number(struct span *rest, int64_t *out)
{
	struct span line;
	uint64_t number;

	if (!span_cut(rest, '\n', &line) || !span_number(line, &number) || number > INT64_MAX)
		return false;
	*out = (int64_t)number;
	return true;
}

enum fault twin_refresh_read(struct twin_grant *out, const struct twin_keys *k, struct span token)
{
	struct span rest, oid, client;
	struct buf text;
	int64_t factor = 0, public = 0;
	bool ok;

	buf_init(&text, TWIN_TOKEN_BYTES);
	ok = span_starts(token, refresh_head) &&
	     twin_sealed_open(&text, k, SPAN("refresh"), span_slice(token, refresh_head.size, token.size));
	rest = buf_span(&text);
	ok = ok && span_cut(&rest, '\n', &oid) && span_cut(&rest, '\n', &client) && span_text(out->oid, sizeof out->oid, oid) &&
	     span_text(out->client_id, sizeof out->client_id, client) && read_number(&rest, &out->issued_at_ms) &&
	     read_number(&rest, &out->signed_in_at_ms) && read_number(&rest, &factor) && read_number(&rest, &public) && span_text(out->scope, sizeof out->scope, rest);
	out->has_factor = factor != 0;
	out->is_public = public != 0;
	buf_free(&text);
	return ok ? FAULT_OK : FAULT_BAD_LOGIN;
}

static bool put_json_part(struct buf *out, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	bool ok = text && text_base64_url(out, span_of(text));

	free(text);
	json_decref(json);
	return ok;
}

/* Head, claims (which it takes) and signature. */
static enum fault put_jwt(struct buf *out, const struct twin_keys *k, json_t *claims)
{
	unsigned char signature[TWIN_SIGNATURE_BYTES];
	size_t from = out->size;
	bool ok = put_json_part(out, json_pack("{s:s,s:s,s:s}", "typ", "JWT", "alg", "RS256", "kid", twin_keys_id(k).at)) &&
		  buf_put_byte(out, '.');

	ok = put_json_part(out, claims) && ok;
	if (!ok)
		return FAULT_TOO_LARGE;
	if (twin_keys_sign(k, span_slice(buf_span(out), from, out->size), signature) != FAULT_OK)
		return FAULT_BUG;
	return buf_put_byte(out, '.') && text_base64_url(out, (struct span){ (char *)signature, sizeof signature }) ? FAULT_OK : FAULT_TOO_LARGE;
}

enum fault twin_claims_put_take(struct buf *out, const struct twin_keys *k, struct json_t *claims)
{
	return put_jwt(out, k, claims);
}

static json_t *common_claims(const struct twin_claims *c)
{
	unsigned char random[16];
	char memory[32] = "";
	struct buf uti;
	json_int_t now = c->wall_ms / 1000;

	rand_bytes(random, sizeof random);
	buf_over(&uti, memory, sizeof memory - 1);
	text_base64_url(&uti, (struct span){ (char *)random, sizeof random });
	return json_pack("{s:s,s:I,s:I,s:I,s:s,s:s}", "iss", c->issuer, "iat", now, "nbf", now, "exp", now + (json_int_t)c->seconds, "tid",
			 c->tenant->id, "uti", memory);
}

static void put_person(json_t *claims, const struct twin_user *u)
{
	json_object_set_new(claims, "name", json_string(u->name));
	json_object_set_new(claims, "oid", json_string(u->oid));
}

static void set_span(json_t *json, const char *name, struct span text)
{
	json_object_set_new(json, name, json_stringn(text.size ? text.at : "", text.size));
}

/* Of the application itself: roles and no scope. */
static void put_application(json_t *claims, const struct twin_claims *c)
{
	json_t *roles = json_array();
	struct span rest = c->scope, one;
	char oid[TWIN_ID_BYTES];

	twin_principal_id(oid, c->client_id);
	while (span_cut(&rest, ' ', &one))
		if (one.size)
			json_array_append_new(roles, json_stringn(one.at, one.size));
	json_object_set_new(claims, "oid", json_string(oid));
	json_object_set_new(claims, "sub", json_string(oid));
	json_object_set_new(claims, "idtyp", json_string("app"));
	json_object_set_new(claims, "appidacr", json_string("1"));
	json_object_set_new(claims, "roles", roles);
}

enum fault twin_access_put(struct buf *out, const struct twin_keys *k, const struct twin_claims *c)
{
	json_t *claims = common_claims(c);

	set_span(claims, "aud", c->audience);
	set_span(claims, "appid", span_of(c->client_id));
	set_span(claims, "ver", SPAN("1.0"));
	if (!c->user) {
		put_application(claims, c);
		return put_jwt(out, k, claims);
	}
	put_person(claims, c->user);
	set_span(claims, "scp", c->scope);
	set_span(claims, "upn", span_of(c->user->address));
	set_span(claims, "unique_name", span_of(c->user->address));
	json_object_set_new(claims, "amr", c->has_factor ? json_pack("[s,s]", "pwd", "mfa") : json_pack("[s]", "pwd"));
	return put_jwt(out, k, claims);
}

/* The same person has another subject at each registration. */
static void set_subject(json_t *claims, const struct twin_claims *c)
{
	unsigned char mac[SEAL_MAC_BYTES];
	char memory[64] = "";
	struct buf b;

	seal_hmac(mac, span_of(c->client_id), span_of(c->user->oid));
	buf_over(&b, memory, sizeof memory - 1);
	text_base64_url(&b, (struct span){ (char *)mac, sizeof mac });
	set_span(claims, "sub", span_of(memory));
}

enum fault twin_id_put(struct buf *out, const struct twin_keys *k, const struct twin_claims *c)
{
	json_t *claims = common_claims(c);

	put_person(claims, c->user);
	set_span(claims, "aud", span_of(c->client_id));
	set_span(claims, "preferred_username", span_of(c->user->address));
	set_span(claims, "ver", SPAN("2.0"));
	set_subject(claims, c);
	if (c->nonce.size)
		set_span(claims, "nonce", c->nonce);
	return put_jwt(out, k, claims);
}

static bool keep_claim(char *to, size_t room, const json_t *json, const char *name)
{
	const char *text = json_string_value(json_object_get(json, name));

	return text && span_text(to, room, span_of(text));
}

static enum fault read_claims(struct twin_access *out, struct span text, int64_t wall_ms)
{
	json_t *json = json_loadb(text.at, text.size, JSON_REJECT_DUPLICATES, NULL);
	const json_t *roles = json_object_get(json, "roles");
	enum fault fault = FAULT_BAD_LOGIN;

	out->scope[0] = out->roles[0] = 0;
	for (size_t i = 0; i < json_array_size(roles); i++) {
		size_t size = strlen(out->roles);

		snprintf(out->roles + size, sizeof out->roles - size, "%s%s", size ? " " : "", json_string_value(json_array_get(roles, i)));
	}
	if (keep_claim(out->oid, sizeof out->oid, json, "oid") && keep_claim(out->audience, sizeof out->audience, json, "aud") &&
	    keep_claim(out->client_id, sizeof out->client_id, json, "appid") && (json_is_array(roles) || keep_claim(out->scope, sizeof out->scope, json, "scp")))
		fault = json_integer_value(json_object_get(json, "exp")) * 1000 > wall_ms ? FAULT_OK : FAULT_EXPIRED;
	json_decref(json);
	return fault;
}

enum fault twin_access_read(struct twin_access *out, const struct twin_keys *k, struct span token, int64_t wall_ms)
{
	struct span head, claims, signature, rest = token;
	enum fault fault = FAULT_BAD_LOGIN;
	struct buf signed_by, text;

	buf_init(&signed_by, TWIN_TOKEN_BYTES);
	buf_init(&text, TWIN_TOKEN_BYTES);
	if (span_cut(&rest, '.', &head) && span_cut(&rest, '.', &claims) && span_cut(&rest, '.', &signature) && !rest.at &&
	    text_from_base64_url(&signed_by, signature) && text_from_base64_url(&text, claims) &&
	    twin_keys_verify(k, span_slice(token, 0, head.size + 1 + claims.size), buf_span(&signed_by)))
		fault = read_claims(out, buf_span(&text), wall_ms);
	buf_free(&signed_by);
	buf_free(&text);
	return fault;
}
