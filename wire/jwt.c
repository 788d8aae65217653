#include "wire/jwt.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/signature.h"
#include "base/text.h"

#include <stdlib.h>

enum { CLOCK_SLACK_S = 300, NUMBER_BYTES = 2048, KEYS_MAX = 64, AUDIENCES_MAX = 16 };

static const struct span TENANT_MARK = { "{tenantid}", 10 };

static json_t *read_part(struct span part)
{
	json_t *document = NULL;
	struct buf text;

	buf_init(&text, JWT_BYTES);
	if (text_from_base64_url(&text, part))
		document = json_read(buf_span(&text), JWT_BYTES);
	buf_wipe(&text);
	if (json_is_object(document))
		return document;
	json_decref(document);
	return NULL;
}

/* A time may be missing; one that is there must be a whole number (as JSON, not as text). */
static bool read_time(const json_t *claims, const char *name, int64_t *out)
{
	const json_t *value = json_object_get(claims, name);

	*out = json_is_integer(value) ? json_integer_value(value) : 0;
	return !value || (json_is_integer(value) && *out > 0);
}

static enum fault take_claims(struct jwt *out)
{
	const json_t *c = out->claims;

	out->issuer = json_text(c, "iss");
	out->subject = json_text(c, "sub");
	out->nonce = json_text(c, "nonce");
	out->tenant = json_text(c, "tid");
	out->object = json_text(c, "oid");
	out->preferred_username = json_text(c, "preferred_username");
	out->upn = json_text(c, "upn");
	out->email = json_text(c, "email");
	out->name = json_text(c, "name");
	out->email_is_verified = json_flag(c, "email_verified", false);
	return read_time(c, "exp", &out->expires_s) && read_time(c, "nbf", &out->not_before_s) ? FAULT_OK : FAULT_ID_TOKEN_WRONG;
}

static bool take_signature(struct jwt *out, struct span text)
{
	struct buf signature;

	buf_init(&signature, NUMBER_BYTES);
	if (!text_from_base64_url(&signature, text)) {
		buf_free(&signature);
		return false;
	}
	out->memory = signature.at;
	out->signature = buf_span(&signature);
	return true;
}

enum fault jwt_read(struct jwt *out, struct span text)
{
	struct span rest = text, head, claims, signature, more;

	*out = (struct jwt){ 0 };
	if (text.size > JWT_BYTES || !span_cut(&rest, '.', &head) || !span_cut(&rest, '.', &claims) ||
	    !span_cut(&rest, '.', &signature) || span_cut(&rest, '.', &more))
		return FAULT_ID_TOKEN_WRONG;
	out->signed_part = span_slice(text, 0, head.size + 1 + claims.size);
	out->head = read_part(head);
	out->claims = read_part(claims);
	if (!out->head || !out->claims || json_has(out->head, "crit") || !take_signature(out, signature))
		return FAULT_ID_TOKEN_WRONG;
	out->algorithm = json_text(out->head, "alg");
	out->key_id = json_text(out->head, "kid");
	return take_claims(out);
}

enum fault jwt_read_claims(struct jwt *out, struct span text)
{
	*out = (struct jwt){ .claims = json_read(text, JWT_BYTES) };
	return json_is_object(out->claims) ? take_claims(out) : FAULT_UPSTREAM_BROKEN;
}

void jwt_free(struct jwt *j)
{
	json_decref(j->head);
	json_decref(j->claims);
	free(j->memory);
	*j = (struct jwt){ 0 };
}

static bool is_for(const json_t *claims, struct span client_id)
{
	struct span audience;

	for (size_t i = 0; i < AUDIENCES_MAX && json_item(claims, "aud", i, &audience); i++)
		if (span_equal(audience, client_id))
			return true;
	return false;
}

static bool is_from(const struct jwt *j, struct span issuer)
{
	size_t mark = span_find(issuer, TENANT_MARK);
	struct span tail;

	if (mark == issuer.size)
		return span_equal(j->issuer, issuer);
	tail = span_slice(issuer, mark + TENANT_MARK.size, issuer.size);
	return j->tenant.size && j->issuer.size == mark + j->tenant.size + tail.size &&
	       span_equal(span_slice(j->issuer, 0, mark), span_slice(issuer, 0, mark)) &&
	       span_equal(span_slice(j->issuer, mark, j->tenant.size), j->tenant) &&
	       span_equal(span_slice(j->issuer, mark + j->tenant.size, j->issuer.size), tail);
}

enum fault jwt_check(const struct jwt *j, const struct jwt_expected *e, const char **what_out)
{
	int64_t now_s = e->wall_ms / 1000;
	const struct {
		bool holds;
		const char *claim;
	} claims[] = {
		{ is_from(j, e->issuer), "iss" },
		{ is_for(j->claims, e->client_id), "aud" },
		{ j->expires_s > now_s - CLOCK_SLACK_S, "exp" },
		{ j->not_before_s <= now_s + CLOCK_SLACK_S, "nbf" },
		{ !e->nonce.size || span_equal(j->nonce, e->nonce), "nonce" },
		{ j->subject.size > 0, "sub" },
	};

	for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
		if (!claims[i].holds) {
			*what_out = claims[i].claim;
			return FAULT_ID_TOKEN_WRONG;
		}
	*what_out = "";
	return FAULT_OK;
}

/* A member of a key, decoded; empty when it is none. */
static struct span key_number(struct buf *into, const json_t *key, const char *name)
{
	size_t start = into->size;

	if (!text_from_base64_url(into, json_text(key, name)))
		return (struct span){ "", 0 };
	return span_slice(buf_span(into), start, into->size);
}

static bool rsa_signed(const struct jwt *j, const json_t *key, enum signature_kind kind)
{
	char memory[NUMBER_BYTES];
	struct buf numbers;
	struct span n, e;

	buf_over(&numbers, memory, sizeof memory);
	n = key_number(&numbers, key, "n");
	e = key_number(&numbers, key, "e");
	return signature_rsa(kind, n, e, j->signed_part, j->signature);
}

static bool rs256_signed(const struct jwt *j, const json_t *key)
{
	return rsa_signed(j, key, SIGNATURE_RS256);
}

static bool ps256_signed(const struct jwt *j, const json_t *key)
{
	return rsa_signed(j, key, SIGNATURE_PS256);
}

static bool es256_signed(const struct jwt *j, const json_t *key)
{
	char memory[NUMBER_BYTES];
	struct buf numbers;
	struct span x, y;

	buf_over(&numbers, memory, sizeof memory);
	x = key_number(&numbers, key, "x");
	y = key_number(&numbers, key, "y");
	return span_equal(json_text(key, "crv"), SPAN("P-256")) && signature_p256(x, y, j->signed_part, j->signature);
}

static const struct algorithm {
	struct span name, key_type;
	bool (*is_signed)(const struct jwt *, const json_t *key);
} algorithms[] = {
	{ { "RS256", 5 }, { "RSA", 3 }, rs256_signed },
	{ { "PS256", 5 }, { "RSA", 3 }, ps256_signed },
	{ { "ES256", 5 }, { "EC", 2 }, es256_signed },
};

/* Whether a key may have made this signature: its id, its kind, and, where it says so, its use and algorithm. */
static bool key_fits(const struct jwt *j, const struct algorithm *a, const json_t *key)
{
	struct span use = json_text(key, "use"), alg = json_text(key, "alg");

	if (j->key_id.size && !span_equal(json_text(key, "kid"), j->key_id))
		return false;
	return span_equal(json_text(key, "kty"), a->key_type) && (!use.size || span_equal(use, SPAN("sig"))) &&
	       (!alg.size || span_equal(alg, j->algorithm));
}

static enum fault verify_with(const struct jwt *j, const struct algorithm *a, const json_t *keys)
{
	enum fault fault = FAULT_NOT_FOUND;

	for (size_t i = 0; i < json_array_size(keys) && i < KEYS_MAX; i++) {
		const json_t *key = json_array_get(keys, i);

		if (!key_fits(j, a, key))
			continue;
		if (a->is_signed(j, key))
			return FAULT_OK;
		fault = FAULT_ID_TOKEN_WRONG;
	}
	return fault;
}

enum fault jwt_verify(const struct jwt *j, struct span key_set)
{
	json_t *document;
	enum fault fault = FAULT_ID_TOKEN_WRONG;

	for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++) {
		if (!span_equal(algorithms[i].name, j->algorithm))
			continue;
		document = json_read(key_set, JWT_BYTES * 4);
		fault = verify_with(j, &algorithms[i], json_object_get(document, "keys"));
		json_decref(document);
	}
	return fault;
}
