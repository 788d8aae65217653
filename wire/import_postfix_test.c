/* A Postfix that relays by sender, with passwords and with tokens of sasl-xoauth2. */
#include "wire/import_postfix.h"

#include "tests/test.h"

static const char main_cf[] = "# relays\nrelayhost = [smtp.office365.com]:587\nsmtp_sasl_auth_enable = yes\n"
			      "smtp_sasl_password_maps = hash:$config_directory/sasl_passwd,\n  ldap:/etc/ldap\n"
			      "sender_dependent_relayhost_maps = lmdb:/srv/relays\nsmtp_sender_dependent_authentication = yes\n";
static const char passwords[] = "# who\n[smtp.office365.com]:587\talex@contoso.example:/etc/tokens/alex\n"
				"maria@contoso.example   maria@contoso.example:se:cret\n[mail.example]:submission clerk:secret\n"
				"@b.example\n  boss@b.example:/etc/tokens/boss\nlost@c.example lost@c.example:x\n";
static const char relays[] = "news@contoso.example [smtp.office365.com]:587\nmaria@contoso.example [smtp.gmail.com]:465\n"
			     "@b.example smtp.gmail.com:587\nstray@contoso.example [elsewhere.example]\nlost@c.example\n";

static struct import_account *account(struct import *i, const char *address)
{
	for (size_t at = 0; at < i->account_count; at++)
		if (span_equal(i->accounts[at].address, span_of(address)))
			return &i->accounts[at];
	fail_msg("no account %s", address);
	return NULL;
}

static bool remarked(const struct import *i, enum import_note note, const char *about)
{
	for (size_t at = 0; at < i->remark_count; at++)
		if (i->remarks[at].note == note && span_equal(i->remarks[at].about, span_of(about)))
			return true;
	return false;
}

static struct import_postfix *read_all(struct arena *arena)
{
	struct import_postfix *p = import_postfix_new(import_new(arena));

	assert_int_equal(import_postfix_main(p, span_of(main_cf), SPAN("/etc/postfix")), FAULT_OK);
	assert_int_equal(p->wanted_count, 2);
	assert_span(p->wanted[0].path, "/etc/postfix/sasl_passwd");
	assert_int_equal(p->wanted[0].kind, IMPORT_POSTFIX_PASSWORDS);
	assert_span(p->wanted[1].path, "/srv/relays");
	assert_true(remarked(p->into, IMPORT_NOTE_TABLE_KIND, "main.cf"));
	assert_int_equal(import_postfix_table(p, IMPORT_POSTFIX_PASSWORDS, span_of(passwords)), FAULT_OK);
	assert_int_equal(import_postfix_table(p, IMPORT_POSTFIX_RELAYS, span_of(relays)), FAULT_OK);
	assert_int_equal(import_postfix_join(p), FAULT_OK);
	return p;
}

static void who_leaves_by_which_server(void **state)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = read_all(arena)->into;
	struct import_account *alex = account(i, "alex@contoso.example"), *maria = account(i, "maria@contoso.example"), *boss = account(i, "boss@b.example");

	assert_span(alex->registration.kind, "microsoft");
	assert_true(import_is_own_server(&alex->registration));
	assert_span(alex->token_file, "/etc/tokens/alex");
	assert_int_equal(alex->aliases.count, 1);
	assert_span(alex->aliases.items[0], "news@contoso.example");
	assert_span(maria->registration.host, "smtp.gmail.com");
	assert_int_equal(maria->registration.port, 465);
	assert_true(maria->registration.is_implicit);
	assert_span(maria->password, "se:cret");
	assert_int_equal(maria->sign_in, IMPORT_PASSWORD);
	assert_span(boss->registration.kind, "google");
	assert_true(remarked(i, IMPORT_NOTE_SENDER_DOMAIN, "@b.example"));
	assert_true(remarked(i, IMPORT_NOTE_NOT_AN_ADDRESS, "clerk"));
	assert_true(remarked(i, IMPORT_NOTE_NO_CREDENTIALS, "stray@contoso.example"));
	assert_int_equal(i->client_count, 1);
	assert_span(i->clients[0].name, "postfix");
	arena_free(&arena);
}

static void token_files(void **state)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import_postfix *p = read_all(arena);
	struct import_account *alex = account(p->into, "alex@contoso.example"), *boss = account(p->into, "boss@b.example");

	assert_int_equal(import_postfix_xoauth2(p, SPAN("{\"client_id\":\"general\",\"client_secret\":\"gs\"}")), FAULT_OK);
	import_postfix_token(p, alex, SPAN("{\"refresh_token\":\"rt\",\"client_id\":\"own\",\"client_secret\":\"\",\"access_token\":\"a\",\"expiry\":\"0\","
					   "\"token_endpoint\":\"https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token\"}"));
	assert_int_equal(alex->sign_in, IMPORT_TOKEN);
	assert_span(alex->refresh_token, "rt");
	assert_span(alex->registration.client_id, "own");
	assert_span(alex->registration.tenant, "contoso.example");
	import_postfix_token(p, boss, SPAN("{\"refresh_token\":\"rt2\"}"));
	assert_span(boss->registration.kind, "google");
	assert_span(boss->registration.client_id, "general");
	assert_span(boss->registration.client_secret, "gs");
	assert_int_equal(boss->sign_in, IMPORT_TOKEN);
	boss->token_file = SPAN("/etc/tokens/boss");
	import_postfix_token(p, boss, SPAN(""));
	assert_true(remarked(p->into, IMPORT_NOTE_NO_FILE, "boss@b.example"));
	arena_free(&arena);
}

static void guesses(void **state)
{
	static const struct { const char *text; enum import_postfix_kind kind; } cases[] = {
		{ main_cf, IMPORT_POSTFIX_MAIN },
		{ passwords, IMPORT_POSTFIX_PASSWORDS },
		{ relays, IMPORT_POSTFIX_RELAYS },
		{ "a@b.example smtp.example.com:587\n", IMPORT_POSTFIX_RELAYS },
		{ "smtp.example.com user:password\n", IMPORT_POSTFIX_PASSWORDS },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(import_postfix_guess(span_of(cases[i].text)), cases[i].kind);
}

static void what_is_none(void **state)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import_postfix *p = import_postfix_new(import_new(arena));

	assert_int_equal(import_postfix_join(p), FAULT_MALFORMED);
	p = import_postfix_new(import_new(arena));
	assert_int_equal(import_postfix_table(p, IMPORT_POSTFIX_PASSWORDS, SPAN("a\0b")), FAULT_MALFORMED);
	p = import_postfix_new(import_new(arena));
	assert_int_equal(import_postfix_xoauth2(p, SPAN("{")), FAULT_MALFORMED);
	arena_free(&arena);
}

TESTS(who_leaves_by_which_server, token_files, guesses, what_is_none)
