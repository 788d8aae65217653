#include "twin/google_token.h"

#include "base/json.h"

#include <stdio.h>
#include <string.h>

static const struct span access_head = { "ya29.", 5 }, refresh_head = { "1//0", 4 };

static const struct row {
	int status;
	bool is_api;
	const char *state, *reason, *domain, *text; /* at the token endpoint the reason is the `error` */
} rows[] = {
	[GOOGLE_OK] = { 200, false, "", "", "", "" },
#define GOOGLE_TOKEN(name, status, error, text) [GOOGLE_ERROR_##name] = { status, false, "", error, "", text },
#define GOOGLE_API(name, status, state, reason, domain, text) [GOOGLE_ERROR_##name] = { status, true, state, reason, domain, text },
#include "tables/twin_google_errors.def"
#undef GOOGLE_TOKEN
#undef GOOGLE_API
};

/* A line of a sealed text as a number. */
static bool cut_number(struct span *rest, int64_t *out)
{
	struct span line;
	uint64_t number;

	if (!span_cut(rest, '\n', &line) || !span_number(line, &number) || number > INT64_MAX)
		return false;
	*out = (int64_t)number;
	return true;
}

static enum fault put_sealed(struct buf *out, const struct twin_keys *k, struct span head, struct span purpose, const struct buf *text)
{
	return !text->overfull && buf_put(out, head) && twin_sealed_put(out, k, purpose, buf_span(text)) ? FAULT_OK : FAULT_TOO_LARGE;
}

static bool open_sealed(struct buf *out, const struct twin_keys *k, struct span head, struct span purpose, struct span token)
{
	return span_starts(token, head) && twin_sealed_open(out, k, purpose, span_slice(token, head.size, token.size));
}

enum fault google_access_put(struct buf *out, const struct twin_keys *k, const struct google_access *a)
{
	enum fault fault;
	struct buf text;

	buf_init(&text, TWIN_TOKEN_BYTES);
	buf_print(&text, "%s\n%lld\n%s", a->oid, (long long)a->until_ms, a->scope);
	fault = put_sealed(out, k, access_head, SPAN("google access"), &text);
	buf_free(&text);
	return fault;
}

enum fault google_access_read(struct google_access *out, const struct twin_keys *k, struct span token, int64_t wall_ms)
{
	struct span rest, oid;
	struct buf text;
	bool ok;

	buf_init(&text, TWIN_TOKEN_BYTES);
	ok = open_sealed(&text, k, access_head, SPAN("google access"), token);
	rest = buf_span(&text);
	ok = ok && span_cut(&rest, '\n', &oid) && span_text(out->oid, sizeof out->oid, oid) && cut_number(&rest, &out->until_ms) &&
	     span_text(out->scope, sizeof out->scope, rest);
	buf_free(&text);
	if (!ok)
		return FAULT_BAD_LOGIN;
	return out->until_ms > wall_ms ? FAULT_OK : FAULT_EXPIRED;
}

enum fault google_refresh_put(struct buf *out, const struct twin_keys *k, const struct twin_grant *g)
{
	enum fault fault;
	struct buf text;

	buf_init(&text, TWIN_TOKEN_BYTES);
	buf_print(&text, "%s\n%s\n%lld\n%s", g->oid, g->client_id, (long long)g->issued_at_ms, g->scope);
	fault = put_sealed(out, k, refresh_head, SPAN("google refresh"), &text);
	buf_free(&text);
	return fault;
}

enum fault google_refresh_read(struct twin_grant *out, const struct twin_keys *k, struct span token)
{
	struct span rest, oid, client;
	struct buf text;
	bool ok;

	*out = (struct twin_grant){ .has_factor = true };
	buf_init(&text, TWIN_TOKEN_BYTES);
	ok = open_sealed(&text, k, refresh_head, SPAN("google refresh"), token);
	rest = buf_span(&text);
	ok = ok && span_cut(&rest, '\n', &oid) && span_text(out->oid, sizeof out->oid, oid) && span_cut(&rest, '\n', &client) &&
	     span_text(out->client_id, sizeof out->client_id, client) && cut_number(&rest, &out->issued_at_ms) &&
	     span_text(out->scope, sizeof out->scope, rest);
	buf_free(&text);
	return ok ? FAULT_OK : FAULT_BAD_LOGIN;
}

void google_subject(char out[TWIN_ID_BYTES], const char *oid)
{
	unsigned char digest[SEAL_DIGEST_BYTES];

	seal_digest(digest, span_of(oid));
	out[0] = '1';
	for (size_t i = 1; i < 21; i++)
		out[i] = (char)('0' + digest[i] % 10);
	out[21] = 0;
}

static void put_text(struct buf *out, const char *text, struct span name)
{
	struct span rest = span_of(text), mark = SPAN("{name}");
	size_t at = span_find(rest, mark);

	buf_put(out, span_slice(rest, 0, at));
	if (at == rest.size)
		return;
	buf_put(out, name);
	buf_put(out, span_slice(rest, at + mark.size, rest.size));
}

void google_error_answer(struct twin_response *r, enum google_error error, struct span name)
{
	const struct row *row = &rows[error];
	json_t *json = json_object(), *one;
	struct buf text;

	buf_init(&text, TWIN_FIELD_BYTES);
	put_text(&text, row->text, name);
	if (row->is_api) {
		one = json_object();
		json_put_text(one, "message", buf_span(&text));
		json_put_text(one, "domain", span_of(row->domain));
		json_put_text(one, "reason", span_of(row->reason));
		json_put_whole(json, "code", row->status);
		json_put_text(json, "message", buf_span(&text));
		json_object_set_new(json, "errors", json_pack("[o]", one));
		if (*row->state)
			json_put_text(json, "status", span_of(row->state));
		json = json_pack("{s:o}", "error", json);
	} else {
		json_put_text(json, "error", span_of(row->reason));
		json_put_text(json, "error_description", buf_span(&text));
	}
	buf_free(&text);
	r->status = row->status;
	r->content_type = "application/json; charset=utf-8";
	buf_clear(&r->body);
	json_write(&r->body, json);
	json_decref(json);
}
