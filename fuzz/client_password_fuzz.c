/* Passwords as applications send them: none but the right one matches, and what it names is plain. */
#include "identity/client_password.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct span key = SPAN("a key of thirty-two bytes in all");
	struct span password = { (const char *)bytes, size };
	char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES];
	struct span credential = client_password_credential(password, memory);
	unsigned char verifier[SEAL_MAC_BYTES];

	ASSERT(!credential.size || credential.size == CLIENT_PASSWORD_CREDENTIAL_BYTES);
	for (size_t i = 0; i < credential.size; i++)
		ASSERT(credential.at[i] < 'A' || credential.at[i] > 'Z');
	ASSERT(!client_password_matches(password, (struct span){ "", 0 }, key));
	client_password_verifier(verifier, key, password);
	ASSERT(client_password_matches(password, (struct span){ (const char *)verifier, sizeof verifier }, key) == (size == CLIENT_PASSWORD_BYTES));
	verifier[size % sizeof verifier] ^= 1;
	ASSERT(!client_password_matches(password, (struct span){ (const char *)verifier, sizeof verifier }, key));
	return 0;
}
