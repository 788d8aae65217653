#include "tests/replay/admin.h"

#include "base/panic.h"
#include "loop/fake/world.h"
#include "loop/link.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { WAIT_MS = 60000, ARGUMENTS_BYTES = 16384 };

struct admin {
	struct loop *loop;
	struct link *vault, *post, *gate;
	uint64_t request;
	bool is_answered;
	enum fault fault;
	struct buf *result;
};

static struct link **place(struct admin *a, enum role role)
{
	return role == ROLE_VAULT ? &a->vault : role == ROLE_POST ? &a->post : &a->gate;
}

static void on_received(void *self, struct link *link, const struct message *m)
{
	struct admin *a = self;

	if (m->type != MESSAGE_answer || m->answer.request != a->request || a->is_answered)
		return;
	a->is_answered = true;
	a->fault = (enum fault)m->answer.fault;
	buf_clear(a->result);
	ASSERT(buf_put(a->result, m->answer.fault ? m->answer.why : m->answer.result));
}

static void on_ended(void *self, struct link *link)
{
	link_close(place(self, link_peer(link)));
}

static const struct link_events events = { .received = on_received, .ended = on_ended };

struct admin *admin_new(void)
{
	struct admin *a = calloc(1, sizeof *a);

	if (!a)
		panic("out of memory");
	a->loop = world_loop("admin");
	return a;
}

void admin_free(struct admin **admin)
{
	struct admin *a = *admin;

	*admin = NULL;
	if (!a)
		return;
	link_close(&a->vault);
	link_close(&a->post);
	link_close(&a->gate);
	loop_free(&a->loop);
	free(a);
}

void admin_link(void *self, enum role role, int fd)
{
	struct admin *a = self;

	link_close(place(a, role));
	*place(a, role) = link_new_take(a->loop, fd, ROLE_DESK, role, 0, &events, a);
}

static bool is_over(void *self)
{
	return ((struct admin *)self)->is_answered;
}

enum fault admin_ask(struct admin *a, enum role role, const char *operation, struct buf *result, const char *format, ...)
{
	char arguments[ARGUMENTS_BYTES];
	va_list list;

	va_start(list, format);
	vsnprintf(arguments, sizeof arguments, format, list);
	va_end(list);
	if (!*place(a, role))
		return FAULT_CLOSED;
	a->is_answered = false;
	a->result = result;
	a->request++;
	link_send(*place(a, role), &MESSAGE_OF(call, .request = a->request, .operation = span_of(operation), .actor = SPAN("root"),
					       .arguments = span_of(arguments)));
	if (world_run_until(loop_now_ms(a->loop) + WAIT_MS, is_over, a))
		return FAULT_TIMEOUT;
	return a->fault;
}
