#include "twin/google_page.h"

#include <string.h>

static const struct {
	int code;
	const char *word;
} words[] = { { 53003, "admin_policy_enforced" }, { 90094, "admin_policy_enforced" }, { 65004, "access_denied" },
	      { 65001, "consent_required" },	  { 50058, "login_required" } };

const char *google_page_word(int code)
{
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (words[i].code == code)
			return words[i].word;
	return "invalid_request";
}

void google_page_refused(struct twin_response *r, enum language language, const char *word)
{
	struct twin_page p = twin_page_begin(r, language, TWIN_WORD_BLOCKED, false);
	bool unknown = !strcmp(word, "invalid_client");
	struct span text = span_of(word);

	r->status = unknown ? 401 : 400;
	twin_page_put(&p, "<p>%s</p><pre>", &(struct span){ unknown ? "Error 401:" : "Error 400:", 10 });
	twin_page_put(&p, "%s</pre>\n", &text);
	twin_page_end(&p);
}
