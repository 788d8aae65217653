#include "vault/consent_parts.h"

#include "base/panic.h"
#include "store/links.h"

#include <stdio.h>
#include <stdlib.h>

/* --- consent.press */

struct press {
	struct vault *vault;
	struct vault_pending pending;
	struct asker asker;
	uint64_t link;
	char browser[CONSENT_TEXT + 1], state[CONSENT_TEXT + 1], nonce[CONSENT_TEXT + 1], verifier[CONSENT_TEXT + 1];
	struct link_row row;
	struct secret_row sealed;
	char *url;
};

static void press_free(void *self)
{
	struct press *p = self;

	vault_pending_remove(&p->pending);
	secret_wipe(p, sizeof *p);
	free(p);
}

static enum fault store_press(struct change *c, struct sqlite *db)
{
	struct press *p = c->data;
	enum fault fault = links_press(db, &p->row);

	return fault == FAULT_OK ? secrets_put(db, &p->sealed) : fault;
}

static void press_stored(struct change *change)
{
	struct press *p = change->data;
	struct vault *v = change->vault;
	struct consent *c = registry_by_id(&v->consents->by_id, p->link);
	enum fault fault = change->fault != FAULT_OK ? change->fault : consent_usable(c);
	json_t *result;

	/* Two browsers pressed at once: the first one stored has it. */
	if (fault == FAULT_OK && c->is_bound && !consent_is_browser(c, span_of(p->browser)))
		fault = FAULT_LINK_FOREIGN;
	if (fault != FAULT_OK) {
		asker_answer(v, &p->asker, fault, SPAN(""), consent_describe(v, c, &p->asker));
		return;
	}
	consent_unpress(v, c);
	consent_copy_digest(c->browser, p->row.browser);
	consent_copy_digest(c->state, p->row.state);
	snprintf(c->nonce, sizeof c->nonce, "%s", p->nonce);
	c->is_bound = c->is_pressed = true;
	c->is_consumed = false;
	map_put(&v->consents->by_state, consent_bytes(c->state), c);
	result = consent_describe(v, c, &p->asker);
	json_put_text(result, "url", span_of(p->url));
	json_put_text(result, "browser", span_of(p->browser));
	asker_answer(v, &p->asker, FAULT_OK, SPAN(""), result);
}

static bool put_url(const struct vault *v, const struct press *p, struct provider *provider, const struct provider_endpoints *e,
		    const struct consent *c, struct buf *out)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, c->mailbox);
	const struct provider_kind *kind = provider_kind(provider);
	struct oauth_client client = provider_client(provider);
	struct oauth_authorize ask = { .endpoint = e->authorize, .state = span_of(p->state), .nonce = span_of(p->nonce), .prompt = kind->prompt,
				       .extra = kind->extra };
	struct buf redirect, challenge;
	bool whole;

	buf_init(&redirect, CONSENT_URL_BYTES);
	buf_init(&challenge, 64);
	consent_redirect_uri(v, &redirect);
	oauth_challenge(&challenge, span_of(p->verifier));
	ask.redirect_uri = buf_span(&redirect);
	ask.challenge = buf_span(&challenge);
	/* Where both cannot be had, the choice of account comes first; after the wrong one came, the right one is asked for by name. */
	if (!kind->hint_alone || c->wrong)
		ask.login_hint = m->row.address;
	if (kind->hint_alone && c->wrong)
		ask.prompt = SPAN("login");
	whole = oauth_authorize_url(out, &client, &ask);
	buf_free(&redirect);
	buf_free(&challenge);
	return whole;
}

static void store_pressed(struct press *p, struct span url)
{
	struct change *change = change_new(p->vault, store_press, press_stored, sizeof *p);
	struct press *to = change->data;
	unsigned char *browser = arena_take(change->arena, SEAL_DIGEST_BYTES), *state = arena_take(change->arena, SEAL_DIGEST_BYTES);

	*to = *p;
	to->row = (struct link_row){ .id = p->link, .browser = consent_digest(browser, span_of(p->browser)),
				     .state = consent_digest(state, span_of(p->state)), .nonce = span_of(to->nonce) };
	to->sealed = change_seal(change, SPAN("link"), p->link, SPAN("verifier"), span_of(p->verifier));
	to->url = arena_text(change->arena, url);
	change_run_take(change);
}

static void press_endpoints(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct press *p = self;
	struct vault *v = p->vault;
	struct consent *c = registry_by_id(&v->consents->by_id, p->link);
	const struct registry_mailbox *m = c ? registry_by_id(&v->registry.mailboxes, c->mailbox) : NULL;
	struct provider *provider = m ? mailbox_provider(v, m) : NULL;
	struct buf url;

	buf_init(&url, CONSENT_URL_BYTES);
	if (fault == FAULT_OK)
		fault = !provider ? FAULT_NOT_FOUND : put_url(v, p, provider, e, c, &url) ? FAULT_OK : FAULT_TOO_LARGE;
	if (fault == FAULT_OK)
		store_pressed(p, buf_span(&url));
	else
		asker_answer(v, &p->asker, fault, why, consent_describe(v, c, &p->asker));
	buf_wipe(&url);
	press_free(p);
}

void consent_press(struct vault *v, const struct asker *a, const json_t *arguments)
{
	struct consent *c = consent_by_link(v, arguments);
	struct span browser = json_text(arguments, "browser");
	const struct registry_mailbox *m = c ? registry_by_id(&v->registry.mailboxes, c->mailbox) : NULL;
	struct provider *provider = m ? mailbox_provider(v, m) : NULL;
	enum fault fault = consent_usable(c);
	struct press *p;

	if (fault == FAULT_OK && c->is_bound && !consent_is_browser(c, browser))
		fault = FAULT_LINK_FOREIGN;
	if (fault == FAULT_OK && !provider)
		fault = FAULT_NOT_FOUND;
	if (fault == FAULT_OK && provider_kind(provider)->account == PROVIDER_ACCOUNT_NONE)
		fault = FAULT_FORBIDDEN;
	if (fault != FAULT_OK) {
		asker_answer(v, a, fault, SPAN(""), consent_describe(v, c, a));
		return;
	}
	p = calloc(1, sizeof *p);
	if (!p)
		panic("out of memory");
	*p = (struct press){ .vault = v, .asker = *a, .link = c->id };
	vault_pending_add(v, &p->pending, press_free, p);
	/* Only a cookie of our own making is taken up; one that was planted would let its planter go on with the link. */
	if (c->is_bound)
		snprintf(p->browser, sizeof p->browser, "%.*s", SPAN_ARGS(browser));
	else
		consent_random_text(p->browser);
	consent_random_text(p->state);
	consent_random_text(p->nonce);
	consent_random_text(p->verifier);
	provider_endpoints(provider, press_endpoints, p);
}
