/* The fixture that email-oauth2-proxy wrote itself, with its tokens; and files of its kind that are odd. */
#include "wire/import_proxy.h"

#include "base/whole_file.h"
#include "tests/test.h"

struct bench {
	struct arena *arena;
	struct import *i;
};

static void begin(struct bench *b)
{
	b->arena = arena_new(IMPORT_ARENA_BYTES);
	b->i = import_new(b->arena);
}

static void end(struct bench *b)
{
	arena_wipe(&b->arena);
}

static void read_fixture(struct bench *b)
{
	struct buf text;

	begin(b);
	buf_init(&text, IMPORT_TEXT_BYTES);
	assert_true(whole_file_read(TEST_SOURCE_ROOT "/tests/fixtures/email-oauth2-proxy.config", &text));
	assert_int_equal(import_proxy_read(b->i, buf_span(&text)), FAULT_OK);
	buf_free(&text);
}

static void the_accounts_of_the_fixture(void **state)
{
	struct import_account *alex, *dana, *fabrikam;
	struct bench b;

	read_fixture(&b);
	assert_int_equal(b.i->account_count, 3);
	alex = &b.i->accounts[0];
	dana = &b.i->accounts[1];
	fabrikam = &b.i->accounts[2];
	assert_span(alex->address, "alex@contoso.example");
	assert_span(alex->registration.kind, "microsoft");
	assert_int_equal(alex->registration.tenant.size, 0);
	assert_int_equal(alex->registration.issuer.size, 0);
	assert_span(alex->registration.client_id, "11111111-2222-3333-4444-555555555555");
	assert_int_equal(alex->registration.host.size, 0);
	assert_int_equal(alex->sealed.rounds, 1200000);
	assert_int_equal(alex->sealed.salt.size, 16);
	assert_span(dana->registration.kind, "google");
	assert_span(fabrikam->address, "@fabrikam.example");
	assert_span(fabrikam->registration.tenant, "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
	assert_int_equal(fabrikam->sign_in, IMPORT_APPLICATION);
	assert_int_equal(b.i->client_count, 2);
	assert_span(b.i->clients[0].name, "alex.contoso.example");
	assert_span(b.i->clients[0].mailboxes.items[0], "alex@contoso.example");
	assert_int_equal(b.i->remark_count, 1);
	assert_int_equal(b.i->remarks[0].note, IMPORT_NOTE_ANY_ADDRESS);
	end(&b);
}

static void the_tokens_of_the_fixture(void **state)
{
	static const struct {
		const char *password, *refresh_token, *client_secret;
		enum import_sign_in sign_in;
	} cases[] = { { "correct horse alex", "example-refresh-token-for-alex@contoso.example", "Xa8Q~example-secret-value", IMPORT_TOKEN },
		      { "dana local password", "example-refresh-token-for-dana@gmail.example", "GOCSPX-example", IMPORT_TOKEN },
		      { "fabrikam shared password", "", "Yb9R~example-secret-value", IMPORT_APPLICATION } };
	struct bench b;

	read_fixture(&b);
	assert_false(import_proxy_unseal(b.i, &b.i->accounts[0], SPAN("dana local password")));
	assert_int_equal(b.i->accounts[0].sign_in, IMPORT_LINK);
	assert_int_equal(b.i->accounts[0].refresh_token.size, 0);
	for (size_t at = 0; at < 3; at++) {
		struct import_account *a = &b.i->accounts[at];

		assert_true(import_proxy_unseal(b.i, a, span_of(cases[at].password)));
		assert_int_equal(a->refresh_token.size, strlen(cases[at].refresh_token));
		if (a->refresh_token.size)
			assert_span(a->refresh_token, cases[at].refresh_token);
		assert_span(a->registration.client_secret, cases[at].client_secret);
		assert_int_equal(a->sign_in, cases[at].sign_in);
	}
	end(&b);
}

static const char odd[] = "[SMTP-2465]\nserver_address = mail.example\nserver_port = 465\n"
			  "[emailproxy]\nallow_catch_all_accounts = yes\n"
			  "[@corp.example]\ntoken_url = https://sso.corp.example/corp.example/oauth2/v2.0/token\nclient_id: app\n"
			  "oauth2_scope = https://outlook.office365.com/SMTP.Send\n\toffline_access\npermission_url = https://x\n"
			  "[a@corp.example]\nclient_secret = open\nclient_secret_encrypted = sealed\n"
			  "[b@corp.example]\ntoken_url = https://other.example/token\n"
			  "[c@dod.example]\ntoken_url = https://login.microsoftonline.us/common/oauth2/v2.0/token\nclient_id = x\n"
			  "oauth2_scope = https://outlook-dod.office365.us/SMTP.Send\noauth2_flow = password\n"
			  "[d@home.example]\ntoken_url = https://login.microsoftonline.com/consumers/oauth2/v2.0/token\nclient_id = x\npermission_url = y\n";

static bool remarked(const struct import *i, enum import_note note, const char *about)
{
	for (size_t at = 0; at < i->remark_count; at++)
		if (i->remarks[at].note == note && span_equal(i->remarks[at].about, span_of(about)))
			return true;
	return false;
}

static void odd_accounts(void **state)
{
	struct bench b;

	begin(&b);
	assert_int_equal(import_proxy_read(b.i, span_of(odd)), FAULT_OK);
	assert_int_equal(b.i->account_count, 4);
	assert_span(b.i->accounts[1].address, "a@corp.example");
	assert_span(b.i->accounts[1].registration.kind, "microsoft");
	assert_span(b.i->accounts[1].registration.issuer, "https://sso.corp.example/corp.example/v2.0");
	assert_span(b.i->accounts[1].registration.tenant, "corp.example");
	assert_span(b.i->accounts[1].registration.client_id, "app");
	assert_span(b.i->accounts[1].registration.client_secret, "open");
	assert_int_equal(b.i->accounts[1].sealed.client_secret.size, 0);
	assert_span(b.i->accounts[1].registration.host, "mail.example");
	assert_int_equal(b.i->accounts[1].registration.port, 465);
	assert_true(b.i->accounts[1].registration.is_implicit);
	assert_true(remarked(b.i, IMPORT_NOTE_NO_TOKEN, "a@corp.example"));
	assert_true(remarked(b.i, IMPORT_NOTE_NO_LOGIN_HOST, "b@corp.example"));
	assert_span(b.i->accounts[2].registration.kind, "microsoft-dod");
	assert_true(remarked(b.i, IMPORT_NOTE_ROPC, "c@dod.example"));
	assert_span(b.i->accounts[3].registration.kind, "outlook");
	assert_int_equal(b.i->accounts[3].registration.tenant.size, 0);
	end(&b);
}

static void what_is_none(void **state)
{
	static const char *const texts[] = { "", "[IMAP-1993]\nserver_port = 993\n", "key = value\n", "[a@b.example]\nno sign\n", "{}" };
	struct bench b;

	for (size_t at = 0; at < sizeof texts / sizeof *texts; at++) {
		begin(&b);
		assert_int_equal(import_proxy_read(b.i, span_of(texts[at])), FAULT_MALFORMED);
		assert_true(b.i->why[0]);
		end(&b);
	}
}

TESTS(the_accounts_of_the_fixture, the_tokens_of_the_fixture, odd_accounts, what_is_none)
