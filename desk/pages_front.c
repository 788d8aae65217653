#include "desk/visit.h"

static const char icon[] = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 64 64\"><path fill=\"#1d5fa8\" d=\"M6 14h52v36H6z\"/>"
			   "<path fill=\"none\" stroke=\"#fff\" stroke-width=\"5\" d=\"M8 17l24 18 24-18\"/></svg>\n";

void visit_front(struct visit *v)
{
	struct page p;

	page_begin(&p, v->language, PAGE_PLAIN, WORD_FRONT_TITLE);
	PAGE(&p, "<p class=\"lead\">{}</p>\n<p>{}</p>\n<p class=\"small\">", page_word(&p, WORD_FRONT_SAYS), page_word(&p, WORD_FRONT_LINK));
	page_prose(&p, page_word(&p, WORD_FRONT_ADMIN));
	PAGE(&p, "</p>\n");
	visit_page(v, &p, 200, NULL, 0);
}

void visit_icon(struct visit *v)
{
	visit_answer(v, 200, SPAN("image/svg+xml"), span_of(icon));
}
