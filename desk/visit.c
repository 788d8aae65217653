#include "desk/visit.h"

#include "base/metric.h"
#include "base/panic.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum { BODY_BYTES_MAX = MESSAGE_BYTES_MAX, REMOTE_BYTES = 128 };

/* Nothing but a page needs anything loaded. */
static const char bare_policy[] = "default-src 'none'; frame-ancestors 'none'";

static const char *realm_name(enum route_realm realm)
{
	return realm == ROUTE_PUBLIC ? "public" : "control";
}

/* The visit is over once its answer is given. */
static void end(struct visit *v, int status)
{
	metric_add(METRIC_DESK_REQUESTS, realm_name(v->realm), 1);
	if (status >= 500)
		metric_add(METRIC_DESK_FAILURES, realm_name(v->realm), 1);
	v->desk->visits--;
	buf_free(&v->actor);
	free(v);
}

void visit_page(struct visit *v, struct page *p, int status, const struct span (*headers)[2], size_t header_count)
{
	page_answer(p, v->exchange, status, headers, header_count);
	end(v, status);
}

void visit_answer(struct visit *v, int status, struct span content_type, struct span body)
{
	const struct span headers[][2] = { { SPAN("Content-Security-Policy"), span_of(bare_policy) } };

	http_answer(v->exchange, status, content_type, headers, 1, body);
	end(v, status);
}

void visit_redirect(struct visit *v, int status, struct span url, const struct span *cookie)
{
	const struct span headers[][2] = { { SPAN("Content-Security-Policy"), span_of(bare_policy) },
					   { SPAN("Location"), url },
					   { SPAN("Set-Cookie"), cookie ? *cookie : SPAN("") } };

	http_answer(v->exchange, status, SPAN("text/plain; charset=utf-8"), headers, cookie ? 3 : 2, SPAN(""));
	end(v, status);
}

void visit_json(struct visit *v, int status, const json_t *document)
{
	struct buf body;

	buf_init(&body, BODY_BYTES_MAX);
	if (json_write(&body, document) && buf_put_byte(&body, '\n'))
		visit_answer(v, status, SPAN("application/json"), buf_span(&body));
	else
		visit_fault_json(v, FAULT_TOO_LARGE, SPAN(""));
	buf_wipe(&body);
}

void visit_put_fault(struct buf *out, enum fault fault, enum language language, struct span why)
{
	const struct fault_row *row = fault_row(fault);
	json_t *document = json_object();

	json_put_text(document, "fault", span_of(row->name));
	json_put_text(document, "says", span_of(row->says[language]));
	remedy_put_json(document, fault, language, NULL);
	json_put_text(document, "why", why);
	json_write(out, document);
	buf_put_byte(out, '\n');
	json_decref(document);
}

void visit_fault_json(struct visit *v, enum fault fault, struct span why)
{
	const struct span headers[][2] = { { SPAN("Content-Security-Policy"), span_of(bare_policy) }, { SPAN("Allow"), span_of(v->route.allow) } };
	int status = fault_row(fault)->http;
	struct buf body;

	buf_init(&body, BODY_BYTES_MAX);
	visit_put_fault(&body, fault, v->language, why);
	http_answer(v->exchange, status, SPAN("application/json"), headers, fault == FAULT_METHOD_WRONG ? 2 : 1, buf_span(&body));
	buf_free(&body);
	end(v, status);
}

static void fault_page(struct visit *v, enum fault fault, struct span why)
{
	const struct span allow[][2] = { { SPAN("Allow"), span_of(v->route.allow) } };
	const struct fault_row *row = fault_row(fault);
	struct page p;

	page_begin(&p, v->language, PAGE_RED, WORD_ERROR_TITLE);
	PAGE(&p, "<p class=\"lead\">{}</p>\n", page_sentence(&p, row->says[v->language]));
	if (why.size)
		PAGE(&p, "<p>{}</p>\n", why);
	page_remedy(&p, fault, NULL, SPAN(""));
	PAGE(&p, "<p class=\"small\">{}</p>\n", page_fill(&p, WORD_RED_CODE, span_of(row->name)));
	visit_page(v, &p, row->http, allow, fault == FAULT_METHOD_WRONG);
}

static void no_page(struct visit *v)
{
	struct page p;

	page_begin(&p, v->language, PAGE_RED, WORD_NO_PAGE_TITLE);
	PAGE(&p, "<p class=\"lead\">{}</p>\n", page_word(&p, WORD_NO_PAGE_SAYS));
	visit_page(v, &p, fault_row(FAULT_NOT_FOUND)->http, NULL, 0);
}

void visit_fault(struct visit *v, enum fault fault, struct span why)
{
	if (v->realm == ROUTE_CONTROL)
		visit_fault_json(v, fault, why);
	else if (fault == FAULT_NOT_FOUND)
		no_page(v);
	else
		fault_page(v, fault, why);
}

void visit_ask(struct visit *v, enum role role, struct span operation, const json_t *arguments, errand_done *done)
{
	visit_ask_for(v, role, operation, arguments, done, v);
}

void visit_ask_for(struct visit *v, enum role role, struct span operation, const json_t *arguments, errand_done *done, void *self)
{
	struct buf text;

	buf_init(&text, BODY_BYTES_MAX / 2);
	if (!json_write(&text, arguments))
		buf_clear(&text);
	errands_ask(v->desk->errands, &(struct errand_wish){ .role = role, .operation = operation, .actor = buf_span(&v->actor),
							     .arguments = buf_span(&text), .language = v->language, .done = done, .self = self });
	buf_wipe(&text);
}

struct span visit_remote(const struct visit *v)
{
	static char memory[REMOTE_BYTES];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	address_print(&text, &v->from.client, false);
	return buf_span(&text);
}
