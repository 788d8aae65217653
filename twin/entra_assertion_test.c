/* Applications that ask for themselves: by secret, and by certificate as RFC 7523 has it. */
#include "twin/entra_assertion.h"

#include "tests/test.h"
#include "tests/twin_browser.h"
#include "base/json.h"
#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_ENDPOINT "http://localhost:3443/8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00/oauth2/v2.0/token"

static struct twin_keys *keys;
static struct test_entra site;
static EVP_PKEY *key;
static unsigned char *der;
static size_t der_size;

static void begin(void)
{
	X509 *certificate = X509_new();
	struct buf text;

	if (!keys)
		assert_int_equal(twin_keys_make(&keys, 1433160000000), FAULT_OK);
	test_entra_init(&site, keys);
	key = EVP_RSA_gen(2048u);
	der = NULL;
	assert_true(key && X509_set_pubkey(certificate, key) && X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
		    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) && X509_sign(certificate, key, EVP_sha256()));
	der_size = (size_t)i2d_X509(certificate, &der);
	X509_free(certificate);
	buf_over(&text, site.tenant.tenant.apps[0].certificate, sizeof site.tenant.tenant.apps[0].certificate - 1);
	assert_true(text_base64(&text, (struct span){ (char *)der, der_size }));
}

static void end(void)
{
	EVP_PKEY_free(key);
	OPENSSL_free(der);
	test_entra_fini(&site);
}

static void put_part(struct buf *out, json_t *json)
{
	struct buf text;

	buf_init(&text, 4096);
	json_write(&text, json);
	json_decref(json);
	text_base64_url(out, buf_span(&text));
	buf_free(&text);
}

/* What an assertion says; NULL members are what they should be. */
struct wish {
	const char *algorithm, *thumbprint, *issuer, *audience;
	int64_t from_s, until_s; /* from now */
	bool spoilt, no_id;
};

static json_t *head_of(const struct wish *w, bool pss)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size;
	char memory[128];
	struct buf name;

	buf_over(&name, memory, sizeof memory - 1);
	EVP_Digest(der, der_size, digest, &size, pss ? EVP_sha256() : EVP_sha1(), NULL);
	text_base64_url(&name, (struct span){ (char *)digest, size });
	memory[name.size] = 0;
	return json_pack("{s:s,s:s,s:s}", "alg", w->algorithm ? w->algorithm : "PS256", "typ", "JWT", w->thumbprint ? w->thumbprint : pss ? "x5t#S256" : "x5t", memory);
}

/* Asks for a token with an assertion. */
static void ask(const struct wish *w)
{
	bool pss = !w->algorithm || !strcmp(w->algorithm, "PS256");
	unsigned char mark[512];
	size_t size = sizeof mark;
	json_int_t now = (json_int_t)(site.wall / 1000);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding;
	struct buf text, form;

	buf_init(&text, 8192);
	buf_init(&form, 16384);
	put_part(&text, head_of(w, pss));
	buf_put_byte(&text, '.');
	put_part(&text, json_pack("{s:s,s:s,s:s,s:s*,s:I,s:I}", "aud", w->audience ? w->audience : TOKEN_ENDPOINT, "iss", w->issuer ? w->issuer : TEST_CLIENT, "sub",
				  w->issuer ? w->issuer : TEST_CLIENT, "jti", w->no_id ? NULL : "one", "nbf", now + (json_int_t)w->from_s, "exp",
				  now + (json_int_t)(w->until_s ? w->until_s : 600)));
	assert_true(EVP_DigestSignInit(context, &padding, EVP_sha256(), NULL, key));
	if (pss)
		assert_true(EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING) == 1 && EVP_PKEY_CTX_set_rsa_pss_saltlen(padding, RSA_PSS_SALTLEN_DIGEST) == 1);
	assert_int_equal(EVP_DigestSign(context, mark, &size, (unsigned char *)text.at, text.size), 1);
	EVP_MD_CTX_free(context);
	mark[7] ^= w->spoilt;
	buf_put_byte(&text, '.');
	text_base64_url(&text, (struct span){ (char *)mark, size });
	buf_print(&form, "grant_type=client_credentials&client_id=" TEST_CLIENT "&scope=https%%3A%%2F%%2Fgraph.microsoft.com%%2F.default&client_info=1"
			 "&client_assertion_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Aclient-assertion-type%%3Ajwt-bearer&client_assertion=%.*s%c",
		  SPAN_ARGS(buf_span(&text)), 0);
	test_entra_token(&site, form.at);
	buf_free(&text);
	buf_free(&form);
}

static void assertions_hold(void **state)
{
	static const struct wish cases[] = {
		{ .algorithm = "PS256" },
		{ .algorithm = "RS256" },
		{ .audience = "http://localhost:3443/contoso.example/oauth2/v2.0/token" },
		{ .audience = "http://localhost:3443/8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00/v2.0" },
		{ .until_s = -299 },
	};
	struct twin_access access;

	begin();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ask(&cases[i]);
		assert_int_equal(site.response.status, 200);
		assert_false(json_has(site.json, "refresh_token"));
		assert_int_equal(twin_access_read(&access, keys, json_text(site.json, "access_token"), site.wall), FAULT_OK);
		assert_string_equal(access.roles, "Mail.Send Mail.ReadWrite");
		assert_string_equal(access.scope, "");
		assert_string_equal(access.audience, "https://graph.microsoft.com");
		assert_string_equal(access.client_id, TEST_CLIENT);
	}
	end();
}

static void assertions_that_do_not_hold(void **state)
{
	static const struct {
		struct wish wish;
		int status, code;
		const char *error;
	} cases[] = {
		{ { .spoilt = true }, 401, 700027, "invalid_client" },
		{ { .thumbprint = "x5t" }, 401, 700027, "invalid_client" },
		{ { .thumbprint = "kid" }, 400, 50027, "invalid_request" },
		{ { .algorithm = "RS384" }, 401, 700027, "invalid_client" },
		{ { .issuer = "5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a02" }, 401, 700021, "invalid_client" },
		{ { .audience = "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token" }, 401, 700023, "invalid_client" },
		{ { .audience = "http://localhost:3443/fabrikam.example/oauth2/v2.0/token" }, 401, 700023, "invalid_client" },
		{ { .from_s = -900, .until_s = -301 }, 401, 700024, "invalid_client" },
		{ { .from_s = 301 }, 401, 700024, "invalid_client" },
		{ { .no_id = true }, 400, 50027, "invalid_request" },
	};

	begin();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ask(&cases[i].wish);
		assert_aadsts(&site, cases[i].status, cases[i].code, cases[i].error);
	}
	site.tenant.tenant.apps[0].certificate[0] = 0;
	ask(&(struct wish){ .algorithm = "PS256" });
	assert_aadsts(&site, 401, 700027, "invalid_client");
	site.tenant.tenant.apps[0].secret[0] = 0;
	ask(&(struct wish){ .algorithm = "PS256" });
	assert_aadsts(&site, 401, 700025, "invalid_client");
	end();
}

static void an_application_with_its_secret(void **state)
{
	struct twin_access access;

	begin();
	test_entra_token(&site, "grant_type=client_credentials&client_id=" TEST_CLIENT "&client_secret=" TEST_SECRET
				"&scope=https%3A%2F%2Foutlook.office365.com%2F.default");
	assert_int_equal(site.response.status, 200);
	assert_int_equal(twin_access_read(&access, keys, json_text(site.json, "access_token"), site.wall), FAULT_OK);
	assert_string_equal(access.roles, "SMTP.SendAsApp IMAP.AccessAsApp POP.AccessAsApp");
	test_entra_token(&site, "grant_type=client_credentials&client_id=" TEST_CLIENT "&client_secret=" TEST_SECRET
				"&scope=https%3A%2F%2Fgraph.microsoft.com%2FMail.Send");
	assert_aadsts(&site, 400, 1002012, "invalid_scope");
	test_entra_token(&site, "grant_type=client_credentials&client_id=" TEST_CLIENT "&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default");
	assert_aadsts(&site, 401, 7000218, "invalid_client");
	test_entra_token(&site, "grant_type=client_credentials&client_id=" TEST_CLIENT "&client_secret=7f3c9d52-41ab-4e0c-8d77-0a9b8c7d6e5f"
				"&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default");
	assert_aadsts(&site, 401, 7000215, "invalid_client");
	end();
}

TESTS(assertions_hold, assertions_that_do_not_hold, an_application_with_its_secret)
