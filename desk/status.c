#include "desk/gather.h"
#include "desk/visit.h"

#include <string.h>

enum { WAIT_MS = 2000 };

/* --- health: for balancers and monitors */

/* A post whose disk is full or has failed answers, and takes no mail. */
static bool takes_mail(const struct gather_part *p)
{
	json_t *said = json_loadb(p->result.at ? p->result.at : "", p->result.size, 0, NULL);
	const char *intake = json_string_value(json_object_get(said, "intake"));
	bool takes = !intake || !strcmp(intake, "OK");

	json_decref(said);
	return takes;
}

static bool is_well(const struct gather_part *p)
{
	return p->came && p->fault == FAULT_OK && takes_mail(p);
}

static void on_health(void *self, const struct gather_part *parts, size_t count)
{
	struct visit *v = self;
	json_t *document = json_object(), *roles = json_object();
	bool healthy = true;

	for (size_t i = 0; i < count; i++) {
		healthy = healthy && is_well(&parts[i]);
		json_put_text(roles, role_name(parts[i].role), is_well(&parts[i]) ? SPAN("up") : SPAN("away"));
	}
	json_put_text(document, "status", healthy ? SPAN("up") : SPAN("away"));
	json_object_set_new(document, "roles", roles);
	visit_json(v, healthy ? 200 : 503, document);
	json_decref(document);
}

void visit_health(struct visit *v)
{
	gather_start(v->desk->errands, ROLE_VAULT | ROLE_POST, SPAN("status"), v->language, WAIT_MS, on_health, v);
}

/* --- status: for people at the command line */

static json_t *role_of(const char *name, unsigned index, bool up)
{
	json_t *role = json_object();

	json_put_text(role, "role", span_of(name));
	json_put_whole(role, "index", index);
	json_put_flag(role, "up", up);
	return role;
}

static json_t *own_listeners(const struct desk *desk)
{
	json_t *listeners = json_array();

	for (const struct door *d = desk->doors; d; d = d->next) {
		json_t *listener = json_object();
		struct buf address;

		buf_init(&address, 256);
		address_print(&address, &d->address, true);
		json_put_text(listener, "name", d->name);
		json_put_text(listener, "protocol", SPAN("http"));
		json_put_text(listener, "address", buf_span(&address));
		json_put_text(listener, "tls", d->tls ? SPAN("implicit") : SPAN("none"));
		json_array_append_new(listeners, listener);
		buf_free(&address);
	}
	return listeners;
}

/* What a gate says of its listeners joins ours; gates share theirs, so the first one's count. */
static void add_listeners(json_t *document, json_t *of_gate)
{
	json_t *listeners = json_object_get(of_gate, "listeners");

	if (json_is_array(listeners))
		json_array_extend(json_object_get(document, "listeners"), listeners);
	json_object_del(of_gate, "listeners");
}

/* What lapses and what is held stand first, whoever knows of it. */
static void lift(json_t *document, json_t *of_vault, const char *name)
{
	json_t *list = json_object_get(of_vault, name);

	if (json_is_array(list))
		json_array_extend(json_object_get(document, name), list);
	json_object_del(of_vault, name);
}

/* The members of what vault and post say stand under the role's name, those of gates in a list. */
static void add_part(json_t *document, const struct gather_part *p, bool *seen_gate)
{
	json_t *said = p->fault == FAULT_OK ? json_read(p->result, MESSAGE_BYTES_MAX) : NULL;

	json_array_append_new(json_object_get(document, "roles"), role_of(role_name(p->role), p->index, p->came));
	if (!json_is_object(said)) {
		json_decref(said);
		return;
	}
	if (p->role == ROLE_VAULT) {
		lift(document, said, "lapses");
		lift(document, said, "troubles");
	}
	if (p->role != ROLE_GATE) {
		json_object_set_new(document, role_name(p->role), said);
		return;
	}
	if (!*seen_gate)
		add_listeners(document, said);
	*seen_gate = true;
	json_object_del(said, "listeners");
	json_array_append_new(json_object_get(document, "gates"), said);
}

static void on_status(void *self, const struct gather_part *parts, size_t count)
{
	struct visit *v = self;
	json_t *document = json_object();
	bool healthy = true, seen_gate = false;

	json_object_set_new(document, "lapses", json_array());
	json_object_set_new(document, "troubles", json_array());
	json_put_text(document, "version", SPAN(POSTERN_VERSION));
	json_put_text(document, "public_url", site_url(v->desk->site));
	json_put_text(document, "redirect_uri", site_redirect(v->desk->site));
	json_object_set_new(document, "roles", json_array());
	json_object_set_new(document, "listeners", own_listeners(v->desk));
	json_object_set_new(document, "gates", json_array());
	json_array_append_new(json_object_get(document, "roles"), role_of("desk", 0, true));
	for (size_t i = 0; i < count; i++) {
		healthy = healthy && parts[i].came;
		add_part(document, &parts[i], &seen_gate);
	}
	json_put_text(document, "status", healthy ? SPAN("up") : SPAN("away"));
	visit_json(v, 200, document);
	json_decref(document);
}

void visit_status(struct visit *v)
{
	gather_start(v->desk->errands, ROLE_VAULT | ROLE_POST | ROLE_GATE, SPAN("status"), v->language, WAIT_MS, on_status, v);
}
