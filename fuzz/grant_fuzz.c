/* Whatever is read as a grant stays inside its bytes, and the look-ups on it end. */
#include "identity/grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new(64 * 1024 * 1024);
	struct span sealed = { (const char *)bytes, size };
	struct grant g;

	if (grant_read(&g, arena, sealed) == FAULT_OK) {
		(void)grant_mailbox(&g, g.default_mailbox);
		(void)grant_mailbox_for(&g, g.client_name);
		(void)grant_mapped(&g, g.client_name);
	}
	arena_free(&arena);
	return 0;
}
