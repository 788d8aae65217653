#include "wire/import_proxy.h"

#include "base/fernet.h"
#include "base/secret.h"
#include "base/text.h"
#include "wire/import_ini.h"

enum { ROUNDS_FIRST = 100000, ROUNDS_NOW = 1200000, SALT_BYTES_MAX = 1024 };

/* An account, and the accounts that stand behind it where catch-all accounts are allowed. */
struct place {
	const struct import_ini *ini;
	struct span section, domain;
	bool catch_all;
};

static struct span look(const struct place *p, const char *key)
{
	struct span value = import_ini_value(p->ini, p->section, key);

	if (!value.size && p->catch_all)
		value = import_ini_value(p->ini, p->domain, key);
	return value.size || !p->catch_all ? value : import_ini_value(p->ini, SPAN("@"), key);
}

static bool is_true(struct span value)
{
	return span_equal_fold(value, SPAN("true")) || span_equal_fold(value, SPAN("yes")) || span_equal_fold(value, SPAN("on")) ||
	       span_equal(value, SPAN("1"));
}

/* The one server of SMTP, where the file has only one that is not the provider's own. */
static void take_server(struct import *i, const struct import_ini *ini, struct import_registration *r)
{
	struct import_registration found = { 0 };

	for (size_t at = 0; at < ini->section_count; at++) {
		struct import_registration one = { .kind = r->kind };
		struct span section = ini->sections[at];
		uint64_t port = 0;

		if (!span_starts(section, SPAN("SMTP-")) || !span_number(import_ini_value(ini, section, "server_port"), &port) || port > UINT16_MAX)
			continue;
		import_server(i, &one, import_ini_value(ini, section, "server_address"), port);
		one.is_implicit = !is_true(import_ini_value(ini, section, "server_starttls")) && !is_true(import_ini_value(ini, section, "starttls"));
		if (import_is_known_server(one.host))
			continue;
		if (found.host.size && !span_equal_fold(found.host, one.host))
			return;
		found = one;
	}
	if (!found.host.size)
		return;
	r->host = found.host;
	r->port = found.port;
	r->is_implicit = found.is_implicit;
}

static void take_sealed(struct import *i, const struct place *p, struct import_account *a)
{
	struct import_sealed *s = &a->sealed;
	char memory[SALT_BYTES_MAX];
	struct buf salt;

	buf_over(&salt, memory, sizeof memory);
	if (!text_from_base64(&salt, look(p, "token_salt")))
		buf_clear(&salt);
	s->salt = arena_copy(i->arena, buf_span(&salt));
	if (!span_number(import_ini_value(p->ini, p->section, "token_iterations"), &s->rounds))
		s->rounds = ROUNDS_FIRST;
	s->refresh_token = import_secret(i, import_ini_value(p->ini, p->section, "refresh_token"));
	/* An open one is the newer: somebody wrote it by hand. */
	a->registration.client_secret = import_secret(i, look(p, "client_secret"));
	if (!a->registration.client_secret.size)
		s->client_secret = import_secret(i, look(p, "client_secret_encrypted"));
}

static bool take_registration(struct import *i, const struct place *p, struct import_registration *r)
{
	struct span url = look(p, "token_url");

	if (!import_token_url(i, r, url)) {
		import_remark(i, IMPORT_NOTE_NO_LOGIN_HOST, p->section, url);
		return false;
	}
	/* What the file's scopes say of the cloud, where two share their sign-in. */
	if (span_equal(r->kind, SPAN("microsoft-gcc-high")) && span_find(look(p, "oauth2_scope"), SPAN("outlook-dod.")) < look(p, "oauth2_scope").size)
		r->kind = SPAN("microsoft-dod");
	r->client_id = import_word(i, look(p, "client_id"));
	if (!r->client_id.size)
		import_remark(i, IMPORT_NOTE_NO_CLIENT_ID, p->section, SPAN(""));
	return r->client_id.size > 0;
}

static void take_sign_in(struct import *i, const struct place *p, struct import_account *a)
{
	struct span flow = look(p, "oauth2_flow");
	bool has_page = look(p, "permission_url").size > 0;

	a->sign_in = IMPORT_LINK;
	if (span_equal(flow, SPAN("password")) && !has_page)
		import_remark(i, IMPORT_NOTE_ROPC, a->address, SPAN(""));
	else if ((span_equal(flow, SPAN("client_credentials")) || span_equal(flow, SPAN("service_account")) || !flow.size) && !has_page)
		a->sign_in = IMPORT_APPLICATION;
	else if (!a->sealed.refresh_token.size)
		import_remark(i, IMPORT_NOTE_NO_TOKEN, a->address, SPAN(""));
}

static void take_account(struct import *i, const struct import_ini *ini, struct span section, bool catch_all)
{
	size_t at = span_find_byte(section, '@');
	struct place place = { ini, section, span_slice(section, at, section.size), catch_all };
	struct import_registration r = { 0 };
	struct import_account *a;
	struct import_client *c;

	if (!at)
		import_remark(i, IMPORT_NOTE_ANY_ADDRESS, section, SPAN(""));
	if (!take_registration(i, &place, &r) || !(a = at ? import_account(i, section) : import_domain(i, section)))
		return;
	a->registration = r;
	take_sealed(i, &place, a);
	take_sign_in(i, &place, a);
	take_server(i, ini, &a->registration);
	c = at ? import_client(i, section) : NULL;
	if (c)
		import_list_add(i, &c->mailboxes, a->address);
}

enum fault import_proxy_read(struct import *i, struct span text)
{
	struct import_ini ini;
	bool catch_all;
	size_t found = i->account_count + i->remark_count;

	if (text.size > IMPORT_TEXT_BYTES) {
		import_fail(i, FAULT_TOO_LARGE, "over %d bytes", IMPORT_TEXT_BYTES);
		return i->fault;
	}
	if (!import_ini_read(&ini, i->arena, text)) {
		import_fail(i, FAULT_MALFORMED, "line %u is not understood", ini.line);
		return i->fault;
	}
	catch_all = is_true(import_ini_value(&ini, SPAN("emailproxy"), "allow_catch_all_accounts"));
	for (size_t at = 0; at < ini.section_count; at++)
		if (span_find_byte(ini.sections[at], '@') < ini.sections[at].size)
			take_account(i, &ini, ini.sections[at], catch_all);
	if (i->account_count + i->remark_count == found)
		import_fail(i, FAULT_MALFORMED, "no account stands in it; is it the file of email-oauth2-proxy?");
	return i->fault;
}

/* --- the tokens */

static bool open_one(struct import *i, const unsigned char *key, struct span sealed, struct span *out)
{
	struct buf text;
	bool good;

	if (!sealed.size)
		return true;
	buf_init(&text, IMPORT_SECRET_BYTES + 16);
	good = fernet_open(&text, key, sealed);
	if (good)
		*out = import_secret(i, buf_span(&text));
	buf_wipe(&text);
	return good;
}

bool import_proxy_open(struct import *i, struct import_account *a, struct span password, uint64_t rounds)
{
	unsigned char key[FERNET_KEY_BYTES];
	bool good = fernet_stretch(key, password, a->sealed.salt, rounds) && open_one(i, key, a->sealed.refresh_token, &a->refresh_token) &&
		    open_one(i, key, a->sealed.client_secret, &a->registration.client_secret);

	secret_wipe(key, sizeof key);
	if (!good)
		return false;
	a->sign_in = a->refresh_token.size ? IMPORT_TOKEN : a->sign_in;
	a->sealed = (struct import_sealed){ 0 };
	return true;
}

bool import_proxy_unseal(struct import *i, struct import_account *a, struct span password)
{
	const uint64_t rounds[] = { a->sealed.rounds, ROUNDS_NOW, ROUNDS_FIRST };

	for (size_t at = 0; at < sizeof rounds / sizeof *rounds; at++)
		if ((!at || rounds[at] != rounds[0]) && import_proxy_open(i, a, password, rounds[at]))
			return true;
	return false;
}
