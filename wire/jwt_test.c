#include "wire/jwt.h"

#include "base/buf.h"
#include "base/text.h"
#include "tests/test.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

enum { NOW_S = 1700000000 };

static const char claims_text[] =
	"{\"iss\":\"https://login.example/T-1/v2.0\",\"aud\":\"app\",\"sub\":\"s\",\"tid\":\"T-1\",\"oid\":\"O-1\",\"nonce\":\"N\","
	"\"exp\":1700003600,\"nbf\":1700000000,\"preferred_username\":\"Ann@Example.com\",\"email\":\"a@x.example\",\"email_verified\":true}";

static void make(struct buf *out, const char *head, const char *claims)
{
	buf_init(out, 8192);
	text_base64_url(out, span_of(head));
	buf_put_byte(out, '.');
	text_base64_url(out, span_of(claims));
	buf_put(out, SPAN(".c2ln"));
}

static const struct jwt_expected expected = { SPAN("https://login.example/{tenantid}/v2.0"), SPAN("app"), SPAN("N"),
					      NOW_S * 1000LL };

static void claims_are_read(void **state)
{
	struct buf text;
	struct jwt j;
	const char *what;

	make(&text, "{\"alg\":\"RS256\",\"kid\":\"k\"}", claims_text);
	assert_int_equal(jwt_read(&j, buf_span(&text)), FAULT_OK);
	assert_span(j.algorithm, "RS256");
	assert_span(j.key_id, "k");
	assert_span(j.tenant, "T-1");
	assert_span(j.object, "O-1");
	assert_span(j.preferred_username, "Ann@Example.com");
	assert_true(j.email_is_verified);
	assert_span(j.signature, "sig");
	assert_int_equal(jwt_check(&j, &expected, &what), FAULT_OK);
	jwt_free(&j);
	buf_free(&text);
}

static void each_claim_must_hold(void **state)
{
	static const struct {
		const char *claims, *what;
	} cases[] = {
		{ "{\"iss\":\"https://evil.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600}", "iss" },
		{ "{\"iss\":\"https://login.example//v2.0\",\"tid\":\"\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600}", "iss" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"U\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600}", "iss" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"other\",\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600}", "aud" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":[],\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600}", "aud" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1699999000}", "exp" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"N\"}", "exp" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600,\"nbf\":1700001000}", "nbf" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"sub\":\"s\",\"nonce\":\"M\",\"exp\":1700003600}", "nonce" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"sub\":\"s\",\"exp\":1700003600}", "nonce" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":\"app\",\"nonce\":\"N\",\"exp\":1700003600}", "sub" },
		{ "{\"iss\":\"https://login.example/T/v2.0\",\"tid\":\"T\",\"aud\":[\"x\",\"app\"],\"sub\":\"s\",\"nonce\":\"N\",\"exp\":1700003600}", "" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct buf text;
		struct jwt j;
		const char *what;

		make(&text, "{\"alg\":\"RS256\"}", cases[i].claims);
		assert_int_equal(jwt_read(&j, buf_span(&text)), FAULT_OK);
		assert_int_equal(jwt_check(&j, &expected, &what), *cases[i].what ? FAULT_ID_TOKEN_WRONG : FAULT_OK);
		assert_string_equal(what, cases[i].what);
		jwt_free(&j);
		buf_free(&text);
	}
}

static void what_is_no_token_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "a", "a.b", "a.b.c", "..", "e30.e30", "e30.e30.e30.e30", "e30.e30.e30.e30.e30", "e30.W10.", "!.e30.", "e30.e3.x",
		/* {"crit":["b64"]} */
		"eyJjcml0IjpbImI2NCJdfQ.e30.",
		/* {"exp":"1700003600"}, {"exp":1.5}, {"exp":-1} */
		"e30.eyJleHAiOiIxNzAwMDAzNjAwIn0.", "e30.eyJleHAiOjEuNX0.", "e30.eyJleHAiOi0xfQ.",
		/* {"iss":"a","iss":"b"} */
		"e30.eyJpc3MiOiJhIiwiaXNzIjoiYiJ9.",
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct jwt j;

		assert_int_equal(jwt_read(&j, span_of(bad[i])), FAULT_ID_TOKEN_WRONG);
		jwt_free(&j);
	}
}

static void put_member(struct buf *out, const char *name, const EVP_PKEY *key, const char *parameter)
{
	unsigned char bytes[1024];
	BIGNUM *n = NULL;
	int size;

	assert_int_equal(EVP_PKEY_get_bn_param(key, parameter, &n), 1);
	size = BN_bn2bin(n, bytes);
	buf_print(out, "\"%s\":\"", name);
	text_base64_url(out, (struct span){ (char *)bytes, (size_t)size });
	buf_put(out, SPAN("\""));
	BN_free(n);
}

static void key_set(struct buf *out, const EVP_PKEY *key, const char *kid, const char *more)
{
	buf_init(out, 8192);
	buf_print(out, "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"%s\",%s", kid, more);
	put_member(out, "n", key, "n");
	buf_put_byte(out, ',');
	put_member(out, "e", key, "e");
	buf_put(out, SPAN("}]}"));
}

static void sign(struct buf *token, EVP_PKEY *key, const char *head)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char signature[1024];
	size_t size = sizeof signature;

	make(token, head, claims_text);
	token->size -= 5;
	assert_int_equal(EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestSign(digest, signature, &size, (const unsigned char *)token->at, token->size), 1);
	buf_put_byte(token, '.');
	text_base64_url(token, (struct span){ (char *)signature, size });
	EVP_MD_CTX_free(digest);
}

static enum fault verified(EVP_PKEY *key, const char *head, const char *kid, const char *more)
{
	struct buf token, keys;
	struct jwt j;
	enum fault fault;

	sign(&token, key, head);
	key_set(&keys, key, kid, more);
	assert_int_equal(jwt_read(&j, buf_span(&token)), FAULT_OK);
	fault = jwt_verify(&j, buf_span(&keys));
	jwt_free(&j);
	buf_free(&token);
	buf_free(&keys);
	return fault;
}

static void signatures_are_checked_against_the_key_set(void **state)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);

	assert_int_equal(verified(key, "{\"alg\":\"RS256\",\"kid\":\"a\"}", "a", ""), FAULT_OK);
	assert_int_equal(verified(key, "{\"alg\":\"RS256\",\"kid\":\"a\"}", "a", "\"use\":\"sig\",\"alg\":\"RS256\","), FAULT_OK);
	assert_int_equal(verified(key, "{\"alg\":\"RS256\",\"kid\":\"a\"}", "b", ""), FAULT_NOT_FOUND);
	assert_int_equal(verified(key, "{\"alg\":\"RS256\",\"kid\":\"a\"}", "a", "\"use\":\"enc\","), FAULT_NOT_FOUND);
	assert_int_equal(verified(key, "{\"alg\":\"PS256\",\"kid\":\"a\"}", "a", ""), FAULT_ID_TOKEN_WRONG);
	assert_int_equal(verified(key, "{\"alg\":\"none\",\"kid\":\"a\"}", "a", ""), FAULT_ID_TOKEN_WRONG);
	assert_int_equal(verified(key, "{\"alg\":\"HS256\",\"kid\":\"a\"}", "a", ""), FAULT_ID_TOKEN_WRONG);
	assert_int_equal(verified(key, "{\"alg\":\"ES256\",\"kid\":\"a\"}", "a", ""), FAULT_NOT_FOUND);
	EVP_PKEY_free(key);
}

/* RFC 7515 A.3, with the key as a set. */
static void the_standards_example_is_verified(void **state)
{
	static const char token[] = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
				    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
	static const struct span keys = SPAN("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
					     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}");
	struct jwt j;

	assert_int_equal(jwt_read(&j, span_of(token)), FAULT_OK);
	assert_span(j.issuer, "joe");
	assert_int_equal(jwt_verify(&j, keys), FAULT_OK);
	assert_int_equal(jwt_verify(&j, SPAN("{\"keys\":{}}")), FAULT_NOT_FOUND);
	assert_int_equal(jwt_verify(&j, SPAN("nonsense")), FAULT_NOT_FOUND);
	jwt_free(&j);
}

static void userinfo_gives_the_same_claims(void **state)
{
	struct jwt j;

	assert_int_equal(jwt_read_claims(&j, SPAN("{\"sub\":\"s\",\"email\":\"a@b.example\"}")), FAULT_OK);
	assert_span(j.email, "a@b.example");
	jwt_free(&j);
	assert_int_equal(jwt_read_claims(&j, SPAN("<html>")), FAULT_UPSTREAM_BROKEN);
	jwt_free(&j);
}

TESTS(claims_are_read, each_claim_must_hold, what_is_no_token_is_refused, signatures_are_checked_against_the_key_set,
      the_standards_example_is_verified, userinfo_gives_the_same_claims)
