#include "desk/visit.h"

#include "base/arena.h"
#include "base/metric.h"
#include "base/panic.h"
#include "desk/jar.h"

#include <stdlib.h>

enum { FIELD_BYTES_MAX = 16 * 1024, COOKIE_BYTES_MAX = 1024, LINK_SECONDS = 15 * 60 };

/* The browser that pressed the button is the one that may come back. */
static struct span cookie_name(const struct visit *v)
{
	return site_is_secure(v->desk->site) ? SPAN("__Host-postern-link") : SPAN("postern-link");
}

static struct span link_of(const struct visit *v)
{
	return route_value(&v->route, SPAN("token"));
}

/* Owners read their own language, unless their browser asks for one of ours. */
static enum language language_of(const struct visit *v, const json_t *result)
{
	struct span owner = json_text(result, "language");

	return page_language(http_header(v->exchange, SPAN("Accept-Language")), owner.size ? language_named(owner) : v->language);
}

static json_t *result_of(const struct errand_answer *a)
{
	json_t *result = json_read(a->result, MESSAGE_BYTES_MAX);

	return result ? result : json_object();
}

static void put_form(struct page *p, struct span token, enum word button)
{
	struct buf path;

	buf_init(&path, 4096);
	buf_put(&path, SPAN("/link/"));
	for (size_t i = 0; i < token.size; i++) /* decoded from a path, so it must be encoded again to stay one part */
		buf_print(&path, "%%%02X", (unsigned char)token.at[i]);
	PAGE(p, "<form method=\"post\" action=\"{}\"><button type=\"submit\">{}</button></form>\n", buf_span(&path), page_word(p, button));
	buf_free(&path);
}

/* --- red: what is wrong and how to mend it */

static bool is_of_link(enum fault f)
{
	return f == FAULT_LINK_SPENT || f == FAULT_LINK_LATE || f == FAULT_LINK_FOREIGN || f == FAULT_LINK_UNKNOWN;
}

static enum word title_of(enum fault f)
{
	if (f == FAULT_WRONG_ACCOUNT)
		return WORD_RED_WRONG_TITLE;
	if (f == FAULT_LINK_SPENT)
		return WORD_SPENT_TITLE;
	return is_of_link(f) ? WORD_LINK_DEAD_TITLE : WORD_RED_TITLE;
}

static void put_accounts(struct page *p, const json_t *result)
{
	struct span wanted = json_text(result, "address"), account = json_text(result, "account");

	if (!wanted.size && !account.size)
		return;
	PAGE(p, "<dl>\n");
	page_pair(p, WORD_LABEL_WANTED, wanted);
	page_pair(p, WORD_LABEL_SIGNED_IN, account);
	PAGE(p, "</dl>\n");
}

/* The faults that Postern itself finds; all others are a provider's. */
static const bool is_own[FAULT_COUNT] = {
#define FAULT(name, ...) [FAULT_##name] = true,
#include "tables/faults_own.def"
#undef FAULT
};

/* Only what the vault vouches for is shown: anybody can write an error into a link to our callback. */
static void put_why(struct page *p, enum fault f, struct span why)
{
	if (why.size && f != FAULT_WRONG_ACCOUNT)
		PAGE(p, "<h2>{}</h2>\n<blockquote>{}</blockquote>\n", page_word(p, is_own[f] ? WORD_LABEL_DETAILS : WORD_LABEL_PROVIDER_SAYS), why);
}

static struct span lead_of(struct page *p, enum fault f)
{
	if (f == FAULT_LINK_SPENT)
		return page_word(p, WORD_SPENT_SAYS);
	return f == FAULT_WRONG_ACCOUNT ? page_word(p, WORD_RED_WRONG_SAYS) : page_sentence(p, fault_row(f)->says[p->language]);
}

/* `result` is what the vault knows of the link; `again` the token to try it with once more, or empty. */
static void red(struct visit *v, const struct errand_answer *a, const json_t *result, struct span again)
{
	enum fault f = a->fault;
	struct page p;

	page_begin(&p, language_of(v, result), PAGE_RED, title_of(f));
	PAGE(&p, "<p class=\"lead\">{}</p>\n", lead_of(&p, f));
	put_accounts(&p, result);
	page_remedy(&p, f, &(struct remedy_names){ .mailbox = json_text(result, "address") }, again.size ? page_word(&p, WORD_RED_BUTTON) : SPAN(""));
	put_why(&p, f, a->why);
	if (again.size) {
		put_form(&p, again, WORD_RED_AGAIN);
		PAGE(&p, "<p class=\"small\">{}</p>\n", page_word(&p, WORD_RED_AGAIN_SAYS));
	}
	PAGE(&p, "<p class=\"small\">{} {}</p>\n", page_word(&p, WORD_RED_ASK), page_fill(&p, WORD_RED_CODE, span_of(fault_row(f)->name)));
	visit_page(v, &p, fault_row(f)->http, NULL, 0);
}

/* --- the link: a page with one button */

static void on_link(void *self, const struct errand_answer *a)
{
	struct visit *v = self;
	json_t *result = result_of(a);
	struct span provider = json_text(result, "provider");
	struct page p;

	TRAIL(&v->desk->trail, EVENT_CONSENT_OPENED, TRAIL_TEXT("remote", visit_remote(v)), TRAIL_TEXT("fault", span_of(fault_row(a->fault)->name)));
	if (a->fault != FAULT_OK) {
		red(v, a, result, SPAN(""));
		json_decref(result);
		return;
	}
	page_begin(&p, language_of(v, result), PAGE_ASKS, WORD_LINK_TITLE);
	PAGE(&p, "<p class=\"lead\">{}</p>\n<dl>\n", page_word(&p, WORD_LINK_SAYS));
	page_pair(&p, WORD_LABEL_MAILBOX, json_text(result, "address"));
	page_pair(&p, WORD_LABEL_NAME, json_text(result, "name"));
	page_pair(&p, WORD_LABEL_PROVIDER, provider);
	PAGE(&p, "</dl>\n<p>{}</p>\n", page_fill(&p, WORD_LINK_NEXT, provider));
	put_form(&p, link_of(v), WORD_LINK_BUTTON);
	PAGE(&p, "<p class=\"small\">{}</p>\n<p class=\"small\">{}</p>\n", page_word(&p, WORD_LINK_SAFE), page_word(&p, WORD_LINK_LIVES));
	visit_page(v, &p, 200, NULL, 0);
	json_decref(result);
}

/* A browser that came by another name of this machine would lose its cookie on the way back. */
static bool sent_elsewhere(struct visit *v)
{
	struct span better = site_better(v->desk->site, &v->from);
	const struct http_seen *seen = http_seen(v->exchange);
	struct buf where;

	if (!better.size)
		return false;
	buf_init(&where, 8192);
	buf_put(&where, better);
	buf_put(&where, seen->path);
	if (seen->query.size && buf_put_byte(&where, '?'))
		buf_put(&where, seen->query);
	visit_redirect(v, 307, buf_span(&where), NULL);
	buf_free(&where);
	return true;
}

static void read_jar(const struct visit *v, struct jar *jar)
{
	jar_read(jar, http_cookie(v->exchange, cookie_name(v)));
}

/* The vault knows neither the port that the system chose nor the proxy in front of us. */
static json_t *arguments_new(const struct visit *v)
{
	json_t *arguments = json_object();

	json_put_text(arguments, "public_url", site_url(v->desk->site));
	return arguments;
}

void visit_link_page(struct visit *v)
{
	json_t *arguments;

	if (sent_elsewhere(v))
		return;
	arguments = arguments_new(v);
	json_put_text(arguments, "link", link_of(v));
	visit_ask(v, ROLE_VAULT, SPAN("consent.page"), arguments, on_link);
	json_decref(arguments);
}

/* --- the button */

/* What goes into the Location header: an absolute address in ASCII. */
static bool is_address(struct span url)
{
	for (size_t i = 0; i < url.size; i++)
		if (url.at[i] <= ' ' || url.at[i] > '~')
			return false;
	return span_starts(url, SPAN("https://")) || span_starts(url, SPAN("http://localhost")) || span_starts(url, SPAN("http://127.0.0.1"));
}

static bool put_cookie(const struct visit *v, const struct jar *jar, struct buf *out)
{
	buf_print(out, "%.*s=", SPAN_ARGS(cookie_name(v)));
	jar_write(jar, out);
	buf_print(out, "; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax", jar->count ? LINK_SECONDS : 0);
	return buf_put(out, site_is_secure(v->desk->site) ? SPAN("; Secure") : SPAN(""));
}

static void on_pressed(void *self, const struct errand_answer *answer)
{
	struct visit *v = self;
	struct errand_answer a = *answer;
	json_t *result = result_of(&a);
	struct span url = json_text(result, "url");
	struct jar jar;
	struct buf cookie;

	buf_init(&cookie, COOKIE_BYTES_MAX);
	read_jar(v, &jar);
	if (a.fault == FAULT_OK && (!is_address(url) || !jar_put(&jar, json_text(result, "browser"), link_of(v)) || !put_cookie(v, &jar, &cookie)))
		a.fault = FAULT_BUG;
	TRAIL(&v->desk->trail, EVENT_CONSENT_PRESSED, TRAIL_TEXT("remote", visit_remote(v)), TRAIL_TEXT("mailbox", json_text(result, "address")),
	      TRAIL_TEXT("fault", span_of(fault_row(a.fault)->name)));
	if (a.fault == FAULT_OK)
		visit_redirect(v, 303, url, &(struct span){ cookie.at, cookie.size });
	else
		red(v, &a, result, is_of_link(a.fault) ? SPAN("") : link_of(v));
	buf_wipe(&cookie);
	json_decref(result);
}

void visit_link_press(struct visit *v)
{
	json_t *arguments = arguments_new(v);
	struct jar jar;

	read_jar(v, &jar);
	json_put_text(arguments, "link", link_of(v));
	json_put_text(arguments, "browser", jar_browser(&jar, link_of(v)));
	visit_ask(v, ROLE_VAULT, SPAN("consent.press"), arguments, on_pressed);
	json_decref(arguments);
}

/* --- back from the provider */

/* Which of the browser's sign-ins came back is not said by the request; each is offered in turn, and a wrong one changes nothing. */
struct returning {
	struct visit *visit;
	json_t *arguments;
	struct jar jar;
	size_t at;
};

static void offer(struct returning *);

static void green(struct visit *v, const json_t *result, struct span cookie)
{
	const struct span headers[][2] = { { SPAN("Set-Cookie"), cookie } };
	struct page p;

	page_begin(&p, language_of(v, result), PAGE_GREEN, WORD_GREEN_TITLE);
	PAGE(&p, "<p class=\"lead\">{}</p>\n<dl>\n", page_word(&p, WORD_GREEN_SAYS));
	page_pair(&p, WORD_LABEL_MAILBOX, json_text(result, "address"));
	page_pair(&p, WORD_LABEL_SIGNED_IN, json_text(result, "account"));
	PAGE(&p, "</dl>\n<h2>{}</h2>\n<p>{}</p>\n<p class=\"small\">{}</p>\n", page_word(&p, WORD_LABEL_NEXT), page_word(&p, WORD_GREEN_NEXT),
	     page_word(&p, WORD_GREEN_AGAIN));
	visit_page(v, &p, 200, headers, 1);
}

static void show_outcome(struct returning *r, const struct errand_answer *a)
{
	struct visit *v = r->visit;
	json_t *result = result_of(a);
	struct buf cookie;

	TRAIL(&v->desk->trail, EVENT_CONSENT_RETURNED, TRAIL_TEXT("remote", visit_remote(v)), TRAIL_TEXT("mailbox", json_text(result, "address")),
	      TRAIL_TEXT("fault", span_of(fault_row(a->fault)->name)));
	metric_add(METRIC_DESK_CONSENTS, a->fault == FAULT_OK ? "green" : "red", 1);
	buf_init(&cookie, COOKIE_BYTES_MAX);
	if (a->fault == FAULT_OK) {
		jar_drop(&r->jar, r->at);
		put_cookie(v, &r->jar, &cookie);
		green(v, result, buf_span(&cookie));
	} else {
		red(v, a, result, json_flag(result, "link_usable", false) && r->at < r->jar.count ? r->jar.pairs[r->at].link : SPAN(""));
	}
	buf_wipe(&cookie);
	json_decref(result);
	json_decref(r->arguments);
	free(r);
}

static void on_finished(void *self, const struct errand_answer *a)
{
	struct returning *r = self;

	if (a->fault == FAULT_LINK_FOREIGN && r->at + 1 < r->jar.count) {
		r->at++;
		offer(r);
		return;
	}
	show_outcome(r, a);
}

static void offer(struct returning *r)
{
	struct span browser = r->at < r->jar.count ? r->jar.pairs[r->at].browser : SPAN("");

	json_put_text(r->arguments, "browser", browser);
	visit_ask_for(r->visit, ROLE_VAULT, SPAN("consent.finish"), r->arguments, on_finished, r);
}

void visit_callback(struct visit *v)
{
	static const char *const fields[] = { "state", "code", "error", "error_description" };
	struct span query = http_seen(v->exchange)->query;
	struct returning *r = calloc(1, sizeof *r);

	if (!r)
		panic("out of memory");
	*r = (struct returning){ .visit = v, .arguments = arguments_new(v) };
	read_jar(v, &r->jar);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		struct buf value;

		buf_init(&value, FIELD_BYTES_MAX);
		if (http_field(query, span_of(fields[i]), &value))
			json_put_text(r->arguments, fields[i], buf_span(&value));
		buf_wipe(&value);
	}
	offer(r);
}
