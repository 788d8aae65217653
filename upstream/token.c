#include "upstream/token_inner.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>

enum { MARGIN_MS = 30 * 1000, FORCE_AGAIN_MS = 60 * 1000, DAY_MS = 24 * 3600 * 1000, SPREAD_MINUTES = 36 * 60 };

static void tick(void *self);

static struct span key_of(const uint64_t *mailbox)
{
	return (struct span){ (const char *)mailbox, sizeof *mailbox };
}

struct token *token_find(const struct tokens *all, uint64_t mailbox)
{
	return map_get(&all->by_mailbox, key_of(&mailbox));
}

struct tokens *tokens_new(struct loop *loop, struct http_client *http, const struct token_host *host, void *host_self)
{
	struct tokens *all = calloc(1, sizeof *all);

	if (!all)
		panic("out of memory");
	*all = (struct tokens){ .loop = loop, .http = http, .host = host, .host_self = host_self };
	all->queue_end = &all->queue;
	map_init(&all->by_mailbox, false);
	return all;
}

static struct buf *secrets_of(struct token *t, size_t at)
{
	struct buf *all[] = { &t->refresh, &t->before, &t->stored_refresh, &t->stored_before };

	return at < sizeof all / sizeof *all ? all[at] : NULL;
}

void token_wipe_refresh(struct token *t)
{
	for (size_t i = 0; secrets_of(t, i); i++)
		buf_wipe(secrets_of(t, i));
	t->tried_before = false;
}

static struct token *token_new(struct tokens *all, uint64_t mailbox)
{
	struct token *t = calloc(1, sizeof *t);

	if (!t)
		panic("out of memory");
	t->all = all;
	t->mailbox = mailbox;
	buf_init(&t->access, OAUTH_TOKEN_BYTES);
	buf_init(&t->tenant, TOKEN_WHY_BYTES);
	buf_init(&t->object, TOKEN_WHY_BYTES);
	buf_init(&t->address, TOKEN_WHY_BYTES);
	for (size_t i = 0; secrets_of(t, i); i++)
		buf_init(secrets_of(t, i), OAUTH_TOKEN_BYTES);
	timer_init(&t->timer, all->loop, tick, t);
	map_put(&all->by_mailbox, key_of(&t->mailbox), t);
	return t;
}

int64_t token_now_ms(const struct token *t)
{
	return loop_now_ms(t->all->loop);
}

/* By both clocks: post and the provider go by the wall, which may have jumped forward. */
bool token_is_good(const struct token *t)
{
	return t->access.size && t->expires_at_ms - MARGIN_MS > token_now_ms(t) && t->expires_wall_ms - MARGIN_MS > clock_wall_ms();
}

static void give(struct token *t, struct token_waiter *w, enum fault fault)
{
	struct token_answer a = { .fault = fault, .generation = t->generation };

	if (fault == FAULT_OK) {
		a.access_token = buf_span(&t->access);
		a.expires_at_ms = t->expires_wall_ms;
		t->used = true;
	} else {
		a.why = span_of(t->why);
	}
	w->done(w->self, w->request, &a);
}

void token_answer_waiters(struct token *t, enum fault fault)
{
	struct token_waiter *next, *w = t->waiters;

	for (t->waiters = NULL; w; w = next) {
		next = w->next;
		give(t, w, fault);
		free(w);
	}
}

/* Ends whatever a refresh is doing, without an answer. */
static void stop(struct token *t)
{
	bool in_flight = t->state == TOKEN_ASKING;

	if (t->asked)
		provider_forget(t->asked, t);
	t->asked = NULL;
	http_cancel(&t->fetch);
	if (t->state == TOKEN_QUEUED)
		token_leave_queue(t);
	t->state = TOKEN_IDLE;
	token_wipe_refresh(t);
	timer_stop(&t->timer);
	if (in_flight)
		token_leave_flight(t->all);
}

static void token_free(struct token *t, enum fault fault)
{
	stop(t);
	snprintf(t->why, sizeof t->why, "%s", "");
	token_answer_waiters(t, fault);
	buf_wipe(&t->access);
	buf_free(&t->tenant);
	buf_free(&t->object);
	buf_free(&t->address);
	free(t);
}

void tokens_free(struct tokens **tokens)
{
	struct tokens *all = *tokens;
	struct token *t;
	size_t at = 0;

	if (!all)
		return;
	while ((t = map_next(&all->by_mailbox, &at))) {
		map_remove(&all->by_mailbox, key_of(&t->mailbox));
		token_free(t, FAULT_VAULT_AWAY);
	}
	map_free(&all->by_mailbox);
	free(all);
	*tokens = NULL;
}

void token_set_why(struct token *t, enum fault fault, struct span why)
{
	t->fault = fault;
	snprintf(t->why, sizeof t->why, "%.*s", (int)(why.size < TOKEN_WHY_BYTES ? why.size : TOKEN_WHY_BYTES - 1), why.at);
}

void tokens_add(struct tokens *all, uint64_t mailbox, int64_t refreshed_at_ms, enum fault fault, struct span why)
{
	struct token *t = token_find(all, mailbox);

	if (!t)
		t = token_new(all, mailbox);
	t->refreshed_wall_ms = refreshed_at_ms;
	token_set_why(t, fault, why);
}

void tokens_remove(struct tokens *all, uint64_t mailbox)
{
	struct token *t = map_remove(&all->by_mailbox, key_of(&mailbox));

	if (t)
		token_free(t, FAULT_NOT_LINKED);
}

int64_t token_about(int64_t ms)
{
	return ms - ms / 10 + (int64_t)rand_below((uint64_t)ms / 5 + 1);
}

/* The next thing that happens by itself: a refresh ahead of the end, or forgetting a token nobody uses. */
void token_set_timer(struct token *t)
{
	int64_t life_ms = t->expires_at_ms - t->obtained_at_ms, at_ms;

	if (!t->access.size) {
		timer_stop(&t->timer);
		return;
	}
	at_ms = t->obtained_at_ms + token_about(life_ms * 8 / 10);
	if (at_ms < t->retry_at_ms)
		at_ms = t->retry_at_ms;
	if (at_ms <= token_now_ms(t))
		at_ms = token_now_ms(t) + 1;
	timer_at(&t->timer, at_ms < t->expires_at_ms ? at_ms : t->expires_at_ms);
}

void token_take_access(struct token *t, const struct token_kept *kept)
{
	int64_t left_ms = kept->expires_at_ms - clock_wall_ms();

	buf_wipe(&t->access);
	t->generation = kept->generation;
	t->used = false;
	if (left_ms <= 0 || !buf_put(&t->access, kept->access_token))
		return;
	/* A wall clock that was wrong when it was stored must not make a token immortal. */
	if (left_ms > (int64_t)OAUTH_LIFETIME_MAX_S * 1000)
		left_ms = 0;
	t->expires_wall_ms = kept->expires_at_ms;
	t->obtained_at_ms = token_now_ms(t);
	t->expires_at_ms = t->obtained_at_ms + left_ms;
}

void tokens_linked(struct tokens *all, uint64_t mailbox, const struct token_kept *kept)
{
	struct token *t = token_find(all, mailbox);

	if (!t)
		t = token_new(all, mailbox);
	stop(t);
	t->refreshed_wall_ms = clock_wall_ms();
	token_take_access(t, kept);
	t->forced_at_ms = 0;
	t->retry_at_ms = 0;
	if (token_is_good(t)) {
		token_works(t);
		return;
	}
	t->failures = 0;
	token_set_why(t, FAULT_OK, SPAN(""));
	if (t->waiters)
		token_begin(t);
}

void tokens_provider_changed(struct tokens *all, uint64_t mailbox)
{
	struct token *t = token_find(all, mailbox);

	if (!t)
		return;
	if (t->state == TOKEN_LOADING || t->state == TOKEN_QUEUED || t->state == TOKEN_ASKING) {
		stop(t);
		if (t->waiters)
			token_begin(t);
	}
	t->retry_at_ms = 0;
	t->failures = 0;
}

/* Until when its provider wants to be left alone; 0 when it does not. */
static int64_t quiet_until_ms(const struct token *t)
{
	struct provider *p = t->all->host->provider(t->all->host_self, t->mailbox);

	return p ? provider_quiet_until_ms(p) : 0;
}

static void tick(void *self)
{
	struct token *t = self;

	if (t->state == TOKEN_STORING) {
		token_save(t);
		return;
	}
	if (t->state != TOKEN_IDLE)
		return;
	if (t->expires_at_ms <= token_now_ms(t)) {
		buf_wipe(&t->access);
		return;
	}
	if (t->used && t->retry_at_ms <= token_now_ms(t) && !quiet_until_ms(t)) {
		token_begin(t);
		return;
	}
	timer_at(&t->timer, t->used && quiet_until_ms(t) && quiet_until_ms(t) < t->expires_at_ms ? quiet_until_ms(t) : t->expires_at_ms);
}

static void wait_for(struct token *t, token_done *done, void *self, uint64_t request)
{
	struct token_waiter *w = calloc(1, sizeof *w), **end = &t->waiters;

	if (!w)
		panic("out of memory");
	*w = (struct token_waiter){ NULL, done, self, request };
	while (*end)
		end = &(*end)->next;
	*end = w;
}

/* The mail server refused it, and there was no other to be had. */
static bool is_spoiled(const struct token *t)
{
	return t->refused && t->refused == t->generation && t->fault != FAULT_OK;
}

void tokens_want(struct tokens *all, uint64_t mailbox, uint64_t refused_generation, token_done *done, void *self, uint64_t request)
{
	struct token *t = token_find(all, mailbox);
	struct token_waiter w = { NULL, done, self, request };
	bool is_refused;

	if (!t) {
		done(self, request, &(struct token_answer){ .fault = FAULT_NOT_LINKED });
		return;
	}
	if (refused_generation == t->generation)
		t->refused = refused_generation;
	is_refused = refused_generation && refused_generation == t->generation && t->state == TOKEN_IDLE &&
		     (!t->forced_at_ms || token_now_ms(t) - t->forced_at_ms >= FORCE_AGAIN_MS);
	if (token_is_good(t) && !is_refused && !is_spoiled(t) && t->state != TOKEN_STORING && !t->forced) {
		give(t, &w, FAULT_OK);
		/* A token that outlived its refresh because nobody used it. */
		if (!timer_is_set(&t->timer))
			token_set_timer(t);
		return;
	}
	if (t->state == TOKEN_IDLE && t->fault != FAULT_OK && t->retry_at_ms > token_now_ms(t)) {
		give(t, &w, t->fault);
		return;
	}
	if (t->state == TOKEN_IDLE && quiet_until_ms(t)) {
		done(self, request, &(struct token_answer){ .fault = FAULT_OAUTH_THROTTLED,
							    .why = SPAN("the provider asked to be left alone for a while") });
		return;
	}
	wait_for(t, done, self, request);
	if (t->state != TOKEN_IDLE)
		return;
	if (is_refused)
		t->forced_at_ms = token_now_ms(t);
	t->forced = is_refused || is_spoiled(t);
	token_begin(t);
}

unsigned tokens_keep_alive(struct tokens *all, unsigned most)
{
	int64_t wall_ms = clock_wall_ms();
	unsigned begun = 0;
	size_t looked = 0;
	struct token *t;

	while (begun < most && looked++ < map_count(&all->by_mailbox)) {
		t = map_next(&all->by_mailbox, &all->keep_alive_at);
		if (!t) {
			all->keep_alive_at = 0;
			continue;
		}
		/* Spread by their numbers: those linked on one day are not renewed on one day. */
		if (t->state == TOKEN_IDLE && !(t->mailbox & TOKEN_OF_PROVIDER) && t->retry_at_ms <= token_now_ms(t) && fault_row(t->fault)->class != FAULT_CLASS_HOLD &&
		    wall_ms - t->refreshed_wall_ms > (int64_t)TOKEN_IDLE_DAYS * DAY_MS - (int64_t)(t->mailbox * 7919 % SPREAD_MINUTES) * 60000) {
			t->forced = true;
			token_begin(t);
			begun++;
		}
	}
	return begun;
}

struct token_state tokens_state(const struct tokens *all, uint64_t mailbox)
{
	const struct token *t = token_find(all, mailbox);
	struct token_state s = { .is_known = t != NULL };

	if (!t)
		return s;
	s.has_token = t->access.size > 0;
	s.fault = t->fault;
	s.why = span_of(t->why);
	s.generation = t->generation;
	s.expires_at_ms = t->access.size ? t->expires_wall_ms : 0;
	s.retry_at_ms = t->retry_at_ms > token_now_ms(t) ? clock_wall_ms() + t->retry_at_ms - token_now_ms(t) : 0;
	return s;
}

unsigned tokens_in_flight(const struct tokens *all)
{
	return all->in_flight;
}
