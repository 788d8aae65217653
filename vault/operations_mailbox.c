#include "vault/arguments.h"
#include "vault/inner.h"

#include "base/clock.h"

static const struct span MAILBOX_SUBJECT = { "mailbox", 7 }, APP_PASSWORD_SUBJECT = { "app_password", 12 };

struct edit {
	struct asker asker;
	struct mailbox_row row;
	bool drops_sign_in;   /* it belongs to the registration of another provider now; so did its app password */
	size_t revoked_count; /* clients whose grants name a mailbox that goes */
	uint64_t *revoked;
	int64_t at_ms;
};

static const char *const state_words[LANGUAGE_COUNT][4] = {
	{ "ready", "not linked", "needs a sign-in", "disabled" },
	{ "prête", "non liée", "identification nécessaire", "désactivée" },
};

static struct registry_mailbox *named(struct vault *v, const json_t *json)
{
	return map_get(&v->registry.mailbox_addresses, span_trim(json_text(json, "address")));
}

static void put_trouble(json_t *j, const struct registry_mailbox *m, const struct token_state *token, enum language language)
{
	const struct fault_row *row = fault_row(token->fault);

	if (token->fault == FAULT_OK)
		return;
	json_put_text(j, "trouble", span_of(row->says[language]));
	json_put_text(j, "provider_says", token->why);
	remedy_put_json(j, token->fault, language, &(struct remedy_names){ .mailbox = m->row.address });
	operations_put_date(j, "retry_at", token->retry_at_ms);
}

static void put_ways(json_t *j, const struct vault *v, const struct registry_mailbox *m)
{
	json_t *names = json_array();
	enum way ways[WAY_END];
	size_t count = mailbox_ways(v, m, ways);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(names, json_stringn(way_name(ways[i]).at, way_name(ways[i]).size));
	json_object_set_new(j, "way", names);
}

static json_t *describe(const struct vault *v, const struct registry_mailbox *m, enum language language)
{
	const struct registry_provider *p = registry_by_id(&v->registry.providers, m->row.provider);
	struct token_state token = tokens_state(v->tokens, mailbox_token(v, m));
	json_t *j = json_object();

	json_put_text(j, "address", m->row.address);
	json_put_text(j, "org", operations_organisation(v, m->row.organisation));
	json_put_text(j, "provider", p ? p->row.name : (struct span){ "", 0 });
	json_put_text(j, "state", span_of(state_words[language][mailbox_state(v, m)]));
	json_put_text(j, "name", m->row.name);
	operations_put_lines(j, "alias", m->row.aliases);
	json_put_text(j, "owner", m->row.owner);
	json_put_text(j, "language", span_of(language_name(m->row.language)));
	json_put_flag(j, "enabled", m->row.enabled);
	if (m->row.delegate)
		json_put_text(j, "sign_in_as", mailbox_account(v, m)->row.address);
	put_ways(j, v, m);
	if (m->app_password.mailbox) {
		json_put_text(j, "app_password_user", m->app_password.user.size ? m->app_password.user : m->row.address);
		json_put_text(j, "app_password_by", m->app_password.actor);
		operations_put_date(j, "app_password_set_at", m->app_password.made_at_ms);
	}
	if (!m->sign_in.mailbox) {
		put_trouble(j, m, &token, language);
		return j;
	}
	json_put_text(j, "account", m->sign_in.account);
	json_put_text(j, "account_tenant", m->sign_in.tenant);
	json_put_text(j, "account_id", m->sign_in.object);
	operations_put_date(j, "linked_at", m->sign_in.linked_at_ms);
	operations_put_date(j, "refreshed_at", m->sign_in.refreshed_at_ms);
	operations_put_date(j, "token_expires_at", m->sign_in.expires_at_ms);
	put_trouble(j, m, &token, language);
	return j;
}

static bool is_taken(const struct vault *v, struct span address, uint64_t but)
{
	const struct registry_mailbox *m = map_get(&v->registry.mailbox_addresses, address);

	return m && m->row.id != but;
}

static bool signs_in_for_others(const struct vault *v, uint64_t id)
{
	const struct registry_mailbox *m;
	size_t at = 0;

	while (id && (m = map_next(&v->registry.mailboxes, &at)))
		if (m->row.delegate == id)
			return true;
	return false;
}

/* One who has Send As on it. Chains would hide who signs in. */
static void read_delegate(struct vault *v, struct arguments *a, struct mailbox_row *row)
{
	struct span address = { "", 0 };
	const struct registry_mailbox *m;

	if (!arguments_has(a, "sign_in_as"))
		return;
	arguments_address(a, "sign_in_as", true, &address);
	m = map_get(&v->registry.mailbox_addresses, address);
	if (address.size && (!m || m->row.provider != row->provider))
		arguments_wrong(a, FAULT_NOT_FOUND, "sign_in_as: no mailbox of the same provider: %.*s", SPAN_ARGS(address));
	else if (address.size && (m->row.id == row->id || m->row.delegate || signs_in_for_others(v, row->id)))
		arguments_wrong(a, FAULT_MALFORMED, "sign_in_as: one signs in for itself, or another does: %.*s", SPAN_ARGS(address));
	else
		row->delegate = address.size ? m->row.id : 0;
}

static void read_settings(struct vault *v, struct arguments *a, struct mailbox_row *row)
{
	struct span provider = { "", 0 }, rest, alias;
	const struct registry_provider *p;

	if (arguments_has(a, "provider")) {
		arguments_name(a, "provider", &provider);
		p = map_get(&v->registry.provider_names, provider);
		if (!p || p->row.organisation != row->organisation)
			arguments_wrong(a, FAULT_NOT_FOUND, "provider: this organisation has no such provider: %.*s", SPAN_ARGS(provider));
		else
			row->provider = p->row.id;
	}
	read_delegate(v, a, row);
	arguments_line(a, "name", &row->name);
	arguments_list(a, "alias", ARGUMENTS_ADDRESS, &row->aliases);
	arguments_address(a, "owner", true, &row->owner);
	arguments_language(a, "language", &row->language);
	arguments_flag(a, "enabled", &row->enabled);
	arguments_list(a, "way", ARGUMENTS_WAY, &row->ways);
	for (rest = row->aliases; rest.size && span_cut(&rest, '\n', &alias);)
		if (is_taken(v, alias, row->id))
			arguments_wrong(a, FAULT_EXISTS, "alias: %.*s is a mailbox of its own", SPAN_ARGS(alias));
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

static enum fault store_new(struct change *c, struct sqlite *db)
{
	struct edit *e = c->data;

	return mailboxes_add(db, &e->row, &e->row.id);
}

static enum fault remove_secrets(struct sqlite *db, uint64_t mailbox)
{
	enum fault fault = secrets_remove_all(db, MAILBOX_SUBJECT, mailbox);

	return fault == FAULT_OK ? secrets_remove_all(db, APP_PASSWORD_SUBJECT, mailbox) : fault;
}

static enum fault store_settings(struct change *c, struct sqlite *db)
{
	const struct edit *e = c->data;
	enum fault fault = mailboxes_set(db, &e->row);

	if (fault != FAULT_OK || !e->drops_sign_in)
		return fault;
	fault = sign_ins_remove(db, e->row.id);
	if (fault == FAULT_OK)
		fault = app_passwords_remove(db, e->row.id);
	return fault == FAULT_OK ? remove_secrets(db, e->row.id) : fault;
}

static void done(struct change *c)
{
	const struct edit *e = c->data;
	struct vault *v = c->vault;
	struct registry_mailbox *m;

	if (c->fault != FAULT_OK) {
		asker_answer(v, &e->asker, c->fault, SPAN(""), NULL);
		return;
	}
	m = registry_put_mailbox(&v->registry, &e->row);
	if (e->drops_sign_in) {
		m->sign_in = (struct sign_in_row){ 0 };
		tokens_remove(v->tokens, m->row.id);
		registry_remove_app_password(&v->registry, m->row.id);
	}
	asker_note(v, &e->asker, m->row.address, operations_organisation(v, m->row.organisation));
	mailbox_mended(v, m->row.id);
	asker_answer(v, &e->asker, FAULT_OK, SPAN(""), describe(v, m, e->asker.language));
}

static void add(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_organisation *o = map_get(&v->registry.organisation_names, span_trim(json_text(json, "org")));
	struct change *c = change_new(v, store_new, done, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	e->row.enabled = true;
	arguments_address(&a, "address", false, &e->row.address);
	if (!o)
		arguments_wrong(&a, FAULT_NOT_FOUND, "org: there is no such organisation");
	if (!arguments_has(&a, "provider"))
		arguments_wrong(&a, FAULT_MALFORMED, "provider: needed");
	if (o) {
		e->row.organisation = o->row.id;
		e->row.language = o->row.language;
	}
	read_settings(v, &a, &e->row);
	if (!e->row.address.size)
		arguments_wrong(&a, FAULT_MALFORMED, "address: needed");
	run(v, c, &a);
}

static void set(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = named(v, json);
	struct change *c = change_new(v, store_settings, done, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	if (m) {
		e->row = registry_copy_mailbox(c->arena, &m->row);
		read_settings(v, &a, &e->row);
		e->drops_sign_in = e->row.provider != m->row.provider;
	} else {
		a.fault = FAULT_NOT_FOUND;
	}
	run(v, c, &a);
}

static enum fault store_removal(struct change *c, struct sqlite *db)
{
	const struct edit *e = c->data;
	enum fault fault = remove_secrets(db, e->row.id);

	for (size_t i = 0; i < e->revoked_count && fault == FAULT_OK; i++)
		fault = clients_revoke(db, e->revoked[i], e->at_ms, e->at_ms - GRANT_LIFETIME_MS);
	return fault == FAULT_OK ? mailboxes_remove(db, e->row.id) : fault;
}

static void removed(struct change *c)
{
	const struct edit *e = c->data;
	struct vault *v = c->vault;
	struct registry_organisation *o;
	size_t at = 0;

	if (c->fault != FAULT_OK) {
		asker_answer(v, &e->asker, c->fault, SPAN(""), NULL);
		return;
	}
	vault_tell(v, ROLE_POST, &MESSAGE_OF(mailbox_state, .mailbox = e->row.id, .enabled = 0, .address = e->row.address,
					     .language = (uint8_t)e->row.language));
	tokens_remove(v->tokens, e->row.id);
	consent_forget_mailbox(v, e->row.id);
	registry_remove_mailbox(&v->registry, e->row.id);
	while ((o = map_next(&v->registry.organisations, &at)))
		if (o->row.notice_mailbox == e->row.id)
			o->row.notice_mailbox = 0;
	for (size_t i = 0; i < e->revoked_count; i++)
		authorize_revoke(v, e->revoked[i], e->at_ms);
	asker_note(v, &e->asker, e->row.address, operations_organisation(v, e->row.organisation));
	asker_answer(v, &e->asker, FAULT_OK, SPAN(""), NULL);
}

static bool has_mailbox(const struct client_row *row, uint64_t mailbox)
{
	for (size_t i = 0; i < row->mailbox_count; i++)
		if (row->mailboxes[i] == mailbox)
			return true;
	return false;
}

static void remove_one(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = named(v, json);
	const struct registry_client *client;
	struct change *c;
	struct edit *e;
	size_t at = 0;

	if (!m) {
		asker_answer(v, asker, FAULT_NOT_FOUND, SPAN(""), NULL);
		return;
	}
	c = change_new(v, store_removal, removed, sizeof *e);
	e = c->data;
	e->asker = *asker;
	e->row = registry_copy_mailbox(c->arena, &m->row);
	e->at_ms = clock_wall_ms();
	e->revoked = arena_take(c->arena, sizeof *e->revoked * (map_count(&v->registry.clients) + 1));
	while ((client = map_next(&v->registry.clients, &at)))
		if (has_mailbox(&client->row, m->row.id))
			e->revoked[e->revoked_count++] = client->row.id;
	change_run_take(c);
}

static void show(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = named(v, json);

	asker_answer(v, asker, m ? FAULT_OK : FAULT_NOT_FOUND, SPAN(""), m ? describe(v, m, asker->language) : NULL);
}

static bool list_one(const struct vault *v, const struct asker *asker, const void *which, struct span org, struct operations_page *page)
{
	const struct registry_mailbox *m = which;

	if (m->row.id <= page->after || (org.size && !span_equal_fold(operations_organisation(v, m->row.organisation), org)))
		return true;
	return operations_page_add(page, m->row.address, describe(v, m, asker->language));
}

static void list(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *after = map_get(&v->registry.mailbox_addresses, json_text(json, "after"));

	operations_list(v, asker, json, &v->registry.mailboxes, after ? after->row.id : 0, list_one);
}

static void link_one(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = named(v, json);
	struct provider *p = m ? mailbox_provider(v, m) : NULL;

	if (!m || !p)
		asker_answer(v, asker, FAULT_NOT_FOUND, SPAN(""), NULL);
	else if (provider_kind(p)->account == PROVIDER_ACCOUNT_NONE)
		asker_answer(v, asker, FAULT_FORBIDDEN, SPAN("this provider knows no sign-in"), NULL);
	else if (provider_is_application(p))
		asker_answer(v, asker, FAULT_FORBIDDEN, SPAN("the application signs in for every mailbox of this provider: nobody needs to"), NULL);
	else if (m->row.delegate)
		asker_answer_print(v, asker, FAULT_FORBIDDEN, "%.*s signs in for it: link that one", SPAN_ARGS(mailbox_account(v, m)->row.address));
	else if (provider_service(p))
		asker_answer(v, asker, FAULT_FORBIDDEN, SPAN("the service account signs in for every mailbox of this provider: nobody needs to"), NULL);
	else if (!provider_row(p)->client_id.size)
		asker_answer_print(v, asker, FAULT_FORBIDDEN, "the provider has no app registration to sign in by: `postern provider set %.*s --client-id ID`",
				   SPAN_ARGS(provider_row(p)->name));
	else if (json_flag(json, "device", false))
		device_begin(v, asker, m);
	else
		consent_make_link(v, asker, m);
}

static void adopt_one(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = named(v, json);

	if (m)
		adopt_begin(v, asker, m, json_text(json, "refresh_token"));
	else
		asker_answer(v, asker, FAULT_NOT_FOUND, SPAN(""), NULL);
}

const struct vault_operation mailbox_operations[] = {
	{ "mailbox.add", add },		  { "mailbox.list", list },	{ "mailbox.show", show }, { "mailbox.set", set },
	{ "mailbox.remove", remove_one }, { "mailbox.link", link_one }, { "mailbox.adopt", adopt_one }, { NULL, NULL },
};
