#include "tests/replay/admin.h"

#include "base/json.h"
#include "base/panic.h"
#include "base/text.h"
#include "loop/fake/world.h"
#include "loop/stream.h"
#include "tests/replay/house.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 60000, CONNECT_MS = 5000, ARGUMENTS_BYTES = 16384, ANSWER_BYTES = 4 * 1024 * 1024 };

struct admin {
	struct loop *loop;
	struct stream *stream;
	struct buf request, answer;
	bool is_over;
};

static const struct {
	const char *name, *method, *path;
} operations[] = {
#define OPERATION(noun, verb, role, method, path, ...) { #noun "." #verb, method, path },
#include "tables/operations.def"
#undef OPERATION
};

struct admin *admin_new(void)
{
	struct admin *a = calloc(1, sizeof *a);

	if (!a)
		panic("out of memory");
	a->loop = world_loop("admin");
	buf_init(&a->request, ARGUMENTS_BYTES * 4);
	buf_init(&a->answer, ANSWER_BYTES);
	return a;
}

void admin_free(struct admin **admin)
{
	struct admin *a = *admin;

	*admin = NULL;
	if (!a)
		return;
	stream_close(&a->stream);
	buf_wipe(&a->request);
	buf_wipe(&a->answer);
	loop_free(&a->loop);
	free(a);
}

/* --- the conversation */

static void on_opened(void *self)
{
	struct admin *a = self;

	stream_write(a->stream, buf_span(&a->request));
}

static size_t on_data(void *self, struct span bytes)
{
	struct admin *a = self;

	ASSERT(buf_put(&a->answer, bytes));
	return bytes.size;
}

static void on_ended(void *self, enum fault fault, struct span why)
{
	((struct admin *)self)->is_over = true;
}

static const struct stream_events events = { .opened = on_opened, .data = on_data, .ended = on_ended };

static bool is_over(void *self)
{
	return ((struct admin *)self)->is_over;
}

/* --- the request */

/* Appends the path, with what stands in braces taken out of the arguments. */
static void put_path(struct buf *out, struct span path, json_t *arguments)
{
	struct span piece;
	char name[64];

	while (span_cut(&path, '{', &piece)) {
		buf_put(out, piece);
		if (!path.at || !span_cut(&path, '}', &piece))
			return;
		snprintf(name, sizeof name, "%.*s", SPAN_ARGS(piece));
		text_percent(out, json_text(arguments, name));
		json_object_del(arguments, name);
	}
}

static void put_query(struct buf *out, json_t *arguments)
{
	const char *name;
	json_t *value;
	char mark = '?';

	json_object_foreach(arguments, name, value) {
		buf_print(out, "%c%s=", mark, name);
		text_percent(out, span_of(json_string_value(value)));
		mark = '&';
	}
}

static void put_request(struct admin *a, size_t row, json_t *arguments)
{
	struct span method = span_of(operations[row].method);
	bool has_body = !span_equal(method, SPAN("GET")) && !span_equal(method, SPAN("DELETE"));
	struct buf body;

	buf_init(&body, ARGUMENTS_BYTES);
	buf_clear(&a->request);
	buf_print(&a->request, "%.*s ", SPAN_ARGS(method));
	put_path(&a->request, span_of(operations[row].path), arguments);
	if (has_body)
		json_write(&body, arguments);
	else
		put_query(&a->request, arguments);
	buf_put(&a->request, SPAN(" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept-Language: en\r\n"));
	if (has_body)
		buf_print(&a->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.size);
	buf_put(&a->request, SPAN("\r\n"));
	buf_put(&a->request, buf_span(&body));
	ASSERT(!a->request.overfull);
	buf_free(&body);
}

static enum fault read_answer(struct admin *a, struct buf *result)
{
	struct span answer = buf_span(&a->answer), body;
	size_t end = span_find(answer, SPAN("\r\n\r\n"));
	json_t *json;
	enum fault fault = FAULT_OK;

	if (end == answer.size)
		return FAULT_CLOSED;
	body = span_slice(answer, end + 4, answer.size);
	buf_clear(result);
	ASSERT(buf_put(result, body));
	if (span_starts(answer, SPAN("HTTP/1.1 2")))
		return FAULT_OK;
	json = json_read(body, ANSWER_BYTES);
	fault = json ? fault_named(json_text(json, "fault")) : FAULT_MALFORMED;
	json_decref(json);
	return fault < FAULT_COUNT && fault ? fault : FAULT_MALFORMED;
}

static size_t row_of(const char *operation)
{
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
		if (span_equal(span_of(operations[i].name), span_of(operation)))
			return i;
	panic("there is no such operation");
}

enum fault admin_ask(struct admin *a, const char *operation, struct buf *result, const char *format, ...)
{
	char text[ARGUMENTS_BYTES];
	struct address control;
	json_t *arguments;
	va_list list;
	bool late;

	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	arguments = json_read(span_of(text), sizeof text);
	ASSERT(arguments && address_parse(&control, SPAN(HOUSE_CONTROL), 0));
	put_request(a, row_of(operation), arguments);
	json_decref(arguments);
	buf_clear(&a->answer);
	a->is_over = false;
	a->stream = stream_connect(a->loop, &control, NULL, CONNECT_MS, &events, a);
	late = world_run_until(world_ms() + WAIT_MS, is_over, a);
	stream_close(&a->stream);
	return late ? FAULT_TIMEOUT : read_answer(a, result);
}
