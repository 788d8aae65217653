/* Whether what handles secrets branches on them: run under valgrind, with the secrets marked as undefined, every branch and every address that
 * depends on one is reported (T-TIMING 56). With `--leak` it does branch on one, so that a silent tool is noticed. */
#include "base/seal.h"
#include "identity/client_password.h"

#include <stdio.h>
#include <string.h>
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(at, size) 0
#define VALGRIND_MAKE_MEM_DEFINED(at, size) 0
#define RUNNING_ON_VALGRIND 0
#endif

static volatile int sink;

static void hide(void *at, size_t size)
{
	(void)VALGRIND_MAKE_MEM_UNDEFINED(at, size);
}

/* The answer itself is no secret. */
static void use(bool answer)
{
	(void)VALGRIND_MAKE_MEM_DEFINED(&answer, sizeof answer);
	sink += answer;
}

int main(int count, char **words)
{
	char password[CLIENT_PASSWORD_BYTES], credential[CLIENT_PASSWORD_CREDENTIAL_BYTES], same[SEAL_MAC_BYTES], other[SEAL_MAC_BYTES];
	unsigned char key[SEAL_KEY_BYTES], verifier[SEAL_MAC_BYTES];
	struct span key_span = { (char *)key, sizeof key }, password_span = { password, sizeof password };
	struct span verifier_span = { (char *)verifier, sizeof verifier };

	memset(key, 7, sizeof key);
	client_password_make(password, credential);
	client_password_verifier(verifier, key_span, password_span);
	memcpy(same, verifier, sizeof same);
	memset(other, 9, sizeof other);
	hide(key, sizeof key);
	hide(password, sizeof password);
	hide(verifier, sizeof verifier);
	use(client_password_matches(password_span, verifier_span, key_span));
	use(client_password_matches(password_span, (struct span){ NULL, 0 }, key_span));
	use(secret_equal(verifier_span, (struct span){ same, sizeof same }));
	use(secret_equal(verifier_span, (struct span){ other, sizeof other }));
	if (count > 1 && !strcmp(words[1], "--leak"))
		use(memcmp(password, "pt_", 3) < 0);
	puts(RUNNING_ON_VALGRIND ? "looked" : "not under valgrind, or built without its header: nothing was looked at");
	return RUNNING_ON_VALGRIND ? 0 : 2;
}
