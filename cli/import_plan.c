#include "cli/import_plan.h"

#include "base/json.h"
#include "base/text.h"
#include "cli/call.h"

#include <stdio.h>

enum { PATH_BYTES = 1024, NAME_BYTES = 64 };

/* --- what there is */

/* A list of any length, page by page. */
static int fetch(const struct cli *c, const char *path, json_t **out)
{
	struct span after = { "", 0 };

	*out = json_array();
	for (;;) {
		json_t *answer = NULL;
		long status = 0;
		struct buf url;
		int result;

		buf_init(&url, PATH_BYTES);
		buf_print(&url, "%s", path);
		if (after.size) {
			buf_put(&url, SPAN("?after="));
			text_percent(&url, after);
		}
		result = call_daemon(c->data, "GET", buf_span(&url), NULL, &status, &answer);
		buf_free(&url);
		if (!result && status >= 400)
			result = call_failed(answer);
		if (!result)
			json_array_extend(*out, json_object_get(answer, "items"));
		after = result ? (struct span){ "", 0 } : arena_copy(c->arena, json_text(answer, "next"));
		json_decref(answer);
		if (!after.size)
			return result;
	}
}

static const json_t *find(const json_t *items, const char *member, struct span value)
{
	json_t *item;
	size_t at;

	json_array_foreach((json_t *)items, at, item)
		if (span_equal_fold(json_text(item, member), value))
			return item;
	return NULL;
}

/* --- organisations and providers */

/* That of a mailbox that there is; else the one given, else one for its domain. */
static struct span org_of(struct import_plan *p, struct span address, const json_t *there)
{
	struct span given = cli_value(p->cli, "org"), domain = span_slice(address, span_find_byte(address, '@') + 1, NAME_BYTES);
	struct span name = there ? json_text(there, "org") : given.at ? given : domain;

	for (size_t i = 0; i < p->org_count; i++)
		if (span_equal_fold(p->items_org[i].name, name))
			return p->items_org[i].name;
	p->items_org[p->org_count] = (struct import_plan_org){ name, find(p->orgs, "name", name) ? IMPORT_STATE_EXISTS : IMPORT_STATE_NEW };
	return p->items_org[p->org_count++].name;
}

/* A server that signs nobody in has no registration: there its address is what tells it from others. */
static bool is_plain(const struct import_registration *r)
{
	return span_equal(r->kind, SPAN("smtp"));
}

static bool is_same(const struct import_registration *a, const struct import_registration *b)
{
	if (!span_equal(a->kind, b->kind) || !span_equal(a->client_id, b->client_id) || a->is_application != b->is_application)
		return false;
	if (is_plain(a))
		return span_equal_fold(a->host, b->host) && a->port == b->port;
	return span_equal_fold(a->tenant, b->tenant) || !a->tenant.size || !b->tenant.size;
}

/* A provider that there is, as one that was found. */
static struct import_registration registration_of(const json_t *provider)
{
	int64_t port = 0;

	json_whole(provider, "smtp_port", &port);
	return (struct import_registration){ .kind = json_text(provider, "kind"), .client_id = json_text(provider, "client_id"),
					     .tenant = json_text(provider, "tenant"), .host = json_text(provider, "smtp_host"), .port = (uint64_t)port,
					     .is_application = span_equal(json_text(provider, "access"), SPAN("application")) };
}

static bool is_taken(const struct import_plan *p, struct span name)
{
	for (size_t i = 0; i < p->provider_count; i++)
		if (span_equal_fold(p->items_provider[i].name, name))
			return true;
	return find(p->providers, "name", name) != NULL;
}

static struct span new_name(struct import_plan *p, struct span org, struct span kind)
{
	struct arena *arena = p->found->arena;
	struct span name = arena_print(arena, "%.*s-%.*s", (int)(org.size < NAME_BYTES - 28 ? org.size : NAME_BYTES - 28), org.at, SPAN_ARGS(kind));

	for (unsigned n = 2; is_taken(p, name); n++)
		name = arena_print(arena, "%.*s-%.*s-%u", (int)(org.size < NAME_BYTES - 28 ? org.size : NAME_BYTES - 28), org.at, SPAN_ARGS(kind), n);
	return name;
}

static struct span provider_of(struct import_plan *p, struct span org, const struct import_registration *r)
{
	struct import_plan_provider *to = &p->items_provider[p->provider_count];
	json_t *item;
	size_t at;

	for (size_t i = 0; i < p->provider_count; i++) {
		struct import_plan_provider *one = &p->items_provider[i];

		if (!span_equal(one->org, org) || !is_same(&one->registration, r))
			continue;
		if (!one->registration.client_secret.size)
			one->registration.client_secret = r->client_secret;
		return one->name;
	}
	*to = (struct import_plan_provider){ .org = org, .registration = *r, .state = IMPORT_STATE_NEW };
	json_array_foreach(p->providers, at, item) {
		struct import_registration there = registration_of(item);

		if (!span_equal_fold(json_text(item, "org"), org) || !is_same(&there, r))
			continue;
		to->name = json_text(item, "name");
		to->state = IMPORT_STATE_EXISTS;
		break;
	}
	if (to->state == IMPORT_STATE_NEW)
		to->name = new_name(p, org, r->kind);
	p->provider_count++;
	return to->name;
}

/* --- mailboxes and clients */

/* Whether a provider can be made of it; said, where not. A password needs the server alone. */
static bool settle_registration(struct import_plan *p, struct import_account *a)
{
	struct import_registration *r = &a->registration;

	if (!r->kind.size)
		return false;
	r->is_application = a->sign_in == IMPORT_APPLICATION && span_starts(r->kind, SPAN("microsoft"));
	if (r->client_id.size && !is_plain(r))
		return true;
	if (a->sign_in == IMPORT_PASSWORD && r->host.size) {
		r->is_login = span_starts(r->kind, SPAN("microsoft")) || span_equal(r->kind, SPAN("outlook"));
		r->kind = SPAN("smtp");
		return true;
	}
	import_remark(p->found, IMPORT_NOTE_NO_CLIENT_ID, a->address, SPAN(""));
	return false;
}

static void plan_mailbox(struct import_plan *p, struct import_account *a)
{
	struct import_plan_mailbox *m = &p->items_mailbox[p->mailbox_count];
	const json_t *there = find(p->mailboxes, "address", a->address);
	struct span provider;

	if (!settle_registration(p, a))
		return;
	*m = (struct import_plan_mailbox){ .account = a, .state = IMPORT_STATE_NEW, .sign_in = IMPORT_STATE_NEW };
	m->org = org_of(p, a->address, there);
	provider = provider_of(p, m->org, &a->registration);
	if (*a->address.at == '@')
		return;
	m->provider = provider;
	if (there) {
		m->state = IMPORT_STATE_EXISTS;
		m->is_linked = json_has(there, a->sign_in == IMPORT_PASSWORD ? "app_password_set_at" : "linked_at");
		m->provider = json_text(there, "provider");
		if (!m->is_linked && !span_equal_fold(m->provider, provider)) {
			import_remark(p->found, IMPORT_NOTE_OTHER_PROVIDER, a->address, SPAN(""));
			m->is_linked = true;
		}
	}
	p->mailbox_count++;
}

static const struct import_plan_mailbox *planned(const struct import_plan *p, struct span address)
{
	for (size_t i = 0; i < p->mailbox_count; i++)
		if (span_equal_fold(p->items_mailbox[i].account->address, address))
			return &p->items_mailbox[i];
	return NULL;
}

/* The part of a client that is of one organisation; the first has its name, the others that of the organisation behind it. */
static struct import_plan_client *part_of(struct import_plan *p, struct import_client *c, struct span org, size_t first)
{
	struct import_plan_client *to;

	for (size_t i = first; i < p->client_count; i++)
		if (span_equal_fold(p->items_client[i].org, org))
			return &p->items_client[i];
	if (p->client_count == sizeof p->items_client / sizeof *p->items_client)
		return NULL;
	to = &p->items_client[p->client_count++];
	*to = (struct import_plan_client){ .client = c, .org = org, .name = c->name };
	if (to != &p->items_client[first])
		to->name = span_slice(arena_print(p->found->arena, "%.*s.%.*s", SPAN_ARGS(c->name), SPAN_ARGS(org)), 0, NAME_BYTES);
	to->state = find(p->clients, "name", to->name) ? IMPORT_STATE_EXISTS : IMPORT_STATE_NEW;
	return to;
}

static void plan_client(struct import_plan *p, struct import_client *c)
{
	size_t first = p->client_count;

	for (size_t i = 0; i < c->mailboxes.count; i++) {
		const struct import_plan_mailbox *m = planned(p, c->mailboxes.items[i]);
		struct import_plan_client *to = m ? part_of(p, c, m->org, first) : NULL;

		if (to)
			import_list_add(p->found, &to->mailboxes, c->mailboxes.items[i]);
		else
			import_remark(p->found, IMPORT_NOTE_MAILBOX_MISSING, c->name, c->mailboxes.items[i]);
	}
}

int import_plan_make(const struct cli *c, struct import *found, struct import_plan **out)
{
	struct import_plan *p = *out = arena_take(found->arena, sizeof *p);
	int result;

	p->cli = c;
	p->found = found;
	result = fetch(c, "/api/v1/orgs", &p->orgs);
	result = result ? result : fetch(c, "/api/v1/providers", &p->providers);
	result = result ? result : fetch(c, "/api/v1/mailboxes", &p->mailboxes);
	result = result ? result : fetch(c, "/api/v1/clients", &p->clients);
	if (result)
		return result;
	for (size_t i = 0; i < found->account_count; i++)
		plan_mailbox(p, &found->accounts[i]);
	for (size_t i = 0; i < found->client_count; i++)
		plan_client(p, &found->clients[i]);
	return CLI_DONE;
}

void import_plan_free(struct import_plan *p)
{
	json_decref(p->orgs);
	json_decref(p->providers);
	json_decref(p->mailboxes);
	json_decref(p->clients);
}
