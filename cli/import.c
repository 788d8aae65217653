#include "base/json.h"
#include "base/text.h"
#include "cli/call.h"
#include "cli/import_files.h"
#include "cli/import_plan.h"
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 1024, TEXT_BYTES = 4096 };

static const char *state_word(enum import_state state)
{
	static const enum cli_word words[IMPORT_STATE_COUNT] = { CLI_WORD_IMPORT_EXISTS, CLI_WORD_IMPORT_NEW, CLI_WORD_IMPORT_MADE, CLI_WORD_FAILED };

	return cli_word(words[state]);
}

/* --- doing it */

/* One request; a refusal is noted with the daemon's words. CLI_AWAY ends it all. */
static int ask(struct import_plan *p, const char *method, struct span path, const json_t *body, struct span about, enum import_state *state)
{
	json_t *answer = NULL;
	long status = 0;
	int result = call_daemon(p->cli->data, method, path, body, &status, &answer);
	struct span why;

	*state = !result && status < 400 ? IMPORT_STATE_MADE : IMPORT_STATE_FAILED;
	if (!result && status >= 400) {
		why = json_text(answer, "why");
		import_remark(p->found, IMPORT_NOTE_REFUSED, about, why.size ? arena_print(p->found->arena, "%.*s: %.*s", SPAN_ARGS(json_text(answer, "says")), SPAN_ARGS(why)) : json_text(answer, "says"));
	}
	json_decref(answer);
	return result;
}

static int make_org(struct import_plan *p, struct import_plan_org *o)
{
	json_t *body = json_object();
	int result;

	json_put_text(body, "name", o->name);
	result = ask(p, "POST", SPAN("/api/v1/orgs"), body, o->name, &o->state);
	json_decref(body);
	return result;
}

static void put_server(json_t *body, const struct import_registration *r)
{
	if (import_is_own_server(r))
		return;
	json_put_text(body, "smtp_host", r->host);
	json_put_whole(body, "smtp_port", (int64_t)r->port);
	if (r->is_login)
		json_put_text(body, "mechanism", SPAN("login"));
	json_put_text(body, "smtp_tls", r->is_clear ? SPAN("none") : r->is_implicit ? SPAN("implicit") : SPAN("starttls"));
}

static int make_provider(struct import_plan *p, struct import_plan_provider *o)
{
	const struct import_registration *r = &o->registration;
	const struct { const char *name; struct span value; } members[] = {
		{ "name", o->name },	       { "org", o->org },		  { "kind", r->kind },	   { "tenant", r->tenant },
		{ "client_id", r->client_id }, { "client_secret", r->client_secret }, { "issuer", r->issuer },
	};
	json_t *body = json_object();
	int result;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (members[i].value.size)
			json_put_text(body, members[i].name, members[i].value);
	if (r->is_application)
		json_put_text(body, "access", SPAN("application"));
	put_server(body, r);
	result = ask(p, "POST", SPAN("/api/v1/providers"), body, o->name, &o->state);
	json_decref(body);
	return result;
}

static json_t *list_of(const struct import_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(array, json_stringn(list->items[i].at, list->items[i].size));
	return array;
}

/* The way out that the account had, where this Postern has it; else its organisation's. */
static void put_way(json_t *body, const struct import_account *a)
{
	static const char *const ways[] = {
#define WAY(symbol, name, ...) name,
#include "tables/ways.def"
#undef WAY
	};
	const char *wanted = a->sign_in == IMPORT_PASSWORD ? "app-password" : a->by_graph ? "graph" : "smtp";

	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (!strcmp(ways[i], wanted))
			json_object_set_new(body, "way", json_pack("[s]", wanted));
}

static int make_mailbox(struct import_plan *p, struct import_plan_mailbox *o)
{
	json_t *body = json_object();
	int result;

	json_put_text(body, "address", o->account->address);
	json_put_text(body, "org", o->org);
	json_put_text(body, "provider", o->provider);
	put_way(body, o->account);
	if (o->account->aliases.count)
		json_object_set_new(body, "alias", list_of(&o->account->aliases));
	result = ask(p, "POST", SPAN("/api/v1/mailboxes"), body, o->account->address, &o->state);
	json_decref(body);
	return result;
}

/* Its token or its password, which the daemon proves at the provider. */
static int sign_in(struct import_plan *p, struct import_plan_mailbox *o)
{
	bool is_password = o->account->sign_in == IMPORT_PASSWORD;
	json_t *body = json_object();
	struct buf path;
	int result;

	buf_init(&path, PATH_BYTES);
	buf_put(&path, SPAN("/api/v1/mailboxes/"));
	text_percent(&path, o->account->address);
	buf_put(&path, is_password ? SPAN("/password") : SPAN("/adopt"));
	json_put_text(body, is_password ? "password" : "refresh_token", is_password ? o->account->password : o->account->refresh_token);
	if (is_password && o->account->user.size)
		json_put_text(body, "user", o->account->user);
	result = ask(p, "POST", buf_span(&path), body, o->account->address, &o->sign_in);
	json_decref(body);
	buf_free(&path);
	return result;
}

/* A client without networks gets a password, which nobody is shown here: another is asked for when it is needed. */
static int make_client(struct import_plan *p, struct import_plan_client *o)
{
	json_t *body = json_object();
	int result;

	json_put_text(body, "name", o->name);
	json_put_text(body, "org", o->org);
	json_object_set_new(body, "mailbox", list_of(&o->mailboxes));
	if (o->client->senders.count)
		json_object_set_new(body, "sender", list_of(&o->client->senders));
	if (o->client->networks.count) {
		json_object_set_new(body, "network", list_of(&o->client->networks));
		json_put_flag(body, "no_password", true);
	}
	result = ask(p, "POST", SPAN("/api/v1/clients"), body, o->name, &o->state);
	json_decref(body);
	return result;
}

static bool wants_sign_in(const struct import_plan_mailbox *m)
{
	return (m->account->sign_in == IMPORT_TOKEN || m->account->sign_in == IMPORT_PASSWORD) && !m->is_linked;
}

static int carry_out(struct import_plan *p)
{
	int result = CLI_DONE;

	for (size_t i = 0; i < p->org_count && !result; i++)
		if (p->items_org[i].state == IMPORT_STATE_NEW)
			result = make_org(p, &p->items_org[i]);
	for (size_t i = 0; i < p->provider_count && !result; i++)
		if (p->items_provider[i].state == IMPORT_STATE_NEW)
			result = make_provider(p, &p->items_provider[i]);
	for (size_t i = 0; i < p->mailbox_count && !result; i++) {
		struct import_plan_mailbox *m = &p->items_mailbox[i];

		if (m->state == IMPORT_STATE_NEW)
			result = make_mailbox(p, m);
		if (!result && m->state != IMPORT_STATE_FAILED && wants_sign_in(m))
			result = sign_in(p, m);
	}
	for (size_t i = 0; i < p->client_count && !result; i++)
		if (p->items_client[i].state == IMPORT_STATE_NEW)
			result = make_client(p, &p->items_client[i]);
	return result;
}

/* --- showing it */

static json_t *show_orgs(const struct import_plan *p)
{
	json_t *array = json_array(), *o;

	for (size_t i = 0; i < p->org_count; i++) {
		json_array_append_new(array, o = json_object());
		json_put_text(o, "name", p->items_org[i].name);
		json_put_text(o, "state", span_of(state_word(p->items_org[i].state)));
	}
	return array;
}

static json_t *show_providers(const struct import_plan *p)
{
	json_t *array = json_array(), *o;

	for (size_t i = 0; i < p->provider_count; i++) {
		const struct import_plan_provider *one = &p->items_provider[i];

		json_array_append_new(array, o = json_object());
		json_put_text(o, "name", one->name);
		json_put_text(o, "org", one->org);
		json_put_text(o, "kind", one->registration.kind);
		json_put_text(o, "client_id", one->registration.client_id);
		json_put_flag(o, "client_secret", one->registration.client_secret.size > 0);
		json_put_text(o, "state", span_of(state_word(one->state)));
	}
	return array;
}

static const char *sign_in_word(const struct import_plan_mailbox *m)
{
	if (m->is_linked)
		return cli_word(CLI_WORD_IMPORT_EXISTS);
	if (m->account->sign_in == IMPORT_APPLICATION)
		return cli_word(CLI_WORD_IMPORT_APPLICATION);
	if (!wants_sign_in(m) || m->state == IMPORT_STATE_FAILED)
		return cli_word(CLI_WORD_IMPORT_LINK);
	if (m->sign_in != IMPORT_STATE_NEW)
		return cli_word(m->sign_in == IMPORT_STATE_MADE ? CLI_WORD_IMPORT_LINKED : CLI_WORD_FAILED);
	return cli_word(m->account->sign_in == IMPORT_PASSWORD ? CLI_WORD_IMPORT_PASSWORD : CLI_WORD_IMPORT_TOKEN);
}

static json_t *show_mailboxes(const struct import_plan *p)
{
	json_t *array = json_array(), *o;

	for (size_t i = 0; i < p->mailbox_count; i++) {
		const struct import_plan_mailbox *one = &p->items_mailbox[i];

		json_array_append_new(array, o = json_object());
		json_put_text(o, "address", one->account->address);
		json_put_text(o, "org", one->org);
		json_put_text(o, "provider", one->provider);
		json_put_text(o, "sign_in", span_of(sign_in_word(one)));
		json_object_set_new(o, "aliases", list_of(&one->account->aliases));
		json_put_text(o, "state", span_of(state_word(one->state)));
	}
	return array;
}

static json_t *show_clients(const struct import_plan *p)
{
	json_t *array = json_array(), *o;

	for (size_t i = 0; i < p->client_count; i++) {
		const struct import_plan_client *one = &p->items_client[i];

		json_array_append_new(array, o = json_object());
		json_put_text(o, "name", one->name);
		json_put_text(o, "org", one->org);
		json_object_set_new(o, "mailboxes", list_of(&one->mailboxes));
		json_object_set_new(o, "networks", list_of(&one->client->networks));
		json_put_text(o, "state", span_of(state_word(one->state)));
	}
	return array;
}

static json_t *show_remarks(const struct import_plan *p)
{
	json_t *array = json_array(), *o;
	struct buf text;

	buf_init(&text, TEXT_BYTES);
	for (size_t i = 0; i < p->found->remark_count; i++) {
		buf_clear(&text);
		import_put_remark(&text, &p->found->remarks[i], p->cli->language);
		json_array_append_new(array, o = json_object());
		json_put_text(o, "what", p->found->remarks[i].about);
		json_put_text(o, "why", buf_span(&text));
	}
	buf_free(&text);
	return array;
}

static void print_remarks(const json_t *remarks)
{
	json_t *one;
	size_t at;

	json_array_foreach((json_t *)remarks, at, one) {
		show_wrapped(json_text(one, "what"), 0);
		printf("  ");
		show_wrapped(json_text(one, "why"), 2);
	}
}

static void print_part(enum cli_word title, const json_t *items, const char *columns)
{
	if (!json_array_size(items))
		return;
	printf("%s\n", cli_word(title));
	if (columns)
		show_table(items, columns);
	else
		print_remarks(items);
	putchar('\n');
}

static void show(const struct import_plan *p, bool is_done)
{
	json_t *all = json_object();
	char *text;

	json_object_set_new(all, "organisations", show_orgs(p));
	json_object_set_new(all, "providers", show_providers(p));
	json_object_set_new(all, "mailboxes", show_mailboxes(p));
	json_object_set_new(all, "clients", show_clients(p));
	json_object_set_new(all, "not_taken", show_remarks(p));
	json_put_flag(all, "done", is_done);
	if (p->cli->json) {
		text = json_dumps(all, JSON_INDENT(2));
		printf("%s\n", text);
		free(text);
	} else {
		print_part(CLI_WORD_IMPORT_ORGS, json_object_get(all, "organisations"), "name state");
		print_part(CLI_WORD_IMPORT_PROVIDERS, json_object_get(all, "providers"), "name kind client_id client_secret state");
		print_part(CLI_WORD_IMPORT_MAILBOXES, json_object_get(all, "mailboxes"), "address provider sign_in state");
		print_part(CLI_WORD_IMPORT_CLIENTS, json_object_get(all, "clients"), "name mailboxes networks state");
		print_part(CLI_WORD_IMPORT_NOT_TAKEN, json_object_get(all, "not_taken"), NULL);
		show_wrapped(span_of(cli_word(is_done ? CLI_WORD_IMPORT_NEXT : CLI_WORD_IMPORT_DO)), 0);
	}
	json_decref(all);
}

static bool has_failed(const struct import_plan *p)
{
	bool failed = false;

	for (size_t i = 0; i < p->org_count; i++)
		failed = failed || p->items_org[i].state == IMPORT_STATE_FAILED;
	for (size_t i = 0; i < p->provider_count; i++)
		failed = failed || p->items_provider[i].state == IMPORT_STATE_FAILED;
	for (size_t i = 0; i < p->mailbox_count; i++)
		failed = failed || p->items_mailbox[i].state == IMPORT_STATE_FAILED || p->items_mailbox[i].sign_in == IMPORT_STATE_FAILED;
	for (size_t i = 0; i < p->client_count; i++)
		failed = failed || p->items_client[i].state == IMPORT_STATE_FAILED;
	return failed;
}

int cli_import(const struct cli *c)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *found = import_new(arena);
	bool is_done = cli_value(c, "do").at;
	struct import_plan *plan = NULL;
	int result;

	json_begin();
	result = import_files_read(c, found);
	if (!result)
		result = import_plan_make(c, found, &plan);
	if (!result && is_done)
		result = carry_out(plan);
	if (!result)
		show(plan, is_done);
	if (!result && has_failed(plan))
		result = CLI_FAILED;
	if (plan)
		import_plan_free(plan);
	arena_wipe(&arena);
	return result;
}
