/* A session of the twin's: whatever comes, what it says is whole lines, and nothing is lost or read twice. The first byte is how the rest is cut. Lines that begin with
 * `!` come before the session and script it: `!NAME STAGE TIMES TEXT`. */
#include "twin/exchange_session.h"

#include "base/panic.h"
#include "twin/twin_config.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *, char ***);
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct twin_tenant tenant;
static struct exchange_counter *counters, *gmail_counters;
static struct twin_keys *keys;

/* Keys take their time, which is no input's. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct twin_config config = { .tenant = &tenant };
	char why[TWIN_WHY_BYTES];

	twin_tenant_init(&tenant);
	ASSERT(twin_config_read(&config, twin_config_preset(), why) == FAULT_OK);
	ASSERT(twin_keys_make(&keys, 1433160000000) == FAULT_OK);
	counters = calloc(TWIN_USERS_MAX, sizeof *counters);
	gmail_counters = calloc(TWIN_USERS_MAX, sizeof *gmail_counters);
	return 0;
}

static void check_lines(const struct buf *out)
{
	ASSERT(!out->overfull);
	ASSERT(!out->size || out->at[out->size - 1] == '\n');
}

/* Takes the script lines from the front. */
static void script(struct twin_scripts *scripts, struct span *rest)
{
	struct span line, name, stage, times;
	uint64_t number = 0;

	twin_scripts_clear(scripts);
	while (rest->size && *rest->at == '!') {
		span_cut(rest, '\n', &line);
		line = span_slice(line, 1, line.size);
		if (span_cut(&line, ' ', &name) && span_cut(&line, ' ', &stage) && span_cut(&line, ' ', &times) && span_number(times, &number) && number < 9)
			(void)!twin_script_add(scripts, &(struct twin_script_wish){ .name = name, .stage = stage, .text = line, .times = (int64_t)number, .ms = 5 });
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct twin_scripts scripts;
	struct exchange_world world = { .tenant = &tenant, .scripts = &scripts, .keys = keys, .counters = counters };
	struct span rest = { (const char *)bytes + 1, size - 1 };
	struct exchange_session s;
	size_t shown = 0, step = size ? bytes[0] % 64 + 1u : 0;

	if (!size)
		return 0;
	world.keys = keys;
	world.counters = counters;
	world.gmail_counters = gmail_counters;
	world.shelf = twin_shelf_new(NULL);
	script(&scripts, &rest);
	exchange_session_init(&s, &world, (enum exchange_door)(bytes[0] / 32 % EXCHANGE_DOORS), SPAN("127.0.0.1"), 1000, 1433160000000);
	if (bytes[0] & 64)
		exchange_session_secured(&s, SPAN("x.example gateway.contoso.example"));
	if (bytes[0] & 128 && s.door == EXCHANGE_SUBMISSION) {
		s.user = &tenant.users[0];
		s.hello = true;
	}
	while (shown < rest.size && s.next == EXCHANGE_GO_ON) {
		size_t taken;

		shown = shown + step < rest.size ? shown + step : rest.size;
		taken = exchange_session_feed(&s, span_slice(rest, 0, shown), 1000, 1433160000000);
		ASSERT(taken <= shown);
		check_lines(&s.out);
		buf_clear(&s.out);
		if (s.is_held)
			exchange_session_tick(&s, s.held_until_ms);
		check_lines(&s.out);
		rest = span_slice(rest, taken, rest.size);
		shown -= taken;
	}
	if (s.next == EXCHANGE_GO_ON)
		exchange_session_end(&s, TWIN_REPLY_too_many_errors, 1433160000000);
	exchange_session_fini(&s);
	twin_shelf_free(&world.shelf);
	return 0;
}
