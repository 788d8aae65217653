/* Graph's mail on a clock that is given: permissions, MIME and JSON, drafts with uploads, limits, what stands in Sent Items. */
#include "twin/graph.h"

#include "tests/test.h"
#include "tests/twin_browser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRAPH "https://graph.microsoft.com"
#define LETTER "From: <alex@contoso.example>\r\nTo: \"Dubois, Maria\" <m@fabrikam.example>, (x@no.example) b@fabrikam.example\r\nCC: team: c@fabrikam.example;\r\n" \
	       "Bcc: hidden@fabrikam.example\r\nSubject: hello\r\nMessage-ID: <1@client.example>\r\n\r\nThat is all.\r\n"

static struct twin_keys *keys;

struct scene {
	struct test_entra site;
	struct graph *graph;
	struct twin_response response;
	json_t *json;
	char token[TWIN_TOKEN_BYTES];
	const char *content_type, *range, *prefer;
	int64_t wall;
};

static struct scene *begin(void)
{
	struct scene *s = calloc(1, sizeof *s);

	assert_non_null(s);
	if (!keys)
		assert_int_equal(twin_keys_make(&keys, 1433160000000), FAULT_OK);
	test_entra_init(&s->site, keys);
	s->graph = graph_new(&s->site.entra, &s->site.tenant.world);
	s->wall = 1433160000000;
	s->content_type = "application/json";
	s->range = s->prefer = "";
	twin_response_init(&s->response);
	return s;
}

static void end(struct scene *s)
{
	graph_free(&s->graph);
	twin_response_fini(&s->response);
	json_decref(s->json);
	test_entra_fini(&s->site);
	free(s);
}

/* A token of the address, or of the application where it is NULL. */
static void sign_in(struct scene *s, const char *address, const char *audience, const char *scope)
{
	struct twin_tenant *t = &s->site.tenant.tenant;
	struct twin_claims claims = { .tenant = t, .user = address ? twin_tenant_user(t, span_of(address)) : NULL, .client_id = t->apps[0].id,
				      .issuer = "http://localhost/x/v2.0", .audience = span_of(audience), .scope = span_of(scope), .has_factor = true,
				      .wall_ms = s->wall, .seconds = 3600 };
	struct buf token;

	buf_over(&token, s->token, sizeof s->token - 1);
	buf_put(&token, SPAN("Bearer "));
	assert_int_equal(twin_access_put(&token, keys, &claims), FAULT_OK);
	s->token[token.size] = 0;
}

static void ask(struct scene *s, const char *method, const char *target, struct span body)
{
	size_t path = span_find_byte(span_of(target), '?');
	struct twin_request q = { .method = span_of(method), .path = { target, path }, .query = span_slice(span_of(target), path + 1, strlen(target)), .body = body,
				  .content_type = span_of(s->content_type), .authorization = span_of(s->token), .content_range = span_of(s->range),
				  .prefer = span_of(s->prefer), .wall_ms = s->wall };

	twin_response_fini(&s->response);
	twin_response_init(&s->response);
	json_decref(s->json);
	assert_int_not_equal(graph_stage(q.method, q.path), TWIN_STAGE_NONE);
	graph_handle(s->graph, &q, &s->response);
	s->json = s->response.body.size ? json_read(buf_span(&s->response.body), 1 << 20) : NULL;
}

static void ask_mime(struct scene *s, const char *target, const char *mime)
{
	struct buf body;

	buf_init(&body, 1 << 20);
	text_base64(&body, span_of(mime));
	s->content_type = "text/plain";
	ask(s, "POST", target, buf_span(&body));
	s->content_type = "application/json";
	buf_free(&body);
}

#define assert_error(s, status_due, code_due)                                                                                                        \
	do {                                                                                                                                         \
		assert_int_equal((s)->response.status, status_due);                                                                                  \
		assert_span(json_text(json_object_get((s)->json, "error"), "code"), code_due);                                                       \
	} while (0)

static const struct twin_mail *last(struct scene *s)
{
	return twin_shelf_mail(s->site.tenant.world.shelf, twin_shelf_last(s->site.tenant.world.shelf));
}

static void mime_is_sent_to_whom_its_header_names(void **state)
{
	struct scene *s = begin();

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send");
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_int_equal(s->response.status, 202);
	assert_int_equal(s->response.body.size, 0);
	assert_span(last(s)->recipients, "m@fabrikam.example b@fabrikam.example c@fabrikam.example hidden@fabrikam.example");
	assert_int_equal(last(s)->recipient_count, 4);
	assert_span(last(s)->sender, "alex@contoso.example");
	assert_span(last(s)->mailbox, "alex@contoso.example");
	assert_int_equal(span_find(last(s)->bytes, SPAN("hidden@")), last(s)->bytes.size);
	assert_true(span_starts(last(s)->bytes, SPAN("From: <alex@contoso.example>\r\nTo: \"Dubois, Maria\" <m@")));
	end(s);
}

static void what_is_no_message_is_refused(void **state)
{
	struct scene *s = begin();

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send");
	s->content_type = "text/plain";
	ask(s, "POST", "/v1.0/me/sendMail", SPAN("not base64!"));
	assert_error(s, 400, "ErrorMimeContentInvalidBase64String");
	ask_mime(s, "/v1.0/me/sendMail", "From: alex@contoso.example\r\nSubject: to nobody\r\n\r\n");
	assert_error(s, 400, "ErrorInvalidRecipients");
	ask_mime(s, "/v1.0/me/sendMail", "From: <boss@contoso.example>\r\nTo: a@b.example\r\n\r\n");
	assert_error(s, 403, "ErrorSendAsDenied");
	ask_mime(s, "/v1.0/me/sendMail", "From: <newsletter@contoso.example>\r\nTo: a@b.example\r\n\r\n");
	assert_int_equal(s->response.status, 202);
	ask(s, "POST", "/v1.0/me/sendMail", SPAN("{\"message\":"));
	assert_error(s, 400, "BadRequest");
	ask(s, "POST", "/v1.0/me/sendMail",
	    SPAN("{\"message\":{\"toRecipients\":[{\"emailAddress\":{\"address\":\"a@b.example\"}}],\"internetMessageHeaders\":[{\"name\":\"In-Reply-To\",\"value\":\"<1@x>\"}]}}"));
	assert_error(s, 400, "InvalidInternetMessageHeader");
	ask(s, "POST", "/v1.0/me/nowhere", SPAN("{}"));
	assert_error(s, 400, "BadRequest");
	end(s);
}

static void json_becomes_a_message(void **state)
{
	struct scene *s = begin();

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send");
	ask(s, "POST", "/v1.0/me/sendMail",
	    SPAN("{\"message\":{\"subject\":\"caf\\u00e9\",\"body\":{\"contentType\":\"HTML\",\"content\":\"<p>hi</p>\"},"
		 "\"toRecipients\":[{\"emailAddress\":{\"address\":\"a@b.example\",\"name\":\"A, B\"}}],\"bccRecipients\":[{\"emailAddress\":{\"address\":\"c@d.example\"}}],"
		 "\"internetMessageHeaders\":[{\"name\":\"x-own\",\"value\":\"1\"}],"
		 "\"attachments\":[{\"@odata.type\":\"#microsoft.graph.fileAttachment\",\"name\":\"a.txt\",\"contentType\":\"text/plain\",\"contentBytes\":\"aGVsbG8=\"}]},"
		 "\"saveToSentItems\":false}"));
	assert_int_equal(s->response.status, 202);
	assert_true(last(s)->unsaved);
	assert_span(last(s)->recipients, "a@b.example c@d.example");
	for (size_t i = 0; i < 7; i++) {
		static const char *const due[] = { "\r\nSubject: =?utf-8?B?Y2Fmw6k=?=\r\n", "\r\nTo: \"A, B\" <a@b.example>\r\n", "\r\nx-own: 1\r\n", "multipart/mixed",
						   "Content-Type: text/html; charset=utf-8\r\n", "filename=\"a.txt\"\r\n", "\r\n\r\naGVsbG8=\r\n" };

		if (span_find(last(s)->bytes, span_of(due[i])) == last(s)->bytes.size)
			fail_msg("no %s in %.*s", due[i], SPAN_ARGS(last(s)->bytes));
	}
	end(s);
}

static void permissions_are_those_of_the_token(void **state)
{
	static const struct {
		const char *address, *audience, *scope, *target;
		int status;
		const char *code;
	} cases[] = {
		{ "alex@contoso.example", GRAPH, "User.Read", "/v1.0/me/sendMail", 403, "ErrorAccessDenied" },
		{ "alex@contoso.example", "https://outlook.office.com", "Mail.Send", "/v1.0/me/sendMail", 401, "InvalidAuthenticationToken" },
		{ "alex@contoso.example", GRAPH, "Mail.Send", "/v1.0/users/alex%40contoso.example/sendMail", 202, "" },
		{ "alex@contoso.example", GRAPH, "Mail.Send", "/v1.0/users/maria@contoso.example/sendMail", 403, "ErrorAccessDenied" },
		{ "alex@contoso.example", GRAPH, "Mail.Send Mail.Send.Shared", "/v1.0/users/maria@contoso.example/sendMail", 403, "ErrorAccessDenied" },
		{ NULL, GRAPH, "Mail.Send", "/v1.0/users/alex@contoso.example/sendMail", 202, "" },
		{ NULL, GRAPH, "Mail.Send", "/v1.0/me/sendMail", 400, "BadRequest" },
		{ NULL, GRAPH, "Mail.Send", "/v1.0/users/nobody@contoso.example/sendMail", 404, "ErrorInvalidUser" },
		{ NULL, GRAPH, "Mail.ReadWrite", "/v1.0/users/alex@contoso.example/sendMail", 403, "ErrorAccessDenied" },
	};
	struct scene *s = begin();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		sign_in(s, cases[i].address, cases[i].audience, cases[i].scope);
		ask_mime(s, cases[i].target, LETTER);
		assert_int_equal(s->response.status, cases[i].status);
		if (cases[i].code[0])
			assert_error(s, cases[i].status, cases[i].code);
	}
	s->wall += 3601000;
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_error(s, 401, "InvalidAuthenticationToken");
	s->token[0] = 0;
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_error(s, 401, "InvalidAuthenticationToken");
	end(s);
}

static void limits_slide(void **state)
{
	struct scene *s = begin();
	struct span large = { calloc(1, 5000), 5000 };

	test_tenant_set(&s->site.tenant, "graph_requests", "2", "");
	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send");
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	s->wall += 1000;
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_int_equal(s->response.status, 202);
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_error(s, 429, "ApplicationThrottled");
	assert_true(s->response.retry_after_s > 0);
	s->wall += 598999;
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_int_equal(s->response.status, 429);
	s->wall += 1;
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_int_equal(s->response.status, 202);
	test_tenant_set(&s->site.tenant, "graph_requests", "0", "");
	test_tenant_set(&s->site.tenant, "graph_upload_bytes", "600", "");
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_error(s, 429, "ApplicationThrottled");
	test_tenant_set(&s->site.tenant, "graph_upload_bytes", "0", "");
	test_tenant_set(&s->site.tenant, "graph_request_bytes", "4999", "");
	ask(s, "POST", "/v1.0/me/sendMail", large);
	assert_error(s, 413, "RequestEntityTooLarge");
	test_tenant_set(&s->site.tenant, "recipients_per_day", "17", "");
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_int_equal(s->response.status, 202);
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	assert_error(s, 429, "ErrorExceededMessageLimit");
	free((void *)large.at);
	end(s);
}

/* A draft; its id is in `id_out`. */
static void draft(struct scene *s, const char *mime, char id_out[128])
{
	ask_mime(s, "/v1.0/me/messages", mime);
	assert_int_equal(s->response.status, 201);
	assert_true(json_is_true(json_object_get(s->json, "isDraft")));
	snprintf(id_out, 128, "%.*s", SPAN_ARGS(json_text(s->json, "id")));
}

static void a_draft_is_uploaded_to_and_sent(void **state)
{
	static char id[128], target[512], upload[2048], range[64];
	struct scene *s = begin();
	size_t size = 3 << 20, part = 1 << 20;
	char *file = malloc(size);

	for (size_t i = 0; i < size; i++)
		file[i] = (char)(i * 7);
	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send Mail.ReadWrite");
	draft(s, LETTER, id);
	snprintf(target, sizeof target, "/v1.0/me/messages/%s/attachments/createUploadSession", id);
	ask(s, "POST", target, SPAN("{\"AttachmentItem\":{\"attachmentType\":\"file\",\"name\":\"f.bin\",\"size\":2097151}}"));
	assert_error(s, 400, "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize");
	ask(s, "POST", target, SPAN("{\"AttachmentItem\":{\"attachmentType\":\"file\",\"name\":\"f.bin\",\"contentType\":\"image/png\",\"size\":3145728}}"));
	assert_int_equal(s->response.status, 201);
	snprintf(upload, sizeof upload, "%.*s", SPAN_ARGS(json_text(s->json, "uploadUrl")));
	memmove(upload, strstr(upload, "/api/"), strlen(strstr(upload, "/api/")) + 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(s->json, "nextExpectedRanges"), 0)), "0-");
	s->token[0] = 0;
	for (size_t from = 0; from < size; from += part) {
		snprintf(range, sizeof range, "bytes %zu-%zu/%zu", from, from + part - 1, size);
		s->range = range;
		ask(s, "PUT", upload, (struct span){ file + from, part });
		assert_int_equal(s->response.status, from + part < size ? 200 : 201);
		if (from)
			continue;
		assert_string_equal(json_string_value(json_array_get(json_object_get(s->json, "nextExpectedRanges"), 0)), "1048576");
		ask(s, "PUT", upload, (struct span){ file, part });
		assert_error(s, 416, "ErrorInvalidRange");
		ask(s, "GET", upload, SPAN(""));
		assert_string_equal(json_string_value(json_array_get(json_object_get(s->json, "nextExpectedRanges"), 0)), "1048576");
	}
	assert_true(s->response.location.size);
	ask(s, "GET", upload, SPAN(""));
	assert_error(s, 404, "ErrorItemNotFound");
	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send Mail.ReadWrite");
	snprintf(target, sizeof target, "/v1.0/me/messages/%s/send", id);
	ask(s, "POST", target, SPAN(""));
	assert_int_equal(s->response.status, 202);
	assert_true(last(s)->bytes.size > size * 4 / 3);
	assert_true(span_find(last(s)->bytes, SPAN("Content-Type: image/png; name=\"f.bin\"")) < last(s)->bytes.size);
	ask(s, "POST", target, SPAN(""));
	assert_error(s, 404, "ErrorItemNotFound");
	free(file);
	end(s);
}

static void sent_items_are_found_by_message_id(void **state)
{
	static const char where[] = "/v1.0/me/mailFolders/sentitems/messages?$select=id&$filter=internetMessageId%20eq%20%27%3C1%40client.example%3E%27";
	struct scene *s = begin();

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send Mail.ReadWrite");
	ask(s, "GET", where, SPAN(""));
	assert_int_equal(s->response.status, 200);
	assert_int_equal(json_array_size(json_object_get(s->json, "value")), 0);
	ask_mime(s, "/v1.0/me/sendMail", LETTER);
	ask_mime(s, "/v1.0/me/sendMail", "To: a@b.example\r\n\r\nno id\r\n");
	assert_true(span_starts(last(s)->bytes, SPAN("Message-ID: <")));
	ask(s, "GET", where, SPAN(""));
	assert_int_equal(json_array_size(json_object_get(s->json, "value")), 1);
	assert_span(json_text(json_array_get(json_object_get(s->json, "value"), 0), "internetMessageId"), "<1@client.example>");
	ask(s, "GET", "/v1.0/me/mailFolders/sentitems/messages", SPAN(""));
	assert_int_equal(json_array_size(json_object_get(s->json, "value")), 2);
	ask(s, "GET", "/v1.0/me/messages?$filter=subject%20eq%20%27x%27", SPAN(""));
	assert_error(s, 400, "ErrorInvalidUrlQueryFilter");
	sign_in(s, "maria@contoso.example", GRAPH, "Mail.ReadWrite");
	ask(s, "GET", where, SPAN(""));
	assert_int_equal(json_array_size(json_object_get(s->json, "value")), 0);
	end(s);
}

static void ids_outlive_sending_where_asked(void **state)
{
	struct scene *s = begin();
	char id[128], target[512];

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send Mail.ReadWrite");
	for (int immutable = 0; immutable < 2; immutable++) {
		s->prefer = immutable ? "IdType=\"ImmutableId\"" : "";
		draft(s, LETTER, id);
		snprintf(target, sizeof target, "/v1.0/me/messages/%s/send", id);
		ask(s, "POST", target, SPAN(""));
		assert_int_equal(s->response.status, 202);
		snprintf(target, sizeof target, "/v1.0/me/messages/%s", id);
		ask(s, "GET", target, SPAN(""));
		assert_int_equal(s->response.status, immutable ? 200 : 404);
	}
	assert_false(json_is_true(json_object_get(s->json, "isDraft")));
	assert_span(json_text(s->json, "parentFolderId"), "sentitems");
	ask(s, "DELETE", target, SPAN(""));
	assert_int_equal(s->response.status, 204);
	end(s);
}

static void attachments_go_into_a_mixed_message(void **state)
{
	struct scene *s = begin();
	char id[128], target[512];

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.Send Mail.ReadWrite");
	draft(s, "To: a@b.example\r\nContent-Type: multipart/mixed; boundary=\"x\"\r\n\r\n--x\r\n\r\ntext\r\n--x--\r\n", id);
	snprintf(target, sizeof target, "/v1.0/me/messages/%s/attachments", id);
	ask(s, "POST", target, SPAN("{\"@odata.type\":\"#microsoft.graph.fileAttachment\",\"name\":\"\xc3\xa9.txt\",\"contentBytes\":\"aGk=\"}"));
	assert_int_equal(s->response.status, 201);
	snprintf(target, sizeof target, "/v1.0/me/messages/%s/$value", id);
	ask(s, "GET", target, SPAN(""));
	assert_true(span_find(buf_span(&s->response.body), SPAN("--x\r\n\r\ntext\r\n--x\r\nContent-Type: application/octet-stream; name*=utf-8''%C3%A9.txt\r\n")) <
		    s->response.body.size);
	assert_true(span_find(buf_span(&s->response.body), SPAN("\r\n\r\naGk=\r\n--x--\r\n")) < s->response.body.size);
	end(s);
}

static void the_oldest_drafts_go_first(void **state)
{
	struct scene *s = begin();
	char first[128], id[128] = "", target[512];

	sign_in(s, "alex@contoso.example", GRAPH, "Mail.ReadWrite");
	draft(s, LETTER, first);
	for (size_t i = 0; i < GRAPH_MESSAGES_MAX; i++)
		draft(s, LETTER, id);
	snprintf(target, sizeof target, "/v1.0/me/messages/%s", first);
	ask(s, "GET", target, SPAN(""));
	assert_int_equal(s->response.status, 404);
	snprintf(target, sizeof target, "/v1.0/me/messages/%s", id);
	ask(s, "GET", target, SPAN(""));
	assert_int_equal(s->response.status, 200);
	end(s);
}

TESTS(mime_is_sent_to_whom_its_header_names, what_is_no_message_is_refused, json_becomes_a_message, permissions_are_those_of_the_token, limits_slide,
      a_draft_is_uploaded_to_and_sent, sent_items_are_found_by_message_id, ids_outlive_sending_where_asked, attachments_go_into_a_mixed_message,
      the_oldest_drafts_go_first)
