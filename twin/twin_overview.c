#include "base/text.h"
#include "twin/authenticator.h"
#include "twin/twin_control.h"

#include <stdio.h>

enum { LIST_MAX = 200, HEADER_BYTES = 64 * 1024, SHOWN_BYTES = 256 * 1024 };

static struct span number_text(char memory[24], int64_t number)
{
	snprintf(memory, 24, "%lld", (long long)number);
	return span_of(memory);
}

/* The words of a switch as buttons, the one in force in the colour of action. */
static void put_words(struct twin_page *p, const struct twin_switch_row *row, int64_t value, struct span mailbox)
{
	struct span rest = span_of(row->words), name = span_of(row->name), word;

	twin_page_put(p, "<form class=\"line\" method=\"post\" action=\"/twin/switch\"><input type=\"hidden\" name=\"name\" value=\"%s\">", &name);
	if (mailbox.size)
		twin_page_put(p, "<input type=\"hidden\" name=\"mailbox\" value=\"%s\">", &mailbox);
	for (int64_t at = 0; span_cut(&rest, ' ', &word); at++) {
		twin_page_markup(p, at == value ? "<button class=\"small main\" aria-pressed=\"true\"" : "<button class=\"small\"");
		twin_page_put(p, " name=\"value\" value=\"%s\">%s</button>", &word, &word);
	}
	twin_page_markup(p, "</form>");
}

static void put_number(struct twin_page *p, const struct twin_switch_row *row, int64_t value)
{
	char memory[24];
	struct span text = number_text(memory, value), name = span_of(row->name);

	twin_page_put(p,
		      "<form class=\"line\" method=\"post\" action=\"/twin/switch\"><input type=\"hidden\" name=\"name\" value=\"%s\">"
		      "<input class=\"short\" name=\"value\" inputmode=\"numeric\" aria-label=\"%s\" value=\"%s\"><button class=\"small\">%w</button></form>",
		      &name, &name, &text, TWIN_WORD_SET);
}

static void put_switches(struct twin_page *p, const struct twin_tenant *t, bool numbers)
{
	twin_page_markup(p, "<div class=\"scroll\"><table><tbody>");
	for (size_t i = 0; i < TWIN_SWITCH_COUNT; i++) {
		const struct twin_switch_row *row = twin_switch_row((enum twin_switch)i);
		struct span name = span_of(row->name), says = span_of(row->says[p->language]);

		if (row->is_number != numbers)
			continue;
		twin_page_put(p, "<tr><td><code>%s</code><br><span class=\"soft\">%s</span></td><td>", &name, &says);
		if (numbers)
			put_number(p, row, t->values[i]);
		else
			put_words(p, row, t->values[i], SPAN(""));
		twin_page_markup(p, "</td></tr>\n");
	}
	twin_page_markup(p, "</tbody></table></div>\n");
}

static void put_user(struct twin_page *p, const struct twin_user *u, int64_t wall_ms)
{
	struct span address = span_of(u->address), name = span_of(u->name), password = span_of(u->password);
	char digits[7], memory[24];
	struct span code, left = number_text(memory, AUTHENTICATOR_STEP_SECONDS - wall_ms / 1000 % AUTHENTICATOR_STEP_SECONDS);

	twin_page_put(p, "<tr><td><b>%s</b><br>%s<br><span class=\"soft\">%w <code>%s</code></span>", &name, &address, TWIN_WORD_PASSWORD, &password);
	if (authenticator_show(span_of(u->authenticator), wall_ms, digits)) {
		code = span_of(digits);
		twin_page_put(p, "<br><span class=\"soft\">%w</span> <code><b>%s</b></code> <span class=\"soft\">(%s %w)</span>", TWIN_WORD_AUTHENTICATOR, &code,
			      &left, TWIN_WORD_SECONDS);
	}
	twin_page_markup(p, "</td><td>");
	for (size_t i = 0; i < TWIN_MAILBOX_COUNT; i++) {
		const struct twin_switch_row *row = twin_mailbox_row((enum twin_mailbox_switch)i);
		struct span key = span_of(row->name);

		twin_page_put(p, "<div class=\"setting\"><code>%s</code>", &key);
		put_words(p, row, u->values[i], address);
		twin_page_markup(p, "</div>");
	}
	twin_page_markup(p, "</td></tr>\n");
}

static void put_connector(struct twin_page *p, const struct twin_connector *c)
{
	struct span name = span_of(c->name), addresses = span_of(c->addresses), certificate = span_of(c->certificate);

	twin_page_put(p, "<tr><td><b>%s</b></td><td><code>%s</code><br><code>%s</code></td></tr>\n", &name, &addresses, &certificate);
}

static void put_app(struct twin_page *p, const struct twin_app *a)
{
	struct span name = span_of(a->name), id = span_of(a->id), secret = span_of(a->secret);

	twin_page_put(p, "<tr><td><b>%s</b><br><code>%s</code><br><code>%s</code></td><td>", &name, &id, &secret);
	for (size_t i = 0; i < a->redirect_count; i++) {
		struct span redirect = span_of(a->redirects[i]);

		twin_page_put(p, "<code>%s</code><br>", &redirect);
	}
	twin_page_markup(p, "</td></tr>\n");
}

static void put_scripts(struct twin_page *p, const struct twin_scripts *scripts)
{
	twin_page_put(p, "<h2>%w</h2>", TWIN_WORD_SCRIPTS);
	if (!scripts->count) {
		twin_page_put(p, "<p class=\"soft\">%w</p>\n", TWIN_WORD_NO_SCRIPTS);
		return;
	}
	twin_page_markup(p, "<ul>");
	for (size_t i = 0; i < scripts->count; i++) {
		struct span name = span_of(scripts->list[i].row->name), stage = span_of(twin_stage_name(scripts->list[i].stage));
		char memory[24];
		struct span times = scripts->list[i].times == TWIN_ALWAYS ? SPAN("∞") : number_text(memory, scripts->list[i].times);

		twin_page_put(p, "<li><code>%s</code> %s × %s</li>", &name, &stage, &times);
	}
	twin_page_put(p,
		      "</ul><form method=\"post\" action=\"/twin/reset\"><input type=\"hidden\" name=\"what\" value=\"faults\">"
		      "<button class=\"small\">%w</button></form>\n",
		      TWIN_WORD_CLEAR);
}

static void overview(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	const struct twin_tenant *t = c->entra->tenant;
	struct twin_page p = twin_page_begin(r, q->language, TWIN_WORD_OVERVIEW, true);
	char memory[24];
	struct span domain = span_of(t->domain), id = span_of(t->id), port = number_text(memory, c->smtp_port);

	twin_page_put(&p, "<p><b>%s</b> <code>%s</code><br><span class=\"soft\">SMTP 127.0.0.1:%s", &domain, &id, &port);
	port = number_text(memory, c->mx_port);
	twin_page_put(&p, " · MX 127.0.0.1:%s", &port);
	port = number_text(memory, c->exchange ? (int64_t)exchange_sessions(c->exchange, NULL) : 0);
	twin_page_put(&p, " · %s %w</span></p>\n<h2>%w</h2>", &port, TWIN_WORD_SESSIONS, TWIN_WORD_SWITCHES);
	put_switches(&p, t, false);
	twin_page_put(&p, "<h2>%w</h2><div class=\"scroll\"><table><tbody>", TWIN_WORD_PEOPLE);
	for (size_t i = 0; i < t->user_count; i++)
		put_user(&p, &t->users[i], q->wall_ms);
	twin_page_markup(&p, "</tbody></table></div>\n");
	put_scripts(&p, c->world->scripts);
	twin_page_put(&p, "<h2>%w</h2><div class=\"scroll\"><table><tbody>", TWIN_WORD_APPLICATIONS);
	for (size_t i = 0; i < t->app_count; i++)
		put_app(&p, &t->apps[i]);
	twin_page_put(&p, "</tbody></table></div>\n<h2>%w</h2><div class=\"scroll\"><table><tbody>", TWIN_WORD_CONNECTORS);
	for (size_t i = 0; i < t->connector_count; i++)
		put_connector(&p, &t->connectors[i]);
	twin_page_put(&p, "</tbody></table></div>\n<h2>%w</h2>", TWIN_WORD_LIMITS);
	put_switches(&p, t, true);
	twin_page_end(&p);
}

static void put_header(struct twin_page *p, const struct twin_mail *m, const char *name)
{
	struct span value;
	struct buf text;

	buf_init(&text, HEADER_BYTES);
	twin_mail_shown(m->bytes, span_of(name), &text);
	value = buf_span(&text);
	twin_page_text(p, value);
	buf_free(&text);
}

static void put_date(struct twin_page *p, int64_t wall_ms)
{
	char memory[64];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	text_date(&text, wall_ms);
	twin_page_text(p, buf_span(&text));
}

static void put_row(struct twin_page *p, const struct twin_mail *m)
{
	char digits[24], size[24];
	struct span number = number_text(digits, (int64_t)m->number), bytes = number_text(size, (int64_t)m->bytes.size);

	twin_page_put(p, "<tr><td class=\"fixed\"><a href=\"/mail/%s\">%s</a></td><td><a href=\"/mail/%s\">", &number, &number, &number);
	put_header(p, m, "Subject");
	twin_page_put(p, "</a></td><td class=\"who\" data-label=\"%w\">", TWIN_WORD_FROM);
	put_header(p, m, "From");
	twin_page_put(p, "</td><td class=\"who\" data-label=\"%w\">%s</td><td class=\"fixed\">", TWIN_WORD_TO, &m->recipients);
	put_date(p, m->arrives_at_ms);
	twin_page_put(p, "</td><td class=\"fixed\">%s %w</td></tr>\n", &bytes, TWIN_WORD_BYTES);
}

static void list(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	struct twin_page p = twin_page_begin(r, q->language, TWIN_WORD_MAIL, true);
	uint64_t first = twin_shelf_first(c->world->shelf);
	size_t shown = 0;

	for (uint64_t number = twin_shelf_last(c->world->shelf); number >= first && shown < LIST_MAX; number--) {
		const struct twin_mail *m = twin_shelf_mail(c->world->shelf, number);

		if (!twin_mail_is_here(m, q->wall_ms))
			continue;
		if (!shown++)
			twin_page_put(&p,
				      "<div class=\"scroll\"><table><thead><tr><th class=\"fixed\">№</th><th>%w</th><th>%w</th><th>%w</th>"
				      "<th class=\"fixed\">%w</th><th class=\"fixed\">%w</th></tr></thead><tbody>\n",
				      TWIN_WORD_SUBJECT, TWIN_WORD_FROM, TWIN_WORD_TO, TWIN_WORD_TIME, TWIN_WORD_SIZE);
		put_row(&p, m);
	}
	if (shown)
		twin_page_markup(&p, "</tbody></table></div>\n");
	else
		twin_page_put(&p, "<p class=\"soft\">%w</p>\n", TWIN_WORD_NO_MAIL);
	twin_page_end(&p);
}

static void show(struct twin_control *c, struct span name, const struct twin_request *q, struct twin_response *r)
{
	const struct twin_mail *m = NULL;
	uint64_t number;
	struct twin_page p;
	struct span head, rest;

	if (span_number(name, &number))
		m = twin_shelf_mail(c->world->shelf, number);
	if (!twin_mail_is_here(m, q->wall_ms)) {
		p = twin_page_begin(r, q->language, TWIN_WORD_MAIL, true);
		r->status = 404;
		twin_page_put(&p, "<p>%w</p>\n", TWIN_WORD_NOT_FOUND);
		twin_page_end(&p);
		return;
	}
	p = twin_page_begin(r, q->language, TWIN_WORD_MAIL, true);
	head = twin_mail_head(m->bytes);
	rest = span_slice(m->bytes, head.size, SHOWN_BYTES);
	twin_page_put(&p, "<table><tbody><tr><td class=\"soft fixed\">%w</td><td>%s</td></tr><tr><td class=\"soft fixed\">%w</td><td>%s → %s</td></tr>"
		      "<tr><td class=\"soft fixed\">%w</td><td>", TWIN_WORD_MAILBOX,
		      &m->mailbox, TWIN_WORD_FROM, &m->sender, &m->recipients, TWIN_WORD_TIME);
	put_date(&p, m->arrives_at_ms);
	twin_page_put(&p, "</td></tr><tr><td class=\"soft fixed\">%w</td><td>%s</td></tr></tbody></table>\n", TWIN_WORD_REPLY, &m->reply);
	twin_page_put(&p, "<h2>%w</h2><pre>%s</pre><h2>%w</h2><pre>%s</pre>\n", TWIN_WORD_HEADERS, &head, TWIN_WORD_CONTENT, &rest);
	twin_page_put(&p, "<p><a href=\"/twin/mail/%s/raw\">%w</a></p>\n", &name, TWIN_WORD_RAW);
	twin_page_end(&p);
}

bool twin_overview_handle(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	if (!twin_is_get(q))
		return false;
	if (span_equal(q->path, SPAN("/")))
		overview(c, q, r);
	else if (span_equal(q->path, SPAN("/mail")))
		list(c, q, r);
	else if (span_starts(q->path, SPAN("/mail/")))
		show(c, span_slice(q->path, 6, q->path.size), q, r);
	else
		return false;
	return true;
}
