#include "wire/assertion.h"

#include "base/json.h"
#include "base/rand.h"
#include "base/text.h"

enum { PART_BYTES = 8 * 1024, NUMBER_BYTES = 16 };

/* Clocks differ: it is good from a little before now. */
enum { BEFORE_S = 60 };

static bool put_part(struct buf *out, json_t *part)
{
	struct buf text;
	bool good;

	buf_init(&text, PART_BYTES);
	good = json_write(&text, part) && text_base64_url(out, buf_span(&text));
	buf_free(&text);
	json_decref(part);
	return good;
}

static void put_encoded(json_t *to, const char *name, struct span bytes)
{
	struct buf text;

	buf_init(&text, 256);
	if (text_base64_url(&text, bytes))
		json_put_text(to, name, buf_span(&text));
	buf_free(&text);
}

static json_t *head_of(const struct assertion *a, const struct signing_key *key)
{
	json_t *head = json_object();

	json_put_text(head, "alg", a->kind == SIGNATURE_PS256 ? SPAN("PS256") : SPAN("RS256"));
	json_put_text(head, "typ", SPAN("JWT"));
	if (a->key_id.size)
		json_put_text(head, "kid", a->key_id);
	else
		put_encoded(head, "x5t#S256", signing_key_thumbprint(key));
	return head;
}

static json_t *claims_of(const struct assertion *a)
{
	json_t *claims = json_object();
	char number[NUMBER_BYTES];

	rand_bytes(number, sizeof number);
	json_put_text(claims, "iss", a->issuer);
	json_put_text(claims, "sub", a->subject);
	json_put_text(claims, "aud", a->audience);
	if (a->scope.size)
		json_put_text(claims, "scope", a->scope);
	put_encoded(claims, "jti", (struct span){ number, sizeof number });
	json_put_whole(claims, "iat", a->wall_ms / 1000);
	json_put_whole(claims, "nbf", a->wall_ms / 1000 - BEFORE_S);
	json_put_whole(claims, "exp", (a->wall_ms + a->life_ms) / 1000);
	return claims;
}

bool assertion_put(struct buf *out, const struct assertion *a, const struct signing_key *key)
{
	size_t begun = out->size;
	struct buf signature;
	bool good = put_part(out, head_of(a, key)) && buf_put_byte(out, '.') && put_part(out, claims_of(a));

	buf_init(&signature, 2048);
	good = good && signing_key_sign(key, a->kind, span_slice(buf_span(out), begun, out->size), &signature) && buf_put_byte(out, '.') &&
	       text_base64_url(out, buf_span(&signature));
	buf_free(&signature);
	return good;
}
