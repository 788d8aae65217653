#include "vault/inner.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"
#include "store/links.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEADER_BYTES = OAUTH_TOKEN_BYTES + 16, GUID_BYTES = 36 };

/* From the answer of the token endpoint to a stored sign-in: who is it, may we believe that, is it the account meant. */
struct sign_in {
	struct vault *vault;
	struct vault_pending pending;
	struct sign_in_wish wish;
	char nonce[64], account_text[320];
	struct oauth_answer answer;
	struct jwt token;
	struct jwt person;     /* what userinfo said besides */
	bool is_fresh;         /* the keys were fetched for this token */
	struct http_fetch *fetch;
	sign_in_done *done;
	void *self;
};

static const struct span MAILBOX = { "mailbox", 7 };

static void drop(void *self)
{
	struct sign_in *s = self;

	vault_pending_remove(&s->pending);
	http_cancel(&s->fetch);
	oauth_answer_free(&s->answer);
	jwt_free(&s->token);
	jwt_free(&s->person);
	free(s);
}

static void finish(struct sign_in *s, enum fault fault, struct span why)
{
	struct vault *v = s->vault;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, s->wish.mailbox);
	const struct sign_in_result result = { fault, why, span_of(s->account_text) };
	struct span address = m ? m->row.address : (struct span){ "", 0 };

	metric_add(METRIC_SIGN_INS, fault == FAULT_OK ? "ok" : fault == FAULT_WRONG_ACCOUNT ? "wrong_account" : "failed", 1);
	if (fault == FAULT_OK)
		TRAIL(&v->trail, EVENT_LINKED, TRAIL_TEXT("mailbox", address), TRAIL_TEXT("account", result.account),
		      TRAIL_TEXT("way", span_of(s->wish.way)));
	else
		TRAIL(&v->trail, EVENT_LINK_FAILED, TRAIL_TEXT("mailbox", address), TRAIL_TEXT("account", result.account),
		      TRAIL_TEXT("way", span_of(s->wish.way)), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)), TRAIL_TEXT("why", why));
	s->done(s->self, &result);
	drop(s);
}

/* --- storing */

struct stored {
	struct sign_in *sign_in;
	uint64_t link;
	struct sign_in_row row;
	struct secret_row refresh, access;
};

static enum fault store(struct change *c, struct sqlite *db)
{
	const struct stored *s = c->data;
	enum fault fault = s->link ? links_spend(db, s->link) : FAULT_OK;

	if (fault == FAULT_OK)
		fault = secrets_remove_all(db, MAILBOX, s->row.mailbox);
	if (fault == FAULT_OK)
		fault = sign_ins_put(db, &s->row);
	if (fault == FAULT_OK)
		fault = secrets_put(db, &s->refresh);
	return fault == FAULT_OK ? secrets_put(db, &s->access) : fault;
}

static void stored(struct change *c)
{
	const struct stored *d = c->data;
	struct sign_in *s = d->sign_in;
	struct vault *v = s->vault;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, d->row.mailbox);
	struct token_kept kept = { .refresh_token = s->answer.refresh_token, .access_token = s->answer.access_token,
				   .expires_at_ms = d->row.expires_at_ms, .generation = d->row.generation };

	if (c->fault != FAULT_OK || !m) {
		finish(s, c->fault == FAULT_OK || c->fault == FAULT_IN_USE ? FAULT_NOT_FOUND : c->fault, SPAN(""));
		return;
	}
	registry_put_sign_in(&v->registry, &d->row);
	tokens_linked(v->tokens, d->row.mailbox, &kept);
	mailbox_mended(v, d->row.mailbox);
	lookout_soon(v);
	finish(s, FAULT_OK, SPAN(""));
}

static void put(struct sign_in *s, const struct account *account)
{
	struct vault *v = s->vault;
	uint64_t mailbox = s->wish.mailbox;
	struct change *c = change_new(v, store, stored, sizeof(struct stored));
	struct stored *d = c->data;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, mailbox);
	int64_t now_ms = clock_wall_ms();

	d->sign_in = s;
	d->link = s->wish.link;
	d->row = (struct sign_in_row){
		.mailbox = mailbox, .tenant = account->tenant, .object = account->object, .account = account->address,
		.generation = tokens_state(v->tokens, mailbox).generation + 1, .linked_at_ms = now_ms, .refreshed_at_ms = now_ms,
		.expires_at_ms = now_ms + s->answer.expires_in_s * 1000, .lasts_ms = m ? m->sign_in.lasts_ms : 0,
		.ends_at_ms = s->answer.refresh_expires_in_s ? -(now_ms + s->answer.refresh_expires_in_s * 1000) : 0,
	};
	d->refresh = change_seal(c, MAILBOX, mailbox, SPAN("refresh_token"), s->answer.refresh_token);
	d->access = change_seal(c, MAILBOX, mailbox, SPAN("access_token"), s->answer.access_token);
	change_run_take(c);
}

/* --- judging */

static bool is_guid(struct span text)
{
	if (text.size != GUID_BYTES)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		char c = text.at[i];
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
			return false;
	}
	return true;
}

static void compare(struct sign_in *s)
{
	struct vault *v = s->vault;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, s->wish.mailbox);
	struct provider *p = m ? mailbox_provider(v, m) : NULL;
	struct account account;
	struct span tenant;
	char why[VAULT_WHY_BYTES];

	if (!p) {
		finish(s, FAULT_NOT_FOUND, SPAN(""));
		return;
	}
	account = account_of(&s->token, provider_kind(p)->account);
	tenant = provider_row(p)->tenant;
	snprintf(s->account_text, sizeof s->account_text, "%.*s", SPAN_ARGS(account.address));
	if (!account.object.size) {
		finish(s, FAULT_ID_TOKEN_WRONG, SPAN("the provider did not say who signed in"));
		return;
	}
	if (!account_has_address(&s->token, provider_kind(p)->account, m->row.address, m->row.aliases)) {
		snprintf(why, sizeof why, "%s signed in, but the mailbox is %.*s", s->account_text, SPAN_ARGS(m->row.address));
		finish(s, FAULT_WRONG_ACCOUNT, span_of(why));
		return;
	}
	if (is_guid(tenant) && account.tenant.size && !span_equal_fold(tenant, account.tenant)) {
		snprintf(why, sizeof why, "%s signed in at tenant %.*s, but the provider's tenant is %.*s", s->account_text,
			 SPAN_ARGS(account.tenant), SPAN_ARGS(tenant));
		finish(s, FAULT_WRONG_ACCOUNT, span_of(why));
		return;
	}
	put(s, &account);
}

static void verify(struct sign_in *s, struct provider *p, bool fresh);

static struct provider *provider_of(const struct sign_in *s)
{
	const struct registry_mailbox *m = registry_by_id(&s->vault->registry.mailboxes, s->wish.mailbox);

	return m ? mailbox_provider(s->vault, m) : NULL;
}

/* --- userinfo, for providers that give no id_token, or one without an address (OpenID Connect Core 5.4: with a code the claims of `email` may
 * stand there alone) */

static void userinfo_came(void *self, const struct http_answer *http)
{
	struct sign_in *s = self;
	bool has_token = s->token.subject.size > 0;
	struct jwt *into = has_token ? &s->person : &s->token;

	s->fetch = NULL;
	if (http->fault != FAULT_OK || http->status != 200 || jwt_read_claims(into, http->body) != FAULT_OK) {
		finish(s, http->fault != FAULT_OK ? http->fault : FAULT_UPSTREAM_BROKEN, SPAN("the provider did not say who signed in"));
		return;
	}
	/* OpenID Connect Core 5.3.2: the answer may be about somebody else. */
	if (has_token && !span_equal(s->person.subject, s->token.subject)) {
		finish(s, FAULT_ID_TOKEN_WRONG, SPAN("userinfo is about another account than the id_token"));
		return;
	}
	if (has_token) {
		s->token.email = s->person.email;
		s->token.email_is_verified = s->person.email_is_verified;
		s->token.preferred_username = s->person.preferred_username;
	}
	compare(s);
}

static void ask_userinfo(struct sign_in *s, struct span url)
{
	struct http_header header = { SPAN("Authorization"), { 0, 0 } };
	struct http_request request = { .method = SPAN("GET"), .url = url, .headers = &header, .header_count = 1,
					.timeout_ms = TOKEN_DEADLINE_MS };
	struct buf value;

	buf_init(&value, HEADER_BYTES);
	buf_put(&value, SPAN("Bearer "));
	buf_put(&value, s->answer.access_token);
	header.value = buf_span(&value);
	s->fetch = http_fetch(s->vault->http, &request, userinfo_came, s);
	buf_wipe(&value);
}

static void userinfo_known(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct sign_in *s = self;

	if (fault == FAULT_OK && e->userinfo.size)
		ask_userinfo(s, e->userinfo);
	else
		compare(s);
}

static void believed(struct sign_in *s)
{
	struct provider *p = provider_of(s);

	if (p && !account_names_address(&s->token, provider_kind(p)->account))
		provider_endpoints(p, userinfo_known, s);
	else
		compare(s);
}

/* --- the id_token */

static void got_keys(void *self, enum fault fault, struct span key_set)
{
	struct sign_in *s = self;
	struct provider *p = provider_of(s);

	/* Straight from the token endpoint over verified TLS: good without the keys, should they be out of reach (OpenID Connect Core 3.1.3.7). */
	if (fault != FAULT_OK) {
		believed(s);
		return;
	}
	fault = jwt_verify(&s->token, key_set);
	if (fault == FAULT_NOT_FOUND && !s->is_fresh && p) {
		verify(s, p, true);
		return;
	}
	if (fault != FAULT_OK)
		finish(s, FAULT_ID_TOKEN_WRONG, SPAN("the signature of the id_token does not hold"));
	else
		believed(s);
}

static void verify(struct sign_in *s, struct provider *p, bool fresh)
{
	s->is_fresh = fresh;
	provider_keys(p, fresh, got_keys, s);
}

static void check(struct sign_in *s, struct provider *p, const struct provider_endpoints *e)
{
	const struct jwt_expected expected = { e->issuer, provider_row(p)->client_id, span_of(s->nonce), clock_wall_ms() };
	char why[VAULT_WHY_BYTES];
	const char *claim;

	if (jwt_read(&s->token, s->answer.id_token) != FAULT_OK) {
		finish(s, FAULT_ID_TOKEN_WRONG, SPAN("the id_token cannot be read"));
		return;
	}
	if (jwt_check(&s->token, &expected, &claim) != FAULT_OK) {
		snprintf(why, sizeof why, "the claim `%s` of the id_token does not hold", claim);
		finish(s, FAULT_ID_TOKEN_WRONG, span_of(why));
		return;
	}
	verify(s, p, false);
}

static void endpoints_known(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct sign_in *s = self;
	struct provider *p = provider_of(s);

	if (fault != FAULT_OK || !p)
		finish(s, fault == FAULT_OK ? FAULT_NOT_FOUND : fault, why);
	else if (s->answer.id_token.size)
		check(s, p, e);
	else if (e->userinfo.size)
		ask_userinfo(s, e->userinfo);
	else
		finish(s, FAULT_ID_TOKEN_WRONG, SPAN("the provider gave no id_token; its scopes need `openid`"));
}

void sign_in_begin_take(struct vault *v, const struct sign_in_wish *wish, struct oauth_answer *answer, sign_in_done *done, void *self)
{
	struct sign_in *s = calloc(1, sizeof *s);
	struct provider *p;

	if (!s)
		panic("out of memory");
	*s = (struct sign_in){ .vault = v, .wish = *wish, .answer = *answer, .done = done, .self = self };
	*answer = (struct oauth_answer){ 0 };
	vault_pending_add(v, &s->pending, drop, s);
	snprintf(s->nonce, sizeof s->nonce, "%.*s", SPAN_ARGS(wish->nonce));
	p = provider_of(s);
	if (!p)
		finish(s, FAULT_NOT_FOUND, SPAN(""));
	else if (!s->answer.refresh_token.size)
		finish(s, FAULT_REFRESH_TOKEN_MISSING, SPAN(""));
	else
		provider_endpoints(p, endpoints_known, s);
}

struct http_fetch *sign_in_post(struct vault *v, struct span url, struct span form, http_done *done, void *self)
{
	static const struct http_header headers[] = { { SPAN("Content-Type"), SPAN("application/x-www-form-urlencoded") },
						      { SPAN("Accept"), SPAN("application/json") } };
	const struct http_request request = { .method = SPAN("POST"), .url = url, .headers = headers, .header_count = 2, .body = form,
					      .timeout_ms = TOKEN_DEADLINE_MS, .answer_bytes_max = OAUTH_ANSWER_BYTES };

	return http_fetch(v->http, &request, done, self);
}
