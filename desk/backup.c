#include "desk/visit.h"

/* A backup goes through here in sealed parts, asked for one by one: nothing is kept, and whoever is slow slows nobody. */

static void say_done(const struct visit *v, const char *operation, enum fault fault)
{
	TRAIL(&v->desk->trail, EVENT_OPERATION_DONE, TRAIL_TEXT("operation", span_of(operation)), TRAIL_TEXT("actor", buf_span(&v->actor)),
	      TRAIL_TEXT("about", SPAN("")), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)));
}

static void on_begun(void *self, const struct errand_answer *a)
{
	struct visit *v = self;

	say_done(v, "backup", a->fault);
	if (a->fault != FAULT_OK)
		visit_fault_json(v, a->fault, a->why);
	else
		visit_answer(v, 200, SPAN("application/json"), a->result);
}

void visit_backup_begin(struct visit *v)
{
	json_t *arguments = json_object();

	visit_ask(v, ROLE_VAULT, SPAN("backup.begin"), arguments, on_begun);
	json_decref(arguments);
}

static void on_part(void *self, const struct errand_answer *a)
{
	struct visit *v = self;

	if (a->fault != FAULT_OK)
		visit_fault_json(v, a->fault, a->why);
	else /* behind the last part comes a word on what there was */
		visit_answer(v, 200, a->why.size ? SPAN("application/json") : SPAN("application/octet-stream"), a->result);
}

static void read_part(struct visit *v, enum role role)
{
	json_t *arguments = json_object();

	json_put_text(arguments, "backup", route_value(&v->route, SPAN("backup")));
	visit_ask(v, role, SPAN("backup.read"), arguments, on_part);
	json_decref(arguments);
}

void visit_backup_spool(struct visit *v)
{
	read_part(v, ROLE_POST);
}

void visit_backup_vault(struct visit *v)
{
	read_part(v, ROLE_VAULT);
}
