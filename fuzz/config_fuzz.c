/* The boot file: what was read keeps to the table, what was not says where and why. */
#include "base/config.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void check_range(int64_t value, int64_t low, int64_t high)
{
	ASSERT(value >= low && value <= high);
}

/* What a type holds the value to. */
#define CHECK_TEXT(value, low, high) (void)(value)
#define CHECK_BOOL(value, low, high) (void)(value)
#define CHECK_NUMBER(value, low, high) check_range(value, low, high)
#define CHECK_LIST(value, low, high) ASSERT((value).count <= CONFIG_LIST_MAX)

static void check(const struct config *c)
{
	ASSERT(c->listener_count <= CONFIG_LISTENERS_MAX);
#define CONFIG(name, type, preset, low, high, unit, sentence) CHECK_##type(c->name, low, high);
#define CONFIG_LISTENER(...)
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];
#define CONFIG(...)
#define CONFIG_LISTENER(name, type, preset, low, high, unit, sentence) CHECK_##type(l->name, low, high);
#include "tables/config.def"
#undef CONFIG
#undef CONFIG_LISTENER
		ASSERT(span_equal(l->tls, SPAN("none")) || (l->certificate.size && l->key.size));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes, size };
	struct config *c = NULL;
	char why[200] = "";

	if (span_find(text, SPAN("include")) < size || span_find_byte(text, '$') < size) /* libconfuse would open files, and ask the environment */
		return 0;
	if (config_read(&c, "boot", text, why, sizeof why) == FAULT_OK)
		check(c);
	else
		ASSERT(why[0]);
	config_free(&c);
	return 0;
}
