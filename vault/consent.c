#include "vault/consent.h"
#include "vault/consent_parts.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/rand.h"
#include "base/seal.h"
#include "base/text.h"
#include "store/links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIFETIME_MS = 15 * 60 * 1000, REMEMBER_MS = 24 * 3600 * 1000, LINKS_MAX = 100000, SECRET_BYTES = 32 };

struct span consent_digest(unsigned char out[SEAL_DIGEST_BYTES], struct span text)
{
	seal_digest(out, text);
	return (struct span){ (const char *)out, SEAL_DIGEST_BYTES };
}

struct span consent_bytes(const unsigned char digest[SEAL_DIGEST_BYTES])
{
	return (struct span){ (const char *)digest, SEAL_DIGEST_BYTES };
}

void consent_random_text(char out[CONSENT_TEXT + 1])
{
	unsigned char bytes[SECRET_BYTES];
	char memory[2 * SECRET_BYTES];
	struct buf text;

	rand_bytes(bytes, sizeof bytes);
	buf_over(&text, memory, sizeof memory);
	text_base64_url(&text, (struct span){ (char *)bytes, sizeof bytes });
	ASSERT(text.size == CONSENT_TEXT);
	memcpy(out, memory, CONSENT_TEXT);
	out[CONSENT_TEXT] = 0;
	secret_wipe(bytes, sizeof bytes);
	secret_wipe(memory, sizeof memory);
}

void consent_copy_digest(unsigned char to[SEAL_DIGEST_BYTES], struct span from)
{
	if (from.size == SEAL_DIGEST_BYTES)
		memcpy(to, from.at, from.size);
}

static void add(struct vault *v, struct consent *c)
{
	map_put(&v->consents->by_id, (struct span){ (const char *)&c->id, sizeof c->id }, c);
	map_put(&v->consents->by_digest, consent_bytes(c->digest), c);
	if (c->is_pressed)
		map_put(&v->consents->by_state, consent_bytes(c->state), c);
}

static bool take_row(void *self, const struct link_row *row)
{
	struct consent *c = calloc(1, sizeof *c);

	if (!c)
		panic("out of memory");
	*c = (struct consent){ .id = row->id, .mailbox = row->mailbox, .is_spent = row->spent, .expires_at_ms = row->expires_at_ms,
			       .is_bound = row->browser.size == SEAL_DIGEST_BYTES, .is_pressed = row->state.size == SEAL_DIGEST_BYTES };
	consent_copy_digest(c->digest, row->digest);
	consent_copy_digest(c->browser, row->browser);
	consent_copy_digest(c->state, row->state);
	snprintf(c->nonce, sizeof c->nonce, "%.*s", SPAN_ARGS(row->nonce));
	snprintf(c->actor, sizeof c->actor, "%.*s", SPAN_ARGS(row->actor));
	add(self, c);
	return true;
}

void consent_start(struct vault *v)
{
	v->consents = calloc(1, sizeof *v->consents);
	if (!v->consents)
		panic("out of memory");
	map_init(&v->consents->by_id, false);
	map_init(&v->consents->by_digest, false);
	map_init(&v->consents->by_state, false);
	if (links_forget(v->db, clock_wall_ms() - REMEMBER_MS) != FAULT_OK || links_each(v->db, take_row, v) != FAULT_OK)
		panic("the database gave its clients but not its links");
}

void consent_unpress(struct vault *v, struct consent *c)
{
	if (c->is_pressed)
		map_remove(&v->consents->by_state, consent_bytes(c->state));
	c->is_pressed = false;
}

static void forget(struct vault *v, struct consent *c)
{
	consent_unpress(v, c);
	map_remove(&v->consents->by_digest, consent_bytes(c->digest));
	map_remove(&v->consents->by_id, (struct span){ (const char *)&c->id, sizeof c->id });
	free(c);
}

void consent_free(struct vault *v)
{
	struct consent *c;
	size_t at = 0;

	if (!v->consents)
		return;
	while ((c = map_next(&v->consents->by_id, &at)))
		forget(v, c);
	map_free(&v->consents->by_id);
	map_free(&v->consents->by_digest);
	map_free(&v->consents->by_state);
	free(v->consents);
	v->consents = NULL;
}

void consent_forget_mailbox(struct vault *v, uint64_t mailbox)
{
	struct consent *c;
	size_t at = 0;

	while ((c = map_next(&v->consents->by_id, &at)))
		if (c->mailbox == mailbox && !c->is_busy)
			forget(v, c);
}

static enum fault forget_rows(struct change *c, struct sqlite *db)
{
	return links_forget(db, *(int64_t *)c->data);
}

static void rows_forgotten(struct change *c)
{
}

/* A late link is remembered for a day, so that whoever comes late is told so. */
void consent_tidy(struct vault *v)
{
	int64_t before_ms = clock_wall_ms() - REMEMBER_MS;
	struct consent *c;
	struct change *change;
	size_t at = 0;
	bool any = false;

	while ((c = map_next(&v->consents->by_id, &at)))
		if (c->expires_at_ms < before_ms && !c->is_busy) {
			forget(v, c);
			any = true;
		}
	if (!any)
		return;
	change = change_new(v, forget_rows, rows_forgotten, sizeof before_ms);
	*(int64_t *)change->data = before_ms;
	change_run_take(change);
}

/* --- addresses */

static bool is_loopback(const struct config_listener *l)
{
	struct address a;

	for (size_t i = 0; i < l->addresses.count; i++)
		if (!address_parse(&a, l->addresses.items[i], 0) || !address_is_loopback(&a))
			return false;
	return true;
}

void consent_public_url(const struct vault *v, struct buf *out)
{
	const struct config *c = v->config;
	/* Desk knows it best: it made the listener, and the system may have chosen the port. */
	struct span url = v->public_url.size ? buf_span(&v->public_url) : c->public_url;

	while (url.size && url.at[url.size - 1] == '/')
		url.size--;
	buf_put(out, url);
	for (size_t i = 0; i < c->listener_count && !url.size; i++) {
		const struct config_listener *l = &c->listeners[i];
		bool clear = span_equal(l->tls, SPAN("none"));

		if (!span_equal(l->protocol, SPAN("http")))
			continue;
		url = is_loopback(l) || !c->host_name.size ? SPAN("localhost") : c->host_name;
		buf_print(out, "%s://%.*s", clear ? "http" : "https", SPAN_ARGS(url));
		if (l->port && l->port != (clear ? 80 : 443))
			buf_print(out, ":%lld", (long long)l->port);
	}
}

void consent_redirect_uri(const struct vault *v, struct buf *out)
{
	consent_public_url(v, out);
	buf_put(out, SPAN("/oauth/callback"));
}

/* What a page shows of a link, good or not. */
json_t *consent_describe(const struct vault *v, const struct consent *c, const struct asker *a)
{
	const struct registry_mailbox *m = c ? registry_by_id(&v->registry.mailboxes, c->mailbox) : NULL;
	const struct registry_provider *p = m ? registry_by_id(&v->registry.providers, m->row.provider) : NULL;
	json_t *result = json_object();

	json_put_text(result, "language", span_of(language_name(m ? m->row.language : a->language)));
	if (!m)
		return result;
	json_put_text(result, "address", m->row.address);
	json_put_text(result, "name", m->row.name);
	if (p && p->provider)
		json_put_text(result, "provider", provider_kind(p->provider)->title);
	operations_put_date(result, "expires_at", c->expires_at_ms);
	return result;
}

enum fault consent_usable(const struct consent *c)
{
	if (!c)
		return FAULT_LINK_UNKNOWN;
	if (c->is_spent)
		return FAULT_LINK_SPENT;
	return clock_wall_ms() >= c->expires_at_ms ? FAULT_LINK_LATE : FAULT_OK;
}

struct consent *consent_by_link(struct vault *v, const json_t *arguments)
{
	unsigned char digest[SEAL_DIGEST_BYTES];

	return map_get(&v->consents->by_digest, consent_digest(digest, json_text(arguments, "link")));
}

bool consent_is_browser(const struct consent *c, struct span browser)
{
	unsigned char digest[SEAL_DIGEST_BYTES];

	return browser.size && secret_equal(consent_digest(digest, browser), consent_bytes(c->browser));
}

/* --- postern mailbox link */

struct making {
	struct asker asker;
	char secret[CONSENT_TEXT + 1];
	struct link_row row;
};

static enum fault store_link(struct change *c, struct sqlite *db)
{
	struct making *m = c->data;

	return links_add(db, &m->row, &m->row.id);
}

static void link_stored(struct change *change)
{
	struct making *m = change->data;
	struct vault *v = change->vault;
	const struct registry_mailbox *mailbox = registry_by_id(&v->registry.mailboxes, m->row.mailbox);
	json_t *result;
	struct buf url;

	if (change->fault != FAULT_OK || !mailbox) {
		asker_answer(v, &m->asker, change->fault == FAULT_OK || change->fault == FAULT_IN_USE ? FAULT_NOT_FOUND : change->fault, SPAN(""),
			     NULL);
		return;
	}
	take_row(v, &m->row);
	TRAIL(&v->trail, EVENT_LINK_MADE, TRAIL_TEXT("mailbox", mailbox->row.address), TRAIL_TEXT("actor", m->row.actor),
	      TRAIL_TEXT("way", SPAN("link")));
	result = json_object();
	buf_init(&url, CONSENT_URL_BYTES);
	consent_public_url(v, &url);
	buf_print(&url, "/link/%s", m->secret);
	json_put_text(result, "link", buf_span(&url));
	json_put_text(result, "address", mailbox->row.address);
	operations_put_date(result, "expires_at", m->row.expires_at_ms);
	asker_answer(v, &m->asker, FAULT_OK, SPAN(""), result);
	buf_wipe(&url);
}

void consent_make_link(struct vault *v, const struct asker *a, const struct registry_mailbox *mailbox)
{
	struct change *c;
	struct making *m;
	unsigned char *digest;

	if (map_count(&v->consents->by_id) >= LINKS_MAX) {
		asker_answer(v, a, FAULT_TOO_BUSY, SPAN(""), NULL);
		return;
	}
	c = change_new(v, store_link, link_stored, sizeof *m);
	m = c->data;
	digest = arena_take(c->arena, SEAL_DIGEST_BYTES);
	m->asker = *a;
	consent_random_text(m->secret);
	m->row = (struct link_row){ .mailbox = mailbox->row.id, .digest = consent_digest(digest, span_of(m->secret)), .actor = span_of(m->asker.actor),
				    .expires_at_ms = clock_wall_ms() + LIFETIME_MS };
	change_run_take(c);
}

/* --- consent.page */

static void page(struct vault *v, const struct asker *a, const json_t *arguments)
{
	const struct consent *c = consent_by_link(v, arguments);

	asker_answer(v, a, consent_usable(c), SPAN(""), consent_describe(v, c, a));
}

const struct vault_operation consent_operations[] = {
	{ "consent.page", page }, { "consent.press", consent_press }, { "consent.finish", consent_finish }, { NULL, NULL },
};
