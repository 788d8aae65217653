/* The endpoints of the simulated Entra ID: the first byte chooses one, the rest is the query or the form. Nothing is redirected to where it must not. */
#include "twin/entra.h"

#include "base/panic.h"
#include "twin/twin_config.h"

int LLVMFuzzerInitialize(int *, char ***);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct twin_tenant tenant;
static struct twin_keys *keys;
static struct entra entra;

/* Keys take their time, which is no input's. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct twin_config config = { .tenant = &tenant };
	char why[TWIN_WHY_BYTES];

	twin_tenant_init(&tenant);
	ASSERT(twin_config_read(&config, twin_config_preset(), why) == FAULT_OK);
	ASSERT(twin_keys_make(&keys, 1433160000000) == FAULT_OK);
	entra_init(&entra, &tenant, keys, "http://localhost:3443");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct {
		const char *method, *path;
	} targets[] = { { "GET", "/common/oauth2/v2.0/authorize" },  { "POST", "/common/oauth2/v2.0/token" }, { "POST", "/common/oauth2/v2.0/devicecode" },
			{ "POST", "/devicelogin" },		      { "POST", "/common/login" },	       { "POST", "/common/SAS/ProcessAuth" },
			{ "POST", "/common/Consent/Set" },	      { "GET", "/oidc/userinfo" } };
	struct span text = { (const char *)bytes + 1, size - 1 };
	struct twin_response r;
	struct twin_request q;
	size_t which;

	if (!size)
		return 0;
	which = bytes[0] % (sizeof targets / sizeof *targets);
	q = (struct twin_request){ .method = span_of(targets[which].method), .path = span_of(targets[which].path), .query = text, .body = text,
				   .authorization = text, .session = text, .wall_ms = 1433160000000 };
	twin_response_init(&r);
	ASSERT(entra_handle(&entra, &q, &r));
	ASSERT(r.status >= 200 && r.status < 600);
	ASSERT(!r.location.size || span_starts(buf_span(&r.location), SPAN("http://localhost")));
	twin_response_fini(&r);
	return 0;
}
