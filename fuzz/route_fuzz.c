#include "desk/route.h"

#include "base/panic.h"
#include "base/text.h"

/* A method and a path on the first line, a query on the second, the body behind. Whatever comes of it: values are text, and arguments are those of the row. */
static void check_arguments(const struct route *r, json_t *arguments)
{
	struct buf text;
	json_t *again;

	buf_init(&text, 4 * 1024 * 1024);
	ASSERT(json_is_object(arguments) && json_write(&text, arguments));
	again = json_read(buf_span(&text), text.size);
	ASSERT(again && json_equal(again, arguments));
	for (size_t i = 0; i < r->value_count; i++) {
		struct span first;
		char name[64];

		snprintf(name, sizeof name, "%.*s", SPAN_ARGS(r->names[i]));
		ASSERT(json_item(arguments, name, 0, &first) && span_equal(first, r->values[i]));
	}
	json_decref(again);
	json_decref(arguments);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = { (const char *)data, size }, line = { 0 }, query = { 0 }, method = { 0 };
	struct route r;
	char memory[256];
	struct buf why;
	json_t *arguments;

	buf_over(&why, memory, sizeof memory);
	span_cut(&rest, '\n', &line);
	span_cut(&rest, '\n', &query);
	span_cut(&line, ' ', &method);
	(void)!route_find(&r, ROUTE_PUBLIC, method, line);
	if (route_find(&r, ROUTE_CONTROL, method, line) != FAULT_OK)
		return 0;
	for (size_t i = 0; i < r.value_count; i++)
		ASSERT(text_is_utf8(r.values[i]) && r.values[i].size && span_find_byte(r.values[i], 0) == r.values[i].size);
	if (!r.operation)
		return 0;
	if (route_arguments(&r, SPAN("application/json"), query, rest, &arguments, &why) == FAULT_OK)
		check_arguments(&r, arguments);
	else
		ASSERT(!arguments && why.size);
	return 0;
}
