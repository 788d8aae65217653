/* Requests from strangers: whole and cut must say the same, and no request may be larger than its ceilings. */
#include "base/panic.h"
#include "loop/http_parse.h"

#include <stdint.h>
#include <string.h>

enum { BODY_MAX = 256 };

struct tale {
	char text[65536];
	struct buf out;
};

static void note(struct tale *t, struct http_parse *p)
{
	buf_print(&t->out, "%d %d ", (int)p->state, p->status);
	if (p->state == HTTP_PARSE_REFUSED)
		return;
	ASSERT(p->header_count <= HTTP_PARSE_HEADERS_MAX && p->body_bytes.size <= BODY_MAX);
	ASSERT(p->target.size && p->target.at[0] == '/');
	buf_put(&t->out, p->method);
	buf_put(&t->out, p->target);
	for (size_t i = 0; i < p->header_count; i++) {
		ASSERT(p->headers[i].name.size && span_find_byte(p->headers[i].value, '\r') == p->headers[i].value.size);
		buf_put(&t->out, p->headers[i].name);
		buf_put(&t->out, p->headers[i].value);
	}
	buf_put(&t->out, p->body_bytes);
}

static void tell(struct tale *t, struct span input, size_t cut)
{
	struct http_parse p;

	buf_over(&t->out, t->text, sizeof t->text);
	http_parse_init(&p, BODY_MAX);
	while (input.size && p.state != HTTP_PARSE_REFUSED) {
		size_t taken = http_parse_feed(&p, span_slice(input, 0, cut));

		ASSERT(taken || p.state >= HTTP_PARSE_WHOLE);
		input = span_slice(input, taken, input.size);
		if (p.state < HTTP_PARSE_WHOLE)
			continue;
		note(t, &p);
		if (p.state == HTTP_PARSE_WHOLE)
			http_parse_next(&p);
	}
	http_parse_fini(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct tale whole, cut;
	struct span input = { (const char *)bytes, size };

	tell(&whole, input, size);
	tell(&cut, input, 1 + size % 7);
	ASSERT(span_equal(buf_span(&whole.out), buf_span(&cut.out)));
	return 0;
}
