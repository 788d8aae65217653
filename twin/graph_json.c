#include "base/panic.h"
#include "base/text.h"
#include "twin/graph_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BYTES = 39, JSON_BYTES = 8 * 1024 * 1024 };

void graph_letter_init(struct graph_letter *l)
{
	*l = (struct graph_letter){ 0 };
	buf_init(&l->bytes, GRAPH_MAIL_BYTES);
}

void graph_letter_fini(struct graph_letter *l)
{
	buf_free(&l->bytes);
	graph_attachments_free(&l->attachments);
}

void graph_attachments_free(struct graph_attachment **first)
{
	while (*first) {
		struct graph_attachment *a = *first;

		*first = a->next;
		buf_free(&a->bytes);
		free(a);
	}
}

struct graph_attachment *graph_read_attachment(const json_t *json)
{
	struct graph_attachment *a = calloc(1, sizeof *a);
	struct span bytes = json_text(json, "contentBytes");

	ASSERT(a);
	buf_init(&a->bytes, GRAPH_MAIL_BYTES);
	a->is_inline = json_flag(json, "isInline", false);
	if (span_text(a->name, sizeof a->name, json_text(json, "name")) && span_text(a->type, sizeof a->type, json_text(json, "contentType")) &&
	    span_text(a->content_id, sizeof a->content_id, json_text(json, "contentId")) && text_from_base64(&a->bytes, bytes))
		return a;
	graph_attachments_free(&a);
	return NULL;
}

/* A text in a header: as it is, or in encoded words (RFC 2047) cut between characters. */
static void put_words(struct buf *out, struct span text)
{
	struct buf plain;

	buf_init(&plain, text.size * 3 + 1);
	text_plain(&plain, text);
	if (text_is_ascii(buf_span(&plain))) {
		buf_put(out, buf_span(&plain));
		buf_free(&plain);
		return;
	}
	for (size_t at = 0, size; at < plain.size; at += size) {
		size = plain.size - at < WORD_BYTES ? plain.size - at : WORD_BYTES;
		while (at + size < plain.size && ((unsigned char)plain.at[at + size] & 0xc0) == 0x80)
			size--;
		buf_print(out, "%s=?utf-8?B?", at ? "\r\n " : "");
		text_base64(out, span_slice(buf_span(&plain), at, size));
		buf_put(out, SPAN("?="));
	}
	buf_free(&plain);
}

static void put_person(struct buf *out, const json_t *recipient)
{
	const json_t *person = json_object_get(recipient, "emailAddress");
	struct span name = json_text(person, "name"), address = json_text(person, "address");

	if (name.size && !span_equal(name, address)) {
		bool ascii = text_is_ascii(name);

		if (ascii)
			buf_put_byte(out, '"');
		put_words(out, name);
		if (ascii)
			buf_put_byte(out, '"');
		buf_put_byte(out, ' ');
	}
	buf_put_byte(out, '<');
	text_plain(out, address);
	buf_put_byte(out, '>');
}

/* A header of people; nothing where there are none. */
static void put_people(struct buf *out, const char *header, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (i)
			buf_put(out, SPAN(",\r\n "));
		else
			buf_print(out, "%s: ", header);
		put_person(out, json_array_get(list, i));
	}
	if (json_array_size(list))
		buf_put(out, SPAN("\r\n"));
}

static void put_text(struct buf *out, const char *header, struct span text)
{
	if (!text.size)
		return;
	buf_print(out, "%s: ", header);
	put_words(out, text);
	buf_put(out, SPAN("\r\n"));
}

/* Headers of the client's own, which must begin with x-. */
static enum graph_error put_own_headers(struct buf *out, const json_t *list, struct span *bad_out)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *header = json_array_get(list, i);
		struct span name = json_text(header, "name");
		char memory[128];

		if (!span_starts_fold(name, SPAN("x-")) || !span_text(memory, sizeof memory, name) || strpbrk(memory, " :\r\n\t")) {
			*bad_out = name;
			return GRAPH_ERROR_header_name;
		}
		put_text(out, memory, json_text(header, "value"));
	}
	return GRAPH_OK;
}

/* What MAPI keeps of a header that Graph has no property for. */
static void put_properties(struct buf *out, const json_t *list)
{
	static const char *const known[][2] = { { "String 0x1042", "In-Reply-To" }, { "String 0x1039", "References" } };

	for (size_t i = 0; i < json_array_size(list); i++)
		for (size_t k = 0; k < sizeof known / sizeof *known; k++)
			if (span_equal_fold(json_text(json_array_get(list, i), "id"), span_of(known[k][0])))
				put_text(out, known[k][1], json_text(json_array_get(list, i), "value"));
}

static void put_body(struct buf *out, const json_t *body)
{
	bool html = span_equal_fold(json_text(body, "contentType"), SPAN("html"));

	buf_print(out, "MIME-Version: 1.0\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n", html ? "html" : "plain");
	graph_mime_base64(out, json_text(body, "content"));
}

static void put_from(struct graph_call *c, struct buf *out, const json_t *message)
{
	const json_t *from = json_object_get(message, "from");

	if (!from)
		from = json_object_get(message, "sender");
	buf_put(out, SPAN("From: "));
	if (from)
		put_person(out, from);
	else
		buf_print(out, "\"%s\" <%s>", c->user->name, c->user->address);
	buf_put(out, SPAN("\r\n"));
}

static bool read_attachments(const json_t *list, struct graph_attachment **place)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		*place = graph_read_attachment(json_array_get(list, i));
		if (!*place)
			return false;
		place = &(*place)->next;
	}
	return true;
}

enum graph_error graph_read_json(struct graph_call *c, const json_t *message, struct graph_letter *out, struct span *bad_out)
{
	static const char *const lists[][2] = { { "To", "toRecipients" }, { "Cc", "ccRecipients" }, { "Bcc", "bccRecipients" }, { "Reply-To", "replyTo" } };
	struct span importance = json_text(message, "importance");
	enum graph_error error;

	if (!json_is_object(message) || !read_attachments(json_object_get(message, "attachments"), &out->attachments))
		return GRAPH_ERROR_no_json;
	put_from(c, &out->bytes, message);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		put_people(&out->bytes, lists[i][0], json_object_get(message, lists[i][1]));
	put_text(&out->bytes, "Subject", json_text(message, "subject"));
	buf_put(&out->bytes, SPAN("Date: "));
	text_mail_date(&out->bytes, c->request->wall_ms);
	buf_put(&out->bytes, SPAN("\r\n"));
	put_text(&out->bytes, "Message-ID", json_text(message, "internetMessageId"));
	if (importance.size && !span_equal_fold(importance, SPAN("normal")))
		put_text(&out->bytes, "Importance", importance);
	put_properties(&out->bytes, json_object_get(message, "singleValueExtendedProperties"));
	error = put_own_headers(&out->bytes, json_object_get(message, "internetMessageHeaders"), bad_out);
	put_body(&out->bytes, json_object_get(message, "body"));
	return error;
}

/* Base64 without the blanks and line ends that clients put into it. */
static bool read_base64(struct span text, struct buf *out)
{
	struct buf tight;
	bool ok;

	buf_init(&tight, text.size + 1);
	for (size_t i = 0; i < text.size; i++)
		if (!strchr(" \t\r\n", text.at[i]) || !text.at[i])
			buf_put_byte(&tight, text.at[i]);
	ok = tight.size && text_from_base64(out, buf_span(&tight));
	buf_free(&tight);
	return ok;
}

static enum graph_error read_mime(struct graph_call *c, struct graph_letter *out)
{
	if (!read_base64(c->request->body, &out->bytes))
		return GRAPH_ERROR_no_base64;
	return span_find_byte(buf_span(&out->bytes), ':') == out->bytes.size ? GRAPH_ERROR_no_mime : GRAPH_OK;
}

enum graph_error graph_read_body(struct graph_call *c, const char *member, struct graph_letter *out, char bad_out[GRAPH_TEXT_BYTES])
{
	struct span bad = SPAN("");
	enum graph_error error;
	json_t *json;

	bad_out[0] = 0;
	if (span_starts_fold(c->request->content_type, SPAN("text/plain")))
		return read_mime(c, out);
	json = json_read(c->request->body, JSON_BYTES);
	error = json ? graph_read_json(c, member ? json_object_get(json, member) : json, out, &bad) : GRAPH_ERROR_no_json;
	out->unsaved = !json_flag(json, "saveToSentItems", true);
	snprintf(bad_out, GRAPH_TEXT_BYTES, "%.*s", SPAN_ARGS(bad));
	json_decref(json);
	return error;
}
