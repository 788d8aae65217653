/* A token that strangers wrote is read, checked and verified without harm; a set of keys that they wrote verifies nothing unsigned. */
#include "wire/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct span keys = SPAN("{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
					     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}");
	const struct jwt_expected expected = { SPAN("https://login.example/{tenantid}/v2.0"), SPAN("app"), SPAN("n"), 1700000000000 };
	struct span text = { (const char *)bytes, size };
	const char *what;
	struct jwt j;

	if (jwt_read(&j, text) == FAULT_OK) {
		if (jwt_check(&j, &expected, &what) == FAULT_OK)
			what = "";
		if (jwt_verify(&j, keys) == FAULT_OK)
			what = "";
	}
	jwt_free(&j);
	if (jwt_verify(&(struct jwt){ .algorithm = SPAN("RS256") }, text) == FAULT_OK)
		__builtin_trap();
	if (jwt_read_claims(&j, text) == FAULT_OK && jwt_check(&j, &expected, &what) == FAULT_OK)
		what = "";
	jwt_free(&j);
	return 0;
}
