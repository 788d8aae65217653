/* Whatever is read as a grant stays inside its bytes, and the look-ups on it end. */
#include "identity/grant.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* What was read can be sealed, and holds for nobody else. */
static void seal(const struct grant *g, struct arena *arena)
{
	static const struct span key = SPAN("a key of thirty-two bytes in all"), other = SPAN("another key of thirty-two bytes.");
	struct grant again;
	struct buf out;

	buf_init(&out, 1 << 24);
	if (grant_seal(&out, g, key)) {
		enum fault fault = grant_check(&again, arena, buf_span(&out), key, g->gate, g->session, g->expires_at_ms - 1);

		ASSERT(fault == FAULT_OK);
		ASSERT(grant_check(&again, arena, buf_span(&out), other, g->gate, g->session, 0) != FAULT_OK);
		ASSERT(grant_check(&again, arena, buf_span(&out), key, g->gate + 1, g->session, 0) != FAULT_OK);
		ASSERT(grant_check(&again, arena, buf_span(&out), key, g->gate, g->session + 1, 0) != FAULT_OK);
		ASSERT(grant_check(&again, arena, buf_span(&out), key, g->gate, g->session, g->expires_at_ms) != FAULT_OK);
		out.at[out.size - 1] ^= 1;
		ASSERT(grant_check(&again, arena, buf_span(&out), key, g->gate, g->session, 0) != FAULT_OK);
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct arena *arena = arena_new(64 * 1024 * 1024);
	struct span sealed = { (const char *)bytes, size };
	struct grant g;

	if (grant_read(&g, arena, sealed) == FAULT_OK) {
		(void)grant_mailbox(&g, g.default_mailbox);
		(void)grant_mailbox_for(&g, g.client_name);
		(void)grant_mapped(&g, g.client_name);
		if (g.expires_at_ms != INT64_MIN)
			seal(&g, arena);
	}
	arena_free(&arena);
	return 0;
}
