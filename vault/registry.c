#include "vault/registry.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_BYTES_MAX = 4 * 1024 * 1024 };

void registry_init(struct registry *r)
{
	map_init(&r->organisations, false);
	map_init(&r->organisation_names, true);
	map_init(&r->providers, false);
	map_init(&r->provider_names, true);
	map_init(&r->mailboxes, false);
	map_init(&r->mailbox_addresses, true);
	map_init(&r->clients, false);
	map_init(&r->client_names, true);
	map_init(&r->client_credentials, false);
}

static struct span key_of(const uint64_t *id)
{
	return (struct span){ (const char *)id, sizeof *id };
}

void *registry_by_id(const struct map *m, uint64_t id)
{
	return map_get(m, key_of(&id));
}

static void *made(size_t size)
{
	void *at = calloc(1, size);

	if (!at)
		panic("out of memory");
	return at;
}

struct organisation_row registry_copy_organisation(struct arena *a, const struct organisation_row *row)
{
	struct organisation_row copy = *row;

	copy.name = arena_copy(a, row->name);
	copy.title = arena_copy(a, row->title);
	copy.ways = arena_copy(a, row->ways);
	copy.admins = arena_copy(a, row->admins);
	return copy;
}

struct provider_row registry_copy_provider(struct arena *a, const struct provider_row *row)
{
	struct provider_row copy = *row;

	copy.name = arena_copy(a, row->name);
	copy.kind = arena_copy(a, row->kind);
	copy.tenant = arena_copy(a, row->tenant);
	copy.client_id = arena_copy(a, row->client_id);
	copy.issuer = arena_copy(a, row->issuer);
	copy.scopes = arena_copy(a, row->scopes);
	copy.smtp_host = arena_copy(a, row->smtp_host);
	copy.source = arena_copy(a, row->source);
	copy.certificate = arena_copy(a, row->certificate);
	copy.seen_address = arena_copy(a, row->seen_address);
	copy.registered_address = arena_copy(a, row->registered_address);
	return copy;
}

struct mailbox_row registry_copy_mailbox(struct arena *a, const struct mailbox_row *row)
{
	struct mailbox_row copy = *row;

	copy.address = arena_copy(a, row->address);
	copy.name = arena_copy(a, row->name);
	copy.aliases = arena_copy(a, row->aliases);
	copy.owner = arena_copy(a, row->owner);
	copy.ways = arena_copy(a, row->ways);
	return copy;
}

struct app_password_row registry_copy_app_password(struct arena *a, const struct app_password_row *row)
{
	struct app_password_row copy = *row;

	copy.user = arena_copy(a, row->user);
	copy.actor = arena_copy(a, row->actor);
	return copy;
}

struct sign_in_row registry_copy_sign_in(struct arena *a, const struct sign_in_row *row)
{
	struct sign_in_row copy = *row;

	copy.tenant = arena_copy(a, row->tenant);
	copy.object = arena_copy(a, row->object);
	copy.account = arena_copy(a, row->account);
	copy.fault = arena_copy(a, row->fault);
	copy.why = arena_copy(a, row->why);
	return copy;
}

struct client_row registry_copy_client(struct arena *a, const struct client_row *row)
{
	struct client_row copy = *row;
	uint64_t *mailboxes = arena_take(a, sizeof *mailboxes * (row->mailbox_count + 1));

	if (row->mailbox_count)
		memcpy(mailboxes, row->mailboxes, sizeof *mailboxes * row->mailbox_count);
	copy.mailboxes = mailboxes;
	copy.name = arena_copy(a, row->name);
	copy.credential = arena_copy(a, row->credential);
	copy.verifier = arena_copy(a, row->verifier);
	copy.senders = arena_copy(a, row->senders);
	copy.networks = arena_copy(a, row->networks);
	copy.listeners = arena_copy(a, row->listeners);
	copy.maps = arena_copy(a, row->maps);
	return copy;
}

struct registry_organisation *registry_put_organisation(struct registry *r, const struct organisation_row *row)
{
	struct registry_organisation *o = registry_by_id(&r->organisations, row->id);
	struct arena *before = o ? o->arena : NULL;

	if (!o)
		o = made(sizeof *o);
	else
		map_remove(&r->organisation_names, o->row.name);
	o->arena = arena_new(ROW_BYTES_MAX);
	o->row = registry_copy_organisation(o->arena, row);
	arena_free(&before);
	map_put(&r->organisations, key_of(&o->row.id), o);
	map_put(&r->organisation_names, o->row.name, o);
	return o;
}

struct registry_provider *registry_put_provider(struct registry *r, const struct provider_row *row)
{
	struct registry_provider *p = registry_by_id(&r->providers, row->id);
	struct arena *before = p ? p->arena : NULL;

	if (!p)
		p = made(sizeof *p);
	else
		map_remove(&r->provider_names, p->row.name);
	p->arena = arena_new(ROW_BYTES_MAX);
	p->row = registry_copy_provider(p->arena, row);
	arena_free(&before);
	map_put(&r->providers, key_of(&p->row.id), p);
	map_put(&r->provider_names, p->row.name, p);
	return p;
}

struct registry_mailbox *registry_put_mailbox(struct registry *r, const struct mailbox_row *row)
{
	struct registry_mailbox *m = registry_by_id(&r->mailboxes, row->id);
	struct arena *before = m ? m->arena : NULL;

	if (!m)
		m = made(sizeof *m);
	else
		map_remove(&r->mailbox_addresses, m->row.address);
	m->arena = arena_new(ROW_BYTES_MAX);
	m->row = registry_copy_mailbox(m->arena, row);
	arena_free(&before);
	map_put(&r->mailboxes, key_of(&m->row.id), m);
	map_put(&r->mailbox_addresses, m->row.address, m);
	return m;
}

void registry_put_sign_in(struct registry *r, const struct sign_in_row *row)
{
	struct registry_mailbox *m = registry_by_id(&r->mailboxes, row->mailbox);
	struct arena *before;

	if (!m)
		return;
	before = m->sign_in_arena;
	m->sign_in_arena = arena_new(ROW_BYTES_MAX);
	m->sign_in = registry_copy_sign_in(m->sign_in_arena, row);
	arena_free(&before);
}

/* Networks were checked before they were stored; what does not parse any more admits nobody. */
static void read_networks(struct registry_client *c)
{
	struct span rest = c->row.networks, line;
	size_t lines = 1;

	for (size_t i = 0; i < c->row.networks.size; i++)
		lines += c->row.networks.at[i] == '\n';
	c->networks = arena_take(c->arena, sizeof *c->networks * lines);
	c->network_count = 0;
	while (c->row.networks.size && span_cut(&rest, '\n', &line))
		if (network_parse(&c->networks[c->network_count], line))
			c->network_count++;
}

struct registry_client *registry_put_client(struct registry *r, const struct client_row *row)
{
	struct registry_client *c = registry_by_id(&r->clients, row->id);
	struct arena *before = c ? c->arena : NULL;

	if (!c) {
		c = made(sizeof *c);
		c->used_at_ms = row->used_at_ms;
	} else {
		map_remove(&r->client_names, c->row.name);
		if (c->row.credential.size)
			map_remove(&r->client_credentials, c->row.credential);
	}
	c->arena = arena_new(ROW_BYTES_MAX);
	c->row = registry_copy_client(c->arena, row);
	read_networks(c);
	arena_free(&before);
	map_put(&r->clients, key_of(&c->row.id), c);
	map_put(&r->client_names, c->row.name, c);
	if (c->row.credential.size)
		map_put(&r->client_credentials, c->row.credential, c);
	return c;
}

void registry_put_app_password(struct registry *r, const struct app_password_row *row)
{
	struct registry_mailbox *m = registry_by_id(&r->mailboxes, row->mailbox);
	struct arena *before;

	if (!m)
		return;
	before = m->app_password_arena;
	m->app_password_arena = arena_new(ROW_BYTES_MAX);
	m->app_password = registry_copy_app_password(m->app_password_arena, row);
	arena_free(&before);
}

void registry_remove_app_password(struct registry *r, uint64_t mailbox)
{
	struct registry_mailbox *m = registry_by_id(&r->mailboxes, mailbox);

	if (!m)
		return;
	m->app_password = (struct app_password_row){ 0 };
	arena_free(&m->app_password_arena);
}

void registry_remove_organisation(struct registry *r, uint64_t id)
{
	struct registry_organisation *o = map_remove(&r->organisations, key_of(&id));

	if (!o)
		return;
	map_remove(&r->organisation_names, o->row.name);
	arena_free(&o->arena);
	free(o);
}

void registry_remove_provider(struct registry *r, uint64_t id)
{
	struct registry_provider *p = map_remove(&r->providers, key_of(&id));

	if (!p)
		return;
	map_remove(&r->provider_names, p->row.name);
	arena_free(&p->arena);
	free(p);
}

void registry_remove_client(struct registry *r, uint64_t id)
{
	struct registry_client *c = map_remove(&r->clients, key_of(&id));

	if (!c)
		return;
	map_remove(&r->client_names, c->row.name);
	if (c->row.credential.size)
		map_remove(&r->client_credentials, c->row.credential);
	arena_free(&c->arena);
	free(c);
}

static void take_from_client(struct registry_client *c, uint64_t mailbox)
{
	uint64_t *mailboxes = (uint64_t *)c->row.mailboxes; /* they are in our own arena */
	size_t kept = 0;

	for (size_t i = 0; i < c->row.mailbox_count; i++)
		if (mailboxes[i] != mailbox)
			mailboxes[kept++] = mailboxes[i];
	c->row.mailbox_count = kept;
	if (c->row.default_mailbox == mailbox)
		c->row.default_mailbox = 0;
}

static void free_mailbox(struct registry_mailbox *m)
{
	arena_free(&m->arena);
	arena_free(&m->sign_in_arena);
	arena_free(&m->app_password_arena);
	free(m);
}

void registry_remove_mailbox(struct registry *r, uint64_t id)
{
	struct registry_mailbox *m = map_remove(&r->mailboxes, key_of(&id));
	struct registry_client *c;
	size_t at = 0;

	if (!m)
		return;
	map_remove(&r->mailbox_addresses, m->row.address);
	while ((c = map_next(&r->clients, &at)))
		take_from_client(c, id);
	free_mailbox(m);
	for (at = 0; (m = map_next(&r->mailboxes, &at));)
		if (m->row.delegate == id)
			m->row.delegate = 0;
}

void registry_fini(struct registry *r)
{
	struct registry_organisation *o;
	struct registry_provider *p;
	struct registry_mailbox *m;
	struct registry_client *c;
	struct map *all[] = { &r->organisations, &r->organisation_names, &r->providers, &r->provider_names, &r->mailboxes,
			      &r->mailbox_addresses, &r->clients, &r->client_names, &r->client_credentials };
	size_t at = 0;

	while ((o = map_next(&r->organisations, &at))) {
		arena_free(&o->arena);
		free(o);
	}
	for (at = 0; (p = map_next(&r->providers, &at));) {
		arena_free(&p->arena);
		free(p);
	}
	for (at = 0; (m = map_next(&r->mailboxes, &at));)
		free_mailbox(m);
	for (at = 0; (c = map_next(&r->clients, &at));) {
		arena_free(&c->arena);
		free(c);
	}
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		map_free(all[i]);
}

struct numbered {
	uint64_t id;
	void *value;
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = ((const struct numbered *)a)->id, y = ((const struct numbered *)b)->id;

	return x < y ? -1 : x > y;
}

void **registry_sorted(const struct map *m, struct arena *arena, size_t *count_out)
{
	size_t count = 0, room = map_count(m);
	struct numbered *all = arena_take(arena, sizeof *all * (room + 1));
	void **sorted = arena_take(arena, sizeof *sorted * (room + 1));

	for (size_t i = 0; i < m->room; i++)
		if (m->slots[i].value) {
			memcpy(&all[count].id, m->slots[i].key.at, sizeof all[count].id);
			all[count++].value = m->slots[i].value;
		}
	qsort(all, count, sizeof *all, by_number);
	for (size_t i = 0; i < count; i++)
		sorted[i] = all[i].value;
	*count_out = count;
	return sorted;
}
