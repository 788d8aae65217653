#include "twin/twin_page.h"

#include "base/text.h"

#include <stdarg.h>

static const struct span words[][LANGUAGE_COUNT] = {
#define TWIN_WORD(name, en, fr) { { en, sizeof en - 1 }, { fr, sizeof fr - 1 } },
#include "tables/twin_words.def"
#undef TWIN_WORD
};

static const char style[] =
	":root{color-scheme:light dark;--ground:#eef1f5;--card:#fff;--ink:#1b1f24;--soft:#5b6571;--line:#d5dbe2;--edge:#7f8a96;--act:#0b5cad;--on:#fff;--bad:#b3261e;"
	"--good:#1a7f4b;--code:#f4f6f8}"
	"@media(prefers-color-scheme:dark){:root{--ground:#14171b;--card:#1e2329;--ink:#e8ebee;--soft:#9aa5b1;--line:#38414b;--edge:#727e8b;--act:#6cb2ff;--on:#0c1a29;"
	"--bad:#ff8a80;--good:#6fd6a0;--code:#161a1f}}"
	"*{box-sizing:border-box}"
	"body{margin:0;min-height:100vh;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,'Segoe UI',Roboto,'Helvetica Neue',sans-serif;"
	"display:flex;flex-direction:column}"
	"header{padding:14px 20px;color:var(--soft);font-size:14px;display:flex;flex-wrap:wrap;gap:6px 20px;align-items:baseline}"
	"header b{color:var(--ink)}"
	"main{width:100%;padding:28px;margin:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}"
	"main.card{max-width:440px}"
	"main.wide{max-width:1120px;margin:0 auto 24px}"
	"footer{padding:16px 20px;color:var(--soft);font-size:13px;text-align:center}"
	"h1{font-size:24px;line-height:1.25;font-weight:600;margin:0 0 8px}"
	"h1+pre{margin-top:18px}"
	"h2{font-size:18px;font-weight:600;margin:32px 0 8px}"
	"p{margin:0 0 14px}"
	"a{color:var(--act)}"
	".soft{color:var(--soft)}.bad{color:var(--bad)}.good{color:var(--good)}"
	"label{display:block;font-size:14px;color:var(--soft);margin:14px 0 4px}"
	"input{width:100%;padding:10px 12px;font:inherit;color:var(--ink);background:var(--ground);border:1px solid var(--edge);border-radius:8px}"
	"input.digits{font-size:24px;letter-spacing:.3em;text-align:center}"
	"input.short{width:130px;padding:5px 8px}"
	"input:focus,button:focus-visible,a:focus-visible{outline:2px solid var(--act);outline-offset:2px}"
	".row{display:flex;gap:12px;justify-content:flex-end;flex-wrap:wrap;margin-top:22px}"
	".setting{display:grid;grid-template-columns:11.5em 1fr;gap:4px 12px;align-items:baseline;margin:0 0 6px}"
	"form.line{display:inline-flex;gap:6px;flex-wrap:wrap;align-items:center;margin:0}"
	"button{font:inherit;padding:9px 20px;border-radius:8px;border:1px solid var(--edge);background:transparent;color:var(--ink);cursor:pointer}"
	"button.main{background:var(--act);border-color:var(--act);color:var(--on);font-weight:600}"
	"button.small{padding:3px 11px;font-size:14px}"
	"button.account{display:block;width:100%;text-align:left;margin:10px 0;overflow-wrap:anywhere}"
	"ul{padding-left:20px;margin:8px 0 14px}"
	".scroll{overflow-x:auto}"
	"table{border-collapse:collapse;width:100%;font-size:15px}"
	"th{font-weight:600;color:var(--soft);font-size:13px}"
	"th,td{text-align:left;padding:9px 12px 9px 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}"
	"td.fixed,th.fixed{white-space:nowrap}td.who{min-width:12em}"
	"code,pre{font-family:ui-monospace,'Cascadia Mono',Menlo,Consolas,monospace;font-size:14px}"
	"pre{background:var(--code);border:1px solid var(--line);border-radius:8px;padding:14px;white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 14px}"
	"@media(max-width:560px){.setting{grid-template-columns:1fr}main{border-radius:0;border-width:1px 0;padding:22px 18px}main.card{margin:0 0 auto;max-width:none}"
	"tr{display:block;padding:8px 0;border-bottom:1px solid var(--line)}thead{display:none}td{display:block;border:0;padding:3px 0}td[data-label]::before{content:attr(data-label) \"\\00a0\\00a0\";color:var(--soft)}}";

struct span twin_word(enum twin_word word, enum language language)
{
	return words[word][language];
}

struct span twin_page_style(void)
{
	return span_of(style);
}

void twin_page_markup(struct twin_page *p, const char *markup)
{
	buf_put(p->out, span_of(markup));
}

void twin_page_text(struct twin_page *p, struct span text)
{
	text_html(p->out, text);
}

void twin_page_word(struct twin_page *p, enum twin_word word)
{
	text_html(p->out, twin_word(word, p->language));
}

void twin_page_put(struct twin_page *p, const char *format, ...)
{
	struct span rest = span_of(format);
	va_list list;

	va_start(list, format);
	while (rest.size) {
		size_t at = span_find_byte(rest, '%');
		char what = at + 1 < rest.size ? rest.at[at + 1] : 0;

		buf_put(p->out, span_slice(rest, 0, at));
		if (what == 'w')
			twin_page_word(p, (enum twin_word)va_arg(list, int));
		else if (what == 's')
			twin_page_text(p, *va_arg(list, const struct span *));
		else if (what)
			buf_put_byte(p->out, what);
		rest = span_slice(rest, at + 2, rest.size);
	}
	va_end(list);
}

struct twin_page twin_page_begin(struct twin_response *r, enum language language, enum twin_word title, bool wide)
{
	struct twin_page p = { &r->body, language };

	r->content_type = "text/html; charset=utf-8";
	buf_clear(&r->body);
	twin_page_markup(&p, "<!doctype html>\n<html lang=\"");
	twin_page_markup(&p, language_name(language));
	twin_page_put(&p, "\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>%w</title>"
			  "<link rel=\"stylesheet\" href=\"/twin/style.css\"></head>\n<body><header><b>%w</b>",
		      title, TWIN_WORD_BRAND);
	if (wide)
		twin_page_put(&p, "<a href=\"/\">%w</a><a href=\"/mail\">%w</a>", TWIN_WORD_OVERVIEW, TWIN_WORD_MAIL);
	twin_page_put(&p, "</header>\n<main class=\"");
	twin_page_markup(&p, wide ? "wide" : "card");
	twin_page_put(&p, "\"><h1>%w</h1>\n", title);
	return p;
}

void twin_page_end(struct twin_page *p)
{
	twin_page_put(p, "</main>\n<footer>%w</footer></body></html>\n", TWIN_WORD_SIMULATED);
}

void twin_page_policy(struct buf *out, const struct twin_response *r)
{
	buf_print(out, "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'");
	if (r->form_action.size) {
		buf_put_byte(out, ' ');
		buf_put(out, buf_span(&r->form_action));
	}
}
