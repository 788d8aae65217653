#include "twin/twin_http.h"

#include "base/text.h"

#include <string.h>

void twin_response_init(struct twin_response *r)
{
	*r = (struct twin_response){ .status = 200, .content_type = "text/html; charset=utf-8", .retry_after_s = -1 };
	buf_init(&r->body, TWIN_ANSWER_BYTES);
	buf_init(&r->location, TWIN_PAGE_BYTES);
	buf_init(&r->cookie, TWIN_FIELD_BYTES);
	buf_init(&r->range, TWIN_FIELD_BYTES);
	buf_init(&r->form_action, TWIN_FIELD_BYTES);
}

void twin_response_fini(struct twin_response *r)
{
	buf_wipe(&r->body);
	buf_wipe(&r->location);
	buf_wipe(&r->cookie);
	buf_free(&r->range);
	buf_free(&r->form_action);
}

bool twin_field_in(struct span encoded, struct span name, struct buf *out)
{
	struct span pair;

	while (span_cut(&encoded, '&', &pair)) {
		size_t end = span_find_byte(pair, '='), before = out->size;

		if (!span_equal(span_slice(pair, 0, end), name))
			continue;
		if (text_from_percent(out, span_slice(pair, end + 1, pair.size)))
			return true;
		out->size = before;
		return false;
	}
	return false;
}

bool twin_is_get(const struct twin_request *r)
{
	return span_equal(r->method, SPAN("GET")) || span_equal(r->method, SPAN("HEAD"));
}

bool twin_is_post(const struct twin_request *r)
{
	return span_equal(r->method, SPAN("POST"));
}

bool twin_field(const struct twin_request *r, struct span name, struct buf *out)
{
	return twin_field_in(twin_is_post(r) ? r->body : r->query, name, out);
}

void twin_field_text(const struct twin_request *r, struct span name, char *out, size_t room)
{
	struct buf value;

	buf_init(&value, TWIN_FIELD_BYTES);
	out[0] = 0;
	if (twin_field(r, name, &value) && value.size < room && (!value.size || !memchr(value.at, 0, value.size))) {
		if (value.size)
			memcpy(out, value.at, value.size);
		out[value.size] = 0;
	}
	buf_wipe(&value);
}

void twin_redirect(struct twin_response *r, struct span location)
{
	r->status = 302;
	buf_clear(&r->body);
	buf_clear(&r->location);
	buf_put(&r->location, location);
}

enum language twin_language(struct span accept)
{
	struct span one;

	while (span_cut(&accept, ',', &one)) {
		struct span tag = span_trim(one);

		if (span_starts_fold(tag, SPAN("fr")))
			return LANGUAGE_FR;
		if (span_starts_fold(tag, SPAN("en")))
			return LANGUAGE_EN;
	}
	return LANGUAGE_EN;
}
