#include "upstream/token_inner.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"

#include <stdio.h>

enum {
	FORM_BYTES_MAX = 128 * 1024,
	IN_FLIGHT_MAX = 64,
	BACKOFF_FIRST_MS = 5 * 1000,
	BACKOFF_LONGEST_MS = 15 * 60 * 1000,
	QUIET_LONGEST_MS = 60 * 60 * 1000,
};

static void ask(struct token *);

void token_leave_queue(struct token *t)
{
	struct tokens *all = t->all;

	for (struct token **at = &all->queue; *at; at = &(*at)->next_queued)
		if (*at == t) {
			*at = t->next_queued;
			if (all->queue_end == &t->next_queued)
				all->queue_end = at;
			break;
		}
	t->next_queued = NULL;
}

/* Gives the place in flight to the next that waits for one. What fails at once comes back here, and is not followed into the depth. */
void token_leave_flight(struct tokens *all)
{
	struct token *next;

	all->in_flight--;
	if (all->is_serving)
		return;
	all->is_serving = true;
	while ((next = all->queue) && all->in_flight < IN_FLIGHT_MAX) {
		token_leave_queue(next);
		ask(next);
	}
	all->is_serving = false;
}

void token_works(struct token *t)
{
	bool was_broken = t->fault != FAULT_OK;

	t->failures = 0;
	t->retry_at_ms = 0;
	token_set_why(t, FAULT_OK, SPAN(""));
	t->state = TOKEN_IDLE;
	t->forced = false;
	token_wipe_refresh(t);
	token_set_timer(t);
	token_answer_waiters(t, token_is_good(t) ? FAULT_OK : FAULT_UPSTREAM_BROKEN);
	if (was_broken)
		t->all->host->changed(t->all->host_self, t->mailbox, FAULT_OK, SPAN(""));
}

/* An answer that is too large, say, is no fault of the mail that waits for it: that waits on, or is held, and is never refused. */
static enum fault trouble_of(enum fault fault)
{
	enum fault_class class = fault_row(fault)->class;

	bool passes = class == FAULT_CLASS_RETRY || class == FAULT_CLASS_HOLD || class == FAULT_CLASS_INTERNAL;

	return passes ? fault : FAULT_UPSTREAM_BROKEN;
}

static void failed_until(struct token *t, enum fault reason, struct span why, int64_t wait_ms)
{
	bool good = token_is_good(t) && !t->forced;
	enum fault fault = trouble_of(reason);

	token_set_why(t, fault, why);
	t->state = TOKEN_IDLE;
	t->forced = false;
	token_wipe_refresh(t);
	t->failures++;
	t->retry_at_ms = token_now_ms(t) + wait_ms;
	if (t->access.size && token_is_good(t))
		token_set_timer(t);
	metric_add(METRIC_TOKEN_REFRESHES, fault_row(fault)->class == FAULT_CLASS_HOLD ? "hold" : "retry", 1);
	token_answer_waiters(t, good ? FAULT_OK : fault);
	t->all->host->changed(t->all->host_self, t->mailbox, fault, span_of(t->why));
}

static void failed(struct token *t, enum fault fault, struct span why)
{
	int64_t wait_ms = BACKOFF_FIRST_MS;

	for (unsigned i = 0; i < t->failures && wait_ms < BACKOFF_LONGEST_MS; i++)
		wait_ms *= 2;
	failed_until(t, fault, why, token_about(wait_ms < BACKOFF_LONGEST_MS ? wait_ms : BACKOFF_LONGEST_MS));
}

void token_save(struct token *t)
{
	const struct token_kept kept = { buf_span(&t->stored_refresh), buf_span(&t->stored_before), buf_span(&t->access),
					 t->expires_wall_ms, t->generation, buf_span(&t->tenant), buf_span(&t->object),
					 t->refresh_ends_wall_ms };

	t->state = TOKEN_STORING;
	t->all->host->save(t->all->host_self, t->mailbox, &kept);
}

/* The answer of the provider becomes ours. The token in memory changes now, but is given to nobody until it is stored. */
static void accept(struct token *t, const struct oauth_answer *a)
{
	struct span used = buf_span(t->tried_before ? &t->before : &t->refresh), fresh = a->refresh_token.size ? a->refresh_token : used;
	struct token_kept kept = { .access_token = a->access_token, .generation = t->generation + 1,
				   .expires_at_ms = clock_wall_ms() + a->expires_in_s * 1000 };

	token_take_access(t, &kept);
	t->refreshed_wall_ms = clock_wall_ms();
	t->refresh_ends_wall_ms = a->refresh_expires_in_s ? t->refreshed_wall_ms + a->refresh_expires_in_s * 1000 : 0;
	metric_add(METRIC_TOKEN_REFRESHES, "ok", 1);
	if (t->is_application) {
		token_works(t);
		return;
	}
	buf_put(&t->stored_refresh, fresh);
	buf_put(&t->stored_before, span_equal(fresh, used) ? buf_span(&t->before) : used);
	token_save(t);
}

/* The same account as ever, where the answer says whose it is. */
static bool is_same_account(struct token *t, const struct oauth_answer *a, char *why_out, size_t why_size)
{
	struct provider *p = t->all->host->provider(t->all->host_self, t->mailbox);
	struct account account;
	struct jwt j = { 0 };
	bool same = true;

	if (p && a->id_token.size && t->object.size && jwt_read(&j, a->id_token) == FAULT_OK) {
		account = account_of(&j, provider_kind(p)->account);
		same = !account.object.size || account_equal(&account, buf_span(&t->tenant), buf_span(&t->object));
		if (!same)
			snprintf(why_out, why_size, "the provider answered with tokens of %.*s", SPAN_ARGS(account.address));
	}
	jwt_free(&j);
	return same;
}

static void refused(struct token *t, enum fault fault, const struct oauth_answer *a, const struct http_answer *http)
{
	struct provider *p = t->all->host->provider(t->all->host_self, t->mailbox);
	int64_t wait_ms = http->retry_after_ms < QUIET_LONGEST_MS ? http->retry_after_ms : QUIET_LONGEST_MS;

	if (span_equal(a->error, SPAN("invalid_grant")) && !t->tried_before && t->before.size &&
	    !span_equal(buf_span(&t->before), buf_span(&t->refresh))) {
		t->tried_before = true;
		token_begin(t);
		return;
	}
	if (wait_ms > 0) {
		if (fault == FAULT_OAUTH_THROTTLED && p)
			provider_quiet(p, token_now_ms(t) + wait_ms);
		failed_until(t, fault, a->description, wait_ms);
		return;
	}
	failed(t, fault, a->description.size ? a->description : a->error);
}

static void answered(void *self, const struct http_answer *http)
{
	struct token *t = self;
	struct tokens *all = t->all;
	struct oauth_answer a = { 0 };
	enum fault fault = http->fault;
	char why[TOKEN_WHY_BYTES] = "";

	t->fetch = NULL;
	t->state = TOKEN_IDLE;
	if (fault != FAULT_OK) {
		failed(t, fault, http->why);
		token_leave_flight(all);
		return;
	}
	fault = oauth_read_token(&a, http->status, http->body);
	if (fault != FAULT_OK) {
		if (!a.error.size) {
			snprintf(why, sizeof why, "the token endpoint answered %d%s", http->status,
				 a.document ? "" : ", and no JSON");
			a.description = span_of(why);
		}
		refused(t, fault, &a, http);
	} else if (!is_same_account(t, &a, why, sizeof why)) {
		failed(t, FAULT_WRONG_ACCOUNT, span_of(why));
	} else {
		accept(t, &a);
	}
	oauth_answer_free(&a);
	token_leave_flight(all);
}

static void post_form(struct token *t, struct provider *p, struct span url)
{
	static const struct http_header headers[] = { { SPAN("Content-Type"), SPAN("application/x-www-form-urlencoded") },
						      { SPAN("Accept"), SPAN("application/json") } };
	struct http_request request = { .method = SPAN("POST"), .url = url, .headers = headers, .header_count = 2,
					.timeout_ms = TOKEN_DEADLINE_MS, .answer_bytes_max = OAUTH_ANSWER_BYTES };
	struct oauth_client client = provider_client(p);
	struct buf form, assertion;
	bool fits;

	buf_init(&form, FORM_BYTES_MAX);
	buf_init(&assertion, FORM_BYTES_MAX);
	if (t->is_application && provider_service(p))
		fits = provider_assert(p, buf_span(&t->address), url, &assertion) && oauth_assertion_form(&form, buf_span(&assertion));
	else
		fits = provider_prove(p, url, &client, &assertion) &&
		       (t->is_application ? oauth_application_form(&form, &client)
					  : oauth_refresh_form(&form, &client, buf_span(t->tried_before ? &t->before : &t->refresh)));
	if (!fits)
		panic("a form for a token does not fit");
	request.body = buf_span(&form);
	t->fetch = http_fetch(t->all->http, &request, answered, t);
	buf_wipe(&form);
	buf_wipe(&assertion);
}

static void endpoints_known(void *self, enum fault fault, struct span why, const struct provider_endpoints *e)
{
	struct token *t = self;
	struct provider *p = t->asked;

	t->asked = NULL;
	if (fault == FAULT_OK) {
		post_form(t, p, e->token);
		return;
	}
	t->state = TOKEN_IDLE;
	failed(t, fault == FAULT_CLOSED ? FAULT_UPSTREAM_BUSY : fault, why);
	token_leave_flight(t->all);
}

/* A refresh token is in hand: asks, or waits for a place. */
static void ask(struct token *t)
{
	struct tokens *all = t->all;
	struct provider *p = all->host->provider(all->host_self, t->mailbox);

	if (!p) {
		t->state = TOKEN_IDLE;
		failed(t, FAULT_NOT_LINKED, SPAN("the mailbox has no provider"));
		return;
	}
	if (all->in_flight >= IN_FLIGHT_MAX) {
		t->state = TOKEN_QUEUED;
		*all->queue_end = t;
		all->queue_end = &t->next_queued;
		return;
	}
	all->in_flight++;
	t->state = TOKEN_ASKING;
	t->asked = p;
	provider_endpoints(p, endpoints_known, t);
}

void token_begin(struct token *t)
{
	if (t->tried_before) {
		ask(t);
		return;
	}
	t->state = TOKEN_LOADING;
	t->all->host->load(t->all->host_self, t->mailbox);
}

void tokens_loaded(struct tokens *all, uint64_t mailbox, enum fault fault, const struct token_kept *kept)
{
	struct token *t = token_find(all, mailbox);

	if (!t || t->state != TOKEN_LOADING)
		return;
	t->is_application = kept->is_application;
	if (fault != FAULT_OK || (!kept->refresh_token.size && !t->is_application)) {
		t->state = TOKEN_IDLE;
		failed(t, fault != FAULT_OK ? fault : FAULT_NOT_LINKED, SPAN("the sign-in could not be read"));
		return;
	}
	if (!t->forced && !t->access.size && kept->access_token.size) {
		token_take_access(t, kept);
		/* Still good enough: no need to trouble the provider after a restart. */
		if (token_is_good(t) && t->fault == FAULT_OK) {
			token_works(t);
			return;
		}
	}
	if (!t->is_application)
		t->generation = kept->generation;
	token_wipe_refresh(t);
	buf_clear(&t->tenant);
	buf_clear(&t->object);
	buf_clear(&t->address);
	buf_put(&t->refresh, kept->refresh_token);
	buf_put(&t->before, kept->refresh_token_before);
	buf_put(&t->tenant, kept->tenant);
	buf_put(&t->object, kept->object);
	buf_put(&t->address, kept->address);
	ask(t);
}

void tokens_stored(struct tokens *all, uint64_t mailbox, enum fault fault)
{
	struct token *t = token_find(all, mailbox);

	if (!t || t->state != TOKEN_STORING)
		return;
	if (fault == FAULT_OK) {
		token_works(t);
		return;
	}
	/* The provider may have withdrawn the old token with this answer: it must not be lost, nor used before it is safe. */
	token_set_why(t, fault, SPAN("the new token could not be stored yet"));
	token_answer_waiters(t, fault);
	all->host->changed(all->host_self, mailbox, fault, span_of(t->why));
	timer_after(&t->timer, TOKEN_STORE_AGAIN_MS);
}
