#include "twin/twin_control.h"

#include "base/json.h"
#include "base/text.h"
#include "loop/address.h"
#include "twin/authenticator.h"
#include "twin/google_service.h"

#include <stdio.h>
#include <string.h>

enum { BODY_BYTES = 64 * 1024, LIST_MAX = 500, HEADER_BYTES = 64 * 1024 };

bool twin_mail_is_here(const struct twin_mail *m, int64_t wall_ms)
{
	return m && m->arrives_at_ms <= wall_ms;
}

enum fault twin_control_set(struct twin_control *c, struct span name, struct span value, struct span mailbox, int64_t wall_ms)
{
	struct twin_change change;
	enum fault fault = twin_tenant_set(c->entra->tenant, name, value, mailbox, wall_ms, &change);

	if (fault == FAULT_OK && c->exchange)
		exchange_end_sessions(c->exchange, &change);
	return fault;
}

void twin_control_reset(struct twin_control *c, bool mail, bool scripts, bool switches)
{
	struct twin_change all = { NULL, TWIN_ENDS_EVERYONE };

	if (mail)
		twin_shelf_clear(c->world->shelf);
	if (mail && c->graph)
		graph_clear(c->graph);
	if (scripts)
		twin_scripts_clear(c->world->scripts);
	if (!switches)
		return;
	if (c->exchange)
		exchange_end_sessions(c->exchange, &all);
	*c->entra->tenant = *c->preset;
	memset(c->world->counters, 0, TWIN_USERS_MAX * sizeof *c->world->counters);
	memset(c->world->gmail_counters, 0, TWIN_USERS_MAX * sizeof *c->world->gmail_counters);
}

static void answer_fault(struct twin_response *r, enum fault fault, struct span what)
{
	json_t *json = json_object();

	json_put_text(json, "error", span_of(fault_row(fault)->name));
	json_put_text(json, "says", span_of(fault_row(fault)->says[LANGUAGE_EN]));
	json_put_text(json, "what", what);
	entra_answer_json(r, fault_row(fault)->http, json);
}

static void put_switch(json_t *json, const struct twin_switch_row *row, int64_t value)
{
	char memory[64];
	struct buf text;

	buf_over(&text, memory, sizeof memory);
	twin_switch_print(&text, row, value);
	if (row->is_number)
		json_put_whole(json, row->name, value);
	else
		json_put_text(json, row->name, buf_span(&text));
}

static json_t *user_json(const struct twin_control *c, const struct twin_user *u)
{
	const struct exchange_counter *count = &c->world->counters[u - c->entra->tenant->users];
	json_t *json = json_object(), *switches = json_object();

	json_put_text(json, "address", span_of(u->address));
	json_put_text(json, "name", span_of(u->name));
	json_put_text(json, "oid", span_of(u->oid));
	json_put_text(json, "password", span_of(u->password));
	json_put_text(json, "app_password", span_of(u->app_password));
	json_put_text(json, "authenticator", span_of(u->authenticator));
	json_put_text(json, "send_as", span_of(u->send_as));
	for (size_t i = 0; i < TWIN_MAILBOX_COUNT; i++)
		put_switch(switches, twin_mailbox_row((enum twin_mailbox_switch)i), u->values[i]);
	json_object_set_new(json, "switches", switches);
	json_put_whole(json, "sessions", c->exchange ? (int64_t)exchange_sessions(c->exchange, u) : 0);
	json_object_set_new(json, "counts", json_pack("{s:I,s:I,s:I,s:I,s:I}", "messages", (json_int_t)count->messages,
						      "most_in_minute", (json_int_t)count->most_in_minute,
						      "over_minute", (json_int_t)count->over_minute, "over_day", (json_int_t)count->over_day,
						      "over_sessions", (json_int_t)count->over_sessions));
	return json;
}

static json_t *app_json(const struct twin_app *a)
{
	json_t *json = json_object(), *redirects = json_array();

	json_put_text(json, "id", span_of(a->id));
	json_put_text(json, "name", span_of(a->name));
	json_put_text(json, "secret", span_of(a->secret));
	json_put_text(json, "secret_id", span_of(a->secret_id));
	json_put_text(json, "certificate", span_of(a->certificate));
	json_put_text(json, "roles", span_of(a->roles));
	for (size_t i = 0; i < a->redirect_count; i++)
		json_array_append_new(redirects, json_string(a->redirects[i]));
	json_object_set_new(json, "redirects", redirects);
	return json;
}

static json_t *service_json(const struct twin_service *s)
{
	json_t *json = json_object();

	json_put_text(json, "email", span_of(s->email));
	json_put_text(json, "delegated", span_of(s->delegated));
	return json;
}

static json_t *connector_json(const struct twin_connector *c)
{
	json_t *json = json_object();

	json_put_text(json, "name", span_of(c->name));
	json_put_text(json, "addresses", span_of(c->addresses));
	json_put_text(json, "certificate", span_of(c->certificate));
	json_put_text(json, "require_tls", c->takes_clear ? SPAN("off") : SPAN("on"));
	return json;
}

static json_t *script_json(const struct twin_script *s)
{
	json_t *json = json_object();

	json_put_text(json, "name", span_of(s->row->name));
	json_put_text(json, "stage", span_of(twin_stage_name(s->stage)));
	json_put_whole(json, "times", s->times);
	json_put_whole(json, "ms", s->ms);
	json_put_whole(json, "percent", s->percent);
	json_put_text(json, "mailbox", span_of(s->mailbox));
	return json;
}

static void get_state(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	struct twin_tenant *t = c->entra->tenant;
	json_t *json = json_object(), *users = json_array(), *apps = json_array(), *switches = json_object(), *scripts = json_array();
	json_t *services = json_array(), *connectors = json_array();

	json_put_text(json, "tenant", span_of(t->id));
	json_put_text(json, "domain", span_of(t->domain));
	json_put_text(json, "url", span_of(c->entra->base_url));
	json_put_text(json, "issuer", span_of(c->entra->issuer));
	json_put_whole(json, "smtp_port", c->smtp_port);
	json_put_text(json, "google_issuer", span_of(c->entra->base_url));
	json_put_whole(json, "google_port", c->google_port);
	json_put_whole(json, "google_tls_port", c->google_tls_port);
	json_put_whole(json, "mx_port", c->mx_port);
	json_put_text(json, "accepted_domains", span_of(t->domains));
	for (size_t i = 0; i < t->connector_count; i++)
		json_array_append_new(connectors, connector_json(&t->connectors[i]));
	json_object_set_new(json, "connectors", connectors);
	for (size_t i = 0; i < t->user_count; i++)
		json_array_append_new(users, user_json(c, &t->users[i]));
	for (size_t i = 0; i < t->app_count; i++)
		json_array_append_new(apps, app_json(&t->apps[i]));
	for (size_t i = 0; i < t->service_count; i++)
		json_array_append_new(services, service_json(&t->services[i]));
	for (size_t i = 0; i < TWIN_SWITCH_COUNT; i++)
		put_switch(switches, twin_switch_row((enum twin_switch)i), t->values[i]);
	for (size_t i = 0; i < c->world->scripts->count; i++)
		json_array_append_new(scripts, script_json(&c->world->scripts->list[i]));
	json_object_set_new(json, "switches", switches);
	json_object_set_new(json, "users", users);
	json_object_set_new(json, "apps", apps);
	json_object_set_new(json, "services", services);
	json_object_set_new(json, "faults", scripts);
	json_put_whole(json, "sessions", c->exchange ? (int64_t)exchange_sessions(c->exchange, NULL) : 0);
	json_put_whole(json, "mail_first", (int64_t)twin_shelf_first(c->world->shelf));
	json_put_whole(json, "mail_last", (int64_t)twin_shelf_last(c->world->shelf));
	entra_answer_json(r, 200, json);
}

static json_t *mail_json(const struct twin_mail *m)
{
	static const char *const headers[][2] = { { "From", "from" }, { "To", "to" }, { "Subject", "subject" }, { "Message-ID", "message_id" } };
	json_t *json = json_object();
	struct buf text;

	json_put_whole(json, "number", (int64_t)m->number);
	buf_init(&text, HEADER_BYTES);
	text_date(&text, m->arrives_at_ms);
	json_put_text(json, "at", buf_span(&text));
	json_put_text(json, "mailbox", m->mailbox);
	json_put_text(json, "connector", m->connector);
	json_put_text(json, "peer", m->peer);
	json_put_text(json, "sender", m->sender);
	json_put_text(json, "recipients", m->recipients);
	for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
		buf_clear(&text);
		twin_mail_shown(m->bytes, span_of(headers[i][0]), &text);
		json_put_text(json, headers[i][1], buf_span(&text));
	}
	json_put_whole(json, "size", (int64_t)m->bytes.size);
	json_put_text(json, "reply", m->reply);
	json_put_flag(json, "bare_newline", m->bare_newline);
	json_put_flag(json, "saved", !m->unsaved);
	buf_free(&text);
	return json;
}

static void get_mails(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	char after[24], mailbox[TWIN_ADDRESS_BYTES];
	json_t *items = json_array();
	uint64_t number = 0, waiting = 0;

	twin_field_text(q, SPAN("after"), after, sizeof after);
	twin_field_text(q, SPAN("mailbox"), mailbox, sizeof mailbox);
	if (after[0] && !span_number(span_of(after), &number)) {
		json_decref(items);
		answer_fault(r, FAULT_MALFORMED, SPAN("after"));
		return;
	}
	number = number + 1 > twin_shelf_first(c->world->shelf) ? number + 1 : twin_shelf_first(c->world->shelf);
	for (; number <= twin_shelf_last(c->world->shelf) && json_array_size(items) < LIST_MAX; number++) {
		const struct twin_mail *m = twin_shelf_mail(c->world->shelf, number);

		if (mailbox[0] && !span_equal_fold(span_of(mailbox), m->mailbox))
			continue;
		if (twin_mail_is_here(m, q->wall_ms))
			json_array_append_new(items, mail_json(m));
		else
			waiting++;
	}
	entra_answer_json(r, 200, json_pack("{s:o,s:I,s:I}", "items", items, "last", (json_int_t)twin_shelf_last(c->world->shelf), "waiting",
					    (json_int_t)waiting));
}

static void get_mail(struct twin_control *c, struct span name, const struct twin_request *q, struct twin_response *r)
{
	struct span digits = span_slice(name, 0, span_find_byte(name, '/')), tail = span_slice(name, digits.size, name.size);
	const struct twin_mail *m = NULL;
	uint64_t number = 0;
	struct buf text;
	json_t *json;

	if (span_number(digits, &number))
		m = twin_shelf_mail(c->world->shelf, number);
	if (!twin_mail_is_here(m, q->wall_ms) || (tail.size && !span_equal(tail, SPAN("/raw")))) {
		answer_fault(r, FAULT_NOT_FOUND, name);
		return;
	}
	if (tail.size) {
		r->content_type = "text/plain; charset=utf-8";
		buf_put(&r->body, m->bytes);
		return;
	}
	json = mail_json(m);
	json_put_text(json, "headers", twin_mail_head(m->bytes));
	if (text_is_utf8(m->bytes)) {
		json_put_text(json, "raw", m->bytes);
	} else {
		buf_init(&text, m->bytes.size * 2 + 16);
		text_base64(&text, m->bytes);
		json_put_text(json, "raw_base64", buf_span(&text));
		buf_free(&text);
	}
	entra_answer_json(r, 200, json);
}

static void get_code(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	char address[TWIN_ADDRESS_BYTES], digits[7];
	struct twin_user *user;
	int64_t left = AUTHENTICATOR_STEP_SECONDS - q->wall_ms / 1000 % AUTHENTICATOR_STEP_SECONDS;
	bool used;

	twin_field_text(q, SPAN("address"), address, sizeof address);
	user = twin_tenant_user(c->entra->tenant, span_of(address));
	if (!user || !authenticator_show(span_of(user->authenticator), q->wall_ms, digits)) {
		answer_fault(r, FAULT_NOT_FOUND, span_of(address));
		return;
	}
	used = user->authenticator_step >= (uint64_t)q->wall_ms / 1000 / AUTHENTICATOR_STEP_SECONDS;
	entra_answer_json(r, 200, json_pack("{s:s,s:s,s:I,s:b}", "address", user->address, "code", digits, "seconds_left", (json_int_t)left, "used", used));
}

static void get_faults(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	const struct twin_fault_row *row;
	json_t *items = json_array();

	for (size_t i = 0; (row = twin_fault_row(i)); i++) {
		json_t *json = json_object();

		json_put_text(json, "name", span_of(row->name));
		json_put_text(json, "stage", span_of(twin_stage_name(row->stage)));
		json_put_text(json, "says", span_of(row->says));
		json_array_append_new(items, json);
	}
	entra_answer_json(r, 200, json_pack("{s:o}", "items", items));
}

static enum fault post_switch(struct twin_control *c, const json_t *wish, int64_t wall_ms)
{
	char number[24];
	struct span value = json_text(wish, "value");
	int64_t whole;

	if (!value.size && json_whole(wish, "value", &whole)) {
		snprintf(number, sizeof number, "%lld", (long long)whole);
		value = span_of(number);
	}
	return twin_control_set(c, json_text(wish, "name"), value, json_text(wish, "mailbox"), wall_ms);
}

static enum fault post_fault(struct twin_control *c, const json_t *json, int64_t wall_ms)
{
	struct twin_script_wish wish = { .name = json_text(json, "name"), .stage = json_text(json, "stage"), .mailbox = json_text(json, "mailbox"),
					 .text = json_text(json, "text") };

	if (span_equal(json_text(json, "times"), SPAN("always")))
		wish.times = TWIN_ALWAYS;
	else if (json_has(json, "times") && !json_whole(json, "times", &wish.times))
		return FAULT_MALFORMED;
	if (json_has(json, "percent") && !json_whole(json, "percent", &wish.percent))
		return FAULT_MALFORMED;
	if (json_has(json, "ms") && !json_whole(json, "ms", &wish.ms))
		return FAULT_MALFORMED;
	return twin_script_add(c->world->scripts, &wish);
}

static bool put_member(const json_t *json, const char *name, char *to, size_t room)
{
	struct span value = json_text(json, name);

	if (!json_has(json, name))
		return true;
	if (value.size >= room)
		return false;
	snprintf(to, room, "%.*s", SPAN_ARGS(value));
	return true;
}

/* Changes a person, or adds one. A new password ends what was signed in with the old one. */
static enum fault post_user(struct twin_control *c, const json_t *json, int64_t wall_ms)
{
	struct twin_user *u = twin_tenant_user(c->entra->tenant, json_text(json, "address"));
	enum fault fault = u ? FAULT_OK : twin_tenant_add_user(c->entra->tenant, json_text(json, "address"), &u);
	bool ok;

	if (fault != FAULT_OK)
		return fault;
	ok = put_member(json, "name", u->name, sizeof u->name) && put_member(json, "password", u->password, sizeof u->password) &&
	     put_member(json, "app_password", u->app_password, sizeof u->app_password) &&
	     put_member(json, "authenticator", u->authenticator, sizeof u->authenticator) && put_member(json, "send_as", u->send_as, sizeof u->send_as);
	if (json_has(json, "authenticator"))
		u->authenticator_step = 0;
	if (ok && json_has(json, "password"))
		return twin_control_set(c, SPAN("grant"), SPAN("revoked"), span_of(u->address), wall_ms);
	return ok ? FAULT_OK : FAULT_TOO_LARGE;
}

static enum fault post_app(struct twin_control *c, const json_t *json, int64_t wall_ms)
{
	struct twin_app *a = twin_tenant_app(c->entra->tenant, json_text(json, "id"));

	if (!a)
		return FAULT_NOT_FOUND;
	if (json_has(json, "redirect")) {
		if (a->redirect_count == TWIN_REDIRECTS_MAX || !put_member(json, "redirect", a->redirects[a->redirect_count], sizeof *a->redirects))
			return FAULT_TOO_LARGE;
		a->redirect_count++;
	}
	return put_member(json, "secret", a->secret, sizeof a->secret) && put_member(json, "certificate", a->certificate, sizeof a->certificate) &&
			       put_member(json, "roles", a->roles, sizeof a->roles) ?
		       FAULT_OK :
		       FAULT_TOO_LARGE;
}

/* What is delegated to a service account changes, or nothing does. */
static enum fault post_service(struct twin_control *c, const json_t *json, int64_t wall_ms)
{
	struct twin_service *s = twin_tenant_service(c->entra->tenant, json_text(json, "email"));

	if (!s)
		return FAULT_NOT_FOUND;
	return put_member(json, "delegated", s->delegated, sizeof s->delegated) ? FAULT_OK : FAULT_TOO_LARGE;
}

/* A new key file of a service account, as its console would let one download it, once. */
static void post_service_key(struct twin_control *c, const json_t *wish, struct twin_response *r)
{
	const struct twin_service *s = twin_tenant_service(c->entra->tenant, json_text(wish, "email"));
	json_t *key = s ? google_service_key(c->world->keys, s, c->entra->base_url) : NULL;

	if (key)
		entra_answer_json(r, 200, key);
	else
		answer_fault(r, s ? FAULT_BUG : FAULT_NOT_FOUND, json_text(wish, "email"));
}

/* Whether all of a list parted by blanks are networks. */
static bool are_networks(struct span list)
{
	struct network network;
	struct span one;

	while (span_cut(&list, ' ', &one))
		if (one.size && !network_parse(&network, one))
			return false;
	return true;
}

/* Changes a connector, or adds one. */
static enum fault post_connector(struct twin_control *c, const json_t *json, int64_t wall_ms)
{
	struct twin_connector *connector;
	struct span tls = json_text(json, "require_tls");

	if (!are_networks(json_text(json, "addresses")) || (tls.size && !span_equal(tls, SPAN("on")) && !span_equal(tls, SPAN("off"))))
		return FAULT_MALFORMED;
	connector = twin_tenant_add_connector(c->entra->tenant, json_text(json, "name"));
	if (!connector)
		return FAULT_TOO_LARGE;
	if (tls.size)
		connector->takes_clear = span_equal(tls, SPAN("off"));
	return put_member(json, "addresses", connector->addresses, sizeof connector->addresses) &&
			       put_member(json, "certificate", connector->certificate, sizeof connector->certificate)
		       ? FAULT_OK
		       : FAULT_TOO_LARGE;
}

static enum fault post_reset(struct twin_control *c, const json_t *json, int64_t wall_ms)
{
	struct span what = json_text(json, "what");
	bool all = !what.size || span_equal(what, SPAN("all"));
	bool mail = all || span_equal(what, SPAN("mail")), faults = all || span_equal(what, SPAN("faults"));
	bool switches = all || span_equal(what, SPAN("switches"));

	twin_control_reset(c, mail, faults, switches);
	return mail || faults || switches ? FAULT_OK : FAULT_NOT_FOUND;
}

static const struct {
	const char *path;
	enum fault (*change)(struct twin_control *, const json_t *, int64_t wall_ms);
} changes[] = { { "/twin/switch", post_switch }, { "/twin/fault", post_fault }, { "/twin/user", post_user }, { "/twin/connector", post_connector },
		{ "/twin/app", post_app },	 { "/twin/service", post_service }, { "/twin/reset", post_reset } };

/* The fields of a page's form as JSON. */
static json_t *form_json(struct span body)
{
	json_t *json = json_object();
	struct span pair;
	struct buf value;

	buf_init(&value, BODY_BYTES);
	while (span_cut(&body, '&', &pair)) {
		char name[32];
		struct span key = span_slice(pair, 0, span_find_byte(pair, '='));

		if (!key.size || key.size >= sizeof name)
			continue;
		snprintf(name, sizeof name, "%.*s", SPAN_ARGS(key));
		buf_clear(&value);
		if (text_from_percent(&value, span_slice(pair, key.size + 1, pair.size)))
			json_put_text(json, name, buf_span(&value));
	}
	buf_free(&value);
	return json;
}

static void post(struct twin_control *c, size_t which, const struct twin_request *q, struct twin_response *r)
{
	bool form = span_starts_fold(q->content_type, SPAN("application/x-www-form-urlencoded"));
	json_t *wish = form ? form_json(q->body) : q->body.size ? json_read(q->body, BODY_BYTES) : json_object();
	enum fault fault;

	if (q->origin.size && !span_equal(q->origin, span_of(c->entra->base_url))) {
		answer_fault(r, FAULT_FORBIDDEN, q->origin);
	} else if (!wish) {
		answer_fault(r, FAULT_MALFORMED, SPAN("JSON"));
	} else {
		fault = changes[which].change(c, wish, q->wall_ms);
		if (fault == FAULT_OK && changes[which].change == post_service && json_flag(wish, "key", false)) {
			post_service_key(c, wish, r);
			json_decref(wish);
			return;
		}
		if (fault != FAULT_OK)
			answer_fault(r, fault, json_text(wish, "name"));
		else if (form)
			twin_redirect(r, SPAN("/"));
		else
			entra_answer_json(r, 200, json_pack("{s:b}", "done", true));
	}
	if (r->status == 302)
		r->status = 303;
	json_decref(wish);
}

static const struct {
	const char *path;
	void (*show)(struct twin_control *, const struct twin_request *, struct twin_response *);
} views[] = { { "/twin/state", get_state }, { "/twin/mail", get_mails }, { "/twin/code", get_code }, { "/twin/faults", get_faults } };

bool twin_control_handle(struct twin_control *c, const struct twin_request *q, struct twin_response *r)
{
	struct span mail = SPAN("/twin/mail/");

	if (twin_is_get(q) && span_equal(q->path, SPAN("/twin/style.css"))) {
		r->content_type = "text/css; charset=utf-8";
		buf_put(&r->body, twin_page_style());
		return true;
	}
	if (twin_is_get(q) && span_starts(q->path, mail)) {
		get_mail(c, span_slice(q->path, mail.size, q->path.size), q, r);
		return true;
	}
	for (size_t i = 0; twin_is_get(q) && i < sizeof views / sizeof *views; i++) {
		if (!span_equal(q->path, span_of(views[i].path)))
			continue;
		views[i].show(c, q, r);
		return true;
	}
	for (size_t i = 0; twin_is_post(q) && i < sizeof changes / sizeof *changes; i++) {
		if (!span_equal(q->path, span_of(changes[i].path)))
			continue;
		post(c, i, q, r);
		return true;
	}
	return twin_overview_handle(c, q, r);
}
