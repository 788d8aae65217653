/* A configuration of SMTP2Graph: what was read is clean. */
#include "fuzz/import_check.h"
#include "wire/import_graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = import_new(arena);

	if (import_graph_read(i, (struct span){ (const char *)bytes, size }) != FAULT_OK)
		ASSERT(i->fault != FAULT_OK);
	import_check(i);
	arena_free(&arena);
	return 0;
}
