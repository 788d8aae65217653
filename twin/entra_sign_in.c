#include "twin/entra_sign_in.h"

#include "base/text.h"
#include "twin/authenticator.h"
#include "twin/google_page.h"

#include <stdio.h>
#include <string.h>

enum { WRONG_PASSWORDS_MAX = 10, SESSION_MS = 86400000 };

/* A step of a sign-in while it is answered. */
struct step {
	struct entra *entra;
	const struct twin_request *request;
	struct twin_response *response;
	struct entra_flow flow;
};

static struct entra_error_values values(const struct step *s, struct span name)
{
	return (struct entra_error_values){ .client = span_of(s->flow.client_id),
					    .tenant = span_of(s->entra->tenant->name),
					    .resource = SPAN("00000002-0000-0ff1-ce00-000000000000"),
					    .name = name };
}

static void show_error(struct step *s, int code, struct span name)
{
	struct entra_error_values v = values(s, name);

	if (s->flow.is_google)
		google_page_refused(s->response, s->request->language, google_page_word(code));
	else
		entra_error_page(s->response, code, &v, s->request->language);
}

/* Back to the application, with the fields given and the state. */
static void go_back(struct step *s, const struct span (*fields)[2], size_t count)
{
	struct entra_flow *f = &s->flow;
	char mark = f->mode == ENTRA_FRAGMENT ? '#' : strchr(f->redirect_uri, '?') ? '&' : '?';
	struct span sent[8][2];
	struct buf url;

	memcpy(sent, fields, count * sizeof *sent);
	if (f->state[0]) {
		sent[count][0] = SPAN("state");
		sent[count++][1] = span_of(f->state);
	}
	if (f->mode == ENTRA_FORM_POST) {
		entra_page_post(s->response, s->request->language, span_of(f->redirect_uri), (const struct span(*)[2])sent, count);
		return;
	}
	buf_init(&url, TWIN_PAGE_BYTES);
	buf_put(&url, span_of(f->redirect_uri));
	for (size_t i = 0; i < count; i++, mark = '&') {
		buf_put_byte(&url, mark);
		buf_put(&url, sent[i][0]);
		buf_put_byte(&url, '=');
		text_percent(&url, sent[i][1]);
	}
	twin_redirect(s->response, buf_span(&url));
	buf_free(&url);
}

static void go_back_error(struct step *s, const char *error, struct span description)
{
	const struct span fields[][2] = { { SPAN("error"), span_of(error) }, { SPAN("error_description"), description } };

	go_back(s, fields, s->flow.is_google ? 1 : 2);
}

static void go_back_code(struct step *s, int code)
{
	struct entra_error_values v = values(s, SPAN(""));
	struct buf text;

	buf_init(&text, TWIN_FIELD_BYTES);
	entra_error_text(&text, code, &v);
	if (s->flow.is_google)
		go_back_error(s, google_page_word(code), SPAN(""));
	else
		go_back_error(s, code == 65001 ? "interaction_required" : entra_error_row(code)->error, buf_span(&text));
	buf_free(&text);
}

/* The person gave up. */
static void cancel(struct step *s)
{
	struct entra_device *d;

	if (!s->flow.user_code[0]) {
		go_back_error(s, "access_denied", SPAN("the user canceled the authentication"));
		return;
	}
	d = entra_device_waiting(s->entra, span_of(s->flow.user_code), s->request->wall_ms);
	if (d)
		d->state = ENTRA_DEVICE_DECLINED;
	entra_page_says(s->response, s->request->language, TWIN_WORD_DONE, TWIN_WORD_DEVICE_DECLINED);
}

static void remember_browser(struct step *s)
{
	char text[128];

	snprintf(text, sizeof text, "%s\n%lld\n%lld", s->flow.oid, (long long)s->flow.has_factor, (long long)s->flow.signed_in_at_ms);
	buf_clear(&s->response->cookie);
	buf_put(&s->response->cookie, SPAN("ESTSAUTH="));
	twin_sealed_put(&s->response->cookie, s->entra->keys, SPAN("session"), span_of(text));
	buf_put(&s->response->cookie, SPAN("; Path=/; HttpOnly; SameSite=Lax"));
}

/* Who this browser is signed in as; fills the flow. NULL for nobody. */
static struct twin_user *known_browser(struct entra *e, const struct twin_request *q, struct entra_flow *f)
{
	struct span rest, oid = { 0 }, factor = { 0 };
	struct twin_user *user = NULL;
	uint64_t at = 0;
	struct buf text;

	buf_init(&text, TWIN_FIELD_BYTES);
	if (q->session.size && twin_sealed_open(&text, e->keys, SPAN("session"), q->session)) {
		rest = buf_span(&text);
		if (span_cut(&rest, '\n', &oid) && span_cut(&rest, '\n', &factor) && span_number(rest, &at) &&
		    (int64_t)at + SESSION_MS > q->wall_ms)
			user = twin_tenant_user_id(e->tenant, oid);
	}
	if (user && (user->values[TWIN_MAILBOX_account] != TWIN_ACCOUNT_ENABLED || (int64_t)at <= user->grants_from_ms))
		user = NULL;
	if (user) {
		snprintf(f->oid, sizeof f->oid, "%s", user->oid);
		f->has_factor = span_equal(factor, SPAN("1"));
		f->signed_in_at_ms = (int64_t)at;
	}
	buf_free(&text);
	return user;
}

static void fill_grant(struct twin_grant *g, const struct entra_flow *f)
{
	snprintf(g->oid, sizeof g->oid, "%s", f->oid);
	snprintf(g->client_id, sizeof g->client_id, "%s", f->client_id);
	snprintf(g->scope, sizeof g->scope, "%s", f->scope);
	g->signed_in_at_ms = f->signed_in_at_ms;
	g->has_factor = f->has_factor != 0;
}

/* Everything was given: a code for the application, or the device's approval. `asked`: with a consent just now. */
static void finish(struct step *s, bool asked)
{
	struct entra *e = s->entra;
	struct entra_code *c;
	char session[TWIN_ID_BYTES];

	remember_browser(s);
	if (s->flow.user_code[0]) {
		struct entra_device *d = entra_device_waiting(e, span_of(s->flow.user_code), s->request->wall_ms);

		if (d) {
			fill_grant(&d->grant, &s->flow);
			d->state = ENTRA_DEVICE_APPROVED;
		}
		entra_page_says(s->response, s->request->language, TWIN_WORD_DONE, d ? TWIN_WORD_DEVICE_DONE : TWIN_WORD_WRONG_DEVICE);
		return;
	}
	c = &e->codes[e->code_next++ % ENTRA_CODES_MAX];
	memset(c, 0, sizeof *c);
	entra_random_code(c->code, s->flow.is_google ? "4/0A" : "1.A");
	snprintf(c->redirect_uri, sizeof c->redirect_uri, "%s", s->flow.redirect_uri);
	snprintf(c->challenge, sizeof c->challenge, "%s", s->flow.challenge);
	snprintf(c->nonce, sizeof c->nonce, "%s", s->flow.nonce);
	c->plain = s->flow.plain != 0;
	c->until_ms = s->request->wall_ms + e->tenant->values[TWIN_SWITCH_code_seconds] * 1000;
	c->is_google = s->flow.is_google != 0;
	/* Google gives a refresh token with a consent, and without one no more. */
	c->is_offline = s->flow.is_offline && asked;
	fill_grant(&c->grant, &s->flow);
	if (s->flow.is_google) {
		go_back(s, (const struct span[][2]){ { SPAN("code"), span_of(c->code) }, { SPAN("scope"), span_of(c->grant.scope) },
						     { SPAN("authuser"), SPAN("0") }, { SPAN("prompt"), span_of(asked ? "consent" : "none") } }, 4);
		return;
	}
	entra_random_id(session);
	go_back(s, (const struct span[][2]){ { SPAN("code"), span_of(c->code) }, { SPAN("session_state"), span_of(session) } }, 2);
}

static bool has_consented(const struct step *s, const struct twin_user *u)
{
	const struct twin_app *app = twin_tenant_app(s->entra->tenant, span_of(s->flow.client_id));

	return u->consented >> (app - s->entra->tenant->apps) & 1;
}

/* The next page for someone whose password was right. */
static void go_on(struct step *s, struct twin_user *u)
{
	const struct twin_tenant *t = s->entra->tenant;
	enum language language = s->request->language;
	bool asks = !has_consented(s, u) || s->flow.user_code[0] || twin_scope_has(span_of(s->flow.prompt), SPAN("consent"));

	if (t->values[TWIN_SWITCH_conditional_access] == TWIN_ACCESS_BLOCK || u->values[TWIN_MAILBOX_conditional_access]) {
		show_error(s, 53003, SPAN(""));
	} else if (!s->flow.has_factor && twin_tenant_needs_factor(t, u)) {
		entra_page_factor(s->entra, s->response, &s->flow, language, u, false);
	} else if (!has_consented(s, u) && t->values[TWIN_SWITCH_consent] == TWIN_CONSENT_ADMIN) {
		struct entra_error_values v = values(s, SPAN(""));

		if (s->flow.is_google)
			show_error(s, 90094, SPAN(""));
		else
			entra_error_page_back(s->entra, s->response, 90094, &v, &s->flow, language);
	} else if (asks) {
		entra_page_consent(s->entra, s->response, &s->flow, language, u);
	} else {
		finish(s, false);
	}
}

/* Opens the flow that a page posted, and sees to its Cancel button. False: answered. */
static bool take_flow(struct step *s, struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	char cancelled[8];
	enum fault fault;
	struct buf sealed;

	s->entra = e;
	s->request = q;
	s->response = r;
	buf_init(&sealed, TWIN_FIELD_BYTES);
	twin_field(q, SPAN("flow"), &sealed);
	fault = entra_flow_read(&s->flow, e->keys, buf_span(&sealed), q->wall_ms);
	buf_free(&sealed);
	if (fault != FAULT_OK || !twin_tenant_app(e->tenant, span_of(s->flow.client_id))) {
		entra_page_says(r, q->language, TWIN_WORD_TROUBLE, TWIN_WORD_FLOW_OLD);
		r->status = 400;
		return false;
	}
	twin_field_text(q, SPAN("cancel"), cancelled, sizeof cancelled);
	if (cancelled[0])
		cancel(s);
	return !cancelled[0];
}

void entra_choose(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	char account[TWIN_ADDRESS_BYTES];
	struct twin_user *user;
	struct step s;

	if (!take_flow(&s, e, q, r))
		return;
	twin_field_text(q, SPAN("account"), account, sizeof account);
	user = known_browser(e, q, &s.flow);
	if (user && span_equal_fold(span_of(account), span_of(user->address))) {
		go_on(&s, user);
		return;
	}
	s.flow.oid[0] = 0;
	s.flow.has_factor = 0;
	snprintf(s.flow.hint, sizeof s.flow.hint, "%s", account);
	entra_page_sign_in(e, r, &s.flow, q->language, TWIN_WORD_COUNT);
}

/* TWIN_WORD_COUNT when the password is right and the account may be used. */
static enum twin_word judge_password(struct twin_user *u, struct span password)
{
	if (!u)
		return TWIN_WORD_WRONG_ACCOUNT;
	if (u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_LOCKED)
		return TWIN_WORD_LOCKED;
	if (!secret_equal(span_of(u->password), password)) {
		if (++u->wrong_passwords >= WRONG_PASSWORDS_MAX)
			u->values[TWIN_MAILBOX_account] = TWIN_ACCOUNT_LOCKED;
		return TWIN_WORD_WRONG_PASSWORD;
	}
	u->wrong_passwords = 0;
	if (u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_DISABLED)
		return TWIN_WORD_DISABLED;
	return u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_PASSWORD_EXPIRED ? TWIN_WORD_EXPIRED : TWIN_WORD_COUNT;
}

void entra_login(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	char password[TWIN_TEXT_BYTES];
	struct twin_user *user;
	enum twin_word wrong;
	struct step s;

	if (!take_flow(&s, e, q, r))
		return;
	twin_field_text(q, SPAN("login"), s.flow.hint, sizeof s.flow.hint);
	twin_field_text(q, SPAN("passwd"), password, sizeof password);
	user = twin_tenant_user(e->tenant, span_of(s.flow.hint));
	wrong = judge_password(user, span_of(password));
	secret_wipe(password, sizeof password);
	if (wrong != TWIN_WORD_COUNT) {
		entra_page_sign_in(e, r, &s.flow, q->language, wrong);
		return;
	}
	snprintf(s.flow.oid, sizeof s.flow.oid, "%s", user->oid);
	s.flow.has_factor = 0;
	s.flow.signed_in_at_ms = q->wall_ms;
	go_on(&s, user);
}

void entra_factor(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct twin_user *user;
	char digits[16];
	struct step s;

	if (!take_flow(&s, e, q, r))
		return;
	twin_field_text(q, SPAN("otc"), digits, sizeof digits);
	user = twin_tenant_user_id(e->tenant, span_of(s.flow.oid));
	if (!user) {
		entra_page_sign_in(e, r, &s.flow, q->language, TWIN_WORD_WRONG_ACCOUNT);
		return;
	}
	if (!authenticator_check(span_of(user->authenticator), q->wall_ms, span_of(digits), &user->authenticator_step)) {
		entra_page_factor(e, r, &s.flow, q->language, user, true);
		return;
	}
	/* Whoever registers a second factor while "enabled" is "enforced" from then on. */
	if (user->values[TWIN_MAILBOX_mfa] == TWIN_MFA_ENABLED)
		user->values[TWIN_MAILBOX_mfa] = TWIN_MFA_ENFORCED;
	s.flow.has_factor = 1;
	go_on(&s, user);
}

void entra_consent(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct twin_user *user;
	struct twin_app *app;
	char answer[8];
	struct step s;

	if (!take_flow(&s, e, q, r))
		return;
	twin_field_text(q, SPAN("ucaccept"), answer, sizeof answer);
	user = twin_tenant_user_id(e->tenant, span_of(s.flow.oid));
	app = twin_tenant_app(e->tenant, span_of(s.flow.client_id));
	if (!user || (!s.flow.has_factor && twin_tenant_needs_factor(e->tenant, user))) {
		entra_page_sign_in(e, r, &s.flow, q->language, TWIN_WORD_COUNT);
	} else if (strcmp(answer, "Yes")) {
		if (s.flow.user_code[0])
			cancel(&s);
		else
			go_back_code(&s, 65004);
	} else if (!has_consented(&s, user) && e->tenant->values[TWIN_SWITCH_consent] == TWIN_CONSENT_ADMIN) {
		go_on(&s, user);
	} else {
		user->consented |= 1u << (app - e->tenant->apps);
		user->values[TWIN_MAILBOX_consent] = 1;
		finish(&s, true);
	}
}

/* Reads the request into the flow. 0; or the AADSTS number: those up to the redirect address are shown, the rest sent back. */
static int read_request(struct step *s, bool *trusted_out, struct span *name_out)
{
	const struct twin_request *q = s->request;
	struct entra_flow *f = &s->flow;
	char type[64], method[16], mode[16], client[TWIN_TEXT_BYTES];
	struct twin_app *app;

	*trusted_out = false;
	*name_out = SPAN("");
	memset(f, 0, sizeof *f);
	f->made_at_ms = q->wall_ms;
	twin_field_text(q, SPAN("client_id"), client, sizeof client);
	twin_field_text(q, SPAN("redirect_uri"), f->redirect_uri, sizeof f->redirect_uri);
	twin_field_text(q, SPAN("response_type"), type, sizeof type);
	twin_field_text(q, SPAN("response_mode"), mode, sizeof mode);
	twin_field_text(q, SPAN("scope"), f->scope, sizeof f->scope);
	twin_field_text(q, SPAN("state"), f->state, sizeof f->state);
	twin_field_text(q, SPAN("nonce"), f->nonce, sizeof f->nonce);
	twin_field_text(q, SPAN("prompt"), f->prompt, sizeof f->prompt);
	twin_field_text(q, SPAN("login_hint"), f->hint, sizeof f->hint);
	twin_field_text(q, SPAN("code_challenge"), f->challenge, sizeof f->challenge);
	twin_field_text(q, SPAN("code_challenge_method"), method, sizeof method);
	snprintf(f->client_id, sizeof f->client_id, "%.36s", client);
	app = twin_tenant_app(s->entra->tenant, span_of(client));
	if (!client[0]) {
		*name_out = SPAN("client_id");
		return 900144;
	}
	if (!app)
		return 700016;
	if (!app->redirect_count)
		return 500113;
	*name_out = span_of(f->redirect_uri);
	if (!entra_redirect_matches(app, span_of(f->redirect_uri)))
		return 50011;
	*trusted_out = true;
	f->mode = !strcmp(mode, "fragment") ? ENTRA_FRAGMENT : !strcmp(mode, "form_post") ? ENTRA_FORM_POST : ENTRA_QUERY;
	f->plain = f->challenge[0] && strcmp(method, "S256");
	if (strcmp(type, "code"))
		return type[0] ? 70005 : 900144;
	if (f->challenge[0] && (strlen(f->challenge) < 43 || (!f->plain && strlen(f->challenge) != 43)))
		return 501491;
	if (!f->scope[0])
		return 900144;
	return entra_check_scopes(span_of(f->scope), name_out);
}

/* The first page of a flow that holds, or its end where nobody needs to be asked. */
static void begin(struct step *s)
{
	const struct twin_request *q = s->request;
	struct span prompt = span_of(s->flow.prompt);
	struct twin_user *known = twin_scope_has(prompt, SPAN("login")) ? NULL : known_browser(s->entra, q, &s->flow);
	bool same = known && (!s->flow.hint[0] || span_equal_fold(span_of(s->flow.hint), span_of(known->address)));

	if (twin_scope_has(prompt, SPAN("none"))) {
		if (same && has_consented(s, known) && (s->flow.has_factor || !twin_tenant_needs_factor(s->entra->tenant, known)))
			finish(s, false);
		else
			go_back_code(s, same ? 65001 : 50058);
	} else if (known && twin_scope_has(prompt, SPAN("select_account"))) {
		entra_page_pick(s->entra, s->response, &s->flow, q->language, known);
	} else if (same) {
		go_on(s, known);
	} else {
		s->flow.oid[0] = 0;
		s->flow.has_factor = 0;
		entra_page_sign_in(s->entra, s->response, &s->flow, q->language, TWIN_WORD_COUNT);
	}
}

void entra_authorize(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct step s = { .entra = e, .request = q, .response = r };
	struct span name;
	bool trusted;
	int code = read_request(&s, &trusted, &name);

	if (code && !trusted)
		show_error(&s, code, name);
	else if (code)
		go_back_code(&s, code);
	else
		begin(&s);
}

void entra_begin(struct entra *e, const struct twin_request *q, struct twin_response *r, const struct entra_flow *flow)
{
	struct step s = { .entra = e, .request = q, .response = r, .flow = *flow };

	begin(&s);
}

void entra_device_page(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	struct step s = { .entra = e, .request = q, .response = r };
	struct entra_device *d;
	char typed[32];

	twin_field_text(q, SPAN("user_code"), typed, sizeof typed);
	d = entra_device_waiting(e, span_of(typed), q->wall_ms);
	if (!twin_is_post(q) || !d) {
		entra_page_device(r, q->language, span_of(typed), twin_is_post(q));
		return;
	}
	s.flow.made_at_ms = q->wall_ms;
	snprintf(s.flow.client_id, sizeof s.flow.client_id, "%s", d->grant.client_id);
	snprintf(s.flow.scope, sizeof s.flow.scope, "%s", d->grant.scope);
	snprintf(s.flow.user_code, sizeof s.flow.user_code, "%s", d->user_code);
	entra_page_sign_in(e, r, &s.flow, q->language, TWIN_WORD_COUNT);
}

void entra_logout(struct entra *e, const struct twin_request *q, struct twin_response *r)
{
	buf_put(&r->cookie, SPAN("ESTSAUTH=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"));
	entra_page_says(r, q->language, TWIN_WORD_DONE, TWIN_WORD_LOGGED_OUT);
}
