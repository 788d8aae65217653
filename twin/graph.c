#include "twin/graph.h"

#include "base/panic.h"
#include "base/text.h"
#include "twin/graph_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCRATCH_BYTES = 64 * 1024, TEN_MINUTES_MS = 600000, FIVE_MINUTES_MS = 300000, RETRY_SECONDS = 5 };

static const struct {
	int status;
	const char *code, *message;
} errors[] = {
#define TWIN_GRAPH(name, stage, status, code, message) { status, code, message },
#include "tables/twin_graph.def"
#undef TWIN_GRAPH
};

struct graph *graph_new(struct entra *entra, struct exchange_world *world)
{
	struct graph *g = calloc(1, sizeof *g);

	ASSERT(g);
	g->entra = entra;
	g->world = world;
	return g;
}

void graph_clear(struct graph *g)
{
	for (size_t i = 0; i < GRAPH_MESSAGES_MAX; i++)
		graph_message_drop(&g->messages[i]);
	for (size_t i = 0; i < GRAPH_UPLOADS_MAX; i++)
		graph_upload_drop(&g->uploads[i]);
	for (size_t i = 0; i < TWIN_USERS_MAX; i++) {
		free(g->windows[i]);
		g->windows[i] = NULL;
	}
}

void graph_free(struct graph **g)
{
	if (!*g)
		return;
	graph_clear(*g);
	free(*g);
	*g = NULL;
}

void graph_refuse(struct twin_response *r, enum graph_error error, struct span name, int64_t wall_ms)
{
	struct span text = span_of(errors[error].message);
	size_t open = span_find(text, SPAN("{name}"));
	char id[TWIN_ID_BYTES], memory[64];
	struct buf message, date;
	json_t *json = json_object(), *inner = json_object(), *whole = json_object();

	entra_random_id(id);
	buf_init(&message, SCRATCH_BYTES);
	buf_put(&message, span_slice(text, 0, open));
	if (open < text.size) {
		buf_put(&message, name);
		buf_put(&message, span_slice(text, open + 6, text.size));
	}
	buf_over(&date, memory, sizeof memory);
	text_date(&date, wall_ms);
	json_put_text(json, "code", span_of(errors[error].code));
	json_put_text(json, "message", buf_span(&message));
	json_put_text(inner, "date", span_slice(buf_span(&date), 0, 19));
	json_put_text(inner, "request-id", span_of(id));
	json_put_text(inner, "client-request-id", span_of(id));
	json_object_set_new(json, "innerError", inner);
	json_object_set_new(whole, "error", json);
	entra_answer_json(r, errors[error].status, whole);
	if (r->status == 429 || r->status == 503 || r->status == 504)
		r->retry_after_s = RETRY_SECONDS;
	buf_free(&message);
}

void graph_call_refuse(struct graph_call *c, enum graph_error error, struct span name)
{
	graph_refuse(c->response, error, name, c->request->wall_ms);
}

enum graph_error graph_admit(struct graph *g, const struct twin_user *user, uint64_t bytes, int64_t wall_ms)
{
	uint64_t limit = (uint64_t)g->entra->tenant->values[TWIN_SWITCH_graph_requests];
	uint64_t most = (uint64_t)g->entra->tenant->values[TWIN_SWITCH_graph_upload_bytes], sum = bytes;
	struct graph_window **place = &g->windows[user - g->entra->tenant->users], *w;

	if (!*place)
		*place = calloc(1, sizeof **place);
	w = *place;
	ASSERT(w);
	if (limit && w->made >= limit && w->ring[(w->made - limit) % GRAPH_WINDOW_MAX].at_ms > wall_ms - TEN_MINUTES_MS)
		return GRAPH_ERROR_requests;
	for (uint64_t i = w->made; i && w->made - i < GRAPH_WINDOW_MAX && w->ring[(i - 1) % GRAPH_WINDOW_MAX].at_ms > wall_ms - FIVE_MINUTES_MS; i--)
		sum += w->ring[(i - 1) % GRAPH_WINDOW_MAX].bytes;
	if (most && sum > most)
		return GRAPH_ERROR_upload_bytes;
	w->ring[w->made % GRAPH_WINDOW_MAX].at_ms = wall_ms;
	w->ring[w->made++ % GRAPH_WINDOW_MAX].bytes = bytes;
	return GRAPH_OK;
}

/* What there is behind the mailbox; a star is one segment of any text. Either permission is enough; all of them hold for programs too. */
static const struct route {
	const char *method, *path;
	enum twin_stage stage;
	const char *permissions;
	void (*handle)(struct graph_call *);
} routes[] = {
	{ "POST", "sendMail", TWIN_STAGE_GRAPH_SEND, "Mail.Send", graph_send_mail },
	{ "POST", "messages", TWIN_STAGE_GRAPH_DRAFT, "Mail.ReadWrite", graph_create },
	{ "POST", "mailFolders/*/messages", TWIN_STAGE_GRAPH_DRAFT, "Mail.ReadWrite", graph_create },
	{ "POST", "messages/*/send", TWIN_STAGE_GRAPH_SEND, "Mail.Send", graph_send_draft },
	{ "POST", "messages/*/attachments", TWIN_STAGE_GRAPH_DRAFT, "Mail.ReadWrite", graph_add_attachment },
	{ "POST", "messages/*/attachments/createUploadSession", TWIN_STAGE_GRAPH_DRAFT, "Mail.ReadWrite", graph_create_upload },
	{ "GET", "messages", TWIN_STAGE_GRAPH_READ, "Mail.ReadWrite Mail.Read", graph_list },
	{ "GET", "mailFolders/*/messages", TWIN_STAGE_GRAPH_READ, "Mail.ReadWrite Mail.Read", graph_list },
	{ "GET", "messages/*", TWIN_STAGE_GRAPH_READ, "Mail.ReadWrite Mail.Read", graph_show },
	{ "GET", "messages/*/$value", TWIN_STAGE_GRAPH_READ, "Mail.ReadWrite Mail.Read", graph_value },
	{ "DELETE", "messages/*", TWIN_STAGE_GRAPH_DRAFT, "Mail.ReadWrite", graph_delete },
};

/* Cuts "/v1.0/me/..." and "/v1.0/users/NAME/..."; the name is empty for me. What is behind comes decoded. */
static bool cut_path(struct span path, char name[TWIN_ADDRESS_BYTES], struct graph_call *c)
{
	struct span rest = path, one;
	size_t at = 0;

	name[0] = 0;
	c->segment_count = 0;
	while (span_cut(&rest, '/', &one)) {
		char memory[TWIN_ADDRESS_BYTES];
		struct buf text;

		buf_over(&text, memory, sizeof memory - 1);
		if (!text_from_percent(&text, one))
			return false;
		memory[text.size] = 0;
		if (at == 1 && strcmp(memory, "v1.0"))
			return false;
		if (at == 2 && !strcmp(memory, "me"))
			at = 3;
		else if (at == 2 && strcmp(memory, "users"))
			return false;
		else if (at == 3)
			snprintf(name, TWIN_ADDRESS_BYTES, "%s", memory);
		else if (at > 3 && c->segment_count < GRAPH_SEGMENTS_MAX)
			snprintf(c->segments[c->segment_count++], TWIN_ADDRESS_BYTES, "%s", memory);
		else if (at > 3)
			return false;
		at++;
	}
	return at > 3;
}

static bool fits(const struct route *r, struct span method, const struct graph_call *c)
{
	struct span rest = span_of(r->path), one;
	size_t at = 0;

	if (!span_equal(span_of(r->method), method))
		return false;
	while (span_cut(&rest, '/', &one)) {
		if (at == c->segment_count || (!span_equal(one, SPAN("*")) && !span_equal_fold(one, span_of(c->segments[at]))))
			return false;
		at++;
	}
	return at == c->segment_count;
}

static const struct route *route_of(struct span method, const struct graph_call *c)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		if (fits(&routes[i], method, c))
			return &routes[i];
	return NULL;
}

enum twin_stage graph_stage(struct span method, struct span path)
{
	struct graph_call *c;
	char name[TWIN_ADDRESS_BYTES];
	const struct route *r = NULL;
	bool is_ours;

	if (graph_is_upload(path))
		return TWIN_STAGE_GRAPH_UPLOAD;
	if (!span_starts(path, SPAN("/v1.0/")))
		return TWIN_STAGE_NONE;
	c = calloc(1, sizeof *c);
	ASSERT(c);
	is_ours = cut_path(path, name, c);
	if (is_ours)
		r = route_of(method, c);
	free(c);
	return r ? r->stage : is_ours ? TWIN_STAGE_GRAPH_READ : TWIN_STAGE_NONE;
}

/* GRAPH_OK, or why the token is none for Graph. */
static enum graph_error read_token(struct graph *g, const struct twin_request *q, struct twin_access *out)
{
	struct span token = span_slice(q->authorization, 7, q->authorization.size);
	enum fault fault;

	if (!span_starts_fold(q->authorization, SPAN("Bearer ")) || !token.size)
		return GRAPH_ERROR_token_empty;
	fault = twin_access_read(out, g->entra->keys, token, q->wall_ms);
	if (fault != FAULT_OK)
		return fault == FAULT_EXPIRED ? GRAPH_ERROR_token_expired : GRAPH_ERROR_token_malformed;
	return span_equal(span_of(out->audience), entra_resource(SPAN("openid"))) ? GRAPH_OK : GRAPH_ERROR_token_audience;
}

/* Whose mailbox is meant, and who asks. */
static enum graph_error find_mailbox(struct graph_call *c, const struct twin_access *a, const char *name)
{
	struct twin_tenant *t = c->graph->entra->tenant;

	c->signed_in = a->scope[0] ? twin_tenant_user_id(t, span_of(a->oid)) : NULL;
	if (!name[0] && !a->scope[0])
		return GRAPH_ERROR_no_me;
	c->user = !name[0] ? c->signed_in : twin_tenant_user(t, span_of(name));
	if (!c->user && name[0])
		c->user = twin_tenant_user_id(t, span_of(name));
	return c->user ? GRAPH_OK : GRAPH_ERROR_no_user;
}

struct twin_user *graph_mailbox(struct graph *g, const struct twin_request *q)
{
	struct graph_call *c = calloc(1, sizeof *c);
	struct graph_upload *upload = graph_is_upload(q->path) ? graph_upload_of(g, q) : NULL;
	struct twin_user *user = upload ? upload->user : NULL;
	char name[TWIN_ADDRESS_BYTES];
	struct twin_access access;

	ASSERT(c);
	c->graph = g;
	if (!user && cut_path(q->path, name, c) && read_token(g, q, &access) == GRAPH_OK && find_mailbox(c, &access, name) == GRAPH_OK)
		user = c->user;
	free(c);
	return user;
}

/* Whether the token has one of the permissions for that mailbox; another's needs Send As there and the shared form. */
static bool is_permitted(const struct graph_call *c, const struct twin_access *a, const char *permissions)
{
	struct span rest = span_of(permissions), one;
	bool is_own = c->user == c->signed_in;

	if (c->signed_in && !is_own && !twin_user_may_send_as(c->signed_in, span_of(c->user->address)))
		return false;
	while (span_cut(&rest, ' ', &one)) {
		char shared[TWIN_TEXT_BYTES];

		snprintf(shared, sizeof shared, "%.*s.Shared", SPAN_ARGS(one));
		if (!c->signed_in && twin_scope_has(span_of(a->roles), one))
			return true;
		if (c->signed_in && ((is_own && twin_scope_has(span_of(a->scope), one)) || twin_scope_has(span_of(a->scope), span_of(shared))))
			return true;
	}
	return false;
}

static void answer(struct graph_call *c)
{
	const struct twin_request *q = c->request;
	uint64_t most = (uint64_t)c->graph->entra->tenant->values[TWIN_SWITCH_graph_request_bytes];
	char name[TWIN_ADDRESS_BYTES];
	struct twin_access access;
	const struct route *r = cut_path(q->path, name, c) ? route_of(q->method, c) : NULL;
	enum graph_error error = read_token(c->graph, q, &access);

	if (error == GRAPH_OK && !r)
		error = GRAPH_ERROR_no_path;
	if (error == GRAPH_OK)
		error = find_mailbox(c, &access, name);
	if (error == GRAPH_OK && c->user->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_DISABLED)
		error = GRAPH_ERROR_no_mailbox;
	if (error == GRAPH_OK && !is_permitted(c, &access, r->permissions))
		error = GRAPH_ERROR_access_denied;
	if (error == GRAPH_OK && q->body.size > most)
		error = GRAPH_ERROR_request_large;
	if (error == GRAPH_OK)
		error = graph_admit(c->graph, c->user, q->body.size, q->wall_ms);
	if (error != GRAPH_OK)
		graph_call_refuse(c, error, name[0] && error == GRAPH_ERROR_no_user ? span_of(name) : q->path);
	else
		r->handle(c);
}

void graph_handle(struct graph *g, const struct twin_request *q, struct twin_response *r)
{
	struct graph_call *c;

	if (graph_is_upload(q->path)) {
		graph_upload_handle(g, q, r);
	} else {
		c = calloc(1, sizeof *c);
		ASSERT(c);
		c->graph = g;
		c->request = q;
		c->response = r;
		answer(c);
		free(c);
	}
	if (!r->body.size)
		r->content_type = "";
}
