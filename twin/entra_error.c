#include "twin/entra_error.h"

#include "base/json.h"
#include "base/panic.h"
#include "base/rand.h"

#include <stdio.h>
#include <time.h>

enum { DESCRIPTION_BYTES = 8192 };

static const struct entra_error_row rows[] = {
#define TWIN_ERROR(code, error, suberror, status, text) { code, error, suberror, status, text },
#include "tables/twin_errors.def"
#undef TWIN_ERROR
};

static const struct entra_error_row *find(int64_t code)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].code == code)
			return &rows[i];
	return NULL;
}

const struct entra_error_row *entra_error_row(int code)
{
	const struct entra_error_row *row = find(code);

	if (!row)
		panic("no row for AADSTS%d", code);
	return row;
}

void entra_random_id(char out[TWIN_ID_BYTES])
{
	unsigned char r[16];

	rand_bytes(r, sizeof r);
	snprintf(out, TWIN_ID_BYTES, "%02x%02x%02x%02x-%02x%02x-4%x%02x-%x%x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4], r[5],
		 r[6] & 15u, r[7], 8 + (r[8] & 3u), r[8] >> 4, r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

static void put_value(struct buf *out, struct span name, const struct entra_error_values *v)
{
	const struct {
		const char *name;
		struct span text;
	} texts[] = { { "client", v->client }, { "tenant", v->tenant }, { "resource", v->resource }, { "name", v->name }, { "issued", v->issued } };

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (span_equal(name, span_of(texts[i].name)))
			buf_put(out, texts[i].text);
}

void entra_error_text(struct buf *out, int code, const struct entra_error_values *v)
{
	struct span text = span_of(entra_error_row(code)->text);

	buf_print(out, "AADSTS%d: ", code);
	while (text.size) {
		size_t open = span_find_byte(text, '{'), close = span_find_byte(text, '}');

		buf_put(out, span_slice(text, 0, open));
		if (open == text.size)
			break;
		put_value(out, span_slice(text, open + 1, close - open - 1), v);
		text = span_slice(text, close + 1, text.size);
	}
}

void entra_error_json(struct twin_response *r, int code, const struct entra_error_values *v, int64_t wall_ms)
{
	const struct entra_error_row *row = entra_error_row(code);
	char trace[TWIN_ID_BYTES], correlation[TWIN_ID_BYTES], stamp[32];
	time_t seconds = (time_t)(wall_ms / 1000);
	json_t *json = json_object();
	struct buf text;
	struct tm tm;

	entra_random_id(trace);
	entra_random_id(correlation);
	strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%SZ", gmtime_r(&seconds, &tm));
	buf_init(&text, DESCRIPTION_BYTES);
	entra_error_text(&text, code, v);
	buf_print(&text, " Trace ID: %s Correlation ID: %s Timestamp: %s", trace, correlation, stamp);
	json_put_text(json, "error", span_of(row->error));
	json_put_text(json, "error_description", buf_span(&text));
	json_object_set_new(json, "error_codes", json_pack("[i]", code));
	json_put_text(json, "timestamp", span_of(stamp));
	json_put_text(json, "trace_id", span_of(trace));
	json_put_text(json, "correlation_id", span_of(correlation));
	buf_clear(&text);
	buf_print(&text, "https://login.microsoftonline.com/error?code=%d", code);
	json_put_text(json, "error_uri", buf_span(&text));
	if (row->suberror[0])
		json_put_text(json, "suberror", span_of(row->suberror));
	r->status = row->status;
	r->content_type = "application/json; charset=utf-8";
	buf_clear(&r->body);
	json_write(&r->body, json);
	json_decref(json);
	buf_free(&text);
}
