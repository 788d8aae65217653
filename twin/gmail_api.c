#include "twin/gmail_api.h"

#include "base/json.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADER_BYTES = 64 * 1024,
	RECIPIENT_BYTES = 512 * 1024,
	MESSAGE_BYTES_MAX = 36700160, /* 35 MB */
	UNITS_OF_SEND = 100,
	UPLOAD_UNIT = 256 * 1024,
	UPLOAD_MS = 7 * 86400000,
	LIST_MAX = 100,
};

struct gmail_upload {
	char id[ENTRA_CODE_BYTES];
	struct twin_user *user;
	struct buf bytes;
	uint64_t serial, mail; /* `mail`: its number on the shelf, once it is whole */
	int64_t until_ms;
};

/* A request while it is answered. */
struct call {
	struct google *google;
	const struct twin_request *request;
	struct twin_response *response;
	struct twin_user *user;
	struct google_access access;
	struct span tail; /* what stands behind the mailbox: "messages/send" */
	bool is_upload;
};

static void refuse_named(struct call *c, enum google_error error, struct span name)
{
	google_error_answer(c->response, error, name);
}

static void refuse(struct call *c, enum google_error error)
{
	refuse_named(c, error, SPAN(""));
}

/* --- a message */

static void put_addresses(struct span mail, const char *name, struct buf *out, size_t *count)
{
	struct span rest, address;
	struct buf value;

	buf_init(&value, HEADER_BYTES);
	if (twin_mail_header(mail, span_of(name), &value)) {
		rest = buf_span(&value);
		while (exchange_next_address(&rest, &address)) {
			if ((*count)++)
				buf_put_byte(out, ' ');
			buf_put(out, address);
		}
	}
	buf_free(&value);
}

/* The message without its Bcc header and what is folded to it. */
static void put_without_bcc(struct span mail, struct buf *out)
{
	struct span rest = twin_mail_head(mail), line;
	size_t head = rest.size;
	bool hidden = false;

	while (rest.size) {
		size_t end = span_find_byte(rest, '\n');

		line = span_slice(rest, 0, end + 1);
		rest = span_slice(rest, line.size, rest.size);
		if (line.at[0] != ' ' && line.at[0] != '\t')
			hidden = span_starts_fold(line, SPAN("Bcc:"));
		if (!hidden)
			buf_put(out, line);
	}
	buf_put(out, span_slice(mail, head, mail.size));
}

static void answer_sent(struct twin_response *r, uint64_t number)
{
	char id[24];

	snprintf(id, sizeof id, "%llx", 0x18c0000000000000ull + (unsigned long long)number);
	entra_answer_json(r, 200, json_pack("{s:s,s:s,s:[s]}", "id", id, "threadId", id, "labelIds", "SENT"));
}

/* GOOGLE_OK, or what stands against sending now; `until` is the time to name. */
static enum google_error judge_limits(struct google *g, const struct twin_user *user, int64_t wall_ms)
{
	const struct twin_tenant *t = g->entra->tenant;
	const struct exchange_counter *counter = &g->world->gmail_counters[user - t->users];
	int64_t most = t->values[TWIN_SWITCH_gmail_units_per_minute] / UNITS_OF_SEND, day = t->values[TWIN_SWITCH_google_messages_per_day];

	if (t->values[TWIN_SWITCH_gmail_units_per_minute] && (!most || exchange_rate_at(counter, most, wall_ms) > wall_ms))
		return GOOGLE_ERROR_gmail_units;
	return day && exchange_messages_of_day(counter, wall_ms) >= (uint64_t)day ? GOOGLE_ERROR_gmail_sending : GOOGLE_OK;
}

/* The number on the shelf; or 0, and the refusal is answered. */
static uint64_t send_message(struct google *g, struct twin_user *user, struct span mail, const struct twin_request *q, struct twin_response *r)
{
	enum google_error error = mail.size > MESSAGE_BYTES_MAX ? GOOGLE_ERROR_gmail_too_large : judge_limits(g, user, q->wall_ms);
	struct buf recipients, bytes, date;
	char memory[64];
	size_t count = 0;
	uint64_t number = 0;

	buf_init(&recipients, RECIPIENT_BYTES);
	buf_init(&bytes, GMAIL_REQUEST_BYTES);
	buf_over(&date, memory, sizeof memory);
	text_date(&date, q->wall_ms + 3600000);
	put_addresses(mail, "To", &recipients, &count);
	put_addresses(mail, "Cc", &recipients, &count);
	put_addresses(mail, "Bcc", &recipients, &count);
	if (error == GOOGLE_OK && !count)
		error = GOOGLE_ERROR_gmail_recipient;
	if (error == GOOGLE_OK) {
		put_without_bcc(mail, &bytes);
		exchange_count(&g->world->gmail_counters[user - g->entra->tenant->users], q->wall_ms, count);
		number = twin_shelf_put(g->world->shelf, &(struct twin_mail){ .taken_at_ms = q->wall_ms,
									     .arrives_at_ms = q->wall_ms,
									     .mailbox = span_of(user->address),
									     .sender = span_of(user->address),
									     .recipients = buf_span(&recipients),
									     .recipient_count = count,
									     .peer = SPAN("Gmail API"),
									     .reply = SPAN("200 OK"),
									     .bytes = buf_span(&bytes) });
		answer_sent(r, number);
	} else {
		google_error_answer(r, error, buf_span(&date));
	}
	buf_free(&recipients);
	buf_free(&bytes);
	return number;
}

/* {"raw": base64url} */
static void send_raw(struct call *c)
{
	json_t *json = json_read(c->request->body, GMAIL_REQUEST_BYTES);
	struct span raw = json_text(json, "raw");
	struct buf mail;

	buf_init(&mail, GMAIL_REQUEST_BYTES);
	if (!raw.size)
		refuse(c, GOOGLE_ERROR_gmail_raw);
	else if (!text_from_base64_url(&mail, span_slice(raw, 0, span_find_byte(raw, '='))))
		refuse_named(c, GOOGLE_ERROR_gmail_base64, span_slice(raw, 0, 40));
	else
		send_message(c->google, c->user, buf_span(&mail), c->request, c->response);
	buf_wipe(&mail);
	json_decref(json);
}

/* --- uploads */

static void drop(struct gmail_upload *u)
{
	buf_wipe(&u->bytes);
	memset(u, 0, sizeof *u);
}

static struct gmail_upload *find_upload(struct google *g, const struct twin_request *q)
{
	char id[ENTRA_CODE_BYTES];
	struct buf value;

	buf_over(&value, id, sizeof id - 1);
	if (!g->uploads || !twin_field_in(q->query, SPAN("upload_id"), &value))
		return NULL;
	id[value.size] = 0;
	for (size_t i = 0; i < GMAIL_UPLOADS_MAX; i++)
		if (id[0] && !strcmp(g->uploads[i].id, id) && g->uploads[i].until_ms > q->wall_ms)
			return &g->uploads[i];
	return NULL;
}

static struct gmail_upload *new_upload(struct google *g)
{
	struct gmail_upload *oldest;
	uint64_t newest = 0;

	if (!g->uploads)
		g->uploads = calloc(GMAIL_UPLOADS_MAX, sizeof *g->uploads);
	ASSERT(g->uploads);
	oldest = g->uploads;
	for (size_t i = 0; i < GMAIL_UPLOADS_MAX; i++) {
		if (g->uploads[i].serial < oldest->serial)
			oldest = &g->uploads[i];
		if (g->uploads[i].serial > newest)
			newest = g->uploads[i].serial;
	}
	drop(oldest);
	buf_init(&oldest->bytes, GMAIL_REQUEST_BYTES);
	oldest->serial = newest + 1;
	return oldest;
}

static void begin_upload(struct call *c)
{
	struct gmail_upload *u;
	uint64_t size = 0;

	if (span_number(c->request->upload_length, &size) && size > MESSAGE_BYTES_MAX) {
		refuse(c, GOOGLE_ERROR_gmail_too_large);
		return;
	}
	u = new_upload(c->google);
	entra_random_code(u->id, "AFIdbgT");
	u->user = c->user;
	u->until_ms = c->request->wall_ms + UPLOAD_MS;
	buf_clear(&c->response->location);
	buf_print(&c->response->location, "%s%.*s?uploadType=resumable&upload_id=%s", c->google->entra->base_url, SPAN_ARGS(c->request->path), u->id);
}

static void answer_range(struct twin_response *r, const struct gmail_upload *u)
{
	r->status = 308;
	buf_clear(&r->range);
	if (u->bytes.size)
		buf_print(&r->range, "bytes=0-%zu", u->bytes.size - 1);
}

/* "bytes 0-524287/2000000", the same of unknown length, a star for the range (asks how far it has come), or nothing: all at once. */
struct part {
	bool asks, last;
	uint64_t from;
};

static bool read_part(const struct twin_request *q, struct part *p)
{
	struct span rest = q->content_range, first, last, range;
	uint64_t to, total = 0;
	bool known;

	*p = (struct part){ .last = true };
	if (!rest.size)
		return true;
	if (!span_starts_fold(rest, SPAN("bytes ")))
		return false;
	rest = span_trim(span_slice(rest, 6, rest.size));
	if (!span_cut(&rest, '/', &range))
		return false;
	known = span_number(rest, &total);
	p->asks = span_equal(range, SPAN("*"));
	if (p->asks)
		return known && !q->body.size;
	if (!span_cut(&range, '-', &first) || !span_number(first, &p->from) || !(last = range, span_number(last, &to)))
		return false;
	p->last = known && to + 1 == total;
	return to >= p->from && to - p->from + 1 == q->body.size && (known ? to < total : span_equal(rest, SPAN("*"))) &&
	       (p->last || !(q->body.size % UPLOAD_UNIT));
}

/* What came twice is passed over; a gap is not filled. */
static void take_part(struct gmail_upload *u, const struct part *p, struct span body)
{
	if (p->from <= u->bytes.size && p->from + body.size > u->bytes.size)
		buf_put(&u->bytes, span_slice(body, u->bytes.size - p->from, body.size));
}

static void go_on_upload(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	struct gmail_upload *u = find_upload(g, q);
	struct part p;

	if (!u) {
		google_error_answer(r, GOOGLE_ERROR_gmail_not_found, SPAN(""));
	} else if (u->mail) {
		answer_sent(r, u->mail);
	} else if (!read_part(q, &p)) {
		google_error_answer(r, GOOGLE_ERROR_gmail_chunk, SPAN(""));
	} else {
		if (!p.asks)
			take_part(u, &p, q->body);
		if (u->bytes.overfull || u->bytes.size > MESSAGE_BYTES_MAX) {
			google_error_answer(r, GOOGLE_ERROR_gmail_too_large, SPAN(""));
			drop(u);
		} else if (!p.asks && p.last && u->bytes.size == p.from + q->body.size) {
			u->mail = send_message(g, u->user, buf_span(&u->bytes), q, r);
			buf_wipe(&u->bytes);
			if (!u->mail)
				drop(u);
		} else {
			answer_range(r, u);
		}
	}
}

/* The part of a multipart body that is the message. */
static bool find_message(struct span body, struct span content_type, struct span *out)
{
	char mark[TWIN_TEXT_BYTES];
	size_t at = span_find_fold(content_type, SPAN("boundary="));
	struct span boundary = span_slice(content_type, at + 9, content_type.size), part, head;

	if (boundary.size && *boundary.at == '"')
		boundary = span_slice(boundary, 1, span_find_byte(span_slice(boundary, 1, boundary.size), '"'));
	else
		boundary = span_slice(boundary, 0, span_find_byte(boundary, ';'));
	if (!boundary.size || snprintf(mark, sizeof mark, "--%.*s", SPAN_ARGS(boundary)) >= (int)sizeof mark)
		return false;
	for (at = span_find(body, span_of(mark)); at < body.size; at = span_find(body, span_of(mark))) {
		body = span_slice(body, at + strlen(mark), body.size);
		part = span_slice(body, 0, span_find(body, span_of(mark)));
		head = span_slice(part, 0, span_find(part, SPAN("\r\n\r\n")));
		if (span_find_fold(head, SPAN("message/rfc822")) == head.size)
			continue;
		*out = span_slice(part, head.size + 4, part.size);
		out->size -= out->size >= 2 ? 2 : 0; /* the line end before the boundary */
		return true;
	}
	return false;
}

static void upload(struct call *c)
{
	struct span mail = c->request->body;
	char type[32];
	struct buf value;

	buf_over(&value, type, sizeof type - 1);
	if (!twin_field_in(c->request->query, SPAN("uploadType"), &value))
		value.size = 0;
	type[value.size] = 0;
	if (!strcmp(type, "resumable"))
		begin_upload(c);
	else if (!strcmp(type, "multipart") ? find_message(c->request->body, c->request->content_type, &mail)
					    : !strcmp(type, "media") && span_starts_fold(c->request->content_type, SPAN("message/rfc822")))
		send_message(c->google, c->user, mail, c->request, c->response);
	else
		refuse(c, GOOGLE_ERROR_gmail_raw);
}

static void send_any(struct call *c)
{
	if (c->is_upload)
		upload(c);
	else
		send_raw(c);
}

/* --- reading */

static struct span without_brackets(struct span id)
{
	id = span_trim(id);
	return span_starts(id, SPAN("<")) && span_ends_fold(id, SPAN(">")) ? span_slice(id, 1, id.size - 2) : id;
}

static bool is_asked_for(const struct twin_mail *m, const struct twin_user *user, struct span id)
{
	struct buf header;
	bool same;

	if (!span_equal_fold(m->mailbox, span_of(user->address)))
		return false;
	buf_init(&header, HEADER_BYTES);
	same = twin_mail_header(m->bytes, SPAN("Message-ID"), &header) && span_equal(without_brackets(buf_span(&header)), id);
	buf_free(&header);
	return same;
}

/* The search knows one word: rfc822msgid. */
static void list(struct call *c)
{
	const struct twin_shelf *shelf = c->google->world->shelf;
	json_t *json = json_object(), *found = json_array();
	struct span id = { 0 };
	struct buf query;

	buf_init(&query, TWIN_FIELD_BYTES);
	if (twin_field_in(c->request->query, SPAN("q"), &query) && span_starts_fold(buf_span(&query), SPAN("rfc822msgid:")))
		id = without_brackets(span_slice(buf_span(&query), 12, query.size));
	for (uint64_t n = twin_shelf_last(shelf); id.size && n && n >= twin_shelf_first(shelf) && json_array_size(found) < LIST_MAX; n--) {
		const struct twin_mail *m = twin_shelf_mail(shelf, n);
		char text[24];

		if (!m || !is_asked_for(m, c->user, id))
			continue;
		snprintf(text, sizeof text, "%llx", 0x18c0000000000000ull + (unsigned long long)n);
		json_array_append_new(found, json_pack("{s:s,s:s}", "id", text, "threadId", text));
	}
	json_put_whole(json, "resultSizeEstimate", (int64_t)json_array_size(found));
	if (json_array_size(found))
		json_object_set(json, "messages", found);
	json_decref(found);
	entra_answer_json(c->response, 200, json);
	buf_free(&query);
}

static void profile(struct call *c)
{
	entra_answer_json(c->response, 200, json_pack("{s:s,s:i,s:i,s:s}", "emailAddress", c->user->address, "messagesTotal", 0, "threadsTotal", 0,
						      "historyId", "1"));
}

#define AUTH "https://www.googleapis.com/auth/gmail."
static const struct route {
	const char *method, *tail;
	enum twin_stage stage;
	const char *scopes; /* any of them */
	void (*handle)(struct call *);
} routes[] = {
	{ "POST", "messages/send", TWIN_STAGE_GMAIL_SEND, GOOGLE_SCOPE_MAIL " " GOOGLE_SCOPE_MODIFY " " AUTH "compose " AUTH "send", send_any },
	{ "GET", "messages", TWIN_STAGE_GMAIL_READ, GOOGLE_SCOPE_MAIL " " GOOGLE_SCOPE_MODIFY " " AUTH "readonly", list },
	{ "GET", "profile", TWIN_STAGE_GMAIL_READ,
	  GOOGLE_SCOPE_MAIL " " GOOGLE_SCOPE_MODIFY " " AUTH "compose " AUTH "readonly " AUTH "metadata", profile },
};

/* Cuts "/gmail/v1/users/NAME/...", with "/upload" before it or not; false when it is none of these. */
static bool cut_path(struct span path, struct span *name, struct span *tail, bool *is_upload)
{
	static const struct span upload_head = { "/upload", 7 }, head = { "/gmail/v1/users/", 16 };
	struct span rest = path;

	*is_upload = span_starts(rest, upload_head);
	if (*is_upload)
		rest = span_slice(rest, upload_head.size, rest.size);
	if (!span_starts(rest, head))
		return false;
	*tail = span_slice(rest, head.size, rest.size);
	return span_cut(tail, '/', name) && tail->size;
}

static const struct route *find(struct span method, struct span tail)
{
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		if (span_equal(span_of(routes[i].tail), tail) && span_equal(span_of(routes[i].method), method))
			return &routes[i];
	return NULL;
}

enum twin_stage gmail_api_stage(struct span method, struct span path)
{
	struct span name, tail;
	const struct route *found;
	bool is_upload;

	if (!cut_path(path, &name, &tail, &is_upload))
		return TWIN_STAGE_NONE;
	if (is_upload && span_equal(method, SPAN("PUT")))
		return TWIN_STAGE_GMAIL_UPLOAD;
	found = find(method, tail);
	return found ? found->stage : TWIN_STAGE_NONE;
}

static bool allows(const struct google_access *a, const struct route *p)
{
	struct span rest = span_of(p->scopes), one;

	while (span_cut(&rest, ' ', &one))
		if (twin_scope_has(span_of(a->scope), one))
			return true;
	return false;
}

static bool is_own(const struct twin_user *user, struct span name)
{
	char memory[TWIN_ADDRESS_BYTES];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	return span_equal(name, SPAN("me")) || (text_from_percent(&text, name) && span_equal_fold(buf_span(&text), span_of(user->address)));
}

bool gmail_api_handle(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	struct call c = { .google = g, .request = q, .response = r };
	const struct route *p;
	struct span name;

	if (!cut_path(q->path, &name, &c.tail, &c.is_upload))
		return false;
	if (c.is_upload && span_equal(q->method, SPAN("PUT"))) {
		go_on_upload(g, q, r); /* its address is the right to it */
		return true;
	}
	p = find(q->method, c.tail);
	c.user = google_bearer(g, q, &c.access);
	if (!p)
		refuse(&c, GOOGLE_ERROR_gmail_not_found);
	else if (!c.user)
		/* A service account for itself has no mailbox. */
		refuse(&c, c.access.until_ms > q->wall_ms && !c.access.oid[0] ? GOOGLE_ERROR_gmail_precondition : GOOGLE_ERROR_gmail_credentials);
	else if (!is_own(c.user, name))
		refuse_named(&c, GOOGLE_ERROR_gmail_delegation, name);
	else if (!allows(&c.access, p))
		refuse(&c, GOOGLE_ERROR_gmail_scope);
	else
		p->handle(&c);
	return true;
}

void gmail_api_fini(struct google *g)
{
	for (size_t i = 0; g->uploads && i < GMAIL_UPLOADS_MAX; i++)
		drop(&g->uploads[i]);
	free(g->uploads);
	g->uploads = NULL;
}
