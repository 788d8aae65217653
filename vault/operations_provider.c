#include "base/text.h"
#include "vault/arguments.h"
#include "vault/connector.h"
#include "vault/lapse.h"

enum { URL_BYTES = 4096, SECRET_BYTES_MAX = 4096, EXPECTED_GUID_BYTES = 36 };
enum { MESSAGES_PER_MINUTE_MAX = 100000, RECIPIENTS_PER_DAY_MAX = 1000000000, CONNECTIONS_MAX = 1000 };

static const struct span PROVIDER_SUBJECT = { "provider", 8 }, CLIENT_SECRET = { "client_secret", 13 },
			 CLIENT_CERTIFICATE = { "client_certificate", 18 };

struct edit {
	struct asker asker;
	struct provider_row row;
	bool has_secret, drops_secret; /* one was given; an empty one was given */
	bool has_key, drops_key;       /* likewise: a certificate with its key */
	struct secret *secret, *key_pem;
	struct signing_key *key;
	struct secret_row sealed, sealed_key;
	struct connector_edit connector;
};

static const char *const tls_words[] = { "none", "starttls", "implicit" };
static const char *const access_words[] = { "delegated", "application" };
static const char *const mechanism_words[] = { "none", "plain", "login", "xoauth2", "oauthbearer" };

static struct registry_provider *named(struct vault *v, const json_t *json)
{
	return map_get(&v->registry.provider_names, span_trim(json_text(json, "name")));
}

static int64_t count_mailboxes(const struct vault *v, uint64_t provider)
{
	const struct registry_mailbox *m;
	int64_t count = 0;
	size_t at = 0;

	while ((m = map_next(&v->registry.mailboxes, &at)))
		count += m->row.provider == provider;
	return count;
}

/* As Azure shows it, so that people can compare; and until when it serves. */
static void put_certificate(json_t *j, const struct signing_key *key)
{
	struct buf hex;

	if (!key)
		return;
	buf_init(&hex, 128);
	for (size_t i = 0; i < signing_key_thumbprint(key).size; i++)
		buf_print(&hex, "%02X", (unsigned char)signing_key_thumbprint(key).at[i]);
	json_put_text(j, "client_certificate_sha256", buf_span(&hex));
	operations_put_date(j, "client_certificate_ends_at", signing_key_ends_ms(key));
	buf_free(&hex);
}

static void put_end(json_t *j, const struct registry_provider *p)
{
	if (p->row.secret_ends_at_ms > 0)
		operations_put_date(j, "client_secret_ends_at", p->row.secret_ends_at_ms);
	else if (provider_has_secret(p->provider))
		json_put_text(j, "client_secret_ends_at", p->row.secret_ends_at_ms ? SPAN("never") : SPAN("unknown"));
}

static json_t *describe(const struct vault *v, const struct registry_provider *p, enum language language)
{
	struct provider_limits limits = provider_limits(p->provider);
	json_t *j = json_object();
	struct buf url;

	buf_init(&url, URL_BYTES);
	consent_redirect_uri(v, &url);
	json_put_text(j, "name", p->row.name);
	json_put_text(j, "org", operations_organisation(v, p->row.organisation));
	json_put_text(j, "kind", p->row.kind);
	json_put_text(j, "title", provider_kind(p->provider)->title);
	json_put_text(j, "tenant", p->row.tenant);
	json_put_text(j, "client_id", p->row.client_id);
	json_put_flag(j, "client_secret", provider_has_secret(p->provider));
	json_put_flag(j, "service_account", provider_service(p->provider) != NULL);
	put_certificate(j, provider_key(p->provider));
	json_put_text(j, "access", span_of(access_words[p->row.access == PROVIDER_APPLICATION]));
	put_end(j, p);
	json_put_text(j, "issuer", p->row.issuer);
	json_put_text(j, "scopes", provider_client(p->provider).scope);
	json_put_text(j, "smtp_host", provider_host(p->provider));
	json_put_whole(j, "smtp_port", provider_port(p->provider));
	json_put_text(j, "smtp_tls", span_of(tls_words[provider_tls(p->provider)]));
	json_put_text(j, "mechanism", span_of(mechanism_words[provider_mechanism(p->provider)]));
	json_put_whole(j, "messages_per_minute", limits.messages_per_minute);
	json_put_whole(j, "recipients_per_day", limits.recipients_per_day);
	json_put_whole(j, "connections", limits.connections);
	json_put_text(j, "redirect_uri", buf_span(&url));
	json_put_whole(j, "mailboxes", count_mailboxes(v, p->row.id));
	connector_describe(p, language, j);
	buf_free(&url);
	return j;
}

static void read_secret(struct arguments *a, struct edit *e)
{
	struct span secret = span_trim(json_text(a->json, "client_secret"));

	if (!arguments_has(a, "client_secret"))
		return;
	if (secret.size > SECRET_BYTES_MAX)
		arguments_wrong(a, FAULT_MALFORMED, "client_secret: longer than any");
	/* What Azure shows beside the value, and what people paste instead of it. */
	if (secret.size == EXPECTED_GUID_BYTES && secret.at[8] == '-' && secret.at[13] == '-' && secret.at[18] == '-' && secret.at[23] == '-')
		arguments_wrong(a, FAULT_MALFORMED, "client_secret: this looks like the secret's ID; its Value is needed");
	e->has_secret = secret.size > 0;
	e->drops_secret = !secret.size;
	if (e->has_secret && a->fault == FAULT_OK)
		e->secret = secret_new(secret);
}

static void read_certificate(struct arguments *a, struct edit *e)
{
	struct span pem = json_text(a->json, "client_certificate");
	char why[256];

	if (!arguments_has(a, "client_certificate"))
		return;
	e->drops_key = !pem.size;
	e->has_key = pem.size > 0;
	if (!e->has_key || a->fault != FAULT_OK)
		return;
	if (signing_key_read(&e->key, pem, true, why) != FAULT_OK)
		arguments_wrong(a, FAULT_MALFORMED, "client_certificate: %s", why);
	else
		e->key_pem = secret_new(pem);
}

/* The end of a secret goes with it: of a new one nothing is known that is not said. */
static void read_end(struct arguments *a, struct edit *e)
{
	struct span text = span_trim(json_text(a->json, "expires"));

	if (e->has_secret || e->drops_secret)
		e->row.secret_ends_at_ms = 0;
	if (!arguments_has(a, "expires"))
		return;
	if (span_equal_fold(text, SPAN("never")))
		e->row.secret_ends_at_ms = -1;
	else if (!text.size)
		e->row.secret_ends_at_ms = 0;
	else if (!text_from_date(text, &e->row.secret_ends_at_ms) || !e->row.secret_ends_at_ms)
		arguments_wrong(a, FAULT_MALFORMED, "expires: a date such as 2027-01-31, or never");
}

/* A key file stands where a client's secret would, and its account where the client's number would. */
static void read_service(struct arguments *a, struct edit *e)
{
	struct span file = span_trim(json_text(a->json, "service_account"));
	struct service_key key = { 0 };

	if (!arguments_has(a, "service_account"))
		return;
	if (arguments_has(a, "client_secret") || arguments_has(a, "client_id"))
		arguments_wrong(a, FAULT_MALFORMED, "service_account: a service account has neither client-id nor client-secret");
	if (!span_equal_fold(e->row.kind, SPAN("google")))
		arguments_wrong(a, FAULT_MALFORMED, "service_account: of kind google alone");
	if (a->fault != FAULT_OK)
		return;
	e->drops_secret = !file.size;
	e->row.client_id = (struct span){ "", 0 };
	if (file.size && service_key_read(&key, file) != FAULT_OK)
		arguments_wrong(a, FAULT_MALFORMED,
				"service_account: this is no key file of a service account; make one at Google Cloud console > Service accounts > Keys (JSON)");
	if (file.size && a->fault == FAULT_OK) {
		e->row.client_id = arena_copy(a->arena, key.email);
		e->has_secret = true;
		e->secret = secret_new(file);
	}
	service_key_free(&key);
}

static void read_settings(struct arguments *a, struct edit *e)
{
	struct provider_row *row = &e->row;
	char why[256];
	enum fault fault;

	arguments_word(a, "tenant", &row->tenant);
	arguments_word(a, "client_id", &row->client_id);
	arguments_word(a, "issuer", &row->issuer);
	arguments_word(a, "scopes", &row->scopes);
	arguments_word(a, "smtp_host", &row->smtp_host);
	arguments_number(a, "smtp_port", 0, 65535, &row->smtp_port);
	arguments_choice(a, "smtp_tls", "none starttls implicit", 0, &row->smtp_tls);
	arguments_choice(a, "mechanism", "none plain login xoauth2 oauthbearer", 0, &row->mechanism);
	arguments_choice(a, "access", "delegated application", 0, &row->access);
	arguments_number(a, "messages_per_minute", -1, MESSAGES_PER_MINUTE_MAX, &row->messages_per_minute);
	arguments_number(a, "recipients_per_day", -1, RECIPIENTS_PER_DAY_MAX, &row->recipients_per_day);
	arguments_number(a, "connections", -1, CONNECTIONS_MAX, &row->connections);
	read_secret(a, e);
	read_certificate(a, e);
	read_service(a, e);
	read_end(a, e);
	connector_read(a, &e->connector);
	if (a->fault != FAULT_OK)
		return;
	fault = provider_check(row, why);
	if (fault != FAULT_OK)
		arguments_wrong(a, fault, "%s", why);
}

static enum fault store_secret(struct change *c, struct sqlite *db)
{
	struct edit *e = c->data;
	enum fault fault = FAULT_OK;

	e->sealed.row = e->sealed_key.row = e->row.id;
	if (e->has_secret)
		fault = secrets_put(db, &e->sealed);
	else if (e->drops_secret)
		fault = secrets_remove(db, PROVIDER_SUBJECT, e->row.id, CLIENT_SECRET);
	if (fault == FAULT_OK && e->has_key)
		fault = secrets_put(db, &e->sealed_key);
	else if (fault == FAULT_OK && e->drops_key)
		fault = secrets_remove(db, PROVIDER_SUBJECT, e->row.id, CLIENT_CERTIFICATE);
	return fault == FAULT_OK ? connector_store(db, &e->connector) : fault;
}

static enum fault store_new(struct change *c, struct sqlite *db)
{
	struct edit *e = c->data;

	return providers_add(db, &e->row, &e->row.id);
}

static enum fault store_settings(struct change *c, struct sqlite *db)
{
	enum fault fault = providers_set(db, &((struct edit *)c->data)->row);

	return fault == FAULT_OK ? store_secret(c, db) : fault;
}

/* A connector is everybody's in its organisation. */
static void tell_mailboxes(struct vault *v, const struct registry_provider *p)
{
	bool is_connector = provider_kind(p->provider)->is_connector;
	const struct registry_mailbox *m;
	size_t at = 0;

	while ((m = map_next(&v->registry.mailboxes, &at)))
		if (m->row.provider == p->row.id || (is_connector && m->row.organisation == p->row.organisation)) {
			tokens_provider_changed(v->tokens, m->row.id);
			mailbox_tell(v, m);
			mailbox_mended_alone(v, m->row.id);
		}
}

/* The secret that stays is copied out of the provider that goes. */
static void put_in_force(struct vault *v, struct edit *e)
{
	struct registry_provider *p = registry_put_provider(&v->registry, &e->row);
	struct secret *secret = e->secret;
	struct signing_key *key = e->key;

	e->secret = NULL;
	e->key = NULL;
	if (!secret && !e->drops_secret && p->provider && provider_secret(p->provider).size)
		secret = secret_new(provider_secret(p->provider));
	if (!key && !e->drops_key && p->provider && provider_key(p->provider))
		key = signing_key_copy(provider_key(p->provider));
	provider_free(&p->provider);
	p->provider = provider_new_take(v->loop, v->http, &p->row, secret, key);
	tokens_remove(v->tokens, token_of_provider(p->row.id)); /* what was given to another registration */
	tell_mailboxes(v, p);
	lookout_soon(v);
}

/* Whoever gives a secret of a kind that always ends, and not its end, is asked for it. */
static json_t *describe_change(const struct vault *v, const struct edit *e)
{
	static const char *const asks[] = {
		[LANGUAGE_EN] = "Nobody said when the client secret ends, so nobody can be warned: `postern provider set {provider} --expires DATE`.",
		[LANGUAGE_FR] = "Nul n'a dit quand le secret client prend fin ; personne ne peut donc être averti : `postern provider set {provider} --expires DATE`.",
	};
	const struct registry_provider *p = registry_by_id(&v->registry.providers, e->row.id);
	json_t *j = describe(v, p, e->asker.language);
	struct buf text;

	if (!provider_has_secret(p->provider) || p->row.secret_ends_at_ms || provider_kind(p->provider)->account != PROVIDER_ACCOUNT_TENANT)
		return j;
	buf_init(&text, REMEDY_BYTES_MAX);
	remedy_fill(&text, span_of(asks[e->asker.language]), e->asker.language, &(struct remedy_names){ .provider = p->row.name });
	json_put_text(j, "warning", buf_span(&text));
	buf_free(&text);
	return j;
}

static void forget(struct edit *e)
{
	secret_free(&e->secret);
	secret_free(&e->key_pem);
	signing_key_free(&e->key);
	secret_free(&e->connector.key);
}

/* What is stored of them, sealed into a change's arena. */
static void seal(struct change *c, struct edit *e)
{
	if (e->secret)
		e->sealed = change_seal(c, PROVIDER_SUBJECT, e->row.id, CLIENT_SECRET, secret_borrow(e->secret));
	if (e->key_pem)
		e->sealed_key = change_seal(c, PROVIDER_SUBJECT, e->row.id, CLIENT_CERTIFICATE, secret_borrow(e->key_pem));
	e->connector.row = &e->row;
	connector_seal(c, &e->connector);
}

static void done(struct change *c)
{
	struct edit *e = c->data;
	struct vault *v = c->vault;

	if (c->fault == FAULT_OK) {
		put_in_force(v, e);
		asker_note(v, &e->asker, e->row.name, operations_organisation(v, e->row.organisation));
	}
	forget(e);
	asker_answer(v, &e->asker, c->fault, SPAN(""),
		     c->fault == FAULT_OK ? describe_change(v, e) : NULL);
}

/* A secret is bound to its provider's number, which is known only once the row is there: so a new one is stored by a second change. */
static void added(struct change *c)
{
	struct edit *e = c->data, *to;
	struct change *next;

	if (c->fault != FAULT_OK || (!e->has_secret && !e->has_key && !e->connector.key)) {
		done(c);
		return;
	}
	next = change_new(c->vault, store_secret, done, sizeof *to);
	to = next->data;
	*to = *e;
	to->row = registry_copy_provider(next->arena, &e->row);
	seal(next, to);
	change_run_take(next);
}

static void run(struct vault *v, struct change *c, struct arguments *a)
{
	struct edit *e = c->data;

	if (a->fault == FAULT_OK) {
		change_run_take(c);
		return;
	}
	asker_answer(v, &e->asker, a->fault, span_of(a->why), NULL);
	forget(e);
	change_drop(&c);
}

static void add(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_organisation *o = map_get(&v->registry.organisation_names, span_trim(json_text(json, "org")));
	struct change *c = change_new(v, store_new, added, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	e->connector.row = &e->row;
	e->row.smtp_tls = e->row.mechanism = -1;
	e->row.messages_per_minute = e->row.recipients_per_day = e->row.connections = -1;
	arguments_name(&a, "name", &e->row.name);
	arguments_name(&a, "kind", &e->row.kind);
	if (!e->row.name.size)
		arguments_wrong(&a, FAULT_MALFORMED, "name: needed");
	if (!o)
		arguments_wrong(&a, FAULT_NOT_FOUND, "org: there is no such organisation");
	else
		e->row.organisation = o->row.id;
	read_settings(&a, e);
	run(v, c, &a);
}

static void set(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_provider *p = named(v, json);
	struct change *c = change_new(v, store_settings, done, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	e->connector.row = &e->row;
	if (p) {
		e->row = registry_copy_provider(c->arena, &p->row);
		read_settings(&a, e);
	} else {
		a.fault = FAULT_NOT_FOUND;
	}
	seal(c, e);
	run(v, c, &a);
}

static enum fault store_removal(struct change *c, struct sqlite *db)
{
	const struct edit *e = c->data;
	enum fault fault = secrets_remove_all(db, PROVIDER_SUBJECT, e->row.id);

	return fault == FAULT_OK ? providers_remove(db, e->row.id) : fault;
}

static void removed(struct change *c)
{
	const struct edit *e = c->data;
	struct vault *v = c->vault;
	struct registry_provider *p = registry_by_id(&v->registry.providers, e->row.id);

	if (c->fault == FAULT_OK && p) {
		provider_free(&p->provider);
		tokens_remove(v->tokens, token_of_provider(e->row.id));
		registry_remove_provider(&v->registry, e->row.id);
		lookout_soon(v);
		asker_note(v, &e->asker, e->row.name, operations_organisation(v, e->row.organisation));
	}
	asker_answer(v, &e->asker, c->fault, SPAN(""), NULL);
}

static void remove_one(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_provider *p = named(v, json);
	int64_t count = p ? count_mailboxes(v, p->row.id) : 0;
	struct change *c;
	struct edit *e;

	if (!p) {
		asker_answer(v, asker, FAULT_NOT_FOUND, SPAN(""), NULL);
		return;
	}
	if (count) {
		asker_answer_print(v, asker, FAULT_IN_USE, "%lld mailboxes use it", (long long)count);
		return;
	}
	c = change_new(v, store_removal, removed, sizeof *e);
	e = c->data;
	e->asker = *asker;
	e->row = registry_copy_provider(c->arena, &p->row);
	change_run_take(c);
}

static void show(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_provider *p = named(v, json);

	asker_answer(v, asker, p ? FAULT_OK : FAULT_NOT_FOUND, SPAN(""), p ? describe(v, p, asker->language) : NULL);
}

static void list(struct vault *v, const struct asker *asker, const json_t *json)
{
	struct arena *arena = arena_new(SIZE_MAX);
	json_t *result = json_object(), *items = json_array();
	struct span wanted = json_text(json, "org");
	size_t number;
	void **all = registry_sorted(&v->registry.providers, arena, &number);

	for (size_t i = 0; i < number; i++) {
		const struct registry_provider *p = all[i];

		if (!wanted.size || span_equal_fold(operations_organisation(v, p->row.organisation), wanted))
			json_array_append_new(items, describe(v, p, asker->language));
	}
	json_object_set_new(result, "items", items);
	asker_answer(v, asker, FAULT_OK, SPAN(""), result);
	arena_free(&arena);
}

const struct vault_operation provider_operations[] = {
	{ "provider.add", add }, { "provider.list", list }, { "provider.show", show },
	{ "provider.set", set }, { "provider.remove", remove_one }, { NULL, NULL },
};
