/* resolv.conf and hosts, as the keeper found them. */
#include "base/panic.h"
#include "loop/real/resolv.h"

#include <stdint.h>
#include <string.h>

static void count(void *self, const struct address *a)
{
	ASSERT(a->family == ADDRESS_IPV4 || a->family == ADDRESS_IPV6);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes, size };
	struct resolv r;

	if (span_find_byte(text, '%') < size) /* names of links are looked up by the system */
		return 0;
	resolv_read(&r, text);
	ASSERT(r.server_count && r.server_count <= RESOLV_SERVERS_MAX && r.domain_count <= RESOLV_DOMAINS_MAX);
	ASSERT(r.ndots >= 0 && r.ndots <= 15 && r.timeout_ms >= 1000 && r.timeout_ms <= 5000 && r.tries >= 1 &&
	       r.tries <= 5);
	for (size_t i = 0; i < r.server_count; i++)
		count(NULL, &r.servers[i]);
	for (size_t i = 0; i < r.domain_count; i++)
		ASSERT(strlen(r.domains[i]) < RESOLV_NAME_BYTES);
	resolv_hosts(text, SPAN("localhost"), count, NULL);
	return 0;
}
