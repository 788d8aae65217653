#include "twin/twin_config.h"

#include "loop/address.h"

#include <stdio.h>
#include <string.h>

static const char preset[] =
	"# A simulated Microsoft 365 tenant, whose people have a Google account too. Each line is a word\n"
	"# and its value; `user`, `app`, `service` and `connector` begin one.\n"
	"smtp_port 3587\n"
	"mx_port 3525\n"
	"http_port 3443\n"
	"https_port 3444\n"
	"google_port 4587\n"
	"google_tls_port 4465\n"
	"\n"
	"tenant contoso.example\n"
	"id 8c5f3b1e-6d2a-4c7b-9e10-5a4d3c2b1f00\n"
	"name Contoso\n"
	"\n"
	"connector Postern\n"
	"address 127.0.0.1\n"
	"address ::1\n"
	"certificate gateway.contoso.example\n"
	"\n"
	"app 5b1e7c7a-0f0e-4d5b-9a51-2f6d1c1c9a01\n"
	"name Postern\n"
	"secret twn8Q~Contoso.demo.client.secret\n"
	"secret_id 7f3c9d52-41ab-4e0c-8d77-0a9b8c7d6e5f\n"
	"redirect http://localhost/oauth/callback\n"
	"redirect http://localhost/callback\n"
	"redirect http://localhost\n"
	"roles Mail.Send Mail.ReadWrite SMTP.SendAsApp IMAP.AccessAsApp POP.AccessAsApp\n"
	"\n"
	"app 77-demo.apps.googleusercontent.com\n"
	"name Postern\n"
	"secret GOCSPX-Contoso-demo-client-secret\n"
	"redirect http://localhost/oauth/callback\n"
	"redirect http://localhost\n"
	"\n"
	"service postern@contoso-77.iam.gserviceaccount.com\n"
	"delegated https://mail.google.com/\n"
	"\n"
	"user alex@contoso.example\n"
	"name Alex Martin\n"
	"password Correct-Horse-7\n"
	"authenticator JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\n"
	"app_password bdfhjlnprtvxzbdf\n"
	"send_as newsletter@contoso.example\n"
	"mfa enforced\n"
	"\n"
	"user admissions@contoso.example\n"
	"name Admissions\n"
	"password Open-Doors-12\n"
	"authenticator KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU\n"
	"mfa enforced\n"
	"\n"
	"user billing@contoso.example\n"
	"name Billing\n"
	"password Paid-In-Full-3\n"
	"authenticator MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK\n"
	"mfa disabled\n"
	"\n"
	"user maria@contoso.example\n"
	"name Maria Dubois\n"
	"password Pain-Au-Chocolat-9\n"
	"authenticator NBSWY3DPO5XXE3DENBSWY3DPO5XXE3DE\n"
	"mfa enabled\n";

struct span twin_config_preset(void)
{
	return span_of(preset);
}

/* The file while it is read. */
struct reading {
	struct twin_config *config;
	struct twin_tenant *tenant;
	struct twin_user *user;
	struct twin_app *app;
	struct twin_service *service;
	struct twin_connector *connector;
};

static bool keep(char *to, size_t room, struct span from)
{
	if (!from.size || from.size >= room)
		return false;
	memcpy(to, from.at, from.size);
	to[from.size] = 0;
	return true;
}

static bool read_port(struct span value, int64_t *out)
{
	uint64_t number;

	if (!span_number(value, &number) || number > 65535)
		return false;
	*out = (int64_t)number;
	return true;
}

/* A field of a struct that is a text. */
struct text_key {
	const char *key;
	size_t at, room;
};
#define KEY(type, member) { #member, offsetof(struct type, member), sizeof((struct type *)0)->member }

static const struct text_key tenant_keys[] = { KEY(twin_tenant, id), KEY(twin_tenant, name) };
static const struct text_key app_keys[] = { KEY(twin_app, name), KEY(twin_app, secret), KEY(twin_app, secret_id),
					     KEY(twin_app, certificate), KEY(twin_app, roles) };
static const struct text_key user_keys[] = { KEY(twin_user, name), KEY(twin_user, oid), KEY(twin_user, password), KEY(twin_user, app_password),
					     KEY(twin_user, authenticator), KEY(twin_user, refresh_token) };

static bool set_text(void *object, const struct text_key *keys, size_t count, struct span key, struct span value, bool *ok)
{
	for (size_t i = 0; i < count; i++) {
		if (!span_equal(span_of(keys[i].key), key))
			continue;
		*ok = keep((char *)object + keys[i].at, keys[i].room, value);
		return true;
	}
	return false;
}

static bool begin_user(struct reading *r, struct span value)
{
	r->app = NULL;
	r->service = NULL;
	r->connector = NULL;
	return twin_tenant_add_user(r->tenant, value, &r->user) == FAULT_OK;
}

static bool begin_app(struct reading *r, struct span value)
{
	if (r->tenant->app_count == TWIN_APPS_MAX || twin_tenant_app(r->tenant, value))
		return false;
	r->user = NULL;
	r->service = NULL;
	r->connector = NULL;
	r->app = &r->tenant->apps[r->tenant->app_count++];
	return keep(r->app->id, sizeof r->app->id, value);
}

static bool begin_service(struct reading *r, struct span value)
{
	if (r->tenant->service_count == TWIN_SERVICES_MAX || twin_tenant_service(r->tenant, value))
		return false;
	r->user = NULL;
	r->app = NULL;
	r->connector = NULL;
	r->service = &r->tenant->services[r->tenant->service_count++];
	return keep(r->service->email, sizeof r->service->email, value);
}

static bool begin_connector(struct reading *r, struct span value)
{
	r->user = NULL;
	r->app = NULL;
	r->service = NULL;
	r->connector = twin_tenant_connector(r->tenant, value) ? NULL : twin_tenant_add_connector(r->tenant, value);
	return r->connector;
}

/* One more word of a list parted by blanks. */
static bool add_word(char list[TWIN_LIST_BYTES], struct span value)
{
	size_t size = strlen(list);

	if (!value.size || size + 1 + value.size >= TWIN_LIST_BYTES || span_find_byte(value, ' ') != value.size)
		return false;
	snprintf(list + size, TWIN_LIST_BYTES - size, "%s%.*s", size ? " " : "", SPAN_ARGS(value));
	return true;
}

static bool add_send_as(struct twin_user *u, struct span value)
{
	return span_find_byte(value, '@') != value.size && add_word(u->send_as, value);
}

static bool set_of_connector(struct reading *r, struct span key, struct span value)
{
	struct twin_connector *c = r->connector;
	struct network network;

	if (span_equal(key, SPAN("address")))
		return network_parse(&network, value) && add_word(c->addresses, value);
	if (span_equal(key, SPAN("certificate")))
		return keep(c->certificate, sizeof c->certificate, value);
	c->takes_clear = span_equal(value, SPAN("off"));
	return span_equal(key, SPAN("require_tls")) && (c->takes_clear || span_equal(value, SPAN("on")));
}

static bool set_of_user(struct reading *r, struct span key, struct span value)
{
	struct twin_change change;
	bool ok = false;

	if (set_text(r->user, user_keys, sizeof user_keys / sizeof *user_keys, key, value, &ok))
		return ok;
	if (span_equal(key, SPAN("send_as")))
		return add_send_as(r->user, value);
	return twin_tenant_set(r->tenant, key, value, span_of(r->user->address), 0, &change) == FAULT_OK;
}

static bool set_of_app(struct reading *r, struct span key, struct span value)
{
	bool ok = false;

	if (set_text(r->app, app_keys, sizeof app_keys / sizeof *app_keys, key, value, &ok))
		return ok;
	return span_equal(key, SPAN("redirect")) && r->app->redirect_count < TWIN_REDIRECTS_MAX &&
	       keep(r->app->redirects[r->app->redirect_count++], sizeof *r->app->redirects, value);
}

static bool set_of_tenant(struct reading *r, struct span key, struct span value)
{
	struct twin_change change;
	bool ok = false;

	if (set_text(r->tenant, tenant_keys, sizeof tenant_keys / sizeof *tenant_keys, key, value, &ok))
		return ok;
	if (span_equal(key, SPAN("tenant")))
		return keep(r->tenant->domain, sizeof r->tenant->domain, value);
	if (span_equal(key, SPAN("smtp_port")))
		return read_port(value, &r->config->smtp_port);
	if (span_equal(key, SPAN("mx_port")))
		return read_port(value, &r->config->mx_port);
	if (span_equal(key, SPAN("accepted_domain")))
		return add_word(r->tenant->domains, value);
	if (span_equal(key, SPAN("http_port")))
		return read_port(value, &r->config->http_port);
	if (span_equal(key, SPAN("https_port")))
		return read_port(value, &r->config->https_port);
	if (span_equal(key, SPAN("google_port")))
		return read_port(value, &r->config->google_port);
	if (span_equal(key, SPAN("google_tls_port")))
		return read_port(value, &r->config->google_tls_port);
	return twin_tenant_set(r->tenant, key, value, SPAN(""), 0, &change) == FAULT_OK;
}

static bool take_line(struct reading *r, struct span line)
{
	size_t end = span_find_byte(line, ' ');
	struct span key = span_slice(line, 0, end), value = span_trim(span_slice(line, end, line.size));

	if (span_equal(key, SPAN("user")))
		return begin_user(r, value);
	if (span_equal(key, SPAN("app")))
		return begin_app(r, value);
	if (span_equal(key, SPAN("service")))
		return begin_service(r, value);
	if (r->service)
		return span_equal(key, SPAN("delegated")) && keep(r->service->delegated, sizeof r->service->delegated, value);
	if (span_equal(key, SPAN("connector")))
		return begin_connector(r, value);
	if (r->user)
		return set_of_user(r, key, value);
	if (r->connector)
		return set_of_connector(r, key, value);
	return r->app ? set_of_app(r, key, value) : set_of_tenant(r, key, value);
}

enum fault twin_config_read(struct twin_config *config, struct span text, char why_out[TWIN_WHY_BYTES])
{
	struct reading r = { .config = config, .tenant = config->tenant };
	struct span line;

	for (unsigned number = 1; span_cut(&text, '\n', &line); number++) {
		line = span_trim(line);
		if (!line.size || line.at[0] == '#')
			continue;
		if (take_line(&r, line))
			continue;
		snprintf(why_out, TWIN_WHY_BYTES, "line %u: not understood: %.*s", number, (int)(line.size < 80 ? line.size : 80), line.at);
		return FAULT_MALFORMED;
	}
	if (r.tenant->domain[0] && r.tenant->id[0] && r.tenant->user_count && r.tenant->app_count)
		return FAULT_OK;
	snprintf(why_out, TWIN_WHY_BYTES, "a tenant needs `tenant`, `id`, at least one `app` and one `user`");
	return FAULT_MALFORMED;
}
