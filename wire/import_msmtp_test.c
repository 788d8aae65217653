/* Accounts of an msmtprc, and what they are based on. */
#include "wire/import_msmtp.h"

#include "tests/test.h"

static const char rc[] = "# mine\ndefaults\nauth on\ntls on\n\naccount work\nhost smtp.office365.com\nport 587\nfrom alex@contoso.example\n"
			 "user alex@contoso.example\npassword \"two words\"\n\naccount press : work\nfrom press@contoso.example\nauth xoauth2\n"
			 "passwordeval \"mutt_oauth2.py x\"\n\naccount home\nhost mail.home.example\ntls_starttls off\nfrom me@home.example\n"
			 "user me\npasswordeval pass show home\n\naccount lan\nhost 192.0.2.1\ntls off\nauth off\nfrom printer@home.example\n"
			 "\naccount nowhere\nfrom x@y.example\n\naccount default : work\n";

static void accounts(void **state)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = import_new(arena);

	assert_int_equal(import_msmtp_read(i, span_of(rc)), FAULT_OK);
	assert_int_equal(i->account_count, 4);
	assert_span(i->accounts[0].address, "alex@contoso.example");
	assert_span(i->accounts[0].registration.kind, "microsoft");
	assert_int_equal(i->accounts[0].sign_in, IMPORT_PASSWORD);
	assert_span(i->accounts[0].password, "two words");
	assert_span(i->accounts[1].address, "press@contoso.example");
	assert_int_equal(i->accounts[1].sign_in, IMPORT_LINK);
	assert_span(i->accounts[2].registration.kind, "smtp");
	assert_span(i->accounts[2].registration.host, "mail.home.example");
	assert_int_equal(i->accounts[2].registration.port, 465);
	assert_true(i->accounts[2].registration.is_implicit && !i->accounts[2].registration.is_clear);
	assert_true(i->accounts[3].registration.is_clear);
	assert_int_equal(i->accounts[3].registration.port, 25);
	assert_int_equal(i->client_count, 4);
	assert_span(i->clients[0].name, "work");
	assert_int_equal(i->remark_count, 4);
	assert_int_equal(i->remarks[0].note, IMPORT_NOTE_NO_TOKEN);
	assert_int_equal(i->remarks[1].note, IMPORT_NOTE_PASSWORD_COMMAND);
	assert_int_equal(i->remarks[2].note, IMPORT_NOTE_NO_CREDENTIALS);
	assert_int_equal(i->remarks[3].note, IMPORT_NOTE_NO_HOST);
	arena_free(&arena);
}

static void what_is_none(void **state)
{
	static const char *const texts[] = { "", "host x\n", "account a\naccount a\n", "account a : b\n", "account\n" };

	for (size_t at = 0; at < sizeof texts / sizeof *texts; at++) {
		struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
		struct import *i = import_new(arena);

		assert_int_equal(import_msmtp_read(i, span_of(texts[at])), FAULT_MALFORMED);
		assert_true(i->why[0]);
		arena_free(&arena);
	}
}

TESTS(accounts, what_is_none)
