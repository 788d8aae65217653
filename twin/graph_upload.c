#include "base/panic.h"
#include "base/text.h"
#include "twin/graph_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A session is refused below 2 MB exactly, though the documents say 3. */
enum { SESSION_BYTES_MIN = 2097152, SESSION_BYTES_MAX = 157286400, POST_BYTES_MAX = 3145728, SESSION_MS = 86400000, JSON_BYTES = 8 * 1024 * 1024 };

static const struct span upload_path = { "/api/v2.0/Users('", 17 };

bool graph_is_upload(struct span path)
{
	return span_starts(path, upload_path) || span_starts_fold(path, SPAN("/api/v2.0/Users(%27"));
}

void graph_upload_drop(struct graph_upload *u)
{
	graph_attachments_free(&u->attachment);
	memset(u, 0, sizeof *u);
}

struct graph_upload *graph_upload_of(struct graph *g, const struct twin_request *q)
{
	char token[GRAPH_ID_BYTES];
	struct buf value;

	buf_over(&value, token, sizeof token - 1);
	if (!twin_field_in(q->query, SPAN("authtoken"), &value) || !value.size)
		return NULL;
	token[value.size] = 0;
	for (size_t i = 0; i < GRAPH_UPLOADS_MAX; i++)
		if (g->uploads[i].token[0] && !strcmp(g->uploads[i].token, token) && g->uploads[i].until_ms > q->wall_ms)
			return &g->uploads[i];
	return NULL;
}

static void append(struct graph_message *m, struct graph_attachment *a)
{
	struct graph_attachment **place = &m->attachments;

	while (*place)
		place = &(*place)->next;
	*place = a;
}

static struct graph_message *draft_of(struct graph_call *c)
{
	struct graph_message *m = graph_message_of(c, c->segments[1]);

	if (m && m->is_draft)
		return m;
	graph_call_refuse(c, m ? GRAPH_ERROR_not_draft : GRAPH_ERROR_no_item, SPAN(""));
	return NULL;
}

void graph_add_attachment(struct graph_call *c)
{
	struct graph_message *m = draft_of(c);
	struct graph_attachment *a;
	char id[GRAPH_ID_BYTES];
	json_t *json;

	if (!m)
		return;
	json = json_read(c->request->body, JSON_BYTES);
	a = json ? graph_read_attachment(json) : NULL;
	json_decref(json);
	if (!a || a->bytes.size > POST_BYTES_MAX) {
		graph_call_refuse(c, a ? GRAPH_ERROR_attachment_large : GRAPH_ERROR_no_json, SPAN(""));
		graph_attachments_free(&a);
		return;
	}
	append(m, a);
	entra_random_code(id, "AAMk");
	entra_answer_json(c->response, 201,
			  json_pack("{s:s,s:s,s:s,s:I}", "@odata.type", "#microsoft.graph.fileAttachment", "id", id, "name", a->name, "size", (json_int_t)a->bytes.size));
}

static struct graph_upload *place(struct graph *g)
{
	struct graph_upload *oldest = g->uploads;

	for (size_t i = 0; i < GRAPH_UPLOADS_MAX && oldest->token[0]; i++)
		if (!g->uploads[i].token[0] || g->uploads[i].serial < oldest->serial)
			oldest = &g->uploads[i];
	graph_upload_drop(oldest);
	return oldest;
}

static void answer_session(struct twin_response *r, int status, const struct graph_upload *u, json_t *json, const char *date_member)
{
	char memory[64], next[32];
	struct buf date;

	buf_over(&date, memory, sizeof memory);
	text_date(&date, u->until_ms);
	snprintf(next, sizeof next, status == 201 ? "%zu-" : "%zu", u->attachment->bytes.size);
	json_put_text(json, date_member, buf_span(&date));
	json_object_set_new(json, "nextExpectedRanges", json_pack("[s]", next));
	entra_answer_json(r, status, json);
}

void graph_create_upload(struct graph_call *c)
{
	struct graph_message *m = draft_of(c);
	json_t *json = m ? json_read(c->request->body, JSON_BYTES) : NULL;
	const json_t *item = json_object_get(json, "AttachmentItem");
	struct graph_attachment *a = item ? graph_read_attachment(item) : NULL;
	int64_t size = 0;
	struct graph_upload *u;
	char url[ENTRA_URL_BYTES];

	if (!m)
		return;
	if (!a || !json_whole(item, "size", &size) || size < SESSION_BYTES_MIN || size > SESSION_BYTES_MAX) {
		graph_call_refuse(c, !a || !size ? GRAPH_ERROR_no_json : size < SESSION_BYTES_MIN ? GRAPH_ERROR_attachment_small : GRAPH_ERROR_attachment_large,
				  SPAN(""));
		graph_attachments_free(&a);
		json_decref(json);
		return;
	}
	json_decref(json);
	u = place(c->graph);
	entra_random_code(u->token, "eyJ");
	snprintf(u->message, sizeof u->message, "%s", m->id);
	u->serial = ++c->graph->serial;
	u->size = (uint64_t)size;
	u->user = c->user;
	u->until_ms = c->request->wall_ms + SESSION_MS;
	u->attachment = a;
	snprintf(url, sizeof url, "%s/api/v2.0/Users('%s')/Messages('%s')/AttachmentSessions('AAMk%llu')?authtoken=%s", c->graph->entra->base_url, c->user->oid,
		 u->message, (unsigned long long)u->serial, u->token);
	answer_session(c->response, 201, u, json_pack("{s:s}", "uploadUrl", url), "expirationDateTime");
}

/* "bytes 0-2097151/3483322" of a body that has that size. */
static bool read_range(const struct twin_request *q, uint64_t *from, uint64_t *total)
{
	struct span rest = q->content_range, first = { 0 }, last = { 0 };
	uint64_t to;

	if (!span_starts_fold(rest, SPAN("bytes ")))
		return false;
	rest = span_trim(span_slice(rest, 6, rest.size));
	return span_cut(&rest, '-', &first) && span_cut(&rest, '/', &last) && span_number(first, from) && span_number(last, &to) && span_number(rest, total) &&
	       to >= *from && to - *from + 1 == q->body.size && to < *total;
}

/* The last range came: the file is the message's. */
static void finish(struct graph *g, struct graph_upload *u, struct twin_response *r)
{
	struct graph_call c = { .graph = g, .user = u->user };
	struct graph_message *m = graph_message_of(&c, u->message);

	buf_clear(&r->location);
	buf_print(&r->location, "%s/api/v2.0/Users('%s')/Messages('%s')/Attachments('AAMk%llu')", g->entra->base_url, u->user->oid, u->message,
		  (unsigned long long)u->serial);
	if (m) {
		append(m, u->attachment);
		u->attachment = NULL;
	}
	graph_upload_drop(u);
	r->status = 201;
}

static void put(struct graph *g, struct graph_upload *u, const struct twin_request *q, struct twin_response *r)
{
	struct buf *bytes = &u->attachment->bytes;
	enum graph_error error = GRAPH_OK;
	uint64_t from, total;

	if (q->body.size > (uint64_t)g->entra->tenant->values[TWIN_SWITCH_graph_request_bytes])
		error = GRAPH_ERROR_request_large;
	else if (!read_range(q, &from, &total) || from != bytes->size || total != u->size)
		error = GRAPH_ERROR_range;
	else
		error = graph_admit(g, u->user, q->body.size, q->wall_ms);
	if (error != GRAPH_OK) {
		graph_refuse(r, error, SPAN(""), q->wall_ms);
		return;
	}
	ASSERT(buf_put(bytes, q->body));
	if (bytes->size == u->size)
		finish(g, u, r);
	else
		answer_session(r, 200, u, json_object(), "ExpirationDateTime");
}

void graph_upload_handle(struct graph *g, const struct twin_request *q, struct twin_response *r)
{
	struct graph_upload *u = graph_upload_of(g, q);

	if (!u) {
		graph_refuse(r, GRAPH_ERROR_session_gone, SPAN(""), q->wall_ms);
	} else if (span_equal(q->method, SPAN("PUT"))) {
		put(g, u, q, r);
	} else if (span_equal(q->method, SPAN("DELETE"))) {
		graph_upload_drop(u);
		r->status = 204;
	} else {
		answer_session(r, 200, u, json_object(), "ExpirationDateTime");
	}
}
