#include "vault/arguments.h"
#include "vault/inner.h"

enum { ARENA_BYTES = 4 * 1024 * 1024 };

struct edit {
	struct asker asker;
	struct organisation_row row;
};

static struct registry_organisation *named(struct vault *v, const json_t *json)
{
	return map_get(&v->registry.organisation_names, span_trim(json_text(json, "name")));
}

struct counts {
	int64_t providers, mailboxes, clients;
};

static struct counts count(const struct vault *v, uint64_t id)
{
	const struct registry_provider *p;
	const struct registry_mailbox *m;
	const struct registry_client *c;
	struct counts n = { 0 };
	size_t at = 0;

	while ((p = map_next(&v->registry.providers, &at)))
		n.providers += p->row.organisation == id;
	for (at = 0; (m = map_next(&v->registry.mailboxes, &at));)
		n.mailboxes += m->row.organisation == id;
	for (at = 0; (c = map_next(&v->registry.clients, &at));)
		n.clients += c->row.organisation == id;
	return n;
}

static json_t *describe(const struct vault *v, const struct organisation_row *row)
{
	const struct registry_mailbox *notice = registry_by_id(&v->registry.mailboxes, row->notice_mailbox);
	struct counts n = count(v, row->id);
	json_t *j = json_object();

	json_put_text(j, "name", row->name);
	json_put_text(j, "title", row->title);
	json_put_text(j, "language", span_of(language_name(row->language)));
	json_put_text(j, "notice_mailbox", notice ? notice->row.address : (struct span){ "", 0 });
	operations_put_lines(j, "way", row->ways.size ? row->ways : way_name(WAY_SMTP));
	operations_put_lines(j, "admin", row->admins);
	json_put_whole(j, "providers", n.providers);
	json_put_whole(j, "mailboxes", n.mailboxes);
	json_put_whole(j, "clients", n.clients);
	return j;
}

static void read_settings(struct vault *v, struct arguments *a, struct organisation_row *row)
{
	struct span notice = { "", 0 };
	const struct registry_mailbox *m;

	arguments_line(a, "title", &row->title);
	arguments_language(a, "language", &row->language);
	arguments_list(a, "way", ARGUMENTS_WAY, &row->ways);
	arguments_list(a, "admin", ARGUMENTS_ADDRESS, &row->admins);
	if (!arguments_has(a, "notice_mailbox"))
		return;
	arguments_address(a, "notice_mailbox", true, &notice);
	m = map_get(&v->registry.mailbox_addresses, notice);
	if (notice.size && (!m || m->row.organisation != row->id))
		arguments_wrong(a, FAULT_NOT_FOUND, "notice_mailbox: no mailbox of this organisation: %.*s", SPAN_ARGS(notice));
	row->notice_mailbox = notice.size && m ? m->row.id : 0;
}

static void done(struct change *c)
{
	const struct edit *e = c->data;
	struct vault *v = c->vault;
	const struct registry_mailbox *m;
	size_t at = 0;

	if (c->fault != FAULT_OK) {
		asker_answer(v, &e->asker, c->fault, SPAN(""), NULL);
		return;
	}
	registry_put_organisation(&v->registry, &e->row);
	asker_note(v, &e->asker, e->row.name, e->row.name);
	while ((m = map_next(&v->registry.mailboxes, &at)))
		if (m->row.organisation == e->row.id)
			mailbox_tell(v, m);
	asker_answer(v, &e->asker, FAULT_OK, SPAN(""), describe(v, &e->row));
}

static enum fault store_new(struct change *c, struct sqlite *db)
{
	struct edit *e = c->data;

	return organisations_add(db, &e->row, &e->row.id);
}

static enum fault store_settings(struct change *c, struct sqlite *db)
{
	return organisations_set(db, &((struct edit *)c->data)->row);
}

static void run(struct vault *v, struct change *c, struct arguments *a)
{
	const struct edit *e = c->data;

	if (a->fault == FAULT_OK) {
		change_run_take(c);
		return;
	}
	asker_answer(v, &e->asker, a->fault, span_of(a->why), NULL);
	change_drop(&c);
}

static void add(struct vault *v, const struct asker *asker, const json_t *json)
{
	struct change *c = change_new(v, store_new, done, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	e->row.language = asker->language;
	arguments_name(&a, "name", &e->row.name);
	if (!e->row.name.size)
		arguments_wrong(&a, FAULT_MALFORMED, "name: needed");
	read_settings(v, &a, &e->row);
	run(v, c, &a);
}

static void set(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_organisation *o = named(v, json);
	struct change *c = change_new(v, store_settings, done, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	if (o) {
		e->row = registry_copy_organisation(c->arena, &o->row);
		read_settings(v, &a, &e->row);
	} else {
		a.fault = FAULT_NOT_FOUND;
	}
	run(v, c, &a);
}

static enum fault store_removal(struct change *c, struct sqlite *db)
{
	return organisations_remove(db, ((struct edit *)c->data)->row.id);
}

static void removed(struct change *c)
{
	const struct edit *e = c->data;

	if (c->fault == FAULT_OK) {
		registry_remove_organisation(&c->vault->registry, e->row.id);
		asker_note(c->vault, &e->asker, e->row.name, e->row.name);
	}
	asker_answer(c->vault, &e->asker, c->fault, SPAN(""), NULL);
}

static void remove_one(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_organisation *o = named(v, json);
	struct counts n = o ? count(v, o->row.id) : (struct counts){ 0 };
	struct change *c;
	struct edit *e;

	if (!o) {
		asker_answer(v, asker, FAULT_NOT_FOUND, SPAN(""), NULL);
		return;
	}
	if (n.providers || n.mailboxes || n.clients) {
		asker_answer_print(v, asker, FAULT_IN_USE, "%lld providers, %lld mailboxes, %lld clients", (long long)n.providers,
				   (long long)n.mailboxes, (long long)n.clients);
		return;
	}
	c = change_new(v, store_removal, removed, sizeof *e);
	e = c->data;
	e->asker = *asker;
	e->row = registry_copy_organisation(c->arena, &o->row);
	change_run_take(c);
}

static void show(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_organisation *o = named(v, json);

	asker_answer(v, asker, o ? FAULT_OK : FAULT_NOT_FOUND, SPAN(""), o ? describe(v, &o->row) : NULL);
}

static void list(struct vault *v, const struct asker *asker, const json_t *json)
{
	struct arena *arena = arena_new(SIZE_MAX);
	json_t *result = json_object(), *items = json_array();
	size_t number;
	void **all = registry_sorted(&v->registry.organisations, arena, &number);

	for (size_t i = 0; i < number; i++)
		json_array_append_new(items, describe(v, &((struct registry_organisation *)all[i])->row));
	json_object_set_new(result, "items", items);
	asker_answer(v, asker, FAULT_OK, SPAN(""), result);
	arena_free(&arena);
}

const struct vault_operation organisation_operations[] = {
	{ "org.add", add }, { "org.list", list }, { "org.show", show }, { "org.set", set }, { "org.remove", remove_one }, { NULL, NULL },
};
