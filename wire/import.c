#include "wire/import.h"

#include "base/text.h"
#include "wire/mail_address.h"

#include <stdarg.h>
#include <stdio.h>

enum { CLIENT_NAME_BYTES = 64 };

static const char *const notes[IMPORT_NOTE_COUNT][LANGUAGE_COUNT] = {
#define IMPORT_NOTE(symbol, en, fr) { en, fr },
#include "tables/import_notes.def"
#undef IMPORT_NOTE
};

struct import *import_new(struct arena *arena)
{
	struct import *i = arena_take(arena, sizeof *i);

	i->arena = arena;
	return i;
}

void import_fail(struct import *i, enum fault fault, const char *format, ...)
{
	char text[sizeof i->why];
	struct buf shown;
	va_list more;

	if (i->fault != FAULT_OK)
		return;
	va_start(more, format);
	vsnprintf(text, sizeof text, format, more);
	va_end(more);
	buf_over(&shown, i->why, sizeof i->why - 1);
	if (!text_plain(&shown, span_of(text)))
		i->why[0] = 0;
	i->fault = fault;
}

static bool is_clean(struct span s, size_t most)
{
	if (s.size > most || !text_is_utf8(s))
		return false;
	for (size_t at = 0; at < s.size; at++)
		if ((unsigned char)s.at[at] < ' ' || s.at[at] == 0x7f)
			return false;
	return true;
}

struct span import_word(struct import *i, struct span s)
{
	s = span_trim(s);
	return is_clean(s, IMPORT_WORD_BYTES) ? arena_copy(i->arena, s) : (struct span){ "", 0 };
}

struct span import_secret(struct import *i, struct span s)
{
	return is_clean(s, IMPORT_SECRET_BYTES) ? arena_copy(i->arena, s) : (struct span){ "", 0 };
}

void import_list_add(struct import *i, struct import_list *list, struct span text)
{
	struct span word = import_word(i, text);

	if (!word.size)
		return;
	for (size_t at = 0; at < list->count; at++)
		if (span_equal_fold(list->items[at], word))
			return;
	if (list->count == IMPORT_LIST_MAX) {
		import_fail(i, FAULT_TOO_LARGE, "more than %d of a kind: %.*s", IMPORT_LIST_MAX, SPAN_ARGS(word));
		return;
	}
	if (list->count == list->room) {
		size_t room = list->room ? 2 * list->room : 4;
		struct span *items = arena_take(i->arena, room * sizeof *items);

		if (list->count)
			memcpy(items, list->items, list->count * sizeof *items);
		list->items = items;
		list->room = room;
	}
	list->items[list->count++] = word;
}

void import_remark(struct import *i, enum import_note note, struct span about, struct span detail)
{
	struct import_remark *r = &i->remarks[i->remark_count];

	if (i->remark_count == IMPORT_NOTES_MAX) {
		import_fail(i, FAULT_TOO_LARGE, "more than %d things that cannot be taken", IMPORT_NOTES_MAX);
		return;
	}
	*r = (struct import_remark){ import_word(i, about), import_word(i, detail), note };
	for (size_t at = 0; at < i->remark_count; at++)
		if (i->remarks[at].note == note && span_equal(i->remarks[at].about, r->about) && span_equal(i->remarks[at].detail, r->detail))
			return;
	i->remark_count++;
}

static bool is_plain_address(struct span text)
{
	struct mail_address parsed;

	return mail_address_parse(&parsed, text) == FAULT_OK && !parsed.quoted && !parsed.literal;
}

static struct import_account *find_or_add(struct import *i, struct span address)
{
	struct import_account *a;

	for (size_t at = 0; at < i->account_count; at++)
		if (span_equal_fold(i->accounts[at].address, address))
			return &i->accounts[at];
	if (i->account_count == IMPORT_ACCOUNTS_MAX) {
		import_fail(i, FAULT_TOO_LARGE, "more than %d accounts", IMPORT_ACCOUNTS_MAX);
		return NULL;
	}
	a = &i->accounts[i->account_count++];
	a->address = import_word(i, address);
	return a;
}

struct import_account *import_account(struct import *i, struct span address)
{
	address = span_trim(address);
	if (is_plain_address(address))
		return find_or_add(i, address);
	import_remark(i, IMPORT_NOTE_NOT_AN_ADDRESS, address, address);
	return NULL;
}

struct import_account *import_domain(struct import *i, struct span at_domain)
{
	struct span whole = arena_print(i->arena, "x%.*s", (int)(at_domain.size < IMPORT_WORD_BYTES ? at_domain.size : 0), at_domain.at);

	return span_starts(at_domain, SPAN("@")) && is_plain_address(whole) ? find_or_add(i, at_domain) : NULL;
}

struct import_client *import_client(struct import *i, struct span name)
{
	char text[CLIENT_NAME_BYTES + 1];
	struct span word = import_word(i, name);
	size_t size = word.size < CLIENT_NAME_BYTES ? word.size : CLIENT_NAME_BYTES;

	for (size_t at = 0; at < size; at++)
		text[at] = strchr(" @/", word.at[at]) ? '.' : word.at[at];
	word = (struct span){ text, size };
	if (!size || !text_is_utf8(word))
		return NULL;
	for (size_t at = 0; at < i->client_count; at++)
		if (span_equal_fold(i->clients[at].name, word))
			return &i->clients[at];
	if (i->client_count == IMPORT_CLIENTS_MAX) {
		import_fail(i, FAULT_TOO_LARGE, "more than %d clients", IMPORT_CLIENTS_MAX);
		return NULL;
	}
	i->clients[i->client_count].name = arena_copy(i->arena, word);
	return &i->clients[i->client_count++];
}

/* --- who runs which server */

static const struct { const char *host, *kind; } login_hosts[] = {
	{ "login.microsoftonline.com", "microsoft" },	     { "login.windows.net", "microsoft" },
	{ "login.microsoftonline.us", "microsoft-gcc-high" }, { "login.partner.microsoftonline.cn", "microsoft-china" },
	{ "login.chinacloudapi.cn", "microsoft-china" },      { "login.live.com", "outlook" },
	{ "accounts.google.com", "google" },		      { "oauth2.googleapis.com", "google" },
	{ "www.googleapis.com", "google" },
};

static const struct { const char *host, *kind; } mail_hosts[] = {
	{ "smtp.office365.com", "microsoft" },	    { "smtp-legacy.office365.com", "microsoft" },
	{ "smtp.office365.us", "microsoft-gcc-high" }, { "smtp.partner.outlook.cn", "microsoft-china" },
	{ "smtp-mail.outlook.com", "outlook" },	    { "smtp.gmail.com", "google" },
	{ "smtp.googlemail.com", "google" },
};

/* "https://HOST[:PORT]/PATH" taken apart; false when it is none. */
static bool cut_url(struct span url, struct span *host_out, struct span *path_out)
{
	struct span rest = url;

	if (span_starts_fold(url, SPAN("https://")))
		rest = span_slice(url, 8, url.size);
	else if (span_starts_fold(url, SPAN("http://")))
		rest = span_slice(url, 7, url.size);
	else
		return false;
	*host_out = span_slice(rest, 0, span_find_byte(rest, '/'));
	*path_out = span_slice(rest, host_out->size, rest.size);
	*host_out = span_slice(*host_out, 0, span_find_byte(*host_out, ':'));
	return host_out->size > 0;
}

/* The tenant of "/TENANT/oauth2/..."; those that stand for anybody are none. */
static void take_tenant(struct import *i, struct import_registration *r, struct span path)
{
	struct span tenant = span_slice(path, 1, path.size);

	tenant = span_slice(tenant, 0, span_find_byte(tenant, '/'));
	if (span_equal_fold(tenant, SPAN("consumers")) && span_equal(r->kind, SPAN("microsoft")))
		r->kind = SPAN("outlook");
	else if (!span_equal_fold(tenant, SPAN("common")) && !span_equal_fold(tenant, SPAN("organizations")) && span_starts(r->kind, SPAN("microsoft")))
		r->tenant = import_word(i, tenant);
}

bool import_token_url(struct import *i, struct import_registration *r, struct span url)
{
	static const struct span endpoint = { "/oauth2/v2.0/token", 18 };
	struct span host, path;

	url = import_word(i, url);
	if (!cut_url(url, &host, &path))
		return false;
	for (size_t at = 0; at < sizeof login_hosts / sizeof *login_hosts; at++)
		if (span_equal_fold(host, span_of(login_hosts[at].host))) {
			r->kind = span_of(login_hosts[at].kind);
			take_tenant(i, r, path);
			return true;
		}
	/* The same product in a cloud of its own: its endpoints stand beside one another. */
	if (!span_ends_fold(path, endpoint))
		return false;
	r->kind = SPAN("microsoft");
	take_tenant(i, r, path);
	r->issuer = arena_print(i->arena, "%.*s/v2.0", (int)(url.size - endpoint.size), url.at);
	return true;
}

void import_server(struct import *i, struct import_registration *r, struct span host, uint64_t port)
{
	r->host = import_word(i, host);
	r->port = port;
	r->is_implicit = port == 465;
	for (size_t at = 0; at < sizeof mail_hosts / sizeof *mail_hosts && !r->kind.size; at++)
		if (span_equal_fold(r->host, span_of(mail_hosts[at].host)))
			r->kind = span_of(mail_hosts[at].kind);
	if (!r->kind.size)
		r->kind = SPAN("smtp");
}

bool import_is_known_server(struct span host)
{
	for (size_t at = 0; at < sizeof mail_hosts / sizeof *mail_hosts; at++)
		if (span_equal_fold(host, span_of(mail_hosts[at].host)))
			return true;
	return !host.size;
}

bool import_is_own_server(const struct import_registration *r)
{
	for (size_t at = 0; at < sizeof mail_hosts / sizeof *mail_hosts; at++)
		if (span_equal_fold(r->host, span_of(mail_hosts[at].host)) && span_equal(r->kind, span_of(mail_hosts[at].kind)))
			return true;
	return !r->host.size;
}

void import_put_remark(struct buf *out, const struct import_remark *remark, enum language language)
{
	struct span text = span_of(notes[remark->note][language]), before = span_slice(text, 0, span_find(text, SPAN("%s")));

	buf_put(out, before);
	if (before.size < text.size) {
		buf_put(out, remark->detail);
		buf_put(out, span_slice(text, before.size + 2, text.size));
	}
}
