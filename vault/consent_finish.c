#include "vault/consent_parts.h"

#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* --- consent.finish */

struct finish {
	struct vault *vault;
	struct vault_pending pending;
	struct http_fetch *fetch;
	struct asker asker;
	uint64_t link;
	char nonce[CONSENT_TEXT + 1];
	struct secret *code, *verifier;
	enum fault unsealed;
	struct secret_row sealed;
	struct change *change;
};

static void drop(void *self)
{
	struct finish *f = self;

	vault_pending_remove(&f->pending);
	http_cancel(&f->fetch);
	secret_free(&f->code);
	secret_free(&f->verifier);
	free(f);
}

static void finish_answer(struct finish *f, enum fault fault, struct span why, struct span account)
{
	struct vault *v = f->vault;
	struct consent *c = registry_by_id(&v->consents->by_id, f->link);
	json_t *result;

	if (c) {
		c->is_busy = false;
		c->is_spent = c->is_spent || fault == FAULT_OK;
		c->wrong += fault == FAULT_WRONG_ACCOUNT;
	}
	result = consent_describe(v, c, &f->asker);
	json_put_text(result, "account", account);
	json_put_flag(result, "link_usable", consent_usable(c) == FAULT_OK);
	asker_answer(v, &f->asker, fault, why, result);
	drop(f);
}

static void signed_in(void *self, const struct sign_in_result *r)
{
	finish_answer(self, r->fault, r->why, r->account);
}

static void token_came(void *self, const struct http_answer *http)
{
	struct finish *f = self;
	struct consent *c = registry_by_id(&f->vault->consents->by_id, f->link);
	struct sign_in_wish wish = { .link = f->link, .nonce = span_of(f->nonce), .way = "link" };
	struct oauth_answer answer = { 0 };
	enum fault fault = http->fault;

	f->fetch = NULL;
	if (fault != FAULT_OK || !c) {
		finish_answer(f, fault == FAULT_OK ? FAULT_LINK_UNKNOWN : fault, http->why, SPAN(""));
		return;
	}
	fault = oauth_read_token(&answer, http->status, http->body);
	if (fault == FAULT_OK) {
		wish.mailbox = c->mailbox;
		sign_in_begin_take(f->vault, &wish, &answer, signed_in, f);
		return;
	}
	finish_answer(f, fault, answer.description, SPAN(""));
	oauth_answer_free(&answer);
}

static void finish_endpoints(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct finish *f = self;
	struct vault *v = f->vault;
	const struct consent *c = registry_by_id(&v->consents->by_id, f->link);
	const struct registry_mailbox *m = c ? registry_by_id(&v->registry.mailboxes, c->mailbox) : NULL;
	struct provider *provider = m ? mailbox_provider(v, m) : NULL;
	struct buf redirect, form;
	struct oauth_client client;

	if (fault != FAULT_OK || !provider) {
		finish_answer(f, fault == FAULT_OK ? FAULT_NOT_FOUND : fault, why, SPAN(""));
		return;
	}
	client = provider_client(provider);
	buf_init(&redirect, CONSENT_URL_BYTES);
	buf_init(&form, OAUTH_TOKEN_BYTES * 4);
	consent_redirect_uri(v, &redirect);
	if (oauth_code_form(&form, &client, secret_borrow(f->code), buf_span(&redirect), secret_borrow(f->verifier)))
		f->fetch = sign_in_post(v, e->token, buf_span(&form), token_came, f);
	else
		finish_answer(f, FAULT_TOO_LARGE, SPAN(""), SPAN(""));
	buf_free(&redirect);
	buf_wipe(&form);
}

static void keep_verifier(void *self, const struct secret_row *row)
{
	struct finish *f = self;

	f->sealed = *row;
	f->sealed.sealed = arena_copy(f->change->arena, row->sealed);
}

static enum fault read_verifier(struct change *c, struct sqlite *db)
{
	struct finish *f = *(struct finish **)c->data;

	return secrets_get(db, SPAN("link"), f->link, SPAN("verifier"), keep_verifier, f);
}

static void verifier_read(struct change *change)
{
	struct finish *f = *(struct finish **)change->data;
	struct vault *v = change->vault;
	const struct consent *c = registry_by_id(&v->consents->by_id, f->link);
	const struct registry_mailbox *m = c ? registry_by_id(&v->registry.mailboxes, c->mailbox) : NULL;
	struct provider *provider = m ? mailbox_provider(v, m) : NULL;
	enum fault fault = change->fault;
	struct buf text;

	buf_init(&text, KEYRING_SEALED_BYTES_MAX);
	if (fault == FAULT_OK && f->sealed.sealed.size)
		fault = keyring_unseal(v->keys, &text, &f->sealed);
	f->verifier = secret_new(buf_span(&text));
	buf_wipe(&text);
	if (fault == FAULT_OK && provider)
		provider_endpoints(provider, finish_endpoints, f);
	else
		finish_answer(f, fault == FAULT_OK ? FAULT_NOT_FOUND : fault, SPAN(""), SPAN(""));
}

static void exchange(struct vault *v, const struct asker *a, struct consent *c, struct span code)
{
	struct finish *f = calloc(1, sizeof *f);
	struct change *change = change_new(v, read_verifier, verifier_read, sizeof f);

	if (!f)
		panic("out of memory");
	*f = (struct finish){ .vault = v, .asker = *a, .link = c->id, .code = secret_new(code), .change = change };
	vault_pending_add(v, &f->pending, drop, f);
	snprintf(f->nonce, sizeof f->nonce, "%s", c->nonce);
	*(struct finish **)change->data = f;
	c->is_busy = c->is_consumed = true;
	change_run_take(change);
}

/* The provider's own words for a refusal, as far as they are known. */
static void refused(struct vault *v, const struct asker *a, struct consent *c, const json_t *arguments)
{
	struct oauth_answer answer;
	json_t *result = consent_describe(v, c, a), *words = json_object();
	struct buf text;
	enum fault fault;

	buf_init(&text, OAUTH_ANSWER_BYTES);
	json_put_text(words, "error", json_text(arguments, "error"));
	json_put_text(words, "error_description", json_text(arguments, "error_description"));
	json_write(&text, words);
	fault = oauth_read_token(&answer, 400, buf_span(&text));
	json_put_flag(result, "link_usable", true);
	TRAIL(&v->trail, EVENT_LINK_FAILED, TRAIL_TEXT("mailbox", json_text(result, "address")), TRAIL_TEXT("way", SPAN("link")),
	      TRAIL_TEXT("fault", span_of(fault_row(fault)->name)), TRAIL_TEXT("why", answer.description));
	asker_answer(v, a, fault == FAULT_OK ? FAULT_OAUTH_REQUEST_WRONG : fault, answer.description, result);
	oauth_answer_free(&answer);
	json_decref(words);
	buf_free(&text);
	c->is_consumed = true;
}

void consent_finish(struct vault *v, const struct asker *a, const json_t *arguments)
{
	unsigned char digest[SEAL_DIGEST_BYTES];
	struct consent *c = map_get(&v->consents->by_state, consent_digest(digest, json_text(arguments, "state")));
	struct span code = json_text(arguments, "code");
	enum fault fault = c ? consent_usable(c) : FAULT_LINK_UNKNOWN;

	if (fault == FAULT_OK && !consent_is_browser(c, json_text(arguments, "browser")))
		fault = FAULT_LINK_FOREIGN;
	if (fault == FAULT_OK && c->is_consumed)
		fault = FAULT_OAUTH_CODE_SPENT;
	if (fault == FAULT_OK && json_text(arguments, "error").size)
		refused(v, a, c, arguments);
	else if (fault == FAULT_OK && code.size && code.size <= OAUTH_TOKEN_BYTES)
		exchange(v, a, c, code);
	else
		asker_answer(v, a, fault == FAULT_OK ? FAULT_MALFORMED : fault, SPAN(""), consent_describe(v, c, a));
}
