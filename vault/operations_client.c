#include "vault/arguments.h"
#include "vault/inner.h"

#include "base/clock.h"
#include "identity/client_password.h"
#include "store/refused.h"

#include <stdio.h>
#include <string.h>

enum { REFUSED_PRESET = 50, REFUSED_MAX = 1000 };

struct edit {
	struct asker asker;
	struct client_row row, before;
	bool is_new, ends_credential;
	char password[CLIENT_PASSWORD_BYTES], credential[CLIENT_PASSWORD_CREDENTIAL_BYTES];
	unsigned char verifier[SEAL_MAC_BYTES];
	int64_t at_ms;
};

static const char *const protocol_names[] = { "smtp", "imap", "pop", "api" };
static const char *const rule_names[] = { "refuse", "rewrite", "map" };

static struct registry_client *named(struct vault *v, const json_t *json)
{
	return map_get(&v->registry.client_names, span_trim(json_text(json, "name")));
}

static void put_mailboxes(const struct vault *v, json_t *j, const struct client_row *row)
{
	json_t *array = json_array();
	const struct registry_mailbox *m;

	for (size_t i = 0; i < row->mailbox_count; i++) {
		m = registry_by_id(&v->registry.mailboxes, row->mailboxes[i]);
		if (m)
			json_array_append_new(array, json_stringn(m->row.address.at, m->row.address.size));
	}
	json_object_set_new(j, "mailboxes", array);
	m = registry_by_id(&v->registry.mailboxes, row->default_mailbox);
	json_put_text(j, "default_mailbox", m ? m->row.address : (struct span){ "", 0 });
}

static json_t *describe(const struct vault *v, const struct registry_client *c)
{
	const struct client_row *row = &c->row;
	json_t *j = json_object(), *protocols = json_array();

	json_put_text(j, "name", row->name);
	json_put_text(j, "org", operations_organisation(v, row->organisation));
	put_mailboxes(v, j, row);
	operations_put_lines(j, "senders", row->senders);
	operations_put_lines(j, "networks", row->networks);
	for (size_t i = 0; i < sizeof protocol_names / sizeof *protocol_names; i++)
		if (row->protocols & 1 << i)
			json_array_append_new(protocols, json_string(protocol_names[i]));
	json_object_set_new(j, "protocols", protocols);
	operations_put_lines(j, "listeners", row->listeners);
	json_put_text(j, "sender_rule", span_of(rule_names[row->sender_rule]));
	operations_put_lines(j, "maps", row->maps);
	json_put_whole(j, "verdict_wait_ms", row->verdict_wait_ms < 0 ? v->config->verdict_wait_ms : row->verdict_wait_ms);
	json_put_text(j, "credential", row->credential);
	json_put_flag(j, "enabled", row->enabled);
	operations_put_date(j, "created_at", row->made_at_ms);
	operations_put_date(j, "last_used_at", c->used_at_ms);
	return j;
}

static void read_mailboxes(struct vault *v, struct arguments *a, struct client_row *row)
{
	struct span lines = { "", 0 }, address = { "", 0 };
	const struct registry_mailbox *m;
	uint64_t *ids;

	if (arguments_has(a, "mailbox")) {
		arguments_list(a, "mailbox", ARGUMENTS_ADDRESS, &lines);
		ids = arena_take(a->arena, sizeof *ids * CLIENT_MAILBOXES_MAX);
		row->mailbox_count = 0;
		row->mailboxes = ids;
		while (lines.size && span_cut(&lines, '\n', &address)) {
			m = map_get(&v->registry.mailbox_addresses, address);
			if (!m || m->row.organisation != row->organisation)
				arguments_wrong(a, FAULT_NOT_FOUND, "mailbox: this organisation has no mailbox %.*s", SPAN_ARGS(address));
			else if (row->mailbox_count == CLIENT_MAILBOXES_MAX)
				arguments_wrong(a, FAULT_TOO_LARGE, "mailbox: more than %d", CLIENT_MAILBOXES_MAX);
			else
				ids[row->mailbox_count++] = m->row.id;
		}
	}
	if (arguments_has(a, "default_mailbox")) {
		arguments_address(a, "default_mailbox", true, &address);
		m = map_get(&v->registry.mailbox_addresses, address);
		row->default_mailbox = address.size && m ? m->row.id : 0;
		if (address.size && !m)
			arguments_wrong(a, FAULT_NOT_FOUND, "default_mailbox: there is no mailbox %.*s", SPAN_ARGS(address));
	}
}

/* A single mailbox is the default by itself; a default that was not granted is none. */
static void settle_default(struct arguments *a, struct client_row *row)
{
	bool granted = false;

	for (size_t i = 0; i < row->mailbox_count; i++)
		granted = granted || row->mailboxes[i] == row->default_mailbox;
	if (row->default_mailbox && !granted && arguments_has(a, "default_mailbox"))
		arguments_wrong(a, FAULT_MALFORMED, "default_mailbox: not among the mailboxes of this client");
	if (!granted)
		row->default_mailbox = 0;
	if (row->mailbox_count == 1 && !arguments_has(a, "default_mailbox"))
		row->default_mailbox = row->mailboxes[0];
	if (!row->mailbox_count)
		arguments_wrong(a, FAULT_MALFORMED, "mailbox: at least one is needed");
}

/* A sender may be anything that the provider lets the mailbox send as, but no mailbox of another organisation of ours. */
static void check_senders(struct vault *v, struct arguments *a, const struct client_row *row)
{
	struct span rest = row->senders, sender;

	while (rest.size && span_cut(&rest, '\n', &sender)) {
		const struct registry_mailbox *m = map_get(&v->registry.mailbox_addresses, sender);

		if (m && m->row.organisation != row->organisation)
			arguments_wrong(a, FAULT_FORBIDDEN, "sender: %.*s belongs to another organisation", SPAN_ARGS(sender));
	}
}

static void read_protocols(struct arguments *a, struct client_row *row)
{
	struct span lines = { "", 0 }, word;
	int64_t protocols = 0;

	if (!arguments_has(a, "protocol"))
		return;
	arguments_list(a, "protocol", ARGUMENTS_NAME, &lines);
	while (lines.size && span_cut(&lines, '\n', &word)) {
		int64_t bit = 0;

		for (size_t i = 0; i < sizeof protocol_names / sizeof *protocol_names; i++)
			if (span_equal_fold(span_of(protocol_names[i]), word))
				bit = 1 << i;
		if (!bit)
			arguments_wrong(a, FAULT_MALFORMED, "protocol: one of smtp imap pop api");
		protocols |= bit;
	}
	row->protocols = protocols;
}

static void read_settings(struct vault *v, struct arguments *a, struct client_row *row)
{
	read_mailboxes(v, a, row);
	arguments_list(a, "sender", ARGUMENTS_SENDER, &row->senders);
	arguments_list(a, "network", ARGUMENTS_NETWORK, &row->networks);
	arguments_list(a, "listener", ARGUMENTS_NAME, &row->listeners);
	arguments_list(a, "map", ARGUMENTS_MAP, &row->maps);
	read_protocols(a, row);
	arguments_choice(a, "sender_rule", "refuse rewrite map", 0, &row->sender_rule);
	arguments_wait(a, "verdict_wait", &row->verdict_wait_ms);
	arguments_flag(a, "enabled", &row->enabled);
	settle_default(a, row);
	check_senders(v, a, row);
	if (row->sender_rule == GRANT_SENDER_MAP && !row->maps.size)
		arguments_wrong(a, FAULT_MALFORMED, "sender_rule: map needs at least one --map FROM=TO");
	if (!row->credential.size && !row->networks.size)
		arguments_wrong(a, FAULT_MALFORMED, "network: a client without a password needs one");
}

static void make_password(struct vault *v, struct edit *e)
{
	client_password_make(e->password, e->credential);
	client_password_verifier(e->verifier, secret_borrow(v->password_key), (struct span){ e->password, sizeof e->password });
	e->row.credential = (struct span){ e->credential, sizeof e->credential };
	e->row.verifier = (struct span){ (char *)e->verifier, sizeof e->verifier };
}

static enum fault store(struct change *c, struct sqlite *db)
{
	struct edit *e = c->data;
	enum fault fault;

	if (e->is_new)
		return clients_add(db, &e->row, &e->row.id);
	fault = clients_set(db, &e->row);
	if (fault == FAULT_OK && e->ends_credential)
		fault = clients_end_credential(db, &e->before, e->at_ms);
	/* Grants given out so far say what held before. */
	return fault == FAULT_OK ? clients_revoke(db, e->row.id, e->at_ms, e->at_ms - GRANT_LIFETIME_MS) : fault;
}

static void done(struct change *c)
{
	struct edit *e = c->data;
	struct vault *v = c->vault;
	struct registry_client *client;
	json_t *result;

	if (c->fault != FAULT_OK) {
		secret_wipe(e->password, sizeof e->password);
		asker_answer(v, &e->asker, c->fault, SPAN(""), NULL);
		return;
	}
	if (e->ends_credential)
		authorize_end_credential(v, &e->before);
	client = registry_put_client(&v->registry, &e->row);
	if (!e->is_new)
		authorize_revoke(v, e->row.id, e->at_ms);
	asker_note(v, &e->asker, e->row.name, operations_organisation(v, e->row.organisation));
	result = describe(v, client);
	if (*e->password) {
		json_put_text(result, "user", e->row.name);
		json_put_text(result, "password", (struct span){ e->password, sizeof e->password });
	}
	asker_answer(v, &e->asker, FAULT_OK, SPAN(""), result);
}

static void run(struct vault *v, struct change *c, struct arguments *a)
{
	struct edit *e = c->data;

	if (a->fault == FAULT_OK) {
		change_run_take(c);
		return;
	}
	asker_answer(v, &e->asker, a->fault, span_of(a->why), NULL);
	change_drop(&c);
}

static struct change *edit_new(struct vault *v, const struct asker *asker, const struct registry_client *client)
{
	struct change *c = change_new(v, store, done, sizeof(struct edit));
	struct edit *e = c->data;

	e->asker = *asker;
	e->at_ms = client ? authorize_moment_ms(v, client->row.id) : clock_wall_ms();
	if (client) {
		e->row = registry_copy_client(c->arena, &client->row);
		e->before = e->row;
	}
	return c;
}

static void add(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_organisation *o = map_get(&v->registry.organisation_names, span_trim(json_text(json, "org")));
	struct change *c = edit_new(v, asker, NULL);
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->is_new = true;
	e->row.protocols = GRANT_SMTP;
	e->row.verdict_wait_ms = -1;
	e->row.enabled = true;
	e->row.made_at_ms = e->at_ms;
	arguments_name(&a, "name", &e->row.name);
	if (!e->row.name.size)
		arguments_wrong(&a, FAULT_MALFORMED, "name: needed");
	if (!o)
		arguments_wrong(&a, FAULT_NOT_FOUND, "org: there is no such organisation");
	else
		e->row.organisation = o->row.id;
	if (!json_flag(json, "no_password", false))
		make_password(v, e);
	read_settings(v, &a, &e->row);
	run(v, c, &a);
}

static void set(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_client *client = named(v, json);
	struct change *c = edit_new(v, asker, client);
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	if (client)
		read_settings(v, &a, &e->row);
	else
		a.fault = FAULT_NOT_FOUND;
	run(v, c, &a);
}

static void password(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_client *client = named(v, json);
	struct change *c = edit_new(v, asker, client);
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena, .fault = client ? FAULT_OK : FAULT_NOT_FOUND };

	e->ends_credential = true;
	if (client)
		make_password(v, e);
	run(v, c, &a);
}

static enum fault store_removal(struct change *c, struct sqlite *db)
{
	const struct edit *e = c->data;
	enum fault fault = clients_end_credential(db, &e->before, e->at_ms);

	if (fault == FAULT_OK)
		fault = clients_revoke(db, e->row.id, e->at_ms, e->at_ms - GRANT_LIFETIME_MS);
	return fault == FAULT_OK ? clients_remove(db, e->row.id) : fault;
}

static void removed(struct change *c)
{
	const struct edit *e = c->data;
	struct vault *v = c->vault;

	if (c->fault == FAULT_OK) {
		authorize_end_credential(v, &e->before);
		registry_remove_client(&v->registry, e->row.id);
		authorize_revoke(v, e->row.id, e->at_ms);
		asker_note(v, &e->asker, e->row.name, operations_organisation(v, e->row.organisation));
	}
	asker_answer(v, &e->asker, c->fault, SPAN(""), NULL);
}

static void remove_one(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_client *client = named(v, json);
	struct change *c = edit_new(v, asker, client);

	c->work = store_removal;
	c->done = removed;
	run(v, c, &(struct arguments){ .fault = client ? FAULT_OK : FAULT_NOT_FOUND });
}

static void show(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_client *client = named(v, json);

	asker_answer(v, asker, client ? FAULT_OK : FAULT_NOT_FOUND, SPAN(""), client ? describe(v, client) : NULL);
}

static bool list_one(const struct vault *v, const struct asker *asker, const void *which, struct span org, struct operations_page *page)
{
	const struct registry_client *client = which;

	if (client->row.id <= page->after || (org.size && !span_equal_fold(operations_organisation(v, client->row.organisation), org)))
		return true;
	return operations_page_add(page, client->row.name, describe(v, client));
}

static void list(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_client *after = map_get(&v->registry.client_names, json_text(json, "after"));

	operations_list(v, asker, json, &v->registry.clients, after ? after->row.id : 0, list_one);
}

/* --- postern client refused */

struct refusals_wanted {
	struct asker asker;
	struct span client;
	uint64_t organisation;
	int64_t limit;
	json_t *items;
};

static bool take_refused(void *self, const struct refused_row *r)
{
	struct refusals_wanted *w = self;
	enum fault fault = fault_named(r->fault);
	const struct fault_row *row = fault_row(fault == FAULT_COUNT ? FAULT_BUG : fault);
	json_t *j = json_object();

	operations_put_date(j, "at", r->at_ms);
	json_put_text(j, "client", r->name.size ? r->name : r->user);
	json_put_text(j, "remote", r->remote);
	json_put_text(j, "sender", r->sender);
	json_put_text(j, "why", span_of(row->says[w->asker.language]));
	remedy_put_json(j, fault == FAULT_COUNT ? FAULT_BUG : fault, w->asker.language, &(struct remedy_names){ .client = r->name, .sender = r->sender });
	json_put_text(j, "user", r->user);
	json_put_text(j, "recipient", r->recipient);
	json_put_text(j, "listener", r->listener);
	json_put_text(j, "fault", r->fault);
	json_put_whole(j, "times", r->times);
	json_array_append_new(w->items, j);
	return true;
}

static enum fault read_refused(struct change *c, struct sqlite *db)
{
	struct refusals_wanted *w = c->data;

	return refused_each(db, w->client, w->organisation, w->limit, take_refused, w);
}

static void refused_read(struct change *c)
{
	struct refusals_wanted *w = c->data;
	json_t *result = json_object();

	json_object_set_new(result, "items", w->items);
	asker_answer(c->vault, &w->asker, c->fault, SPAN(""), result);
}

static void refused(struct vault *v, const struct asker *asker, const json_t *json)
{
	struct change *c = change_new(v, read_refused, refused_read, sizeof(struct refusals_wanted));
	struct refusals_wanted *w = c->data;
	struct span organisation = span_trim(json_text(json, "org"));
	const struct registry_organisation *o = map_get(&v->registry.organisation_names, organisation);
	struct arguments a = { .json = json, .arena = c->arena };

	w->asker = *asker;
	w->limit = REFUSED_PRESET;
	w->client = arena_copy(c->arena, span_trim(json_text(json, "client")));
	w->organisation = o ? o->row.id : 0;
	arguments_number(&a, "limit", 1, REFUSED_MAX, &w->limit);
	if (organisation.size && !o)
		arguments_wrong(&a, FAULT_NOT_FOUND, "org: there is no such organisation");
	if (a.fault != FAULT_OK) {
		asker_answer(v, asker, a.fault, span_of(a.why), NULL);
		change_drop(&c);
		return;
	}
	w->items = json_array();
	refusals_flush(v);
	change_run_take(c);
}

const struct vault_operation client_operations[] = {
	{ "client.add", add },		 { "client.list", list },	{ "client.show", show },
	{ "client.set", set },		 { "client.password", password }, { "client.remove", remove_one },
	{ "client.refused", refused },	 { NULL, NULL },
};
