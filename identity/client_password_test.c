#include "identity/client_password.h"

#include "tests/test.h"

#include <ctype.h>

static const struct span key = SPAN("0123456789abcdef0123456789abcdef");

struct made {
	char password[CLIENT_PASSWORD_BYTES], credential[CLIENT_PASSWORD_CREDENTIAL_BYTES];
	unsigned char verifier[SEAL_MAC_BYTES];
};

static void make(struct made *m)
{
	client_password_make(m->password, m->credential);
	client_password_verifier(m->verifier, key, (struct span){ m->password, sizeof m->password });
}

static struct span verifier_of(const struct made *m)
{
	return (struct span){ (const char *)m->verifier, sizeof m->verifier };
}

static void it_names_its_credential_and_matches(void **state)
{
	char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES];
	struct made m;
	struct span password = { m.password, sizeof m.password };

	make(&m);
	assert_memory_equal(client_password_credential(password, memory).at, m.credential, sizeof m.credential);
	assert_true(client_password_matches(password, verifier_of(&m), key));
}

static void capitals_are_the_same_password(void **state)
{
	char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES], capitals[CLIENT_PASSWORD_BYTES];
	struct made m;
	struct span password = { capitals, sizeof capitals };

	make(&m);
	for (size_t i = 0; i < sizeof capitals; i++)
		capitals[i] = (char)toupper(m.password[i]);
	assert_memory_equal(client_password_credential(password, memory).at, m.credential, sizeof m.credential);
	assert_true(client_password_matches(password, verifier_of(&m), key));
}

/* Letters and digits that no one mistakes for another, and enough of them. */
static void it_can_be_typed(void **state)
{
	assert_true((CLIENT_PASSWORD_BYTES - 3 - CLIENT_PASSWORD_CREDENTIAL_BYTES) * 5 >= 144);
	for (int round = 0; round < 1000; round++) {
		struct made m;

		make(&m);
		assert_memory_equal(m.password, "pt_", 3);
		for (size_t i = 3; i < sizeof m.password; i++)
			assert_true((islower(m.password[i]) || isdigit(m.password[i])) && !strchr("ilou", m.password[i]));
	}
}

static void any_other_password_fails(void **state)
{
	struct made m;
	struct span password = { m.password, sizeof m.password };

	make(&m);
	for (size_t i = 0; i < sizeof m.password; i++) {
		char kept = m.password[i];

		m.password[i] = kept == '2' ? '3' : '2';
		assert_false(client_password_matches(password, verifier_of(&m), key));
		m.password[i] = kept;
		assert_false(client_password_matches(span_slice(password, 0, i), verifier_of(&m), key));
	}
	assert_false(client_password_matches(password, (struct span){ 0 }, key));
	assert_false(client_password_matches(password, verifier_of(&m), SPAN("1123456789abcdef0123456789abcdef")));
	assert_true(client_password_matches(password, verifier_of(&m), key));
}

static void what_is_none_names_none(void **state)
{
	static const char *const bad[] = { "", "pt_", "pt_abcdefg", "xx_abcdefg01234567890123456789012345678",
					   "pt_abcdefg012345678901234567890123456789", "hunter2" };
	char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(client_password_credential(span_of(bad[i]), memory).size, 0);
}

/* A verifier that happens to equal the one that stands for nobody must not open anything either. */
static void an_unknown_credential_never_matches(void **state)
{
	char long_text[CLIENT_PASSWORD_CEILING * 4];

	memset(long_text, 'a', sizeof long_text);
	assert_false(client_password_matches((struct span){ long_text, sizeof long_text }, (struct span){ 0 }, key));
	assert_false(client_password_matches(SPAN(""), (struct span){ 0 }, key));
}

TESTS(it_names_its_credential_and_matches, capitals_are_the_same_password, it_can_be_typed, any_other_password_fails, what_is_none_names_none,
      an_unknown_credential_never_matches)
