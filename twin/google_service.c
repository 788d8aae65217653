#include "twin/google_service.h"

#include "base/json.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <string.h>

enum { JSON_BYTES = 16 * 1024, SKEW_S = 300, LIFE_S = 3600 };

static const struct span purpose = { "google service key", 18 };

/* The account and the public key, sealed: what the key is called by. */
static bool put_key_id(struct buf *out, const struct twin_keys *k, EVP_PKEY *key, const struct twin_service *s)
{
	unsigned char *der = NULL;
	int size = i2d_PUBKEY(key, &der);
	struct buf text;
	bool ok;

	buf_init(&text, TWIN_TOKEN_BYTES);
	ok = size > 0 && buf_print(&text, "%s\n", s->email) && buf_put(&text, (struct span){ (char *)der, (size_t)size }) &&
	     twin_sealed_put(out, k, purpose, buf_span(&text));
	buf_free(&text);
	OPENSSL_free(der);
	return ok;
}

static bool put_private(struct buf *out, EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *at;
	long size;
	bool ok;

	if (!bio)
		return false;
	ok = PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1 && (size = BIO_get_mem_data(bio, &at)) > 0 &&
	     buf_put(out, (struct span){ at, (size_t)size });
	BIO_free(bio);
	return ok;
}

static void put_url(json_t *json, const char *name, const char *base_url, const char *path)
{
	char url[TWIN_ADDRESS_BYTES * 2];

	snprintf(url, sizeof url, "%s%s", base_url, path);
	json_put_text(json, name, span_of(url));
}

json_t *google_service_key(const struct twin_keys *k, const struct twin_service *s, const char *base_url)
{
	EVP_PKEY *key = EVP_RSA_gen(2048u);
	char number[TWIN_ID_BYTES];
	json_t *json = NULL;
	struct buf id, pem;

	buf_init(&id, TWIN_TOKEN_BYTES);
	buf_init(&pem, TWIN_PEM_BYTES);
	if (key && put_key_id(&id, k, key, s) && put_private(&pem, key)) {
		google_subject(number, s->email);
		json = json_object();
		json_put_text(json, "type", SPAN("service_account"));
		json_put_text(json, "project_id", SPAN("contoso-77"));
		json_put_text(json, "private_key_id", buf_span(&id));
		json_put_text(json, "private_key", buf_span(&pem));
		json_put_text(json, "client_email", span_of(s->email));
		json_put_text(json, "client_id", span_of(number));
		put_url(json, "auth_uri", base_url, "/o/oauth2/v2/auth");
		put_url(json, "token_uri", base_url, "/token");
		put_url(json, "auth_provider_x509_cert_url", base_url, "/oauth2/v1/certs");
		json_put_text(json, "universe_domain", SPAN("googleapis.com"));
	}
	buf_free(&id);
	buf_wipe(&pem);
	EVP_PKEY_free(key);
	return json;
}

/* An assertion, taken apart. */
struct assertion {
	json_t *head, *claims;
	struct span signed_part;
	struct buf signature;
};

static json_t *part_json(struct span part)
{
	json_t *json = NULL;
	struct buf text;

	buf_init(&text, JSON_BYTES);
	if (text_from_base64_url(&text, part))
		json = json_read(buf_span(&text), JSON_BYTES);
	buf_free(&text);
	return json;
}

static bool take_apart(struct assertion *a, struct span text)
{
	struct span rest = text, head, claims, signature;

	if (!span_cut(&rest, '.', &head) || !span_cut(&rest, '.', &claims) || !span_cut(&rest, '.', &signature) || rest.at)
		return false;
	a->head = part_json(head);
	a->claims = part_json(claims);
	a->signed_part = span_slice(text, 0, head.size + 1 + claims.size);
	return a->head && a->claims && text_from_base64_url(&a->signature, signature);
}

/* The public key that the head names, where it is one of this account's. */
static EVP_PKEY *key_of(const struct assertion *a, const struct twin_keys *k, struct span email)
{
	struct span rest, owner;
	EVP_PKEY *key = NULL;
	struct buf text;

	buf_init(&text, TWIN_TOKEN_BYTES);
	if (twin_sealed_open(&text, k, purpose, json_text(a->head, "kid"))) {
		rest = buf_span(&text);
		if (span_cut(&rest, '\n', &owner) && span_equal_fold(owner, email)) {
			const unsigned char *at = (const unsigned char *)rest.at;

			key = d2i_PUBKEY(NULL, &at, (long)rest.size);
		}
	}
	buf_free(&text);
	return key;
}

static bool signature_holds(const struct assertion *a, const struct twin_keys *k, struct span email)
{
	EVP_PKEY *key = span_equal(json_text(a->head, "alg"), SPAN("RS256")) ? key_of(a, k, email) : NULL;
	EVP_MD_CTX *context = key ? EVP_MD_CTX_new() : NULL;
	bool ok = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestVerify(context, (const unsigned char *)a->signature.at, a->signature.size, (const unsigned char *)a->signed_part.at,
				   a->signed_part.size) == 1;

	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	return ok;
}

static bool time_holds(const json_t *claims, int64_t now_s)
{
	int64_t issued = 0, ends = 0;

	return json_whole(claims, "iat", &issued) && json_whole(claims, "exp", &ends) && issued <= now_s + SKEW_S && ends > now_s - SKEW_S &&
	       ends - issued <= LIFE_S && ends > issued;
}

static bool is_delegated(const struct twin_service *s, struct span scopes)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one))
		if (one.size && !twin_scope_has(span_of(s->delegated), one))
			return false;
	return true;
}

static enum google_error check(struct twin_tenant *t, const struct twin_keys *k, const struct assertion *a, const char *base_url, int64_t wall_ms,
			       struct twin_user **user_out)
{
	struct span issuer = json_text(a->claims, "iss"), subject = json_text(a->claims, "sub"), scope = json_text(a->claims, "scope");
	const struct twin_service *s = twin_tenant_service(t, issuer);
	struct span audience = json_text(a->claims, "aud");
	char url[TWIN_ADDRESS_BYTES + 16];

	if (!s)
		return GOOGLE_ERROR_google_account_unknown;
	if (!signature_holds(a, k, issuer))
		return GOOGLE_ERROR_google_jwt_signature;
	snprintf(url, sizeof url, "%s/token", base_url);
	if (!span_equal(audience, span_of(url)) && !span_equal(audience, SPAN("https://oauth2.googleapis.com/token")))
		return GOOGLE_ERROR_google_jwt_audience;
	if (!time_holds(a->claims, wall_ms / 1000))
		return GOOGLE_ERROR_google_jwt_time;
	if (!scope.size)
		return GOOGLE_ERROR_google_scope;
	if (!subject.size)
		return GOOGLE_OK;
	*user_out = twin_tenant_user(t, subject);
	if (!*user_out || (*user_out)->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_DISABLED)
		return GOOGLE_ERROR_google_user_unknown;
	return is_delegated(s, scope) ? GOOGLE_OK : GOOGLE_ERROR_google_delegation;
}

enum google_error google_service_check(struct twin_tenant *t, const struct twin_keys *k, struct span text, const char *base_url, int64_t wall_ms,
				       struct twin_user **user_out, char scope_out[TWIN_SCOPE_BYTES])
{
	struct assertion a = { 0 };
	enum google_error error = GOOGLE_ERROR_google_bad_request;

	*user_out = NULL;
	buf_init(&a.signature, JSON_BYTES);
	if (take_apart(&a, text)) {
		error = check(t, k, &a, base_url, wall_ms, user_out);
		if (error == GOOGLE_OK && !span_text(scope_out, TWIN_SCOPE_BYTES, json_text(a.claims, "scope")))
			error = GOOGLE_ERROR_google_scope;
	}
	json_decref(a.head);
	json_decref(a.claims);
	buf_free(&a.signature);
	return error;
}
