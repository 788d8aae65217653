#include "identity/client_password.h"

#include "base/rand.h"

#include <string.h>

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
static const char prefix[] = { 'p', 't', '_' };

void client_password_make(char password_out[CLIENT_PASSWORD_BYTES], char credential_out[CLIENT_PASSWORD_CREDENTIAL_BYTES])
{
	unsigned char random[CLIENT_PASSWORD_BYTES];

	rand_bytes(random, sizeof random);
	for (size_t i = 0; i < CLIENT_PASSWORD_BYTES; i++)
		password_out[i] = i < sizeof prefix ? prefix[i] : alphabet[random[i] % 32];
	secret_wipe(random, sizeof random);
	memcpy(credential_out, password_out + sizeof prefix, CLIENT_PASSWORD_CREDENTIAL_BYTES);
}

/* Without a branch, since what it is given is a secret. */
static char lower(char c)
{
	int is_capital = ('A' - 1 - (unsigned char)c) & ((unsigned char)c - ('Z' + 1));

	return (char)(c | (is_capital >> 8 & 32));
}

struct span client_password_credential(struct span password, char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES])
{
	if (password.size != CLIENT_PASSWORD_BYTES || !span_starts_fold(password, (struct span){ prefix, sizeof prefix }))
		return (struct span){ "", 0 };
	for (size_t i = 0; i < CLIENT_PASSWORD_CREDENTIAL_BYTES; i++)
		memory[i] = lower(password.at[sizeof prefix + i]);
	return (struct span){ memory, CLIENT_PASSWORD_CREDENTIAL_BYTES };
}

void client_password_verifier(unsigned char verifier_out[SEAL_MAC_BYTES], struct span key, struct span password)
{
	char folded[CLIENT_PASSWORD_CEILING];
	size_t size = password.size < sizeof folded ? password.size : sizeof folded;

	for (size_t i = 0; i < size; i++)
		folded[i] = lower(password.at[i]);
	seal_hmac(verifier_out, key, (struct span){ folded, size });
	secret_wipe(folded, sizeof folded);
}

bool client_password_matches(struct span password, struct span verifier, struct span key)
{
	static const unsigned char nobodys[SEAL_MAC_BYTES] = { 0 };
	unsigned char made[SEAL_MAC_BYTES];
	bool known = verifier.size == sizeof made, same;

	client_password_verifier(made, key, password);
	same = secret_equal((struct span){ (char *)made, sizeof made },
			    known ? verifier : (struct span){ (const char *)nobodys, sizeof nobodys });
	secret_wipe(made, sizeof made);
	return (int)same & (int)known & (int)(password.size == CLIENT_PASSWORD_BYTES);
}
