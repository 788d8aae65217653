/* A tenant that was read has what it promises. */
#include "twin/twin_config.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct twin_tenant tenant;
	struct twin_config config = { .tenant = &tenant };
	char why[TWIN_WHY_BYTES] = "";

	twin_tenant_init(&tenant);
	if (twin_config_read(&config, (struct span){ (const char *)bytes, size }, why) == FAULT_OK)
		ASSERT(tenant.user_count && tenant.app_count && tenant.domain[0] && config.smtp_port <= 65535);
	else
		ASSERT(why[0]);
	return 0;
}
