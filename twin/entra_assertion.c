#include "twin/entra_assertion.h"

#include "base/json.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { SKEW_SECONDS = 300 };

/* An assertion taken apart. */
struct assertion {
	json_t *head, *claims;
	struct span text; /* what is signed */
	struct buf signature;
};

static bool read_part(struct span text, json_t **out)
{
	struct buf bytes;

	buf_init(&bytes, TWIN_TOKEN_BYTES);
	*out = text_from_base64_url(&bytes, text) ? json_read(buf_span(&bytes), TWIN_TOKEN_BYTES) : NULL;
	buf_free(&bytes);
	return *out != NULL;
}

static bool take_apart(struct assertion *a, struct span whole)
{
	struct span rest = whole, head, claims, signature;

	return span_cut(&rest, '.', &head) && span_cut(&rest, '.', &claims) && span_cut(&rest, '.', &signature) && !rest.at &&
	       (a->text = span_slice(whole, 0, head.size + 1 + claims.size)).size && read_part(head, &a->head) && read_part(claims, &a->claims) &&
	       text_from_base64_url(&a->signature, signature);
}

/* Whether a header names the certificate by its digest. */
static bool names(const json_t *head, const char *member, const EVP_MD *digest, struct span der)
{
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	char memory[EVP_MAX_MD_SIZE * 2];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	return EVP_Digest(der.at, der.size, bytes, &size, digest, NULL) == 1 && text_base64_url(&text, (struct span){ (char *)bytes, size }) &&
	       span_equal(json_text(head, member), buf_span(&text));
}

static bool is_signed(const struct assertion *a, struct span der)
{
	const unsigned char *at = (const unsigned char *)der.at, *text = (const unsigned char *)a->text.at, *mark = (const unsigned char *)a->signature.at;
	X509 *certificate = d2i_X509(NULL, &at, (long)der.size);
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding = NULL;
	struct span algorithm = json_text(a->head, "alg");
	bool pss = span_equal(algorithm, SPAN("PS256")), ok = key && context && (pss || span_equal(algorithm, SPAN("RS256")));

	ok = ok && EVP_PKEY_is_a(key, "RSA") && EVP_DigestVerifyInit(context, &padding, EVP_sha256(), NULL, key) == 1;
	if (ok && pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(context, mark, a->signature.size, text, a->text.size) == 1;
	EVP_MD_CTX_free(context);
	X509_free(certificate);
	return ok;
}

/* Whether the audience is this token endpoint (under any name of the tenant), or the issuer. */
static bool is_for(const struct entra *e, struct span audience)
{
	struct span base = span_of(e->base_url), rest = span_slice(audience, base.size + 1, audience.size), tenant = { 0 };

	if (!span_starts(audience, base) || !span_cut(&rest, '/', &tenant) || !twin_tenant_is(e->tenant, tenant))
		return false;
	return span_equal(rest, SPAN("oauth2/v2.0/token")) || span_equal(rest, SPAN("v2.0"));
}

static int judge_claims(const struct entra *e, const struct twin_app *app, const json_t *claims, int64_t now_s)
{
	int64_t until = 0, from = 0;

	if (!span_equal(json_text(claims, "iss"), span_of(app->id)) || !span_equal(json_text(claims, "sub"), span_of(app->id)))
		return 700021;
	if (!is_for(e, json_text(claims, "aud")))
		return 700023;
	json_whole(claims, "nbf", &from);
	if (!json_whole(claims, "exp", &until) || until + SKEW_SECONDS < now_s || from > now_s + SKEW_SECONDS)
		return 700024;
	return json_text(claims, "jti").size ? 0 : 50027;
}

static int judge(const struct entra *e, const struct twin_app *app, const struct assertion *a, int64_t now_s)
{
	int code = 700027;
	struct buf der;

	if (!json_has(a->head, "x5t") && !json_has(a->head, "x5t#S256"))
		return 50027;
	buf_init(&der, TWIN_CERTIFICATE_BYTES);
	if (text_from_base64(&der, span_of(app->certificate)) && der.size &&
	    (names(a->head, "x5t#S256", EVP_sha256(), buf_span(&der)) || names(a->head, "x5t", EVP_sha1(), buf_span(&der))) && is_signed(a, buf_span(&der)))
		code = judge_claims(e, app, a->claims, now_s);
	buf_free(&der);
	return code;
}

int entra_assertion_check(const struct entra *e, const struct twin_app *app, struct span assertion, int64_t wall_ms)
{
	struct assertion a = { 0 };
	int code;

	buf_init(&a.signature, TWIN_TOKEN_BYTES);
	code = take_apart(&a, assertion) ? judge(e, app, &a, wall_ms / 1000) : 50027;
	json_decref(a.head);
	json_decref(a.claims);
	buf_free(&a.signature);
	return code;
}
