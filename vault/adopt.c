#include "vault/inner.h"

#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* Taking over a refresh token. It is believed only after the provider renewed it for our registration and said whose it is; from there on it is a
 * sign-in like any other, with the same comparison of the account. The program that had it keeps its own. */

enum { FORM_BYTES_MAX = 128 * 1024 };

struct adoption {
	struct vault *vault;
	struct vault_pending pending;
	struct asker asker;
	uint64_t mailbox;
	struct secret *token;
	struct provider *asked;
	struct http_fetch *fetch;
};

static void drop(void *self)
{
	struct adoption *a = self;

	vault_pending_remove(&a->pending);
	if (a->asked)
		provider_forget(a->asked, a);
	http_cancel(&a->fetch);
	secret_free(&a->token);
	free(a);
}

static void fail(struct adoption *a, enum fault fault, struct span why)
{
	const struct registry_mailbox *m = registry_by_id(&a->vault->registry.mailboxes, a->mailbox);

	TRAIL(&a->vault->trail, EVENT_LINK_FAILED, TRAIL_TEXT("mailbox", m ? m->row.address : SPAN("")), TRAIL_TEXT("way", SPAN("adopt")),
	      TRAIL_TEXT("fault", span_of(fault_row(fault)->name)), TRAIL_TEXT("why", why));
	asker_answer(a->vault, &a->asker, fault, why, NULL);
	drop(a);
}

static void signed_in(void *self, const struct sign_in_result *r)
{
	struct adoption *a = self;
	const struct registry_mailbox *m = registry_by_id(&a->vault->registry.mailboxes, a->mailbox);
	json_t *result = json_object();

	json_put_text(result, "account", r->account);
	if (r->fault == FAULT_OK && m) {
		json_put_text(result, "address", m->row.address);
		asker_note(a->vault, &a->asker, m->row.address, operations_organisation(a->vault, m->row.organisation));
	}
	asker_answer(a->vault, &a->asker, r->fault, r->why, result);
	drop(a);
}

static void renewed(void *self, const struct http_answer *http)
{
	struct adoption *a = self;
	const struct sign_in_wish wish = { .mailbox = a->mailbox, .way = "adopt" };
	struct oauth_answer answer = { 0 };
	enum fault fault = http->fault;

	a->fetch = NULL;
	if (fault == FAULT_OK)
		fault = oauth_read_token(&answer, http->status, http->body);
	if (fault != FAULT_OK) {
		fail(a, fault, http->fault != FAULT_OK ? http->why : answer.description.size ? answer.description : answer.error);
	} else {
		/* Where the provider gave no new one, the one that was used goes on. */
		if (!answer.refresh_token.size)
			answer.refresh_token = secret_borrow(a->token);
		sign_in_begin_take(a->vault, &wish, &answer, signed_in, a);
		return;
	}
	oauth_answer_free(&answer);
}

static void endpoints_known(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct adoption *a = self;
	struct oauth_client client;
	struct buf form;

	if (fault != FAULT_OK) {
		a->asked = NULL;
		fail(a, fault, why);
		return;
	}
	client = provider_client(a->asked);
	a->asked = NULL;
	buf_init(&form, FORM_BYTES_MAX);
	if (!oauth_refresh_form(&form, &client, secret_borrow(a->token)))
		panic("a refresh form does not fit");
	a->fetch = sign_in_post(a->vault, e->token, buf_span(&form), renewed, a);
	buf_wipe(&form);
}

static bool is_token(struct span text)
{
	for (size_t i = 0; i < text.size; i++)
		if (text.at[i] <= ' ' || text.at[i] > '~')
			return false;
	return text.size > 0 && text.size <= OAUTH_TOKEN_BYTES;
}

void adopt_begin(struct vault *v, const struct asker *asker, const struct registry_mailbox *m, struct span token)
{
	struct provider *p = mailbox_provider(v, m);
	struct adoption *a;

	if (!p || provider_kind(p)->account == PROVIDER_ACCOUNT_NONE) {
		asker_answer(v, asker, FAULT_FORBIDDEN, SPAN("this provider knows no sign-in"), NULL);
		return;
	}
	if (m->sign_in.mailbox) {
		asker_answer(v, asker, FAULT_EXISTS, SPAN("this mailbox is linked already"), NULL);
		return;
	}
	if (!is_token(token)) {
		asker_answer(v, asker, FAULT_MALFORMED, SPAN("refresh_token: needed, one word"), NULL);
		return;
	}
	a = calloc(1, sizeof *a);
	if (!a)
		panic("out of memory");
	*a = (struct adoption){ .vault = v, .asker = *asker, .mailbox = m->row.id, .token = secret_new(token) };
	vault_pending_add(v, &a->pending, drop, a);
	a->asked = p;
	provider_endpoints(p, endpoints_known, a);
}
