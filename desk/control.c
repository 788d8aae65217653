#include "desk/visit.h"

/* The place of the operation's subject: the first positional, which names no secret. */
static struct span subject(const struct visit *v)
{
	return v->route.value_count ? v->route.values[0] : SPAN("");
}

static void say_done(const struct visit *v, enum fault fault)
{
	TRAIL(&v->desk->trail, EVENT_OPERATION_DONE, TRAIL_TEXT("operation", span_of(v->route.operation->name)),
	      TRAIL_TEXT("actor", buf_span(&v->actor)), TRAIL_TEXT("about", subject(v)), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
}

static void on_answer(void *self, const struct errand_answer *a)
{
	struct visit *v = self;

	say_done(v, a->fault);
	if (a->fault != FAULT_OK)
		visit_fault_json(v, a->fault, a->why);
	else
		visit_answer(v, 200, SPAN("application/json"), a->result.size ? a->result : SPAN("{}"));
}

void visit_operation(struct visit *v)
{
	const struct http_seen *seen = http_seen(v->exchange);
	const struct route_operation *o = v->route.operation;
	json_t *arguments;
	char memory[256];
	struct buf why;
	enum fault f;

	buf_over(&why, memory, sizeof memory);
	f = route_arguments(&v->route, seen->content_type, seen->query, seen->body, &arguments, &why);
	if (f != FAULT_OK) {
		say_done(v, f);
		visit_fault_json(v, f, buf_span(&why));
		return;
	}
	/* The vault knows neither the port that the system chose nor the proxy in front of us. */
	if (o->role == ROLE_VAULT)
		json_put_text(arguments, "public_url", site_url(v->desk->site));
	visit_ask(v, o->role, span_of(o->name), arguments, on_answer);
	json_decref(arguments);
}
