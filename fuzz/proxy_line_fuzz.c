/* PROXY headers: the first byte is how they are cut; however cut, the same is read, and not one byte beyond. */
#include "base/panic.h"
#include "wire/proxy_line.h"

#include <arpa/inet.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t drive(struct proxy_line *p, struct span bytes, size_t step)
{
	size_t taken = 0;

	proxy_line_init(p);
	while (taken < bytes.size && p->state == PROXY_LINE_MORE)
		taken += proxy_line_feed(p, span_slice(bytes, taken, step));
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct proxy_line whole, cut;
	struct span text = { (const char *)bytes + 1, size - 1 };
	char address[16];

	if (!size)
		return 0;
	ASSERT(drive(&whole, text, SIZE_MAX) == drive(&cut, text, 1 + *bytes % 16));
	ASSERT(whole.state == cut.state && whole.size == cut.size);
	if (whole.state != PROXY_LINE_DONE)
		return 0;
	ASSERT(!strcmp(whole.address, cut.address) && whole.port == cut.port && whole.is_local == cut.is_local);
	ASSERT(whole.is_local ||
	       inet_pton(strchr(whole.address, ':') ? AF_INET6 : AF_INET, whole.address, address) == 1);
	ASSERT(whole.port <= 65535);
	return 0;
}
