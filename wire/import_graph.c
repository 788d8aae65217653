#include "wire/import_graph.h"

#include <yaml.h>

enum { GUID_BYTES = 36 };

struct graph_file {
	struct import *into;
	yaml_document_t document;
};

static yaml_node_t *node(struct graph_file *g, int index)
{
	return yaml_document_get_node(&g->document, index);
}

static struct span text_of(const yaml_node_t *n)
{
	if (!n || n->type != YAML_SCALAR_NODE)
		return (struct span){ "", 0 };
	return (struct span){ (const char *)n->data.scalar.value, n->data.scalar.length };
}

/* A member of a mapping, or NULL; of NULL too. */
static yaml_node_t *member(struct graph_file *g, yaml_node_t *of, const char *name)
{
	if (!of || of->type != YAML_MAPPING_NODE)
		return NULL;
	for (yaml_node_pair_t *pair = of->data.mapping.pairs.start; pair < of->data.mapping.pairs.top; pair++)
		if (span_equal(text_of(node(g, pair->key)), span_of(name)))
			return node(g, pair->value);
	return NULL;
}

/* The `at`th of a sequence; a scalar is a sequence of one. NULL past the end. */
static yaml_node_t *item(struct graph_file *g, yaml_node_t *of, size_t at)
{
	if (of && of->type == YAML_SCALAR_NODE)
		return at ? NULL : of;
	if (!of || of->type != YAML_SEQUENCE_NODE || at >= (size_t)(of->data.sequence.items.top - of->data.sequence.items.start))
		return NULL;
	return node(g, of->data.sequence.items.start[at]);
}

static bool is_true(struct span value)
{
	return span_equal_fold(value, SPAN("true")) || span_equal_fold(value, SPAN("yes")) || span_equal_fold(value, SPAN("on"));
}

/* "contoso" is contoso.onmicrosoft.com. */
static struct span tenant_of(struct import *i, struct span tenant)
{
	tenant = import_word(i, tenant);
	if (!tenant.size || span_find_byte(tenant, '.') < tenant.size || (tenant.size == GUID_BYTES && tenant.at[8] == '-'))
		return tenant;
	return arena_print(i->arena, "%.*s.onmicrosoft.com", SPAN_ARGS(tenant));
}

static void take_registration(struct graph_file *g, struct import_registration *r)
{
	yaml_node_t *app = member(g, member(g, yaml_document_get_root_node(&g->document), "send"), "appReg");
	yaml_node_t *certificate = member(g, app, "certificate");
	struct span key = text_of(member(g, certificate, "privateKeyPath"));

	*r = (struct import_registration){ .kind = SPAN("microsoft"), .tenant = tenant_of(g->into, text_of(member(g, app, "tenant"))),
					   .client_id = import_word(g->into, text_of(member(g, app, "id"))),
					   .client_secret = import_secret(g->into, text_of(member(g, app, "secret"))) };
	if (certificate)
		import_remark(g->into, IMPORT_NOTE_KEY_FILE, r->client_id, key);
}

static void take_mailboxes(struct graph_file *g, const struct import_registration *r, yaml_node_t *addresses, struct import_client *client)
{
	yaml_node_t *one;

	for (size_t at = 0; (one = item(g, addresses, at)); at++) {
		struct import_account *a = import_account(g->into, text_of(one));

		if (!a)
			continue;
		a->registration = *r;
		a->sign_in = IMPORT_APPLICATION;
		a->by_graph = true;
		if (client)
			import_list_add(g->into, &client->mailboxes, a->address);
	}
}

static void take_users(struct graph_file *g, const struct import_registration *r, yaml_node_t *receive)
{
	yaml_node_t *user, *users = member(g, receive, "users"), *general = member(g, receive, "allowedFrom");

	for (size_t at = 0; users && users->type == YAML_SEQUENCE_NODE && (user = item(g, users, at)); at++) {
		yaml_node_t *own = member(g, user, "allowedFrom");
		struct import_client *client = import_client(g->into, text_of(member(g, user, "username")));

		take_mailboxes(g, r, own ? own : general, client);
		if (client)
			import_remark(g->into, IMPORT_NOTE_CLIENT_PASSWORD, client->name, SPAN(""));
	}
}

static void take_networks(struct graph_file *g, const struct import_registration *r, yaml_node_t *receive)
{
	yaml_node_t *one, *networks = member(g, receive, "ipWhitelist");
	struct import_client *client;

	if (is_true(text_of(member(g, receive, "requireAuth"))) || !item(g, networks, 0))
		return;
	client = import_client(g->into, SPAN("smtp2graph"));
	for (size_t at = 0; client && (one = item(g, networks, at)); at++)
		import_list_add(g->into, &client->networks, text_of(one));
	take_mailboxes(g, r, member(g, receive, "allowedFrom"), client);
}

static void take_all(struct graph_file *g)
{
	yaml_node_t *root = yaml_document_get_root_node(&g->document), *receive = member(g, root, "receive");
	struct import_registration r;
	size_t before = g->into->account_count;

	if (!member(g, root, "send") && !receive) {
		import_fail(g->into, FAULT_MALFORMED, "neither `send` nor `receive` stands in it; is it the file of SMTP2Graph?");
		return;
	}
	take_registration(g, &r);
	if (!r.client_id.size) {
		import_remark(g->into, IMPORT_NOTE_NO_CLIENT_ID, SPAN("send.appReg"), SPAN(""));
		return;
	}
	take_mailboxes(g, &r, member(g, receive, "allowedFrom"), NULL);
	take_users(g, &r, receive);
	take_networks(g, &r, receive);
	if (member(g, receive, "allowedRcpt"))
		import_remark(g->into, IMPORT_NOTE_RECIPIENTS, SPAN("allowedRcpt"), SPAN(""));
	if (g->into->account_count == before)
		import_remark(g->into, IMPORT_NOTE_NO_SENDERS, SPAN("allowedFrom"), SPAN(""));
}

/* libyaml follows any depth, but by nodes that it counts; what an anchor names is one node however often it is used. */
static bool load(yaml_parser_t *parser, struct graph_file *g)
{
	if (!yaml_parser_load(parser, &g->document)) {
		import_fail(g->into, FAULT_MALFORMED, "line %zu: %s", parser->problem_mark.line + 1, parser->problem ? parser->problem : "no YAML");
		return false;
	}
	if (yaml_document_get_root_node(&g->document) &&
	    g->document.nodes.top - g->document.nodes.start <= IMPORT_GRAPH_NODES_MAX)
		return true;
	import_fail(g->into, FAULT_MALFORMED, "empty, or more than a configuration");
	yaml_document_delete(&g->document);
	return false;
}

enum fault import_graph_read(struct import *i, struct span text)
{
	struct graph_file g = { .into = i };
	yaml_parser_t parser;

	if (text.size > IMPORT_TEXT_BYTES) {
		import_fail(i, FAULT_TOO_LARGE, "over %d bytes", IMPORT_TEXT_BYTES);
		return i->fault;
	}
	if (!yaml_parser_initialize(&parser)) {
		import_fail(i, FAULT_BUG, "no memory");
		return i->fault;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)(text.at ? text.at : ""), text.size);
	if (load(&parser, &g)) {
		take_all(&g);
		yaml_document_delete(&g.document);
	}
	yaml_parser_delete(&parser);
	return i->fault;
}
