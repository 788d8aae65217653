#include "twin/entra_sign_in.h"
#include "twin/google.h"
#include "twin/google_page.h"

#include <stdio.h>
#include <string.h>

static bool is_known(struct span scope)
{
	static const struct span names = SPAN("openid email profile https://www.googleapis.com/auth/userinfo.email "
					      "https://www.googleapis.com/auth/userinfo.profile https://mail.google.com/ "
					      "https://www.googleapis.com/auth/gmail.send https://www.googleapis.com/auth/gmail.compose "
					      "https://www.googleapis.com/auth/gmail.modify https://www.googleapis.com/auth/gmail.readonly "
					      "https://www.googleapis.com/auth/gmail.metadata");

	return twin_scope_has(names, scope);
}

static bool scopes_hold(struct span scopes)
{
	struct span one;

	while (span_cut(&scopes, ' ', &one))
		if (one.size && !is_known(one))
			return false;
	return true;
}

static void read_flow(struct entra_flow *f, const struct twin_request *q)
{
	char method[16], access[16];

	memset(f, 0, sizeof *f);
	f->is_google = 1;
	f->made_at_ms = q->wall_ms;
	twin_field_text(q, SPAN("redirect_uri"), f->redirect_uri, sizeof f->redirect_uri);
	twin_field_text(q, SPAN("scope"), f->scope, sizeof f->scope);
	twin_field_text(q, SPAN("state"), f->state, sizeof f->state);
	twin_field_text(q, SPAN("nonce"), f->nonce, sizeof f->nonce);
	twin_field_text(q, SPAN("prompt"), f->prompt, sizeof f->prompt);
	twin_field_text(q, SPAN("login_hint"), f->hint, sizeof f->hint);
	twin_field_text(q, SPAN("code_challenge"), f->challenge, sizeof f->challenge);
	twin_field_text(q, SPAN("code_challenge_method"), method, sizeof method);
	twin_field_text(q, SPAN("access_type"), access, sizeof access);
	f->plain = f->challenge[0] && strcmp(method, "S256");
	f->is_offline = !strcmp(access, "offline");
}

/* The error that is shown, or NULL when the request holds. */
static const char *judge(const struct google *g, const struct twin_request *q, struct entra_flow *f)
{
	char client[TWIN_TEXT_BYTES], type[64];
	const struct twin_app *app;

	read_flow(f, q);
	twin_field_text(q, SPAN("client_id"), client, sizeof client);
	twin_field_text(q, SPAN("response_type"), type, sizeof type);
	app = twin_tenant_app(g->entra->tenant, span_of(client));
	if (!client[0])
		return "invalid_request";
	if (!app)
		return "invalid_client";
	snprintf(f->client_id, sizeof f->client_id, "%s", app->id);
	if (!entra_redirect_matches(app, span_of(f->redirect_uri)))
		return "redirect_uri_mismatch";
	if (strcmp(type, "code"))
		return type[0] ? "unsupported_response_type" : "invalid_request";
	if (f->challenge[0] && strlen(f->challenge) < 43)
		return "invalid_request";
	if (!f->scope[0])
		return "invalid_request";
	return scopes_hold(span_of(f->scope)) ? NULL : "invalid_scope";
}

void google_authorize(struct google *g, const struct twin_request *q, struct twin_response *r)
{
	struct entra_flow flow;
	const char *error = judge(g, q, &flow);

	if (error)
		google_page_refused(r, q->language, error);
	else
		entra_begin(g->entra, q, r, &flow);
}
