/* What is read as an address or a network is printed so that it reads back as the same. */
#include "base/panic.h"
#include "loop/address.h"

#include <stdint.h>

static void round_trip(struct span text)
{
	char memory[256];
	struct address a, again;
	struct buf b;

	if (!address_parse(&a, text, 25))
		return;
	buf_over(&b, memory, sizeof memory);
	ASSERT(address_print(&b, &a, false));
	ASSERT(address_parse(&again, buf_span(&b), 25));
	ASSERT(address_equal(&a, &again) && address_is_loopback(&a) == address_is_loopback(&again));
	ASSERT(address_is_nobody_else(&a) || !address_is_loopback(&a));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes, size };
	struct network n;

	/* Names of links are looked up by the system: numbers and the one that is everywhere. */
	if (span_find_byte(text, '%') == size || span_find(text, SPAN("%1")) < size || span_find(text, SPAN("%lo")) < size)
		round_trip(text);
	if (span_find_byte(text, '%') == size && network_parse(&n, text))
		ASSERT(network_holds(&n, &n.base) && n.bits <= 128);
	return 0;
}
