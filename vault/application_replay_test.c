/* An application that signs in for all mailboxes of its provider: by secret, by certificate. */
#include "tests/app_certificate.h"
#include "tests/vault_stage.h"

#include "base/text.h"
#include "wire/jwt.h"

#include <openssl/rsa.h>

/* The provider of the stage, signed in for by the application. */
static void application(struct stage *s)
{
	stage_begin(s);
	s->idp.no_refresh = s->idp.no_id_token = true;
	stage_people(s);
	assert_int_equal(stage_call(s, "provider.set", "{'name':'m365','access':'application'}"), FAULT_OK);
}

static void nobody_needs_to_link(void **state)
{
	struct stage s;

	application(&s);
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_int_equal(stage_call(&s, "mailbox.link", "{'address':'ann@example.com'}"), FAULT_FORBIDDEN);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-1");
	assert_string_equal(s.token_user, "ann@example.com");
	assert_string_equal(s.idp.grant, "client_credentials");
	assert_string_equal(s.idp.scope, "https://outlook.office365.com/.default");
	assert_string_equal(s.idp.secret, "s3cret");
	stage_end(&s);
}

/* One token serves every mailbox of the provider, is renewed ahead of its end, and is fetched anew after a restart. */
static void one_token_serves_all(void **state)
{
	struct stage s;

	application(&s);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'bob@example.com','org':'school','provider':'m365'}"), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-1");
	assert_string_equal(s.token_user, "bob@example.com");
	assert_int_equal(s.idp.tokens, 1);
	stage_pass(&s, 58 * 60 * 1000);
	assert_int_equal(s.idp.tokens, 2);
	/* refused by the mail server: made anew once */
	assert_int_equal(stage_want_token(&s, 1, s.token.generation + 1), FAULT_OK);
	assert_string_equal(s.access_token, "access-3");
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 2, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-4");
	stage_end(&s);
}

static const char *in_json(const char *pem)
{
	static char text[32768];
	size_t at = 0;

	for (; *pem; pem++) {
		if (*pem == '\n') {
			text[at++] = '\\';
			text[at++] = 'n';
		} else {
			text[at++] = *pem;
		}
	}
	text[at] = 0;
	return text;
}

/* What a certificate signs is checked with the key it was made of, by the reader of tokens. */
static void a_certificate_signs_in_the_place_of_a_secret(void **state)
{
	struct app_certificate *made = app_certificate_make(EVP_RSA_gen(2048));
	struct stage s;
	struct jwt j;
	char audience[600];
	struct buf n, set;

	application(&s);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','client_certificate':'%s'}", in_json(made->key_pem)), FAULT_MALFORMED);
	assert_non_null(strstr(s.answer_why, "no certificate"));
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','client_certificate':'%s'}", in_json(made->both)), FAULT_OK);
	assert_int_equal(strlen(stage_text(&s, "client_certificate_sha256")), 64);
	assert_string_equal(stage_text(&s, "client_certificate_ends_at"), "2030-01-01T00:00:00.000Z");
	for (unsigned start = 0; start < 2; start++) {
		assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
		assert_string_equal(s.idp.secret, "");
		assert_int_equal(jwt_read(&j, span_of(s.idp.assertion)), FAULT_OK);
		assert_span(j.algorithm, "PS256");
		assert_span(j.issuer, "app-1");
		assert_span(j.subject, "app-1");
		snprintf(audience, sizeof audience, "%s/token", s.idp.base);
		assert_string_equal(json_string_value(json_object_get(j.claims, "aud")), audience);
		assert_int_equal(strlen(json_string_value(json_object_get(j.head, "x5t#S256"))), 43);
		assert_true(j.expires_s > clock_wall_ms() / 1000 && j.expires_s <= clock_wall_ms() / 1000 + 600);
		s.idp.key = (EVP_PKEY_free(s.idp.key), EVP_PKEY_up_ref(made->key), made->key);
		buf_init(&n, 4096);
		buf_init(&set, 8192);
		stage_put_number(&n, made->key, "n");
		buf_print(&set, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"AQAB\"}]}", SPAN_ARGS(buf_span(&n)));
		assert_int_equal(jwt_verify(&j, buf_span(&set)), FAULT_OK);
		buf_free(&n);
		buf_free(&set);
		jwt_free(&j);
		stage_stop(&s); /* it is kept, sealed */
		assert_int_equal(stage_start(&s), FAULT_OK);
	}
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','client_certificate':''}"), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.idp.assertion, "");
	assert_string_equal(s.idp.secret, "s3cret");
	stage_end(&s);
	app_certificate_free(made);
}

/* A secret that ended holds the mail of all, and a new one mends it at once. */
static void an_ended_secret_is_told_and_mended(void **state)
{
	struct stage s;

	application(&s);
	s.idp.token_status = 401;
	s.idp.token_body = "{\"error\":\"invalid_client\",\"error_description\":\"AADSTS7000222: The provided client secret keys are expired.\"}";
	assert_int_equal(fault_row(stage_want_token(&s, 1, 0))->class, FAULT_CLASS_HOLD);
	assert_non_null(strstr(s.token_why, "AADSTS7000222"));
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "needs a sign-in");
	s.idp.token_body = NULL;
	s.idp.token_status = 0;
	s.mended = 0;
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','client_secret':'fresh'}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_int_equal(s.mended, 1);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.idp.secret, "fresh");
	stage_end(&s);
}

static void where_there_is_no_such_thing_it_is_refused(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'g','org':'school','kind':'google','client_id':'x','access':'application'}"), FAULT_MALFORMED);
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','access':'both'}"), FAULT_MALFORMED);
	stage_end(&s);
}

TESTS(nobody_needs_to_link, one_token_serves_all, a_certificate_signs_in_the_place_of_a_secret, an_ended_secret_is_told_and_mended,
      where_there_is_no_such_thing_it_is_refused)
