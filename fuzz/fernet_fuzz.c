/* A token and the key that it is under: only what carries the right MAC opens, and it opens to less than it is. */
#include "base/fernet.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span token = { (const char *)bytes + FERNET_KEY_BYTES, size - FERNET_KEY_BYTES };
	struct buf out;

	if (size < FERNET_KEY_BYTES)
		return 0;
	buf_init(&out, FERNET_TOKEN_BYTES_MAX);
	if (!fernet_open(&out, bytes, token))
		ASSERT(!out.size);
	ASSERT(out.size <= token.size);
	buf_wipe(&out);
	return 0;
}
