#include "twin/entra_pages.h"

static const struct span graph_default = { ".default", 8 };

/* Lets the forms of the page lead to the application, which Chromium asks for though they lead there by a redirect only. */
static void allow(struct twin_response *r, struct span uri)
{
	struct span rest = span_slice(uri, span_find(uri, SPAN("://")) + 3, uri.size), host = span_slice(rest, 0, span_find_byte(rest, '/'));

	buf_clear(&r->form_action);
	for (size_t i = 0; i < uri.size; i++)
		if (uri.at[i] <= ' ' || uri.at[i] == ';' || uri.at[i] == ',' || uri.at[i] == '\'' || (unsigned char)uri.at[i] >= 0x7f)
			return;
	buf_put(&r->form_action, span_slice(uri, 0, uri.size - rest.size + host.size));
}

/* A form that carries the flow on. */
static void put_form(struct entra *e, struct twin_page *p, const struct entra_flow *f, const char *path)
{
	struct span tenant = span_of(e->tenant->id), action = span_of(path);
	struct buf flow;

	buf_init(&flow, TWIN_FIELD_BYTES);
	if (entra_flow_put(&flow, e->keys, f) == FAULT_OK) {
		struct span sealed = buf_span(&flow);

		twin_page_put(p, "<form method=\"post\" action=\"/%s%s\"><input type=\"hidden\" name=\"flow\" value=\"%s\">", &tenant, &action, &sealed);
	}
	buf_free(&flow);
}

static struct twin_page begin(struct entra *e, struct twin_response *r, const struct entra_flow *f, enum language language, enum twin_word title)
{
	struct twin_app *app = twin_tenant_app(e->tenant, span_of(f->client_id));
	struct twin_page p = twin_page_begin(r, language, title, false);
	struct span name = span_of(app ? app->name : "");

	allow(r, span_of(f->redirect_uri));
	twin_page_put(&p, "<p class=\"soft\">%w <b>%s</b></p>\n", TWIN_WORD_SIGN_IN_TO, &name);
	return p;
}

static void put_wrong(struct twin_page *p, enum twin_word wrong)
{
	if (wrong != TWIN_WORD_COUNT)
		twin_page_put(p, "<p class=\"bad\" role=\"alert\">%w</p>\n", wrong);
}

static void put_buttons(struct twin_page *p, enum twin_word go)
{
	twin_page_put(p, "<div class=\"row\"><button name=\"cancel\" value=\"1\" formnovalidate>%w</button><button class=\"main\">%w</button></div></form>\n",
		      TWIN_WORD_CANCEL, go);
}

void entra_page_sign_in(struct entra *e, struct twin_response *r, const struct entra_flow *f, enum language language, enum twin_word wrong)
{
	struct twin_page p = begin(e, r, f, language, TWIN_WORD_SIGN_IN);
	struct span hint = span_of(f->hint);

	put_wrong(&p, wrong);
	put_form(e, &p, f, "/login");
	/* The default button of a form is its first one, so that the Enter key must not cancel. */
	twin_page_markup(&p, "<button class=\"main\" hidden></button>");
	twin_page_put(&p,
		      "<label for=\"login\">%w</label><input id=\"login\" name=\"login\" type=\"email\" autocomplete=\"username\" required value=\"%s\">"
		      "<label for=\"passwd\">%w</label><input id=\"passwd\" name=\"passwd\" type=\"password\" autocomplete=\"current-password\" required>",
		      TWIN_WORD_ADDRESS, &hint, TWIN_WORD_PASSWORD);
	put_buttons(&p, TWIN_WORD_NEXT);
	twin_page_end(&p);
}

void entra_page_pick(struct entra *e, struct twin_response *r, const struct entra_flow *f, enum language language, const struct twin_user *user)
{
	struct twin_page p = begin(e, r, f, language, TWIN_WORD_PICK);
	struct span address = span_of(user->address), name = span_of(user->name);

	put_form(e, &p, f, "/reprocess");
	twin_page_put(&p,
		      "<button class=\"account\" name=\"account\" value=\"%s\"><b>%s</b><br>%s<br><span class=\"soft\">%w</span></button>"
		      "<button class=\"account\" name=\"account\" value=\"\">%w</button></form>\n",
		      &address, &name, &address, TWIN_WORD_SIGNED_IN, TWIN_WORD_OTHER_ACCOUNT);
	twin_page_end(&p);
}

void entra_page_factor(struct entra *e, struct twin_response *r, const struct entra_flow *f, enum language language, const struct twin_user *user,
		       bool wrong)
{
	bool enrol = user->values[TWIN_MAILBOX_mfa] != TWIN_MFA_ENFORCED;
	struct twin_page p = begin(e, r, f, language, enrol ? TWIN_WORD_ENROL : TWIN_WORD_ENTER_CODE);
	struct span address = span_of(user->address), key = span_of(user->authenticator);

	twin_page_put(&p, "<p>%s</p><p>%w</p>\n", &address, enrol ? TWIN_WORD_ENROL_HINT : TWIN_WORD_CODE_HINT);
	if (enrol)
		twin_page_put(&p, "<pre>%s</pre>\n", &key);
	put_wrong(&p, wrong ? TWIN_WORD_WRONG_CODE : TWIN_WORD_COUNT);
	put_form(e, &p, f, "/SAS/ProcessAuth");
	twin_page_markup(&p, "<button class=\"main\" hidden></button>");
	twin_page_put(&p,
		      "<label for=\"otc\">%w</label><input class=\"digits\" id=\"otc\" name=\"otc\" inputmode=\"numeric\" autocomplete=\"one-time-code\" "
		      "maxlength=\"7\" required autofocus>",
		      TWIN_WORD_CODE);
	put_buttons(&p, TWIN_WORD_VERIFY);
	twin_page_end(&p);
}

/* What a scope means, in a sentence. */
static void put_scopes(struct twin_page *p, struct span scopes)
{
	static const struct {
		const char *ends;
		enum twin_word says;
	} known[] = { { "SMTP.Send", TWIN_WORD_SCOPE_SMTP },
		      { "IMAP.AccessAsUser.All", TWIN_WORD_SCOPE_IMAP },
		      { "POP.AccessAsUser.All", TWIN_WORD_SCOPE_POP },
		      { "https://mail.google.com/", TWIN_WORD_SCOPE_GMAIL },
		      { "gmail.send", TWIN_WORD_SCOPE_GMAIL_SEND },
		      { "offline_access", TWIN_WORD_SCOPE_OFFLINE },
		      { "profile", TWIN_WORD_SCOPE_PROFILE } };
	struct span one;

	twin_page_markup(p, "<ul>");
	while (span_cut(&scopes, ' ', &one))
		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			if (span_ends_fold(one, span_of(known[i].ends)) || (i < 3 && span_ends_fold(one, graph_default)))
				twin_page_put(p, "<li>%w</li>", known[i].says);
	twin_page_markup(p, "</ul>\n");
}

void entra_page_consent(struct entra *e, struct twin_response *r, const struct entra_flow *f, enum language language, const struct twin_user *user)
{
	struct twin_page p = begin(e, r, f, language, TWIN_WORD_CONSENT);
	struct span address = span_of(user->address);

	twin_page_put(&p, "<p>%s</p>", &address);
	if (f->user_code[0])
		twin_page_put(&p, "<p>%w</p>", TWIN_WORD_CONSENT_DEVICE);
	twin_page_put(&p, "<p>%w</p>", TWIN_WORD_CONSENT_HINT);
	put_scopes(&p, span_of(f->scope));
	twin_page_put(&p, "<p class=\"soft\">%w</p>\n", TWIN_WORD_CONSENT_NOTE);
	put_form(e, &p, f, "/Consent/Set");
	twin_page_put(&p,
		      "<div class=\"row\"><button name=\"ucaccept\" value=\"No\">%w</button>"
		      "<button class=\"main\" name=\"ucaccept\" value=\"Yes\">%w</button></div></form>\n",
		      TWIN_WORD_CANCEL, TWIN_WORD_ACCEPT);
	twin_page_end(&p);
}

void entra_page_device(struct twin_response *r, enum language language, struct span typed, bool wrong)
{
	struct twin_page p = twin_page_begin(r, language, TWIN_WORD_DEVICE, false);

	twin_page_put(&p, "<p>%w</p>\n", TWIN_WORD_DEVICE_HINT);
	put_wrong(&p, wrong ? TWIN_WORD_WRONG_DEVICE : TWIN_WORD_COUNT);
	twin_page_put(&p,
		      "<form method=\"post\" action=\"/devicelogin\"><label for=\"user_code\">%w</label>"
		      "<input class=\"digits\" id=\"user_code\" name=\"user_code\" autocomplete=\"off\" maxlength=\"12\" required autofocus value=\"%s\">"
		      "<div class=\"row\"><button class=\"main\">%w</button></div></form>\n",
		      TWIN_WORD_CODE, &typed, TWIN_WORD_GO_ON);
	twin_page_end(&p);
}

void entra_page_says(struct twin_response *r, enum language language, enum twin_word title, enum twin_word sentence)
{
	struct twin_page p = twin_page_begin(r, language, title, false);

	twin_page_put(&p, "<p>%w</p>\n", sentence);
	twin_page_end(&p);
}

static struct twin_page begin_error(struct twin_response *r, int code, const struct entra_error_values *v, enum language language)
{
	struct twin_page p = twin_page_begin(r, language, TWIN_WORD_TROUBLE, false);
	struct buf text;
	struct span says;

	r->status = 400;
	buf_init(&text, TWIN_FIELD_BYTES);
	entra_error_text(&text, code, v);
	says = buf_span(&text);
	twin_page_put(&p, "<pre>%s</pre>\n", &says);
	buf_free(&text);
	return p;
}

void entra_error_page(struct twin_response *r, int code, const struct entra_error_values *v, enum language language)
{
	struct twin_page p = begin_error(r, code, v, language);

	twin_page_end(&p);
}

void entra_error_page_back(struct entra *e, struct twin_response *r, int code, const struct entra_error_values *v, const struct entra_flow *f,
			   enum language language)
{
	struct twin_page p = begin_error(r, code, v, language);

	allow(r, span_of(f->redirect_uri));
	put_form(e, &p, f, "/Consent/Set");
	twin_page_put(&p, "<div class=\"row\"><button name=\"ucaccept\" value=\"No\">%w</button></div></form>\n", TWIN_WORD_RETURN);
	twin_page_end(&p);
}

void entra_page_post(struct twin_response *r, enum language language, struct span redirect_uri, const struct span (*fields)[2], size_t count)
{
	struct twin_page p = twin_page_begin(r, language, TWIN_WORD_DONE, false);

	allow(r, redirect_uri);
	twin_page_put(&p, "<form method=\"post\" action=\"%s\">", &redirect_uri);
	for (size_t i = 0; i < count; i++)
		twin_page_put(&p, "<input type=\"hidden\" name=\"%s\" value=\"%s\">", &fields[i][0], &fields[i][1]);
	twin_page_put(&p, "<div class=\"row\"><button class=\"main\">%w</button></div></form>\n", TWIN_WORD_GO_ON);
	twin_page_end(&p);
}
