/* identity/client_password.h - Postern's own app passwords: made, taken apart, checked.
 *
 * Why       An application or device gets a password of its own that nobody chose, that names its client, and that is checked by one keyed
 *           hash: no guessing list helps against 145 random bits, so no slow hash is needed, and the check never slows mail.
 * Promise   "pt_", seven characters that name the credential, 29 random ones: lower-case letters and digits without i, l, o and u, so that
 *           a printer's keypad and a person on the telephone get it right; typed in capitals it is the same. Checking an unknown credential
 *           takes the same steps as a known one.
 * Owns      Nothing.
 * Refuses   Whatever does not look like one: client_password_credential() gives an empty span; the check still takes its steps.
 * See       docs/decisions/0052-logins.md */
#pragma once
#include "base/buf.h"
#include "base/seal.h"

enum {
	CLIENT_PASSWORD_CREDENTIAL_BYTES = 7,
	CLIENT_PASSWORD_BYTES = 3 + CLIENT_PASSWORD_CREDENTIAL_BYTES + 29,
	CLIENT_PASSWORD_CEILING = 256, /* longer ones are cut before they are hashed; none such was ever made */
};

/* Makes one, and the credential it names. */
void client_password_make(char password_out[CLIENT_PASSWORD_BYTES], char credential_out[CLIENT_PASSWORD_CREDENTIAL_BYTES]);

/* The credential that a password names, in lower case in `memory`; empty when it names none. */
struct span client_password_credential(struct span password, char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES]);

/* What is stored instead of the password. `key` is the vault's own. */
void client_password_verifier(unsigned char verifier_out[SEAL_MAC_BYTES], struct span key, struct span password);

/* Whether it is the password. `verifier` is the empty span where no client has the credential: false, in the same time. */
bool client_password_matches(struct span password, struct span verifier, struct span key);
