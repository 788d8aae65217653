/* A configuration of email-oauth2-proxy: what was read is clean, before and after its tokens were opened. */
#include "base/panic.h"
#include "fuzz/import_check.h"
#include "wire/import_proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = import_new(arena);

	if (import_proxy_read(i, (struct span){ (const char *)bytes, size }) != FAULT_OK)
		ASSERT(i->fault != FAULT_OK);
	for (size_t at = 0; at < i->account_count && at < 16; at++) {
		ASSERT(!i->accounts[at].refresh_token.size);
		(void)!import_proxy_open(i, &i->accounts[at], SPAN("password"), 1);
	}
	import_check(i);
	arena_free(&arena);
	return 0;
}
