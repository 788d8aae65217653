#include "base/text.h"
#include "twin/graph_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADER_BYTES = 1024 * 1024, LIST_MAX = 100 };

static const char *const folder_names[GRAPH_FOLDER_COUNT] = { "drafts", "inbox", "sentitems", "deleteditems" };

struct graph_message *graph_message_of(struct graph_call *c, const char *id)
{
	for (size_t i = 0; i < GRAPH_MESSAGES_MAX; i++) {
		struct graph_message *m = &c->graph->messages[i];

		if (m->id[0] && m->user == c->user && !strcmp(m->id, id))
			return m;
	}
	return NULL;
}

void graph_message_drop(struct graph_message *m)
{
	if (!m->id[0])
		return;
	buf_free(&m->bytes);
	graph_attachments_free(&m->attachments);
	memset(m, 0, sizeof *m);
}

/* A free place; the oldest message makes one. */
static struct graph_message *place(struct graph *g)
{
	struct graph_message *oldest = g->messages;

	for (size_t i = 0; i < GRAPH_MESSAGES_MAX && oldest->id[0]; i++)
		if (!g->messages[i].id[0] || g->messages[i].serial < oldest->serial)
			oldest = &g->messages[i];
	graph_message_drop(oldest);
	return oldest;
}

/* Where there is no Message-ID, Exchange makes one. */
static void complete(struct graph_call *c, struct graph_letter *l)
{
	struct buf id, whole;
	char random[ENTRA_CODE_BYTES];

	buf_init(&id, HEADER_BYTES);
	if (!twin_mail_header(buf_span(&l->bytes), SPAN("Message-ID"), &id)) {
		entra_random_code(random, "");
		buf_init(&whole, GRAPH_MAIL_BYTES + HEADER_BYTES);
		buf_print(&whole, "Message-ID: <%s@PN4P287MB1234.INDP287.PROD.OUTLOOK.COM>\r\n", random);
		buf_put(&whole, buf_span(&l->bytes));
		buf_free(&l->bytes);
		l->bytes = whole;
	}
	buf_free(&id);
}

/* --- sending */

static struct exchange_counter *counter(const struct graph_call *c)
{
	return &c->graph->world->counters[c->user - c->graph->entra->tenant->users];
}

/* GRAPH_OK, or what refuses a message with so many recipients from that sender. */
static enum graph_error judge(struct graph_call *c, struct span mail, size_t recipients)
{
	const struct twin_tenant *t = c->graph->entra->tenant;
	int64_t day = t->values[TWIN_SWITCH_recipients_per_day];
	const struct twin_user *sender = c->signed_in ? c->signed_in : c->user;
	enum graph_error error = GRAPH_OK;
	struct buf foreign;

	if (!recipients)
		return GRAPH_ERROR_no_recipients;
	if (recipients > (size_t)t->values[TWIN_SWITCH_recipients_per_message])
		return GRAPH_ERROR_many_recipients;
	if (mail.size > (size_t)t->values[TWIN_SWITCH_message_bytes])
		return GRAPH_ERROR_message_large;
	if (day && exchange_recipients_of_day(counter(c), c->request->wall_ms) + recipients > (uint64_t)day)
		return GRAPH_ERROR_daily_limit;
	buf_init(&foreign, EXCHANGE_LINE_BYTES);
	if (exchange_foreign_from(sender, mail, &foreign) && exchange_foreign_from(c->user, mail, &foreign))
		error = GRAPH_ERROR_send_as_denied;
	buf_free(&foreign);
	return error;
}

static uint64_t shelve(struct graph_call *c, struct span mail, struct span recipients, size_t count, bool unsaved)
{
	struct buf sender;
	const struct twin_tenant *t = c->graph->entra->tenant;
	int64_t now = c->request->wall_ms, at = exchange_rate_at(counter(c), t->values[TWIN_SWITCH_messages_per_minute], now);
	uint64_t number;

	exchange_count(counter(c), at > now ? at : now, count);
	buf_init(&sender, HEADER_BYTES);
	if (!graph_mime_addresses(mail, SPAN("From"), &sender))
		buf_put(&sender, span_of(c->user->address));
	number = twin_shelf_put(c->graph->world->shelf, &(struct twin_mail){ .taken_at_ms = now,
									     .arrives_at_ms = at > now ? at : now,
									     .mailbox = span_of(c->user->address),
									     .sender = span_slice(buf_span(&sender), 0, span_find_byte(buf_span(&sender), ' ')),
									     .recipients = recipients,
									     .recipient_count = count,
									     .peer = SPAN("graph"),
									     .reply = SPAN("202 Accepted"),
									     .bytes = mail,
									     .unsaved = unsaved });
	buf_free(&sender);
	return number;
}

enum graph_error graph_send_letter(struct graph_call *c, const struct graph_letter *l, uint64_t *number_out)
{
	struct buf recipients, whole, shown;
	size_t count = 0;
	enum graph_error error;

	buf_init(&recipients, HEADER_BYTES);
	buf_init(&whole, GRAPH_MAIL_BYTES);
	buf_init(&shown, GRAPH_MAIL_BYTES);
	graph_mime_attach(buf_span(&l->bytes), l->attachments, &whole);
	graph_mime_without(buf_span(&whole), SPAN("Bcc"), &shown);
	count += graph_mime_addresses(buf_span(&whole), SPAN("To"), &recipients);
	count += graph_mime_addresses(buf_span(&whole), SPAN("Cc"), &recipients);
	count += graph_mime_addresses(buf_span(&whole), SPAN("Bcc"), &recipients);
	error = whole.overfull || shown.overfull ? GRAPH_ERROR_message_large : judge(c, buf_span(&shown), count);
	if (error == GRAPH_OK)
		*number_out = shelve(c, buf_span(&shown), buf_span(&recipients), count, l->unsaved);
	buf_free(&recipients);
	buf_free(&whole);
	buf_free(&shown);
	return error;
}

void graph_send_mail(struct graph_call *c)
{
	char bad[GRAPH_TEXT_BYTES];
	struct graph_letter letter;
	enum graph_error error;
	uint64_t number;

	graph_letter_init(&letter);
	error = graph_read_body(c, "message", &letter, bad);
	if (error == GRAPH_OK) {
		complete(c, &letter);
		error = graph_send_letter(c, &letter, &number);
	}
	if (error == GRAPH_OK)
		c->response->status = 202;
	else
		graph_call_refuse(c, error, span_of(bad));
	graph_letter_fini(&letter);
}

/* --- messages at rest */

static void put_header(json_t *json, const char *member, struct span mail, struct span name)
{
	struct buf text;

	buf_init(&text, HEADER_BYTES);
	if (twin_mail_shown(mail, name, &text))
		json_put_text(json, member, buf_span(&text));
	buf_free(&text);
}

static void put_date(json_t *json, const char *member, int64_t wall_ms)
{
	char memory[64];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	text_date(&text, wall_ms);
	json_put_text(json, member, buf_span(&text));
}

static json_t *describe(const char *id, struct span mail, enum graph_folder folder, bool is_draft, int64_t wall_ms)
{
	json_t *json = json_object();

	json_put_text(json, "id", span_of(id));
	put_date(json, "createdDateTime", wall_ms);
	put_date(json, "sentDateTime", wall_ms);
	json_put_text(json, "parentFolderId", span_of(folder_names[folder]));
	json_put_flag(json, "isDraft", is_draft);
	put_header(json, "subject", mail, SPAN("Subject"));
	put_header(json, "internetMessageId", mail, SPAN("Message-ID"));
	return json;
}

static json_t *describe_message(const struct graph_message *m)
{
	json_t *json = describe(m->id, buf_span(&m->bytes), m->folder, m->is_draft, m->made_at_ms);

	json_put_flag(json, "hasAttachments", m->attachments != NULL);
	return json;
}

static void context(struct graph_call *c, json_t *json, const char *tail)
{
	char text[TWIN_ADDRESS_BYTES * 2];

	snprintf(text, sizeof text, "%s/v1.0/$metadata#users('%s')/%s", c->graph->entra->base_url, c->user->oid, tail);
	json_put_text(json, "@odata.context", span_of(text));
}

/* The folder that the path names; Drafts where it names none; GRAPH_FOLDER_COUNT for one there is not. */
static enum graph_folder folder_of(const struct graph_call *c)
{
	size_t at = 0;

	if (strcasecmp(c->segments[0], "mailFolders") != 0)
		return GRAPH_DRAFTS;
	while (at < GRAPH_FOLDER_COUNT && strcasecmp(folder_names[at], c->segments[1]) != 0)
		at++;
	return (enum graph_folder)at;
}

void graph_create(struct graph_call *c)
{
	enum graph_folder folder = folder_of(c);
	char bad[GRAPH_TEXT_BYTES];
	struct graph_letter letter;
	struct graph_message *m;
	enum graph_error error;
	json_t *json;

	graph_letter_init(&letter);
	error = folder == GRAPH_FOLDER_COUNT ? GRAPH_ERROR_no_item : graph_read_body(c, NULL, &letter, bad);
	if (error != GRAPH_OK) {
		graph_call_refuse(c, error, folder == GRAPH_FOLDER_COUNT ? SPAN("") : span_of(bad));
		graph_letter_fini(&letter);
		return;
	}
	complete(c, &letter);
	m = place(c->graph);
	entra_random_code(m->id, "AAMk");
	m->user = c->user;
	m->folder = folder;
	m->serial = ++c->graph->serial;
	m->is_draft = folder == GRAPH_DRAFTS;
	m->immutable = span_find_fold(c->request->prefer, SPAN("ImmutableId")) < c->request->prefer.size;
	m->made_at_ms = c->request->wall_ms;
	m->bytes = letter.bytes;
	m->attachments = letter.attachments;
	json = describe_message(m);
	context(c, json, "messages/$entity");
	entra_answer_json(c->response, 201, json);
}

/* The value of internetMessageId in "internetMessageId eq '...'", quotes doubled; false for another filter. */
static bool read_filter(const struct twin_request *q, struct buf *out, bool *asked)
{
	struct span text, value;
	struct buf filter;
	size_t equals;
	bool ok = true;

	buf_init(&filter, TWIN_FIELD_BYTES);
	*asked = twin_field_in(q->query, SPAN("%24filter"), &filter) || twin_field_in(q->query, SPAN("$filter"), &filter);
	text = span_trim(buf_span(&filter));
	equals = span_find_fold(text, SPAN(" eq '"));
	if (*asked) {
		value = span_slice(text, equals + 5, text.size);
		ok = equals < text.size && span_equal_fold(span_trim(span_slice(text, 0, equals)), SPAN("internetMessageId")) && value.size &&
		     value.at[value.size - 1] == '\'';
		for (size_t i = 0; ok && i + 1 < value.size; i++) {
			buf_put_byte(out, value.at[i]);
			i += value.at[i] == '\'';
		}
	}
	buf_free(&filter);
	return ok;
}

static bool is_wanted(struct span mail, bool asked, struct span message_id)
{
	struct buf id;
	bool wanted;

	buf_init(&id, HEADER_BYTES);
	twin_mail_header(mail, SPAN("Message-ID"), &id);
	wanted = !asked || span_equal(buf_span(&id), message_id);
	buf_free(&id);
	return wanted;
}

/* Sent Items is the shelf: what the mailbox sent by any way, the newest first. */
static void list_sent(struct graph_call *c, json_t *items, bool asked, struct span message_id)
{
	const struct twin_shelf *shelf = c->graph->world->shelf;

	for (uint64_t number = twin_shelf_last(shelf); number >= twin_shelf_first(shelf) && json_array_size(items) < LIST_MAX; number--) {
		const struct twin_mail *m = twin_shelf_mail(shelf, number);
		char id[GRAPH_ID_BYTES];

		if (!m || m->unsaved || !span_equal_fold(m->mailbox, span_of(c->user->address)) || !is_wanted(m->bytes, asked, message_id))
			continue;
		snprintf(id, sizeof id, "AAMkSent%016llx", (unsigned long long)number);
		json_array_append_new(items, describe(id, m->bytes, GRAPH_SENT, false, m->taken_at_ms));
	}
}

void graph_list(struct graph_call *c)
{
	bool everywhere = strcasecmp(c->segments[0], "mailFolders") != 0, asked;
	enum graph_folder folder = folder_of(c);
	json_t *items = json_array(), *json;
	struct buf id;

	buf_init(&id, TWIN_FIELD_BYTES);
	if (folder == GRAPH_FOLDER_COUNT || !read_filter(c->request, &id, &asked)) {
		graph_call_refuse(c, folder == GRAPH_FOLDER_COUNT ? GRAPH_ERROR_no_item : GRAPH_ERROR_filter, SPAN(""));
		json_decref(items);
		buf_free(&id);
		return;
	}
	for (size_t i = 0; i < GRAPH_MESSAGES_MAX; i++) {
		const struct graph_message *m = &c->graph->messages[i];

		if (m->id[0] && m->user == c->user && m->folder != GRAPH_SENT && (everywhere || m->folder == folder) && json_array_size(items) < LIST_MAX &&
		    is_wanted(buf_span(&m->bytes), asked, buf_span(&id)))
			json_array_append_new(items, describe_message(m));
	}
	if (everywhere || folder == GRAPH_SENT)
		list_sent(c, items, asked, buf_span(&id));
	json = json_object();
	context(c, json, "messages");
	json_object_set_new(json, "value", items);
	entra_answer_json(c->response, 200, json);
	buf_free(&id);
}

/* The message that the path names; without one the call is refused. */
static struct graph_message *named(struct graph_call *c)
{
	struct graph_message *m = graph_message_of(c, c->segments[1]);

	if (!m)
		graph_call_refuse(c, GRAPH_ERROR_no_item, SPAN(""));
	return m;
}

void graph_show(struct graph_call *c)
{
	struct graph_message *m = named(c);
	json_t *json;

	if (!m)
		return;
	json = describe_message(m);
	context(c, json, "messages/$entity");
	entra_answer_json(c->response, 200, json);
}

void graph_value(struct graph_call *c)
{
	struct graph_message *m = named(c);

	if (!m)
		return;
	c->response->content_type = "text/plain";
	graph_mime_attach(buf_span(&m->bytes), m->attachments, &c->response->body);
}

void graph_delete(struct graph_call *c)
{
	struct graph_message *m = named(c);

	if (!m)
		return;
	graph_message_drop(m);
	c->response->status = 204;
}

void graph_send_draft(struct graph_call *c)
{
	struct graph_message *m = named(c);
	struct graph_letter letter;
	enum graph_error error;
	uint64_t number;

	if (!m)
		return;
	if (!m->is_draft) {
		graph_call_refuse(c, GRAPH_ERROR_not_draft, SPAN(""));
		return;
	}
	letter = (struct graph_letter){ .bytes = m->bytes, .attachments = m->attachments };
	error = graph_send_letter(c, &letter, &number);
	if (error != GRAPH_OK) {
		graph_call_refuse(c, error, SPAN(""));
		return;
	}
	c->response->status = 202;
	/* In Sent Items it has another id, unless the client asked for ids that outlive that. */
	if (m->immutable) {
		m->folder = GRAPH_SENT;
		m->is_draft = false;
	} else {
		graph_message_drop(m);
	}
}
